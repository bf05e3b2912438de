//! What a report has beside its cases: curves under load, the scale study, instruction counts.

use std::{path::Path, sync::Arc, time::Duration};

use ruleiq_bench::{
    report::{Curve, Report},
    run::{Stop, in_words},
    worker::CaseInfo,
};

use super::{env, output, run::rules, under_load};
use crate::{
    Plan,
    cases::http::{CurvesPlan, curves},
    env::pids,
    instructions,
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
        match instructions::count(&this, Path::new(VALGRIND)).await {
            Ok(counted) => report.instructions = counted,
            Err(error) => report.warnings.push(error.to_string()),
        }
    }
    Ok(())
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
