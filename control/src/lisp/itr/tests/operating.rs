use super::*;
use crate::lisp::config::{Place, Rloc, StaticMapping};
use crate::lisp::probe::Watch;
use weft_fib::DropReason;

fn fixed(about: &str, rlocs: &[&str], action: Action) -> StaticMapping {
    let rloc = |rloc: &&str| Rloc::unicast(Place::Address { rloc: ip(rloc), local: false }, 1, 100);
    StaticMapping { eid: eid(about), from: None, rlocs: rlocs.iter().map(rloc).collect(), action }
}

fn proxy_etr(address: &str) -> config::ProxyEtr {
    config::ProxyEtr { address: ip(address), ipv4: true, ipv6: true, priority: 1, weight: 1 }
}

fn reconfigure(story: &mut Story, settings: config::Itr) {
    let instances = [InstanceId::DEFAULT, InstanceId::new(7).unwrap()];
    let (now, local) = (story.now, story.local.clone());
    let encapsulation = Encapsulation::Lisp;
    story.itr.reconfigure(now, settings, encapsulation, &instances, &local, &mut story.out);
    story.absorb();
}

fn learn(story: &mut Story, to: &str, record: MappingRecord) {
    story.packet(to);
    story.answer(&story.last(), &[record]);
}

#[test]
fn at_birth_every_instance_and_family_asks() {
    let story = Story::new();
    for about in ["0.0.0.0/0", "::/0", "7:0.0.0.0/0", "7:::/0"] {
        assert_eq!(story.routes[&(eid(about).into(), Source::Default)], Route::Resolve);
    }
    assert_eq!(story.routes.len(), 4);
}

#[test]
fn without_map_resolvers_everything_unknown_is_outside_lisp() {
    let map_resolvers = Vec::new();
    let static_map_cache = vec![fixed("10.1.0.0/16", &["203.0.113.1"], Action::NoAction)];
    let settings = config::Itr { map_resolvers, static_map_cache, ..settings() };
    let mut story = Story::with(settings.clone());
    assert_eq!(story.packet("10.9.0.1"), Route::Native);
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.1"]);
    let proxy_etrs = vec![proxy_etr("203.0.113.50")];
    reconfigure(&mut story, config::Itr { proxy_etrs, ..settings });
    assert_eq!(story.rlocs("10.9.0.1"), ["203.0.113.50"]);
}

#[test]
fn static_mappings_win_over_learned_ones_and_say_what_they_say() {
    let static_map_cache = vec![
        fixed("10.1.0.0/16", &["203.0.113.99"], Action::NoAction),
        fixed("10.2.0.0/16", &[], Action::DropNoReason),
        fixed("10.3.0.0/16", &[], Action::NativelyForward),
        fixed("10.4.0.0/16", &[], Action::SendMapRequest),
    ];
    let allowed_eids = vec![eid("10.1.0.0/24")];
    let mut story = Story::with(config::Itr { allowed_eids, static_map_cache, ..settings() });
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.99"]);
    assert_eq!(story.packet("10.2.0.1"), Route::Drop(DropReason::StaticDrop));
    assert_eq!(story.packet("10.3.0.1"), Route::Native);
    assert_eq!(story.packet("10.5.0.1"), Route::Native, "not allowed");
    learn(&mut story, "10.4.0.1", site("10.4.0.0/16", 15, &["203.0.113.4"]));
    assert_eq!(story.rlocs("10.4.0.1"), ["203.0.113.4"]);
    let kinds: Vec<_> =
        story.itr.map_cache(story.now, None).into_iter().map(|e| (e.eid, e.kind)).collect();
    assert_eq!(kinds.len(), 4);
    assert_eq!(kinds[0], ("10.1.0.0/16".to_owned(), "static"));
    assert_eq!(kinds[3], ("10.4.0.0/16".to_owned(), "positive"));
}

#[test]
fn an_operator_asks_past_the_map_cache() {
    let mut story = Story::new();
    let records = [site("10.1.0.0/16", 15, &["203.0.113.1"])];
    let about = eid("10.1.2.3/32");
    let nonce = story.itr.lookup(story.now, about, Some(ip(MR2)), &story.local, &mut story.out);
    story.absorb();
    let asked = story.last();
    assert_eq!((asked.to, asked.request.nonce), (ip(MR2), nonce));
    story.pass(Duration::from_millis(30));
    story.answer(&asked, &records);
    let took = Duration::from_millis(30);
    let answered =
        Event::LookupAnswered { nonce, eid: about, from: ip(ETR), records: records.into(), took };
    assert_eq!(story.events.last(), Some(&answered));
    assert_eq!(story.cached(), [""; 0]);

    let nonce = story.itr.lookup(story.now, about, None, &story.local, &mut story.out);
    story.absorb();
    assert_eq!(story.last().to, ip(MR1));
    story.pass_secs(30);
    let unanswered = Event::LookupUnanswered { nonce, eid: about, tries: 3 };
    assert_eq!(story.events.last(), Some(&unanswered));
}

