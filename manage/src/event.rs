//! Events as people and programs see them: one line and a few fields each, the same for the log,
//! `weft monitor` and every later subscriber.

use serde_json::{Map, Value, json};
use weft_control::lisp::event::{Direction, Event};
use weft_fib::UplinkId;

/// How much an event matters to an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// A message on its way; shown only when asked for.
    Message,
    /// Something changed as it should.
    Change,
    /// Something is wrong, or was refused.
    Trouble,
}

/// An event ready to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// `map-reply`, `rloc-down`, `refused`, …
    pub kind: &'static str,
    /// `←` out, `→` in, `!` trouble, `✗` refused, `·` anything else.
    pub mark: &'static str,
    /// How much it matters.
    pub weight: Weight,
    /// The line behind the kind.
    pub text: String,
    /// The same in fields.
    pub fields: Map<String, Value>,
}

impl Shown {
    /// As one JSON object, with its time.
    pub fn json(&self, time: &str) -> Value {
        let mut object = self.fields.clone();
        object.insert("time".into(), json!(time));
        object.insert("kind".into(), json!(self.kind));
        object.insert("mark".into(), json!(self.mark));
        object.insert("text".into(), json!(self.text));
        Value::Object(object)
    }
}

/// Shows `event`; `name` says what people call an uplink.
pub fn show(event: &Event, name: &dyn Fn(UplinkId) -> String) -> Shown {
    match event {
        Event::Message { direction, kind, peer, eid, detail } => {
            let (mark, word) = match direction {
                Direction::Out => ("←", "to"),
                Direction::In => ("→", "from"),
            };
            let about = eid.map(|eid| format!("{eid} ")).unwrap_or_default();
            shown(kind, mark, Weight::Message, format!("{about}{word} {peer}  {detail}"))
                .with("direction", if *direction == Direction::Out { "out" } else { "in" })
                .with("peer", peer)
                .with_some("eid", eid.as_ref())
                .with("detail", detail)
        }
        Event::Refused { kind, peer, eid, reason, detail } => {
            let about = eid.map(|eid| format!(" {eid}")).unwrap_or_default();
            let text = format!("{kind}{about} from {peer}: {reason} {detail}");
            shown("refused", "✗", Weight::Trouble, text.trim_end().to_owned())
                .with("message", kind)
                .with("peer", peer)
                .with_some("eid", eid.as_ref())
                .with("reason", reason)
                .with("detail", detail)
        }
        Event::MappingLearned { eid, from, detail, took } => {
            let took_text = took.map(|t| format!("  {:.1} ms", t.as_secs_f64() * 1e3));
            let text = format!("{eid} from {from}  {detail}{}", took_text.unwrap_or_default());
            let mut shown = shown("mapping-learned", "→", Weight::Change, text)
                .with("eid", eid)
                .with("from", from)
                .with("detail", detail);
            if let Some(took) = took {
                shown.fields.insert("took".into(), json!(took.as_secs_f64()));
            }
            shown
        }
        Event::MappingRemoved { eid, why } => {
            shown("mapping-removed", "·", Weight::Change, format!("{eid}  {why}"))
                .with("eid", eid)
                .with("why", why)
        }
        Event::LookupFailed { eid, tries } => {
            let text = format!("{eid}: no Map-Resolver answered {tries} Map-Requests");
            shown("lookup-failed", "!", Weight::Trouble, text).with("eid", eid).with("tries", tries)
        }
        Event::ResolverFailover { from, to } => {
            let text = format!("{from} does not answer, asking {to}");
            shown("resolver-failover", "!", Weight::Trouble, text).with("from", from).with("to", to)
        }
        Event::RlocUp { rloc } => {
            shown("rloc-up", "·", Weight::Change, format!("{rloc} answers again")).with("rloc", rloc)
        }
        Event::RlocDown { rloc, why } => {
            shown("rloc-down", "!", Weight::Trouble, format!("{rloc}  {why}"))
                .with("rloc", rloc)
                .with("why", why)
        }
        Event::UplinkUp { uplink, rloc } => {
            let text = format!("{} {rloc} works again", name(*uplink));
            shown("uplink-up", "·", Weight::Change, text)
                .with("uplink", name(*uplink))
                .with("rloc", rloc)
        }
        Event::UplinkDown { uplink, rloc, why } => {
            let text = format!("{} {rloc}  {why}", name(*uplink));
            shown("uplink-down", "!", Weight::Trouble, text)
                .with("uplink", name(*uplink))
                .with("rloc", rloc)
                .with("why", why)
        }
        Event::Registered { map_server, prefixes } => {
            let text = format!("{prefixes} EID-prefixes at {map_server}");
            shown("registered", "·", Weight::Change, text)
                .with("map-server", map_server)
                .with("prefixes", prefixes)
        }
        Event::RegistrationLost { map_server, why } => {
            shown("registration-lost", "!", Weight::Trouble, format!("{map_server}: {why}"))
                .with("map-server", map_server)
                .with("why", why)
        }
        Event::SiteChanged { site, eid, what, by } => {
            let by_text = by.map(|by| format!(" by {by}")).unwrap_or_default();
            shown("site-changed", "·", Weight::Change, format!("{site}: {eid} {what}{by_text}"))
                .with("site", site)
                .with("eid", eid)
                .with("what", what)
                .with_some("by", by.as_ref())
        }
        #[allow(unreachable_patterns, reason = "events may grow before they are shown well")]
        other => shown("event", "·", Weight::Change, format!("{other:?}")),
    }
}

fn shown(kind: &'static str, mark: &'static str, weight: Weight, text: String) -> Shown {
    Shown { kind, mark, weight, text, fields: Map::new() }
}

impl Shown {
    fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.fields.insert(key.to_owned(), Value::String(value.to_string()));
        self
    }

    fn with_some(self, key: &str, value: Option<&impl ToString>) -> Self {
        match value {
            Some(value) => self.with(key, value.to_string()),
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_control::lisp::event::Refusal;

    #[test]
    fn refusal_says_who_what_and_why() {
        let event = Event::Refused {
            kind: "map-register",
            peer: "203.0.113.5:4342".parse().unwrap(),
            eid: None,
            reason: Refusal::WrongKey,
            detail: "(key-id 0, site1)".into(),
        };
        let shown = show(&event, &|_| String::new());
        assert_eq!(
            shown.text,
            "map-register from 203.0.113.5:4342: wrong-key (key-id 0, site1)"
        );
        assert_eq!(shown.fields["reason"], "wrong-key");
        assert_eq!(shown.weight, Weight::Trouble);
    }
}
