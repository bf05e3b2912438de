//! `run`: measures what the plan asks for, and reports it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use ruleiq_bench::{
    Measured,
    baseline::{Refusal, Refused, compare_with, may_be_saved, refusals},
    report::{Report, file, html, terminal},
    run::{
        self, Against, Outcome, Profile, Progress, RunPlan, Stop, Store, StoredRun, estimate,
        in_words, select,
    },
    verdict::{self, Rules, settle},
    worker::{CaseInfo, WorkerProgram},
};
use serde_json::json;

use super::{INTERRUPTED, INVALID, assemble, assemble::Facts, extras, interrupt, list, output};
use crate::{Plan, cases, env};

/// The program that counts allocations, beside this one.
const COUNTING: &str = "bench-cases-alloc";
/// A run in which nothing was measured.
const NOTHING: Outcome = Outcome {
    measured: Vec::new(),
    is_partial: false,
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
    let stop = interrupt::listen()?;
    let facts = Facts::gather(&plan).await?;
    let mut run_plan = run_plan(&plan)?;
    if plan.scale_study {
        return scale_study(&plan, &run_plan, facts, &stop).await;
    }
    let then = baseline(&plan, &run_plan, &facts)?;
    let (store, done) = open_store(&plan, &facts, &mut run_plan)?;
    let outcome = measure(&run_plan, chosen.clone(), store, done, &stop).await?;
    let mut report = assemble::report(&plan, &run_plan, facts, &outcome);
    if !report.partial {
        extras::add(&mut report, &plan, &chosen, &stop).await?;
    }
    if let Some(then) = then.filter(|_| !report.partial) {
        let warnings = compare_with(&mut report, &then, &run_plan.rules)?;
        report.warnings.extend(warnings);
        settle(&mut report.results, &run_plan.rules);
    }
    finish(&plan, &report)
}

async fn scale_study(
    plan: &Plan,
    run_plan: &RunPlan,
    facts: Facts,
    stop: &Stop,
) -> anyhow::Result<u8> {
    let mut report = assemble::report(plan, run_plan, facts, &NOTHING);
    let began = Instant::now();
    extras::scale_study(&mut report, plan, stop).await?;
    report.duration_s = seconds(began.elapsed());
    deliver(plan, &report)?;
    // Nothing in it is judged.
    Ok(if report.partial { INTERRUPTED } else { 0 })
}

fn finish(plan: &Plan, report: &Report) -> anyhow::Result<u8> {
    let is_saved = deliver(plan, report)?;
    Ok(match code(report, plan.lenient) {
        _ if report.partial => INTERRUPTED,
        0 if !is_saved => INVALID,
        code => code,
    })
}

/// The stored run to compare with. What can be known to differ is refused before anything is
/// measured.
fn baseline(plan: &Plan, run_plan: &RunPlan, facts: &Facts) -> anyhow::Result<Option<Report>> {
    let Some(path) = &plan.baseline else {
        return Ok(None);
    };
    let mut then = file::read(path)?;
    then.git.dirty &= !plan.allow_dirty;
    let now = assemble::report(plan, run_plan, facts.clone(), &NOTHING);
    let reasons: Vec<Refusal> = refusals(&now, &then, &run_plan.rules)
        .into_iter()
        .filter(|it| *it != Refusal::NothingInCommon)
        .collect();
    if !reasons.is_empty() {
        return Err(Refused(reasons).into());
    }
    Ok(Some(then))
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

fn run_plan(plan: &Plan) -> anyhow::Result<RunPlan> {
    let this = std::env::current_exe().context("failed to find this program's own file")?;
    let rules = rules(plan.quick);
    let profile = if plan.quick {
        Profile::quick()
    } else {
        Profile::full()
    };
    let options = serde_json::to_string(&plan.options)?;
    let counting = this.with_file_name(COUNTING);
    Ok(RunPlan {
        program: worker(this, &options, None),
        counting: (!plan.without_allocations && counting.exists())
            .then(|| worker(counting, &options, None)),
        against: plan.against.as_ref().map(|it| Against {
            revision: it.revision.clone(),
            program: worker(it.program.clone(), &options, it.server.as_deref()),
        }),
        profile: Profile {
            blocks: plan.blocks.unwrap_or(profile.blocks),
            ..profile
        },
        rules,
        iterations: plan.iterations,
        seed: plan.seed.unwrap_or_else(assemble::drawn_seed),
    })
}

fn worker(program: PathBuf, options: &str, server: Option<&Path>) -> WorkerProgram {
    let server = server.map(|it| (env::SERVER.to_owned(), it.display().to_string()));
    WorkerProgram {
        program,
        arguments: vec!["worker".to_owned(), options.to_owned()],
        variables: server.into_iter().collect(),
    }
}

/// The file of what is measured so far, and what it already has.
fn open_store(
    plan: &Plan,
    facts: &Facts,
    run_plan: &mut RunPlan,
) -> anyhow::Result<(Option<Store>, Vec<Measured>)> {
    let Some(folder) = &plan.out else {
        if plan.resume {
            bail!("there is nothing to resume without a folder of partial results");
        }
        return Ok((None, Vec::new()));
    };
    let key = json!({
        "revision": plan.git.revision,
        "dirty": plan.git.dirty,
        "against": plan.against.as_ref().map(|it| &it.revision),
        "quick": plan.quick,
        "blocks": run_plan.profile.blocks,
        "iterations": plan.iterations,
        "options": plan.options,
        "scale": facts.scale.name,
        "machine": facts.host.fingerprint,
    });
    let key = key.as_object().cloned().unwrap_or_default();
    if plan.resume {
        let (store, run, done) = Store::resume(folder)?;
        run.expect(&key)?;
        if plan.seed.is_some_and(|it| it != run.seed) {
            bail!("the stored run was drawn from seed {}", run.seed);
        }
        run_plan.seed = run.seed;
        return Ok((Some(store), done));
    }
    let run = StoredRun {
        seed: run_plan.seed,
        began_s: facts.started.unix_timestamp(),
        key,
    };
    Ok((Some(Store::begin(folder, &run)?), Vec::new()))
}

async fn measure(
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
        None => format!(", about {}", in_words(estimate(plan, &chosen))),
    };
    output::complain(&format!(
        "{} cases, {} blocks each{time}; seed {}",
        chosen.len(),
        plan.profile.blocks,
        plan.seed
    ));
    let progress = Progress::on_stderr();
    let mut outcome = run::run(plan, chosen, store.as_mut(), &progress, stop).await?;
    outcome.measured.extend(done);
    outcome.measured.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(outcome)
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
        let reasons = may_be_saved(report);
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
