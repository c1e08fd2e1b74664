//! What a new configuration changes, a line for each key, and whether it can change live.

use std::fmt;

use super::resolved::{Config, UplinkNames};
use super::show::{Line, lines};

/// One difference between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which key, as the manual names it.
    pub path: String,
    /// What it was; `None`: it is new.
    pub old: Option<String>,
    /// What it is to be; `None`: it goes.
    pub new: Option<String>,
    /// The router must be started again for it.
    pub needs_restart: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.needs_restart { "needs a restart" } else { "live" };
        match (&self.old, &self.new) {
            (None, Some(new)) => write!(f, "+ {} = {new}   {when}", self.path),
            (Some(old), None) => write!(f, "- {} = {old}   {when}", self.path),
            (Some(old), Some(new)) => write!(f, "~ {}   {old} \u{2192} {new}   {when}", self.path),
            (None, None) => Ok(()),
        }
    }
}

/// Keys whose change the running router cannot follow. Neither can it follow that of the
/// encapsulation to or from VXLAN, whose port is opened at the start.
const FIXED: [&str; 10] = [
    "management.socket",
    "management.state",
    "management.event-history",
    "dataplane.driver",
    "dataplane.device",
    "dataplane.queues",
    "dataplane.on-exit",
    "dataplane.pin-path",
    "map-server.listen",
    "node.xtr-id",
];

/// What `new` changes of `old`.
pub fn diff(old: &Config, new: &Config, names: &UplinkNames) -> Vec<Change> {
    let (old, new) = (lines(old, names), lines(new, names));
    let find = |lines: &[Line], path: &str| {
        lines.iter().find(|line| line.path == path).map(|line| line.value.clone())
    };
    let mut changes = Vec::new();
    for line in &old {
        let now = find(&new, &line.path);
        if now.as_ref() != Some(&line.value) {
            changes.push(change(&line.path, Some(line.value.clone()), now));
        }
    }
    for line in &new {
        if find(&old, &line.path).is_none() {
            changes.push(change(&line.path, None, Some(line.value.clone())));
        }
    }
    changes
}

fn change(path: &str, old: Option<String>, new: Option<String>) -> Change {
    let vxlan = |value: &Option<String>| value.as_deref() == Some("\"vxlan\"");
    let another_port = path == "dataplane.encapsulation" && (vxlan(&old) || vxlan(&new));
    let needs_restart = FIXED.contains(&path) || another_port;
    Change { path: path.to_owned(), old, new, needs_restart }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check_text;

    #[test]
    fn the_encapsulation_changes_live_but_for_that_with_a_port_to_open() {
        let changed = |old: &str, new: &str| {
            let mut names = UplinkNames::default();
            let mut config = |encapsulation: &str| {
                let text = format!("[dataplane]\nencapsulation = \"{encapsulation}\"\n");
                let (config, report) = check_text("weft.toml", &text, &mut names);
                config.unwrap_or_else(|| panic!("{}", report.render(false)))
            };
            let (old, new) = (config(old), config(new));
            diff(&old, &new, &names).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let expected = "~ dataplane.encapsulation   \"lisp\" \u{2192} \"vxlan-gpe\"   live";
        assert_eq!(changed("lisp", "vxlan-gpe"), [expected]);
        for (old, new) in [("lisp", "vxlan"), ("vxlan", "lisp-gpe")] {
            let [change] = &changed(old, new)[..] else { panic!("one change") };
            assert!(change.ends_with("needs a restart"), "{change}");
        }
    }
}
