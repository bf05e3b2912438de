//! `supervise`: holds servers for the process that started it, and ends with it.
//!
//! Not for people: `dev`, `test` and tests that need servers of their own start it.

use std::{ffi::OsString, io};

use ruleiq_servers::{Spec, supervise};

use crate::services;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// Which servers, such as `postgres redis` or `postgres=FOLDER postgres:durable pgbouncer`
    #[arg(trailing_var_arg = true, value_name = "WORD")]
    words: Vec<OsString>,
}

/// Runs the servers until standard input ends.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let spec = Spec::from_words(&arguments.words)?;
    let (input, output) = (io::stdin().lock(), io::stdout().lock());
    supervise(&spec, &services::home(), input, output, &mut io::stderr())?;
    Ok(())
}
