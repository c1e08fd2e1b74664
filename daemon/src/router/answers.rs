//! Answers to requests over the control socket: what the parts know, put together.

mod interfaces;
mod lisp;
mod status;
mod trace;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use weft_control::lisp::event::Event;
use weft_fib::UplinkId;
use weft_manage::api::{Answer, Failure, Request, Response};
use weft_manage::config::{UplinkNames, UplinkPlace};
use weft_packet::addr::{EidPrefix, InstanceId, Prefix};

use super::Router;
use super::lifecycle::LOOKUP_TIME;
use super::monitor::Wish;
use crate::api::Call;

/// Items and a summary, or why not.
type Outcome = Result<(Vec<Value>, Value), Failure>;

/// Items a list shows unless more are asked for.
const DEFAULT_LIMIT: usize = 10_000;

impl Router {
    /// Carries out a request.
    pub(super) async fn call(&mut self, call: Call) {
        let Call { request, answers } = call;
        let schema = schema(&request);
        let outcome = match request {
            Request::Monitor { last, past_only, messages, drops } => {
                self.monitor(&Wish { last, past_only, messages, drops }, answers);
                return;
            }
            Request::Lig { eid, instance, resolver } => {
                match self.lig(&eid, instance, resolver.as_deref(), &answers) {
                    Ok(()) => return,
                    Err(failure) => Err(failure),
                }
            }
            Request::ConfigReload => self
                .reload()
                .await
                .map(|changes| (changes.into_iter().map(Value::String).collect(), Value::Null)),
            other => self.answer(other),
        };
        let response = self.response(schema, outcome);
        let _ = answers.send(response).await;
    }

    fn response(&self, schema: &'static str, outcome: Outcome) -> Response {
        match outcome {
            Ok((items, summary)) => Response::Answer(Answer {
                schema: format!("weft.{schema}/1"),
                node: self.config.node.name.clone(),
                time: self.time(),
                items,
                summary,
            }),
            Err(failure) => Response::Failure(failure),
        }
    }

    fn answer(&mut self, request: Request) -> Outcome {
        let now = self.clock.now();
        if let Some(plane) = &mut self.plane {
            match &request {
                Request::MapCache { .. } => plane.sync_usage(false),
                Request::Status | Request::Rloc => plane.sync_traffic(),
                _ => {}
            }
        }
        match request {
            Request::Status => Ok(self.status()),
            Request::MapCache { eid, instance, limit } => {
                self.map_cache(eid.as_deref(), instance, limit.unwrap_or(DEFAULT_LIMIT))
            }
            Request::MapCacheFlush { eid, instance } => {
                let within = eid.map(|eid| eid_of(&eid, instance)).transpose()?;
                let count = self.engine.flush(now, within, &mut self.actions);
                Ok((Vec::new(), json!({ "flushed": count })))
            }
            Request::Database => self.database(),
            Request::Registration => self.registration(),
            Request::RegistrationNow => {
                self.engine.register_now(now, &mut self.actions);
                Ok((Vec::new(), Value::Null))
            }
            Request::Rloc => Ok(self.rlocs()),
            Request::RlocProbe { rloc } => {
                let address = rloc.parse().map_err(|_| usage(&rloc, "an IP address"))?;
                if !self.engine.probe(now, address, &mut self.actions) {
                    return Err(no(format!("{rloc} is not in use, so it is not probed")));
                }
                Ok((Vec::new(), Value::Null))
            }
            Request::Site { name } => self.sites(name.as_deref()),
            Request::SiteRegistration { eid, instance, limit } => {
                self.registered(eid.as_deref(), instance, limit.unwrap_or(DEFAULT_LIMIT))
            }
            Request::SiteRefused => self.refused(),
            Request::MapResolver => self.map_resolver(),
            Request::Interface => Ok(self.interfaces()),
            Request::Counters => Ok(self.counters()),
            Request::Trace { source, destination, instance, protocol, ports, length } => {
                let question = trace::Question {
                    source: source.as_deref(),
                    destination: &destination,
                    instance,
                    protocol,
                    ports,
                    length,
                };
                self.trace(&question)
            }
            Request::ConfigShow => {
                let lines = weft_manage::config::lines(&self.config, &self.names);
                let item = |l: weft_manage::config::Line| json!({"path": l.path, "value": l.value});
                Ok((lines.into_iter().map(item).collect(), Value::Null))
            }
            Request::ConfigDiff { file } => self.config_diff(file.as_deref()),
            Request::Monitor { .. } | Request::Lig { .. } | Request::ConfigReload => {
                Err(no("this request is answered elsewhere"))
            }
        }
    }

