//! One trial: a case with something planted in its subject, judged as two revisions are.

use std::path::PathBuf;

use anyhow::{Context, bail};
use ruleiq_bench::{
    Measured, Orders, Rules,
    report::{Row, Verdict},
    run::{self, Against, Profile, Progress, RunPlan, Stop},
    summarise,
    verdict::settle,
    worker::{CaseInfo, WorkerProgram},
};

use super::Planted;

/// The longest warm-up of an arm, in seconds.
const WARM_UP_S: f64 = 0.5;
/// Slices are lengthened until a block spreads by less than this, or to [`LONGEST_S`].
const QUIET: f64 = 0.03;
const LONGEST_S: f64 = 0.16;

/// A case on its bench.
#[derive(Debug)]
pub(crate) struct Bench {
    program: PathBuf,
    case: CaseInfo,
    rules: Rules,
    /// How long a slice is.
    pub(crate) slice_s: f64,
}

/// What a trial showed.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// With what is planted, over without.
    pub(crate) ratio: f64,
    /// Its interval.
    pub(crate) low: f64,
    /// Its interval.
    pub(crate) high: f64,
    /// The control against itself: the half-width of its interval.
    pub(crate) floor: Option<f64>,
    /// The control against itself: the spread of a block.
    pub(crate) s: Option<f64>,
    /// What is said of it.
    pub(crate) verdict: Verdict,
    /// Which look said it.
    pub(crate) stage: u8,
    /// CPU microseconds per operation without what is planted.
    pub(crate) control_us: f64,
}

/// How a trial ended.
#[derive(Clone, Debug)]
pub(crate) enum Trial {
    /// With this.
    Seen(Seen),
    /// Early, because that was asked for.
    Stopped,
}

impl Bench {
    /// The bench of a case, run by `program`.
    pub(crate) fn new(program: PathBuf, case: CaseInfo, rules: Rules, slice_s: f64) -> Bench {
        Bench {
            program,
            case,
            rules,
            slice_s,
        }
    }

    /// The case's name.
    pub(crate) fn name(&self) -> &str {
        &self.case.name.case
    }

    /// One look without anything planted. Slices are then lengthened while they are too noisy:
    /// noise falls about with the root of their length.
    pub(crate) async fn pilot(
        &mut self,
        orders: &mut Orders,
        stop: &Stop,
    ) -> anyhow::Result<Trial> {
        loop {
            let trial = self.trial(Planted::default(), orders, stop).await?;
            let Trial::Seen(seen) = &trial else {
                return Ok(trial);
            };
            let is_quiet = seen.s.is_some_and(|it| it <= QUIET);
            if is_quiet || self.slice_s * 2.0 > LONGEST_S {
                return Ok(trial);
            }
            self.slice_s *= 2.0;
        }
    }

    /// The program with what is planted and the program without, as `--against` does it: each in a
    /// process of its own, in the same blocks, and settled as a report is.
    pub(crate) async fn trial(
        &self,
        planted: Planted,
        orders: &mut Orders,
        stop: &Stop,
    ) -> anyhow::Result<Trial> {
        let plan = RunPlan {
            program: self.worker(planted, stop)?,
            counting: None,
            against: Some(Against {
                revision: "without".to_owned(),
                program: self.worker(Planted::default(), stop)?,
                counting: None,
            }),
            profile: Profile {
                slice_s: self.slice_s,
                warm_up_s: WARM_UP_S,
                ..Profile::full()
            },
            rules: self.rules.clone(),
            iterations: None,
            seed: orders.seed(),
        };
        let cases = vec![self.case.clone()];
        let outcome = run::run(&plan, cases, None, &Progress::hidden(), stop).await;
        if let Some(fault) = outcome.fault {
            return Err(fault.into());
        }
        if outcome.is_partial {
            return Ok(Trial::Stopped);
        }
        let measured = outcome.measured.first();
        let mut rows = vec![row(
            measured.context("a run without its case")?,
            &self.rules,
        )?];
        settle(&mut rows, &self.rules);
        settled(&rows[0]).map(Trial::Seen)
    }

    fn worker(&self, planted: Planted, stop: &Stop) -> anyhow::Result<WorkerProgram> {
        Ok(WorkerProgram {
            program: self.program.clone(),
            arguments: vec![
                "self-test-worker".to_owned(),
                serde_json::to_string(&planted)?,
            ],
            variables: Vec::new(),
            stop: stop.clone(),
        })
    }
}

/// What a row says of a program against itself.
fn settled(row: &Row) -> anyhow::Result<Seen> {
    let compared = row.baseline.as_ref();
    let compared = compared.context("a comparison of two programs without blocks")?;
    let control_us = row.control.as_ref().and_then(|it| it.value);
    Ok(Seen {
        ratio: compared.ratio,
        low: compared.ci_low,
        high: compared.ci_high,
        floor: row.aa_floor,
        s: row.aa_s,
        verdict: row.verdict,
        stage: compared.stage,
        control_us: control_us.context("the control has no slices")?,
    })
}

fn row(measured: &Measured, rules: &Rules) -> anyhow::Result<Row> {
    let row = summarise(measured, rules)
        .into_iter()
        .find(|it| it.metric == "cpu_per_op")
        .context("a case without CPU time")?;
    let missing = measured.sides.iter().find_map(|it| it.missing.as_ref());
    if let Some(why) = missing {
        bail!("`{}` cannot be measured: {why}", measured.name);
    }
    if row.verdict == Verdict::Invalid {
        bail!("`{}` is invalid: {}", measured.name, row.reasons.join("; "));
    }
    Ok(row)
}
