//! The xTRs that registered: who they are, how their messages are signed, which nonces they used.
//! Kept once for each xTR of a site, however many EID-prefixes it registers.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use slab::Slab;
use smallvec::SmallVec;
use weft_packet::addr::{SiteId, XtrId};
use weft_packet::lisp::auth::{self, Purpose};
use weft_packet::lisp::{Algorithm, Authentication, CONTROL_PORT, MapNotify};
use weft_packet::wire::Wire;

use super::replay::{BURST, Window};
use super::site::SiteIndex;
use crate::engine::Instant;

/// Names an xTR while it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct XtrIndex(u32);

/// Who an xTR is within its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    /// It said so.
    Named(XtrId, SiteId),
    /// It did not: what it sends from stands for it.
    Address(IpAddr),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(xtr, site) => write!(f, "{xtr}-{:016x}", site.0),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// How messages to an xTR are signed: as its own were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signer {
    pub(super) key_id: u8,
    pub(super) algorithm: Algorithm,
    /// The MAC is sent whole, not cut to the length of RFC 9301.
    pub(super) full: bool,
}

impl Signer {
    /// As in a message received.
    pub(super) fn of(authentication: &Authentication) -> Self {
        let Authentication { key_id, algorithm, ref data } = *authentication;
        Self { key_id, algorithm, full: data.len() == algorithm.mac_len(true) }
    }

    /// Writes `notify` with authentication of its own.
    pub(super) fn sign(self, mut notify: MapNotify, key: &[u8]) -> Vec<u8> {
        notify.authentication = Authentication {
            key_id: self.key_id,
            algorithm: self.algorithm,
            data: vec![0; self.algorithm.mac_len(self.full)],
        };
        let mut bytes = notify.to_bytes();
        auth::sign(&mut bytes, Purpose::MapNotify, self.algorithm, key, self.full);
        bytes
    }
}

/// An xTR that registered.
#[derive(Debug)]
pub(super) struct Xtr {
    pub(super) site: SiteIndex,
    pub(super) identity: Identity,
    /// Where its last Map-Register came from.
    pub(super) from: SocketAddr,
    /// Which of our addresses that came to.
    pub(super) to: IpAddr,
    pub(super) signer: Signer,
    /// It has asked for Map-Notifies.
    pub(super) wants_notify: bool,
    /// It does not answer Map-Notifies: they are sent once.
    pub(super) mute: bool,
    /// EID-prefixes it has registered.
    pub(super) registrations: u32,
    windows: SmallVec<[(u8, Window); 1]>,
    settling: bool,
}

impl Xtr {
    /// Where unsolicited Map-Notifies go (RFC 9301 §5.7).
    pub(super) fn notify_address(&self) -> SocketAddr {
        SocketAddr::new(self.from.ip(), CONTROL_PORT)
    }

    /// What is known of its nonces with a key.
    pub(super) fn window(&mut self, key_id: u8) -> &mut Window {
        let at = self.windows.iter().position(|(id, _)| *id == key_id).unwrap_or_else(|| {
            self.windows.push((key_id, Window::new()));
            self.windows.len() - 1
        });
        &mut self.windows[at].1
    }

    /// The windows by key-id.
    pub(super) fn windows(&self) -> impl Iterator<Item = (u8, &Window)> {
        self.windows.iter().map(|(key_id, window)| (*key_id, window))
    }

    /// Forgets the nonces used with a key that is no more; true when some were on disk.
    pub(super) fn forget_window(&mut self, key_id: u8) -> bool {
        let on_disk = self.windows().any(|(id, window)| id == key_id && window.on_disk());
        self.windows.retain(|(id, _)| *id != key_id);
        on_disk
    }

    /// True when nothing would be lost by forgetting it.
    fn idle(&self) -> bool {
        self.registrations == 0 && !self.windows().any(|(_, window)| window.on_disk())
    }
}

/// All xTRs that are kept.
#[derive(Debug, Default)]
pub(super) struct Xtrs {
    slots: Slab<Xtr>,
    index: HashMap<(SiteIndex, Identity), XtrIndex, foldhash::fast::FixedState>,
    /// Those whose stored marks are to be set back after a burst, by when.
    settling: VecDeque<(Instant, XtrIndex)>,
}

