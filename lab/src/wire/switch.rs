//! The behaviour of a wire, apart from devices and clocks: which frame comes out where and when.
//! A learning switch with one queue an end; each queue has a rate, a delay and a bound.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::topology::Impairment;

/// Frames that may be under way to one end at any time, whatever the delay.
const IN_FLIGHT_LIMIT: usize = 65_536;

/// A wire with its frames.
#[derive(Debug)]
pub(super) struct Switch {
    /// May be changed at any time; frames already accepted keep their time.
    pub(super) impairment: Impairment,
    random: u64,
    learned: HashMap<[u8; 6], usize>,
    ends: Vec<End>,
}

#[derive(Debug, Default)]
struct End {
    cut: bool,
    blackholed: bool,
    /// When the frame accepted last has been sent at the rate.
    busy_until: Option<Instant>,
    under_way: VecDeque<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    sent: Instant,
    arrives: Instant,
    frame: Vec<u8>,
}

impl Switch {
    pub(super) fn new(ends: usize, impairment: Impairment) -> Self {
        let random = impairment.seed;
        let ends = std::iter::repeat_with(End::default).take(ends).collect();
        Self { impairment, random, learned: HashMap::new(), ends }
    }

    /// A frame was sent into the wire at `from`.
    pub(super) fn frame(&mut self, now: Instant, from: usize, frame: &[u8]) {
        let Some((destination, source)) = addresses(frame) else { return };
        if self.dead(from) {
            return;
        }
        self.learned.insert(source, from);
        match self.learned.get(&destination) {
            Some(&to) if to != from => self.enqueue(now, to, frame),
            Some(_) => {}
            None => {
                for to in (0..self.ends.len()).filter(|to| *to != from) {
                    self.enqueue(now, to, frame);
                }
            }
        }
    }

    /// The next frame that has arrived by `now`, with its end.
    pub(super) fn arrived(&mut self, now: Instant) -> Option<(usize, Vec<u8>)> {
        let due = |end: &End| end.under_way.front().is_some_and(|first| first.arrives <= now);
        let to = self.ends.iter().position(due)?;
        self.ends[to].under_way.pop_front().map(|under_way| (to, under_way.frame))
    }

    /// When the next frame arrives.
    pub(super) fn next_arrival(&self) -> Option<Instant> {
        self.ends.iter().filter_map(|end| Some(end.under_way.front()?.arrives)).min()
    }

    /// Takes an end's carrier away or gives it back; what was under way to it is lost.
    pub(super) fn set_cut(&mut self, end: usize, cut: bool) {
        self.ends[end].cut = cut;
        self.forget(end);
    }

    /// Begins or ends a silent black hole at an end.
    pub(super) fn set_blackholed(&mut self, end: usize, blackholed: bool) {
        self.ends[end].blackholed = blackholed;
        self.forget(end);
    }

    fn forget(&mut self, end: usize) {
        self.ends[end].under_way.clear();
        self.ends[end].busy_until = None;
    }

    fn dead(&self, end: usize) -> bool {
        self.ends[end].cut || self.ends[end].blackholed
    }

    fn enqueue(&mut self, now: Instant, to: usize, frame: &[u8]) {
        if self.dead(to) || self.lost() {
            return;
        }
        let queue = self.impairment.queue;
        let delay = self.impairment.delay;
        let duration =
            self.impairment.rate.map_or(Duration::ZERO, |rate| transmission(frame, rate));
        let end = &mut self.ends[to];
        let waiting = end.under_way.iter().rev().take_while(|frame| frame.sent > now).count();
        if waiting > queue || end.under_way.len() >= IN_FLIGHT_LIMIT {
            return;
        }
        let sent = end.busy_until.map_or(now, |busy| busy.max(now)) + duration;
        // a delay made shorter must not let later frames overtake
        let arrives = end.under_way.back().map_or(sent, |last| last.arrives).max(sent + delay);
        end.busy_until = Some(sent);
        end.under_way.push_back(UnderWay { sent, arrives, frame: frame.to_vec() });
    }

    fn lost(&mut self) -> bool {
        if self.impairment.loss <= 0.0 {
            return false;
        }
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let uniform = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        uniform * 100.0 < self.impairment.loss
    }
}

/// How long a frame occupies a link of `rate` bits a second.
fn transmission(frame: &[u8], rate: f64) -> Duration {
    Duration::try_from_secs_f64(frame.len() as f64 * 8.0 / rate).unwrap_or(Duration::MAX)
}

