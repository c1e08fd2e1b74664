use super::*;

/// Sends a packet to each destination every 100 ms and counts those that were not encapsulated.
fn traffic(story: &mut Story, seconds: u64, destinations: &[&str]) -> usize {
    let mut lost = 0;
    for _ in 0..seconds * 10 {
        for destination in destinations {
            lost += usize::from(!matches!(story.packet(destination), Route::Encapsulate(_)));
        }
        story.pass(Duration::from_millis(100));
    }
    lost
}

fn removed(story: &Story) -> Vec<(String, &'static str)> {
    let removed = |e: &Event| match e {
        Event::MappingRemoved { eid, why } => Some((eid.to_string(), *why)),
        _ => None,
    };
    story.events.iter().filter_map(removed).collect()
}

/// Seconds until each cached mapping ends.
fn lives(story: &Story) -> Vec<u64> {
    story.itr.cache.iter().map(|(_, entry)| entry.expires.since(story.now).as_secs()).collect()
}

#[test]
fn traffic_never_notices_that_mappings_expire() {
    let mut story = Story::new();
    let records =
        [site("10.1.0.0/16", 1, &["203.0.113.1"]), site("10.2.0.0/16", 1, &["203.0.113.2"])];
    story.serve(&[MR1], &records);
    story.packet("10.1.2.3");
    story.packet("10.2.2.3");
    assert_eq!(traffic(&mut story, 600, &["10.1.2.3", "10.2.2.3"]), 0);
    let refreshes = story.asked.len() - 2;
    assert!((20..=26).contains(&refreshes), "{refreshes} in ten lives of two mappings");
    let refresh = story.last();
    assert!(refresh.eid == eid("10.1.0.0/16") || refresh.eid == eid("10.2.0.0/16"));
    assert_eq!(refresh.request.source_eid, Address::None, "no packet caused it");
    assert_eq!(removed(&story), []);
}

#[test]
fn a_mapping_in_use_outlives_its_ttl_while_its_refresh_is_retried() {
    let mut story = Story::with(config::Itr { map_request_retries: 4, ..settings() });
    story.serve(&[MR1], &[site("10.1.0.0/16", 1, &["203.0.113.1"])]);
    story.packet("10.1.2.3");
    // Nobody answers from 45 s to 62 s: past the end of the TTL.
    assert_eq!(traffic(&mut story, 45, &["10.1.2.3"]), 0);
    story.serve(&[], &[]);
    assert_eq!(traffic(&mut story, 17, &["10.1.2.3"]), 0);
    story.serve(&[MR1], &[site("10.1.0.0/16", 1, &["203.0.113.2"])]);
    assert_eq!(traffic(&mut story, 60, &["10.1.2.3"]), 0);
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.2"]);
    assert_eq!(removed(&story), []);
}

#[test]
fn a_mapping_nobody_confirms_goes_in_the_end() {
    let mut story = Story::new();
    story.serve(&[MR1], &[site("10.1.0.0/16", 1, &["203.0.113.1"])]);
    story.packet("10.1.2.3");
    story.serve(&[], &[]);
    traffic(&mut story, 90, &["10.1.2.3"]);
    assert_eq!(removed(&story), [("10.1.0.0/16".to_owned(), "expired")]);
    assert_eq!(story.route("10.1.2.3"), Route::Resolve);
    assert!(story.groups.is_empty());
}

#[test]
fn a_mapping_out_of_use_is_not_refreshed() {
    let idle_timeout = Duration::from_secs(100);
    let mut story = Story::with(config::Itr { idle_timeout, ..settings() });
    story.serve(&[MR1], &[site("10.1.0.0/16", 15, &["203.0.113.1"])]);
    story.packet("10.1.2.3");
    traffic(&mut story, 300, &["10.1.2.3"]);
    story.pass_secs(599);
    assert_eq!(story.cached(), ["10.1.0.0/16"]);
    story.pass_secs(3);
    assert_eq!(removed(&story), [("10.1.0.0/16".to_owned(), "idle")]);
    assert_eq!(story.asked.len(), 1);
}

#[test]
fn a_mapping_used_again_at_the_last_moment_is_kept() {
    let idle_timeout = Duration::from_secs(100);
    let mut story = Story::with(config::Itr { idle_timeout, ..settings() });
    story.serve(&[MR1], &[site("10.1.0.0/16", 15, &["203.0.113.1"])]);
    story.packet("10.1.2.3");
    story.pass_secs(890);
    assert_eq!(traffic(&mut story, 20, &["10.1.2.3"]), 0);
    assert_eq!(story.asked.len(), 2);
    assert_eq!(removed(&story), []);
}

