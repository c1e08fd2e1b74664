use super::*;
use weft_fib::DropReason;
use weft_packet::lisp::{Eid, Lcaf};

/// Asks for `to` and answers with `records`.
fn resolved(story: &mut Story, to: &str, records: &[MappingRecord]) {
    story.packet(to);
    story.answer(&story.last(), records);
}

#[test]
fn a_forged_nonce_changes_nothing() {
    let mut story = Story::new();
    story.packet("10.1.2.3");
    assert!(!story.reply(Nonce(42), &[site("10.0.0.0/8", 15, &["203.0.113.66"])]));
    assert_eq!(story.refusals(), [Refusal::UnknownNonce]);
    assert_eq!(story.route("10.1.2.3"), Route::Resolve);
    assert_eq!(story.itr.sizes(), (0, 1), "the question is still open");
}

#[test]
fn an_answer_about_something_else_is_refused_and_the_question_stays_open() {
    let mut story = Story::new();
    story.packet("10.1.2.3");
    let asked = story.last();
    story.answer(&asked, &[site("10.2.0.0/16", 15, &["203.0.113.66"])]);
    story.answer(&asked, &[site("7:10.1.0.0/16", 15, &["203.0.113.66"])]);
    assert_eq!(story.refusals(), [Refusal::WrongAnswer, Refusal::WrongAnswer]);
    assert_eq!(story.cached(), [""; 0]);
    story.answer(&asked, &[site("10.1.0.0/16", 15, &["203.0.113.1"])]);
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.1"]);
}

#[test]
fn records_beside_the_answer_are_not_slipped_in() {
    let mut story = Story::new();
    let name = Eid { address: Address::Name("printer".to_owned()), mask_len: 64 };
    let records = [
        site("10.1.0.0/16", 15, &["203.0.113.1"]),
        site("10.1.128.0/17", 15, &["203.0.113.2"]),
        site("10.9.0.0/16", 15, &["203.0.113.66"]),
        MappingRecord { eid: name, ..site("10.1.0.0/16", 15, &["203.0.113.66"]) },
    ];
    resolved(&mut story, "10.1.2.3", &records);
    assert_eq!(story.cached(), ["10.1.0.0/16", "10.1.128.0/17"]);
    assert_eq!(story.rlocs("10.1.200.1"), ["203.0.113.2"]);
    assert_eq!(story.refusals(), [Refusal::Inconsistent, Refusal::UnsupportedEid]);
}

#[test]
fn negative_answers_are_followed_to_the_letter() {
    let cases = [
        (Action::NoAction, Route::Drop(DropReason::NegativeMapping)),
        (Action::NativelyForward, Route::Native),
        (Action::SendMapRequest, Route::Resolve),
        (Action::DropNoReason, Route::Drop(DropReason::NegativeMapping)),
        (Action::DropPolicyDenied, Route::Drop(DropReason::PolicyDenied)),
        (Action::DropAuthFailure, Route::Drop(DropReason::AuthFailure)),
        (Action::Unassigned6, Route::Native),
        (Action::Unassigned7, Route::Drop(DropReason::NegativeMapping)),
    ];
    for (action, route) in cases {
        let mut story = Story::new();
        resolved(&mut story, "10.1.2.3", &[negative("10.0.0.0/9", 15, action)]);
        assert_eq!(story.route("10.1.2.3"), route, "{action:?}");
        assert_eq!(story.route("10.200.0.1"), Route::Resolve);
    }
}

#[test]
fn where_a_mapping_says_ask_packets_ask_once_a_second() {
    let mut story = Story::new();
    resolved(&mut story, "10.1.2.3", &[negative("10.1.0.0/16", 1, Action::SendMapRequest)]);
    for i in 0..30 {
        story.packet(&format!("10.1.7.{i}"));
        if story.last().eid != eid("10.1.2.3/32") && story.itr.sizes().1 > 0 {
            story.answer(&story.last(), &[negative("10.1.0.0/16", 1, Action::SendMapRequest)]);
        }
        story.pass(Duration::from_millis(100));
    }
    assert_eq!(story.asked.len(), 1 + 3, "three seconds of packets");
    story.packet("10.1.2.3");
    story.answer(&story.last(), &[site("10.1.0.0/16", 15, &["203.0.113.1"])]);
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.1"]);
}

#[test]
fn native_destinations_go_through_proxy_etrs_of_their_family() {
    let proxy_etrs = vec![config::ProxyEtr {
        address: ip("203.0.113.50"),
        ipv4: true,
        ipv6: false,
        priority: 1,
        weight: 100,
    }];
    let mut story = Story::with(config::Itr { proxy_etrs, ..settings() });
    let native = |about| [negative(about, 15, Action::NativelyForward)];
    resolved(&mut story, "8.8.8.8", &native("8.0.0.0/8"));
    resolved(&mut story, "2600::1", &native("2600::/16"));
    assert_eq!(story.rlocs("8.8.8.8"), ["203.0.113.50"]);
    assert_eq!(story.route("2600::1"), Route::Native);
}

