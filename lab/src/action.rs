//! What can be done to a running lab: break and repair links, end and start nodes, change
//! addresses. Written as short sentences in `do = [...]`, so that a check reads like a story.

use std::fmt;
use std::time::Duration;

use crate::quantity;
use crate::topology::Subnet;

/// One step of `do`.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// `link core down xtr1`
    Link {
        /// The link.
        link: String,
        /// What happens to it.
        change: LinkChange,
    },
    /// `restart xtr1`
    Node {
        /// The node.
        node: String,
        /// What happens to its process.
        change: NodeChange,
    },
    /// `run xtr1 COMMAND`
    Run {
        /// Where.
        node: String,
        /// Given to `sh -c`; must succeed.
        command: String,
    },
    /// `address xtr1 core add 10.0.0.9/24`
    Address {
        /// The node.
        node: String,
        /// The link, which is the interface.
        link: String,
        /// Added, not removed.
        add: bool,
        /// The address.
        address: Subnet,
    },
    /// `wait 3s`: lets traffic go on for a time that the check is about, such as a TTL.
    Wait(Duration),
}

/// A change of a link.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkChange {
    /// The node's interface loses its carrier.
    Down(String),
    /// The carrier comes back.
    Up(String),
    /// Nothing arrives from or at this node any more, and nobody is told.
    Blackhole(String),
    /// Ends a black hole.
    Heal(String),
    /// Largest packet.
    Mtu(u16),
    /// One-way delay.
    Delay(Duration),
    /// Percent of frames lost.
    Loss(f64),
    /// Bits a second; nothing lifts the limit.
    Rate(Option<f64>),
}

/// A change of a node's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeChange {
    /// Asked to end, then started again.
    Restart,
    /// Ended without being asked (SIGKILL).
    Kill,
    /// Started.
    Start,
    /// Asked to end (SIGTERM), and waited for.
    Stop,
    /// Asked to read its configuration again: `weft config reload`, or SIGHUP for other processes.
    Reload,
}

const FORMS: &str = "write `link LINK down|up|blackhole|heal NODE`, `link LINK mtu|delay|loss|rate \
     VALUE`, `restart|kill|start|stop|reload NODE`, `run NODE COMMAND`, `address NODE LINK add|del \
     ADDRESS/LENGTH` or `wait DURATION`";

impl Action {
    /// Parses one sentence. Whether the names exist is not known here.
    ///
    /// # Errors
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not something that can be done; {FORMS}");
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["link", link, verb, value] => {
                let change = link_change(verb, value)?.ok_or_else(wrong)?;
                Ok(Self::Link { link: (*link).to_owned(), change })
            }
            ["run", node, _, ..] => {
                let after = text.trim_start()["run".len()..].trim_start();
                let command = after[node.len()..].trim().to_owned();
                Ok(Self::Run { node: (*node).to_owned(), command })
            }
            ["address", node, link, verb @ ("add" | "del"), address] => {
                let address = Subnet::parse(address)
                    .ok_or_else(|| format!("`{address}` is not an ADDRESS/LENGTH"))?;
                let (node, link) = ((*node).to_owned(), (*link).to_owned());
                Ok(Self::Address { node, link, add: *verb == "add", address })
            }
            ["wait", time] => Ok(Self::Wait(quantity::duration(time)?)),
            [verb, node] => {
                let change = node_change(verb).ok_or_else(wrong)?;
                Ok(Self::Node { node: (*node).to_owned(), change })
            }
            _ => Err(wrong()),
        }
    }

    /// The node it names.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::Link { change, .. } => change.node(),
            Self::Node { node, .. } | Self::Run { node, .. } | Self::Address { node, .. } => {
                Some(node)
            }
            Self::Wait(_) => None,
        }
    }

    /// The link it names.
    pub fn link(&self) -> Option<&str> {
        match self {
            Self::Link { link, .. } | Self::Address { link, .. } => Some(link),
            _ => None,
        }
    }
}

