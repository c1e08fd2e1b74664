//! Packets that wait for a mapping.
//!
//! Bounded by packets of an EID, EIDs, octets and time. Within an EID the newest packet is
//! refused, so that the first ones, which start connections, get through; among EIDs the oldest
//! packet makes room, so that a scan cannot lock out what is asked now. Every operation costs
//! the logarithm of the number of EIDs at most.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use foldhash::quality::RandomState;
use weft_fib::DropReason;
use weft_packet::addr::{EidPrefix, InstanceId};

use super::offload::VirtioHeader;
use super::options::HoldLimits;

/// The EID a packet waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Eid {
    pub(super) instance: InstanceId,
    pub(super) address: IpAddr,
}

/// A packet that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) virtio: VirtioHeader,
    pub(super) packet: Box<[u8]>,
}

/// Packets that wait for a mapping.
#[derive(Debug, Default)]
pub(super) struct Hold {
    queues: HashMap<Eid, Queue, RandomState>,
    /// The EID of the packet that has waited longest in its queue, by the order of arrival.
    oldest: BTreeMap<u64, Eid>,
    /// EIDs the control plane has not been asked about, in order. Some may be gone.
    unasked: VecDeque<Eid>,
    bytes: usize,
    packets: usize,
    arrivals: u64,
}

#[derive(Debug)]
struct Queue {
    /// Who sent the first packet.
    source: IpAddr,
    asked: bool,
    packets: VecDeque<(u64, Instant, Held)>,
}

impl Hold {
    /// True when nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// How many packets wait.
    pub(super) fn len(&self) -> usize {
        self.packets
    }

    /// True when packets wait for this EID.
    pub(super) fn contains(&self, eid: &Eid) -> bool {
        !self.queues.is_empty() && self.queues.contains_key(eid)
    }

    /// Holds a packet from `source`, or gives the reason to drop it. `evict` gets packets that
    /// make room for it.
    pub(super) fn add(
        &mut self,
        eid: Eid,
        source: IpAddr,
        held: Held,
        limits: &HoldLimits,
        now: Instant,
        mut evict: impl FnMut(Eid, Held),
    ) -> Result<(), DropReason> {
        let waiting = self.queues.get(&eid).map_or(0, |queue| queue.packets.len());
        if waiting >= limits.packets_per_eid {
            return Err(DropReason::HoldEidFull);
        }
        if held.packet.len() > limits.bytes || limits.eids == 0 {
            return Err(DropReason::HoldFull);
        }
        while self.bytes + held.packet.len() > limits.bytes
            || (!self.queues.contains_key(&eid) && self.queues.len() >= limits.eids)
        {
            let Some((eid, held)) = self.pop_oldest() else { break };
            evict(eid, held);
        }
        self.arrivals += 1;
        self.bytes += held.packet.len();
        self.packets += 1;
        let queue = self.queues.entry(eid).or_insert_with(|| {
            self.oldest.insert(self.arrivals, eid);
            self.unasked.push_back(eid);
            Queue { source, asked: false, packets: VecDeque::new() }
        });
        queue.packets.push_back((self.arrivals, now, held));
        self.forget_unasked_that_are_gone();
        Ok(())
    }

    /// Takes the packets that wait for an EID, and no longer as `is_ready` says, in order.
    pub(super) fn take(&mut self, eid: &Eid, is_ready: impl Fn(&Held) -> bool) -> Vec<Held> {
        let Some(queue) = self.queues.get_mut(eid) else { return Vec::new() };
        if let Some((arrival, ..)) = queue.packets.front() {
            self.oldest.remove(arrival);
        }
        let all = std::mem::take(&mut queue.packets).into_iter();
        let (ready, waiting): (VecDeque<_>, _) = all.partition(|(.., held)| is_ready(held));
        queue.packets = waiting;
        match queue.packets.front() {
            Some((arrival, ..)) => {
                self.oldest.insert(*arrival, *eid);
            }
            None => {
                self.queues.remove(eid);
            }
        }
        self.packets -= ready.len();
        let packets = ready.into_iter().map(|(.., held)| held);
        packets.inspect(|held| self.bytes -= held.packet.len()).collect()
    }

    /// Takes a packet that has waited too long.
    pub(super) fn expire(&mut self, limits: &HoldLimits, now: Instant) -> Option<(Eid, Held)> {
        let (_, arrived) = self.front()?;
        (now.duration_since(arrived) >= limits.time).then(|| self.pop_oldest()).flatten()
    }

    /// When the next packet will have waited too long.
    pub(super) fn deadline(&self, limits: &HoldLimits) -> Option<Instant> {
        self.front().map(|(_, arrived)| arrived + limits.time)
    }

