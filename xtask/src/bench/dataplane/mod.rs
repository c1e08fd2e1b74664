//! Forwarding, beside the kernel's own: in one machine, as on a wire, with a table of a million
//! prefixes, and while the router is restarted.

mod chain;
mod check;
mod network;
mod quantity;
mod restart;
mod rounds;
mod scale;

pub(super) use restart::measure as restart;
pub(super) use scale::measure as scale;

use self::network::{FORWARDING, PLAIN, VXLAN, WIRE};
use self::quantity::{DESTINATIONS, Test};
use self::rounds::Samples;
use super::{Effort, Measured, Tools};
use crate::run::Result;

/// All kinds of routers, inside one machine: super-packets cross the underlay. Compared with plain
/// forwarding.
pub(super) fn forwarding(tools: &Tools, effort: Effort) -> Result<Measured> {
    let mut missing = Vec::new();
    let flood = [Test::Flood(1), Test::Flood(DESTINATIONS)];
    let tests = [Test::Tcp(1), Test::Tcp(4), flood[0], flood[1], Test::Ping];
    let samples = Samples::take(&FORWARDING, &tests, (tools, effort), &mut missing, |_| Ok(()))?;
    let Measured { figures, .. } = samples.figures(&FORWARDING, &PLAIN, "");
    Ok(Measured { figures, missing })
}

/// As between network cards: packets cross the underlay at its MTU. Compared with kernel VXLAN.
pub(super) fn wire(tools: &Tools, effort: Effort) -> Result<Measured> {
    let mut missing = Vec::new();
    let tests = [Test::Tcp(1), Test::Tcp(4), Test::Flood(1), Test::Ping];
    let samples = Samples::take(&WIRE, &tests, (tools, effort), &mut missing, |chains| {
        chains.iter().try_for_each(|chain| {
            check::wire(chain).map_err(|error| format!("{}: {error}", chain.network.title))
        })
    })?;
    let Measured { figures, .. } = samples.figures(&WIRE, &VXLAN, "wire_");
    Ok(Measured { figures, missing })
}
