//! Cost per operation as data, connections, keys and the cache grow.
//!
//! Each point is a few short slices of one side alone: it shows the shape of a curve, to some
//! percent, and is held against nothing. What explains a bend is read beside it.

mod cache;
mod connections;
mod point;
mod questions;

use std::{sync::Arc, time::Duration};

use ruleiq_bench::{
    Fault,
    growth::growth,
    report::{Growth, GrowthPoint},
};

use crate::{Env, env::pids};

/// Given so much time, the data grow to ten million questions.
const TIME_FOR_TEN_MILLION: Duration = Duration::from_secs(45 * 60);

/// How far things grow.
#[derive(Clone, Debug)]
pub struct ScaleStudy {
    /// Questions of a database; all else grows with them.
    questions: Vec<u64>,
    /// Keep-alive connections to the server, and connections of the pool.
    connections: Vec<usize>,
    /// Keys in Redis, and values in the process.
    keys: Vec<u64>,
}

/// What one series is about.
#[derive(Clone, Copy, Debug)]
struct Series {
    /// What grows.
    what: &'static str,
    component: &'static str,
    case: &'static str,
}

/// Who is told how far a study is.
pub type Say<'a> = &'a mut (dyn FnMut(&str) + Send);

impl ScaleStudy {
    /// The study for so much time; without a limit, its own of a few minutes.
    pub fn new(time: Option<Duration>) -> ScaleStudy {
        let mut questions = vec![1_000, 10_000, 100_000, 1_000_000];
        if time.is_some_and(|it| it >= TIME_FOR_TEN_MILLION) {
            questions.push(10_000_000);
        }
        ScaleStudy {
            questions,
            connections: vec![1, 10, 100, 1_000],
            keys: vec![1_000, 10_000, 100_000, 1_000_000],
        }
    }

    /// The smallest that still goes every way, for tests.
    pub fn tiny() -> ScaleStudy {
        ScaleStudy {
            questions: vec![1_000, 2_000],
            connections: vec![1, 4],
            keys: vec![100, 1_000],
        }
    }

    /// What it will do and how long that takes, for those who are to wait.
    pub fn announcement(&self) -> String {
        let list = |sizes: &[u64]| {
            sizes
                .iter()
                .map(|it| grouped(*it))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let connections: Vec<u64> = self.connections.iter().map(|it| *it as u64).collect();
        format!(
            "questions: {}; connections: {}; keys: {}; about {} minutes on two cores",
            list(&self.questions),
            list(&connections),
            list(&self.keys),
            self.estimate().as_secs().div_ceil(60)
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

    /// Measures all series. A size that the machine has no room for ends its series, and is said.
    ///
    /// # Errors
    ///
    /// When a server is missing, or an answer is wrong.
    pub async fn run(&self, env: &Arc<Env>, say: Say<'_>) -> Result<Vec<Growth>, Fault> {
        let (servers, unknown) = pids::servers(env).await;
        unknown.iter().for_each(|it| say(it));
        let mut growths = questions::grow(env, servers, &self.questions, say).await?;
        growths.extend(connections::grow(env, servers, &self.connections, say).await?);
        growths.extend(cache::grow(env, servers, &self.keys, say).await?);
        Ok(growths)
    }
}

impl Series {
    fn growth(self, points: Vec<GrowthPoint>) -> Growth {
        growth(self.what, self.component, self.case, points)
    }

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
    fn what_is_to_come_is_told_with_its_time() {
        let told = ScaleStudy::new(None).announcement();
        assert!(told.contains("100,000, 1,000,000;"), "{told}");
        assert!(!told.contains("10,000,000"), "{told}");
        let long = ScaleStudy::new(Some(TIME_FOR_TEN_MILLION));
        assert!(long.announcement().contains("10,000,000"));
        assert!(long.estimate() < TIME_FOR_TEN_MILLION);
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
