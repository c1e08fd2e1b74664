//! What a new configuration changes, as `weft config diff` tells it.

use insta::assert_snapshot;
use weft_manage::config::{UplinkNames, diff};

use super::sound;

const SITE: &str = r#"
[locator-set.wan]
rlocs = [{ interface = "eth0", weight = 75 }, { interface = "eth1", weight = 25 }]

[itr]
map-resolvers = ["198.51.100.2"]

[etr]
locator-set = "wan"

[[etr.map-server]]
address = "198.51.100.2"
key = "old secret"

[[etr.database-mapping]]
eid-prefix = "192.168.1.0/24"
"#;

fn changes(old: &str, new: &str) -> String {
    let mut names = UplinkNames::default();
    let (old, new) = (sound(old, &mut names), sound(new, &mut names));
    let lines: Vec<_> = diff(&old, &new, &names).iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn nothing_changed() {
    assert_eq!(changes(SITE, SITE), "");
    assert_eq!(changes(SITE, &format!("# a remark\n{SITE}")), "");
}

#[test]
fn values_change_come_and_go() {
    let new = SITE
        .replace("weight = 75", "weight = 50")
        .replace("192.168.1.0/24", "192.168.2.0/24")
        .replace("[etr]", "idle-timeout = \"10m\"\n\n[etr]");
    assert_snapshot!(changes(SITE, &new), @r#"
~ itr.idle-timeout   "5m" → "10m"   live
- etr.database-mapping.192.168.1.0/24.rlocs = [eth0 1/75, eth1 1/25]   live
- etr.database-mapping.192.168.1.0/24.record-ttl = "24h"   live
+ etr.database-mapping.192.168.2.0/24.rlocs = [eth0 1/50, eth1 1/25]   live
+ etr.database-mapping.192.168.2.0/24.record-ttl = "24h"   live
"#);
}

#[test]
fn what_cannot_change_while_running_says_so() {
    let new =
        format!("{SITE}\n[dataplane]\ndevice = \"overlay0\"\nttl = 64\non-exit = \"clean\"\n");
    assert_snapshot!(changes(SITE, &new), @r#"
~ dataplane.device   "lispTun0" → "overlay0"   needs a restart
~ dataplane.ttl   "copy" → 64   live
~ dataplane.on-exit   "keep" → "clean"   needs a restart
"#);
}

#[test]
fn changed_secret_is_a_change_that_shows_nothing() {
    let shown = changes(SITE, &SITE.replace("old secret", "new secret"));
    assert_eq!(shown.lines().count(), 1, "{shown}");
    assert!(shown.starts_with("~ etr.map-server.198.51.100.2.key   \u{2026} (set "), "{shown}");
    assert!(shown.ends_with("live"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}
