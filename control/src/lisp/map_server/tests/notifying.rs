//! Unsolicited Map-Notifies and their acknowledgement (RFC 9301 §5.7).

use super::*;

const A: &str = "203.0.113.1";
const B: &str = "203.0.113.2";
const EID: &str = "10.1.0.0/16";

/// xTR A is there, B joins; gives back what was sent when B did.
fn two_members(world: &mut World) -> Did {
    world.join(1, A, true, vec![record(EID, &[A])]);
    world.join(2, B, true, vec![record(EID, &[B])])
}

/// The unsolicited Map-Notify to `member`.
fn unsolicited(did: &Did, member: &str) -> MapNotify {
    let mut sent = did.sent().into_iter().filter_map(|(to, message)| match message {
        Message::MapNotify(notify) if to == SocketAddr::new(ip(member), 4342) => Some(notify),
        _ => None,
    });
    sent.next().expect("a Map-Notify to port 4342")
}

#[test]
fn every_member_hears_of_the_union() {
    let mut world = World::with_site(&[EID], |_| {});
    let did = two_members(&mut world);
    assert_eq!(did.notified().len(), 3, "one acknowledges, two tell of the change");
    for member in [A, B] {
        let notify = unsolicited(&did, member);
        let rlocs = notify.records[0].locators.iter().filter_map(|l| l.address.ip());
        assert_eq!(rlocs.collect::<Vec<_>>(), [ip(A), ip(B)]);
        assert!(notify.records[0].locators.iter().all(|l| !l.local));
    }
    assert_eq!(unsolicited(&did, A).xtr, Some(named(1)));
    for action in &did.actions {
        if let Action::Send { bytes, .. } = action {
            assert_eq!(auth::verify(bytes, Purpose::MapNotify, KEY), Ok(()));
        }
    }
}

#[test]
fn repeated_until_acknowledged() {
    let mut world = World::with_site(&[EID], |_| {});
    let did = two_members(&mut world);
    let (to_a, to_b) = (unsolicited(&did, A), unsolicited(&did, B));
    assert!(world.acknowledge(B, &to_b, KEY).actions.is_empty());
    assert!(world.pass(Duration::from_millis(2900)).notified().is_empty());
    let again = world.pass(Duration::from_millis(100)).notified();
    assert_eq!(again, [(ip(A), to_a.clone())], "the same octets to the one that is silent");
    world.acknowledge(A, &to_a, KEY);
    assert!(world.pass(secs(100)).notified().is_empty());
    assert_eq!(world.server.status().outstanding_notifies, 0);
}

#[test]
fn gives_up_after_three_at_three_seconds_and_three_doubled() {
    let mut world = World::with_site(&[EID], |_| {});
    two_members(&mut world);
    let mut seconds = Vec::new();
    for second in 1..=120 {
        let repeated = world.pass(secs(1)).notified();
        seconds.extend(repeated.iter().filter(|(to, _)| *to == ip(A)).map(|_| second));
        if second % 50 == 0 {
            world.join(1, A, true, vec![record(EID, &[A])]);
            world.join(2, B, true, vec![record(EID, &[B])]);
        }
    }
    assert_eq!(seconds, [3, 6, 9, 15, 27, 51]);
    assert_eq!(world.server.status().outstanding_notifies, 0);

    world.join(2, B, true, vec![record(EID, &["203.0.113.9"])]);
    let later = world.pass(secs(120)).notified();
    assert!(later.iter().all(|(to, _)| *to != ip(A)), "told once, not asked to acknowledge again");
}

#[test]
fn forged_acknowledgement_does_not_count() {
    let mut world = World::with_site(&[EID], |_| {});
    let notify = unsolicited(&two_members(&mut world), A);
    let did = world.acknowledge(A, &notify, b"wrong");
    assert_eq!(did.refusals(), [Refusal::WrongKey]);
    assert_eq!(world.pass(secs(3)).notified().len(), 2);
}

#[test]
fn acknowledgement_nobody_waits_for_is_no_offence() {
    let mut world = World::with_site(&[EID], |_| {});
    let (_, notify) = world.register(A, vec![record(EID, &[A])]).notify();
    assert!(world.acknowledge(A, &notify, KEY).actions.is_empty());
}

#[test]
fn what_changes_meanwhile_waits_and_is_told_as_it_is_then() {
    let mut world = World::with_site(&[EID], |_| {});
    let first = unsolicited(&two_members(&mut world), A);
    let did = world.join(2, B, true, vec![record(EID, &["203.0.113.8"])]);
    assert!(did.notified().iter().all(|(to, _)| *to != ip(A)), "one at a time");
    world.join(2, B, true, vec![record(EID, &["203.0.113.9"])]);
    let next = unsolicited(&world.acknowledge(A, &first, KEY), A);
    let rlocs = next.records[0].locators.iter().filter_map(|l| l.address.ip());
    assert_eq!(rlocs.collect::<Vec<_>>(), [ip(A), ip("203.0.113.9")]);
    assert_ne!(next.nonce, first.nonce);
}

#[test]
fn many_changes_are_told_in_datagrams_that_pass() {
    let mut world = World::with_site(&["10.1.0.0/16"], |site| site.accept_more_specifics = true);
    let hosts = |rloc: &str| -> Vec<_> {
        (0..100).map(|n| record(&format!("10.1.0.{n}"), &[rloc])).collect()
    };
    world.join(1, A, true, hosts(A));
    let mut did = world.join(2, B, true, hosts(B));
    let mut told = 0;
    while let Some((_, notify)) =
        did.notified().into_iter().find(|(to, n)| *to == ip(A) && n.xtr == Some(named(1)))
    {
        assert!(notify.to_bytes().len() <= 548);
        told += notify.records.len();
        did = world.acknowledge(A, &notify, KEY);
    }
    assert_eq!(told, 100);
}

#[test]
fn those_that_never_asked_for_notifies_get_none() {
    let mut world = World::with_site(&[EID], |_| {});
    let mut message = world.registering(vec![record(EID, &[A])]);
    (message.merge, message.want_notify, message.xtr) = (true, false, Some(named(1)));
    world.send_register(A, &message, KEY);
    let did = world.join(2, B, true, vec![record(EID, &[B])]);
    assert!(did.notified().iter().all(|(to, _)| *to == ip(B)));
}

#[test]
fn map_notify_is_not_for_a_map_server() {
    let mut world = World::with_site(&[EID], |_| {});
    let (_, notify) = world.register(A, vec![record(EID, &[A])]).notify();
    let mut out = Actions::default();
    let bytes = notify.to_bytes();
    world.server.ack(world.now, datagram(A, &bytes), &notify, &mut out);
    assert_eq!(world.done(out).refusals(), [Refusal::NotForUs]);
}
