//! Events as people and programs see them: one line and a few fields each, the same for the log,
//! `weft monitor` and every later subscriber.

use serde_json::{Map, Value, json};
use weft_control::lisp::event::{Direction, Event};
use weft_fib::UplinkId;
use weft_packet::lisp::{Locator, MappingRecord};

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
        Event::LookupAnswered { nonce, eid, from, records, took } => {
            let head = format!(
                "Map-Reply from {from} for {eid} in {:.1} ms, nonce {nonce}",
                took.as_secs_f64() * 1e3
            );
            let lines = records.iter().flat_map(record_lines);
            let text = std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n");
            let mut shown = shown("lookup-answered", "→", Weight::Change, text)
                .with("eid", eid)
                .with("from", from)
                .with("nonce", nonce);
            let records: Vec<_> = records.iter().map(record_fields).collect();
            shown.fields.insert("records".into(), Value::Array(records));
            shown.fields.insert("took".into(), json!(took.as_secs_f64()));
            shown.fields.insert("text".into(), json!(shown.text));
            shown
        }
        Event::LookupUnanswered { nonce, eid, tries } => {
            let text = format!("{eid}: nobody answered {tries} Map-Requests");
            shown("lookup-unanswered", "!", Weight::Trouble, text)
                .with("eid", eid)
                .with("nonce", nonce)
        }
        Event::ResolverFailover { from, to } => {
            let text = format!("{from} does not answer, asking {to}");
            shown("resolver-failover", "!", Weight::Trouble, text).with("from", from).with("to", to)
        }
        Event::ResolverRestored { resolver } => {
            let text = format!("{resolver} answers again and is asked first");
            shown("resolver-restored", "·", Weight::Change, text).with("resolver", resolver)
        }
        Event::RlocUp { rloc } => {
            shown("rloc-up", "·", Weight::Change, format!("{rloc} answers again"))
                .with("rloc", rloc)
        }
        Event::RlocDown { rloc, why } => {
            shown("rloc-down", "!", Weight::Trouble, format!("{rloc}  {why}"))
                .with("rloc", rloc)
                .with("why", why)
        }
        Event::UplinkUp { uplink, rloc } => {
            let text = format!("{} {rloc} works again", name(*uplink));
            shown("uplink-up", "·", Weight::Change, text)
                .with("uplink", &name(*uplink))
                .with("rloc", rloc)
        }
        Event::UplinkDown { uplink, rloc, why } => {
            let text = format!("{} {rloc}  {why}", name(*uplink));
            shown("uplink-down", "!", Weight::Trouble, text)
                .with("uplink", &name(*uplink))
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
    }
}

/// A record as `lig` prints it: what it is about, then its locators.
fn record_lines(record: &MappingRecord) -> Vec<String> {
    let eid = record.eid.prefix().map_or_else(|| format!("{:?}", record.eid), |e| e.to_string());
    let ttl = match record.ttl.duration() {
        Some(_) => format!("{}m", record.ttl.0),
        None => "as the receiver likes".to_owned(),
    };
    let vouched = if record.authoritative { "authoritative" } else { "not authoritative" };
    let action =
        if record.locators.is_empty() { format!("  {:?}", record.action) } else { String::new() };
    let mut lines = vec![format!("  {eid}  ttl {ttl}  {vouched}{action}")];
    for locator in &record.locators {
        let address = rloc_text(locator);
        let mut words = format!(
            "    {address:<18} {}/{}  {}/{}",
            locator.priority, locator.weight, locator.multicast_priority, locator.multicast_weight
        );
        let flags = [
            (locator.reachable, "  reachable"),
            (locator.local, "  local"),
            (locator.probed, "  probed"),
        ];
        flags.iter().filter(|(set, _)| *set).for_each(|(_, word)| words.push_str(word));
        lines.push(words);
    }
    lines
}

fn record_fields(record: &MappingRecord) -> Value {
    json!({
        "eid": record.eid.prefix().map(|eid| eid.to_string()),
        "ttl": record.ttl.duration().map(|ttl| ttl.as_secs_f64()),
        "authoritative": record.authoritative,
        "action": format!("{:?}", record.action),
        "locators": record.locators.iter().map(|locator| json!({
            "rloc": rloc_text(locator), "priority": locator.priority, "weight": locator.weight,
            "reachable": locator.reachable, "local": locator.local,
        })).collect::<Vec<_>>(),
    })
}

fn rloc_text(locator: &Locator) -> String {
    locator.address.ip().map_or_else(|| format!("{:?}", locator.address), |ip| ip.to_string())
}

fn shown(kind: &'static str, mark: &'static str, weight: Weight, text: String) -> Shown {
    Shown { kind, mark, weight, text, fields: Map::new() }
}

impl Shown {
    fn with(mut self, key: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.fields.insert(key.to_owned(), Value::String(value.to_string()));
        self
    }

    fn with_some(self, key: &str, value: Option<&impl ToString>) -> Self {
        match value {
            Some(value) => self.with(key, value),
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
        assert_eq!(shown.text, "map-register from 203.0.113.5:4342: wrong-key (key-id 0, site1)");
        assert_eq!(shown.fields["reason"], "wrong-key");
        assert_eq!(shown.weight, Weight::Trouble);
    }
}
