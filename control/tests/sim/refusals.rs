//! What routers do not take, and that they say so.

use std::net::SocketAddr;
use weft_control::lisp::config::Resolve;
use weft_packet::addr::Nonce;
use weft_packet::lisp::{
    Address, Encapsulated, MapNotify, MapRegister, MapReply, MapRequest, Message, NotifyKind,
    RequestedEid,
};
use weft_packet::wire::Wire;

use crate::network::Quality;
use crate::places::{Xtr, eid, mapping_system};
use crate::world::{World, address};

const MS: &str = "198.51.100.2";
const XTR: &str = "192.0.2.1";

fn request() -> MapRequest {
    MapRequest {
        nonce: Nonce(7),
        itr_rlocs: vec![Address::Ip(address("203.0.113.9"))],
        eids: vec![RequestedEid { subscribe: false, eid: eid("10.9.0.0/16").into() }],
        ..MapRequest::default()
    }
}

fn encapsulated(request: MapRequest, to_etr: bool) -> Message {
    Message::Encapsulated(Encapsulated {
        to_etr,
        ..Encapsulated::new(
            "203.0.113.9:4342".parse().unwrap(),
            "10.9.0.1:4342".parse().unwrap(),
            Message::MapRequest(request),
        )
    })
}

#[test]
fn each_message_at_the_wrong_door() {
    let mut world = World::new(1, Quality::GOOD);
    world.add(mapping_system("ms", MS, Resolve::Local));
    world.add(Xtr { probing: None, ..Xtr::new(1, &[XTR], &[MS]) }.node());
    world.run(1.0);
    world.transcript.on = true;
    let probe = MapRequest { probe: true, ..request() };
    let smr = MapRequest { smr: true, ..request() };
    let stranger: SocketAddr = "203.0.113.9:4342".parse().unwrap();
    let told = [
        (MS, "a probe", Message::MapRequest(probe.clone())),
        (MS, "an SMR", Message::MapRequest(smr.clone())),
        (MS, "an answer", Message::MapReply(MapReply::default())),
        (MS, "a question for an ETR", encapsulated(request(), true)),
        (MS, "an encapsulated probe", encapsulated(probe, false)),
        (MS, "an encapsulated SMR", encapsulated(smr, false)),
        (MS, "a Map-Notify", Message::MapNotify(MapNotify::default())),
        (XTR, "a registration", Message::MapRegister(MapRegister::default())),
        (
            XTR,
            "a Map-Notify-Ack",
            Message::MapNotify(MapNotify { kind: NotifyKind::Ack, ..MapNotify::default() }),
        ),
        (XTR, "a Map-Notify of a stranger", Message::MapNotify(MapNotify::default())),
        (XTR, "an answer nobody asked for", Message::MapReply(MapReply::default())),
        (XTR, "an extension", Message::Extension { sub_type: 5, specific: 0, body: vec![] }),
    ];
    for (to, what, message) in told {
        world.act(what);
        world.inject(stranger, to, &message.to_bytes());
        world.run(0.1);
    }
    world.act("rubbish");
    world.inject(stranger, XTR, &[0x30, 1, 2]);
    world.inject(stranger, XTR, &[]);
    world.run(0.1);
    insta::assert_snapshot!(world.transcript.take(), @r#"
        1.000  -- a probe
        1.001  ms            ! refused rloc-probe: probe-not-allowed
        1.100  -- an SMR
        1.101  ms            ! refused smr: not-for-us
        1.200  -- an answer
        1.201  ms            ! refused map-reply: not-for-us
        1.300  -- a question for an ETR
        1.301  ms            ! refused map-request: not-for-us
        1.400  -- an encapsulated probe
        1.401  ms            ! refused encapsulated: malformed
        1.500  -- an encapsulated SMR
        1.501  ms            ! refused smr: inconsistent
        1.600  -- a Map-Notify
        1.601  ms            ! refused map-notify: not-for-us
        1.700  -- a registration
        1.701  xtr1          ! refused map-register: not-for-us
        1.800  -- a Map-Notify-Ack
        1.801  xtr1          ! refused map-notify-ack: not-for-us
        1.900  -- a Map-Notify of a stranger
        1.901  xtr1          ! refused map-notify: not-for-us
        2.000  -- an answer nobody asked for
        2.001  xtr1          ! refused map-reply: unknown-nonce
        2.100  -- an extension
        2.101  xtr1          ! refused extension: not-for-us
        2.200  -- rubbish
        2.201  xtr1          ! refused map-register: malformed
        2.201  xtr1          ! refused unknown: malformed
    "#);
}
