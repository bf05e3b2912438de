//! `bench`: how fast it is, against its limits, its targets and its past.
//!
//! This program owns the command line, builds, and starts servers with data that stay in
//! `target/bench`; `bench-cases` measures and judges. What can be known to be wrong is said before
//! anything is built or started.

mod outputs;
mod plan;
mod programs;
mod revision;
mod runner;
mod servers;
mod toolchain;

use std::{
    num::{NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use self::{
    plan::Files,
    programs::{Built, Programs},
    revision::Revision,
    servers::{Needs, Servers},
    toolchain::Toolchain,
};
use crate::{
    home::Home,
    process::{Interrupt, Interrupted},
};

/// The folder in `target`, and what is in the names of the logins.
const HOME: &str = "bench";
/// The most operations under way at once.
const MOST_UNDER_WAY: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not zero");
/// What a run says that could not be done or must not be read.
const EXIT_INVALID: u8 = 2;

#[derive(clap::Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 fine; 1 slower than before, or a critical target missed; 2 not \
                  measured, or wrong answers; 3 undecided; 130 interrupted"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    measuring: Measuring,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Render a stored report again, from its rounds
    Report {
        /// The report, as `--json` or `--save` wrote it
        file: PathBuf,
        #[command(flatten)]
        render: Render,
    },
    /// Show that the harness sees what is there, and nothing else
    SelfTest {
        /// Run this part alone
        #[arg(long, value_enum, value_name = "PART")]
        only: Option<SelfTest>,
    },
}

#[derive(clap::Args, Debug, Default)]
struct Render {
    /// Write it as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write it as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Count what is undecided as fine
    #[arg(long)]
    lenient: bool,
}

/// A part of the self-test.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum SelfTest {
    /// A case against itself, and against itself made 10 % slower, also beside a busy neighbour
    Noise,
    /// The load client against wrk and oha, and before a server that stalls
    Client,
}

/// What is measured and how.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Measuring {
    /// Measure this part alone (may be repeated)
    #[arg(long, value_enum, value_name = "NAME")]
    component: Vec<Component>,
    /// Measure the cases whose `component/case` or `case` matches, with `*` and `?` (may be
    /// repeated)
    #[arg(long = "case", value_name = "GLOB")]
    cases: Vec<String>,
    /// Only the guide's targets and the first case of each engine, in few short blocks: in minutes,
    /// with nothing finer than 15 % claimed
    #[arg(long)]
    quick: bool,
    /// So many blocks of each case
    #[arg(long, value_name = "N", value_parser = positive::<NonZeroUsize>)]
    blocks: Option<NonZeroUsize>,
    /// So many operations under way at once
    #[arg(long, value_name = "N", value_parser = under_way)]
    concurrency: Option<NonZeroUsize>,
    /// So many operations of each slice, in place of a time
    #[arg(long, value_name = "N", value_parser = positive::<NonZeroU64>)]
    iterations: Option<NonZeroU64>,
    /// Draw everything from this number, as an earlier report tells it
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Compare with a stored run, which has to be of this machine, these settings and these data
    #[arg(long, value_name = "FILE", conflicts_with = "against")]
    baseline: Option<PathBuf>,
    /// Take a stored run of a tree with changes that were not committed
    #[arg(long, requires = "baseline")]
    allow_dirty: bool,
    /// Compare with a revision, which is built aside and measured in the same blocks
    #[arg(long, value_name = "REV")]
    against: Option<String>,
    /// Keep this run for later comparisons; refused with changes that are not committed
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Write the report as JSON there, in place of target/bench/report.json
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as a page there, in place of target/bench/report.html
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Only list the cases
    #[arg(long)]
    list: bool,
    /// Go on with the run that was interrupted
    #[arg(long, conflicts_with = "fresh")]
    resume: bool,
    /// Count the instructions of hot paths too, where valgrind is installed
    #[arg(long)]
    instructions: bool,
    /// Leave out the pass that counts allocations
    #[arg(long)]
    without_allocations: bool,
    /// Measure how cost grows with data, connections, keys and cache, in place of the cases
    #[arg(long)]
    scale_study: bool,
    /// The time that the scale study is given; the more, the further it goes
    #[arg(long, value_name = "N", value_parser = positive::<NonZeroU64>, requires = "scale_study")]
    seconds: Option<NonZeroU64>,
    /// Count what is undecided as fine
    #[arg(long)]
    lenient: bool,
    /// Start over: throw the servers' data, the earlier revisions' programs and partial results
    /// away
    #[arg(long)]
    fresh: bool,
}

/// A part of the system, as reports name it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Component {
    Database,
    Cache,
    Pools,
    Optimizer,
    Compression,
    Http,
    All,
}

/// Measures, or renders, and answers with the exit code that is the verdict.
#[expect(
    clippy::print_stderr,
    reason = "an error here has an exit code of its own"
)]
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let outcome = match &arguments.action {
        None if arguments.measuring.list => list(&arguments.measuring, &interrupt),
        None => measure(&arguments.measuring, &interrupt),
        Some(Action::Report { file, render }) => report(file, render, &interrupt),
        Some(Action::SelfTest { only }) => self_test(*only, &interrupt),
    };
    match outcome {
        Err(error) if !error.is::<Interrupted>() => {
            eprintln!("error: {error:#}");
            Ok(EXIT_INVALID.into())
        }
        outcome => outcome,
    }
}

fn list(asked: &Measuring, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let program = Built::runner(interrupt)?.bench_cases()?;
    runner::run(
        &program,
        &["run"],
        &plan::list(asked),
        &Servers::None,
        interrupt,
    )
}

