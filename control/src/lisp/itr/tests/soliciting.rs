use super::*;
use weft_packet::lisp::RequestedEid;

/// A site says that a mapping changed.
fn smr(story: &mut Story, eids: &[&str]) {
    news(story, eids, 99);
}

/// It says so with this nonce.
fn news(story: &mut Story, eids: &[&str], nonce: u64) {
    let request = MapRequest {
        smr: true,
        nonce: Nonce(nonce),
        itr_rlocs: vec![Address::Ip(ip("203.0.113.66"))],
        eids: eids.iter().map(|e| RequestedEid { subscribe: false, eid: eid(e).into() }).collect(),
        ..MapRequest::default()
    };
    story.itr.smr(story.now, datagram(), &request, &story.local, &mut story.out);
    story.absorb();
}

fn with_mapping() -> Story {
    let mut story = Story::new();
    story.packet("10.1.2.3");
    story.answer(&story.last(), &[site("10.1.0.0/16", 15, &["203.0.113.1"])]);
    story.asked.clear();
    story
}

#[test]
fn a_solicitation_is_verified_through_the_mapping_system() {
    let mut story = with_mapping();
    smr(&mut story, &["10.1.0.0/16"]);
    let asked = story.last();
    assert_eq!((asked.to, asked.eid), (ip(MR1), eid("10.1.0.0/16")));
    assert!(asked.request.smr_invoked && !asked.request.smr);
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.1"], "as before until the answer comes");
    story.answer(&asked, &[site("10.1.0.0/16", 15, &["203.0.113.2"])]);
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.2"]);
}

#[test]
fn a_solicitation_about_nothing_cached_is_ignored() {
    let mut story = with_mapping();
    smr(&mut story, &["10.2.0.0/16"]);
    smr(&mut story, &["7:10.1.0.0/16"]);
    story.pass_secs(10);
    assert_eq!(story.asked.len(), 0);
    assert_eq!(story.itr.counters().smr_ignored, 2);
}

/// OpenOverlayRouter puts what changed into the source EID, and our own prefix into the record.
#[test]
fn a_solicitation_that_names_the_change_as_its_source_is_understood() {
    let mut story = with_mapping();
    let request = MapRequest {
        smr: true,
        source_eid: Address::Ip(ip("10.1.0.0")),
        itr_rlocs: vec![Address::Ip(ip("203.0.113.66"))],
        eids: vec![RequestedEid { subscribe: false, eid: eid("10.99.0.0/16").into() }],
        ..MapRequest::default()
    };
    story.itr.smr(story.now, datagram(), &request, &story.local, &mut story.out);
    story.absorb();
    let asked = story.last();
    assert_eq!((asked.to, asked.eid), (ip(MR1), eid("10.1.0.0/32")));
    story.answer(&asked, &[site("10.1.0.0/16", 15, &["203.0.113.2"])]);
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.2"]);
}

#[test]
fn solicitations_are_answered_once_in_three_seconds_and_the_last_one_counts() {
    let mut story = with_mapping();
    story.serve(&[MR1], &[site("10.1.0.0/16", 15, &["203.0.113.2"])]);
    smr(&mut story, &["10.1.0.0/16"]);
    story.pass(Duration::from_millis(500));
    story.serve(&[MR1], &[site("10.1.0.0/16", 15, &["203.0.113.3"])]);
    for nonce in 0..20 {
        news(&mut story, &["10.1.0.0/16"], nonce);
    }
    assert_eq!(story.asked.len(), 1);
    story.pass_secs(20);
    assert_eq!(story.asked.len(), 2);
    let [first, second] = &story.asked[..] else { panic!() };
    assert_eq!(second.at.since(first.at), Duration::from_secs(3));
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.3"]);
    assert!(story.itr.deadline().is_some(), "the mapping's own timers go on");
}

#[test]
fn solicitations_that_come_to_each_of_our_rlocs_are_one() {
    let mut story = with_mapping();
    for _ in 0..4 {
        smr(&mut story, &["10.1.0.0/16"]);
    }
    let first = story.last();
    story.answer(&first, &[site("10.1.0.0/16", 15, &["203.0.113.2"])]);
    story.pass(Duration::from_millis(3500));
    assert_eq!(story.asked.len(), 1);
    smr(&mut story, &["10.1.0.0/16"]);
    assert_eq!(story.asked.len(), 2, "the next news does not wait for the same news");
}

#[test]
fn one_that_comes_after_the_answer_is_the_same_news_if_its_nonce_is() {
    let mut story = with_mapping();
    story.serve(&[MR1], &[site("10.1.0.0/16", 15, &["203.0.113.2"])]);
    for _ in 0..4 {
        news(&mut story, &["10.1.0.0/16"], 1);
        story.pass(Duration::from_millis(10));
    }
    story.pass(Duration::from_millis(3500));
    assert_eq!(story.asked.len(), 1);
    news(&mut story, &["10.1.0.0/16"], 2);
    assert_eq!(story.asked.len(), 2, "the next news does not wait for the same news");
    news(&mut story, &["10.1.0.0/16"], 3);
    story.pass(Duration::from_millis(3500));
    assert_eq!(story.asked.len(), 3, "news is not lost");
}

#[test]
fn a_wide_solicitation_asks_for_what_is_cached_inside_and_a_narrow_one_for_itself() {
    let mut story = with_mapping();
    story.packet("10.2.2.3");
    story.answer(&story.last(), &[site("10.2.0.0/16", 15, &["203.0.113.1"])]);
    story.asked.clear();
    smr(&mut story, &["10.0.0.0/8"]);
    let asked: Vec<_> = story.asked.iter().map(|a| a.eid).collect();
    assert_eq!(asked, [eid("10.1.0.0/16"), eid("10.2.0.0/16")]);
    smr(&mut story, &["10.1.5.0/24"]);
    let narrow = story.last();
    assert_eq!(narrow.eid, eid("10.1.5.0/24"));
    story.answer(&narrow, &[site("10.1.5.0/24", 15, &["203.0.113.5"])]);
    assert_eq!(story.rlocs("10.1.5.9"), ["203.0.113.5"]);
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.1"]);
}

#[test]
fn a_flood_of_solicitations_is_bounded() {
    let mut story = with_mapping();
    for i in 0..6000 {
        smr(&mut story, &[&format!("10.1.{}.{}/32", i / 250, i % 250)]);
    }
    assert!(story.refusals().contains(&Refusal::RateLimited));
    story.pass_secs(2);
    assert_eq!(story.asked.iter().map(|a| a.eid).collect::<BTreeSet<_>>().len(), 4096);
}

#[test]
fn a_solicited_mapping_nobody_confirms_is_kept_until_it_ends() {
    let mut story = with_mapping();
    smr(&mut story, &["10.1.0.0/16"]);
    story.pass_secs(60);
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.1"]);
    assert_eq!(story.asked.len(), 3);
    story.pass_secs(900);
    assert_eq!(story.cached(), [""; 0]);
}