impl LinkChange {
    fn node(&self) -> Option<&str> {
        match self {
            Self::Down(node) | Self::Up(node) | Self::Blackhole(node) | Self::Heal(node) => {
                Some(node)
            }
            _ => None,
        }
    }

    /// Can only one of our own wires do this?
    pub fn needs_wire(&self) -> bool {
        matches!(self, Self::Delay(_) | Self::Loss(_) | Self::Rate(_))
    }
}

fn link_change(verb: &str, value: &str) -> Result<Option<LinkChange>, String> {
    let node = || value.to_owned();
    Ok(Some(match verb {
        "down" => LinkChange::Down(node()),
        "up" => LinkChange::Up(node()),
        "blackhole" => LinkChange::Blackhole(node()),
        "heal" => LinkChange::Heal(node()),
        "mtu" => LinkChange::Mtu(value.parse().map_err(|_| format!("`{value}` is not an MTU"))?),
        "delay" => LinkChange::Delay(quantity::duration(value)?),
        "loss" => LinkChange::Loss(quantity::percent(value)?),
        "rate" if value == "unlimited" => LinkChange::Rate(None),
        "rate" => LinkChange::Rate(Some(quantity::bit_rate(value)?)),
        _ => return Ok(None),
    }))
}

fn node_change(verb: &str) -> Option<NodeChange> {
    Some(match verb {
        "restart" => NodeChange::Restart,
        "kill" => NodeChange::Kill,
        "start" => NodeChange::Start,
        "stop" => NodeChange::Stop,
        "reload" => NodeChange::Reload,
        _ => return None,
    })
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link { link, change } => write!(f, "link {link} {change}"),
            Self::Node { node, change } => {
                let verb = match change {
                    NodeChange::Restart => "restart",
                    NodeChange::Kill => "kill",
                    NodeChange::Start => "start",
                    NodeChange::Stop => "stop",
                    NodeChange::Reload => "reload",
                };
                write!(f, "{verb} {node}")
            }
            Self::Run { node, command } => write!(f, "run {node} {command}"),
            Self::Address { node, link, add, address } => {
                write!(f, "address {node} {link} {} {address}", if *add { "add" } else { "del" })
            }
            Self::Wait(time) => write!(f, "wait {time:?}"),
        }
    }
}

impl fmt::Display for LinkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down(node) => write!(f, "down {node}"),
            Self::Up(node) => write!(f, "up {node}"),
            Self::Blackhole(node) => write!(f, "blackhole {node}"),
            Self::Heal(node) => write!(f, "heal {node}"),
            Self::Mtu(mtu) => write!(f, "mtu {mtu}"),
            Self::Delay(delay) => write!(f, "delay {delay:?}"),
            Self::Loss(loss) => write!(f, "loss {loss}%"),
            Self::Rate(Some(rate)) => write!(f, "rate {rate}bit"),
            Self::Rate(None) => f.write_str("rate unlimited"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_reads_back_as_it_was_written() {
        for text in [
            "link core down xtr1",
            "link core up xtr1",
            "link core blackhole xtr1",
            "link core heal xtr1",
            "link core mtu 1400",
            "link core delay 20ms",
            "link core loss 5%",
            "link core rate 1000000bit",
            "link core rate unlimited",
            "restart xtr1",
            "kill xtr1",
            "start xtr1",
            "stop xtr1",
            "reload xtr1",
            "run xtr1 ip  route show",
            "address xtr1 core add 10.0.0.9/24",
            "address xtr1 core del fd00::9/64",
            "wait 3s",
        ] {
            assert_eq!(Action::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_the_possible_forms() {
        for text in ["", "link core", "link core cut xtr1", "burn xtr1", "run xtr1", "wait x"] {
            assert!(Action::parse(text).is_err(), "{text}");
        }
        assert!(Action::parse("link core cut xtr1").unwrap_err().contains("blackhole"));
    }
}
