//! Values that cannot be: prefixes, addresses, durations, rates, numbers and words.

use insta::assert_snapshot;

use super::{accepted, refused};

#[test]
fn prefixes_with_host_bits() {
    assert_snapshot!(refused(r#"
[itr]
map-resolvers = ["198.51.100.2"]
allowed-eids = ["10.0.0.0/8", "192.168.1.7/24", "2001:db8::1/32"]
"#), @r#"
error: host bits set in `192.168.1.7/24`; did you mean "192.168.1.0/24"?
  ╭▸ weft.toml:4:31
  │
4 │ allowed-eids = ["10.0.0.0/8", "192.168.1.7/24", "2001:db8::1/32"]
  ╰╴                              ━━━━━━━━━━━━━━━━ here

error: host bits set in `2001:db8::1/32`; did you mean "2001:db8::/32"?
  ╭▸ weft.toml:4:49
  │
4 │ allowed-eids = ["10.0.0.0/8", "192.168.1.7/24", "2001:db8::1/32"]
  ╰╴                                                ━━━━━━━━━━━━━━━━ here
"#);
}

#[test]
fn prefixes_that_are_none() {
    assert_snapshot!(refused(r#"
[itr]
map-resolvers = ["198.51.100.2"]
allowed-eids = ["10.0.0.0/33", "10.0.0/8", "everything"]
"#), @r#"
error: `33` is not a prefix length
  ╭▸ weft.toml:4:17
  │
4 │ allowed-eids = ["10.0.0.0/33", "10.0.0/8", "everything"]
  ╰╴                ━━━━━━━━━━━━━ here

error: `10.0.0` is not an IPv4 or IPv6 address
  ╭▸ weft.toml:4:32
  │
4 │ allowed-eids = ["10.0.0.0/33", "10.0.0/8", "everything"]
  ╰╴                               ━━━━━━━━━━ here

error: `everything` is not an IPv4 or IPv6 address
  ╭▸ weft.toml:4:44
  │
4 │ allowed-eids = ["10.0.0.0/33", "10.0.0/8", "everything"]
  ╰╴                                           ━━━━━━━━━━━━ here
"#);
}

#[test]
fn addresses_that_cannot_be_rlocs() {
    assert_snapshot!(refused(r#"
[itr]
map-resolvers = ["224.0.0.1", "fe80::1", "0.0.0.0", "255.255.255.255"]
"#), @r#"
error: 224.0.0.1 is a multicast address; it cannot be an RLOC
  ╭▸ weft.toml:3:18
  │
3 │ map-resolvers = ["224.0.0.1", "fe80::1", "0.0.0.0", "255.255.255.255"]
  ╰╴                 ━━━━━━━━━━━ here

error: fe80::1 is a link-local address; it cannot be an RLOC
  ╭▸ weft.toml:3:31
  │
3 │ map-resolvers = ["224.0.0.1", "fe80::1", "0.0.0.0", "255.255.255.255"]
  ╰╴                              ━━━━━━━━━ here

error: 0.0.0.0 is the unspecified address; it cannot be an RLOC
  ╭▸ weft.toml:3:42
  │
3 │ map-resolvers = ["224.0.0.1", "fe80::1", "0.0.0.0", "255.255.255.255"]
  ╰╴                                         ━━━━━━━━━ here

error: 255.255.255.255 is the broadcast address; it cannot be an RLOC
  ╭▸ weft.toml:3:53
  │
3 │ map-resolvers = ["224.0.0.1", "fe80::1", "0.0.0.0", "255.255.255.255"]
  ╰╴                                                    ━━━━━━━━━━━━━━━━━ here
"#);
}

#[test]
fn durations_need_a_unit_and_sense() {
    assert_snapshot!(refused(r#"
[itr]
map-resolvers = ["198.51.100.2"]
idle-timeout = 300
max-ttl = "30s"

[itr.rloc-probing]
interval = "10"
retry-interval = "1ms"
"#), @r#"
error: `itr.idle-timeout` must be a duration such as "30s", not a number
  ╭▸ weft.toml:4:16
  │
4 │ idle-timeout = 300
  ╰╴               ━━━ here

error: `itr.max-ttl` must be 1m to 365d
  ╭▸ weft.toml:5:11
  │
5 │ max-ttl = "30s"
  ╰╴          ━━━━━ out of range

error: `10` is not a duration; write for example "500ms", "30s" or "24h"
  ╭▸ weft.toml:8:12
  │
8 │ interval = "10"
  ╰╴           ━━━━ here

error: `itr.rloc-probing.retry-interval` must be 100ms to 24h
  ╭▸ weft.toml:9:18
  │
9 │ retry-interval = "1ms"
  ╰╴                 ━━━━━ out of range
"#);
}

#[test]
fn numbers_out_of_range() {
    assert_snapshot!(refused(r#"
[dataplane]
mtu = 900
ttl = 0
dscp = 64
queues = 65
mss-clamp = 100
punt-rate = "2000/min"

[vpn.red]
instance-id = 16777216

[locator-set.wan]
rlocs = [{ interface = "eth0", priority = 256, weight = -1 }]
"#), @r#"
error: `dataplane.mtu` must be 1280 to 65535
  ╭▸ weft.toml:3:7
  │
3 │ mtu = 900
  ╰╴      ━━━ out of range

error: `dataplane.ttl` must be 1 to 255
  ╭▸ weft.toml:4:7
  │
4 │ ttl = 0
  ╰╴      ━ out of range

error: `dataplane.dscp` must be 0 to 63
  ╭▸ weft.toml:5:8
  │
5 │ dscp = 64
  ╰╴       ━━ out of range

error: `dataplane.queues` must be 1 to 64
  ╭▸ weft.toml:6:10
  │
6 │ queues = 65
  ╰╴         ━━ out of range

error: `dataplane.mss-clamp` must be "off", "auto" or 536 to 65495
  ╭▸ weft.toml:7:13
  │
7 │ mss-clamp = 100
  ╰╴            ━━━ here

error: `2000/min` is not a rate; write for example "200/s"
  ╭▸ weft.toml:8:13
  │
8 │ punt-rate = "2000/min"
  ╰╴            ━━━━━━━━━━ here

error: `vpn.red.instance-id` must be 0 to 16777214
   ╭▸ weft.toml:11:15
   │
11 │ instance-id = 16777216
   ╰╴              ━━━━━━━━ out of range

error: `rlocs.priority` must be 0 to 255
   ╭▸ weft.toml:14:43
   │
14 │ rlocs = [{ interface = "eth0", priority = 256, weight = -1 }]
   ╰╴                                          ━━━ out of range

error: `rlocs.weight` must be 0 to 255
   ╭▸ weft.toml:14:57
   │
14 │ rlocs = [{ interface = "eth0", priority = 256, weight = -1 }]
   ╰╴                                                        ━━ out of range
"#);
}

#[test]
fn words_that_are_none_of_the_known() {
    assert_snapshot!(refused(r#"
[dataplane]
driver = "dpdk"
encapsulation = "vxlan-gep"
source-check = "hard"

[node]
xtr-id = "0123"
"#), @r#"
error: `dpdk` is not a value of `dataplane.driver`
  ╭▸ weft.toml:3:10
  │
3 │ driver = "dpdk"
  │          ━━━━━━
  ╰╴
help: one of: auto, ebpf, tun, none

error: `vxlan-gep` is not a value of `dataplane.encapsulation`
  ╭▸ weft.toml:4:17
  │
4 │ encapsulation = "vxlan-gep"
  │                 ━━━━━━━━━━━
  ╰╴
help: did you mean `vxlan-gpe`?

error: `hard` is not a value of `dataplane.source-check`
  ╭▸ weft.toml:5:16
  │
5 │ source-check = "hard"
  │                ━━━━━━
  ╰╴
help: one of: off, loose, strict

error: `0123` is not "auto" or 32 hexadecimal digits
  ╭▸ weft.toml:8:10
  │
8 │ xtr-id = "0123"
  ╰╴         ━━━━━━ here
"#);
}

#[test]
fn locator_that_is_both_interface_and_address() {
    assert_snapshot!(refused(r#"
[locator-set.wan]
rlocs = [{ interface = "eth0", address = "192.0.2.1" }, { priority = 2 }]

[locator-set.empty]
rlocs = []
"#), @r#"
error: a locator is either an interface or an address
  ╭▸ weft.toml:3:10
  │
3 │ rlocs = [{ interface = "eth0", address = "192.0.2.1" }, { priority = 2 }]
  │          ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
  ╰╴
help: write { interface = "eth0" } or { address = "192.0.2.1" }

error: a locator is either an interface or an address
  ╭▸ weft.toml:3:57
  │
3 │ rlocs = [{ interface = "eth0", address = "192.0.2.1" }, { priority = 2 }]
  │                                                         ━━━━━━━━━━━━━━━━
  ╰╴
help: write { interface = "eth0" } or { address = "192.0.2.1" }

error: a locator-set needs at least one locator
  ╭▸ weft.toml:6:9
  │
6 │ rlocs = []
  ╰╴        ━━ this is empty
"#);
}

#[test]
fn roles_that_lack_something_are_warned_of() {
    assert_snapshot!(accepted("[itr]\n\n[etr]\n"), @r#"
warning: this ITR has nobody to ask: only statically configured EIDs will be reached
  ╭▸ weft.toml:1:1
  │
1 │ [itr]
  │ ━━━━━
  ╰╴
help: add: map-resolvers = ["ADDRESS"]

warning: this ETR has no EID-prefixes: nobody will reach hosts behind it
  ╭▸ weft.toml:3:1
  │
3 │ [etr]
  │ ━━━━━
  ╰╴
help: add: [[etr.database-mapping]] with eid-prefix = "192.168.1.0/24"
"#);
    assert_snapshot!(accepted(""), @r#"
warning: this router has no role
  ╭▸ weft.toml:1:1
  │
1 │
  │ ━
  ╰╴
help: add [itr] and [etr] for a site, or [map-server] and [map-resolver]
"#);
}

#[test]
fn proxy_itr_must_know_which_destinations_are_sites() {
    assert_snapshot!(refused(r#"
[itr]
proxy = true
map-resolvers = ["198.51.100.2"]
"#), @r#"
error: a proxy ITR must be told which destinations are LISP sites
  ╭▸ weft.toml:2:1
  │
2 │ [itr]
  │ ━━━━━ proxy = true, but no allowed-eids
  ╰╴
help: add: allowed-eids = ["192.168.0.0/16"]
"#);
}

#[test]
fn what_takes_the_kernel_is_refused_without() {
    assert_snapshot!(refused(r#"
[dataplane]
driver = "tun"
join-plain-lisp = ["eth0"]
"#), @r#"
error: `dataplane.join-plain-lisp` needs `driver = "ebpf"` or "auto"
  ╭▸ weft.toml:4:20
  │
4 │ join-plain-lisp = ["eth0"]
  ╰╴                   ━━━━━━ here
"#);
}