#[test]
fn a_changed_answer_moves_traffic_without_a_gap() {
    let mut story = Story::new();
    story.serve(&[MR1], &[site("10.1.0.0/16", 1, &["203.0.113.1"])]);
    story.packet("10.1.2.3");
    story.serve(&[MR1], &[site("10.1.0.0/16", 1, &["203.0.113.2"])]);
    assert_eq!(traffic(&mut story, 60, &["10.1.2.3"]), 0);
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.2"]);
    assert_eq!(story.groups.len(), 1, "the old locator-set is gone");
}

#[test]
fn lives_are_bounded_and_unlimited_ones_ours_to_choose() {
    let max_ttl = Duration::from_hours(1);
    let mut story = Story::with(config::Itr { max_ttl, ..settings() });
    let records = [
        site("10.1.0.0/16", u32::MAX, &["203.0.113.1"]),
        site("10.2.0.0/16", 1440, &["203.0.113.1"]),
    ];
    story.serve(&[MR1], &records);
    story.packet("10.1.2.3");
    story.packet("10.2.2.3");
    assert_eq!(lives(&story), [3600, 3600]);
}

#[test]
fn a_wider_mapping_ends_with_the_narrower_ones_it_would_cover_up() {
    let mut story = Story::new();
    story.packet("10.1.2.3");
    story.answer(&story.last(), &[site("10.1.0.0/16", 2, &["203.0.113.1"])]);
    story.packet("10.2.2.3");
    story.answer(&story.last(), &[site("10.0.0.0/8", 1440, &["203.0.113.2"])]);
    assert_eq!(story.cached(), ["10.0.0.0/8", "10.1.0.0/16"], "the narrower one stays");
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.1"]);
    assert_eq!(lives(&story), [120, 120]);
}

#[test]
fn a_narrower_mapping_that_ends_leaves_a_hole_that_asks() {
    let idle_timeout = Duration::from_secs(20);
    let mut story = Story::with(config::Itr { idle_timeout, ..settings() });
    let records =
        [site("10.0.0.0/8", 1, &["203.0.113.2"]), site("10.1.0.0/16", 1, &["203.0.113.1"])];
    story.serve(&[MR1], &records);
    story.packet("10.1.2.3");
    story.packet("10.2.2.3");
    // Only the wider one is used; this Map-Server does not tell of the narrower one with it.
    assert_eq!(traffic(&mut story, 200, &["10.2.2.3"]), 0);
    assert_eq!(removed(&story), [("10.1.0.0/16".to_owned(), "idle")]);
    assert_eq!(story.packet("10.1.2.3"), Route::Resolve, "not to the wider one's site");
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.1"]);
    // Once nobody uses the wider one either, nothing stays.
    story.pass_secs(400);
    assert_eq!(story.cached(), [""; 0]);
}

#[test]
fn a_refresh_answered_by_a_wider_mapping_replaces_the_narrow_one() {
    let mut story = Story::new();
    story.serve(
        &[MR1],
        &[site("10.1.0.0/17", 1, &["203.0.113.1"]), site("10.1.128.0/17", 1, &["203.0.113.1"])],
    );
    story.packet("10.1.2.3");
    story.packet("10.1.200.3");
    story.serve(&[MR1], &[site("10.1.0.0/16", 1, &["203.0.113.2"])]);
    assert_eq!(traffic(&mut story, 70, &["10.1.2.3", "10.1.200.3"]), 0);
    assert_eq!(story.cached(), ["10.1.0.0/16"]);
}

#[test]
fn a_refresh_answered_by_narrower_mappings_is_taken_apart() {
    let mut story = Story::new();
    story.packet("10.1.2.3");
    story.answer(&story.last(), &[site("10.1.0.0/16", 1, &["203.0.113.1"])]);
    traffic(&mut story, 55, &["10.1.2.3"]);
    let refresh = story.last();
    assert_eq!(refresh.eid, eid("10.1.0.0/16"));
    story.answer(&refresh, &[site("10.1.0.0/18", 1, &["203.0.113.2"])]);
    assert_eq!(story.cached(), ["10.1.0.0/18"]);
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.2"]);
    assert_eq!(story.packet("10.1.200.3"), Route::Resolve);
}

