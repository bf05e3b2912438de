//! `advise`: indexes for a workload, on any PostgreSQL database.

mod budget;
mod connect;

use std::{
    fs,
    io::{ErrorKind, IsTerminal as _, Write as _, stderr, stdout},
    path::PathBuf,
    process::{self, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use ruleiq_performance::db_optimizer::{
    Advice, AdviseError, AdviseOptions, DatabaseOptimizer, SearchProgress, Sizes, TrialOptions,
    TrialProgress, TrialStep, Workload,
};
use secrecy::SecretString;
use tokio::signal;

use self::{budget::AskedBudget, connect::connect};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The database, as `postgres://user:password@host/name`; without `--trial`, it is only read
    #[arg(long, value_name = "URL")]
    database_url: SecretString,
    /// Statements, each ended by a semicolon, after a line like `-- name: q1 weight: 10`; without it,
    /// what `pg_stat_statements` has recorded
    #[arg(long, value_name = "FILE")]
    workload: Option<PathBuf>,
    /// Leave out the statements with these names, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    skip: Vec<String>,
    /// What the indexes may take: a part of the tables' size, or so many bytes (500MB, 2GB)
    #[arg(long, default_value = "50%")]
    budget: AskedBudget,
    /// How long to search, in seconds
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,
    /// How often to ask the planner at most
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    explains: u64,
    /// By what the budget is counted
    #[arg(long, value_enum, default_value_t = AskedSizes::Own)]
    sizes: AskedSizes,
    /// What an entry that a write adds to an index costs, in the planner's units
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    entry_cost: f64,
    /// A setting to plan with, as `work_mem=64MB`; may be given several times
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Write `CREATE INDEX ON …` to this file, one a line, without names and CONCURRENTLY: for tools; what
    /// is printed is for production
    #[arg(long, value_name = "FILE")]
    sql: Option<PathBuf>,
    /// On a copy of the database that nobody uses: build the indexes, run the statements with them and
    /// without, and leave out what makes one slower; it is rolled back, but locks the tables
    #[arg(long)]
    trial: bool,
    /// How long a trial may take, in seconds
    #[arg(long, value_name = "S", default_value_t = 1_800.0, requires = "trial")]
    trial_seconds: f64,
    /// Print all that is known, as JSON
    #[arg(long)]
    json: bool,
}

/// What a shell answers for a program that Ctrl-C has ended.
const EXIT_INTERRUPTED: i32 = 130;

/// Whose idea of an index's size counts.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AskedSizes {
    /// What a fresh index takes, by the layout of PostgreSQL's pages
    Own,
    /// HypoPG's estimate
    Hypopg,
}

/// Runs the command. It reads no settings but its arguments.
pub(crate) async fn advise(arguments: Arguments) -> anyhow::Result<ExitCode> {
    check(&arguments)?;
    let read = arguments.workload.as_ref().map(|path| {
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("failed to read {}", path.display()))?;
        Workload::parse(&text).with_context(|| path.display().to_string())
    });
    let read = read.transpose()?;
    let sql = arguments.sql.as_ref().map(|path| {
        let file = fs::File::create(path);
        file.with_context(|| format!("failed to write {}", path.display()))
    });
    let sql = sql.transpose()?;
    let client = connect(&arguments.database_url, &arguments.settings).await?;
    let optimizer = DatabaseOptimizer::new(&client);
    let workload = match read {
        Some(workload) => workload,
        None => optimizer.recorded_workload().await?,
    };
    let skipped: Vec<&str> = arguments.skip.iter().map(String::as_str).collect();
    for name in &skipped {
        let is_known = workload.statements().iter().any(|it| it.name == *name);
        ensure!(is_known, "`--skip {name}`: no statement has this name");
    }
    let workload = workload.without(&skipped);
    let options = options(&arguments);
    let advice = optimizer.advise(&workload, &options, progress).await;
    let mut advice = advice.map_err(told)?;
    let mut untried = None;
    // Whoever has stopped the search wants the advice now.
    let is_stopped = (options.stop.as_ref()).is_some_and(|it| it.load(Relaxed));
    if arguments.trial && is_stopped {
        untried = Some(anyhow::anyhow!("the search was stopped"));
    } else if arguments.trial {
        let options = trial_options(&arguments, options.stop);
        let trial = optimizer.trial(&workload, &advice, &options, trial_progress);
        match trial.await {
            Ok(trial) => advice = advice.tried(trial),
            Err(error) => untried = Some(anyhow::Error::new(error)),
        }
    }
    if let Some(mut file) = sql {
        let written = file.write_all(advice.create_statements().as_bytes());
        written.context("failed to write the statements")?;
    }
    let text = match arguments.json {
        true => serde_json::to_string_pretty(&advice)?,
        false => advice.to_string(),
    };
    match writeln!(stdout(), "{text}") {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.context("failed to print the advice")?,
    }
    if let Some(error) = untried {
        return Err(error.context("the advice was not tried out"));
    }
    Ok(exit_code(&advice))
}

