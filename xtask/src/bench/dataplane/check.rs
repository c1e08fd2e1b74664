//! What has to be so for the figures to mean what they say.

use super::chain::Chain;
use crate::bench::note;
use crate::run::{Result, output};

/// An MTU of 1500 octets and the Ethernet header.
const LARGEST_FRAME: f64 = 1514.0;
/// Of packets that may take the portable plane where the kernel shall carry them, in a hundred:
/// those before neighbours are known, the router's own.
const PORTABLE: f64 = 1.0;

/// A wire carries nothing larger than its MTU; what its sender counted shows whether it was one.
pub(super) fn wire(chain: &Chain) -> Result {
    let octets = chain.count("x1", "u0", "tx_bytes")?;
    let packets = chain.count("x1", "u0", "tx_packets")?;
    let frame = octets / packets.max(1.0);
    if frame > LARGEST_FRAME {
        return Err(format!("frames of {frame:.0} octets on average crossed the wire"));
    }
    note(&format!("{}: frames of {frame:.0} octets on average", chain.network.title));
    Ok(())
}

/// Where the kernel shall carry packets, the portable plane carried next to none: not through x1's
/// device, and not through x2's sockets.
pub(super) fn carried(chain: &Chain) -> Result {
    let Some(device) = chain.network.fast_device() else { return Ok(()) };
    let sent = chain.count("x1", "u0", "tx_packets")?;
    let encapsulated = chain.count("x1", device, "tx_packets")?;
    let snmp = output(&mut chain.inside("x2", &["cat", "/proc/net/snmp"])?)?;
    let decapsulated = datagrams(&snmp).ok_or("the kernel of x2 counts no datagrams")?;
    let share = |packets: f64| 100.0 * packets / sent.max(1.0);
    let (encapsulated, decapsulated) = (share(encapsulated), share(decapsulated));
    let said = format!(
        "the portable planes carried {encapsulated:.2} % of the packets through x1, \
         and {decapsulated:.2} % through x2"
    );
    note(&format!("{}: {said}", chain.network.title));
    if encapsulated.max(decapsulated) > PORTABLE { Err(said) } else { Ok(()) }
}

/// UDP datagrams that sockets received.
fn datagrams(snmp: &str) -> Option<f64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let mut columns = names.split(' ').zip(numbers.split(' '));
    columns.find(|(name, _)| *name == "InDatagrams")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_found_by_the_name_of_their_column() {
        let snmp = "Tcp: ActiveOpens InSegs\nTcp: 1 2\n\
                    Udp: InDatagrams NoPorts InErrors\nUdp: 42 3 0\n\
                    UdpLite: InDatagrams NoPorts\nUdpLite: 7 0\n";
        assert_eq!(datagrams(snmp), Some(42.0));
        assert_eq!(datagrams("Tcp: ActiveOpens\nTcp: 1\n"), None);
    }
}
