//! `check`: whether everything is there that serving needs.
//!
//! One line for each thing that was looked at: `ok`, `note` for what works less well than it could,
//! `FAIL` for what keeps the server from serving. What failed says what to do.

mod database;
mod redis;

use std::{fmt, process::ExitCode, time::Duration};

use ruleiq_pools::PoolMetrics;
use ruleiq_scope::Scope;
use tokio::time::Instant;

use crate::{
    serve,
    settings::{Settings, Sources},
};

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What was found about one thing.
#[derive(Debug)]
struct Finding {
    verdict: Verdict,
    subject: &'static str,
    text: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Ok,
    Note,
    Fail,
}

/// Runs the command.
#[expect(
    clippy::print_stdout,
    reason = "the findings are what the command is for"
)]
pub(crate) async fn check(sources: &Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    let pools = serve::pools(&settings, PoolMetrics::default())?;
    let (monitor, admin) = (
        serve::monitor_pool(&settings)?,
        serve::admin_pool(&settings)?,
    );
    let scope = Scope::builder().deadline(Instant::now() + LIMIT).build();
    let findings = scope.run(async {
        let mut findings = database::check(&pools, monitor.as_ref(), admin.as_ref()).await;
        findings.push(redis::check(&pools).await);
        findings
    });
    let findings = findings.await;
    for finding in &findings {
        println!("{finding}");
    }
    Ok(
        match findings.iter().any(|it| it.verdict == Verdict::Fail) {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        },
    )
}

impl Finding {
    fn ok(subject: &'static str, text: impl Into<String>) -> Finding {
        Finding::new(Verdict::Ok, subject, text)
    }

    fn note(subject: &'static str, text: impl Into<String>) -> Finding {
        Finding::new(Verdict::Note, subject, text)
    }

    fn fail(subject: &'static str, text: impl Into<String>) -> Finding {
        Finding::new(Verdict::Fail, subject, text)
    }

    /// The reason with its causes.
    fn failed(subject: &'static str, error: impl Into<anyhow::Error>) -> Finding {
        Finding::fail(subject, format!("{:#}", error.into()))
    }

    fn new(verdict: Verdict, subject: &'static str, text: impl Into<String>) -> Finding {
        Finding {
            verdict,
            subject,
            text: text.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Note => "note",
            Verdict::Fail => "FAIL",
        };
        write!(f, "{verdict:4} {}: {}", self.subject, self.text)
    }
}
