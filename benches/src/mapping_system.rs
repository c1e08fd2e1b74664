//! How fast a Map-Server works, and what a registration costs it: whole messages through the whole
//! engine, on one core.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use weft_control::engine::{Action as Do, Actions, Datagram, Instant, Random};
use weft_control::lisp::config::{Config, MapResolver, MapServer, Replay, Resolve, Secret, Site};
use weft_control::lisp::{Lisp, Stored};
use weft_packet::addr::{EidPrefix, InstanceId, Nonce, Prefix, SiteId, XtrId};
use weft_packet::lisp::auth::{self, Purpose};
use weft_packet::lisp::{
    Action, Address, Algorithm, Authentication, Encapsulated, Locator, MapRegister, MapRequest,
    MappingRecord, Message, RequestedEid, Ttl,
};
use weft_packet::wire::Wire;

const KEY: &[u8] = b"a shared secret of ordinary length";
/// 10.0.0.0/8.
const EID_SPACE: u32 = 0x0a00_0000;
/// Distinct EIDs of the rate rows.
const EIDS: u32 = 100_000;
/// Registrations of the memory row.
const MANY: u32 = 1_000_000;
/// EIDs behind one xTR.
const PER_XTR: u32 = 100;
/// ITRs that ask, each in a network of its own: how much one network may ask is limited.
const ITRS: u32 = 1000;

/// Map-Registers (SHA-256, one record, acknowledged) handled in a second of one core: first ones
/// and renewals apart.
pub(crate) fn register() -> Result<Value, String> {
    let mut server = server();
    let first = handle(&mut server, &registers(EIDS, 1), xtr_address)?;
    let renewed = handle(&mut server, &registers(EIDS, 2), xtr_address)?;
    Ok(json!({ "per_s": renewed, "first_per_s": first }))
}

/// Map-Requests answered by proxy in a second of one core: as they are, and in ECMs, as ITRs send
/// them to a Map-Resolver.
pub(crate) fn request() -> Result<Value, String> {
    let mut server = server();
    handle(&mut server, &registers(EIDS, 1), xtr_address)?;
    let plain: Vec<_> = (0..EIDS).map(|n| Message::MapRequest(map_request(n)).to_bytes()).collect();
    let in_ecm: Vec<_> = (0..EIDS).map(encapsulated).collect();
    let plain = handle(&mut server, &plain, itr_address)?;
    let in_ecm = handle(&mut server, &in_ecm, itr_address)?;
    Ok(json!({ "per_s": plain, "in_ecm_per_s": in_ecm }))
}

/// Resident octets of the whole process for each registration, at a million of them.
pub(crate) fn memory() -> Result<Value, String> {
    let mut server = server();
    let mut actions = Actions::default();
    let mut accepted = 0;
    for n in 0..MANY {
        let bytes = map_register(n, 1 + u64::from(n));
        accepted += feed(&mut server, &bytes, xtr_address(n), &mut actions);
    }
    answered(accepted, MANY as usize)?;
    let octets = f64::from(resident_kilobytes()) * 1024.0;
    Ok(json!({ "bytes_per_registration": octets / f64::from(MANY), "registrations": MANY }))
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
            negative_ttl: Duration::from_mins(15),
        }),
        ..Config::default()
    };
    let mut actions = Actions::default();
    let random = Random::new([7; 32]);
    Lisp::new(Instant::START, config, Vec::new(), random, &Stored::default(), &mut actions)
}

fn eid(n: u32) -> EidPrefix {
    let address = Ipv4Addr::from_bits(EID_SPACE | n);
    EidPrefix::new(InstanceId::DEFAULT, Prefix::host(address.into()))
}

fn xtr_address(n: u32) -> SocketAddr {
    let address = Ipv4Addr::from_bits(0xc633_0000 | ((n / PER_XTR) & 0xffff));
    SocketAddr::new(address.into(), 4342)
}

fn map_register(n: u32, nonce: u64) -> Vec<u8> {
    let locator = Locator { local: true, ..Locator::unicast(xtr_address(n).ip(), 1, 100) };
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

fn itr_address(n: u32) -> SocketAddr {
    let address = Ipv4Addr::from_bits(0xcb00_0001 | ((n % ITRS) << 8));
    SocketAddr::new(address.into(), 4342)
}

fn map_request(n: u32) -> MapRequest {
    MapRequest {
        nonce: Nonce(u64::from(n) + 1),
        source_eid: Address::Ip(Ipv4Addr::new(10, 255, 0, 1).into()),
        itr_rlocs: vec![Address::Ip(itr_address(n).ip())],
        eids: vec![RequestedEid { subscribe: false, eid: eid(n).into() }],
        ..MapRequest::default()
    }
}

fn encapsulated(n: u32) -> Vec<u8> {
    let ecm = Encapsulated::new(
        itr_address(n),
        SocketAddr::new(eid(n).prefix.address(), 4342),
        Message::MapRequest(map_request(n)),
    );
    Message::Encapsulated(ecm).to_bytes()
}

/// Hands a message to the server; gives how many it sent because of it.
fn feed(server: &mut Lisp, bytes: &[u8], from: SocketAddr, actions: &mut Actions) -> usize {
    let to = Ipv4Addr::new(192, 0, 2, 1).into();
    server.packet(Instant::START, Datagram { from, to, bytes }, actions);
    let sent = actions.0.iter().filter(|action| matches!(action, Do::Send { .. })).count();
    actions.0.clear();
    sent
}

/// A server that refuses is fast, but not what is measured.
fn answered(answers: usize, messages: usize) -> Result<(), String> {
    if answers == messages {
        return Ok(());
    }
    Err(format!("the server sent {answers} answers to {messages} messages"))
}

/// Messages handled in a second of CPU time.
fn handle(
    server: &mut Lisp,
    messages: &[Vec<u8>],
    sender: fn(u32) -> SocketAddr,
) -> Result<f64, String> {
    let mut actions = Actions::default();
    let mut answers = 0;
    let mut handled = 0;
    let start = cpu_seconds();
    for (n, bytes) in (0..).zip(messages) {
        answers += feed(server, bytes, sender(n), &mut actions);
        handled += 1;
    }
    let rate = f64::from(handled) / (cpu_seconds() - start).max(1e-9);
    answered(answers, messages.len())?;
    Ok(rate)
}

/// CPU seconds this thread has used.
fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    used.unwrap_or_default().as_secs_f64()
}

/// Resident memory of this process.
fn resident_kilobytes() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or_default()
}
