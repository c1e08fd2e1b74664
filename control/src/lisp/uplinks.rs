//! The local uplinks from two sides: what the kernel says, and what probes say besides.

use weft_fib::Uplink;

use super::event::Event;
use super::local::Local;
use super::probe::Prober;
use crate::engine::Actions;

/// Both views. Probing goes by the kernel's, or it could never find out that an uplink works
/// again; everything else goes by what is left when the probes' doubts are counted in.
#[derive(Debug, Default)]
pub(super) struct Uplinks {
    kernel: Local,
    effective: Local,
}

impl Uplinks {
    pub(super) fn new(kernel: Vec<Uplink>) -> Self {
        let kernel = sorted(kernel);
        Self { effective: kernel.clone(), kernel }
    }

    /// As the kernel sees them.
    pub(super) fn kernel(&self) -> &Local {
        &self.kernel
    }

    /// As packets should use them.
    pub(super) fn effective(&self) -> &Local {
        &self.effective
    }

    /// Takes what the kernel says now and tells what came up and went down. False when it says
    /// nothing new.
    pub(super) fn learn(&mut self, uplinks: Vec<Uplink>, out: &mut Actions) -> bool {
        let before = std::mem::replace(&mut self.kernel, sorted(uplinks));
        for uplink in before.working().filter(|u| !works(&self.kernel, u)) {
            let there = self.kernel.uplinks().iter().any(|u| same(u, uplink));
            let why = if there { "no carrier or no route" } else { "its address is gone" };
            let why = why.to_owned();
            out.notify(Event::UplinkDown { uplink: uplink.id, rloc: uplink.rloc, why });
        }
        for uplink in self.kernel.working().filter(|u| !works(&before, u)) {
            out.notify(Event::UplinkUp { uplink: uplink.id, rloc: uplink.rloc });
        }
        before != self.kernel
    }

    /// Counts the probes' doubts in. False when nothing follows from it.
    pub(super) fn judge(&mut self, prober: &Prober) -> bool {
        let doubted = self.kernel.uplinks().iter().map(|uplink| Uplink {
            up: uplink.up && prober.uplink_ok(uplink.id, uplink.rloc.is_ipv6()),
            ..uplink.clone()
        });
        let effective = Local::new(doubted.collect());
        let changed = effective != self.effective;
        self.effective = effective;
        changed
    }
}

fn sorted(mut uplinks: Vec<Uplink>) -> Local {
    uplinks.sort_by_key(|u| (u.id, u.rloc));
    uplinks.dedup_by_key(|u| (u.id, u.rloc));
    Local::new(uplinks)
}

fn same(a: &Uplink, b: &Uplink) -> bool {
    (a.id, a.rloc) == (b.id, b.rloc)
}

fn works(local: &Local, uplink: &Uplink) -> bool {
    local.uplinks().iter().any(|u| u.up && same(u, uplink))
}