#[test]
fn the_least_recently_used_make_room_in_their_instance() {
    let idle_timeout = Duration::from_secs(2);
    let map_cache_limit = 8;
    let mut story = Story::with(config::Itr { map_cache_limit, idle_timeout, ..settings() });
    for i in 0..8 {
        story.packet(&format!("10.{i}.2.3"));
        story.answer(&story.last(), &[site(&format!("10.{i}.0.0/16"), 15, &["203.0.113.1"])]);
    }
    story.packet_in(7, "10.0.2.3");
    story.answer(&story.last(), &[site("7:10.0.0.0/16", 15, &["203.0.113.1"])]);
    traffic(
        &mut story,
        5,
        &["10.0.0.1", "10.2.0.1", "10.3.0.1", "10.4.0.1", "10.5.0.1", "10.7.0.1"],
    );
    for i in [8, 9] {
        story.packet(&format!("10.{i}.2.3"));
        story.answer(&story.last(), &[site(&format!("10.{i}.0.0/16"), 15, &["203.0.113.1"])]);
    }
    let evicted = [("10.1.0.0/16".to_owned(), "evicted"), ("10.6.0.0/16".to_owned(), "evicted")];
    assert_eq!(removed(&story), evicted);
    assert_eq!(story.itr.sizes().0, 9);
    assert_eq!(story.groups.len(), 1);
}

#[test]
fn negative_mappings_push_out_only_each_other() {
    let mut story = Story::with(config::Itr { map_cache_limit: 16, ..settings() });
    for i in 0..10 {
        story.packet(&format!("10.{i}.2.3"));
        story.answer(&story.last(), &[site(&format!("10.{i}.0.0/16"), 15, &["203.0.113.1"])]);
    }
    for i in 0..50 {
        story.packet(&format!("11.{i}.2.3"));
        let hole = negative(&format!("11.{i}.0.0/16"), 15, Action::NativelyForward);
        story.answer(&story.last(), &[hole]);
    }
    let cached = story.cached();
    assert_eq!(cached.iter().filter(|e| e.starts_with("10.")).count(), 10);
    assert_eq!(cached.iter().filter(|e| e.starts_with("11.")).count(), 4);
}

#[test]
fn an_evicted_narrower_mapping_takes_the_wider_one_along() {
    let mut story = Story::with(config::Itr { map_cache_limit: 2, ..settings() });
    story.packet("10.1.2.3");
    let both =
        [site("10.0.0.0/8", 15, &["203.0.113.2"]), site("10.1.0.0/16", 15, &["203.0.113.1"])];
    story.answer(&story.last(), &both);
    story.pass_secs(1);
    story.packet("11.1.2.3");
    story.answer(&story.last(), &[site("11.0.0.0/8", 15, &["203.0.113.2"])]);
    assert!(!story.rlocs("11.0.0.1").is_empty());
    let wrong = story.rlocs("10.1.2.3") == ["203.0.113.2"];
    assert!(!wrong, "packets to 10.1/16 must not follow 10/8");
}

#[test]
fn twenty_thousand_mappings_of_one_site_share_a_group() {
    let mut story = Story::with(config::Itr { map_cache_limit: 200_000, ..settings() });
    for i in 0..20_000_u32 {
        let host = std::net::Ipv4Addr::from(0x0a00_0000 + i);
        let destination = IpAddr::V4(host);
        let punt = Punt { instance: InstanceId::DEFAULT, source: ip(HOST), destination };
        story.itr.punt(story.now, punt, &story.local, &mut story.out);
        let sent = story.out.0.drain(..).find_map(|a| match a {
            engine::Action::Send { bytes, .. } => Some(bytes),
            _ => None,
        });
        let Message::Encapsulated(ecm) = Message::from_bytes(&sent.unwrap()).unwrap() else {
            panic!()
        };
        let Message::MapRequest(request) = *ecm.message else { panic!() };
        let records = vec![site(&format!("{host}/32"), 15, &["203.0.113.1", "203.0.113.2"])];
        let reply = MapReply { nonce: request.nonce, records, ..MapReply::default() };
        story.itr.reply(story.now, datagram(), reply, &story.local, &mut story.out);
        story.now = story.now + Duration::from_millis(1);
    }
    story.out.0.clear();
    let status = story.itr.status(story.now);
    assert_eq!((status.map_cache.len(), status.locator_sets), (20_000, 1));
    assert_eq!(story.itr.take_watch_changes().len(), 2);
}
