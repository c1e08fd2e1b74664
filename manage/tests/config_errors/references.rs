//! Names that refer to nothing, or are given twice.

use insta::assert_snapshot;

use super::refused;

#[test]
fn unknown_locator_sets() {
    assert_snapshot!(refused(r#"
[locator-set.wan]
rlocs = [{ interface = "eth0" }]

[itr]
map-resolvers = ["198.51.100.2"]
itr-rlocs = "edge"

[etr]
locator-set = "wam"
"#), @r#"
error: no locator-set is called `edge`
  ╭▸ weft.toml:7:13
  │
7 │ itr-rlocs = "edge"
  │             ━━━━━━ referenced here
  ╰╴
help: add [locator-set.edge]

error: no locator-set is called `wam`
   ╭▸ weft.toml:10:15
   │
10 │ locator-set = "wam"
   │               ━━━━━ referenced here
   ╰╴
help: did you mean `wan`?
"#);
}

#[test]
fn unknown_vpns() {
    assert_snapshot!(refused(r#"
[vpn.red]
instance-id = 7

[locator-set.wan]
rlocs = [{ interface = "eth0" }]

[etr]
locator-set = "wan"

[[etr.database-mapping]]
vpn = "rad"
eid-prefix = "10.0.1.0/24"

[[etr.database-mapping]]
vpn = "blue"
eid-prefix = "10.0.2.0/24"
"#), @r#"
error: no vpn is called `rad`
   ╭▸ weft.toml:12:7
   │
12 │ vpn = "rad"
   │       ━━━━━
   ╰╴
help: did you mean `red`?

error: no vpn is called `blue`
   ╭▸ weft.toml:16:7
   │
16 │ vpn = "blue"
   │       ━━━━━━
   ╰╴
help: add [vpn.blue]
"#);
}

#[test]
fn vpn_and_number_of_an_instance() {
    assert_snapshot!(refused(r#"
[vpn.red]
instance-id = 7

[locator-set.wan]
rlocs = [{ interface = "eth0" }]

[[etr.database-mapping]]
vpn = "red"
instance-id = 7
eid-prefix = "10.0.1.0/24"
locator-set = "wan"
"#), @r#"
error: `vpn` and `instance-id` are both given
  ╭▸ weft.toml:9:7
  │
9 │ vpn = "red"
  │       ━━━━━
  ╰╴
help: `vpn` is the name of an instance; leave one of them out
"#);
}

#[test]
fn vpns_that_share_a_number_or_an_interface() {
    assert_snapshot!(refused(r#"
[vpn.blue]
instance-id = 7
interfaces = ["eth1"]

[vpn.green]
instance-id = 8
interfaces = ["eth1"]

[vpn.red]
instance-id = 7
"#), @r#"
error: interface `eth1` is in two VPNs
  ╭▸ weft.toml:8:15
  │
8 │ interfaces = ["eth1"]
  │               ━━━━━━ again here
  │
  ⸬  weft.toml:4:15
  │
4 │ interfaces = ["eth1"]
  ╰╴              ────── first here

error: `red` and `blue` are both instance 7
   ╭▸ weft.toml:10:1
   │
10 │ [vpn.red]
   │ ━━━━━━━━━ this one
   │
   ⸬  weft.toml:2:1
   │
 2 │ [vpn.blue]
   ╰╴────────── and this
"#);
}

#[test]
fn mapping_without_locators() {
    assert_snapshot!(refused(r#"
[[etr.database-mapping]]
eid-prefix = "10.0.1.0/24"
"#), @r#"
error: this mapping has no locators
  ╭▸ weft.toml:2:1
  │
2 │ [[etr.database-mapping]]
  │ ━━━━━━━━━━━━━━━━━━━━━━━━
  ╰╴
help: add locator-set = "NAME" here or in [etr]
"#);
}

#[test]
fn eid_prefix_given_twice() {
    assert_snapshot!(refused(r#"
[locator-set.wan]
rlocs = [{ interface = "eth0" }]

[etr]
locator-set = "wan"

[[etr.database-mapping]]
eid-prefix = "2001:db8:a::/48"

[[etr.database-mapping]]
eid-prefix = "10.0.1.0/24"

[[etr.database-mapping]]
eid-prefix = "2001:db8:a::/48"
"#), @r#"
error: 2001:db8:a::/48 is given twice
   ╭▸ weft.toml:14:1
   │
14 │ [[etr.database-mapping]]
   │ ━━━━━━━━━━━━━━━━━━━━━━━━ this one
   │
   ⸬  weft.toml:8:1
   │
 8 │ [[etr.database-mapping]]
   ╰╴──────────────────────── and this
"#);
}

#[test]
fn static_mapping_given_twice() {
    assert_snapshot!(refused(r#"
[[itr.static-map-cache]]
eid-prefix = "10.99.0.0/16"
action = "drop"

[[itr.static-map-cache]]
eid-prefix = "10.99.0.0/16"
action = "native"
"#), @r#"
error: 10.99.0.0/16 is given twice
  ╭▸ weft.toml:6:1
  │
6 │ [[itr.static-map-cache]]
  │ ━━━━━━━━━━━━━━━━━━━━━━━━ this one
  │
  ⸬  weft.toml:2:1
  │
2 │ [[itr.static-map-cache]]
  ╰╴──────────────────────── and this
"#);
}

#[test]
fn mappings_for_a_source() {
    assert_snapshot!(refused(r#"
[[itr.static-map-cache]]
eid-prefix = "10.99.0.0/16"
source-prefix = "2001:db8::/32"
action = "drop"
"#), @r#"
error: no packet comes from 2001:db8::/32 and goes to 10.99.0.0/16
  ╭▸ weft.toml:2:1
  │
2 │ [[itr.static-map-cache]]
  │ ━━━━━━━━━━━━━━━━━━━━━━━━ `source-prefix` and `eid-prefix` are of different families
  ╰╴
help: give both as IPv4, or both as IPv6
"#);
    assert_snapshot!(refused(r#"
[[itr.static-map-cache]]
eid-prefix = "10.99.0.0/16"
source-prefix = "10.1.0.0/16"
action = "send-map-request"
"#), @r#"
error: the mapping system is asked for a destination, whoever sends there
  ╭▸ weft.toml:2:1
  │
2 │ [[itr.static-map-cache]]
  │ ━━━━━━━━━━━━━━━━━━━━━━━━ `send-map-request` for a source-prefix
  ╰╴
help: take `source-prefix` away, or say where these packets go: rlocs = [ … ]
"#);
    assert_snapshot!(refused(r#"
[[itr.static-map-cache]]
eid-prefix = "10.99.0.0/16"
source-prefix = "10.1.0.0/16"
action = "drop"

[[itr.static-map-cache]]
eid-prefix = "10.99.0.0/16"
action = "drop"

[[itr.static-map-cache]]
eid-prefix = "10.99.0.0/16"
source-prefix = "10.1.0.0/16"
action = "native"
"#), @r#"
error: 10.99.0.0/16 is given twice
   ╭▸ weft.toml:11:1
   │
11 │ [[itr.static-map-cache]]
   │ ━━━━━━━━━━━━━━━━━━━━━━━━ this one
   │
   ⸬  weft.toml:2:1
   │
 2 │ [[itr.static-map-cache]]
   ╰╴──────────────────────── and this
"#);
}
