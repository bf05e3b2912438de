//! The requests on one connection that are not answered yet, in the order in which they were sent.
//!
//! A server answers the requests of a connection one after the other, so only the first of them is being
//! worked on, since it was sent or since the one before it was answered.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// What is under way.
#[derive(Debug)]
pub(super) struct Queue {
    /// How many requests have been answered, or are answered for all that is known.
    answered: u64,
    /// When each of the others was sent.
    under_way: VecDeque<Instant>,
    /// Since when nobody is before the first of them.
    head_since: Instant,
}

/// One request, by its place among all that were sent: from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ticket(u64);

/// How a request fared whose answer was seen before any later one's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Served {
    /// What the server took for it.
    pub(super) took: Duration,
    /// How long others were before it.
    pub(super) blocked: Duration,
}

impl Ticket {
    /// How many requests there were, this one included, when it was sent.
    pub(super) fn number(self) -> u64 {
        self.0
    }
}

impl Queue {
    pub(super) fn new(now: Instant) -> Queue {
        Queue {
            answered: 0,
            under_way: VecDeque::new(),
            head_since: now,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn sent(&mut self, now: Instant) -> Ticket {
        if self.under_way.is_empty() {
            self.head_since = now;
        }
        self.under_way.push_back(now);
        Ticket(self.answered + self.under_way.len() as u64)
    }

    /// Notes an answer. All that were sent before it have theirs as well, seen or not; what became of them
    /// is not known then, nor of a request whose answer was preceded by a later one's.
    pub(super) fn answered(&mut self, ticket: Ticket, now: Instant) -> Option<Served> {
        let before = ticket.0.checked_sub(self.answered + 1)?;
        let is_head = before == 0;
        let gone = usize::try_from(before + 1).unwrap_or(usize::MAX);
        let gone = gone.min(self.under_way.len());
        let sent = *self.under_way.get(gone.checked_sub(1)?)?;
        self.under_way.drain(..gone);
        self.answered = ticket.0;
        let began = self.head_since.max(sent);
        self.head_since = now;
        is_head.then(|| Served {
            took: now.saturating_duration_since(began),
            blocked: began.saturating_duration_since(sent),
        })
    }

    /// Nothing is under way, whatever was seen: its callers have gone.
    pub(super) fn clear(&mut self) {
        self.answered += self.under_way.len() as u64;
        self.under_way.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_is_charged_with_its_own_time() {
        let start = Instant::now();
        let mut queue = Queue::new(start);
        let (slow, quick) = (queue.sent(start), queue.sent(start + MS));
        assert_eq!((slow.number(), quick.number(), queue.len()), (1, 2, 2));
        let served = queue.answered(slow, start + 50 * MS).unwrap();
        assert_eq!((served.took, served.blocked), (50 * MS, Duration::ZERO));
        let served = queue.answered(quick, start + 51 * MS).unwrap();
        assert_eq!((served.took, served.blocked), (MS, 49 * MS));
        assert_eq!(queue.len(), 0);
        let later = queue.sent(start + 60 * MS);
        let served = queue.answered(later, start + 62 * MS).unwrap();
        assert_eq!((served.took, served.blocked), (2 * MS, Duration::ZERO));
    }

    #[test]
    fn whose_answer_is_seen_late_is_charged_with_nothing() {
        let start = Instant::now();
        let mut queue = Queue::new(start);
        let (slow, quick, last) = (queue.sent(start), queue.sent(start), queue.sent(start));
        assert_eq!(queue.answered(quick, start + 50 * MS), None);
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.answered(slow, start + 51 * MS), None);
        let served = queue.answered(last, start + 52 * MS).unwrap();
        assert_eq!((served.took, served.blocked), (2 * MS, 50 * MS));
    }

    #[test]
    fn whose_caller_has_gone_does_not_stay() {
        let start = Instant::now();
        let mut queue = Queue::new(start);
        let (_, next) = (queue.sent(start), queue.sent(start));
        assert_eq!(queue.answered(next, start + MS), None);
        assert_eq!(queue.len(), 0);
        let gone = queue.sent(start);
        queue.clear();
        assert_eq!((queue.len(), queue.answered(gone, start)), (0, None));
        assert_eq!(queue.sent(start).number(), 4);
    }
}