fn addresses(frame: &[u8]) -> Option<([u8; 6], [u8; 6])> {
    let (destination, rest) = frame.split_first_chunk()?;
    let (source, _) = rest.split_first_chunk()?;
    Some((*destination, *source))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
    const B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];
    const ALL: [u8; 6] = [0xff; 6];

    fn frame(to: [u8; 6], from: [u8; 6], number: u8) -> Vec<u8> {
        let mut frame = [to, from].concat();
        frame.resize(99, 0);
        frame.push(number);
        frame
    }

    /// Everything that has arrived by `now`: end and number of each frame.
    fn arrived(switch: &mut Switch, now: Instant) -> Vec<(usize, u8)> {
        std::iter::from_fn(|| switch.arrived(now)).map(|(end, frame)| (end, frame[99])).collect()
    }

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn frames_arrive_after_the_delay_in_order() {
        let start = Instant::now();
        let mut switch = Switch::new(2, Impairment { delay: millis(20), ..Impairment::default() });
        switch.frame(start, 0, &frame(B, A, 1));
        switch.frame(start + millis(1), 0, &frame(B, A, 2));
        assert_eq!(switch.next_arrival(), Some(start + millis(20)));
        assert_eq!(arrived(&mut switch, start + millis(19)), []);
        assert_eq!(arrived(&mut switch, start + millis(20)), [(1, 1)]);
        assert_eq!(arrived(&mut switch, start + millis(21)), [(1, 2)]);
    }

    #[test]
    fn a_shorter_delay_does_not_reorder() {
        let start = Instant::now();
        let mut switch = Switch::new(2, Impairment { delay: millis(20), ..Impairment::default() });
        switch.frame(start, 0, &frame(B, A, 1));
        switch.impairment.delay = millis(1);
        switch.frame(start, 0, &frame(B, A, 2));
        assert_eq!(arrived(&mut switch, start + millis(19)), []);
        assert_eq!(arrived(&mut switch, start + millis(20)), [(1, 1), (1, 2)]);
    }

    #[test]
    fn unknown_destinations_reach_all_others_and_known_ones_only_theirs() {
        let now = Instant::now();
        let mut switch = Switch::new(3, Impairment::default());
        switch.frame(now, 0, &frame(ALL, A, 1));
        assert_eq!(arrived(&mut switch, now), [(1, 1), (2, 1)]);
        switch.frame(now, 2, &frame(A, B, 2));
        assert_eq!(arrived(&mut switch, now), [(0, 2)]);
        switch.frame(now, 1, &frame(B, [2; 6], 3));
        assert_eq!(arrived(&mut switch, now), [(2, 3)]);
    }

    #[test]
    fn the_rate_spaces_frames_and_the_queue_bounds_them() {
        let start = Instant::now();
        // 100 octets at 800 kbit/s take 1 ms
        let slow = Impairment { rate: Some(8e5), queue: 2, ..Impairment::default() };
        let mut switch = Switch::new(2, slow);
        for number in 1..=5 {
            switch.frame(start, 0, &frame(B, A, number));
        }
        assert_eq!(arrived(&mut switch, start + millis(1)), [(1, 1)]);
        assert_eq!(arrived(&mut switch, start + millis(100)), [(1, 2), (1, 3)]);
    }

    #[test]
    fn a_black_hole_swallows_both_directions_until_it_is_healed() {
        let now = Instant::now();
        let mut switch = Switch::new(2, Impairment::default());
        switch.set_blackholed(1, true);
        switch.frame(now, 0, &frame(B, A, 1));
        switch.frame(now, 1, &frame(A, B, 2));
        assert_eq!(arrived(&mut switch, now), []);
        switch.set_blackholed(1, false);
        switch.frame(now, 1, &frame(A, B, 3));
        assert_eq!(arrived(&mut switch, now), [(0, 3)]);
    }

    #[test]
    fn the_same_seed_loses_the_same_frames_and_about_the_wanted_share() {
        let lost = |seed| {
            let now = Instant::now();
            let mut switch =
                Switch::new(2, Impairment { loss: 20.0, seed, ..Impairment::default() });
            let mut kept = Vec::new();
            for _ in 0..1000 {
                switch.frame(now, 0, &frame(B, A, 0));
                kept.push(!arrived(&mut switch, now).is_empty());
            }
            kept
        };
        assert_eq!(lost(7), lost(7));
        assert_ne!(lost(7), lost(8));
        let kept = lost(7).into_iter().filter(|kept| *kept).count();
        assert!((750..=850).contains(&kept), "{kept} of 1000 kept at 20% loss");
    }

    #[test]
    fn a_frame_too_short_for_two_addresses_is_ignored() {
        let mut switch = Switch::new(2, Impairment::default());
        switch.frame(Instant::now(), 0, &[0; 11]);
        assert_eq!(switch.next_arrival(), None);
    }
}
