//! The paths: each walks over inputs that are drawn when it begins.

use std::{hint::black_box, time::Duration};

use ruleiq_bench::Histogram;
use ruleiq_cache::__macro::Key;
use ruleiq_compression::{AcceptEncoding, Coding};
use ruleiq_metrics::{Metrics, Outcome};
use ruleiq_query::Fingerprint;

use crate::seeded::Seeded;

/// Inputs of a path, of which every run walks over each as often.
pub(super) const INPUTS: usize = 64;
const SEED: u64 = 42;

/// Walks a path so many times.
type Walk = fn(u64);

/// The names of the paths, and how they are walked.
const PATHS: [(&str, Walk); 5] = [
    ("accept_encoding", accept_encoding),
    ("cache_key", cache_key),
    ("query_fingerprint", query_fingerprint),
    ("operation_record", operation_record),
    ("histogram_record", histogram_record),
];

/// What browsers and programs send.
const HEADERS: [&str; 8] = [
    "gzip, deflate, br, zstd",
    "gzip, deflate, br",
    "gzip",
    "br;q=1.0, gzip;q=0.8, *;q=0.1",
    "identity",
    "*",
    "gzip;q=0, zstd",
    "deflate, gzip;q=1.0, *;q=0.5",
];
const STATUSES: [&str; 4] = ["draft", "in_progress", "completed", "archived"];
const STATEMENTS: [&str; 4] = [
    "SELECT id, email FROM users WHERE id = $1",
    "SELECT f.name, count(*) FROM frameworks f JOIN controls c ON c.framework_id = f.id \
     WHERE f.is_active AND c.created_at > '2026-01-01' GROUP BY f.name ORDER BY 2 DESC LIMIT 20",
    "UPDATE assessment_sessions SET status = 'completed', updated_at = now() WHERE id IN (1, 2, 3)",
    "INSERT INTO assessment_questions (assessment_id, code, title) VALUES ($1, $2, 'a title')",
];

/// A name that is none of the paths'.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is none of the hot paths: {list}", list = names().collect::<Vec<_>>().join(", "))]
pub struct Unknown(String);

/// The names of the paths.
pub fn names() -> impl Iterator<Item = &'static str> {
    PATHS.iter().map(|(name, _)| *name)
}

/// Walks a path so many times.
///
/// # Errors
///
/// When there is no such path.
pub fn walk(name: &str, operations: u64) -> Result<(), Unknown> {
    let found = PATHS.iter().find(|(it, _)| *it == name);
    let (_, walk) = found.ok_or_else(|| Unknown(name.to_owned()))?;
    walk(operations);
    Ok(())
}

/// Does `operation` with one input after the other.
fn each<T>(operations: u64, draw: impl Fn(&mut Seeded) -> T, mut operation: impl FnMut(&T)) {
    let mut draws = Seeded::new(SEED, "instructions");
    let inputs: Vec<T> = (0..INPUTS).map(|_| draw(&mut draws)).collect();
    let inputs = black_box(inputs);
    let mut left = operations;
    for input in inputs.iter().cycle() {
        if left == 0 {
            return;
        }
        left -= 1;
        operation(black_box(input));
    }
}

fn accept_encoding(operations: u64) {
    each(
        operations,
        |draws| draws.pick(&HEADERS).as_bytes().to_vec(),
        |header| {
            let accepts = AcceptEncoding::parse([header.as_slice()]);
            black_box(accepts.negotiate(black_box(&Coding::ALL))).ok();
        },
    );
}

fn cache_key(operations: u64) {
    each(
        operations,
        |draws| {
            let user = u64::from(draws.below(1_000_000));
            (user, *draws.pick(&STATUSES), draws.below(500))
        },
        |(user, status, page)| {
            let key = Key::new("assessments").with(user).with(*status);
            black_box(key.with(page).finish());
        },
    );
}

fn query_fingerprint(operations: u64) {
    each(
        operations,
        |draws| (*draws.pick(&STATEMENTS)).to_owned(),
        |sql| {
            black_box(Fingerprint::of(sql));
        },
    );
}

fn operation_record(operations: u64) {
    let operation = Metrics::new().operation("instructions");
    each(operations, elapsed, |it| operation.record(*it, Outcome::Ok));
    black_box(operation);
}

fn histogram_record(operations: u64) {
    let mut histogram = Histogram::new();
    each(operations, elapsed, |it| histogram.record(*it));
    black_box(histogram.len());
}

/// A duration between a microsecond and a second, all orders of size equally likely.
fn elapsed(draws: &mut Seeded) -> Duration {
    let micros = 10_f64.powf(draws.share() * 6.0);
    Duration::from_secs_f64(micros / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_can_be_walked_and_others_are_told_the_names() {
        for name in names() {
            walk(name, 2 * INPUTS as u64).unwrap();
        }
        let error = walk("unknown", 1).unwrap_err().to_string();
        assert!(
            error.contains("`unknown`") && error.contains("cache_key"),
            "{error}"
        );
    }

    #[test]
    fn every_input_is_met_as_often_as_the_others() {
        let mut met = std::collections::BTreeMap::new();
        each(3 * INPUTS as u64, Seeded::next, |it| {
            *met.entry(*it).or_insert(0) += 1;
        });
        assert_eq!(met.len(), INPUTS);
        assert!(met.values().all(|it| *it == 3));
    }
}
