//! The underlay: any address reaches any other, unless something is wrong.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use weft_control::engine::Random;
use weft_packet::addr::InstanceId;

/// What travels.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    /// A control message.
    Control { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    /// An encapsulated packet.
    Data { from: IpAddr, to: IpAddr, packet: Packet },
}

/// A packet of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) id: usize,
    pub(crate) instance: InstanceId,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// How often it was encapsulated.
    pub(crate) tunnels: u32,
}

impl Parcel {
    pub(crate) fn ends(&self) -> (IpAddr, IpAddr) {
        match self {
            Self::Control { from, to, .. } => (from.ip(), to.ip()),
            Self::Data { from, to, .. } => (*from, *to),
        }
    }
}

/// How a way treats what goes over it. Chances are in 1000.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quality {
    pub(crate) latency: Duration,
    pub(crate) jitter: Duration,
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
}

impl Quality {
    /// 10 ms, always.
    pub(crate) const GOOD: Self = Self {
        latency: Duration::from_millis(10),
        jitter: Duration::ZERO,
        loss: 0,
        duplication: 0,
    };

    /// Loses, doubles and overtakes a little.
    pub(crate) const INTERNET: Self = Self {
        latency: Duration::from_millis(10),
        jitter: Duration::from_millis(40),
        loss: 10,
        duplication: 5,
    };
}

/// A fault: nothing gets from here to there. `None` is everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) from: Option<IpAddr>,
    pub(crate) to: Option<IpAddr>,
}

impl Cut {
    /// Nothing comes from `address`.
    pub(crate) fn from(address: IpAddr) -> Self {
        Self { from: Some(address), to: None }
    }

    /// Nothing gets to `address`.
    pub(crate) fn to(address: IpAddr) -> Self {
        Self { from: None, to: Some(address) }
    }

    fn stops(&self, from: IpAddr, to: IpAddr) -> bool {
        self.from.is_none_or(|f| f == from) && self.to.is_none_or(|t| t == to)
    }
}

/// The underlay.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) quality: Quality,
    cuts: Vec<Cut>,
}

impl Network {
    pub(crate) fn new(quality: Quality) -> Self {
        Self { quality, cuts: Vec::new() }
    }

    pub(crate) fn cut(&mut self, cut: Cut) {
        self.cuts.push(cut);
    }

    pub(crate) fn mend_all(&mut self) {
        self.cuts.clear();
    }

    /// How long each copy takes that arrives.
    pub(crate) fn journeys(&self, from: IpAddr, to: IpAddr, random: &mut Random) -> Vec<Duration> {
        let quality = self.quality;
        let lost = random.below(1000) < quality.loss;
        if lost || self.cuts.iter().any(|cut| cut.stops(from, to)) {
            return Vec::new();
        }
        let copies = if random.below(1000) < quality.duplication { 2 } else { 1 };
        let jitter = u64::try_from(quality.jitter.as_micros()).unwrap();
        let journey = |_| quality.latency + Duration::from_micros(random.below(jitter + 1));
        (0..copies).map(journey).collect()
    }
}