    fn config_diff(&mut self, file: Option<&str>) -> Outcome {
        let new = self.load(file.map(std::path::Path::new))?;
        let changes = weft_manage::config::diff(&self.config, &new, &self.names);
        let items = changes
            .iter()
            .map(|change| {
                json!({
                    "path": change.path, "old": change.old, "new": change.new,
                    "needs-restart": change.needs_restart, "text": change.to_string(),
                })
            })
            .collect();
        Ok((items, Value::Null))
    }

    /// Asks the mapping system; the answer goes to `answers` when it comes.
    fn lig(
        &mut self,
        eid: &str,
        instance: Option<u32>,
        resolver: Option<&str>,
        answers: &mpsc::Sender<Response>,
    ) -> Result<(), Failure> {
        let eid = eid_of(eid, instance)?;
        let resolver = resolver
            .map(|text| text.parse().map_err(|_| usage(text, "an IP address")))
            .transpose()?;
        let now = self.clock.now();
        if self.engine.itr().is_none() {
            return Err(Failure {
                error: "this router asks nobody: it is no ITR".into(),
                help: Some("run it on a router with [itr]".into()),
                exit: 1,
            });
        }
        let nonce = self.engine.lookup(now, eid, resolver, &mut self.actions);
        self.lookups.retain(|_, waiting| !waiting.is_closed());
        self.lookups.insert(nonce, answers.clone());
        // The conversation ends with the answer, not with this timer.
        let answers = answers.downgrade();
        tokio::spawn(async move {
            tokio::time::sleep(LOOKUP_TIME).await;
            let Some(answers) = answers.upgrade() else { return };
            let failure = Failure { error: "no answer in time".into(), help: None, exit: 6 };
            let _ = answers.try_send(Response::Failure(failure));
        });
        Ok(())
    }

    /// Gives the answer of a lookup to who asked for it.
    pub(super) fn answer_lookup(&mut self, event: &Event) {
        let (nonce, outcome) = match event {
            Event::LookupAnswered { nonce, .. } => {
                let shown = weft_manage::event::show(event, &|_| String::new());
                (nonce, Ok((vec![Value::Object(shown.fields)], Value::Null)))
            }
            Event::LookupUnanswered { nonce, .. } => {
                let shown = weft_manage::event::show(event, &|_| String::new());
                (nonce, Err(Failure { error: shown.text, help: None, exit: 6 }))
            }
            _ => return,
        };
        if let Some(answers) = self.lookups.remove(nonce) {
            let _ = answers.try_send(self.response("lig", outcome));
        }
    }
}

/// What people call an uplink.
pub(super) fn uplink_name(names: &UplinkNames, id: UplinkId) -> String {
    match names.name(id) {
        Some(UplinkPlace::Interface { name, .. }) => name.clone(),
        Some(UplinkPlace::Address(address)) => address.to_string(),
        None => format!("uplink {}", id.0),
    }
}

fn schema(request: &Request) -> &'static str {
    match request {
        Request::Status => "status",
        Request::MapCache { .. } | Request::MapCacheFlush { .. } => "map-cache",
        Request::Database => "database",
        Request::Registration | Request::RegistrationNow => "registration",
        Request::Rloc | Request::RlocProbe { .. } => "rloc",
        Request::Site { .. } => "map-server.site",
        Request::SiteRegistration { .. } => "map-server.registration",
        Request::SiteRefused => "map-server.refused",
        Request::MapResolver => "map-resolver",
        Request::Interface => "interface",
        Request::Counters => "counters",
        Request::Monitor { .. } => "monitor",
        Request::Trace { .. } => "trace",
        Request::Lig { .. } => "lig",
        Request::ConfigShow | Request::ConfigDiff { .. } | Request::ConfigReload => "config",
    }
}

/// The answer is "no".
fn no(error: impl Into<String>) -> Failure {
    Failure { error: error.into(), help: None, exit: 1 }
}

/// The request cannot be meant.
fn usage(text: &str, wanted: &str) -> Failure {
    Failure { error: format!("`{text}` is not {wanted}"), help: None, exit: 2 }
}

/// An EID-prefix as people write it.
fn eid_of(text: &str, instance: Option<u32>) -> Result<EidPrefix, Failure> {
    let prefix: Prefix = text
        .parse()
        .map_err(|error: weft_packet::addr::PrefixError| usage_error(&error.to_string()))?;
    Ok(EidPrefix::new(instance_of(instance)?, prefix))
}

fn instance_of(number: Option<u32>) -> Result<InstanceId, Failure> {
    let number = number.unwrap_or_default();
    InstanceId::new(number).ok_or_else(|| usage_error(&format!("{number} exceeds 24 bits")))
}

fn usage_error(error: &str) -> Failure {
    Failure { error: error.to_owned(), help: None, exit: 2 }
}

/// One item as JSON; a value that cannot be (there is none) becomes null.
fn item(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