#[test]
fn what_is_flushed_is_asked_for_again() {
    let mut story = Story::new();
    learn(&mut story, "10.1.2.3", site("10.1.0.0/16", 15, &["203.0.113.1"]));
    learn(&mut story, "10.2.2.3", site("10.2.0.0/16", 15, &["203.0.113.1"]));
    assert_eq!(story.itr.flush(Some(eid("10.1.9.9/32")), &mut story.out), 1);
    story.absorb();
    assert_eq!(story.cached(), ["10.2.0.0/16"]);
    assert_eq!(story.packet("10.1.2.3"), Route::Resolve);
    assert_eq!(story.itr.flush(None, &mut story.out), 1);
    story.absorb();
    assert!(story.groups.is_empty());
    assert_eq!(story.routes.len(), 4, "the defaults");
}

#[test]
fn a_reload_keeps_what_was_learned_and_touches_what_differs() {
    let mut story = Story::new();
    learn(&mut story, "10.1.2.3", site("10.1.0.0/16", 15, &["203.0.113.1"]));
    learn(&mut story, "8.8.8.8", negative("8.0.0.0/8", 15, Action::NativelyForward));
    story.set.clear();
    reconfigure(&mut story, settings());
    assert_eq!(story.set, [], "nothing differs");

    let proxy_etrs = vec![proxy_etr("203.0.113.50")];
    reconfigure(&mut story, config::Itr { proxy_etrs, ..settings() });
    assert_eq!(story.rlocs("8.8.8.8"), ["203.0.113.50"]);
    assert_eq!(story.set, [eid("8.0.0.0/8")]);

    let proxy_etrs = vec![config::ProxyEtr { ipv6: false, ..proxy_etr("203.0.113.51") }];
    let map_resolvers = vec![ip(MR2)];
    reconfigure(&mut story, config::Itr { map_resolvers, proxy_etrs, ..settings() });
    assert_eq!(story.rlocs("8.8.8.8"), ["203.0.113.51"]);
    story.packet("12.0.0.1");
    assert_eq!(story.last().to, ip(MR2));

    reconfigure(&mut story, settings());
    assert_eq!(story.route("8.8.8.8"), Route::Native);
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.1"]);
    assert_eq!(story.groups.len(), 1);

    let allowed_eids = vec![eid("8.0.0.0/8")];
    reconfigure(&mut story, config::Itr { allowed_eids, ..settings() });
    assert_eq!(story.route("10.1.2.3"), Route::Native);
    assert_eq!(story.cached(), ["8.0.0.0/8"]);
}

#[test]
fn smaller_limits_apply_to_what_is_cached_already() {
    let mut story = Story::new();
    for i in 0..8 {
        learn(
            &mut story,
            &format!("10.{i}.2.3"),
            site(&format!("10.{i}.0.0/16"), 1440, &["203.0.113.1"]),
        );
        story.pass_secs(1);
    }
    let max_ttl = Duration::from_mins(1);
    reconfigure(&mut story, config::Itr { map_cache_limit: 3, max_ttl, ..settings() });
    assert_eq!(story.cached(), ["10.5.0.0/16", "10.6.0.0/16", "10.7.0.0/16"]);
    story.serve(&[], &[]);
    story.pass_secs(120);
    assert_eq!(story.cached(), [""; 0]);
}

#[test]
fn another_encapsulation_changes_groups_and_no_routes() {
    let mut story = Story::new();
    learn(&mut story, "10.1.2.3", site("10.1.0.0/16", 15, &["203.0.113.1"]));
    story.set.clear();
    let instances = [InstanceId::DEFAULT, InstanceId::new(7).unwrap()];
    let (now, local) = (story.now, story.local.clone());
    let encapsulation = Encapsulation::VxlanGpe;
    story.itr.reconfigure(now, settings(), encapsulation, &instances, &local, &mut story.out);
    story.absorb();
    let paths = story.groups.values().next().unwrap();
    assert_eq!(paths[0].encapsulation, Encapsulation::VxlanGpe);
    assert_eq!(story.set, []);
}

#[test]
fn the_prober_hears_once_of_each_locator_in_use_and_about_what() {
    let mut story =
        Story::with(config::Itr { proxy_etrs: vec![proxy_etr("203.0.113.50")], ..settings() });
    let about = eid("0.0.0.0/0");
    assert_eq!(story.itr.take_watch_changes(), [Watch::Use { rloc: ip("203.0.113.50"), about }]);
    learn(&mut story, "10.1.2.3", site("10.1.0.0/16", 15, &["203.0.113.1", "203.0.113.2"]));
    learn(&mut story, "10.2.2.3", site("10.2.0.0/16", 15, &["203.0.113.2"]));
    let used = |rloc, about| Watch::Use { rloc: ip(rloc), about: eid(about) };
    let expected = [used("203.0.113.1", "10.1.0.0/16"), used("203.0.113.2", "10.1.0.0/16")];
    assert_eq!(story.itr.take_watch_changes(), expected);

    story.itr.flush(Some(eid("10.1.0.0/16")), &mut story.out);
    story.absorb();
    let expected = [Watch::Release { rloc: ip("203.0.113.1") }, used("203.0.113.2", "10.2.0.0/16")];
    assert_eq!(story.itr.take_watch_changes(), expected);
    assert_eq!(story.itr.take_watch_changes(), []);
}