impl Xtrs {
    pub(super) fn get(&self, index: XtrIndex) -> &Xtr {
        &self.slots[index.0 as usize]
    }

    pub(super) fn get_mut(&mut self, index: XtrIndex) -> &mut Xtr {
        &mut self.slots[index.0 as usize]
    }

    pub(super) fn find(&self, site: SiteIndex, identity: Identity) -> Option<XtrIndex> {
        self.index.get(&(site, identity)).copied()
    }

    /// Keeps a new one in mind.
    pub(super) fn add(
        &mut self,
        site: SiteIndex,
        identity: Identity,
        from: SocketAddr,
        to: IpAddr,
        signer: Signer,
    ) -> XtrIndex {
        let slot = self.slots.insert(Xtr {
            site,
            identity,
            from,
            to,
            signer,
            wants_notify: false,
            mute: false,
            registrations: 0,
            windows: SmallVec::new(),
            settling: false,
        });
        let index = XtrIndex(u32::try_from(slot).expect("fewer than 2^32 xTRs"));
        self.index.insert((site, identity), index);
        index
    }

    /// Keeps one in mind of which only the nonces are known.
    pub(super) fn add_unheard(
        &mut self,
        site: SiteIndex,
        identity: Identity,
        key_id: u8,
    ) -> XtrIndex {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let signer = Signer { key_id, algorithm: Algorithm::HmacSha256, full: true };
        self.add(site, identity, SocketAddr::new(nowhere, CONTROL_PORT), nowhere, signer)
    }

    /// Forgets an xTR that has nothing registered and no nonces on disk; the site it was of.
    pub(super) fn drop_idle(&mut self, index: XtrIndex) -> Option<SiteIndex> {
        let xtr = self.slots.get(index.0 as usize).filter(|xtr| xtr.idle())?;
        let site = xtr.site;
        self.index.remove(&(site, xtr.identity));
        self.slots.remove(index.0 as usize);
        Some(site)
    }

    /// Has the marks of an xTR set back when its burst is over.
    pub(super) fn settle_later(&mut self, index: XtrIndex, now: Instant) {
        let xtr = self.get_mut(index);
        if !xtr.settling {
            xtr.settling = true;
            self.settling.push_back((now + BURST, index));
        }
    }

    /// New marks to be stored, one xTR a call. `None` when no burst has ended by now.
    pub(super) fn settled(&mut self, now: Instant) -> Option<(XtrIndex, Vec<(u8, u64)>)> {
        loop {
            let (at, index) = *self.settling.front()?;
            if at > now {
                return None;
            }
            self.settling.pop_front();
            let Some(xtr) = self.slots.get_mut(index.0 as usize) else { continue };
            xtr.settling = false;
            let marks: Vec<_> = xtr
                .windows
                .iter_mut()
                .filter_map(|(key_id, window)| Some((*key_id, window.settle(now)?)))
                .collect();
            if xtr.windows().any(|(_, window)| window.unsettled()) {
                self.settle_later(index, now);
            }
            if !marks.is_empty() {
                return Some((index, marks));
            }
        }
    }

    /// When a burst may be over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.settling.front().map(|(at, _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// All of them, in the order of their slots.
    pub(super) fn indices(&self) -> Vec<XtrIndex> {
        let slots = self.slots.iter().filter_map(|(slot, _)| u32::try_from(slot).ok());
        slots.map(XtrIndex).collect()
    }

    /// Moves every xTR to the site its old one is now, as `moved` says. Those whose site is gone
    /// must have been dropped.
    pub(super) fn move_sites(&mut self, moved: impl Fn(SiteIndex) -> Option<SiteIndex>) {
        self.index.clear();
        for (slot, xtr) in &mut self.slots {
            if let (Some(site), Ok(slot)) = (moved(xtr.site), u32::try_from(slot)) {
                xtr.site = site;
                self.index.insert((site, xtr.identity), XtrIndex(slot));
            }
        }
    }

    /// Forgets an xTR whatever it has.
    pub(super) fn remove(&mut self, index: XtrIndex) {
        let xtr = self.slots.remove(index.0 as usize);
        self.index.remove(&(xtr.site, xtr.identity));
    }
}
