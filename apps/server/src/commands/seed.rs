//! `seed`: the frameworks, and in development data to try things with.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Args;
use ruleiq_migrator::{Migrator, Ownership, require_ours};
use ruleiq_query::Queries as _;
use secrecy::ExposeSecret as _;

use crate::{
    auth::Passwords,
    logging,
    routes::check_password,
    seed::{self, Scale},
    settings::{Environment, OwnerSettings, Sources},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// How much: `frameworks` and their controls alone, which every installation needs; `small` with
    /// 10,000 questions; `demo` with a million; or a number of questions, such as 100000
    #[arg(long, value_name = "frameworks|small|demo|QUESTIONS")]
    scale: Scale,
    /// The name of the database, where it is not marked as made by this program
    #[arg(long, value_name = "NAME")]
    i_own: Option<String>,
}

/// Runs the command. The demo user's password stands in `RULEIQ_DEMO_PASSWORD`; without it nobody
/// who is seeded can log in.
pub(crate) async fn seed(sources: &Sources, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let settings = OwnerSettings::load(sources)?;
    let Arguments { scale, i_own } = arguments;
    let for_development = scale.is_for_development();
    ensure!(
        !for_development || settings.environment == Environment::Development,
        "made-up users are for development alone: set RULEIQ_ENV=development, or seed `--scale frameworks`"
    );
    logging::install(settings.environment, &settings.log_filter)?;
    let url = settings.database_url.expose_secret();
    let migrations = Migrator::embedded().status(url).await?;
    ensure!(
        migrations.iter().all(|it| it.applied),
        "the database lacks migrations; run `ruleiq-server migrate up`"
    );
    require_ours(url, &Ownership { i_own }).await?;
    let demo_password = match sources.demo_password().filter(|_| for_development) {
        Some(password) => {
            check_password(&password).context("RULEIQ_DEMO_PASSWORD cannot be used")?;
            Some(Passwords::new().hash(password).await?)
        }
        None => None,
    };

    let pool = super::owner_pool(&settings)?;
    let mut session = pool.session().await?;
    let transaction = session.transaction().await?;
    let report = seed::fill(&transaction, scale).await?;
    if let Some(hash) = &demo_password {
        seed::set_demo_password(&transaction, hash).await?;
    }
    transaction.commit().await?;
    if report.added {
        session.batch_execute(seed::VACUUM).await?;
    }
    print_report(scale, report, demo_password.is_some());
    Ok(ExitCode::SUCCESS)
}

#[expect(
    clippy::print_stdout,
    reason = "the outcome is what the command is for"
)]
fn print_report(scale: Scale, report: seed::Report, can_log_in: bool) {
    match report.reference_rows {
        0 => println!("the frameworks are as they should be"),
        rows => println!("brought {rows} frameworks and controls up to date"),
    }
    if scale.is_for_development() {
        match report.added {
            true => println!("the data are there"),
            false => println!("the data were there already; nothing was added"),
        }
    }
    if can_log_in {
        println!("{} logs in with RULEIQ_DEMO_PASSWORD", seed::DEMO_EMAIL);
    }
}
