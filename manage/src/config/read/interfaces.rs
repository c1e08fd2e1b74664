//! Interfaces the configuration names: those this machine does not have are worth a warning. They
//! may come later, so it is no error.

use std::collections::BTreeMap;

use crate::config::report::{Place, Report};
use crate::config::section::nearest;

/// Names of interfaces, each with the place that names it first.
#[derive(Default)]
pub(in crate::config) struct Interfaces(BTreeMap<String, Place>);

impl Interfaces {
    /// Notes that `name` is written at `place`. Gives the place that named it before.
    pub(super) fn note(&mut self, name: &str, place: &Place) -> Option<Place> {
        if let Some(before) = self.0.get(name) {
            return Some(before.clone());
        }
        self.0.insert(name.to_owned(), place.clone());
        None
    }

    /// Warns of every interface that is not among those of this machine.
    pub(super) fn check(&self, present: &[String], report: &mut Report) {
        for (name, place) in &self.0 {
            if present.contains(name) {
                continue;
            }
            let message = format!("this machine has no interface `{name}`");
            report.warning(place, message, Some(help(name, present)));
        }
    }
}

/// What was probably meant, and what there is.
fn help(name: &str, present: &[String]) -> String {
    let near = nearest(name, present.iter().map(String::as_str));
    let meant = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    let shown = present.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match present.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{meant}there are: {shown}{more}")
}

/// The interfaces of this network namespace, in the order of their names. `None`: the kernel does
/// not say.
pub(in crate::config) fn present() -> Option<Vec<String>> {
    let listed = nix::net::if_::if_nameindex().ok()?;
    let mut names: Vec<_> =
        listed.iter().map(|each| each.name().to_string_lossy().into_owned()).collect();
    names.sort();
    Some(names)
}

/// How many interfaces a warning lists.
const SHOWN: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_what_was_meant_and_what_there_is() {
        let few = ["eth0", "eth1", "lo"].map(str::to_owned);
        assert_eq!(help("eth2", &few), "did you mean `eth0`? there are: eth0, eth1, lo");
        assert_eq!(help("enp3s0f1", &few), "there are: eth0, eth1, lo");
        let many: Vec<_> = (10..30).map(|n| format!("tap{n}")).collect();
        assert!(help("wan", &many).ends_with("tap20, tap21 and 8 more"), "{}", help("wan", &many));
    }

    #[test]
    fn loopback_is_always_present() {
        assert!(present().unwrap().contains(&"lo".to_owned()));
    }
}
