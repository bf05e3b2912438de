//! Which database `migrate` and `seed` work on.

use std::{fmt, path::PathBuf, process::Command, str::FromStr};

use super::{HOME, start};
use crate::{
    database::{Database, owner_command},
    home::{self, Home},
    process::Interrupt,
    program,
};

/// The arguments that name a database. The environment never does.
#[derive(clap::Args, Debug)]
pub(crate) struct Target {
    /// The database, as its owner; without it, that of `cargo xtask dev`
    #[arg(long, value_name = "URL")]
    database_url: Option<Secret>,
    /// Build the server without optimization, which is quicker to build and slower to run
    #[arg(long)]
    debug: bool,
}

/// The argument without which nothing is thrown away in a database that is not ours.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Ownership {
    /// The name of the database, to change it although we did not make it
    #[arg(long, value_name = "DBNAME")]
    i_own: Option<String>,
}

/// A database to work on.
#[derive(Debug)]
pub(crate) enum Opened {
    /// That of the development data, whose servers this process started.
    Own(Box<Database>),
    /// One that somebody else runs.
    Other {
        /// `ruleiq-server`.
        program: PathBuf,
        /// The address, as the owner.
        url: Secret,
    },
}

/// Text that no message shows.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Target {
    /// Finds the database, and starts its servers if it is that of `dev` and they do not run.
    pub(crate) fn open(&self, interrupt: &Interrupt) -> anyhow::Result<Opened> {
        let program = program::server(self.debug, interrupt)?;
        if let Some(url) = &self.database_url {
            return Ok(Opened::Other {
                program,
                url: url.clone(),
            });
        }
        match Home::open(HOME)? {
            Some(home) => Ok(Opened::Own(Box::new(start(home, program)?))),
            None => Ok(Opened::Other {
                program,
                url: Secret(home::noted_owner_url(HOME)?),
            }),
        }
    }
}

impl Opened {
    /// `ruleiq-server` as the owner of the database.
    pub(crate) fn owner_command(&self) -> Command {
        match self {
            Opened::Own(database) => database.owner_command(),
            Opened::Other { program, url } => owner_command(program, &url.0),
        }
    }

    /// `ruleiq-server seed`. In our own database the demo login gets the password that `dev` prints.
    pub(crate) fn seed_command(&self, scale: &str) -> anyhow::Result<Command> {
        match self {
            Opened::Own(database) => database.seed_command(scale),
            Opened::Other { program, url } => {
                let mut command = owner_command(program, &url.0);
                command.args(["seed", "--scale", scale]);
                Ok(command)
            }
        }
    }
}

impl Ownership {
    /// The words for the command line of the server.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        let name = self.i_own.as_deref();
        name.into_iter().flat_map(|name| ["--i-own", name])
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Secret, Self::Err> {
        Ok(Secret(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
