//! Expressions as keys, where PostgreSQL may trust that their values never change.
//!
//! Only the server knows whether a function is immutable; HypoPG refuses what is not, and a
//! candidate that it refuses is dropped. Without it, expressions are not proposed.

use crate::Key;

/// A longer expression is no key that anyone would want to read.
const MAX_LENGTH: usize = 200;

pub(super) fn key(sql: &str, columns: &[String]) -> Option<Key> {
    let is_fit = !columns.is_empty() && sql.len() <= MAX_LENGTH && !sql.contains("SubPlan");
    is_fit.then(|| Key::expression(sql))
}
