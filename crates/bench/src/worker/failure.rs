//! What can go wrong with a worker.

use std::{path::PathBuf, process::ExitStatus, time::Duration};

/// Why a worker did not answer as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// It could not be started.
    #[error("failed to start the worker `{}`", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ended by itself.
    #[error("the worker ended during `{step}` ({}){}", said(status.as_ref()), quoted(last_words))]
    Died {
        /// What it was doing.
        step: &'static str,
        /// How it ended, where that is known.
        status: Option<ExitStatus>,
        /// The last lines of its log.
        last_words: Vec<String>,
    },
    /// It did not answer in time, and was ended.
    #[error(
        "the worker did not end `{step}` within {after:?}{}",
        quoted(last_words)
    )]
    TimedOut {
        /// What it was doing.
        step: &'static str,
        /// The limit.
        after: Duration,
        /// The last lines of its log.
        last_words: Vec<String>,
    },
    /// It is of another revision, with which this one cannot talk.
    #[error("the worker speaks version {theirs} of the protocol, this program version {ours}")]
    OtherProtocol {
        /// The worker's.
        theirs: u32,
        /// This program's.
        ours: u32,
    },
    /// What it wrote is no answer to what it was asked.
    #[error("the worker answered `{step}` with `{answer}`")]
    Garbled {
        /// What it was asked.
        step: &'static str,
        /// The beginning of what it wrote.
        answer: String,
    },
    /// It said that it cannot be done.
    #[error("{0}")]
    Refused(String),
}

impl WorkerError {
    /// Whether the worker is still there and can be asked further.
    pub fn is_alive(&self) -> bool {
        matches!(self, WorkerError::Refused(_))
    }
}

fn said(status: Option<&ExitStatus>) -> String {
    status.map_or_else(|| "it said nothing".to_owned(), ToString::to_string)
}

fn quoted(last_words: &[String]) -> String {
    if last_words.is_empty() {
        return String::new();
    }
    format!("; the end of its log:\n  {}", last_words.join("\n  "))
}
