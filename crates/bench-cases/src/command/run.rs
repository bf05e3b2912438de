//! `run`: measures what the plan asks for, and reports it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use ruleiq_bench::{
    Fault, Measured,
    baseline::{Refused, compare_with, may_be_saved},
    report::{Report, file, html, terminal},
    run::{
        self, Against, Outcome, Profile, Progress, RunError, RunPlan, Stop, Store, estimate,
        in_words, second_looks, select,
    },
    verdict::{self, Rules, settle},
    worker::{CaseInfo, WorkerProgram},
};

use super::{
    INTERRUPTED, INVALID, assemble, assemble::Facts, baseline, extras, interrupt, list, output,
    programs, stored,
};
use crate::{Plan, cases, env};

/// The program that counts allocations, beside this one.
const COUNTING: &str = "bench-cases-alloc";
/// What the curves of the endpoints take, roughly: two endpoints, two sides, and for each the
/// ceilings, four rates, and a knee that is searched in about eight; and for ours seven slices more
/// where the target is judged.
const CURVES: Duration = Duration::from_secs(2 * (2 * 30 + 15));
/// A run in which nothing was measured.
pub(super) const NOTHING: Outcome = Outcome {
    measured: Vec::new(),
    is_partial: false,
    fault: None,
};

pub(super) async fn run(plan: Plan) -> anyhow::Result<u8> {
    let all: Vec<CaseInfo> = cases::all(&plan.options).iter().map(CaseInfo::of).collect();
    let chosen = select(&all, &plan.components, &plan.cases, plan.quick)?;
    if plan.list {
        output::print(&list::text(&chosen))?;
        return Ok(0);
    }
    refuse_debug(&plan)?;
    for path in [&plan.json, &plan.html, &plan.save].into_iter().flatten() {
        file::check_writable(path)?;
    }
    let mut then = baseline::read(&plan)?;
    let stop = interrupt::listen()?;
    extras::look_for_valgrind(&plan).await;
    let mut facts = Facts::gather(&plan).await?;
    facts.warnings.extend(programs::warning(&plan)?);
    if let Some(then) = &mut then {
        let pardoned = baseline::pardon(&plan, &mut then.git);
        facts.warnings.extend(pardoned);
    }
    let seed = plan.seed.or(then.as_ref().map(|it| it.settings.seed));
    let mut run_plan = run_plan(&plan, seed, &stop)?;
    if plan.scale_study {
        return scale_study(&plan, &run_plan, facts, &stop).await;
    }
    if let Some(then) = &then {
        baseline::refuse(&plan, &run_plan, &facts, &chosen, then)?;
    }
    let (store, done) = stored::open(&plan, &mut facts, &mut run_plan, seed)?;
    if !done.is_empty() {
        facts.warnings.push(format!(
            "resumed: {} cases were measured before, and their time is not in the run's",
            done.len()
        ));
    }
    // On going on, the seed is that of the stored run.
    draw_inputs(&mut run_plan);
    let outcome = measure(&plan, &run_plan, chosen.clone(), store, done, &stop).await?;
    facts.warnings.extend(outcome.fault.as_ref().map(broke_off));
    let mut report = assemble::report(&plan, &run_plan, facts, &outcome);
    if !report.partial {
        extras::add(&mut report, &plan, &chosen, &stop).await?;
    }
    let refused = match then.filter(|_| !report.partial) {
        Some(then) => compare(&mut report, &then, &run_plan.rules).err(),
        None => None,
    };
    let code = finish(&plan, &report)?;
    // What was measured is delivered all the same.
    if let Some(fault) = outcome.fault {
        return Err(fault.into());
    }
    refused.map_or(Ok(code), |it| Err(it.into()))
}

/// Why a run has less than it was to have.
fn broke_off(fault: &RunError) -> String {
    format!("the run broke off: {}", Fault::failed(fault))
}

fn compare(report: &mut Report, then: &Report, rules: &Rules) -> Result<(), Refused> {
    match compare_with(report, then, rules) {
        Ok(warnings) => {
            report.warnings.extend(warnings);
            settle(&mut report.results, rules);
            Ok(())
        }
        Err(refused) => {
            report.warnings.push(refused.to_string());
            Err(refused)
        }
    }
}

async fn scale_study(
    plan: &Plan,
    run_plan: &RunPlan,
    facts: Facts,
    stop: &Stop,
) -> anyhow::Result<u8> {
    let mut report = assemble::report(plan, run_plan, facts, &NOTHING);
    let began = Instant::now();
    let is_whole = extras::scale_study(&mut report, plan, stop).await?;
    report.duration_s = seconds(began.elapsed());
    deliver(plan, &report)?;
    // Nothing in it is judged.
    Ok(match report.partial {
        _ if !is_whole => INVALID,
        true => INTERRUPTED,
        false => 0,
    })
}

fn finish(plan: &Plan, report: &Report) -> anyhow::Result<u8> {
    let is_saved = deliver(plan, report)?;
    Ok(match code(report, plan.lenient) {
        _ if report.partial => INTERRUPTED,
        0 if !is_saved => INVALID,
        code => code,
    })
}

/// What a report comes to.
pub(super) fn code(report: &Report, is_lenient: bool) -> u8 {
    match verdict::Outcome::of(&report.results) {
        verdict::Outcome::Undecided if is_lenient => 0,
        outcome => outcome.exit_code(),
    }
}

