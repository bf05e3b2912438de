//! What a study has measured so far, kept however it ends.

use std::sync::{Arc, Mutex, PoisonError};

use ruleiq_bench::{
    Fault,
    growth::growth,
    report::{Growth, GrowthPoint},
};

use super::{Say, Series, grouped};

/// The points of a study, shared with whoever may end it early.
#[derive(Clone, Debug, Default)]
pub struct Found {
    points: Arc<Mutex<Vec<(Series, GrowthPoint)>>>,
}

impl Found {
    /// What was found, a series each, in the order of their first points.
    pub fn growths(&self) -> Vec<Growth> {
        let points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<(Series, Vec<GrowthPoint>)> = Vec::new();
        for (series, point) in points.iter() {
            match all.iter_mut().find(|(its, _)| its == series) {
                Some((_, its)) => its.push(point.clone()),
                None => all.push((*series, vec![point.clone()])),
            }
        }
        all.into_iter()
            .map(|(it, points)| growth(it.what, it.component, it.case, points))
            .collect()
    }

    /// Keeps a point. One that could not be measured ends its series: that is said, and answered
    /// with `false`.
    ///
    /// # Errors
    ///
    /// A wrong answer, and the failure of a series that has no point at all.
    pub(super) fn keep(
        &self,
        series: Series,
        size: u64,
        measured: Result<GrowthPoint, Fault>,
        say: Say<'_>,
    ) -> Result<bool, Fault> {
        let mut points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        match measured {
            Ok(point) => {
                points.push((series, point));
                Ok(true)
            }
            Err(Fault::Failed(why)) if points.iter().any(|(it, _)| *it == series) => {
                let Series {
                    what,
                    component,
                    case,
                } = series;
                say(&format!(
                    "{component}/{case} ends before {} {what}: {why}",
                    grouped(size)
                ));
                Ok(false)
            }
            Err(fault) => Err(fault),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const KEYS: Series = Series {
        what: "keys",
        component: "cache",
        case: "l2_hit_64",
    };

    fn point(size: u64) -> GrowthPoint {
        GrowthPoint {
            size,
            cpu: BTreeMap::from([("client".to_owned(), 1.0)]),
            latency_us: BTreeMap::new(),
            figures: BTreeMap::new(),
        }
    }

    #[test]
    fn a_size_that_fails_ends_its_series_and_loses_nothing() {
        let found = Found::default();
        let mut said = Vec::new();
        let mut say = |line: &str| said.push(line.to_owned());
        assert!(found.keep(KEYS, 10, Ok(point(10)), &mut say).unwrap());
        let full = Err(Fault::Failed("the disk is full".to_owned()));
        assert!(!found.keep(KEYS, 1_000, full, &mut say).unwrap());
        assert_eq!(
            said,
            ["cache/l2_hit_64 ends before 1,000 keys: the disk is full"]
        );
        let growths = found.growths();
        assert_eq!((growths.len(), growths[0].points.len()), (1, 1));
    }

    #[test]
    fn a_wrong_answer_and_a_series_without_a_point_are_faults() {
        let found = Found::default();
        let failed = Err(Fault::Failed("no server".to_owned()));
        assert!(found.keep(KEYS, 10, failed, &mut |_: &str| {}).is_err());
        let ok = found.keep(KEYS, 10, Ok(point(10)), &mut |_: &str| {});
        assert!(ok.unwrap());
        let wrong = Err(Fault::Wrong("another's".to_owned()));
        assert!(found.keep(KEYS, 20, wrong, &mut |_: &str| {}).is_err());
    }
}