    /// The next EID the control plane has to be asked about, with who sends to it. It is asked
    /// for again until [`Self::asked`].
    pub(super) fn unasked(&mut self) -> Option<(Eid, IpAddr)> {
        while let Some(eid) = self.unasked.front() {
            match self.queues.get(eid) {
                Some(queue) if !queue.asked => return Some((*eid, queue.source)),
                _ => self.unasked.pop_front(),
            };
        }
        None
    }

    /// The control plane knows about this EID.
    pub(super) fn asked(&mut self, eid: &Eid) {
        if let Some(queue) = self.queues.get_mut(eid) {
            queue.asked = true;
        }
    }

    /// The EIDs with held packets that one of these prefixes covers.
    pub(super) fn covered(&self, prefixes: &[EidPrefix]) -> Vec<Eid> {
        let hosts = prefixes.iter().all(|eid| eid.prefix.is_host());
        if hosts {
            let eids =
                prefixes.iter().map(|p| Eid { instance: p.instance, address: p.prefix.address() });
            return eids.filter(|eid| self.contains(eid)).collect();
        }
        let covers = |eid: &&Eid| {
            prefixes.iter().any(|p| p.instance == eid.instance && p.prefix.contains(eid.address))
        };
        self.oldest.values().filter(covers).copied().collect()
    }

    /// When the packet that waits longest arrived, and its EID.
    fn front(&self) -> Option<(Eid, Instant)> {
        let (_, eid) = self.oldest.first_key_value()?;
        let (_, arrived, _) = self.queues.get(eid)?.packets.front()?;
        Some((*eid, *arrived))
    }

    fn pop_oldest(&mut self) -> Option<(Eid, Held)> {
        let (_, eid) = self.oldest.pop_first()?;
        let queue = self.queues.get_mut(&eid)?;
        let (.., held) = queue.packets.pop_front()?;
        match queue.packets.front() {
            Some((arrival, ..)) => {
                self.oldest.insert(*arrival, eid);
            }
            None => {
                self.queues.remove(&eid);
            }
        }
        self.bytes -= held.packet.len();
        self.packets -= 1;
        Some((eid, held))
    }

