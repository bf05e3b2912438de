//! What a report has beside its cases: curves under load, the scale study, instruction counts.

use std::{path::Path, sync::Arc, time::Duration};

use ruleiq_bench::{
    Fault,
    report::{Curve, Instructions, Report},
    run::{Stop, in_words},
    worker::CaseInfo,
};

use super::{env, output, run::rules, under_load};
use crate::{
    Plan,
    cases::http::{CurvesPlan, curves},
    env::pids,
    instructions::{self, InstructionsError},
    scale_study::{Found, ScaleStudy},
};

const VALGRIND: &str = "valgrind";
/// How long each rate is offered.
const OFFERED: Duration = Duration::from_secs(2);
/// How often a long step looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// Adds the curves of the endpoints, where a full run has one of them, and instruction counts.
pub(super) async fn add(
    report: &mut Report,
    plan: &Plan,
    chosen: &[CaseInfo],
    stop: &Stop,
) -> anyhow::Result<()> {
    under_load::mark_closed(report);
    if has_curves(plan, chosen) {
        add_curves(report, plan, stop).await?;
    }
    if plan.instructions && !stop.is_asked() {
        let this = std::env::current_exe()?;
        let (counted, warnings) = (&mut report.instructions, &mut report.warnings);
        let valgrind = Path::new(VALGRIND);
        report.partial |= !count_instructions(&this, valgrind, stop, counted, warnings).await;
    }
    Ok(())
}

/// Says before a long run that it will have no instruction counts, where that is so.
pub(super) async fn look_for_valgrind(plan: &Plan) {
    if plan.instructions
        && let Err(error) = instructions::look_for(Path::new(VALGRIND)).await
    {
        output::complain(&error.to_string());
    }
}

/// Counts path by path: one that fails costs no other, and what was counted is kept when the run is
/// to end. Answers whether it came to its end.
async fn count_instructions(
    program: &Path,
    valgrind: &Path,
    stop: &Stop,
    counted: &mut Vec<Instructions>,
    warnings: &mut Vec<String>,
) -> bool {
    for path in instructions::names() {
        let counting = instructions::count_one(program, valgrind, path);
        match unless_stopped(stop, counting).await {
            None => return false,
            Some(Ok(its)) => counted.push(its),
            Some(Err(error)) => {
                warnings.push(Fault::failed(&error).to_string());
                if matches!(error, InstructionsError::NotInstalled) {
                    break;
                }
            }
        }
    }
    true
}

/// Whether a run of these cases has curves.
pub(super) fn has_curves(plan: &Plan, chosen: &[CaseInfo]) -> bool {
    let has_http = chosen.iter().any(|it| it.name.component == "http");
    has_http && !plan.quick && plan.against.is_none()
}

async fn add_curves(report: &mut Report, plan: &Plan, stop: &Stop) -> anyhow::Result<()> {
    let env = env()?.with_seed(report.settings.seed);
    let (servers, _) = pids::servers(&env).await;
    let how = CurvesPlan {
        servers,
        slice: OFFERED,
        refine: true,
    };
    output::complain("latency under load, at 25, 50, 70 and 90 % of the ceiling");
    match unless_stopped(stop, curves(&env, &plan.options, how)).await {
        None => report.partial = true,
        Some(Ok(curves)) => {
            let ceilings = curves.iter().map(|it: &Curve| it.client_ceiling);
            report.self_check.client_ceiling_rps = ceilings.max_by(f64::total_cmp);
            let rows = under_load::rows(&report.results, &curves, &rules(plan.quick));
            report.results.extend(rows);
            report.curves = curves;
        }
        Some(Err(fault)) => {
            let row = under_load::not_measured(&report.results, &fault.to_string());
            report.results.extend(row);
            report
                .warnings
                .push(format!("latency under load was not measured: {fault}"));
        }
    }
    Ok(())
}

/// Adds how cost grows. What was measured is kept when it is to end early, and when it fails.
/// Answers whether it came to its end, or was asked to end.
pub(super) async fn scale_study(
    report: &mut Report,
    plan: &Plan,
    stop: &Stop,
) -> anyhow::Result<bool> {
    let env = Arc::new(env()?.with_seed(report.settings.seed));
    let study = ScaleStudy::new(plan.seconds.map(Duration::from_secs));
    output::complain(&format!(
        "{}; about {}",
        study.announcement(),
        in_words(study.estimate())
    ));
    let found = Found::default();
    let mut say = |line: &str| output::complain(line);
    let outcome = unless_stopped(stop, study.run(&env, &found, &mut say)).await;
    report.scale_study = found.growths();
    match outcome {
        None => report.partial = true,
        Some(Ok(())) => {}
        Some(Err(fault)) if report.scale_study.is_empty() => return Err(fault.into()),
        Some(Err(fault)) => {
            report.partial = true;
            let why = format!("the study broke off: {fault}");
            report.warnings.push(why);
            return Ok(false);
        }
    }
    Ok(true)
}

/// The outcome of `work`, or none if the run is to end: then it is dropped where it is.
pub(super) async fn unless_stopped<T>(stop: &Stop, work: impl Future<Output = T>) -> Option<T> {
    let asked = async {
        while !stop.is_asked() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        done = work => Some(done),
        () = asked => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

    use super::*;

    /// A profiler that does `then`, with the path in `$5` and its operations in `$6`.
    fn profiler(name: &str, then: &str) -> PathBuf {
        let name = format!("ruleiq-profiler-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, format!("#!/bin/sh\n{then}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn a_path_that_fails_costs_no_other() {
        let count = "[ $5 = cache_key ] && exit 1; echo \"==1== Collected : $(($6 * 9))\" >&2";
        let valgrind = profiler("fails", count);
        let (mut counted, mut warnings) = (Vec::new(), Vec::new());
        let (program, stop) = (Path::new("program"), Stop::default());
        let is_whole =
            count_instructions(program, &valgrind, &stop, &mut counted, &mut warnings).await;
        fs::remove_file(&valgrind).unwrap();
        assert!(is_whole);
        let all = instructions::names().count();
        assert_eq!(counted.len(), all - 1, "{warnings:?}");
        assert!(counted.iter().all(|it| (it.per_op - 9.0).abs() < 1e-9));
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("cache_key"), "{warnings:?}");
    }

    #[tokio::test]
    async fn the_end_of_a_run_does_not_wait_for_a_count() {
        let valgrind = profiler("hangs", "exec sleep 600");
        let (mut counted, mut warnings) = (Vec::new(), Vec::new());
        let (program, stop) = (Path::new("program"), Stop::default());
        stop.ask();
        let counting = count_instructions(program, &valgrind, &stop, &mut counted, &mut warnings);
        let is_whole = tokio::time::timeout(Duration::from_secs(60), counting).await;
        fs::remove_file(&valgrind).unwrap();
        assert!(!is_whole.unwrap());
        assert!(counted.is_empty() && warnings.is_empty());
    }
}
