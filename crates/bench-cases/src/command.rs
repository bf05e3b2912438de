//! The program's words. It is started by other programs, which own the command line that people
//! use: a plan comes as one line of JSON on its standard input.

mod assemble;
mod baseline;
mod client;
mod extras;
mod interrupt;
mod list;
mod output;
mod programs;
mod report;
mod run;
mod self_check;
mod self_test;
mod serve;
mod stored;
mod under_load;

use std::{io::BufRead, process::ExitCode};

use anyhow::{Context, bail};
use ruleiq_bench::worker::Allocated;

use crate::{Env, Plan, instructions, plain_server, self_test::burn_until_told};

/// What cannot be obeyed, and what must not be read.
const INVALID: u8 = 2;
/// The most operations under way at once: each may take a connection.
const MOST_UNDER_WAY: usize = 10_000;
/// As a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Does what the words after the program's name ask for.
///
/// `allocated` reads the program's counting allocator, if it has one.
pub fn main(allocated: Option<fn() -> Allocated>) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match obey(&words, allocated) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::complain(&format!("error: {error:#}"));
            ExitCode::from(INVALID)
        }
    }
}

fn obey(words: &[&str], allocated: Option<fn() -> Allocated>) -> anyhow::Result<u8> {
    match words {
        ["run"] => with_runtime(run::run(plan()?)),
        ["report", file] => report::report(file.as_ref(), &plan()?),
        ["self-test"] => with_runtime(self_test::all(plan()?)),
        ["self-test", "noise"] => with_runtime(self_test::noise(plan()?)),
        ["self-test", "client"] => with_runtime(client::client()),
        ["worker", options] => with_runtime(serve::worker(options, allocated)),
        ["self-test-worker", planted] => with_runtime(serve::self_test_worker(planted)),
        ["burn"] => {
            burn_until_told();
            Ok(0)
        }
        ["plain"] => plain_server::main().map(|()| 0),
        [instructions::WORD, path, operations] => {
            let operations = operations.parse().context("give a number of operations")?;
            instructions::walk(path, operations)?;
            Ok(0)
        }
        _ => bail!(
            "`{}` is none of: run, report FILE, self-test [noise|client]; `cargo xtask bench` \
             starts this program with all that it needs",
            words.join(" ")
        ),
    }
}

fn with_runtime(work: impl Future<Output = anyhow::Result<u8>>) -> anyhow::Result<u8> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?
        .block_on(work)
}

/// The plan on the first line of the standard input, which need not end after it.
fn plan() -> anyhow::Result<Plan> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("failed to read the plan from the standard input")?;
    let plan: Plan = serde_json::from_str(&line)
        .context("the standard input is no plan, as JSON on one line")?;
    if plan.blocks == Some(0) || plan.iterations == Some(0) || plan.options.concurrency == Some(0) {
        bail!("blocks, iterations and concurrency are at least 1");
    }
    if plan.options.concurrency > Some(MOST_UNDER_WAY) {
        bail!("concurrency is at most {MOST_UNDER_WAY}");
    }
    Ok(plan)
}

fn env() -> anyhow::Result<Env> {
    Ok(Env::from_variables(|name| std::env::var(name).ok())?)
}