fn report(file: &Path, render: &Render, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let file = outputs::report(file)?;
    let files = Files {
        json: render.json.as_deref().map(outputs::output).transpose()?,
        html: render.html.as_deref().map(outputs::output).transpose()?,
        ..Files::default()
    };
    files.differ(Some(&file))?;
    let file = file.to_str().context("the report's name is not UTF-8")?;
    let plan = plan::report(&files, render.lenient);
    let program = Built::runner(interrupt)?.bench_cases()?;
    runner::run(
        &program,
        &["report", file],
        &plan,
        &Servers::None,
        interrupt,
    )
}

fn self_test(only: Option<SelfTest>, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let (words, needs): (&[&str], Needs) = match only {
        None => (&["self-test"], Needs::BOTH),
        Some(SelfTest::Noise) => (&["self-test", "noise"], Needs::BOTH),
        Some(SelfTest::Client) => (&["self-test", "client"], Needs::NOTHING),
    };
    let home = open()?;
    let revision = Revision::of_tree();
    let programs = build(needs, interrupt)?.aside(home.folder(), &revision.commit)?;
    let plan = plan::run(
        &Measuring::default(),
        &Files::default(),
        &revision,
        None,
        &Toolchain::find()?,
    );
    let servers = Servers::up(needs, home, programs.server, interrupt)?;
    let code = runner::run(&programs.runner, words, &plan, &servers, interrupt)?;
    servers.down()?;
    Ok(code)
}

fn measure(asked: &Measuring, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let revision = Revision::of_tree();
    let commit = asked.against.as_deref().map(revision::commit_of);
    let commit = commit.transpose()?;
    let home = open()?;
    let files = asked.files(&home, &revision)?;
    if asked.fresh {
        home.clear()?;
        programs::forget(home.folder())?;
    }
    let toolchain = Toolchain::find()?;
    let needs = match asked.scale_study {
        true => Needs::BOTH,
        false => {
            let program = Built::runner(interrupt)?.bench_cases()?;
            match runner::chosen(&program, &plan::list(asked), interrupt)? {
                Ok(cases) => Needs::of_cases(&cases),
                Err(code) => return Ok(code),
            }
        }
    };
    let earlier = commit
        .map(|commit| {
            let built_with = toolchain.to_json().to_string();
            let programs = Programs::of_commit(
                &commit,
                needs.postgres,
                home.folder(),
                &built_with,
                interrupt,
            );
            programs.map(|programs| (commit, programs))
        })
        .transpose()?;
    let programs = build(needs, interrupt)?.aside(home.folder(), &revision.commit)?;
    let against = earlier.as_ref().map(|(commit, it)| (commit.as_str(), it));
    let plan = plan::run(asked, &files, &revision, against, &toolchain);
    let servers = Servers::up(needs, home, programs.server, interrupt)?;
    let code = runner::run(&programs.runner, &["run"], &plan, &servers, interrupt)?;
    servers.down()?;
    Ok(code)
}

/// Takes the folder. Two runs at once would measure each other.
fn open() -> anyhow::Result<Home> {
    Home::open(HOME)?.context("another `cargo xtask bench` is at work; wait for its end")
}

fn build(needs: Needs, interrupt: &Interrupt) -> anyhow::Result<Built> {
    let mut built = Built::runner(interrupt)?;
    if needs.postgres {
        built.add_server(interrupt)?;
    }
    Ok(built)
}

/// Reads how many operations are under way at once, each of which may take a connection.
fn under_way(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().filter(|it| *it <= MOST_UNDER_WAY);
    number.ok_or_else(|| format!("it has to be a whole number, from 1 to {MOST_UNDER_WAY}"))
}

/// Reads a number that must not be zero.
fn positive<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse()
        .map_err(|_| "it has to be a whole number, at least 1")
}

impl Measuring {
    /// The names of the components, none for all.
    fn components(&self) -> Vec<String> {
        if self.component.contains(&Component::All) {
            return Vec::new();
        }
        self.component.iter().map(|it| it.name()).collect()
    }

    /// Checks every file that is named or meant.
    fn files(&self, home: &Home, revision: &Revision) -> anyhow::Result<Files> {
        ensure!(
            self.save.is_none() || !revision.dirty,
            "`--save` keeps a run to compare others with, and the tree has changes that are not \
             committed: commit them, or use `--json`"
        );
        let folder = home.folder();
        let or = |asked: &Option<PathBuf>, usual: &str| match asked {
            Some(path) => outputs::output(path),
            None => outputs::output(&folder.join(usual)),
        };
        let files = Files {
            baseline: self.baseline.as_deref().map(outputs::report).transpose()?,
            json: Some(or(&self.json, "report.json")?),
            html: Some(or(&self.html, "report.html")?),
            save: self.save.as_deref().map(outputs::output).transpose()?,
            out: Some(folder.join(programs::RUN)),
        };
        files.differ(files.baseline.as_deref())?;
        Ok(files)
    }
}

impl Component {
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map(|it| it.get_name().to_owned()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_under_way_than_connections_can_be() {
        assert_eq!(under_way("10000"), Ok(MOST_UNDER_WAY));
        for text in ["0", "10001", "-1", "18446744073709551615", "many"] {
            let refused = under_way(text);
            assert!(refused.is_err_and(|it| it.contains("10000")), "{text}");
        }
    }

    #[test]
    fn all_components_are_said_by_naming_none() {
        let check = |component: &[Component], expect: &[&str]| {
            let asked = Measuring {
                component: component.to_vec(),
                ..Measuring::default()
            };
            assert_eq!(asked.components(), expect, "{component:?}");
        };
        check(&[], &[]);
        check(&[Component::Pools, Component::Http], &["pools", "http"]);
        check(&[Component::Pools, Component::All], &[]);
    }
}
