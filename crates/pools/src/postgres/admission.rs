//! Who may have a connection, and when: the decisions of the pool, without I/O and without a clock.
//!
//! Every connection is in one of four states, or is none: it is opened (`connecting`), waits for
//! callers (`checked_in`), is one caller's (`checked_out`), or is on its way out (`closing`) until its
//! socket is closed. Callers wait in queues, one per class, and a connection that comes free is theirs
//! before it is anybody else's.
//!
//! Invariants, which the tests hold against a model:
//! - There are never more connections than `size + max_overflow`, but after that was lowered: then
//!   no other is opened before there are fewer.
//! - Never more are checked out than are permitted, but after that was lowered: then what comes back is kept.
//! - Nobody waits while a connection is checked in and another one may be checked out.
//! - While somebody waits, a connection is opened for each of them, as far as limits and the breaker
//!   allow.
//! - Within a class connections go to callers in the order of asking.

mod breaker;
mod queue;

#[cfg(test)]
mod model;

use std::time::Duration;

use tokio::time::Instant;

use self::{
    breaker::Breaker,
    queue::{Queue, Ticket},
};

/// `W` is what it takes to reach a caller that waits, `E` why no connection can be opened.
#[derive(Debug)]
pub(crate) struct Admission<W, E> {
    limits: Limits,
    /// Connections that may be checked out now, of those that the limits allow.
    permits: usize,
    counts: Counts,
    classes: Vec<Class<W>>,
    breaker: Breaker<E>,
    renewals: Renewals,
    last_ticket: Ticket,
    is_closed: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Limits {
    /// Connections that stay open.
    pub(crate) size: usize,
    pub(crate) max_overflow: usize,
    /// Callers of each class that may wait for others.
    pub(crate) max_waiting: usize,
    /// Connections that may be opened at a time.
    pub(crate) max_connecting: usize,
}

/// Connections by state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    pub(crate) checked_out: usize,
    pub(crate) checked_in: usize,
    pub(crate) connecting: usize,
    pub(crate) closing: usize,
}

/// Callers with a part of the connections that is theirs when they need it.
#[derive(Debug)]
struct Class<W> {
    /// Of all connections, between 0 and 1.
    share: f64,
    checked_out: usize,
    queue: Queue<W>,
}

/// The number of a class, in the order in which the shares were given.
pub(crate) type ClassId = usize;

/// Where a caller waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Waiting {
    class: ClassId,
    ticket: Ticket,
}

/// Why there will be no connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Refusal<E> {
    Closed,
    TooManyWaiting(usize),
    /// There is no connection, and none can be opened.
    Unreachable(E),
}

/// What becomes of a connection that nobody uses any more.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Freed<W> {
    /// It is the next caller's, and counted as checked out.
    To(ClassId, W),
    /// It is kept for whoever comes.
    Kept,
    /// It is to be closed, and counted as closing.
    Excess,
}

/// What is to be done with a connection that is old enough to be replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Renewal {
    /// It goes on until there is one in its place.
    Wait,
    /// It goes on; one is to be opened in its place, which is counted as connecting.
    Open,
    /// It is to be closed: there is one in its place, or no room for two.
    Close,
}

/// Connections in place of old ones.
#[derive(Clone, Copy, Debug, Default)]
struct Renewals {
    connecting: usize,
    /// Open, while the old one is not closed.
    ready: usize,
}

/// What follows from a connection that could not be opened.
#[derive(Debug)]
pub(crate) struct Failed<W> {
    /// Those who need not wait for it any longer.
    pub(crate) refused: Vec<W>,
    /// When to call [`Admission::resume`], unless that was said before.
    pub(crate) resume_at: Option<Instant>,
}

impl Counts {
    pub(crate) fn connections(&self) -> usize {
        self.staying() + self.closing
    }

    /// Those that are not on their way out.
    fn staying(&self) -> usize {
        self.checked_out + self.checked_in + self.connecting
    }
}

impl Limits {
    /// The most connections there may be.
    pub(crate) fn connections(&self) -> usize {
        self.size + self.max_overflow
    }
}