#[test]
fn mappings_for_a_source_are_entries_of_their_own() {
    let from = |from: &str, about, rlocs| {
        let from = Some(from.parse().unwrap());
        StaticMapping { from, ..fixed(about, rlocs, Action::DropNoReason) }
    };
    let configured = vec![
        fixed("10.9.0.0/16", &["203.0.113.9"], Action::NoAction),
        from("10.0.1.0/24", "10.9.0.0/16", &["203.0.113.10"]),
        from("10.0.2.0/24", "10.9.0.0/16", &[]),
        from("10.0.1.0/24", "10.8.0.0/16", &["203.0.113.10"]),
    ];
    let with = |static_map_cache| config::Itr { static_map_cache, ..settings() };
    let mut story = Story::with(with(configured.clone()));
    let scoped = |story: &Story| {
        story.routes.keys().filter(|(key, _)| key.from.is_some()).map(|(key, _)| *key).collect()
    };
    let keys: Vec<EidKey> = scoped(&story);
    let texts: Vec<_> = keys.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "10.8.0.0/16 from 10.0.1.0/24",
            "10.9.0.0/16 from 10.0.1.0/24",
            "10.9.0.0/16 from 10.0.2.0/24"
        ]
    );
    let route = |key| story.routes[&(key, Source::Static)];
    assert_eq!(route(keys[0]), route(keys[1]), "one locator-set, one group");
    assert_eq!(route(keys[2]), Route::Drop(DropReason::StaticDrop));
    assert_ne!(story.route("10.9.0.1"), route(keys[1]), "everybody else's");
    assert_eq!(story.packet("10.8.0.1"), Route::Resolve, "everybody else asks");
    let shown = story.itr.map_cache(story.now, Some(eid("10.9.0.0/16")));
    let shown: Vec<_> = shown.iter().map(|entry| entry.source_prefix.as_deref()).collect();
    assert_eq!(shown, [None, Some("10.0.1.0/24"), Some("10.0.2.0/24")]);

    let fewer = configured[..2].to_vec();
    reconfigure(&mut story, with(fewer));
    assert_eq!(scoped(&story), vec![keys[1]]);
    reconfigure(&mut story, with(Vec::new()));
    assert!(scoped(&story).is_empty() && story.groups.is_empty());
}

#[test]
fn an_itr_that_is_switched_off_leaves_nothing_behind() {
    let static_map_cache = vec![fixed("10.9.0.0/16", &["203.0.113.99"], Action::NoAction)];
    let proxy_etrs = vec![proxy_etr("203.0.113.50")];
    let mut story = Story::with(config::Itr { proxy_etrs, static_map_cache, ..settings() });
    learn(&mut story, "10.1.2.3", site("10.1.0.0/16", 15, &["203.0.113.1"]));
    learn(&mut story, "8.8.8.8", negative("8.0.0.0/8", 15, Action::NativelyForward));
    story.itr.take_watch_changes();
    story.itr.withdraw(&mut story.out);
    story.absorb();
    assert!(story.routes.is_empty() && story.groups.is_empty());
    let released = story.itr.take_watch_changes();
    assert_eq!(released.len(), 3);
    assert!(released.iter().all(|w| matches!(w, Watch::Release { .. })));
}

#[test]
fn the_status_speaks_kebab_case() {
    let mut story = Story::new();
    learn(&mut story, "10.1.2.3", site("10.1.0.0/16", 15, &["203.0.113.1"]));
    story.packet_in(7, "10.9.9.9");
    story.pass(Duration::from_millis(500));
    let status = serde_json::to_value(story.itr.status(story.now)).unwrap();
    let entry = &status["map-cache"][0];
    assert_eq!(entry["eid"], "10.1.0.0/16");
    assert_eq!(entry["learned-from"], ETR);
    assert_eq!(entry["expires-in"], 899.5);
    assert_eq!(entry["in-use"], true);
    assert_eq!(entry["locators"][0]["rloc"], "203.0.113.1");
    assert_eq!(status["pending"][0]["eid"], "[7]10.9.9.9/32");
    assert_eq!(status["pending"][0]["age"], 0.5);
    assert_eq!(status["map-resolvers"][0]["current"], true);
    assert_eq!(status["counters"]["map-requests"], 2);
}

#[test]
fn messages_are_told_of_only_while_somebody_listens() {
    let mut story = Story::new();
    let messages =
        |story: &Story| story.events.iter().filter(|e| matches!(e, Event::Message { .. })).count();
    learn(&mut story, "10.1.2.3", site("10.1.0.0/16", 15, &["203.0.113.1"]));
    assert_eq!(messages(&story), 0);
    story.itr.set_trace(true);
    learn(&mut story, "10.2.2.3", site("10.2.0.0/16", 15, &["203.0.113.1"]));
    assert_eq!(messages(&story), 2);
}
