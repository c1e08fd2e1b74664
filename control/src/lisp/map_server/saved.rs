//! What survives a restart, as octets: registrations, and the nonces seen. Only changes are
//! written; a renewal is not, and after a restart everything gets one registration timeout.

use std::net::{IpAddr, SocketAddr};

use weft_packet::addr::{EidPrefix, SiteId, XtrId};
use weft_packet::lisp::{Algorithm, MapNotify, MappingRecord};
use weft_packet::wire::{Error, Reader, Wire, Writer};

use super::content::{Content, Flags};
use super::xtr::{Identity, Signer, Xtr};

/// Keys of registrations start with this.
pub(super) const REGISTRATIONS: &str = "ms/registration/";
/// Keys of nonces start with this.
pub(super) const NONCES: &str = "ms/nonce/";

/// The key of what one xTR registered for one EID-prefix.
pub(super) fn registration_key(eid: EidPrefix, identity: Identity) -> String {
    format!("{REGISTRATIONS}{}/{}/{identity}", eid.instance, eid.prefix)
}

/// The key of the nonces one xTR used with one key of its site.
pub(super) fn nonce_key(site: &str, key_id: u8, identity: Identity) -> String {
    format!("{NONCES}{site}/{key_id}/{identity}")
}

/// What one xTR registered for one EID-prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SavedRegistration {
    pub(super) identity: Identity,
    pub(super) from: SocketAddr,
    pub(super) to: IpAddr,
    pub(super) signer: Signer,
    pub(super) wants_notify: bool,
    pub(super) flags: Flags,
    pub(super) record: MappingRecord,
}

impl SavedRegistration {
    pub(super) fn new(xtr: &Xtr, eid: EidPrefix, content: &Content) -> Self {
        Self {
            identity: xtr.identity,
            from: xtr.from,
            to: xtr.to,
            signer: xtr.signer,
            wants_notify: xtr.wants_notify,
            flags: content.flags,
            record: content.record(eid, content.ttl),
        }
    }
}

impl Wire for SavedRegistration {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        version(r)?;
        let [bits, key_id, algorithm] = r.array("bits")?;
        let bit = |n: u8| bits >> n & 1 != 0;
        Ok(Self {
            flags: Flags { proxy_reply: bit(0), merge: bit(1), use_ttl: bit(2) },
            wants_notify: bit(3),
            signer: Signer { key_id, algorithm: Algorithm::from_number(algorithm), full: bit(4) },
            from: SocketAddr::new(read_ip(r)?, r.u16("port")?),
            to: read_ip(r)?,
            identity: read_identity(r)?,
            record: MappingRecord::read(r)?,
        })
    }

    fn write(&self, w: &mut Writer) {
        let Self { flags, wants_notify, signer, .. } = self;
        let bits = [flags.proxy_reply, flags.merge, flags.use_ttl, *wants_notify, signer.full];
        let bits = bits.iter().rev().fold(0, |sum, bit| sum << 1 | u8::from(*bit));
        w.bytes([VERSION, bits, signer.key_id, signer.algorithm.number()]);
        write_ip(w, self.from.ip());
        w.u16(self.from.port());
        write_ip(w, self.to);
        write_identity(w, self.identity);
        self.record.write(w);
    }
}

/// The nonces one xTR used with one key of its site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SavedNonce {
    pub(super) site: String,
    pub(super) identity: Identity,
    pub(super) key_id: u8,
    /// Of the key: another key under the same key-id starts anew.
    pub(super) fingerprint: u64,
    /// No nonce up to this one is taken.
    pub(super) mark: u64,
}

impl Wire for SavedNonce {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        version(r)?;
        Ok(Self {
            key_id: r.u8("key-id")?,
            fingerprint: r.u64("fingerprint")?,
            mark: r.u64("mark")?,
            identity: read_identity(r)?,
            site: String::from_utf8_lossy(r.rest()).into_owned(),
        })
    }

    fn write(&self, w: &mut Writer) {
        w.u8(VERSION).u8(self.key_id).u64(self.fingerprint).u64(self.mark);
        write_identity(w, self.identity);
        w.bytes(&self.site);
    }
}

