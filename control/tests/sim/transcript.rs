//! What happened, in lines people can read.

use std::collections::HashMap;
use std::fmt::Write;
use weft_control::engine::Instant;
use weft_control::lisp::event::Event;
use weft_control::lisp::trace::{Summary, summary};
use weft_packet::lisp::Message;
use weft_packet::wire::Wire;

use crate::network::Parcel;
use crate::node::Fate;

/// Lines with their times. Random nonces get names in the order they appear.
#[derive(Default)]
pub(crate) struct Transcript {
    lines: Vec<String>,
    nonces: HashMap<u64, usize>,
    pub(crate) on: bool,
}

impl Transcript {
    pub(crate) fn parcel(
        &mut self,
        now: Instant,
        from: &str,
        to: &str,
        parcel: &Parcel,
        copies: usize,
    ) {
        if !self.on {
            return;
        }
        let mut said = match parcel {
            Parcel::Control { from, to, bytes } => match Message::from_bytes(bytes) {
                Ok(Message::MapRequest(request)) if request.probe => {
                    format!("rloc-probe {} > {}", from.ip(), to.ip())
                }
                Ok(Message::MapReply(reply)) if reply.probe => {
                    format!("rloc-probe-reply {} > {}", from.ip(), to.ip())
                }
                Ok(message) => self.words(&summary(&message)),
                Err(error) => format!("malformed: {error}"),
            },
            Parcel::Data { from, to, packet } => {
                let (source, destination) = (packet.source, packet.destination);
                format!("packet {source} > {destination} in {from} > {to}")
            }
        };
        match copies {
            0 => said.push_str(" (lost)"),
            1 => {}
            _ => said.push_str(" (doubled)"),
        }
        self.line(now, &format!("{from} > {to}"), &said);
    }

    fn words(&mut self, summary: &Summary) -> String {
        let mut said = summary.kind.to_owned();
        if let Some(eid) = summary.eid {
            let _ = write!(said, " {eid}");
        }
        let words = summary.detail.split(' ').map(|word| {
            let hex = word.trim_end_matches(',');
            match (hex.len(), u64::from_str_radix(hex, 16)) {
                (16, Ok(nonce)) => word.replace(hex, &self.nonce(nonce)),
                _ => word.to_owned(),
            }
        });
        let detail: Vec<_> = words.collect();
        if !summary.detail.is_empty() {
            let _ = write!(said, " {}", detail.join(" "));
        }
        said
    }

    fn nonce(&mut self, nonce: u64) -> String {
        if nonce < 1 << 20 {
            return nonce.to_string();
        }
        let next = self.nonces.len() + 1;
        format!("#{}", self.nonces.entry(nonce).or_insert(next))
    }

    pub(crate) fn fate(&mut self, now: Instant, node: &str, destination: &str, fate: Fate) {
        if self.on {
            self.line(now, node, &format!("packet to {destination} {fate:?}").to_lowercase());
        }
    }

    pub(crate) fn event(&mut self, now: Instant, node: &str, event: &Event) {
        if let Some(said) = words(event).filter(|_| self.on) {
            self.line(now, node, &format!("! {said}"));
        }
    }

    /// What the story does to the world.
    pub(crate) fn act(&mut self, now: Instant, what: &str) {
        if self.on {
            self.lines.push(format!("{now:>8}  -- {what}"));
        }
    }

    fn line(&mut self, now: Instant, who: &str, said: &str) {
        self.lines.push(format!("{now:>8}  {who:<13} {said}"));
    }

    /// Everything so far; the next look begins behind it.
    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.lines).join("\n")
    }
}

/// Events a story is about; the others are in the lines already.
fn words(event: &Event) -> Option<String> {
    Some(match event {
        Event::Registered { map_server, prefixes } => {
            format!("registered with {map_server}: {prefixes}")
        }
        Event::RegistrationLost { map_server, why } => format!("lost {map_server}: {why}"),
        Event::MappingLearned { eid, from, detail, .. } => {
            format!("learned {eid} from {from}: {detail}")
        }
        Event::MappingRemoved { eid, why } => format!("removed {eid}: {why}"),
        Event::LookupFailed { eid, tries } => format!("no answer for {eid} after {tries}"),
        Event::ResolverFailover { from, to } => format!("asks {to} instead of {from}"),
        Event::RlocUp { rloc } => format!("{rloc} is up"),
        Event::RlocDown { rloc, .. } => format!("{rloc} is down"),
        Event::UplinkUp { rloc, .. } => format!("own {rloc} is up"),
        Event::UplinkDown { rloc, .. } => format!("own {rloc} is down"),
        Event::SiteChanged { site, eid, what, .. } => format!("{site}: {eid} {what}"),
        Event::Refused { kind, reason, .. } => format!("refused {kind}: {reason}"),
        _ => return None,
    })
}
