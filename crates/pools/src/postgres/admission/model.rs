//! [`Admission`] against a model that is slow and plain, through everything that can happen in any
//! order.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};
use tokio::time::Instant;

use super::{Admission, ClassId, Counts, Freed, Limits, Refusal, Renewal, Waiting};

const SHARES: [f64; 3] = [0.0, 0.3, 0.5];

#[derive(Clone, Debug)]
enum Event {
    Enter(ClassId),
    Leave(usize),
    Opened(bool),
    Failed(bool),
    Resume,
    CheckIn(usize, bool),
    Discard(usize),
    Keep,
    Closed,
    Retire(usize),
    Renew,
    Resize(usize, usize),
    Permit(usize),
    Close,
}

/// What has to be true, kept in lists.
struct Model {
    limits: Limits,
    permits: usize,
    /// In the order of asking: the caller, its class, and how it is told apart.
    waiting: Vec<(u32, ClassId, Waiting)>,
    /// The classes of those who have a connection.
    checked_out: Vec<ClassId>,
    checked_in: usize,
    connecting: usize,
    /// Of these, in place of old ones.
    renewing: usize,
    renewed: usize,
    closing: usize,
    callers: u32,
    is_closed: bool,
    paused_until: Option<Instant>,
}

impl Model {
    fn counts(&self) -> Counts {
        Counts {
            checked_out: self.checked_out.len(),
            checked_in: self.checked_in,
            connecting: self.connecting,
            closing: self.closing,
        }
    }

    fn permitted(&self) -> usize {
        self.limits.connections().min(self.permits)
    }

    /// Who has to be next, and where in the queue.
    fn next(&self) -> Option<usize> {
        let is_owed = |class: ClassId| {
            let held = self.checked_out.iter().filter(|it| **it == class).count();
            let share = SHARES[class] * self.permitted() as f64;
            (held as f64) < share - 1e-9
        };
        let owed = self
            .waiting
            .iter()
            .position(|(_, class, _)| is_owed(*class));
        owed.or_else(|| (!self.waiting.is_empty()).then_some(0))
    }

    /// Whether the attempt that ends is one in place of an old connection.
    fn ends_renewal(&mut self, wanted: bool) -> bool {
        let is_renewal = self.renewing > 0 && (wanted || self.connecting == self.renewing);
        self.connecting -= 1;
        self.renewing -= usize::from(is_renewal);
        is_renewal
    }

    fn freed(&mut self, freed: &Freed<u32>, lingers: bool) {
        let beside = self.counts().connections();
        let is_excess = self.is_closed || beside >= self.limits.connections();
        let may_be_had = self.checked_out.len() < self.permitted();
        let expected = match self.next().filter(|_| may_be_had) {
            _ if is_excess => Freed::Excess,
            Some(at) => {
                let (caller, class, _) = self.waiting.remove(at);
                self.checked_out.push(class);
                Freed::To(class, caller)
            }
            None if !lingers && beside - self.closing >= self.limits.size => Freed::Excess,
            None => Freed::Kept,
        };
        match expected {
            Freed::Excess => self.closing += 1,
            Freed::Kept => self.checked_in += 1,
            Freed::To(..) => {}
        }
        assert_eq!(*freed, expected);
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..SHARES.len()).prop_map(Event::Enter),
        2 => any::<usize>().prop_map(Event::Leave),
        6 => any::<bool>().prop_map(Event::Opened),
        2 => any::<bool>().prop_map(Event::Failed),
        2 => Just(Event::Resume),
        6 => (any::<usize>(), any::<bool>()).prop_map(|(nth, lingers)| Event::CheckIn(nth, lingers)),
        2 => any::<usize>().prop_map(Event::Discard),
        1 => Just(Event::Keep),
        3 => Just(Event::Closed),
        1 => (0..4_usize).prop_map(Event::Retire),
        1 => Just(Event::Renew),
        1 => (1..6_usize, 0..6_usize).prop_map(|(size, overflow)| Event::Resize(size, overflow)),
        1 => (1..12_usize).prop_map(Event::Permit),
    ]
}

