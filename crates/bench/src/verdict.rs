//! What may be said of an estimate: of its target, of an earlier revision, of the whole run.
//!
//! A verdict may be that there is none. Nothing here turns "it cannot be said" into a pass: too
//! few blocks, too much noise, a missing control and a broken measurement each have a word of
//! their own and a sentence that says the way out.

mod outcome;
mod regression;
mod target;

use crate::report::{TargetVerdict, Verdict};

pub use self::{
    outcome::{Outcome, settle},
    regression::{Noise, Regression, compare_counts, compare_revisions},
    target::{Seen, judge_target},
};

pub(crate) use self::{
    regression::{direction, second_look, spread},
    target::figure,
};

/// The bounds of all verdicts. Differences are shares: 0.05 is 5 %.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Blocks of a first look.
    pub blocks: usize,
    /// Fresh blocks of a second look.
    pub second_blocks: usize,
    /// The same where a block spreads by more than 5 %.
    pub second_blocks_if_noisy: usize,
    /// Of all intervals but the one that screens.
    pub confidence: f64,
    /// Of the interval that screens for candidates.
    pub screen_confidence: f64,
    /// A candidate differs by more than this.
    pub screen: f64,
    /// A change that is called one is greater than this, and than the control's against itself.
    pub least: f64,
    /// `same` is said only where a difference of this much would have been seen.
    pub effect: f64,
    /// How near to its bound a target can be judged at all.
    pub finest: f64,
    /// How much the ratio to the control differs between two runs of one program, as a standard
    /// deviation: a stored run is of another hour, another layout, other pages.
    pub between_runs: f64,
    /// [`Rules::effect`] against a stored run.
    pub stored_effect: f64,
}

impl Rules {
    /// A full run: 12 blocks, 20 more for whoever looks changed or is undecided, differences of 10 % seen.
    pub fn full() -> Rules {
        Rules {
            blocks: 12,
            second_blocks: 20,
            second_blocks_if_noisy: 30,
            confidence: 0.99,
            screen_confidence: 0.95,
            screen: 0.04,
            least: 0.05,
            effect: 0.10,
            finest: 0.0,
            between_runs: 0.05,
            stored_effect: 0.25,
        }
    }

    /// A quick run: 8 short blocks, and nothing finer than 15 % is claimed.
    pub fn quick() -> Rules {
        Rules {
            blocks: 8,
            second_blocks: 16,
            second_blocks_if_noisy: 16,
            screen: 0.10,
            least: 0.15,
            effect: 0.15,
            finest: 0.15,
            ..Rules::full()
        }
    }
}

/// The word for a row, from what was said of its target and of an earlier revision.
///
/// Where revisions are compared, the word is about that; a critical miss and a missing control
/// stay visible all the same; an open comparison is not hidden by the latter.
pub fn word(target: Option<TargetVerdict>, compared: Option<Verdict>) -> Verdict {
    match (target, compared) {
        (Some(TargetVerdict::Critical), _) => Verdict::Critical,
        (_, Some(said @ (Verdict::Regressed | Verdict::Inconclusive))) => said,
        (Some(TargetVerdict::NoControl), _) => Verdict::NoControl,
        (_, Some(compared)) => compared,
        (Some(TargetVerdict::Met), None) => Verdict::Met,
        (Some(TargetVerdict::Missed), None) => Verdict::Missed,
        (Some(TargetVerdict::Undecided), None) => Verdict::Inconclusive,
        (None, None) => Verdict::Measured,
    }
}

/// Whether revisions are compared by this metric. What others differ by is shown.
pub(crate) fn gates(metric: &str) -> bool {
    metric == "cpu_per_op"
}

/// A difference on logs in words: `3.1 %`; twice as much is 100 %, half of it 50 %.
pub(crate) fn percent(difference: f64) -> String {
    format!("{:.1} %", 100.0 * difference.exp_m1().abs())
}

/// Why `n` blocks have no interval, and what to do.
pub(crate) fn too_few(n: usize, rules: &Rules) -> String {
    format!(
        "{n} blocks give no interval of {:.0} %, which needs 8: run with `--blocks {}`",
        100.0 * rules.confidence,
        rules.blocks
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_as_much_is_a_hundred_percent_and_half_of_it_fifty() {
        assert_eq!(percent(2.0_f64.ln()), "100.0 %");
        assert_eq!(percent(0.5_f64.ln()), "50.0 %");
    }
}