#[test]
fn locators_that_cannot_be_used_are_kept_out_of_traffic() {
    let mut story = Story::new();
    let mut record = site("10.1.0.0/16", 15, &["203.0.113.1", "203.0.113.1"]);
    record.locators.extend([
        Locator { reachable: false, ..locator("203.0.113.2", 1) },
        locator("203.0.113.3", 255),
        locator("224.0.0.1", 1),
        locator("127.0.0.1", 1),
        locator("0.0.0.0", 1),
        locator("255.255.255.255", 1),
        locator("::ffff:203.0.113.9", 1),
        locator("fe80::1", 1),
        locator("ff02::1", 1),
        locator("2001:db8:7::1", 2),
        // One of ours: a packet to it would come back.
        locator("192.0.2.1", 1),
        Locator { address: Address::Name("no rloc".to_owned()), ..locator("203.0.113.8", 1) },
    ]);
    resolved(&mut story, "10.1.2.3", &[record]);
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.1", "2001:db8:7::1"]);
    let group = story.groups.values().next().unwrap();
    let unused: Vec<_> = group.iter().filter(|p| p.priority == 255).map(|p| p.rloc).collect();
    assert_eq!(
        unused,
        ["192.0.2.1", "203.0.113.2", "203.0.113.3"].map(ip),
        "packets may come from them"
    );
}

#[test]
fn a_mapping_without_any_usable_locator_drops_and_is_not_asked_for_again() {
    let mut story = Story::new();
    resolved(&mut story, "10.1.2.3", &[site("10.1.0.0/16", 15, &["192.0.2.1", "2001:db8::1"])]);
    assert_eq!(story.route("10.1.2.3"), Route::Drop(DropReason::NoUsableRloc));
    assert!(story.itr.take_watch_changes().is_empty());
}

#[test]
fn a_locator_may_name_its_encapsulation() {
    let mut story = Story::new();
    let formats = |rloc: &str, formats| {
        let lcaf = Lcaf::Encapsulations { formats, address: Address::Ip(ip(rloc)) };
        Locator { address: lcaf.into(), ..locator(rloc, 1) }
    };
    let mut record = site("10.1.0.0/16", 15, &["203.0.113.1"]);
    record.locators.extend([
        formats("203.0.113.2", 0x08),
        formats("203.0.113.3", 0x09),
        formats("203.0.113.4", 0x10),
        formats("203.0.113.5", 0x14),
    ]);
    resolved(&mut story, "10.1.2.3", &[record]);
    let group = story.groups.values().next().unwrap();
    let chosen: Vec<_> =
        group.iter().filter(|p| p.priority == 1).map(|p| (p.rloc, p.encapsulation)).collect();
    let expected = [
        (ip("203.0.113.1"), Encapsulation::Lisp),
        (ip("203.0.113.2"), Encapsulation::VxlanGpe),
        (ip("203.0.113.3"), Encapsulation::Lisp),
        (ip("203.0.113.5"), Encapsulation::Vxlan),
    ];
    assert_eq!(chosen, expected);
}

#[test]
fn a_wider_answer_is_cut_to_what_may_be_looked_up() {
    let allowed_eids = vec![eid("10.1.0.0/16"), eid("7:2001:db8::/32")];
    let mut story = Story::with(config::Itr { allowed_eids, ..settings() });
    assert_eq!(story.packet("10.2.0.1"), Route::Native);
    assert_eq!(story.packet("2001:db8::1"), Route::Native, "not in this instance");
    assert_eq!(story.packet_in(7, "2001:db8::1"), Route::Resolve);
    resolved(&mut story, "10.1.2.3", &[site("10.0.0.0/8", 15, &["203.0.113.1"])]);
    assert_eq!(story.cached(), ["10.1.0.0/16"]);
    assert_eq!(story.packet("10.2.0.1"), Route::Native);
}

#[test]
fn an_answer_that_withdraws_is_not_asked_again_at_once() {
    let mut story = Story::new();
    resolved(&mut story, "10.1.2.3", &[site("10.1.0.0/16", 0, &[])]);
    assert_eq!(story.cached(), [""; 0]);
    story.packet("10.1.2.3");
    assert_eq!(story.asked.len(), 1);
    story.pass_secs(6);
    story.packet("10.1.2.3");
    assert_eq!(story.asked.len(), 2);
}
