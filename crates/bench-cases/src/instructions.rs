//! Instructions of hot paths that only compute: the same on every run of one program, so that a
//! change of a few of them is seen where times cannot tell.
//!
//! The program runs itself under callgrind, valgrind's profiler, once for n operations and once for
//! twice as many. The difference has no start and no end of the program in it.

mod paths;

use std::{
    io,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use ruleiq_bench::report::Instructions;
use tokio::{process::Command, time::timeout};

pub use self::paths::{Unknown, names, walk};

/// The word of `bench-cases` that walks a path: `instructions-of NAME N`.
pub const WORD: &str = "instructions-of";
/// Operations of the shorter run: each input as often as the others.
const OPERATIONS: u64 = 16 * paths::INPUTS as u64;
/// Longer than any run, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(120);
/// What saying its version may take.
const LOOK: Duration = Duration::from_secs(10);

/// Why there are no counts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstructionsError {
    /// There is no valgrind.
    #[error("valgrind is not installed: instruction counts left out; apt-get install valgrind")]
    NotInstalled,
    /// It could not be started.
    #[error("failed to start valgrind")]
    Start(#[source] io::Error),
    /// It did not end.
    #[error("valgrind ran for more than {LIMIT:?} over `{path}`: is the machine loaded?")]
    TimedOut {
        /// The path.
        path: &'static str,
    },
    /// It failed, or the program did.
    #[error("valgrind ended without a count over `{path}`: {said}")]
    Uncounted {
        /// The path.
        path: &'static str,
        /// The end of what it printed.
        said: String,
    },
}

/// Looks whether `valgrind`, which is the name or the path of the profiler, can be started.
///
/// # Errors
///
/// When it cannot.
pub async fn look_for(valgrind: &Path) -> Result<(), InstructionsError> {
    let mut command = Command::new(valgrind);
    command.arg("--version").stdin(Stdio::null());
    let asked = timeout(LOOK, command.kill_on_drop(true).output()).await;
    // One that is slow to answer is there.
    asked.map_or(Ok(()), |it| it.map(drop).map_err(unstarted))
}

/// The instructions of one path, one of [`names`], counted over `program`, which is `bench-cases`.
///
/// # Errors
///
/// When valgrind is not there, or fails.
pub async fn count_one(
    program: &Path,
    valgrind: &Path,
    path: &'static str,
) -> Result<Instructions, InstructionsError> {
    let once = run(program, valgrind, path, OPERATIONS).await?;
    let twice = run(program, valgrind, path, 2 * OPERATIONS).await?;
    #[expect(clippy::cast_precision_loss, reason = "a few million")]
    let per_op = twice.saturating_sub(once) as f64 / OPERATIONS as f64;
    Ok(Instructions {
        name: path.to_owned(),
        per_op,
    })
}

/// The instructions of a whole run.
async fn run(
    program: &Path,
    valgrind: &Path,
    path: &'static str,
    operations: u64,
) -> Result<u64, InstructionsError> {
    let mut command = Command::new(valgrind);
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([WORD, path, &operations.to_string()])
        // The length of the environment moves the stack, and a variable can change the allocator.
        .env_clear()
        .envs(std::env::var_os("PATH").map(|it| ("PATH", it)))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(LIMIT, command.output())
        .await
        .map_err(|_| InstructionsError::TimedOut { path })?
        .map_err(unstarted)?;
    collected(&output).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        let end = said.floor_char_boundary(said.len().saturating_sub(500));
        InstructionsError::Uncounted {
            path,
            said: said[end..].trim().to_owned(),
        }
    })
}

fn unstarted(error: io::Error) -> InstructionsError {
    match error.kind() {
        io::ErrorKind::NotFound => InstructionsError::NotInstalled,
        _ => InstructionsError::Start(error),
    }
}

/// What callgrind's summary says: `==7== Collected : 1234567`, and further counts where a cache was
/// simulated.
fn collected(output: &Output) -> Option<u64> {
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().find_map(|line| {
        let (before, counts) = line.split_once(':')?;
        let is_summary = before.starts_with("==") && before.trim_end().ends_with("Collected");
        let count = counts.split_whitespace().next()?;
        is_summary.then(|| count.replace(',', "").parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn the_count_is_found_in_what_callgrind_says() {
        let check = |code: i32, stderr: &str, expect| {
            let output = Output {
                status: std::process::ExitStatus::from_raw(code << 8),
                stdout: Vec::new(),
                stderr: stderr.into(),
            };
            assert_eq!(collected(&output), expect, "{stderr}");
        };
        let summary = "==12== Events    : Ir\n==12== Collected : 1835310\n==12==\n";
        check(0, summary, Some(1_835_310));
        check(0, "==12== Collected : 1,835,310 7 9\n", Some(1_835_310));
        check(1, summary, None);
        check(0, "Collected : 5\n", None);
        check(0, "==12== Events    : Ir\n", None);
    }

    #[tokio::test]
    async fn without_valgrind_it_says_what_to_install() {
        let nothing = Path::new("/nowhere/valgrind");
        let program = Path::new("/nowhere");
        let counted = count_one(program, nothing, "cache_key").await.map(drop);
        for told in [look_for(nothing).await, counted] {
            assert_eq!(
                told.unwrap_err().to_string(),
                "valgrind is not installed: instruction counts left out; apt-get install valgrind"
            );
        }
    }
}