fn check(arguments: &Arguments) -> anyhow::Result<()> {
    ensure!(
        arguments.seconds.is_finite() && (0.0..=86_400.0).contains(&arguments.seconds),
        "`--seconds {}`: it must be from 0 to 86,400",
        arguments.seconds
    );
    ensure!(
        arguments.trial_seconds.is_finite() && (1.0..=86_400.0).contains(&arguments.trial_seconds),
        "`--trial-seconds {}`: it must be from 1 to 86,400",
        arguments.trial_seconds
    );
    ensure!(
        arguments.entry_cost.is_finite() && arguments.entry_cost >= 0.0,
        "`--entry-cost {}`: it must be 0 or more",
        arguments.entry_cost
    );
    Ok(())
}

fn options(arguments: &Arguments) -> AdviseOptions {
    let stop = Arc::new(AtomicBool::new(false));
    let mut options = AdviseOptions::default();
    options.budget = arguments.budget.0;
    options.time = Duration::from_secs_f64(arguments.seconds);
    options.explains = arguments.explains;
    options.entry_cost = arguments.entry_cost;
    options.sizes = match arguments.sizes {
        AskedSizes::Own => Sizes::Own,
        AskedSizes::Hypopg => Sizes::HypoPg,
    };
    options.stop = Some(Arc::clone(&stop));
    // The first Ctrl-C ends the search, and the best set so far is the advice.
    tokio::spawn(async move {
        if signal::ctrl_c().await.is_ok() {
            stop.store(true, Relaxed);
        }
        // The second one means it.
        if signal::ctrl_c().await.is_ok() {
            process::exit(EXIT_INTERRUPTED);
        }
    });
    options
}

fn trial_options(arguments: &Arguments, stop: Option<Arc<AtomicBool>>) -> TrialOptions {
    let mut options = TrialOptions::default();
    options.time = Duration::from_secs_f64(arguments.trial_seconds);
    options.stop = stop;
    options
}

/// Says how far a trial is, where somebody looks.
#[expect(clippy::print_stderr, reason = "the advice alone goes to the output")]
fn trial_progress(progress: TrialProgress) {
    if stderr().is_terminal() {
        let step = match progress.step {
            TrialStep::Before => "run without the indexes",
            TrialStep::Building => "built",
            TrialStep::After => "run with the indexes",
            _ => "left out",
        };
        eprintln!("{} of {} {step}", progress.done, progress.of);
    }
}

/// Says how far the search is, where somebody looks.
#[expect(clippy::print_stderr, reason = "the advice alone goes to the output")]
fn progress(progress: SearchProgress) {
    if stderr().is_terminal() {
        eprintln!(
            "{:6.1} s  {:6.2} % of the cost is left with {} indexes",
            progress.elapsed.as_secs_f64(),
            100.0 * progress.cost_ratio,
            progress.indexes
        );
    }
}

/// An error with each statement that could not be planned.
fn told(error: AdviseError) -> anyhow::Error {
    let mut reasons = String::new();
    if let AdviseError::NothingPlanned { unplanned } = &error {
        for it in unplanned.iter().take(20) {
            reasons.push_str(&format!("\n  {it}"));
        }
    }
    let text = format!("{error}{reasons}");
    match &error {
        AdviseError::Failed(_) => anyhow::Error::new(error),
        _ => anyhow::anyhow!(text),
    }
}

/// Statements that could not be planned are told, and are no failure of those that could.
fn exit_code(advice: &Advice) -> ExitCode {
    match advice.statements.is_empty() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
