//! `user create`: makes a user without the API, above all the first administrator.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use crate::{
    auth::Passwords,
    routes::{check_password, checked_email},
    settings::{OwnerSettings, Sources},
    store::users,
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a user, whose password stands in `RULEIQ_USER_PASSWORD`
    Create(Create),
}

#[derive(Args, Debug)]
struct Create {
    /// The address to log in with
    #[arg(long)]
    email: String,
    /// The full name
    #[arg(long)]
    name: String,
    /// Let the user see everything
    #[arg(long)]
    admin: bool,
    /// Succeed without a change if the address is taken
    #[arg(long)]
    if_absent: bool,
}

/// Runs the command.
#[expect(
    clippy::print_stdout,
    reason = "the outcome is what the command is for"
)]
pub(crate) async fn user(sources: &Sources, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let settings = OwnerSettings::load(sources)?;
    let Action::Create(create) = arguments.action;
    let email = checked_email(&create.email)?;
    let password = sources.user_password().context(
        "set RULEIQ_USER_PASSWORD to the password: an argument would be seen by every user of the machine",
    )?;
    check_password(&password)?;
    let hash = Passwords::new().hash(password).await?;
    let pool = super::owner_pool(&settings)?;
    let session = pool.session().await?;
    let inserted = users::insert(&session, &email, create.name.trim(), &hash, create.admin).await?;
    match inserted {
        Some(user) => println!("made user {} ({email})", user.id),
        None if create.if_absent => println!("the user {email} exists"),
        None => bail!("the user {email} exists; `--if-absent` makes that a success"),
    }
    Ok(ExitCode::SUCCESS)
}