/// The rules that a report's rows are judged by.
pub(super) fn rules(is_quick: bool) -> Rules {
    if is_quick {
        Rules::quick()
    } else {
        Rules::full()
    }
}

pub(super) fn refuse_debug(plan: &Plan) -> anyhow::Result<()> {
    if cfg!(debug_assertions) && !plan.allow_debug {
        bail!(
            "this program was built with debug assertions: nothing that it measures means \
             anything; build with --release"
        );
    }
    Ok(())
}

fn run_plan(plan: &Plan, seed: Option<u64>, stop: &Stop) -> anyhow::Result<RunPlan> {
    let this = std::env::current_exe().context("failed to find this program's own file")?;
    let rules = rules(plan.quick);
    let profile = if plan.quick {
        Profile::quick()
    } else {
        Profile::full()
    };
    let options = serde_json::to_string(&plan.options)?;
    let counting = |runner: &Path, server| {
        let program = runner.with_file_name(COUNTING);
        let is_asked = !plan.without_allocations && program.exists();
        is_asked.then(|| worker(program, &options, server, stop))
    };
    Ok(RunPlan {
        counting: counting(&this, None),
        program: worker(this, &options, None, stop),
        against: plan.against.as_ref().map(|it| Against {
            revision: it.revision.clone(),
            program: worker(it.program.clone(), &options, it.server.as_deref(), stop),
            counting: counting(&it.program, it.server.as_deref()),
        }),
        profile: Profile {
            blocks: plan.blocks.unwrap_or(profile.blocks),
            ..profile
        },
        rules,
        iterations: plan.iterations,
        seed: seed.unwrap_or_else(assemble::drawn_seed),
    })
}

fn worker(program: PathBuf, options: &str, server: Option<&Path>, stop: &Stop) -> WorkerProgram {
    let server = server.map(|it| (env::SERVER.to_owned(), it.display().to_string()));
    WorkerProgram {
        program,
        arguments: vec!["worker".to_owned(), options.to_owned()],
        variables: server.into_iter().collect(),
        stop: stop.clone(),
    }
}

/// Tells all workers the run's seed, which the inputs of cases are drawn from.
fn draw_inputs(plan: &mut RunPlan) {
    let now = std::iter::once(&mut plan.program).chain(&mut plan.counting);
    let then = plan.against.iter_mut();
    let then = then.flat_map(|it| std::iter::once(&mut it.program).chain(&mut it.counting));
    for program in now.chain(then) {
        let seed = (env::SEED.to_owned(), plan.seed.to_string());
        program.variables.push(seed);
    }
}

async fn measure(
    asked: &Plan,
    plan: &RunPlan,
    mut chosen: Vec<CaseInfo>,
    mut store: Option<Store>,
    done: Vec<Measured>,
    stop: &Stop,
) -> anyhow::Result<Outcome> {
    let is_chosen = |it: &Measured| chosen.iter().any(|case| case.name == it.name);
    let done: Vec<Measured> = done.into_iter().filter(is_chosen).collect();
    chosen.retain(|case| done.iter().all(|it| it.name != case.name));
    if !done.is_empty() {
        output::complain(&format!("{} cases were measured before", done.len()));
    }
    let time = match plan.iterations {
        Some(_) => String::new(),
        None => format!(", {}", time(asked, plan, &chosen)),
    };
    output::complain(&format!(
        "{} cases, {} blocks each{time}; seed {}",
        chosen.len(),
        plan.profile.blocks,
        plan.seed
    ));
    let progress = Progress::on_stderr();
    let mut outcome = run::run(plan, chosen, store.as_mut(), &progress, stop).await;
    outcome.measured.extend(done);
    outcome.measured.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(outcome)
}

/// How long all of it takes, roughly.
fn time(asked: &Plan, plan: &RunPlan, chosen: &[CaseInfo]) -> String {
    let mut sure = estimate(plan, chosen);
    if extras::has_curves(asked, chosen) {
        sure += CURVES;
    }
    let mut text = format!("about {}", in_words(sure));
    if plan.against.is_some() {
        let more = in_words(second_looks(plan, chosen));
        text.push_str(&format!(
            ", and up to {more} more if all of it seems to have changed"
        ));
    }
    text
}

/// Writes the report's files and prints it. Answers whether it was saved, if it was to be.
pub(super) fn deliver(plan: &Plan, report: &Report) -> anyhow::Result<bool> {
    let mut files: Vec<(&str, &Path)> = Vec::new();
    if let Some(path) = &plan.json {
        file::write(path, report)?;
        files.push(("JSON", path));
    }
    if let Some(path) = &plan.html {
        file::write_text(path, &html::page(report))?;
        files.push(("HTML", path));
    }
    let mut is_saved = true;
    if let Some(path) = &plan.save {
        let reasons = may_be_saved(report, &rules(report.quick));
        is_saved = reasons.is_empty();
        if is_saved {
            file::write(path, report)?;
            files.push(("baseline", path));
        }
        for reason in reasons {
            output::complain(&format!("not saved for later comparisons: {reason}"));
        }
    }
    output::print(&terminal::render(report, &files, output::style()))?;
    Ok(is_saved)
}

/// How long a run took, for the report.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}
