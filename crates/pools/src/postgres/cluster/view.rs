//! Which server is the primary, and what each of the others is good for: decided from what each says of
//! itself, and from what was known before.
//!
//! A promotion begins a new timeline, whose number is higher than any that there was (PostgreSQL's manual,
//! 26.3.5 "Timelines"). So of two servers that both take writes, the one on the lower timeline is an old
//! primary that has come back.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::postgres::engine::LONGEST;

/// Promotions that are remembered.
const MOST_SWITCHES: usize = 16;
/// Positions of the primary that are remembered, by which lag is told in time.
const MOST_SAMPLES: u32 = 512;

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    /// Which database cluster it is of.
    pub(super) system: u64,
    /// Whether it only replays what another one writes.
    pub(super) is_standby: bool,
    /// Of a primary, the timeline that it writes; of a standby, one that it has reached at least.
    pub(super) timeline: u32,
    /// How far a primary has written.
    pub(super) inserted: Option<u64>,
    /// How far it has replayed; after a promotion, where that ended.
    pub(super) replayed: Option<u64>,
    /// The timeline that a standby is sent, where the role may know.
    pub(super) received_timeline: Option<u32>,
    /// Whether it was a standby once when it was asked on this connection.
    pub(super) was_standby: bool,
}

/// What is known of the servers.
#[derive(Debug)]
pub(crate) struct View {
    reports: Vec<Option<Report>>,
    system: Option<u64>,
    /// The highest timeline that was heard of.
    timeline: u32,
    primary: Option<usize>,
    /// The timeline that is written, and by whom: one timeline is one server's.
    owner: Option<(u32, usize)>,
    /// The timeline that each server was on when it was a standby last.
    followed: Vec<u32>,
    switches: VecDeque<Switch>,
    /// Between two samples, at least.
    spacing: Duration,
    samples: VecDeque<(Instant, u64)>,
    /// Which servers have been asked.
    asked: Vec<bool>,
    rivals: Option<(usize, usize)>,
}

/// A promotion that was watched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Switch {
    to: u32,
    /// What was written before it on the older timeline is on the new one, too.
    at: u64,
}

/// What a server is good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// It takes writes.
    Primary,
    /// It follows the primary.
    Standby { lag: Lag },
    /// It did not answer.
    Unreachable,
    /// It is of another database cluster.
    Foreign,
    /// It took writes once and was replaced, or it takes writes as another one does.
    Superseded,
    /// It has replayed what the primary never had.
    Diverged,
}

/// How far a standby is behind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Lag {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

impl Lag {
    /// More than anybody wants.
    const UNKNOWN: Lag = Lag {
        bytes: u64::MAX,
        time: LONGEST,
    };
}

/// What is known of a position that a read must have reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Known {
    /// It is in the history of the current timeline.
    Contained,
    /// The timeline has not been seen yet.
    Ahead,
    /// It is past the point where its timeline was left, or nobody knows that it is not.
    Lost,
    /// It is of another database cluster.
    Foreign,
}

impl View {
    pub(super) fn new(members: usize, max_lag: Duration) -> View {
        View {
            reports: vec![None; members],
            system: None,
            timeline: 0,
            primary: None,
            owner: None,
            followed: vec![0; members],
            switches: VecDeque::new(),
            spacing: max_lag.min(LONGEST) * 2 / MOST_SAMPLES,
            samples: VecDeque::new(),
            asked: vec![false; members],
            rivals: None,
        }
    }

    /// Notes what a server has said, or that it did not answer.
    pub(super) fn note(&mut self, member: usize, report: Option<Report>, now: Instant) {
        if let Some(report) = report.as_ref().filter(|it| it.is_standby) {
            self.followed[member] = report.timeline;
        }
        self.asked[member] = true;
        self.reports[member] = report;
        if self.is_complete() {
            self.decide();
        }
        let written = self.primary_report().and_then(|it| it.inserted);
        if let Some(inserted) = written.filter(|_| self.primary == Some(member)) {
            self.sample(now, inserted);
        }
    }

    /// Remembers how far the primary had written, over twice the lag that is of interest.
    fn sample(&mut self, now: Instant, inserted: u64) {
        if let [.., (before, _), last] = self.samples.make_contiguous()
            && (last.1 == inserted || now < *before + self.spacing)
        {
            *last = (now, inserted);
            return;
        }
        if self.samples.len() >= MOST_SAMPLES as usize {
            self.samples.pop_front();
        }
        self.samples.push_back((now, inserted));
    }

