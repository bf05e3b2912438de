//! Why a test could not be given what it asked for.

use std::{error::Error as _, time::Duration};

#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("`{variable}` is not set")]
    Unset { variable: &'static str },

    #[error("`{variable}` is not the address of a server")]
    Address { variable: &'static str },

    #[error("failed to connect to PostgreSQL at `{server}`")]
    Connect {
        server: String,
        #[source]
        source: tokio_postgres::Error,
    },

    #[error("PostgreSQL at `{server}` did not answer within {} s", after.as_secs())]
    TimedOut { server: String, after: Duration },

    #[error("PostgreSQL refused to {task}")]
    Refused {
        task: &'static str,
        #[source]
        source: tokio_postgres::Error,
    },

    #[error("another test has held the lock to {task} for more than {} s", after.as_secs())]
    Locked { task: &'static str, after: Duration },

    #[error("the migrations could not be applied to a template")]
    Migrate(#[source] ruleiq_migrator::Error),

    #[error("Redis failed")]
    Redis(#[source] fred::error::Error),

    #[error("a server of the test's own failed to {task}")]
    OwnServers {
        task: &'static str,
        #[source]
        source: ruleiq_servers::Error,
    },
}

impl SetupError {
    /// Whether starting the servers may help.
    fn is_missing_server(&self) -> bool {
        matches!(
            self,
            SetupError::Unset { .. }
                | SetupError::Address { .. }
                | SetupError::Connect { .. }
                | SetupError::TimedOut { .. }
                | SetupError::Redis(_)
        )
    }
}

/// The value, or a panic that tells the whole chain of causes and the way out.
pub(crate) fn or_panic<T>(outcome: Result<T, SetupError>) -> T {
    let error = match outcome {
        Ok(value) => return value,
        Err(error) => error,
    };
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    if error.is_missing_server() {
        message.push_str(
            "\n\nThis test needs a real PostgreSQL and a real Redis. Start them and tell this shell:\n\n    \
             cargo xtask services up\n    eval \"$(cargo xtask services env)\"\n\n\
             or let `cargo xtask test` do both.",
        );
    }
    panic!("{message}");
}
