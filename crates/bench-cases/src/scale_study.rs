//! Cost per operation as data, connections, keys and the cache grow.
//!
//! Each point is a few short slices of one side alone: it shows the shape of a curve, to some
//! percent, and is held against nothing. What explains a bend is read beside it.

mod cache;
mod connections;
mod found;
mod point;
mod questions;

use std::{sync::Arc, time::Duration};

use ruleiq_bench::Fault;

pub use self::found::Found;
use crate::{Env, env::pids};

/// Given so much time, the data grow to ten million questions.
const TIME_FOR_TEN_MILLION: Duration = Duration::from_secs(45 * 60);

/// How many sizes a series has at least.
const LEAST: usize = 2;

/// How far things grow.
#[derive(Clone, Debug)]
pub struct ScaleStudy {
    /// Questions of a database; all else grows with them.
    questions: Vec<u64>,
    /// Keep-alive connections to the server, and connections of the pool.
    connections: Vec<usize>,
    /// Keys in Redis, and values in the process.
    keys: Vec<u64>,
    /// What there was no time for, in words.
    left_out: Vec<String>,
}

/// What one series is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Series {
    /// What grows.
    what: &'static str,
    component: &'static str,
    case: &'static str,
}

/// Who is told how far a study is.
pub type Say<'a> = &'a mut (dyn FnMut(&str) + Send);

impl ScaleStudy {
    /// The study for so much time; without a limit, its own of a few minutes. Sizes for which the
    /// time is too short are left out, the largest first, down to two of each series.
    pub fn new(time: Option<Duration>) -> ScaleStudy {
        let mut questions = vec![1_000, 10_000, 100_000, 1_000_000];
        if time.is_some_and(|it| it >= TIME_FOR_TEN_MILLION) {
            questions.push(10_000_000);
        }
        let mut study = ScaleStudy {
            questions,
            connections: vec![1, 10, 100, 1_000],
            keys: vec![1_000, 10_000, 100_000, 1_000_000],
            left_out: Vec::new(),
        };
        while time.is_some_and(|it| study.estimate() > it) && study.leave_out() {}
        study
    }

    /// Leaves the dearest size out; `false` when the series are as short as they may be.
    fn leave_out(&mut self) -> bool {
        if self.questions.len() > LEAST {
            let size = self.questions.pop().map(grouped);
            self.left_out
                .extend(size.map(|it| format!("{it} questions")));
        } else if self.keys.len() > LEAST {
            let size = self.keys.pop().map(grouped);
            self.left_out.extend(size.map(|it| format!("{it} keys")));
        } else if self.connections.len() > LEAST {
            let size = self.connections.pop();
            self.left_out
                .extend(size.map(|it| format!("{it} connections")));
        } else {
            return false;
        }
        true
    }

    /// The smallest that still goes every way, for tests.
    pub fn tiny() -> ScaleStudy {
        ScaleStudy {
            questions: vec![1_000, 2_000],
            connections: vec![1, 4],
            keys: vec![100, 1_000],
            left_out: Vec::new(),
        }
    }

    /// What it will do, and what there is no time for.
    pub fn announcement(&self) -> String {
        let list = |sizes: &[u64]| {
            sizes
                .iter()
                .map(|it| grouped(*it))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let connections: Vec<u64> = self.connections.iter().map(|it| *it as u64).collect();
        let left_out = match self.left_out.is_empty() {
            true => String::new(),
            false => format!("; no time for {}", self.left_out.join(", ")),
        };
        format!(
            "questions: {}; connections: {}; keys: {}{left_out}",
            list(&self.questions),
            list(&connections),
            list(&self.keys),
        )
    }

    /// How long it should take.
    pub fn estimate(&self) -> Duration {
        let points = self.questions.len() * questions::CASES.len()
            + self.connections.len() * 2
            + self.keys.len() * 2;
        let rows: u64 = self.questions.iter().sum::<u64>() + self.keys.iter().sum::<u64>();
        // A set-up of two seconds, besides the slices; 15,000 questions or keys a second.
        let points = u32::try_from(points).unwrap_or(u32::MAX);
        (point::TIME + Duration::from_secs(2)) * points + Duration::from_secs(rows / 15_000)
    }

    /// Measures all series into `found`, which keeps what there is when this is given up. A size
    /// that the machine has no room for ends its series, and is said.
    ///
    /// # Errors
    ///
    /// When a server is missing, or an answer is wrong.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it loses the point that was being measured; its databases, keys and servers go.
    pub async fn run(&self, env: &Arc<Env>, found: &Found, say: Say<'_>) -> Result<(), Fault> {
        let (servers, unknown) = pids::servers(env).await;
        unknown.iter().for_each(|it| say(it));
        questions::grow(env, servers, &self.questions, found, say).await?;
        connections::grow(env, servers, &self.connections, found, say).await?;
        cache::grow(env, servers, &self.keys, found, say).await
    }
}

impl Series {
    /// Told while its next point is measured.
    fn says(self, size: u64) -> String {
        let Series {
            what,
            component,
            case,
        } = self;
        format!("{component}/{case} at {} {what}", grouped(size))
    }
}

/// `1,000,000`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_come_is_told() {
        let told = ScaleStudy::new(None).announcement();
        assert!(told.contains("100,000, 1,000,000;"), "{told}");
        assert!(!told.contains("10,000,000"), "{told}");
        let long = ScaleStudy::new(Some(TIME_FOR_TEN_MILLION));
        assert!(long.announcement().contains("10,000,000"));
        assert!(long.estimate() < TIME_FOR_TEN_MILLION);
    }

    #[test]
    fn sizes_without_time_are_left_out_and_told() {
        let short = ScaleStudy::new(Some(Duration::from_secs(90)));
        assert!(short.estimate() <= Duration::from_secs(90));
        let told = short.announcement();
        assert!(told.contains("no time for 1,000,000 questions"), "{told}");
        let shortest = ScaleStudy::new(Some(Duration::from_secs(1)));
        assert_eq!(shortest.questions.len(), LEAST);
        assert_eq!(shortest.connections.len(), LEAST);
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        for (n, expect) in [
            (7, "7"),
            (700, "700"),
            (7_000, "7,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(n), expect);
        }
    }
}