    fn decide(&mut self) {
        self.system = self.system.or_else(|| self.most_common_system());
        let highest = self.ours().map(|(_, it)| it.timeline).max();
        let before = self.timeline;
        self.timeline = before.max(highest.unwrap_or(0));
        let writing: Vec<usize> = self
            .ours()
            .filter(|(_, it)| !it.is_standby && it.timeline == self.timeline)
            .map(|(member, _)| member)
            .collect();
        let owner = self
            .owner
            .filter(|(timeline, _)| *timeline == self.timeline);
        let owner = owner.map(|(_, owner)| owner);
        (self.primary, self.rivals) = match (owner, &writing[..]) {
            // Who does not answer may be there again, as long as nobody is known to have taken its place.
            (Some(owner), []) => (Some(owner).filter(|it| self.reports[*it].is_none()), None),
            (None, []) => (None, None),
            (None, [only]) => (Some(*only), None),
            (Some(owner), [only]) if owner == *only => (Some(owner), None),
            // Two that were promoted apart. Whoever had the writes keeps them; where that is nobody, nobody
            // has.
            (Some(owner), others) => {
                let rival = others.iter().find(|it| **it != owner);
                (Some(owner), rival.map(|rival| (owner, *rival)))
            }
            (None, [first, second, ..]) => (None, Some((*first, *second))),
        };
        if let Some(primary) = self.primary {
            self.owner = Some((self.timeline, primary));
        }
        if self.timeline > before {
            self.samples.clear();
        }
        self.note_switch();
    }

    /// Where the older timeline was left, if the promotion was watched: after a crash, a server tells where
    /// replay ended in the same way, and that is somewhere else.
    fn note_switch(&mut self) {
        let Some(report) = self.primary_report().filter(|it| it.was_standby) else {
            return;
        };
        let Some(at) = report.replayed else { return };
        let to = report.timeline;
        // Where a number was left out, nobody knows which timeline this one was begun from.
        if self.primary.map(|it| self.followed[it] + 1) != Some(to) {
            return;
        }
        if self.switches.iter().any(|it| it.to == to) {
            return;
        }
        if self.switches.len() >= MOST_SWITCHES {
            self.switches.pop_front();
        }
        self.switches.push_back(Switch { to, at });
    }

    /// That of the most servers; of as many, that of the first in the URL.
    fn most_common_system(&self) -> Option<u64> {
        let systems = || self.reports.iter().flatten().map(|it| it.system);
        let count = |system: u64| systems().filter(|it| *it == system).count();
        let most = systems().map(count).max()?;
        systems().find(|it| count(*it) == most)
    }

    /// Those that are of this cluster.
    fn ours(&self) -> impl Iterator<Item = (usize, &Report)> {
        let all = self.reports.iter().enumerate();
        let known = all.filter_map(|(member, it)| Some((member, it.as_ref()?)));
        known.filter(|(_, it)| Some(it.system) == self.system)
    }

    fn primary_report(&self) -> Option<&Report> {
        self.reports[self.primary?].as_ref()
    }

    /// Hears of a timeline from elsewhere, such as from a token.
    pub(super) fn hear(&mut self, timeline: u32) {
        if timeline > self.timeline {
            self.timeline = timeline;
            self.primary = None;
            self.samples.clear();
        }
    }

    /// Whether each server was asked.
    pub(super) fn is_complete(&self) -> bool {
        self.asked.iter().all(|it| *it)
    }

    pub(super) fn primary(&self) -> Option<usize> {
        self.primary
    }

    pub(super) fn timeline(&self) -> u32 {
        self.timeline
    }

    pub(super) fn system(&self) -> Option<u64> {
        self.system
    }

    /// Two servers that take writes on the same timeline.
    pub(super) fn rivals(&self) -> Option<(usize, usize)> {
        self.rivals
    }

    pub(super) fn standing(&self, member: usize, now: Instant) -> Standing {
        let (Some(report), Some(system)) = (&self.reports[member], self.system) else {
            return Standing::Unreachable;
        };
        if report.system != system {
            return Standing::Foreign;
        }
        if !report.is_standby {
            return match self.primary == Some(member) {
                true => Standing::Primary,
                false => Standing::Superseded,
            };
        }
        let replayed = report.replayed.unwrap_or(0);
        if let Some(switch) = self.switches.back()
            && report.timeline < switch.to
            && replayed > switch.at
        {
            // Who receives an older timeline has gone on with that. Where it does not show, nobody knows.
            return match report.received_timeline {
                Some(_) => Standing::Diverged,
                None => Standing::Standby { lag: Lag::UNKNOWN },
            };
        }
        Standing::Standby {
            lag: self.lag(replayed, now),
        }
    }

    /// How far behind a position is. In time: since the primary was last seen to have written no more than
    /// that, which needs no clock but ours, and is nothing where nothing was written since.
    fn lag(&self, replayed: u64, now: Instant) -> Lag {
        let Some((_, newest)) = self.samples.back() else {
            return Lag::default();
        };
        if *newest <= replayed {
            return Lag::default();
        }
        let reached = self.samples.iter().rev().find(|(_, at)| *at <= replayed);
        Lag {
            bytes: newest - replayed,
            time: reached.map_or(LONGEST, |(at, _)| now.saturating_duration_since(*at)),
        }
    }

