//! The subcommands.

mod advise;
mod check;
mod migrate;
mod seed;
mod serve;
mod settings;
mod user;

use std::num::NonZeroUsize;

use clap::{Parser, Subcommand};
use ruleiq_pools::{PoolManager, PostgresConfig};

pub(crate) use self::{
    advise::advise, check::check, migrate::migrate, seed::seed, serve::serve, settings::settings,
    user::user,
};
use crate::settings::OwnerSettings;

/// The RuleIQ API: compliance assessments over PostgreSQL and Redis.
///
/// Settings come from the environment; `ruleiq-server settings` lists them.
#[derive(Debug, Parser)]
#[command(name = "ruleiq-server", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API (what happens without a subcommand)
    Serve,
    /// Apply, revert or list the migrations of the database
    Migrate(migrate::Arguments),
    /// Fill the database with frameworks or demo data
    Seed(seed::Arguments),
    /// Make users
    User(user::Arguments),
    /// List every setting: its value, where that comes from, and what it means
    Settings,
    /// Find the indexes that serve a workload best, on any PostgreSQL database; it is only read
    Advise(Box<advise::Arguments>),
    /// Check that everything is there that serving needs: rights, extensions, versions, connections
    Check,
}

/// One connection as the owner of the schema, whose statements take as long as they take.
fn owner_pool(settings: &OwnerSettings) -> anyhow::Result<PoolManager> {
    let config = PostgresConfig {
        size: NonZeroUsize::MIN,
        max_overflow: 0,
        autosize: false,
        statement_timeout: None,
        ca_file: settings.ca_file.clone(),
        application_name: Some("ruleiq-server-owner".to_owned()),
        ..PostgresConfig::new(settings.database_url.clone())
    };
    Ok(PoolManager::builder().postgres(config).build()?)
}
