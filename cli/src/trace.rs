//! `trace`: a packet as people write it, explained step by step.

use std::net::{IpAddr, SocketAddr};

use weft_manage::api::{Answer, Request};

use crate::arguments::{Global, Trace};
use crate::client;
use crate::exit::{End, Outcome, USAGE};
use crate::show::{print, text};

/// Explains what would happen to a packet.
pub(crate) fn trace(trace: &Trace, global: &Global) -> Outcome {
    let words: Vec<&str> = trace.packet.iter().flat_map(|word| word.split_whitespace()).collect();
    let packet = parse(&words).map_err(|error| {
        End::new(USAGE, error)
            .help("for example: weft trace 'tcp 10.1.0.2:4711 > 10.2.0.9:443 len 1500'")
    })?;
    let request = Request::Trace {
        source: packet.source.map(|ip| ip.to_string()),
        destination: packet.destination.to_string(),
        instance: trace.instance.id,
        protocol: packet.protocol,
        ports: packet.ports,
        length: packet.length,
    };
    print(global, &client::ask(&global.socket, &request)?, render)
}

/// A packet that is only thought of.
#[derive(Debug, PartialEq, Eq)]
struct Packet {
    source: Option<IpAddr>,
    destination: IpAddr,
    protocol: Option<u8>,
    ports: Option<(u16, u16)>,
    length: Option<u16>,
}

fn parse(words: &[&str]) -> Result<Packet, String> {
    let (mut rest, mut length) = (words, None);
    if let [before @ .., "len", octets] = rest {
        length = Some(octets.parse().map_err(|_| format!("`{octets}` is not a length"))?);
        rest = before;
    }
    let mut protocol = None;
    if let [name, after @ ..] = rest
        && let Some(number) = protocol_number(name)
    {
        protocol = Some(number);
        rest = after;
    }
    let (source, destination) = match rest {
        [destination] => (None, endpoint(destination)?),
        [source, ">" | "to", destination] => (Some(endpoint(source)?), endpoint(destination)?),
        [source, destination] => (Some(endpoint(source)?), endpoint(destination)?),
        _ => return Err(format!("`{}` is not a packet", words.join(" "))),
    };
    let port = |end: Option<(IpAddr, Option<u16>)>| end.and_then(|(_, port)| port);
    let ports = match (port(source), destination.1) {
        (None, None) => None,
        (source, destination) => Some((source.unwrap_or(0), destination.unwrap_or(0))),
    };
    if ports.is_some() && protocol.is_none() {
        protocol = Some(6);
    }
    let source = source.map(|(ip, _)| ip);
    Ok(Packet { source, destination: destination.0, protocol, ports, length })
}

fn protocol_number(name: &str) -> Option<u8> {
    match name {
        "icmp" => Some(1),
        "tcp" => Some(6),
        "udp" => Some(17),
        "icmpv6" => Some(58),
        other => other.parse().ok(),
    }
}

/// An address, with or without a port.
fn endpoint(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(ip) = text.parse() {
        return Ok((ip, None));
    }
    text.parse::<SocketAddr>()
        .map(|at| (at.ip(), Some(at.port())))
        .map_err(|_| format!("`{text}` is not an address, nor one with a port"))
}

fn render(answer: &Answer) -> String {
    let mut out = String::new();
    for (n, step) in answer.items.iter().enumerate() {
        out.push_str(&format!("{:>2}  {:<12} {}\n", n + 1, text(step, "step"), text(step, "text")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_as_people_write_them() {
        let packet = |text: &str| parse(&text.split_whitespace().collect::<Vec<_>>());
        let full = packet("tcp 192.168.1.20:4711 > 192.168.3.9:443 len 1500").unwrap();
        assert_eq!(full.ports, Some((4711, 443)));
        assert_eq!((full.protocol, full.length), (Some(6), Some(1500)));
        assert_eq!(packet("10.0.0.1").unwrap().source, None);
        assert_eq!(packet("udp 2001:db8::1 [2001:db8::2]:53").unwrap().ports, Some((0, 53)));
        assert!(packet("tcp").is_err());
        assert!(packet("10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4").is_err());
        assert!(packet("10.0.0.1 len many").is_err());
    }
}
