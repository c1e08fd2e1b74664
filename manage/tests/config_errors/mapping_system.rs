//! Map-Server and Map-Resolver.

use insta::assert_snapshot;

use super::{accepted, refused};

#[test]
fn site_needs_name_prefixes_and_key() {
    assert_snapshot!(refused("[[map-server.site]]\n"), @r#"
error: `map-server.site` needs `name`
  ╭▸ weft.toml:1:1
  │
1 │ [[map-server.site]]
  │ ━━━━━━━━━━━━━━━━━━━ in this table
  ╰╴
help: add: name = "site1"

error: `map-server.site` needs `eid-prefixes`
  ╭▸ weft.toml:1:1
  │
1 │ [[map-server.site]]
  │ ━━━━━━━━━━━━━━━━━━━ in this table
  ╰╴
help: add: eid-prefixes = ["192.168.1.0/24"]

error: `map-server.site` needs `key`
  ╭▸ weft.toml:1:1
  │
1 │ [[map-server.site]]
  │ ━━━━━━━━━━━━━━━━━━━ in this table
  ╰╴
help: add: key = { file = "site1.key" }
"#);
}

#[test]
fn two_sites_of_one_name() {
    assert_snapshot!(refused(r#"
[[map-server.site]]
name = "paris"
eid-prefixes = ["10.1.0.0/16"]
key = "secret"

[[map-server.site]]
name = "paris"
eid-prefixes = ["10.2.0.0/16"]
key = "secret"
"#), @r#"
error: two sites are called `paris`
  ╭▸ weft.toml:7:1
  │
7 │ [[map-server.site]]
  │ ━━━━━━━━━━━━━━━━━━━ this one
  │
  ⸬  weft.toml:2:1
  │
2 │ [[map-server.site]]
  ╰╴─────────────────── and this
"#);
}

#[test]
fn prefix_of_two_sites() {
    assert_snapshot!(refused(r#"
[[map-server.site]]
name = "paris"
eid-prefixes = ["10.1.0.0/16"]
key = { file = "/etc/hostname" }

[[map-server.site]]
name = "osaka"
eid-prefixes = ["10.2.0.0/16", "10.1.0.0/16"]
key = { file = "/etc/hostname" }
"#), @r#"
error: 10.1.0.0/16 is given to both `paris` and `osaka`
  ╭▸ weft.toml:9:32
  │
9 │ eid-prefixes = ["10.2.0.0/16", "10.1.0.0/16"]
  │                                ━━━━━━━━━━━━━ this one
  │
  ⸬  weft.toml:4:17
  │
4 │ eid-prefixes = ["10.1.0.0/16"]
  ╰╴                ───────────── and this
"#);
}

#[test]
fn prefixes_that_overlap_are_refused_where_both_sites_could_register_the_same() {
    assert_snapshot!(refused(r#"
[[map-server.site]]
name = "paris"
eid-prefixes = ["10.0.0.0/8"]
accept-more-specifics = true
key = { file = "/etc/hostname" }

[[map-server.site]]
name = "osaka"
eid-prefixes = ["10.2.0.0/16"]
key = { file = "/etc/hostname" }
"#), @r#"
error: 10.2.0.0/16 of `osaka` lies within 10.0.0.0/8 of `paris`
   ╭▸ weft.toml:10:17
   │
10 │ eid-prefixes = ["10.2.0.0/16"]
   │                 ━━━━━━━━━━━━━ this one
   │
   ⸬  weft.toml:4:17
   │
 4 │ eid-prefixes = ["10.0.0.0/8"]
   ╰╴                ──────────── and this
"#);
}

#[test]
fn prefixes_that_overlap_otherwise_are_warned_of() {
    assert_snapshot!(accepted(r#"
[[map-server.site]]
name = "paris"
eid-prefixes = ["10.0.0.0/8"]
key = { file = "/etc/hostname" }

[[map-server.site]]
name = "osaka"
eid-prefixes = ["10.2.0.0/16"]
key = { file = "/etc/hostname" }
"#), @r#"
warning: 10.2.0.0/16 of `osaka` lies within 10.0.0.0/8 of `paris`
  ╭▸ weft.toml:9:17
  │
9 │ eid-prefixes = ["10.2.0.0/16"]
  │                 ━━━━━━━━━━━━━ this one
  │
  ⸬  weft.toml:4:17
  │
4 │ eid-prefixes = ["10.0.0.0/8"]
  ╰╴                ──────────── and this
"#);
}

#[test]
fn same_prefix_in_two_instances_is_no_overlap() {
    assert_snapshot!(accepted(r#"
[[map-server.site]]
name = "paris"
instance-id = 7
eid-prefixes = ["10.0.0.0/8"]
key = { file = "/etc/hostname" }

[[map-server.site]]
name = "osaka"
instance-id = 8
eid-prefixes = ["10.0.0.0/8"]
key = { file = "/etc/hostname" }
"#), @"");
}

#[test]
fn resolver_with_nothing_to_take_answers_from() {
    assert_snapshot!(refused("[map-resolver]\n"), @r#"
error: [map-resolver] has nothing to take answers from
  ╭▸ weft.toml:1:1
  │
1 │ [map-resolver]
  │ ━━━━━━━━━━━━━━
  ╰╴
help: add a [map-server], or map-resolver.map-servers = ["ADDRESS"]
"#);
    assert_snapshot!(refused("[map-resolver]\nresolve = \"map-servers\"\n"), @r#"
error: `map-resolver` needs `map-servers`
  ╭▸ weft.toml:1:1
  │
1 │ [map-resolver]
  │ ━━━━━━━━━━━━━━ in this table
  ╰╴
help: add: map-servers = ["198.51.100.2"]
"#);
}

#[test]
fn unknown_algorithms_and_key_ids() {
    assert_snapshot!(refused(r#"
[[map-server.site]]
name = "paris"
eid-prefixes = ["10.1.0.0/16"]
keys = { 1 = "old", 256 = "new" }
algorithms = ["hmac-md5"]
registration-timeout = "3m"
"#), @r#"
error: `256` is not a key-id (0 to 255)
  ╭▸ weft.toml:5:21
  │
5 │ keys = { 1 = *****, 256 = ***** }
  ╰╴                    ━━━ here

error: `hmac-md5` is not an algorithm; known: hmac-sha-256-128, hmac-sha-1-96, hmac-sha-256-128-hkdf
  ╭▸ weft.toml:6:15
  │
6 │ algorithms = ["hmac-md5"]
  ╰╴              ━━━━━━━━━━ here

error: `registration-timeout` is not a key of `map-server.site`
  ╭▸ weft.toml:7:1
  │
7 │ registration-timeout = "3m"
  │ ━━━━━━━━━━━━━━━━━━━━
  ╰╴
help: known here: accept-more-specifics, algorithms, allowed-itrs, allowed-rlocs, eid-prefixes, instance-id, key, key-id, keys, max-mappings, merge, name, proxy-reply, replay, vpn
"#);
}
