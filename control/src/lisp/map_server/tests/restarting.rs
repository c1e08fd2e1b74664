//! What survives a restart, and what another configuration ends.

use super::*;

const A: &str = "203.0.113.1";
const B: &str = "203.0.113.2";
const EID: &str = "10.1.0.0/16";

fn two_sites() -> config::MapServer {
    servers(vec![site("one", &[EID]), site("two", &["10.2.0.0/16", "2001:db8::/32"])])
}

#[test]
fn registrations_survive_and_get_one_timeout() {
    let mut world = World::new(two_sites());
    world.join(1, A, true, vec![record(EID, &[A])]);
    world.join(2, B, true, vec![record(EID, &[B])]);
    world.register(A, vec![record("2001:db8::/32", &[A])]);
    world.pass(secs(170));
    let did = world.restart(two_sites());
    assert_eq!(did.actions, [], "nothing is new");
    assert_eq!(world.locators(EID), [A, B]);
    assert_eq!(world.locators("2001:db8::1"), [A]);
    let did = world.join(1, A, true, vec![record(EID, &[A])]);
    assert_eq!((did.stores(), did.site_changes().len()), (0, 0), "known as if never away");
    world.pass(secs(179));
    assert_eq!(world.locators("2001:db8::1"), [A]);
    assert_eq!(
        world.pass(secs(1)).site_changes(),
        ["expired 2001:db8::/32", "changed 10.1.0.0/16", "expired 10.1.0.0/16"],
        "the members of one EID-prefix end one after the other"
    );
    assert!(world.disk.is_empty());
}

#[test]
fn members_are_told_of_changes_after_a_restart() {
    let mut world = World::new(two_sites());
    world.join(1, A, true, vec![record(EID, &[A])]);
    world.join(2, B, true, vec![record(EID, &[B])]);
    world.restart(two_sites());
    let did = world.join(2, B, true, vec![record(EID, &["203.0.113.9"])]);
    assert!(did.notified().iter().any(|(to, _)| *to == ip(A)));
}

#[test]
fn what_is_not_configured_any_more_is_forgotten() {
    let mut world = World::new(two_sites());
    world.register(A, vec![record(EID, &[A])]);
    world.register(A, vec![record("2001:db8::/32", &[A])]);
    world.disk.insert("ms/registration/x".into(), vec![9, 9, 9]);
    world.disk.insert("etr/nonce".into(), vec![1]);
    world.restart(servers(vec![site("one", &[EID])]));
    assert_eq!(world.locators(EID), [A]);
    assert_eq!(world.locators("2001:db8::1"), [""; 0]);
    let mut left: Vec<_> = world.disk.keys().map(String::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["etr/nonce", "ms/registration/0/10.1.0.0/16/203.0.113.1"]);
}

#[test]
fn reconfiguration_ends_only_what_it_forbids() {
    let mut world = World::new(two_sites());
    world.register(A, vec![record(EID, &[A])]);
    world.register(A, vec![record("2001:db8::/32", &[A]), record("10.2.0.0/16", &[A])]);
    let mut config = two_sites();
    config.sites.remove(0);
    config.sites[0].eid_prefixes.remove(0);
    config.sites.insert(0, site("three", &["10.3.0.0/16"]));
    let mut ended = world.reconfigure(config).site_changes();
    ended.sort();
    assert_eq!(ended, ["withdrawn 10.1.0.0/16", "withdrawn 10.2.0.0/16"]);
    assert_eq!(world.locators("2001:db8::1"), [A]);
    let did = world.register(A, vec![record("2001:db8::/32", &[A])]);
    assert_eq!(did.site_changes(), [""; 0], "went on as if nothing had happened");
    assert_eq!(world.server.status().xtrs, 1);
    world.pass(secs(180));
    assert_eq!(world.server.status().mappings, 0);
    assert_eq!(world.server.status().xtrs, 0);
}

#[test]
fn same_configuration_changes_nothing() {
    let mut world = World::new(two_sites());
    world.register(A, vec![record(EID, &[A])]);
    assert_eq!(world.reconfigure(two_sites()).actions, []);
}

#[test]
fn narrower_rloc_policy_ends_registrations_it_forbids() {
    let mut world = World::new(two_sites());
    world.register(A, vec![record(EID, &[A])]);
    let mut config = two_sites();
    config.sites[0].allowed_rlocs = vec!["198.51.100.0/24".parse().unwrap()];
    assert_eq!(world.reconfigure(config).site_changes(), ["withdrawn 10.1.0.0/16"]);
}

#[test]
fn site_that_stops_merging_goes_by_the_last_word() {
    let mut config = two_sites();
    config.sites[0].merge = true;
    let mut world = World::new(config);
    world.register(A, vec![record(EID, &[A])]);
    world.register(B, vec![record(EID, &[B])]);
    assert_eq!(world.locators(EID), [A, B]);
    world.reconfigure(two_sites());
    world.register(A, vec![record(EID, &[A])]);
    assert_eq!(world.locators(EID), [A]);
}

#[test]
fn random_life_never_loses_what_was_acknowledged() {
    let mut world = World::with_site(&[EID], |site| site.accept_more_specifics = true);
    let mut random = Random::new([3; 32]);
    let mut acknowledged = std::collections::BTreeMap::new();
    for _ in 0..600 {
        let host = format!("10.1.0.{}/32", random.below(20));
        let rloc = format!("203.0.113.{}", random.below(4) + 1);
        match random.below(10) {
            0 => {
                let config = world.config();
                world.restart(config);
            }
            1..3 => {
                world.register(A, vec![withdrawal(&host)]);
                acknowledged.remove(&host);
            }
            _ => {
                let did = world.register(A, vec![record(&host, &[&rloc])]);
                assert_eq!(did.notify().1.records.len(), 1);
                acknowledged.insert(host, rloc);
            }
        }
        for (host, rloc) in &acknowledged {
            assert_eq!(world.locators(host), std::slice::from_ref(rloc));
        }
        assert_eq!(world.server.status().mappings, acknowledged.len());
    }
}
