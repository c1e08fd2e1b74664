//! How fast a Map-Server works, and what a registration costs it: whole messages through the whole
//! engine, on one core.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use weft_control::engine::{Actions, Datagram, Instant, Random};
use weft_control::lisp::config::{Config, MapResolver, MapServer, Replay, Resolve, Secret, Site};
use weft_control::lisp::{Lisp, Stored};
use weft_packet::addr::{EidPrefix, InstanceId, Nonce, Prefix, SiteId, XtrId};
use weft_packet::lisp::auth::{self, Purpose};
use weft_packet::lisp::{
    Action, Address, Algorithm, Authentication, Locator, MapRegister, MapRequest, MappingRecord,
    Message, RequestedEid, Ttl,
};
use weft_packet::wire::Wire;

const KEY: &[u8] = b"a shared secret of ordinary length";
/// Distinct EIDs of the rate rows.
const EIDS: u32 = 100_000;
/// Registrations of the memory row.
const MANY: u32 = 1_000_000;
/// EIDs behind one xTR.
const PER_XTR: u32 = 100;

/// Map-Registers (SHA-256, one record, acknowledged) handled in a second of one core: first ones
/// and renewals apart.
pub(crate) fn register() -> Value {
    let mut server = server();
    let first = handle(&mut server, &registers(EIDS, 1));
    let renewed = handle(&mut server, &registers(EIDS, 2));
    json!({ "per_s": renewed, "first_per_s": first })
}

/// Map-Requests answered by proxy in a second of one core.
pub(crate) fn request() -> Value {
    let mut server = server();
    handle(&mut server, &registers(EIDS, 1));
    let requests: Vec<_> = (0..EIDS).map(|n| map_request(n, u64::from(n) + 1)).collect();
    json!({ "per_s": handle(&mut server, &requests) })
}

/// Resident octets a registration costs, at a million of them.
pub(crate) fn memory() -> Value {
    let mut server = server();
    let mut actions = Actions::default();
    let before = resident();
    for n in 0..MANY {
        let bytes = map_register(n, 1 + u64::from(n));
        feed(&mut server, &bytes, xtr_address(n), &mut actions);
    }
    let octets = resident().saturating_sub(before);
    json!({ "bytes_per_registration": octets as f64 / f64::from(MANY), "registrations": MANY })
}

fn server() -> Lisp {
    let whole = EidPrefix::new(
        InstanceId::DEFAULT,
        Prefix::new(Ipv4Addr::new(10, 0, 0, 0).into(), 8).expect("8 fits IPv4"),
    );
    let site = Site {
        name: "all".into(),
        eid_prefixes: vec![whole],
        accept_more_specifics: true,
        keys: vec![(0, Secret::new(KEY))],
        algorithms: vec![Algorithm::HmacSha256],
        proxy_reply: true,
        merge: false,
        replay: Replay::Auto,
        allowed_rlocs: Vec::new(),
        allowed_itrs: Vec::new(),
        max_mappings: usize::MAX,
    };
    let config = Config {
        map_server: Some(MapServer { sites: vec![site], ..MapServer::default() }),
        map_resolver: Some(MapResolver {
            resolve: Resolve::Local,
            negative_ttl: Duration::from_secs(900),
        }),
        ..Config::default()
    };
    let mut actions = Actions::default();
    let random = Random::new([7; 32]);
    Lisp::new(Instant::START, config, Vec::new(), random, &Stored::default(), &mut actions)
}

fn eid(n: u32) -> EidPrefix {
    let address = Ipv4Addr::from_bits(0x0a00_0000 | n);
    EidPrefix::new(InstanceId::DEFAULT, Prefix::host(address.into()))
}

fn xtr_address(n: u32) -> SocketAddr {
    let address = Ipv4Addr::from_bits(0xc633_0000 | (n / PER_XTR & 0xffff));
    SocketAddr::new(address.into(), 4342)
}

fn map_register(n: u32, nonce: u64) -> Vec<u8> {
    let locator = Locator {
        address: Address::Ip(xtr_address(n).ip()),
        priority: 1,
        weight: 100,
        multicast_priority: 255,
        multicast_weight: 0,
        local: true,
        probed: false,
        reachable: true,
    };
    let record = MappingRecord {
        eid: eid(n).into(),
        ttl: Ttl(1440),
        action: Action::NoAction,
        authoritative: true,
        version: 0,
        locators: vec![locator],
    };
    let mut xtr = [0; 16];
    xtr[..4].copy_from_slice(&(n / PER_XTR).to_be_bytes());
    let register = MapRegister {
        want_notify: true,
        nonce: Nonce(nonce),
        authentication: Authentication {
            key_id: 0,
            algorithm: Algorithm::HmacSha256,
            data: vec![0; Algorithm::HmacSha256.mac_len(true)],
        },
        records: vec![record],
        xtr: Some((XtrId(xtr), SiteId(0))),
        ..MapRegister::default()
    };
    let mut bytes = Message::MapRegister(register).to_bytes();
    auth::sign(&mut bytes, Purpose::MapRegister, Algorithm::HmacSha256, KEY, true);
    bytes
}

fn registers(count: u32, round: u64) -> Vec<Vec<u8>> {
    (0..count).map(|n| map_register(n, round << 32 | u64::from(n))).collect()
}

fn map_request(n: u32, nonce: u64) -> Vec<u8> {
    let request = MapRequest {
        nonce: Nonce(nonce),
        source_eid: Address::Ip(Ipv4Addr::new(10, 255, 0, 1).into()),
        itr_rlocs: vec![Address::Ip(xtr_address(n).ip())],
        eids: vec![RequestedEid { subscribe: false, eid: eid(n).into() }],
        ..MapRequest::default()
    };
    Message::MapRequest(request).to_bytes()
}

fn feed(server: &mut Lisp, bytes: &[u8], from: SocketAddr, actions: &mut Actions) {
    let to = Ipv4Addr::new(192, 0, 2, 1).into();
    server.packet(Instant::START, Datagram { from, to, bytes }, actions);
    actions.0.clear();
}

/// Messages handled in a second of CPU time.
fn handle(server: &mut Lisp, messages: &[Vec<u8>]) -> f64 {
    let mut actions = Actions::default();
    let start = cpu_seconds();
    for (n, bytes) in (0..).zip(messages) {
        feed(server, bytes, xtr_address(n), &mut actions);
    }
    messages.len() as f64 / (cpu_seconds() - start).max(1e-9)
}

/// CPU seconds this thread has used.
fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    used.unwrap_or_default().as_secs_f64()
}

/// Resident octets of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}
