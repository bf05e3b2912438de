//! Why a server could not be started, reached or stopped.

use std::{
    error, fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Which, which::Product};

/// The error of this crate. It never holds an address or a password.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The server's programs are not on the machine and could not be installed without asking.
    Missing {
        /// Whose programs.
        which: Which,
        /// Why they were not installed, if that was tried.
        install: Option<String>,
    },
    /// PostgreSQL's client is not on the machine.
    NoClient,
    /// A word of the command line or of a command means nothing.
    Word(String),
    /// A word asks for something beside a server that the spec leaves out.
    Unmet {
        /// The word, such as `pgbouncer`.
        word: &'static str,
        /// The server.
        needs: Which,
    },
    /// The folder is held by another supervisor.
    Held {
        /// The folder.
        folder: PathBuf,
        /// The other's process id.
        holder: String,
    },
    /// A name in the shared temporary folder is taken by somebody else.
    Foreign(PathBuf),
    /// A folder for data to be kept holds something else.
    NotEmpty(PathBuf),
    /// The data were made by another version of PostgreSQL.
    OtherVersion {
        /// The folder.
        folder: PathBuf,
        /// The version that made the data.
        made_by: u32,
        /// The versions on this machine.
        found: Vec<u32>,
    },
    /// We are root, and there is no user without rights to run the server.
    NoAccount(Which),
    /// No port is free.
    NoPort,
    /// The server did not start.
    Start {
        /// Which one.
        which: Which,
        /// The end of its log.
        log: String,
    },
    /// Something took too long.
    TimedOut {
        /// What was waited for.
        step: &'static str,
        /// How long.
        after: Duration,
    },
    /// The server was not asked for, or does not run.
    NotRunning(Which),
    /// The server runs already.
    Running(Which),
    /// What the supervisor said, or that it ended without a word.
    Supervisor(String),
    /// The system refused an operation.
    Io {
        /// The operation, with the path.
        step: String,
        /// The system's reason.
        source: io::Error,
    },
}

impl Error {
    /// What makes an error of the system's reason: `.map_err(Error::io("read", path))`.
    pub(crate) fn io(
        verb: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io {
            step: format!("{verb} `{}`", path.as_ref().display()),
            source,
        }
    }

    /// The whole chain in one text, for the other end of a pipe.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = error::Error::source(self);
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Missing { which, install } => missing(out, *which, install.as_deref()),
            Error::NoClient => out.write_str(
                "`psql` is neither beside PostgreSQL's servers nor on PATH; install it:\n  \
                 Debian, Ubuntu: sudo apt-get install postgresql-client\n  \
                 Fedora: sudo dnf install postgresql\n  \
                 macOS: brew install libpq, and put its folder on PATH",
            ),
            Error::Word(word) => write!(out, "`{word}` is none of the words that are known here"),
            Error::Unmet { word, needs } => write!(
                out,
                "`{word}` needs {}, which is not asked for; add `{needs}`",
                needs.name()
            ),
            Error::Held { folder, holder } => write!(
                out,
                "`{}` is in use by the process {holder}; stop that one first",
                folder.display()
            ),
            Error::Foreign(path) => write!(
                out,
                "`{}` is needed and belongs to somebody else; remove it",
                path.display()
            ),
            Error::NotEmpty(path) => write!(
                out,
                "`{}` holds files that are not a server's; name an empty folder for its data",
                path.display()
            ),
            Error::OtherVersion {
                folder,
                made_by,
                found,
            } => write!(
                out,
                "the data in `{}` were made by PostgreSQL {made_by}, and this machine has {found:?}; \
                 install that version, or start over in an empty folder",
                folder.display()
            ),
            Error::NoAccount(which) => write!(
                out,
                "{} must not run as root, and `/etc/passwd` has no user `{}` or `nobody`",
                which.name(),
                which.product().users()[0]
            ),
            Error::NoPort => out.write_str("no port between 15000 and 29999 is free on 127.0.0.1"),
            Error::Start { which, log } => {
                write!(
                    out,
                    "{} did not start; its log ends with\n{log}",
                    which.name()
                )
            }
            Error::TimedOut { step, after } => {
                write!(out, "{step} took more than {} s", after.as_secs())
            }
            Error::NotRunning(which) => write!(out, "{} does not run", which.name()),
            Error::Running(which) => write!(out, "{} runs already", which.name()),
            Error::Supervisor(message) => out.write_str(message),
            Error::Io { step, .. } => write!(out, "failed to {step}"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn missing(out: &mut fmt::Formatter<'_>, which: Which, install: Option<&str>) -> fmt::Result {
    let (programs, debian, fedora, macos, variable) = match which.product() {
        Product::Postgres => (
            "`initdb` and `postgres`, version 14 or later,",
            "postgresql",
            "postgresql-server postgresql-contrib",
            "postgresql@17",
            Some(crate::DATABASE_URL_VARIABLE),
        ),
        Product::PgBouncer => ("`pgbouncer`", "pgbouncer", "pgbouncer", "pgbouncer", None),
        Product::Redis => (
            "`redis-server` or `valkey-server`",
            "redis-server",
            "valkey",
            "redis",
            Some(crate::REDIS_URL_VARIABLE),
        ),
    };
    write!(
        out,
        "{programs} cannot be found on PATH or where packages put such programs; install {}:\n  \
         Debian, Ubuntu: sudo apt-get update && \
         sudo apt-get install --no-install-recommends {debian}\n  \
         Fedora: sudo dnf install {fedora}\n  \
         macOS: brew install {macos}",
        which.name()
    )?;
    if let Some(variable) = variable {
        write!(
            out,
            "\nor start it with Docker, as `deploy/compose.yaml` says, and set {variable}"
        )?;
    }
    match install {
        Some(reason) => write!(out, "\n(installing without being asked failed: {reason})"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_server_says_what_to_type_on_each_system() {
        let error = Error::Missing {
            which: Which::Redis,
            install: Some("no network".to_owned()),
        };
        assert_eq!(
            error.to_string(),
            "`redis-server` or `valkey-server` cannot be found on PATH or where packages put such \
             programs; install Redis:\n  \
             Debian, Ubuntu: sudo apt-get update && \
             sudo apt-get install --no-install-recommends redis-server\n  \
             Fedora: sudo dnf install valkey\n  \
             macOS: brew install redis\n\
             or start it with Docker, as `deploy/compose.yaml` says, and set TEST_REDIS_URL\n\
             (installing without being asked failed: no network)"
        );
        let error = Error::Missing {
            which: Which::Postgres,
            install: None,
        };
        let text = error.to_string();
        assert!(text.contains("apt-get install --no-install-recommends postgresql\n"));
        assert!(text.ends_with("set TEST_DATABASE_URL"), "{text}");
        let error = Error::Missing {
            which: Which::PgBouncer,
            install: None,
        };
        let text = error.to_string();
        assert!(text.ends_with("brew install pgbouncer"), "{text}");
    }

    #[test]
    fn the_chain_tells_the_system_s_reason() {
        let error = Error::io("read", "/x")(io::Error::other("on fire"));
        assert_eq!(error.to_string(), "failed to read `/x`");
        assert_eq!(error.chain(), "failed to read `/x`: on fire");
    }
}