/// Tells keys apart; says no more of a key than any message signed with it.
pub(super) fn fingerprint(key: &[u8]) -> u64 {
    let signer = Signer { key_id: 0, algorithm: Algorithm::HmacSha256, full: true };
    let signed = signer.sign(MapNotify::default(), key);
    let mac = signed.get(16..24).and_then(|octets| octets.try_into().ok());
    u64::from_be_bytes(mac.unwrap_or_default())
}

fn version(r: &mut Reader<'_>) -> Result<(), Error> {
    match r.u8("version")? {
        VERSION => Ok(()),
        other => Err(Error::Invalid("version", other.into())),
    }
}

fn write_ip(w: &mut Writer, ip: IpAddr) {
    w.u8(if ip.is_ipv6() { 6 } else { 4 }).ip(ip);
}

fn read_ip(r: &mut Reader<'_>) -> Result<IpAddr, Error> {
    match r.u8("family")? {
        4 => Ok(r.ipv4("address")?.into()),
        6 => Ok(r.ipv6("address")?.into()),
        other => Err(Error::Invalid("family", other.into())),
    }
}

fn write_identity(w: &mut Writer, identity: Identity) {
    match identity {
        Identity::Named(xtr, site) => w.u8(NAMED).bytes(xtr.0).u64(site.0),
        Identity::Address(ip) => {
            w.u8(ADDRESS);
            write_ip(w, ip);
            w
        }
    };
}

fn read_identity(r: &mut Reader<'_>) -> Result<Identity, Error> {
    match r.u8("identity")? {
        NAMED => Ok(Identity::Named(XtrId(r.array("xTR-ID")?), SiteId(r.u64("Site-ID")?))),
        ADDRESS => Ok(Identity::Address(read_ip(r)?)),
        other => Err(Error::Invalid("identity", other.into())),
    }
}

/// Of this form; others are not read.
const VERSION: u8 = 1;
const NAMED: u8 = 1;
const ADDRESS: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use weft_packet::lisp::{Action, Address, Eid, Ttl};

    #[test]
    fn registration_comes_back_as_it_went() {
        let saved = SavedRegistration {
            identity: Identity::Named(XtrId([7; 16]), SiteId(9)),
            from: "[2001:db8::1]:40000".parse().unwrap(),
            to: "192.0.2.1".parse().unwrap(),
            signer: Signer { key_id: 3, algorithm: Algorithm::HmacSha1, full: false },
            wants_notify: true,
            flags: Flags { proxy_reply: false, merge: true, use_ttl: false },
            record: MappingRecord {
                eid: Eid { address: Address::Ip([10, 0, 0, 0].into()), mask_len: 8 },
                ttl: Ttl(1440),
                action: Action::NoAction,
                authoritative: false,
                version: 5,
                locators: Vec::new(),
            },
        };
        assert_eq!(SavedRegistration::from_bytes(&saved.to_bytes()), Ok(saved.clone()));
        let mut newer = saved.to_bytes();
        newer[0] = 2;
        assert!(SavedRegistration::from_bytes(&newer).is_err());
    }

    #[test]
    fn nonce_comes_back_as_it_went() {
        let saved = SavedNonce {
            site: "a/b".to_owned(),
            identity: Identity::Address("2001:db8::1".parse().unwrap()),
            key_id: 1,
            fingerprint: fingerprint(b"secret"),
            mark: u64::MAX,
        };
        assert_eq!(SavedNonce::from_bytes(&saved.to_bytes()), Ok(saved));
    }

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(fingerprint(b"one"), fingerprint(b"one"));
        assert_ne!(fingerprint(b"one"), fingerprint(b"two"));
    }
}
