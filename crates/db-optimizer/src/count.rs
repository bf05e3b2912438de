//! PostgreSQL's signed counts as the counts they are.

/// A count that is kept as `bigint` and never falls below zero.
pub(crate) fn of(bigint: i64) -> u64 {
    u64::try_from(bigint).unwrap_or(0)
}

/// An estimate of rows, which the catalogue keeps as a floating-point number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast saturates, and an estimate has no fraction that counts"
)]
pub(crate) fn of_estimate(rows: f64) -> u64 {
    rows as u64
}
