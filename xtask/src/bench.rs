//! `bench`: how fast it is, against its limits, its targets and its past.
//!
//! This program owns the command line, builds, and starts servers with data that stay in
//! `target/bench`; `bench-cases` measures and judges. What can be known to be wrong is said before
//! anything is built or started.

mod arguments;
mod outputs;
mod plan;
mod programs;
mod revision;
mod runner;
mod servers;
mod toolchain;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};

pub(crate) use self::arguments::Arguments;
use self::{
    arguments::{Action, Measuring, Render, SelfTest},
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
/// What a run says that could not be done or must not be read.
const EXIT_INVALID: u8 = 2;

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
        Some(Action::SelfTest { only, seed }) => self_test(*only, *seed, &interrupt),
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

fn self_test(
    only: Option<SelfTest>,
    seed: Option<u64>,
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    ensure!(
        seed.is_none() || only != Some(SelfTest::Client),
        "`--seed` is of the part `noise`: nothing is drawn from it in the part `client`"
    );
    let (words, needs): (&[&str], Needs) = match only {
        None => (&["self-test"], Needs::BOTH),
        Some(SelfTest::Noise) => (&["self-test", "noise"], Needs::BOTH),
        Some(SelfTest::Client) => (&["self-test", "client"], Needs::NOTHING),
    };
    let home = open()?;
    let revision = Revision::of_tree();
    let programs = build(needs, interrupt)?.aside(home.folder(), &revision.commit)?;
    let asked = Measuring {
        seed,
        ..Measuring::default()
    };
    let plan = plan::run(
        &asked,
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

impl Measuring {
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
