//! `dev`: the whole application on this machine, with data that stay.
//!
//! Everything that stays is in `target/dev`: the data of both servers and the random passwords.
//! One process at a time may have that folder; `migrate` and `seed` use its database meanwhile.

mod app;
mod outage;
mod target;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use ruleiq_servers::{PostgresSpec, RedisSpec, Spec, Which};

pub(crate) use self::target::{Ownership, Target};
use self::{app::App, outage::Outage};
use crate::{
    database::Database,
    home::Home,
    process,
    process::{Interrupt, Interrupted},
    program, progress, random,
};

/// The folder in `target`, and what is in the names of the logins.
const HOME: &str = "dev";
/// How often the program and its servers are looked at.
const POLL: Duration = Duration::from_secs(1);
/// The login that the server's seed makes, with data of its own.
const DEMO_EMAIL: &str = "demo@ruleiq.example";
const ADMIN_EMAIL: &str = "admin@ruleiq.example";

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Start over: throw away the database, the cache and the passwords
    #[arg(long)]
    fresh: bool,
    /// How much demo data there is to be
    #[arg(long, value_enum, default_value_t)]
    scale: Scale,
    /// Build the server without optimization, which is quicker to build and slower to run
    #[arg(long)]
    debug: bool,
}

/// How much demo data there is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Scale {
    /// What tests use; loads in a moment
    Small,
    /// 10,000 users, 100,000 assessments and a million questions
    #[default]
    Demo,
}

impl Scale {
    /// The word for it on the command line of the server.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Scale::Small => "small",
            Scale::Demo => "demo",
        }
    }
}

/// Brings everything up, and serves until somebody interrupts.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let program = program::server(arguments.debug, &interrupt)?;
    let home = Home::open(HOME)?.context(
        "another `cargo xtask dev`, `migrate` or `seed` uses target/dev; end that first",
    )?;
    if arguments.fresh {
        home.clear()?;
    }
    let mut database = start(home, program)?;
    let outcome =
        prepare(&database, arguments, &interrupt).and_then(|()| serve(&mut database, &interrupt));
    progress::during("stopping servers", || {
        drop(database);
        Ok(())
    })?;
    match outcome {
        Err(error) if !error.is::<Interrupted>() => Err(error),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Starts the servers on the data that stay.
fn start(home: Home, program: PathBuf) -> anyhow::Result<Database> {
    let spec = Spec {
        postgres: Some(PostgresSpec::kept(home.postgres()).durable()),
        redis: Some(RedisSpec::kept(home.redis())),
        ..Spec::default()
    };
    Database::start(home, program, &spec)
}

/// Schema, data and users, each only as far as it is missing.
fn prepare(
    database: &Database,
    arguments: &Arguments,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let mut migrate = database.owner_command();
    process::run(migrate.args(["migrate", "up"]), interrupt)?;
    let mut seed = database.seed_command(arguments.scale.word())?;
    process::run(&mut seed, interrupt)?;
    let mut user = database.owner_command();
    user.args(["user", "create", "--admin", "--if-absent"]);
    user.args(["--email", ADMIN_EMAIL, "--name", "Administrator"]);
    user.env("RULEIQ_USER_PASSWORD", admin_password(database)?);
    process::run(&mut user, interrupt)
}

/// Runs the server until somebody interrupts. Its database and its cache come back by themselves.
fn serve(database: &mut Database, interrupt: &Interrupt) -> anyhow::Result<()> {
    let mut app = App::start(database)?;
    app.wait_until_ready(interrupt)?;
    greet(&app, database)?;
    let mut outages = [Which::Postgres, Which::Redis].map(|which| Outage::watch(which, database));
    while !interrupt.seen() {
        if let Some(status) = app.ended()? {
            bail!("ruleiq-server ended: {status}");
        }
        for outage in &mut outages {
            outage.look(database);
        }
        interrupt.sleep(POLL);
    }
    progress::during("stopping ruleiq-server", || app.stop())
}

fn admin_password(database: &Database) -> anyhow::Result<String> {
    database.home().secret("admin-password", random::password)
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn greet(app: &App, database: &Database) -> anyhow::Result<()> {
    let (api, metrics) = (app.url(), app.metrics_url());
    println!();
    println!("  API          {api}/api/v1");
    println!("  description  {api}/docs");
    println!("  metrics      {metrics}/metrics");
    for (kind, email, password) in [
        ("login", DEMO_EMAIL, database.demo_password()?),
        ("admin login", ADMIN_EMAIL, admin_password(database)?),
    ] {
        println!("  {kind:11}  {email}  {password}");
    }
    println!();
    println!("  Ctrl-C stops it; the data stay, and `cargo xtask dev --fresh` starts over.");
    println!();
    Ok(())
}
