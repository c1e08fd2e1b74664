//! LCAFs that say which packets, or which way: types 4, 7, 9, 10, 12 and 13 (RFC 8060 §4, §5).

use super::Address;
use super::lcaf::until_end;
use crate::wire::{Error, Reader, Wire, Writer};
use std::ops::RangeInclusive;

/// The packets of one application, LCAF type 4.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Application {
    /// IPv4 TOS, or IPv6 traffic class and flow label; 24 bits.
    pub traffic_class: u32,
    /// IP protocol.
    pub protocol: u8,
    /// Lowest and highest local port.
    pub local_ports: (u16, u16),
    /// Lowest and highest remote port.
    pub remote_ports: (u16, u16),
    /// The address.
    pub address: Address,
}

impl Application {
    /// Ports on the side of the address.
    pub fn local(&self) -> RangeInclusive<u16> {
        self.local_ports.0..=self.local_ports.1
    }

    /// Ports on the other side.
    pub fn remote(&self) -> RangeInclusive<u16> {
        self.remote_ports.0..=self.remote_ports.1
    }

    pub(super) fn read(r: &mut Reader<'_>, depth: u8) -> Result<Self, Error> {
        let word = r.u32("Application Data")?;
        let [_, _, _, protocol] = word.to_be_bytes();
        let mut ports = || Ok((r.u16("port range")?, r.u16("port range")?));
        Ok(Self {
            traffic_class: word >> 8,
            protocol,
            local_ports: ports()?,
            remote_ports: ports()?,
            address: Address::read_nested(r, depth)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.u32(self.traffic_class << 8 | u32::from(self.protocol))
            .u16(self.local_ports.0)
            .u16(self.local_ports.1)
            .u16(self.remote_ports.0)
            .u16(self.remote_ports.1);
        self.address.write(w);
    }
}

/// What a Map-Server sees of an xTR behind a NAT, LCAF type 7.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatTraversal {
    /// UDP port of the Map-Server.
    pub map_server_port: u16,
    /// UDP port of the xTR as seen from outside.
    pub etr_port: u16,
    /// Address of the xTR as seen from outside.
    pub global_etr: Address,
    /// The Map-Server.
    pub map_server: Address,
    /// Address of the xTR inside; normally none.
    pub private_etr: Address,
    /// RTRs that help.
    pub rtrs: Vec<Address>,
}

impl NatTraversal {
    pub(super) fn read(r: &mut Reader<'_>, depth: u8) -> Result<Self, Error> {
        Ok(Self {
            map_server_port: r.u16("MS UDP Port Number")?,
            etr_port: r.u16("ETR UDP Port Number")?,
            global_etr: Address::read_nested(r, depth)?,
            map_server: Address::read_nested(r, depth)?,
            private_etr: Address::read_nested(r, depth)?,
            rtrs: until_end(r, |r| Address::read_nested(r, depth))?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.u16(self.map_server_port).u16(self.etr_port);
        self.global_etr.write(w);
        self.map_server.write(w);
        self.private_etr.write(w);
        w.each(&self.rtrs);
    }
}

/// Source and group of a multicast entry, LCAF type 9 (RFC 8378 §4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MulticastInfo {
    /// The second reserved octet of the LCAF, where older drafts and OpenOverlayRouter put R, L
    /// and J.
    pub signal: u8,
    /// The instance, 32 bits.
    pub instance: u32,
    /// How many bits of `source` count; 0 for (*,G).
    pub source_mask_len: u8,
    /// How many bits of `group` count.
    pub group_mask_len: u8,
    /// S.
    pub source: Address,
    /// G.
    pub group: Address,
}

impl MulticastInfo {
    pub(super) fn read(r: &mut Reader<'_>, signal: u8, depth: u8) -> Result<Self, Error> {
        let instance = r.u32("Instance ID")?;
        r.u16("Multicast Info reserved")?;
        let [source_mask_len, group_mask_len] = r.array("Multicast Info mask-len")?;
        let source = Address::read_nested(r, depth)?;
        let group = Address::read_nested(r, depth)?;
        within_width(source_mask_len, &source, "Source mask-len")?;
        within_width(group_mask_len, &group, "Group mask-len")?;
        Ok(Self { signal, instance, source_mask_len, group_mask_len, source, group })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.u32(self.instance).u16(0).u8(self.source_mask_len).u8(self.group_mask_len);
        self.source.write(w);
        self.group.write(w);
    }
}

/// One router of an Explicit Locator Path, LCAF type 10.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathHop {
    /// L: look the next hop up in the mapping system.
    pub lookup: bool,
    /// P: probe this hop.
    pub probe: bool,
    /// S: this hop must not be skipped.
    pub strict: bool,
    /// The router.
    pub address: Address,
}

impl PathHop {
    pub(super) fn read(r: &mut Reader<'_>, depth: u8) -> Result<Self, Error> {
        let flags = r.u16("path flags")?;
        Ok(Self {
            lookup: flags & 4 != 0,
            probe: flags & 2 != 0,
            strict: flags & 1 != 0,
            address: Address::read_nested(r, depth)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        let flags =
            u16::from(self.lookup) << 2 | u16::from(self.probe) << 1 | u16::from(self.strict);
        self.address.write(w.u16(flags));
    }
}

/// A source and a destination prefix, LCAF type 12.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceDestination {
    /// How many bits of `source` count.
    pub source_mask_len: u8,
    /// How many bits of `destination` count.
    pub destination_mask_len: u8,
    /// The source prefix.
    pub source: Address,
    /// The destination prefix.
    pub destination: Address,
}

impl SourceDestination {
    pub(super) fn read(r: &mut Reader<'_>, depth: u8) -> Result<Self, Error> {
        r.u16("Source/Dest Key reserved")?;
        let [source_mask_len, destination_mask_len] = r.array("Source/Dest mask-len")?;
        let source = Address::read_nested(r, depth)?;
        let destination = Address::read_nested(r, depth)?;
        within_width(source_mask_len, &source, "Source mask-len")?;
        within_width(destination_mask_len, &destination, "Dest mask-len")?;
        Ok(Self { source_mask_len, destination_mask_len, source, destination })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.u16(0).u8(self.source_mask_len).u8(self.destination_mask_len);
        self.source.write(w);
        self.destination.write(w);
    }
}

/// One entry of a Replication List, LCAF type 13.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica {
    /// Level of the hierarchy; 128 for ETRs (RFC 8378 §4).
    pub level: u8,
    /// Who gets a copy.
    pub address: Address,
}

impl Replica {
    pub(super) fn read(r: &mut Reader<'_>, depth: u8) -> Result<Self, Error> {
        let [_, _, _, level] = r.array("replication level")?;
        Ok(Self { level, address: Address::read_nested(r, depth)? })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        self.address.write(w.u32(self.level.into()));
    }
}

/// Refuses a mask longer than what it masks.
fn within_width(mask_len: u8, address: &Address, what: &'static str) -> Result<(), Error> {
    match address.width() {
        Some(width) if usize::from(mask_len) > width => Err(Error::Invalid(what, mask_len.into())),
        _ => Ok(()),
    }
}
