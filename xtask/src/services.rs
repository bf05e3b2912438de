//! `services`: a PostgreSQL and a Redis for tests that are run by hand.

use std::{
    env,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use ruleiq_servers::{Services, State};

use crate::cargo;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Start what does not run yet; it runs until `down`
    Up,
    /// Stop both servers and remove their data
    Down,
    /// Say what runs and where
    Status,
    /// Print the shell lines that tell tests of the servers: `eval "$(cargo xtask services env)"`
    Env,
}

/// Does what was asked, and says so on standard output.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let services = Services::new(home());
    let mut output = io::stdout();
    match arguments.action {
        Action::Up => {
            services
                .up(&mut io::stderr())
                .context("failed to start servers")?;
            status(&services, &mut output)?;
            writeln!(
                output,
                "tests find them after `eval \"$(cargo xtask services env)\"`"
            )?;
        }
        Action::Down => {
            let stopped = services.down().context("failed to stop servers")?;
            let text = if stopped { "stopped" } else { "nothing ran" };
            writeln!(output, "{text}")?;
        }
        Action::Status => status(&services, &mut output)?,
        Action::Env => env(&services, &mut output)?,
    }
    Ok(())
}

/// The folder for the servers' data, one per checkout.
pub(crate) fn home() -> PathBuf {
    cargo::root().join("target").join("servers")
}

fn status(services: &Services, output: &mut impl io::Write) -> anyhow::Result<()> {
    for (which, state) in services.status() {
        match state {
            State::Up { pid, port } => {
                writeln!(output, "{which} up, 127.0.0.1:{port}, process {pid}")?;
            }
            _ => writeln!(output, "{which} down")?,
        }
    }
    Ok(())
}

fn env(services: &Services, output: &mut impl io::Write) -> anyhow::Result<()> {
    let xtask = env::current_exe().context("failed to find this program's own file")?;
    let variables = services
        .env(&xtask)
        .context("type `cargo xtask services up` first")?;
    for (name, value) in variables {
        if value.contains('\'') {
            bail!("the value of {name} holds a quote, which a shell line like this cannot");
        }
        writeln!(output, "export {name}='{value}'")?;
    }
    Ok(())
}