    /// The timeline that a standby is known to have reached.
    pub(super) fn reached(&self, member: usize) -> u32 {
        self.reports[member].as_ref().map_or(0, |it| it.timeline)
    }

    /// What is known of a position.
    pub(super) fn judge(&self, system: u64, timeline: u32, lsn: u64) -> Known {
        if self.system.is_some_and(|it| it != system) {
            return Known::Foreign;
        }
        if timeline > self.timeline || self.system.is_none() {
            return Known::Ahead;
        }
        // Each step from one timeline to the next must have been watched.
        for next in timeline + 1..=self.timeline {
            let switch = self.switches.iter().find(|it| it.to == next);
            if switch.is_none_or(|it| lsn > it.at) {
                return Known::Lost;
            }
        }
        Known::Contained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSTEM: u64 = 7;

    fn primary(timeline: u32, inserted: u64) -> Report {
        Report {
            system: SYSTEM,
            is_standby: false,
            timeline,
            inserted: Some(inserted),
            replayed: None,
            received_timeline: None,
            was_standby: false,
        }
    }

    fn standby(timeline: u32, replayed: u64) -> Report {
        Report {
            is_standby: true,
            inserted: None,
            replayed: Some(replayed),
            received_timeline: Some(timeline),
            ..primary(timeline, 0)
        }
    }

    fn promoted(timeline: u32, inserted: u64, at: u64) -> Report {
        Report {
            replayed: Some(at),
            was_standby: true,
            ..primary(timeline, inserted)
        }
    }

    fn view(reports: impl IntoIterator<Item = Option<Report>>) -> (View, Instant) {
        let reports: Vec<_> = reports.into_iter().collect();
        let mut view = View::new(reports.len(), Duration::from_secs(10));
        let now = Instant::now();
        for (member, report) in reports.into_iter().enumerate() {
            assert!(!view.is_complete());
            view.note(member, report, now);
        }
        assert!(view.is_complete());
        (view, now)
    }

    fn lag(bytes: u64, ms: u64) -> Standing {
        let time = Duration::from_millis(ms);
        Standing::Standby {
            lag: Lag { bytes, time },
        }
    }

    #[test]
    fn the_one_that_writes_is_the_primary_and_the_others_lag() {
        let (mut view, now) = view([Some(standby(1, 90)), Some(primary(1, 100)), None]);
        assert_eq!((view.primary(), view.timeline()), (Some(1), 1));
        assert_eq!(view.standing(1, now), Standing::Primary);
        assert_eq!(view.standing(2, now), Standing::Unreachable);
        view.note(1, Some(primary(1, 100)), now);
        view.note(0, Some(standby(1, 100)), now);
        assert_eq!(view.standing(0, now), lag(0, 0));

        let later = now + Duration::from_millis(500);
        view.note(1, Some(primary(1, 200)), later);
        view.note(0, Some(standby(1, 100)), later);
        // It was there half a second ago.
        assert_eq!(view.standing(0, later), lag(100, 500));
        view.note(0, Some(standby(1, 200)), later);
        assert_eq!(view.standing(0, later + later.elapsed()), lag(0, 0));
    }

    #[test]
    fn nothing_is_behind_an_idle_primary() {
        let (mut view, now) = view([Some(primary(1, 100)), Some(standby(1, 100))]);
        let later = now + Duration::from_secs(60);
        view.note(0, Some(primary(1, 100)), later);
        assert_eq!(view.standing(1, later), lag(0, 0));
    }

    #[test]
    fn a_lag_beyond_what_is_remembered_is_too_long() {
        let (mut view, start) = view([Some(primary(1, 100)), Some(standby(1, 100))]);
        let mut now = start;
        for inserted in 101..3_000 {
            now += Duration::from_millis(50);
            view.note(0, Some(primary(1, inserted)), now);
            view.note(1, Some(standby(1, 100)), now);
        }
        let Standing::Standby { lag } = view.standing(1, now) else {
            panic!("{:?}", view.standing(1, now));
        };
        assert!(lag.time >= Duration::from_secs(20), "{lag:?}");
        view.note(1, Some(standby(1, 2_898)), now);
        let Standing::Standby { lag } = view.standing(1, now) else {
            panic!("{:?}", view.standing(1, now));
        };
        let five = Duration::from_secs(5);
        assert!(
            lag.time.abs_diff(five) < Duration::from_millis(200),
            "{lag:?}"
        );
    }

    #[test]
    fn a_promotion_is_followed_and_the_old_primary_stays_out() {
        let (mut view, now) = view([Some(primary(1, 100)), Some(standby(1, 90))]);
        view.note(0, None, now);
        assert_eq!(view.primary(), Some(0), "it may be there again");
        view.note(1, Some(promoted(2, 95, 90)), now);
        assert_eq!((view.primary(), view.timeline()), (Some(1), 2));
        view.note(0, Some(primary(1, 500)), now);
        assert_eq!(view.primary(), Some(1));
        assert_eq!(view.standing(0, now), Standing::Superseded);
        // Even while the new one is away.
        view.note(1, None, now);
        assert_eq!(view.primary(), Some(1));
        view.note(1, Some(standby(2, 95)), now);
        assert_eq!(view.primary(), None);
    }

    #[test]
    fn an_old_primary_that_is_met_first_is_left_for_the_new_one() {
        let (view, now) = view([Some(primary(1, 100)), Some(primary(2, 50))]);
        assert_eq!(view.primary(), Some(1));
        assert_eq!(view.standing(0, now), Standing::Superseded);
    }

    #[test]
    fn of_two_on_one_timeline_the_one_that_had_the_writes_keeps_them() {
        let (mut view, now) = view([Some(primary(2, 100)), Some(standby(1, 90))]);
        view.note(1, Some(promoted(2, 95, 90)), now);
        assert_eq!((view.primary(), view.rivals()), (Some(0), Some((0, 1))));
        // Also while it is silent.
        view.note(0, None, now);
        assert_eq!((view.primary(), view.rivals()), (Some(0), Some((0, 1))));
        let (view, _) = self::view([Some(primary(1, 1)), Some(primary(1, 1))]);
        assert_eq!((view.primary(), view.rivals()), (None, Some((0, 1))));
    }

    #[test]
    fn another_cluster_is_not_read() {
        let foreign = Report {
            system: 8,
            ..standby(9, 1_000)
        };
        let (view, now) = view([Some(foreign), Some(primary(1, 100)), Some(standby(1, 90))]);
        assert_eq!(view.standing(0, now), Standing::Foreign);
        assert_eq!((view.timeline(), view.system()), (1, Some(SYSTEM)));
        assert_eq!(view.judge(8, 1, 1), Known::Foreign);
    }

    #[test]
    fn what_was_written_before_a_watched_promotion_is_contained() {
        let (mut view, now) = view([Some(primary(1, 100)), Some(standby(1, 90))]);
        assert_eq!(view.judge(SYSTEM, 1, 100), Known::Contained);
        assert_eq!(view.judge(SYSTEM, 2, 100), Known::Ahead);
        view.note(0, None, now);
        // Somebody else has heard of it first.
        view.hear(2);
        view.note(1, Some(promoted(2, 95, 90)), now);
        assert_eq!(view.judge(SYSTEM, 1, 90), Known::Contained);
        assert_eq!(view.judge(SYSTEM, 1, 91), Known::Lost);
        assert_eq!(view.judge(SYSTEM, 2, 91), Known::Contained);
    }

    #[test]
    fn what_was_written_before_an_unwatched_one_is_lost() {
        let unwatched = Report {
            was_standby: false,
            ..promoted(2, 95, 90)
        };
        let (view, _) = view([Some(unwatched)]);
        assert_eq!(view.judge(SYSTEM, 1, 1), Known::Lost);
        // One was missed in between.
        let (mut view, now) = self::view([Some(primary(1, 100)), Some(standby(1, 90))]);
        view.note(0, None, now);
        view.note(1, Some(promoted(3, 95, 90)), now);
        assert_eq!(view.judge(SYSTEM, 1, 1), Known::Lost);
        assert_eq!(view.judge(SYSTEM, 2, 1), Known::Lost);
    }

    #[test]
    fn a_standby_that_went_on_past_the_promotion_is_not_read() {
        let all = [
            Some(primary(1, 100)),
            Some(standby(1, 90)),
            Some(standby(1, 99)),
        ];
        let (mut view, now) = view(all);
        view.note(0, None, now);
        view.note(1, Some(promoted(2, 120, 90)), now);
        assert_eq!(view.standing(2, now), Standing::Diverged);
        let unseen = Report {
            received_timeline: None,
            ..standby(1, 99)
        };
        view.note(2, Some(unseen), now);
        let unknown = Standing::Standby { lag: Lag::UNKNOWN };
        assert_eq!(view.standing(2, now), unknown);
        view.note(2, Some(standby(2, 120)), now);
        assert_eq!(view.standing(2, now), lag(0, 0));
        assert_eq!(view.reached(2), 2);
    }

    #[test]
    fn who_hears_of_a_newer_timeline_leaves_the_old_primary() {
        let (mut view, now) = view([Some(primary(1, 100))]);
        view.hear(1);
        assert_eq!(view.primary(), Some(0));
        view.hear(2);
        assert_eq!(view.primary(), None);
        view.note(0, Some(primary(1, 110)), now);
        assert_eq!(view.standing(0, now), Standing::Superseded);
    }
}
