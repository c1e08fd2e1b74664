//! Whatever happens in whatever order: the forwarding table agrees with the map-cache, the prober
//! with the forwarding table, and nothing stays once nobody sends any more.

use super::*;
use crate::lisp::probe::Watch;
use weft_packet::lisp::RequestedEid;

const RLOCS: [&str; 5] =
    ["203.0.113.1", "203.0.113.2", "203.0.113.3", "2001:db8:7::1", "192.0.2.1"];
const ACTIONS: [Action; 4] =
    [Action::NoAction, Action::NativelyForward, Action::SendMapRequest, Action::DropNoReason];

/// A story with an own source of chance, and what the prober was told.
struct Chaos {
    story: Story,
    random: Random,
    watched: BTreeMap<IpAddr, EidPrefix>,
}

impl Chaos {
    fn new(seed: u8) -> Self {
        let settings = config::Itr {
            map_cache_limit: 12,
            idle_timeout: Duration::from_secs(100),
            ..settings()
        };
        let random = Random::new([seed; 32]);
        Self { story: Story::with(settings), random, watched: BTreeMap::new() }
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.random.below(of.len() as u64)).unwrap()].clone()
    }

    /// Few addresses, so that things meet.
    fn host(&mut self) -> String {
        format!("10.{}.{}.{}", self.random.below(3), self.random.below(3), self.random.below(3))
    }

    fn prefix_around(&mut self, host: &str) -> String {
        let length = self.pick(&[0, 8, 15, 16, 23, 24, 31, 32]);
        weft_packet::addr::Prefix::new(ip(host), length).unwrap().to_string()
    }

    fn record(&mut self, host: &str) -> MappingRecord {
        let about = self.prefix_around(host);
        let minutes = self.pick(&[0, 1, 1, 2, 15, u32::MAX]);
        if self.random.below(3) == 0 {
            let action = self.pick(&ACTIONS);
            return negative(&about, minutes, action);
        }
        let rlocs: Vec<_> = (0..=self.random.below(2)).map(|_| self.pick(&RLOCS)).collect();
        let mut record = site(&about, minutes, &rlocs);
        for locator in &mut record.locators {
            locator.priority = self.pick(&[1, 2, 255]);
            locator.reachable = self.random.below(5) > 0;
        }
        record
    }

    fn answer(&mut self) {
        let recent = self.story.asked.len().saturating_sub(6);
        let asked = self.story.asked[recent..].to_vec();
        if asked.is_empty() {
            return;
        }
        let asked = self.pick(&asked);
        let host = asked.eid.prefix.address().to_string();
        let mut records = vec![self.record(&host)];
        for _ in 0..self.random.below(3) {
            let other = self.host();
            records.push(self.record(&other));
        }
        self.story.answer(&asked, &records);
    }

    fn solicit(&mut self) {
        let host = self.host();
        let about = eid(&self.prefix_around(&host));
        let request = MapRequest {
            smr: true,
            eids: vec![RequestedEid { subscribe: false, eid: about.into() }],
            ..MapRequest::default()
        };
        let story = &mut self.story;
        story.itr.smr(story.now, datagram(), &request, &story.local, &mut story.out);
        story.absorb();
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..8 => {
                let host = self.host();
                self.story.packet(&host);
            }
            8..13 => self.answer(),
            13..16 => {
                let time = Duration::from_millis(self.random.below(40_000));
                self.story.pass(time);
            }
            16..18 => self.solicit(),
            18 => {
                let host = self.host();
                let within = eid(&self.prefix_around(&host));
                self.story.itr.flush(Some(within), &mut self.story.out);
                self.story.absorb();
            }
            _ => {
                let up = self.random.below(2) == 0;
                let rlocs: &[&str] = if up { &["192.0.2.1"] } else { &[] };
                let story = &mut self.story;
                story.local = Local::new(rlocs.iter().map(|r| uplink(1, r)).collect());
                story.itr.uplinks(story.now, &story.local, &mut story.out);
                story.absorb();
            }
        }
    }

    fn check(&mut self) {
        let story = &mut self.story;
        let learned: BTreeMap<_, _> = story
            .itr
            .cache
            .iter()
            .map(|(e, entry)| (e, story.itr.route(e, entry.content)))
            .collect();
        let routes: BTreeMap<_, _> = story
            .routes
            .iter()
            .filter(|((_, source), _)| *source == Source::Lisp)
            .map(|((key, _), route)| (key.eid, *route))
            .collect();
        assert_eq!(learned, routes, "at {}", story.now);
        assert!(learned.len() <= 12, "bounded");
        for watch in story.itr.take_watch_changes() {
            match watch {
                Watch::Use { rloc, about } => {
                    assert_ne!(self.watched.insert(rloc, about), Some(about));
                }
                Watch::Release { rloc } => assert!(self.watched.remove(&rloc).is_some()),
            }
        }
        let usable = |p: &&Path| p.priority != 255;
        let used: BTreeSet<_> =
            story.groups.values().flatten().filter(usable).map(|p| p.rloc).collect();
        assert_eq!(self.watched.keys().copied().collect::<BTreeSet<_>>(), used);
        for (rloc, about) in &self.watched {
            let Route::Encapsulate(group) = routes[about] else { panic!("{about} has no group") };
            assert!(story.groups[&group].iter().any(|p| p.rloc == *rloc));
        }
    }
}

#[test]
fn table_cache_and_prober_agree_and_everything_ends() {
    for seed in 0..60 {
        let mut chaos = Chaos::new(seed);
        for _ in 0..300 {
            chaos.step();
            chaos.check();
        }
        chaos.story.pass_secs(3 * 86_400);
        chaos.check();
        assert_eq!(chaos.story.itr.sizes(), (0, 0), "seed {seed}: {:?}", chaos.story.cached());
        assert!(chaos.story.groups.is_empty() && chaos.watched.is_empty());
        assert_eq!(chaos.story.itr.deadline(), None, "nothing to wake up for");
    }
}