/// Does to both what happened, where it can happen.
#[expect(
    clippy::too_many_lines,
    reason = "it is a table of all that can happen"
)]
fn happen(admission: &mut Admission<u32, &'static str>, model: &mut Model, event: &Event) {
    let now = Instant::now();
    // Longer than any test, so that nobody is shed.
    let patience = Duration::from_secs(3600);
    let mut shed = Vec::new();
    match *event {
        Event::Enter(class) => match admission.enter(class) {
            Ok(true) => {
                model.checked_in -= 1;
                model.checked_out.push(class);
            }
            Ok(false) => {
                model.callers += 1;
                let waiting = admission.wait(class, model.callers, now, patience);
                model.waiting.push((model.callers, class, waiting));
            }
            Err(Refusal::Closed) => assert!(model.is_closed),
            Err(Refusal::TooManyWaiting(most)) => {
                let waiting = model.waiting.iter().filter(|(_, it, _)| *it == class);
                assert_eq!(most, waiting.count());
                assert!(most >= model.limits.max_waiting);
            }
            Err(Refusal::Unreachable(_)) => {
                assert!(model.checked_in == 0 && model.checked_out.is_empty());
            }
        },
        Event::Leave(nth) if !model.waiting.is_empty() => {
            let (caller, _, waiting) = model.waiting.remove(nth % model.waiting.len());
            assert_eq!(admission.leave(waiting), Some(caller));
            assert_eq!(admission.leave(waiting), None);
        }
        Event::Opened(wanted) if model.connecting > 0 => {
            let is_renewal = model.ends_renewal(wanted);
            model.renewed += usize::from(is_renewal);
            model.paused_until = None;
            model.freed(&admission.opened(now, is_renewal, &mut shed), true);
        }
        Event::Failed(wanted) if model.connecting > 0 => {
            let is_renewal = model.ends_renewal(wanted);
            let failed = admission.failed("refused", now, 0.5, is_renewal);
            assert_ne!(failed.resume_at.is_some(), model.paused_until.is_some());
            model.paused_until = model.paused_until.or(failed.resume_at);
            let mut waiting = Vec::new();
            if model.checked_out.is_empty() && model.checked_in == 0 {
                waiting.extend(model.waiting.drain(..).map(|it| it.0));
            }
            let mut refused = failed.refused;
            refused.sort_unstable();
            assert_eq!(refused, waiting);
        }
        Event::Resume => {
            let is_early = admission.resume(now);
            assert!(!is_early || model.paused_until.is_some_and(|until| until <= now));
            if let Some(until) = model.paused_until.take() {
                model.connecting += usize::from(!is_early && admission.resume(until));
            }
            model.connecting += usize::from(is_early);
        }
        Event::CheckIn(nth, lingers) if !model.checked_out.is_empty() => {
            let class = model.checked_out.remove(nth % model.checked_out.len());
            model.freed(&admission.check_in(class, now, lingers, &mut shed), lingers);
        }
        Event::Discard(nth) if !model.checked_out.is_empty() => {
            admission.discard(model.checked_out.remove(nth % model.checked_out.len()));
            model.closing += 1;
        }
        Event::Keep if model.closing > 0 => {
            model.closing -= 1;
            model.freed(&admission.keep(now, true, &mut shed), true);
        }
        Event::Closed if model.closing > 0 => {
            model.closing -= 1;
            admission.closed();
        }
        Event::Retire(at_most) => {
            let retired = admission.retire(at_most);
            assert_eq!(retired, at_most.min(model.checked_in));
            model.checked_in -= retired;
            model.closing += retired;
        }
        Event::Renew => match admission.renew() {
            Renewal::Open => {
                assert_eq!(
                    (model.renewing, model.renewed, model.is_closed),
                    (0, 0, false)
                );
                model.renewing += 1;
                model.connecting += 1;
            }
            Renewal::Wait => assert!(model.renewing > 0 || admission.error().is_some()),
            Renewal::Close => {
                let is_full = model.counts().connections() >= model.limits.connections()
                    || model.counts().staying() >= model.permitted();
                assert!(model.renewed > 0 || is_full || model.is_closed);
                model.renewed = model.renewed.saturating_sub(1);
            }
        },
        Event::Resize(size, overflow) => {
            let retired = admission.resize(size, overflow);
            model.limits.size = size;
            model.limits.max_overflow = overflow;
            assert!(retired <= model.checked_in);
            model.checked_in -= retired;
            model.closing += retired;
        }
        Event::Permit(permits) => {
            admission.permit(permits);
            model.permits = permits;
        }
        Event::Close => {
            model.is_closed = true;
            let mut refused = admission.close();
            refused.sort_unstable();
            let waiting: Vec<u32> = model.waiting.drain(..).map(|it| it.0).collect();
            assert_eq!(refused, waiting);
        }
        // It cannot happen now.
        _ => {}
    }
    // Whatever has happened may be what those have waited for for whom there is one.
    for (class, caller) in admission.serve(now, &mut shed) {
        let next = model.waiting.remove(model.next().unwrap());
        assert_eq!((next.1, next.0), (class, caller));
        model.checked_in -= 1;
        model.checked_out.push(class);
        assert!(model.checked_out.len() <= model.permitted());
    }
    assert!(shed.is_empty(), "{shed:?}");
}

