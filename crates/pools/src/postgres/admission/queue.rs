//! The callers of one class, in the order of asking, and who of them is refused when there are too
//! many for what comes free.
//!
//! A queue that never drains makes everybody late and serves nobody more. It is shed as `CoDel` does
//! (RFC 8289; "Fail at Scale", ACM Queue 13(8), takes it to requests). The delays that count are
//! those of callers who leave the queue with a connection. While even the least of them stays above
//! the target for an interval, whoever has waited for longer than twice the target is refused. The
//! two times are settings that nobody can set; here they are parts of what the caller can wait at
//! all, its patience, so that requests with a short deadline are told early and a batch job waits its
//! turn. After a mere stall nobody is refused: the interval begins when connections come free again.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Of a caller's patience: the delay that a healthy queue stays below, at times,
const TARGET: u32 = 10;
/// that after which a caller is refused while the queue is not,
const REFUSED_AFTER: u32 = 5;
/// and the time for which no caller's delay has to have been below the target: 2/5.
const INTERVAL: (u32, u32) = (2, 5);

/// A place in a queue, the same one for as long as its caller waits.
pub(crate) type Ticket = u64;

#[derive(Debug)]
pub(crate) struct Queue<W> {
    /// By ticket. The first has not left.
    places: VecDeque<Place<W>>,
    /// Places whose caller has left.
    left: usize,
    /// When the first connection came free since the queue was empty.
    served_since: Option<Instant>,
    delays: Delays,
}

/// When a caller last left with a connection after a delay, by powers of two of microseconds.
#[derive(Debug)]
struct Delays([Option<Instant>; DELAYS]);

/// Up to 2^39 µs, six days.
const DELAYS: usize = 40;

#[derive(Debug)]
struct Place<W> {
    ticket: Ticket,
    /// `None` once the caller has left.
    waiter: Option<Waiter<W>>,
}

#[derive(Debug)]
struct Waiter<W> {
    caller: W,
    since: Instant,
    patience: Duration,
}

impl<W> Queue<W> {
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.left
    }

    /// Since when the first has waited, and its ticket.
    pub(crate) fn oldest(&self) -> Option<(Ticket, Instant)> {
        let place = self.places.front()?;
        Some((place.ticket, place.waiter.as_ref()?.since))
    }

    /// Lets a caller wait behind the others, whose tickets are lower.
    pub(crate) fn push(&mut self, ticket: Ticket, caller: W, since: Instant, patience: Duration) {
        let waiter = Some(Waiter {
            caller,
            since,
            patience,
        });
        self.places.push_back(Place { ticket, waiter });
    }

    /// The caller with this ticket, who waits no more.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Option<W> {
        let at = self.places.binary_search_by_key(&ticket, |it| it.ticket);
        let waiter = self.places[at.ok()?].waiter.take()?;
        self.left += 1;
        // No more places are empty than not, so that this takes no longer than the leaving did.
        if self.left > self.places.len() / 2 {
            self.places.retain(|place| place.waiter.is_some());
            self.left = 0;
        }
        self.skip_left();
        self.rest();
        Some(waiter.caller)
    }

    /// Whoever is next to have a connection. Those who are refused on the way are added to `shed`.
    pub(crate) fn next(&mut self, now: Instant, shed: &mut Vec<W>) -> Option<W> {
        let mut next = None;
        while next.is_none()
            && let Some(waiter) = self.pop()
        {
            match self.is_too_late(&waiter, now) {
                true => shed.push(waiter.caller),
                false => next = Some(waiter.caller),
            }
        }
        self.rest();
        next
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = W> + use<W> {
        self.served_since = None;
        self.left = 0;
        std::mem::take(&mut self.places)
            .into_iter()
            .filter_map(|place| Some(place.waiter?.caller))
    }

    fn pop(&mut self) -> Option<Waiter<W>> {
        let waiter = self.places.pop_front()?.waiter;
        self.skip_left();
        waiter
    }

    /// Removes the places in front whose callers have left.
    fn skip_left(&mut self) {
        while self.places.front().is_some_and(|it| it.waiter.is_none()) {
            self.places.pop_front();
            self.left -= 1;
        }
    }

    /// Whether the caller is to be refused. Otherwise it leaves with a connection.
    fn is_too_late(&mut self, waiter: &Waiter<W>, now: Instant) -> bool {
        let served_since = *self.served_since.get_or_insert(now);
        let delay = now.saturating_duration_since(waiter.since);
        if delay > waiter.patience / REFUSED_AFTER {
            let target = waiter.patience / TARGET;
            let slow_since = self.delays.last_below(target).max(Some(served_since));
            let interval = waiter.patience / INTERVAL.1 * INTERVAL.0;
            if slow_since.is_some_and(|since| now.saturating_duration_since(since) > interval) {
                return true;
            }
        }
        self.delays.record(delay, now);
        false
    }

    /// A queue that is empty is a healthy one.
    fn rest(&mut self) {
        if self.places.is_empty() {
            self.served_since = None;
        }
    }
}

