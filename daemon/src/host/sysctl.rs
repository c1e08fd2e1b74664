//! Kernel settings the router depends on: each is checked, named with its remedy, and set when
//! the configuration says so.

use std::fs;
use std::io;
use std::path::PathBuf;

/// A kernel setting and the value we need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// As `sysctl` spells it.
    pub name: String,
    /// Values that will do; the first is what we set.
    pub wanted: &'static [&'static str],
    /// What breaks otherwise.
    pub why: &'static str,
}

/// A setting that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is {found}: {} (fix: sysctl -w {}={})",
    setting.name, setting.why, setting.name, setting.wanted.first().copied().unwrap_or_default())]
pub(crate) struct Wrong {
    /// Which.
    pub setting: Setting,
    /// What it is.
    pub found: String,
}

impl Setting {
    fn path(&self) -> PathBuf {
        // A dot within an interface name is written as a slash.
        let parts = self.name.split('.').map(|part| part.replace('/', "."));
        PathBuf::from("/proc/sys").join(parts.collect::<Vec<_>>().join("/"))
    }

    /// `None` when it is fine, or does not exist on this kernel.
    pub(crate) fn check(&self) -> Option<Wrong> {
        let found = fs::read_to_string(self.path()).ok()?.trim().to_owned();
        (!self.wanted.contains(&found.as_str())).then(|| Wrong { setting: self.clone(), found })
    }

    /// Writes the wanted value.
    pub(crate) fn set(&self) -> io::Result<()> {
        fs::write(self.path(), self.wanted.first().copied().unwrap_or_default())
    }
}

/// What a tunnel router needs: forwarding, and no strict reverse-path filter on the interfaces
/// where overlay packets appear.
pub(crate) fn needed<'a>(devices: impl Iterator<Item = &'a str>) -> Vec<Setting> {
    let mut settings = vec![
        Setting {
            name: "net.ipv4.ip_forward".into(),
            wanted: &["1"],
            why: "IPv4 packets are not forwarded between hosts and the overlay",
        },
        Setting {
            name: "net.ipv6.conf.all.forwarding".into(),
            wanted: &["1"],
            why: "IPv6 packets are not forwarded between hosts and the overlay",
        },
        Setting {
            name: "net.ipv4.conf.all.rp_filter".into(),
            wanted: &["0", "2"],
            why: "packets that arrive on another path than answers would take are dropped",
        },
    ];
    for device in devices {
        settings.push(Setting {
            name: format!("net.ipv4.conf.{}.rp_filter", device.replace('.', "/")),
            wanted: &["0", "2"],
            why: "packets that arrive on another path than answers would take are dropped",
        });
    }
    settings
}

/// Settings of a device of ours: the kernel neither talks on it (no router solicitations, no
/// link-local address) nor drops what we deliver through it: ICMP errors come from an address of
/// this host, and answers need not take the same way.
pub(crate) fn prepare(device: &str) {
    let device = device.replace('.', "/");
    let settings = [
        ("ipv6", "addr_gen_mode", "1"),
        ("ipv6", "accept_ra", "0"),
        ("ipv6", "router_solicitations", "0"),
        ("ipv4", "accept_local", "1"),
        ("ipv4", "rp_filter", "0"),
    ];
    for (family, name, value) in settings {
        let path = format!("/proc/sys/net/{family}/conf/{device}/{name}");
        if let Err(error) = fs::write(&path, value) {
            tracing::debug!(path, %error, "kernel setting not changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_setting_says_what_breaks_and_how_to_fix_it() {
        let setting = needed(std::iter::empty()).remove(0);
        let wrong = Wrong { setting, found: "0".into() };
        assert_eq!(
            wrong.to_string(),
            "net.ipv4.ip_forward is 0: IPv4 packets are not forwarded between hosts and the \
             overlay (fix: sysctl -w net.ipv4.ip_forward=1)"
        );
    }

    #[test]
    fn vlan_interface_names_reach_their_file() {
        let setting = needed(["eth0.5"].into_iter()).pop().unwrap();
        assert_eq!(setting.path(), PathBuf::from("/proc/sys/net/ipv4/conf/eth0.5/rp_filter"));
    }
}
