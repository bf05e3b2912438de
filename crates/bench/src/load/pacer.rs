//! The schedule of an open loop, as arithmetic: no clock is read here.

use std::time::Duration;

use crate::Fault;

/// How many requests a schedule may hold: 160 MB of moments.
const MOST: f64 = 1e7;

/// When requests have to be sent: at random, independent of each other and of the server (a
/// Poisson process), as from many users who do not know each other.
#[derive(Clone, Copy, Debug)]
pub struct Arrivals {
    /// Requests per second, in the mean.
    pub rate: f64,
    /// For how long.
    pub duration: Duration,
    /// The same seed gives the same moments.
    pub seed: u64,
}

/// Hands the schedule's moments out, each once.
#[derive(Clone, Debug)]
pub struct Pacer {
    moments: Vec<Duration>,
    taken: usize,
    told: usize,
}

impl Arrivals {
    /// The moments, counted from the begin.
    ///
    /// # Errors
    ///
    /// When the rate is no positive number, or there would be more than ten million.
    pub fn schedule(&self) -> Result<Pacer, Fault> {
        let expected = self.rate * self.duration.as_secs_f64();
        if !(self.rate > 0.0 && expected <= MOST) {
            return Err(Fault::Failed(format!(
                "{} requests/s for {:?}: the rate has to be above 0, and the requests {MOST} at most",
                self.rate, self.duration
            )));
        }
        let mut random = fastrand::Rng::with_seed(self.seed);
        let end = self.duration.as_secs_f64();
        let mut at = 0.0;
        let moments = std::iter::from_fn(|| {
            // The exponential distribution by inversion; 1 − u is never 0.
            at += -(1.0 - random.f64()).ln() / self.rate;
            (at < end).then(|| Duration::from_secs_f64(at))
        });
        Ok(Pacer {
            moments: moments.collect(),
            taken: 0,
            told: 0,
        })
    }
}

impl Pacer {
    /// How many moments there are in all.
    pub fn len(&self) -> usize {
        self.moments.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.moments.is_empty()
    }

    /// The earliest moment that nobody has taken, if it has come.
    pub fn take(&mut self, elapsed: Duration) -> Option<Duration> {
        let moment = *self.moments.get(self.taken)?;
        (moment <= elapsed).then(|| {
            self.taken += 1;
            moment
        })
    }

    /// How many moments have come since this was asked last, taken or not.
    pub fn come(&mut self, elapsed: Duration) -> usize {
        let before = self.told;
        let rest = &self.moments[before..];
        self.told += rest.iter().take_while(|it| **it <= elapsed).count();
        self.told - before
    }

    /// The first moment that [`Pacer::come`] has not told of; none after the last one.
    pub fn next(&self) -> Option<Duration> {
        self.moments.get(self.told).copied()
    }

    /// The moments that nobody has taken.
    pub fn left(&self) -> &[Duration] {
        &self.moments[self.taken..]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn arrivals(rate: f64, seed: u64) -> Arrivals {
        Arrivals {
            rate,
            duration: Duration::from_secs(10),
            seed,
        }
    }

    #[test]
    fn gaps_are_exponential_with_the_rate_asked_for() {
        let pacer = arrivals(10_000.0, 1).schedule().unwrap();
        let n = pacer.len() as f64;
        // Six standard deviations of a Poisson count.
        assert!((n - 1e5).abs() < 6.0 * 1e5_f64.sqrt(), "{n}");
        let gaps: Vec<f64> = pacer
            .moments
            .windows(2)
            .map(|it| (it[1] - it[0]).as_secs_f64())
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let longer = gaps.iter().filter(|it| **it > mean).count() as f64 / gaps.len() as f64;
        assert!((longer - (-1.0_f64).exp()).abs() < 0.01, "{longer}");
    }

    #[test]
    fn a_seed_gives_one_schedule() {
        let of = |seed| arrivals(100.0, seed).schedule().unwrap().moments;
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn each_moment_is_taken_once_and_none_too_early() {
        let ms = Duration::from_millis;
        let mut pacer = Pacer {
            moments: vec![ms(1), ms(2), ms(5)],
            taken: 0,
            told: 0,
        };
        assert_eq!(pacer.take(ms(0)), None);
        assert_eq!(pacer.next(), Some(ms(1)));
        assert_eq!(pacer.come(ms(2)), 2);
        assert_eq!(pacer.come(ms(2)), 0);
        assert_eq!(pacer.next(), Some(ms(5)));
        assert_eq!(pacer.take(ms(4)), Some(ms(1)));
        assert_eq!(pacer.take(ms(4)), Some(ms(2)));
        assert_eq!(pacer.take(ms(4)), None);
        assert_eq!(pacer.left(), [ms(5)]);
        assert_eq!(pacer.come(ms(9)), 1);
        assert_eq!(pacer.next(), None);
        assert_eq!(pacer.take(ms(9)), Some(ms(5)));
        assert_eq!(pacer.take(ms(9)), None);
    }

    #[test]
    fn a_rate_that_is_none_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(arrivals(rate, 1).schedule().is_err(), "{rate}");
        }
    }
}