    /// Keeps `unasked` within twice what is there, whatever comes and goes.
    fn forget_unasked_that_are_gone(&mut self) {
        if self.unasked.len() > 2 * self.queues.len() + 64 {
            let queues = &self.queues;
            self.unasked.retain(|eid| queues.get(eid).is_some_and(|queue| !queue.asked));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    const LIMITS: HoldLimits =
        HoldLimits { packets_per_eid: 3, eids: 4, bytes: 1000, time: Duration::from_secs(3) };

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn eid(n: u32) -> Eid {
        Eid { instance: InstanceId::DEFAULT, address: Ipv4Addr::from_bits(0x0a00_0000 | n).into() }
    }

    fn packet(tag: u8, length: usize) -> Held {
        Held { virtio: VirtioHeader::default(), packet: vec![tag; length].into() }
    }

    struct Story {
        hold: Hold,
        now: Instant,
        evicted: Vec<(Eid, u8)>,
    }

    impl Story {
        fn new() -> Self {
            Self { hold: Hold::default(), now: start(), evicted: Vec::new() }
        }

        fn add(&mut self, n: u32, tag: u8, length: usize) -> Result<(), DropReason> {
            let evicted = &mut self.evicted;
            let source = IpAddr::from([10, 1, 0, 2]);
            self.hold.add(eid(n), source, packet(tag, length), &LIMITS, self.now, |eid, held| {
                evicted.push((eid, held.packet[0]));
            })
        }
    }

    #[test]
    fn packets_of_an_eid_come_back_in_order() {
        let mut s = Story::new();
        s.add(1, 1, 10).unwrap();
        s.add(2, 9, 10).unwrap();
        s.add(1, 2, 10).unwrap();
        let tags: Vec<u8> =
            s.hold.take(&eid(1), |_| true).iter().map(|held| held.packet[0]).collect();
        assert_eq!(tags, [1, 2]);
        assert!(!s.hold.contains(&eid(1)) && s.hold.contains(&eid(2)));
        assert_eq!(s.hold.len(), 1);
    }

    #[test]
    fn who_is_not_ready_waits_on_as_before() {
        let mut s = Story::new();
        for (tag, length) in [(1, 10), (2, 20), (3, 10)] {
            s.add(1, tag, length).unwrap();
            s.now += Duration::from_secs(1);
        }
        s.hold.asked(&eid(1));
        assert_eq!(
            s.hold.take(&eid(1), |held| held.packet.len() == 10),
            [packet(1, 10), packet(3, 10)]
        );
        assert_eq!((s.hold.len(), s.hold.unasked()), (1, None));
        assert_eq!(s.hold.expire(&LIMITS, start() + Duration::from_secs(3)), None);
        let late = start() + Duration::from_secs(4);
        assert_eq!(s.hold.expire(&LIMITS, late).unwrap().1, packet(2, 20));
        assert!(s.hold.is_empty());
    }

    #[test]
    fn a_full_eid_refuses_the_newest_and_a_full_hold_evicts_the_oldest() {
        let mut s = Story::new();
        for tag in 0..3 {
            s.add(1, tag, 10).unwrap();
        }
        assert_eq!(s.add(1, 3, 10), Err(DropReason::HoldEidFull));
        for n in 2..=4 {
            s.add(n, 10, 10).unwrap();
        }
        assert!(s.evicted.is_empty());
        s.add(5, 11, 10).unwrap();
        assert_eq!(s.evicted, [(eid(1), 0), (eid(1), 1), (eid(1), 2)], "until an EID is free");
        s.evicted.clear();
        s.add(5, 12, 970).unwrap();
        assert_eq!(s.evicted, [(eid(2), 10)], "until the octets fit");
        assert_eq!(s.add(5, 13, 1001), Err(DropReason::HoldFull));
    }

    #[test]
    fn packets_expire_one_by_one() {
        let mut s = Story::new();
        s.add(1, 1, 10).unwrap();
        s.now += Duration::from_secs(1);
        s.add(1, 2, 10).unwrap();
        s.add(2, 3, 10).unwrap();
        assert_eq!(s.hold.deadline(&LIMITS), Some(s.now + Duration::from_secs(2)));
        s.now += Duration::from_secs(2);
        assert_eq!(s.hold.expire(&LIMITS, s.now).unwrap().1, packet(1, 10));
        assert_eq!(s.hold.expire(&LIMITS, s.now), None);
        s.now += Duration::from_secs(1);
        assert_eq!(s.hold.expire(&LIMITS, s.now).unwrap().1, packet(2, 10));
        assert_eq!(s.hold.expire(&LIMITS, s.now).unwrap().1, packet(3, 10));
        assert!(s.hold.is_empty() && s.hold.deadline(&LIMITS).is_none());
    }

    #[test]
    fn the_control_plane_is_asked_once_in_order() {
        let mut s = Story::new();
        s.add(1, 1, 10).unwrap();
        s.add(2, 1, 10).unwrap();
        s.add(1, 2, 10).unwrap();
        assert_eq!(s.hold.unasked().unwrap().0, eid(1));
        assert_eq!(s.hold.unasked().unwrap().0, eid(1), "it was refused, so again");
        s.hold.asked(&eid(1));
        s.hold.take(&eid(2), |_| true);
        assert_eq!(s.hold.unasked(), None);
        s.add(2, 1, 10).unwrap();
        assert_eq!(s.hold.unasked().unwrap().0, eid(2), "it waits anew");
    }

    #[test]
    fn releases_find_what_they_cover() {
        let mut s = Story::new();
        for n in [0x1_0001, 0x1_0002, 0x2_0001] {
            s.add(n, 1, 10).unwrap();
        }
        let prefix = |text: &str| EidPrefix::new(InstanceId::DEFAULT, text.parse().unwrap());
        assert_eq!(s.hold.covered(&[prefix("10.1.0.0/16")]), [eid(0x1_0001), eid(0x1_0002)]);
        assert_eq!(
            s.hold.covered(&[prefix("10.2.0.1/32"), prefix("10.9.9.9/32")]),
            [eid(0x2_0001)]
        );
        let other = EidPrefix::new(InstanceId::new(7).unwrap(), "10.0.0.0/8".parse().unwrap());
        assert!(s.hold.covered(&[other]).is_empty());
    }

    proptest! {
        #[test]
        fn bounds_hold_and_nothing_is_lost(steps in prop::collection::vec((0u32..9, 1usize..400, 0u8..4), 1..200)) {
            let mut s = Story::new();
            let (mut added, mut taken) = (0, 0);
            for (n, length, kind) in steps {
                match kind {
                    0 => taken += s.hold.take(&eid(n), |held| held.packet.len() < length).len(),
                    1 => {
                        s.now += Duration::from_secs(1);
                        while s.hold.expire(&LIMITS, s.now).is_some() {
                            taken += 1;
                        }
                    }
                    _ => added += usize::from(s.add(n, 1, length).is_ok()),
                }
                prop_assert!(s.hold.queues.len() <= LIMITS.eids);
                prop_assert!(s.hold.bytes <= LIMITS.bytes);
                prop_assert_eq!(s.hold.oldest.len(), s.hold.queues.len());
                prop_assert_eq!(added, taken + s.evicted.len() + s.hold.len());
            }
        }
    }
}
