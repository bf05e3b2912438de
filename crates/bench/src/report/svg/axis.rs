//! From figures to places, and round figures to mark.

/// An axis over `low..=high`, drawn from `start` to `end`.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
    start: f64,
    end: f64,
}

impl Axis {
    /// Of a logarithm. What is not positive and finite is left out; a little room is left at both
    /// ends.
    pub(in crate::report) fn log(values: impl Iterator<Item = f64>, room: f64) -> Axis {
        let (low, high) = extent(values.filter(|it| *it > 0.0)).unwrap_or((1.0, 10.0));
        let room = (high / low).ln().max(0.02) * room;
        Axis {
            low: low * (-room).exp(),
            high: high * room.exp(),
            is_log: true,
            start: 0.0,
            end: 1.0,
        }
    }

    /// From nothing to the largest.
    pub(in crate::report) fn from_zero(values: impl Iterator<Item = f64>) -> Axis {
        let high = extent(values).map_or(1.0, |it| it.1);
        Axis {
            low: 0.0,
            high: if high > 0.0 { high * 1.04 } else { 1.0 },
            is_log: false,
            start: 0.0,
            end: 1.0,
        }
    }

    /// Exactly from `low` to `high` on a logarithm.
    pub(in crate::report) fn log_between(low: f64, high: f64) -> Axis {
        Axis {
            low,
            high,
            is_log: true,
            start: 0.0,
            end: 1.0,
        }
    }

    pub(super) fn drawn(self, start: f64, end: f64) -> Axis {
        Axis { start, end, ..self }
    }

    pub(super) fn has(self, value: f64) -> bool {
        value >= self.low * 0.999_999 && value <= self.high * 1.000_001
    }

    /// Where `value` is drawn; beyond an end, at the end.
    pub(super) fn place(self, value: f64) -> f64 {
        let share = match self.is_log {
            true if value <= 0.0 => 0.0,
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        let share = if share.is_finite() { share } else { 0.0 };
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// At most `most` round figures within it.
    pub(in crate::report) fn ticks(self, most: usize) -> Vec<f64> {
        if !self.is_log || self.high / self.low < 2.0 {
            return self.linear_ticks(most);
        }
        let sets: [&[f64]; 3] = [&[1.0, 1.5, 2.0, 3.0, 5.0, 7.0], &[1.0, 2.0, 5.0], &[1.0]];
        let all = sets.iter().map(|set| self.log_ticks(set, 1));
        let sparse = (2..12).map(|step| self.log_ticks(&[1.0], step));
        all.chain(sparse)
            .find(|ticks| ticks.len() <= most)
            .unwrap_or_default()
    }

    fn linear_ticks(self, most: usize) -> Vec<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a few ticks")]
        let rough = (self.high - self.low) / most.max(2) as f64;
        let power = 10_f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|it| it * power);
        let step = steps.into_iter().find(|it| *it >= rough * 0.999_9);
        let Some(step) = step.filter(|it| it.is_finite() && *it > 0.0) else {
            return Vec::new();
        };
        let first = (self.low / step - 1e-9).ceil();
        (0..=20)
            .map(|at| (first + f64::from(at)) * step)
            .filter(|it| self.has(*it))
            .collect()
    }

    fn log_ticks(self, mantissas: &[f64], every: i32) -> Vec<f64> {
        #[expect(clippy::cast_possible_truncation, reason = "an exponent")]
        let [first, last] = [self.low, self.high].map(|it| it.log10().floor() as i32);
        (first.max(-30)..=last.min(30))
            .filter(|it| it % every == 0)
            .flat_map(|it| mantissas.iter().map(move |m| m * 10_f64.powi(it)))
            .filter(|it| self.has(*it))
            .collect()
    }
}

fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .filter(|it| it.is_finite())
        .map(|it| (it, it))
        .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let check = |axis: Axis, most: usize, expect: &[f64]| {
            let ticks = axis.ticks(most);
            let same = ticks.len() == expect.len()
                && ticks.iter().zip(expect).all(|(a, b)| (a - b).abs() < 1e-9);
            assert!(same, "{ticks:?}, not {expect:?}");
        };
        check(
            Axis::log_between(0.5, 4.0),
            8,
            &[0.5, 0.7, 1.0, 1.5, 2.0, 3.0],
        );
        check(Axis::log_between(0.15, 4.0), 6, &[0.2, 0.5, 1.0, 2.0]);
        check(Axis::log_between(1.0, 1e6), 4, &[1.0, 1e2, 1e4, 1e6]);
        check(Axis::log_between(0.95, 1.12), 4, &[0.95, 1.0, 1.05, 1.1]);
        check(
            Axis::from_zero([0.0, 4_200.0].into_iter()),
            5,
            &[0.0, 1_000.0, 2_000.0, 3_000.0, 4_000.0],
        );
    }

    #[test]
    fn nothing_is_drawn_outside() {
        let axis = Axis::log_between(1.0, 100.0).drawn(50.0, 250.0);
        let places = [0.0, -1.0, 1.0, 10.0, 1e9, f64::NAN].map(|it| axis.place(it));
        assert_eq!(places, [50.0, 50.0, 50.0, 150.0, 250.0, 50.0]);
        let empty = Axis::log(std::iter::empty(), 0.1);
        assert!(empty.place(5.0).is_finite());
    }
}
