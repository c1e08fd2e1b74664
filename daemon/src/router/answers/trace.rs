//! `weft trace`: what would happen to a packet, by the code that would decide.

use std::net::IpAddr;

use serde_json::{Value, json};
use weft_fib::{Decision, UplinkId};
use weft_packet::addr::InstanceId;
use weft_packet::ip::flow_hash;

use super::super::Router;
use super::{Outcome, instance_of, uplink_name, usage};
use crate::host::plan::router_address;

/// A packet that is only thought of.
pub(super) struct Question<'a> {
    pub(super) source: Option<&'a str>,
    pub(super) destination: &'a str,
    pub(super) instance: Option<u32>,
    pub(super) protocol: Option<u8>,
    pub(super) ports: Option<(u16, u16)>,
    pub(super) length: Option<u16>,
}

impl Router {
    pub(super) fn trace(&self, question: &Question<'_>) -> Outcome {
        let instance = instance_of(question.instance)?;
        let address = |text: &str| text.parse().map_err(|_| usage(text, "an IP address"));
        let destination: IpAddr = address(question.destination)?;
        let source: IpAddr = match question.source {
            Some(text) => address(text)?,
            None => self.own_eid(instance, destination.is_ipv6()).unwrap_or(destination),
        };
        let protocol = question.protocol.unwrap_or(if destination.is_ipv6() { 58 } else { 1 });
        let hash = flow_hash(source, destination, protocol, question.ports);
        let explanation = self.fib.explain(instance, source, destination, hash);
        let mut items = vec![json!({
            "step": "packet",
            "text": format!("{source} \u{2192} {destination} protocol {protocol}, instance {instance}"),
        })];
        items.push(self.source_step(instance, source));
        items.extend(
            explanation
                .steps
                .iter()
                .map(|step| json!({"step": step.label, "text": self.named(&step.text)})),
        );
        if let Some(step) = size_step(&explanation.decision, question.length, destination) {
            items.push(step);
        }
        let failures: Vec<_> = explanation
            .failures
            .iter()
            .map(|(failure, decision)| {
                json!({
                    "if": self.named(&failure.to_string()), "then": self.decision(decision),
                })
            })
            .collect();
        let summary = json!({
            "decision": self.decision(&explanation.decision),
            "flow-hash": format!("{hash:08x}"),
            "on-failure": failures,
        });
        Ok((items, summary))
    }

    /// An address of this router that is an EID of `instance`.
    pub(super) fn own_eid(&self, instance: InstanceId, ipv6: bool) -> Option<IpAddr> {
        let of = self.config.instances.iter().find(|i| i.id == instance)?;
        router_address(&self.config, &self.facts, of, ipv6)
    }

    fn source_step(&self, instance: InstanceId, source: IpAddr) -> Value {
        let database = self.config.lisp.etr.iter().flat_map(|etr| &etr.database);
        let ours = database
            .filter(|m| m.eid.instance == instance && m.eid.prefix.contains(source))
            .max_by_key(|m| m.eid.prefix.length());
        let text = match ours {
            Some(mapping) => format!("{source} is in our EID-prefix {}", mapping.eid),
            None if self.config.lisp.itr.as_ref().is_some_and(|itr| itr.proxy) => {
                format!("{source} is no EID of ours; a proxy ITR takes any source")
            }
            None => format!(
                "{source} is no EID of ours: the kernel would not bring this packet to the overlay"
            ),
        };
        json!({"step": "source-eid", "text": text})
    }

    /// The FIB knows uplinks by number; people know them by name.
    fn named(&self, text: &str) -> String {
        let mut words = text.split(' ').peekable();
        let mut out = Vec::new();
        while let Some(word) = words.next() {
            out.push(word.to_owned());
            if word != "uplink" {
                continue;
            }
            let Some(next) = words.next() else { break };
            let digits = next.trim_end_matches([':', ',', ';']);
            let behind = &next[digits.len()..];
            let name = digits.parse().map(|n| uplink_name(&self.names, UplinkId(n)));
            out.push(name.unwrap_or_else(|_| digits.to_owned()) + behind);
        }
        out.join(" ")
    }

    fn decision(&self, decision: &Decision) -> Value {
        let text = self.named(&decision.to_string());
        match decision {
            Decision::Encapsulate { local, remote, uplink, encapsulation, mtu, .. } => json!({
                "action": "encapsulate", "from": local.to_string(), "rloc": remote.to_string(),
                "uplink": uplink_name(&self.names, *uplink), "encapsulation": encapsulation.to_string(),
                "mtu": mtu, "text": text,
            }),
            Decision::Drop(reason) => {
                json!({"action": "drop", "reason": reason.word(), "text": text})
            }
            Decision::Local => json!({"action": "local", "text": text}),
            Decision::Native => json!({"action": "native", "text": text}),
            Decision::Resolve => json!({"action": "resolve", "text": text}),
        }
    }
}

fn size_step(decision: &Decision, length: Option<u16>, destination: IpAddr) -> Option<Value> {
    let Decision::Encapsulate { mtu, .. } = decision else { return None };
    let length = length?;
    let text = if length <= *mtu {
        format!("{length} octets fit the {mtu} that the path carries")
    } else if destination.is_ipv6() {
        format!("{length} octets exceed {mtu}: ICMPv6 packet too big, MTU {mtu}, to the sender")
    } else {
        format!(
            "{length} octets exceed {mtu}: with DF, ICMP fragmentation needed, MTU {mtu}; \
             without, two fragments are encapsulated"
        )
    };
    Some(json!({"step": "size", "text": text}))
}
