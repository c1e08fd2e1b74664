//! Several xTRs of one EID-prefix, with and without the a bit (RFC 8378 §5).

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const A: &str = "203.0.113.1";
const B: &str = "203.0.113.2";
const EID: &str = "10.1.0.0/16";

impl World {
    /// Registers with xTR-ID `number`, merging or not.
    pub(super) fn join(
        &mut self,
        number: u8,
        from: &str,
        merge: bool,
        records: Vec<MappingRecord>,
    ) -> Did {
        let mut message = self.registering(records);
        (message.merge, message.xtr) = (merge, Some(named(number)));
        self.send_register(from, &message, KEY)
    }
}

#[test]
fn union_of_all_that_merge() {
    let mut world = World::with_site(&[EID], |_| {});
    world.join(1, A, true, vec![record(EID, &[A])]);
    let did = world.join(2, B, true, vec![record(EID, &[B])]);
    assert_eq!(did.site_changes(), ["changed 10.1.0.0/16"]);
    assert_eq!(world.locators(EID), [A, B]);

    world.join(1, A, true, vec![record(EID, &["203.0.113.9"])]);
    assert_eq!(world.locators(EID), [B, "203.0.113.9"], "only its own locators are replaced");
}

#[test]
fn each_registration_ends_by_itself() {
    let mut world = World::with_site(&[EID], |_| {});
    world.join(1, A, true, vec![record(EID, &[A])]);
    world.pass(secs(100));
    world.join(2, B, true, vec![record(EID, &[B])]);
    assert_eq!(world.pass(secs(80)).site_changes(), ["changed 10.1.0.0/16"]);
    assert_eq!(world.locators(EID), [B]);
    world.join(2, B, true, vec![withdrawal(EID)]);
    assert_eq!(world.locators(EID), [""; 0]);
}

#[test]
fn site_merges_for_xtrs_that_do_not_ask() {
    let mut world = World::with_site(&[EID], |site| site.merge = true);
    world.register(A, vec![record(EID, &[A])]);
    world.register(B, vec![record(EID, &[B])]);
    assert_eq!(world.locators(EID), [A, B]);
}

#[test]
fn mixed_a_bits_are_refused_and_told() {
    let mut world = World::with_site(&[EID], |_| {});
    world.join(1, A, true, vec![record(EID, &[A])]);
    let did = world.join(2, B, false, vec![record(EID, &[B])]);
    assert_eq!(did.refusals(), [Refusal::Inconsistent]);
    assert!(did.sent().is_empty());
    assert_eq!(world.locators(EID), [A]);

    world.join(1, A, false, vec![record(EID, &[A])]);
    let did = world.join(2, B, false, vec![record(EID, &[B])]);
    assert_eq!(did.refusals(), [], "all of one mind again");
}

#[test]
fn without_merging_the_last_word_counts() {
    let mut world = World::with_site(&[EID], |_| {});
    world.join(1, A, false, vec![record(EID, &[A])]);
    world.join(2, B, false, vec![record(EID, &[B])]);
    assert_eq!(world.locators(EID), [B]);
    assert_eq!(world.disk.keys().filter(|key| key.contains("registration")).count(), 1);
    world.join(1, A, false, vec![withdrawal(EID)]);
    assert_eq!(world.locators(EID), [B], "what was replaced cannot take the other away");
}

#[test]
fn without_merging_those_that_agree_stand_beside_each_other() {
    let mut world = World::with_site(&[EID], |_| {});
    let both = || vec![record(EID, &[A, B])];
    world.join(1, A, false, both());
    assert_eq!(world.join(2, B, false, both()).site_changes(), [""; 0]);
    let did = world.join(1, A, false, both());
    assert_eq!(did.stores(), 0, "a renewal");
    world.join(1, A, false, vec![withdrawal(EID)]);
    assert_eq!(world.locators(EID), [A, B], "the other one still serves it");
    assert_eq!(world.pass(secs(180)).site_changes(), ["expired 10.1.0.0/16"]);
}

#[test]
fn xtrs_for_one_prefix_are_bounded() {
    let mut world = World::with_site(&[EID], |_| {});
    for number in 0..=64 {
        let refused = world.join(number, A, true, vec![record(EID, &[A])]).refusals();
        assert_eq!(refused.is_empty(), number < 64, "xTR {number}");
    }
    assert_eq!(world.refused(Refusal::Full), 1);
    assert_eq!(world.join(0, A, true, vec![record(EID, &[B])]).refusals(), [], "one of them");
}

/// What one xTR of the model below says, until when.
type Said = BTreeMap<u8, (BTreeSet<String>, u64)>;

#[test]
fn union_is_what_a_list_of_all_registrations_says() {
    let mut world = World::with_site(&[EID], |_| {});
    let mut random = Random::new([5; 32]);
    let mut said = Said::new();
    let mut clock = 0;
    for _ in 0..1500 {
        let number = u8::try_from(random.below(5)).unwrap();
        let from = format!("198.51.100.{number}");
        let rlocs = (0..=random.below(3)).map(|_| format!("203.0.113.{}", random.below(6) + 1));
        let rlocs: BTreeSet<_> = rlocs.collect();
        match random.below(10) {
            0 => {
                world.join(number, &from, true, vec![withdrawal(EID)]);
                said.remove(&number);
            }
            1..4 => {
                let seconds = random.below(120);
                world.pass(secs(seconds));
                clock += seconds;
                said.retain(|_, (_, until)| *until > clock);
            }
            _ => {
                let texts: Vec<_> = rlocs.iter().map(String::as_str).collect();
                world.join(number, &from, true, vec![record(EID, &texts)]);
                said.insert(number, (rlocs, clock + 180));
            }
        }
        let union: BTreeSet<_> =
            said.values().flat_map(|(rlocs, _)| rlocs.iter().cloned()).collect();
        assert_eq!(world.locators(EID), Vec::from_iter(union));
        assert_eq!(world.server.status().registrations, said.len());
    }
}
