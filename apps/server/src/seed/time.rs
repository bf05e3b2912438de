//! Moments of the seeded past, counted from a fixed day, so that no clock is read.

use std::ops::Add;

/// 2023-01-01T00:00:00Z, in microseconds since 1970.
const EPOCH_UNIX_MICROS: u64 = 1_672_531_200_000_000;
/// The same in the microseconds since 2000 that PostgreSQL counts.
const EPOCH_MICROS: u64 = EPOCH_UNIX_MICROS - 946_684_800_000_000;

/// A moment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Time {
    since_epoch: Span,
}

/// A length of time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Span {
    micros: u64,
}

impl Time {
    pub(super) const EPOCH: Time = Time {
        since_epoch: Span { micros: 0 },
    };

    pub(super) fn unix_millis(self) -> u64 {
        (EPOCH_UNIX_MICROS + self.since_epoch.micros) / 1_000
    }

    /// A `timestamptz` as it travels.
    pub(super) fn to_sql(self) -> i64 {
        i64::try_from(EPOCH_MICROS + self.since_epoch.micros).expect("it lies in this century")
    }
}

impl Span {
    pub(super) const fn days(days: u64) -> Span {
        Span::minutes(days * 24 * 60)
    }

    pub(super) const fn minutes(minutes: u64) -> Span {
        Span {
            micros: minutes * 60_000_000,
        }
    }

    /// The share of this span that `n` of `count` steps take.
    pub(super) fn share(self, n: u64, count: u64) -> Span {
        Span {
            micros: self.micros / count * n,
        }
    }
}

impl Add<Span> for Time {
    type Output = Time;

    fn add(self, span: Span) -> Time {
        let micros = self.since_epoch.micros + span.micros;
        Time {
            since_epoch: Span { micros },
        }
    }
}