fn run(events: &[Event]) -> (Admission<u32, &'static str>, Model) {
    let limits = Limits {
        size: 2,
        max_overflow: 3,
        max_waiting: 4,
        max_connecting: 2,
    };
    let mut admission = Admission::new(limits, SHARES);
    let mut model = Model {
        limits,
        permits: usize::MAX,
        waiting: Vec::new(),
        checked_out: Vec::new(),
        checked_in: 0,
        connecting: 0,
        renewing: 0,
        renewed: 0,
        closing: 0,
        callers: 0,
        is_closed: false,
        paused_until: None,
    };
    for event in events {
        let (before, had) = (model.counts().connections(), model.checked_out.len());
        happen(&mut admission, &mut model, event);
        let opening = admission.open_more();
        model.connecting += opening;

        let counts = admission.counts();
        assert_eq!(counts, model.counts(), "after {event:?}");
        assert_eq!(admission.waiting(), model.waiting.len(), "after {event:?}");
        for class in 0..SHARES.len() {
            let held = model.checked_out.iter().filter(|it| **it == class).count();
            assert_eq!(admission.of_class(class).0, held, "after {event:?}");
        }
        let limit = model.limits.connections();
        assert!(counts.connections() <= limit.max(before), "after {event:?}");
        let had = had.max(model.permitted());
        assert!(counts.checked_out <= had, "after {event:?}");
        if !model.waiting.is_empty() && counts.checked_out < model.permitted() {
            assert_eq!(counts.checked_in, 0, "after {event:?}");
        }
        if !model.waiting.is_empty() && model.paused_until.is_none() && admission.error().is_none()
        {
            let is_served = counts.connecting >= model.waiting.len()
                || counts.connecting >= limits.max_connecting
                || counts.connections() >= limit
                || counts.staying() >= model.permitted();
            assert!(is_served, "after {event:?}: {counts:?}");
        }
    }
    (admission, model)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 512 } else { 20_000 }))]

    #[test]
    fn it_does_what_the_model_does(events in vec(event(), 0..120)) {
        run(&events);
    }

    #[test]
    fn everything_comes_back(events in vec(event(), 0..120)) {
        let (mut admission, mut model) = run(&events);
        // Whatever is under way ends, nobody else comes, and the server is there.
        for _ in 0..64 {
            for event in [
                Event::Resume,
                Event::Opened(true),
                Event::CheckIn(0, true),
                Event::Closed,
            ] {
                happen(&mut admission, &mut model, &event);
                model.connecting += admission.open_more();
            }
        }
        prop_assert_eq!(admission.waiting(), 0);
        let counts = admission.counts();
        prop_assert_eq!((counts.checked_out, counts.connecting, counts.closing), (0, 0, 0));

        // Then every place can be had.
        let limit = admission.permitted();
        for _ in 0..limit {
            happen(&mut admission, &mut model, &Event::Enter(0));
            model.connecting += admission.open_more();
            happen(&mut admission, &mut model, &Event::Opened(true));
        }
        prop_assert_eq!(admission.counts().checked_out, limit);
    }

    #[test]
    fn after_closing_everything_ends(events in vec(event(), 0..60)) {
        let (mut admission, mut model) = run(&events);
        happen(&mut admission, &mut model, &Event::Close);
        prop_assert_eq!(admission.enter(0), Err(Refusal::Closed));
        let idle = admission.counts().checked_in;
        happen(&mut admission, &mut model, &Event::Retire(idle));
        for _ in 0..16 {
            for event in [Event::Opened(true), Event::CheckIn(0, true), Event::Closed, Event::Resume] {
                happen(&mut admission, &mut model, &event);
                prop_assert_eq!(admission.open_more(), 0);
            }
        }
        prop_assert_eq!(admission.counts(), Counts::default());
    }
}
