//! Text that is not TOML, keys nobody knows, values of the wrong kind.

use insta::assert_snapshot;

use super::refused;

#[test]
fn every_line_that_is_not_toml_is_shown() {
    assert_snapshot!(refused(r#"
[node]
name = site1
site-id = 7

[itr
map-resolvers = ["198.51.100.2"]
"#), @r#"
error: not valid TOML: string values must be quoted, expected literal string
  ╭▸ weft.toml:3:8
  │
3 │ name = site1
  ╰╴       ━━━━━ here

error: not valid TOML: unclosed table, expected `]`
  ╭▸ weft.toml:6:5
  │
6 │ [itr
  ╰╴    ━ here
"#);
}

#[test]
fn key_written_twice() {
    assert_snapshot!(refused(r#"
[node]
name = "site1"
name = "site2"
"#), @r#"
error: not valid TOML: duplicate key
  ╭▸ weft.toml:4:1
  │
4 │ name = "site2"
  ╰╴━━━━ here
"#);
}

#[test]
fn unknown_table_that_was_mistyped() {
    assert_snapshot!(refused("[map-servers]\n"), @r#"
error: `map-servers` is not a key of `weft.toml`
  ╭▸ weft.toml:1:2
  │
1 │ [map-servers]
  │  ━━━━━━━━━━━
  ╰╴
help: did you mean `map-server`?
"#);
}

#[test]
fn unknown_key_that_was_mistyped() {
    assert_snapshot!(refused(r#"
[itr]
map-resolver = ["198.51.100.2"]
"#), @r#"
error: `map-resolver` is not a key of `itr`
  ╭▸ weft.toml:3:1
  │
3 │ map-resolver = ["198.51.100.2"]
  │ ━━━━━━━━━━━━
  ╰╴
help: did you mean `map-resolvers`?
"#);
}

#[test]
fn unknown_key_like_no_other_lists_what_there_is() {
    assert_snapshot!(refused(r"
[itr.rloc-probing]
echo-nonce = true
"), @r#"
error: `echo-nonce` is not a key of `itr.rloc-probing`
  ╭▸ weft.toml:3:1
  │
3 │ echo-nonce = true
  │ ━━━━━━━━━━
  ╰╴
help: known here: interval, retries, retry-interval
"#);
}

#[test]
fn values_of_the_wrong_kind() {
    assert_snapshot!(refused(r#"
itr = "yes"

[node]
name = 7
site-id = 1.5

[log]
level = ["info"]

[dataplane]
set-sysctls = "yes"
mtu = "big"

[etr]
proxy-itrs = 4
database-mapping = { eid-prefix = "192.168.1.0/24" }
"#), @r#"
error: `itr` must be a table, not text
  ╭▸ weft.toml:2:7
  │
2 │ itr = "yes"
  ╰╴      ━━━━━ here

error: `node.name` must be text, not a number
  ╭▸ weft.toml:5:8
  │
5 │ name = 7
  ╰╴       ━ here

error: `node.site-id` must be a whole number, not a fraction
  ╭▸ weft.toml:6:11
  │
6 │ site-id = 1.5
  ╰╴          ━━━ here

error: `log.level` must be text, not a list
  ╭▸ weft.toml:9:9
  │
9 │ level = ["info"]
  ╰╴        ━━━━━━━━ here

error: `dataplane.set-sysctls` must be true or false, not text
   ╭▸ weft.toml:12:15
   │
12 │ set-sysctls = "yes"
   ╰╴              ━━━━━ here

error: `dataplane.mtu` must be a number or "auto"
   ╭▸ weft.toml:13:7
   │
13 │ mtu = "big"
   ╰╴      ━━━━━ here

error: `etr.proxy-itrs` must be a list, not a number
   ╭▸ weft.toml:16:14
   │
16 │ proxy-itrs = 4
   ╰╴             ━ here

error: `etr.database-mapping` must be a list, not a table
   ╭▸ weft.toml:17:20
   │
17 │ database-mapping = { eid-prefix = "192.168.1.0/24" }
   ╰╴                   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ here
"#);
}

#[test]
fn table_of_the_wrong_kind_is_told_once() {
    assert_snapshot!(refused("node = \"site1\"\n"), @r#"
error: `node` must be a table, not text
  ╭▸ weft.toml:1:8
  │
1 │ node = "site1"
  ╰╴       ━━━━━━━ here
"#);
}

#[test]
fn everything_wrong_is_told_at_once_in_the_order_of_lines() {
    assert_snapshot!(refused(r#"
[locator-set.wan]
rlocs = [{ interface = "eth0", wieght = 75 }]

[itr]
map-resolvers = ["198.51.100.300"]

[etr]
locator-set = "wann"

[[etr.map-server]]
address = "198.51.100.2"

[[etr.database-mapping]]
eid-prefix = "192.168.1.7/24"
"#), @r#"
error: `wieght` is not a key of `rlocs`
  ╭▸ weft.toml:3:32
  │
3 │ rlocs = [{ interface = "eth0", wieght = 75 }]
  │                                ━━━━━━
  ╰╴
help: did you mean `weight`?

error: `198.51.100.300` is not an IPv4 or IPv6 address
  ╭▸ weft.toml:6:18
  │
6 │ map-resolvers = ["198.51.100.300"]
  ╰╴                 ━━━━━━━━━━━━━━━━ here

error: no locator-set is called `wann`
  ╭▸ weft.toml:9:15
  │
9 │ locator-set = "wann"
  │               ━━━━━━ referenced here
  ╰╴
help: did you mean `wan`?

error: `etr.map-server` needs `key`
   ╭▸ weft.toml:11:1
   │
11 │ [[etr.map-server]]
   │ ━━━━━━━━━━━━━━━━━━ in this table
   ╰╴
help: add: key = { file = "ms.key" }

error: host bits set in `192.168.1.7/24`; did you mean "192.168.1.0/24"?
   ╭▸ weft.toml:15:14
   │
15 │ eid-prefix = "192.168.1.7/24"
   ╰╴             ━━━━━━━━━━━━━━━━ here
"#);
}
