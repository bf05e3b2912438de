//! How many connections may be in use, by how long they are kept: a gradient limiter.
//!
//! It is Gradient2 of Netflix ("Performance Under Load", 2018; `concurrency-limits`): where connections are
//! kept for much longer than they were for long, the database has too much to do at a time, and the limit
//! goes down in proportion; else it goes up by about its square root, which is what may queue inside
//! the database.

use std::time::Duration;

/// How often the limit is looked at.
pub(crate) const EVERY: Duration = Duration::from_millis(100);
/// Connections that have to come back for a look to tell something.
pub(crate) const LOOK: u64 = 20;
/// Looks that the long average is made of: a minute's.
const LONG: f64 = 600.0;
/// How much longer than on average connections may be kept before the limit goes down.
const TOLERANCE: f64 = 1.5;
/// What of a new limit is taken over at each look.
const SMOOTHING: f64 = 0.2;
/// It goes down by no more than so much of itself at a time.
const STEEPEST: f64 = 0.5;
/// After an overload the long average comes down faster.
const RECOVERY: f64 = 0.95;

#[derive(Debug)]
pub(crate) struct Gradient {
    /// Seconds; none before the first look.
    long: Option<f64>,
    limit: f64,
}

impl Gradient {
    pub(crate) fn new(limit: usize) -> Gradient {
        Gradient {
            long: None,
            limit: float(limit),
        }
    }

    /// The limit from now on, between the two, by how long half of the connections were kept at most since the last
    /// look (what takes long now and then does not move that), and how many are in use.
    pub(crate) fn limit(
        &mut self,
        kept: Option<Duration>,
        in_use: usize,
        (least, most): (usize, usize),
    ) -> usize {
        let bounded = |limit: f64| limit.clamp(float(least), float(most.max(least)));
        self.limit = bounded(self.limit);
        if let Some(short) = kept.map(|it| it.as_secs_f64()).filter(|it| *it > 0.0) {
            let mut long = self.long.unwrap_or(short);
            long += (short - long) * 2.0 / (LONG + 1.0);
            if long > 2.0 * short {
                long *= RECOVERY;
            }
            self.long = Some(long);
            // Whoever needs fewer tells nothing of more.
            if float(in_use) >= self.limit / 2.0 {
                let gradient = (TOLERANCE * long / short).clamp(STEEPEST, 1.0);
                let new = self.limit * gradient + self.limit.sqrt();
                self.limit = bounded(self.limit + (new - self.limit) * SMOOTHING);
            }
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between two numbers of connections"
        )]
        let limit = self.limit as usize;
        limit
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "there are fewer than 2^52 connections"
)]
fn float(connections: usize) -> f64 {
    connections as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: (usize, usize) = (4, 64);

    /// The limit after so many looks at a pool all of whose connections are in use, which are kept for so
    /// long where so many are.
    fn after(looks: usize, gradient: &mut Gradient, kept: impl Fn(usize) -> Duration) -> usize {
        let mut limit = gradient.limit(None, 0, BOUNDS);
        for _ in 0..looks {
            limit = gradient.limit(Some(kept(limit)), limit, BOUNDS);
        }
        limit
    }

    #[test]
    fn it_goes_up_while_that_costs_no_time_and_down_when_it_does() {
        let mut gradient = Gradient::new(4);
        let ms = Duration::from_millis;
        assert_eq!(after(100, &mut gradient, |_| ms(10)), 64);
        // The database becomes four times slower by whatever is beyond eight.
        let slow = |limit: usize| ms(10 * (limit as u64).max(8) / 8);
        let limit = after(50, &mut gradient, slow);
        assert!((8..32).contains(&limit), "{limit}");
        // And well again.
        assert_eq!(after(200, &mut gradient, |_| ms(10)), 64);
    }

    #[test]
    fn whoever_needs_few_does_not_move_it() {
        let mut gradient = Gradient::new(16);
        for _ in 0..100 {
            let limit = gradient.limit(Some(Duration::from_millis(1)), 3, BOUNDS);
            assert_eq!(limit, 16);
        }
        assert_eq!(gradient.limit(None, 16, BOUNDS), 16);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(looks in prop::collection::vec((0_u64..10_000_000, 0_usize..100), 0..200)) {
            let mut gradient = Gradient::new(20);
            for (us, in_use) in looks {
                let kept = (us > 0).then(|| Duration::from_micros(us));
                let limit = gradient.limit(kept, in_use, BOUNDS);
                prop_assert!((BOUNDS.0..=BOUNDS.1).contains(&limit));
            }
            let limit = gradient.limit(None, 0, (1, 1));
            prop_assert_eq!(limit, 1);
        }
    }
}