impl Delays {
    fn record(&mut self, delay: Duration, now: Instant) {
        self.0[power(delay).min(DELAYS - 1)] = Some(now);
    }

    /// When there last was a delay that was surely no longer than that.
    fn last_below(&self, target: Duration) -> Option<Instant> {
        let below = power(target).min(DELAYS);
        self.0[..below].iter().copied().max().flatten()
    }
}

/// The least n for which so many microseconds are below 2^n.
fn power(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    usize::try_from(u64::BITS - micros.leading_zeros()).unwrap_or(usize::MAX)
}

impl<W> Default for Queue<W> {
    fn default() -> Queue<W> {
        Queue {
            places: VecDeque::new(),
            left: 0,
            served_since: None,
            delays: Delays([None; DELAYS]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(250);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Serves one caller each 10 ms while one comes in each `every`, for two seconds. Says how many were
    /// served, shed, and the longest wait of one that was served after the first half second.
    fn overload(every: Duration) -> (usize, usize, Duration) {
        let start = Instant::now();
        let mut queue = Queue::default();
        let (mut served, mut shed, mut longest) = (0, Vec::new(), Duration::ZERO);
        let mut arrival = start;
        let mut ticket = 0;
        for turn in 1..=200 {
            let now = start + ms(10) * turn;
            while arrival <= now {
                queue.push(ticket, arrival, arrival, PATIENCE);
                ticket += 1;
                arrival += every;
            }
            if let Some(since) = queue.next(now, &mut shed) {
                served += 1;
                if now > start + ms(500) {
                    longest = longest.max(now - since);
                }
            }
        }
        (served, shed.len(), longest)
    }

    #[test]
    fn a_queue_that_drains_is_left_alone() {
        let (served, shed, longest) = overload(ms(10));
        assert_eq!((served, shed), (200, 0));
        assert!(longest <= ms(10), "{longest:?}");
    }

    #[test]
    fn under_overload_all_that_comes_free_is_used_and_nobody_is_late() {
        for every in [ms(8), ms(5), ms(2)] {
            let (served, shed, longest) = overload(every);
            assert_eq!(served, 200, "{every:?}");
            assert!(shed > 0, "{every:?}");
            // A deadline drop would serve them after 240 ms.
            assert!(longest <= ms(60), "{every:?}: {longest:?}");
        }
    }

    #[test]
    fn whoever_leaves_is_passed_over_and_takes_no_room() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.push(0, 0, now, PATIENCE);
        for ticket in 1..10_000 {
            queue.push(ticket, ticket, now, PATIENCE);
            if ticket % 10 != 0 {
                assert_eq!(queue.leave(ticket), Some(ticket));
                assert_eq!(queue.leave(ticket), None);
            }
        }
        assert_eq!(queue.len(), 1_000);
        assert!(queue.places.len() <= 2_000, "{}", queue.places.len());
        assert_eq!(queue.leave(0), Some(0));
        for ticket in (10..10_000).step_by(10) {
            assert_eq!(queue.oldest(), Some((ticket, now)));
            assert_eq!(queue.next(now, &mut Vec::new()), Some(ticket));
        }
        assert_eq!((queue.len(), queue.next(now, &mut Vec::new())), (0, None));
    }

    #[test]
    fn after_a_stall_the_queue_is_served() {
        let start = Instant::now();
        let mut queue = Queue::default();
        for ticket in 0..10 {
            queue.push(ticket, ticket, start, PATIENCE);
        }
        let mut shed = Vec::new();
        for ticket in 0..10 {
            let now = start + ms(200) + ms(ticket);
            assert_eq!(queue.next(now, &mut shed), Some(ticket));
        }
        assert!(shed.is_empty());
    }

    #[test]
    fn the_patient_wait_where_the_impatient_are_told() {
        let start = Instant::now();
        let mut queue = Queue::default();
        for ticket in 0..50 {
            let patience = if ticket % 2 == 0 { ms(100) } else { ms(30_000) };
            queue.push(ticket, ticket, start, patience);
        }
        let (mut shed, mut served) = (Vec::new(), Vec::new());
        for turn in 1..=50 {
            served.extend(queue.next(start + ms(10) * turn, &mut shed));
        }
        assert!(shed.iter().all(|ticket| ticket % 2 == 0), "{shed:?}");
        assert_eq!(served.iter().filter(|ticket| *ticket % 2 == 1).count(), 25);
        assert!(shed.len() > 15, "{shed:?}");
    }
}