impl<W, E: Clone> Admission<W, E> {
    /// Each class has its share of the connections; what the shares leave is for whoever is first.
    pub(crate) fn new(limits: Limits, shares: impl IntoIterator<Item = f64>) -> Admission<W, E> {
        let class = |share| Class {
            share,
            checked_out: 0,
            queue: Queue::default(),
        };
        Admission {
            limits,
            permits: usize::MAX,
            counts: Counts::default(),
            classes: shares.into_iter().map(class).collect(),
            breaker: Breaker::default(),
            renewals: Renewals::default(),
            last_ticket: 0,
            is_closed: false,
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// The most connections that may be checked out now.
    pub(crate) fn permitted(&self) -> usize {
        self.limits.connections().min(self.permits)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn waiting(&self) -> usize {
        self.classes.iter().map(|class| class.queue.len()).sum()
    }

    /// How many of a class have a connection, and how many wait.
    pub(crate) fn of_class(&self, class: ClassId) -> (usize, usize) {
        let class = &self.classes[class];
        (class.checked_out, class.queue.len())
    }

    /// Since when the first caller has waited.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        let queues = self.classes.iter().map(|class| &class.queue);
        queues
            .filter_map(Queue::oldest)
            .map(|(_, since)| since)
            .min()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Why no connection could be opened, if that is how things are.
    pub(crate) fn error(&self) -> Option<E> {
        self.breaker.error()
    }

    /// Gives a connection that is checked in, if there is one. Otherwise the caller may wait.
    pub(crate) fn enter(&mut self, class: ClassId) -> Result<bool, Refusal<E>> {
        if self.is_closed {
            return Err(Refusal::Closed);
        }
        if self.has_spare() {
            self.counts.checked_in -= 1;
            self.check_out(class);
            return Ok(true);
        }
        if let Some(error) = self.unreachable() {
            self.breaker.demand();
            return Err(Refusal::Unreachable(error));
        }
        let waiting = self.classes[class].queue.len();
        // Those who wait for a connection to be opened wait for nobody.
        let coming = self.counts.connecting + self.room();
        if waiting >= self.limits.max_waiting.saturating_add(coming) {
            return Err(Refusal::TooManyWaiting(waiting));
        }
        Ok(false)
    }

    /// Lets a caller wait that [`enter`](Admission::enter) had no connection for. `patience` is
    /// how long it can wait.
    pub(crate) fn wait(
        &mut self,
        class: ClassId,
        caller: W,
        now: Instant,
        patience: Duration,
    ) -> Waiting {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.classes[class]
            .queue
            .push(ticket, caller, now, patience);
        Waiting { class, ticket }
    }

    /// Forgets a caller that waits no more. `None` if it has had its answer.
    pub(crate) fn leave(&mut self, waiting: Waiting) -> Option<W> {
        self.classes[waiting.class].queue.leave(waiting.ticket)
    }

    /// Says how many connections are to be opened, which are counted as connecting.
    pub(crate) fn open_more(&mut self) -> usize {
        if self.is_closed || self.breaker.is_open() {
            return 0;
        }
        // One that is opened in place of an old one is also for whoever waits by then.
        let wanted = self.waiting().saturating_sub(self.counts.connecting);
        let allowed = self
            .limits
            .max_connecting
            .saturating_sub(self.counts.connecting);
        let opening = wanted.min(allowed).min(self.room());
        self.counts.connecting += opening;
        opening
    }

    /// Says what to do with a connection that is old enough to be replaced.
    pub(crate) fn renew(&mut self) -> Renewal {
        if self.is_closed || self.renewals.ready > 0 {
            self.renewals.ready = self.renewals.ready.saturating_sub(1);
            return Renewal::Close;
        }
        // While none can be opened an old one is better than none.
        if self.breaker.is_open() || self.renewals.connecting > 0 {
            return Renewal::Wait;
        }
        if self.room() == 0 {
            return Renewal::Close;
        }
        self.renewals.connecting += 1;
        self.counts.connecting += 1;
        Renewal::Open
    }

    /// A connection was opened. Those who are refused on the way are added to `shed`.
    pub(crate) fn opened(&mut self, now: Instant, is_renewal: bool, shed: &mut Vec<W>) -> Freed<W> {
        self.breaker.succeeded();
        self.counts.connecting -= 1;
        if is_renewal {
            self.renewals.connecting -= 1;
            self.renewals.ready += 1;
        }
        self.free(now, true, shed)
    }

    /// A connection could not be opened. `random` is below 1.
    pub(crate) fn failed(
        &mut self,
        error: E,
        now: Instant,
        random: f64,
        is_renewal: bool,
    ) -> Failed<W> {
        self.counts.connecting -= 1;
        self.renewals.connecting -= usize::from(is_renewal);
        let resume_at = self.breaker.failed(error, now, random);
        let refused = match self.unreachable() {
            Some(_) => self.drain(),
            None => Vec::new(),
        };
        if !refused.is_empty() {
            self.breaker.demand();
        }
        Failed { refused, resume_at }
    }

    /// Ends the pause after a failure, if it is over. Says whether a connection is to be opened,
    /// which is counted as connecting.
    pub(crate) fn resume(&mut self, now: Instant) -> bool {
        let is_wanted = self.waiting() > 0 || self.breaker.is_demanded();
        let is_possible = !self.is_closed && self.room() > 0;
        let attempt = self.breaker.resume(now, is_wanted && is_possible);
        self.counts.connecting += usize::from(attempt);
        attempt
    }

    /// A connection came back. Where `lingers` is false, one beyond `size` is closed.
    pub(crate) fn check_in(
        &mut self,
        class: ClassId,
        now: Instant,
        lingers: bool,
        shed: &mut Vec<W>,
    ) -> Freed<W> {
        self.counts.checked_out -= 1;
        self.classes[class].checked_out -= 1;
        self.free(now, lingers, shed)
    }

    /// A connection that was checked out is on its way out.
    pub(crate) fn discard(&mut self, class: ClassId) {
        self.counts.checked_out -= 1;
        self.classes[class].checked_out -= 1;
        self.counts.closing += 1;
    }

    /// A connection on its way out is good after all.
    pub(crate) fn keep(&mut self, now: Instant, lingers: bool, shed: &mut Vec<W>) -> Freed<W> {
        self.counts.closing -= 1;
        self.free(now, lingers, shed)
    }

    /// A connection on its way out is gone.
    pub(crate) fn closed(&mut self) {
        self.counts.closing -= 1;
    }

    /// Takes up to so many of those that are checked in, to be closed.
    pub(crate) fn retire(&mut self, at_most: usize) -> usize {
        let retired = at_most.min(self.counts.checked_in);
        self.counts.checked_in -= retired;
        self.counts.closing += retired;
        retired
    }

    /// How many that are checked in are more than stay open.
    pub(crate) fn surplus(&self) -> usize {
        let beyond = self.counts.staying().saturating_sub(self.limits.size);
        beyond.min(self.counts.checked_in)
    }

    /// Sets the limits. Says how many that are checked in are to be closed, which are counted as
    /// closing.
    pub(crate) fn resize(&mut self, size: usize, max_overflow: usize) -> usize {
        self.limits.size = size;
        self.limits.max_overflow = max_overflow;
        let limit = self.limits.connections();
        let beyond = self.counts.connections().saturating_sub(limit);
        // What is closing already goes by itself.
        self.retire(beyond.saturating_sub(self.counts.closing))
    }

    /// Sets how many connections may be checked out now, of those that the limits allow: one at least.
    pub(crate) fn permit(&mut self, permits: usize) {
        self.permits = permits.max(1);
    }

    /// Gives connections that are checked in to those who wait, where more may be checked out than before. Those
    /// who are refused on the way are added to `shed`.
    pub(crate) fn serve(&mut self, now: Instant, shed: &mut Vec<W>) -> Vec<(ClassId, W)> {
        let mut served = Vec::new();
        while !self.is_closed
            && self.has_spare()
            && let Some((class, caller)) = self.next(now, shed)
        {
            self.counts.checked_in -= 1;
            self.check_out(class);
            served.push((class, caller));
        }
        served
    }

    /// Refuses everybody from now on. Gives those who wait.
    pub(crate) fn close(&mut self) -> Vec<W> {
        self.is_closed = true;
        self.drain()
    }

    /// Connections that may be opened.
    fn room(&self) -> usize {
        let limit = self.limits.connections();
        let room = limit.saturating_sub(self.counts.connections());
        // One that nobody may have is of no use.
        room.min(self.permitted().saturating_sub(self.counts.staying()))
    }

    /// Whether there is a connection that somebody may have.
    fn has_spare(&self) -> bool {
        self.counts.checked_in > 0 && self.counts.checked_out < self.permitted()
    }

    /// Why nobody can have a connection: none can be opened, and there is none that could come back.
    fn unreachable(&self) -> Option<E> {
        let alive = self.counts.checked_out + self.counts.checked_in;
        match self.breaker.is_open() && alive == 0 {
            true => self.breaker.error(),
            false => None,
        }
    }

    /// Finds somebody for a connection that is counted nowhere.
    fn free(&mut self, now: Instant, lingers: bool, shed: &mut Vec<W>) -> Freed<W> {
        if self.is_closed || self.counts.connections() >= self.limits.connections() {
            self.counts.closing += 1;
            return Freed::Excess;
        }
        if self.counts.checked_out < self.permitted()
            && let Some((class, caller)) = self.next(now, shed)
        {
            self.check_out(class);
            return Freed::To(class, caller);
        }
        if !lingers && self.counts.staying() >= self.limits.size {
            self.counts.closing += 1;
            return Freed::Excess;
        }
        self.counts.checked_in += 1;
        Freed::Kept
    }

    /// Whoever is next to have a connection.
    fn next(&mut self, now: Instant, shed: &mut Vec<W>) -> Option<(ClassId, W)> {
        while let Some(class) = self.next_class() {
            if let Some(caller) = self.classes[class].queue.next(now, shed) {
                return Some((class, caller));
            }
        }
        None
    }

    /// Whose turn it is: a class that has less than its share, else whoever came first.
    fn next_class(&self) -> Option<ClassId> {
        let waiting = self.classes.iter().enumerate().filter_map(|(id, class)| {
            let (ticket, _) = class.queue.oldest()?;
            Some((!self.has_less_than_its_share(class), ticket, id))
        });
        waiting.min().map(|(_, _, id)| id)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "there are fewer than 2^52 connections"
    )]
    fn has_less_than_its_share(&self, class: &Class<W>) -> bool {
        let share = class.share * self.permitted() as f64;
        // A part of a connection is a whole one; what a float cannot hold is none.
        (class.checked_out as f64) < share - 1e-9
    }

    fn check_out(&mut self, class: ClassId) {
        self.counts.checked_out += 1;
        self.classes[class].checked_out += 1;
    }

    fn drain(&mut self) -> Vec<W> {
        let queues = self.classes.iter_mut().map(|class| &mut class.queue);
        queues.flat_map(Queue::drain).collect()
    }
}
