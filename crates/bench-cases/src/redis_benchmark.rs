//! `redis-benchmark`: what Redis's own program needs for the same command.
//!
//! It runs once for each slice, for as many operations as the last run makes likely, and what a
//! run of a few operations costs is taken off as its start. Its answers are its own to judge, and its
//! latency is the mean that it prints, since percentiles of slices make none of the whole: it is an
//! outside peer.
//!
//! The program takes its password from the command line alone, where every user of the machine can
//! read it. It is given that of a user of Redis that lives as long as the side, and may run one
//! command on the side's own keys.

mod user;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use fred::types::config::Config;
use nix::sys::resource::{UsageWho, getrusage};
use ruleiq_bench::{Arm, Budget, Doing, Fault, Tally};
use tokio::{process::Command, time::timeout};

use self::user::User;

const PROGRAM: &str = "redis-benchmark";
/// What a run may take beyond its time.
const GRACE: Duration = Duration::from_secs(20);
/// Runs of a few operations that tell what starting costs.
const STARTS: usize = 3;
/// Operations of the first run, which tells how many a slice has.
const FIRST: u64 = 2_000;
/// A shorter run does not tell how many operations the next one has.
const LONG_ENOUGH: Duration = Duration::from_millis(50);
/// The most operations of one run.
const MOST: f64 = 1e8;

/// What it runs.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// What the keys begin with, before a colon.
    pub(crate) prefix: String,
    /// The command, whose `__rand_int__` becomes twelve digits.
    pub(crate) command: Vec<String>,
    /// Commands under way at once, on one connection.
    pub(crate) pipeline: usize,
    /// Different keys.
    pub(crate) keys: u32,
}

/// Its version; `not installed` where it is not.
pub(crate) fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let output = find().and_then(|program| {
            let mut command = std::process::Command::new(program);
            command.arg("--version").output().ok()
        });
        // redis-benchmark 7.0.15
        output
            .and_then(|it| String::from_utf8(it.stdout).ok())
            .and_then(|it| Some(it.split_whitespace().nth(1)?.to_owned()))
            .unwrap_or_else(|| "not installed".to_owned())
    })
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut programs = std::env::split_paths(&path).map(|it| it.join(PROGRAM));
    programs.find(|it| it.is_file())
}

/// A side that runs `load`. `kept` lives as long as the side does.
///
/// # Errors
///
/// When the program is not there, or Redis does not let it run.
pub(crate) async fn redis_benchmark(
    url: &str,
    load: Load,
    kept: impl Send + Sync + 'static,
) -> Result<Box<dyn Arm>, Fault> {
    let program = find().ok_or_else(|| {
        Fault::Failed(format!(
            "`{PROGRAM}` is not installed: Debian has it in `redis-tools`"
        ))
    })?;
    let user = User::create(url, &load).await?;
    let mut arm = RedisBenchmark {
        arguments: arguments(&load, url, &user)?,
        program,
        pipeline: load.pipeline.max(1) as u64,
        start_cpu_s: 0.0,
        per_second: 0.0,
        _user: user,
        _kept: kept,
    };
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        starts.push(arm.once(arm.pipeline, GRACE).await?.cpu_s);
    }
    starts.sort_by(f64::total_cmp);
    arm.start_cpu_s = starts[STARTS / 2];
    arm.per_second = arm.once(FIRST, GRACE).await?.per_second;
    Ok(Box::new(arm))
}

struct RedisBenchmark<K> {
    program: PathBuf,
    arguments: Vec<String>,
    pipeline: u64,
    /// CPU time of a run of as few operations as there are.
    start_cpu_s: f64,
    /// Operations per second of the last run.
    per_second: f64,
    _user: User,
    _kept: K,
}

/// One run of the program.
#[derive(Debug)]
struct Run {
    operations: u64,
    cpu_s: f64,
    per_second: f64,
    /// The mean that it printed, in microseconds.
    mean_us: f64,
}

impl<K> RedisBenchmark<K> {
    /// Runs a multiple of the pipeline's length: with another number the program may answer more
    /// than it was asked for, and give up over that.
    async fn once(&self, operations: u64, limit: Duration) -> Result<Run, Fault> {
        let operations = operations.next_multiple_of(self.pipeline);
        let before = children_cpu_s()?;
        let started = Instant::now();
        let run = Command::new(&self.program)
            .args(&self.arguments[..2 * FIXED])
            .args(["-n", &operations.to_string()])
            .args(&self.arguments[2 * FIXED..])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        // It tries for ever where Redis is not there.
        let output = timeout(limit, run)
            .await
            .map_err(|_| Fault::Failed(format!("`{PROGRAM}` ran for more than {limit:?}")))?;
        let output = output.map_err(Fault::failed)?;
        let cpu_s = children_cpu_s()? - before;
        let mut run = read(&output, cpu_s)?;
        run.operations = operations;
        if !run.per_second.is_finite() {
            // It counts whole milliseconds, of which a short run has none.
            #[expect(clippy::cast_precision_loss, reason = "at most a hundred million")]
            let operations = operations as f64;
            run.per_second = operations / started.elapsed().as_secs_f64();
        }
        Ok(run)
    }
}

impl<K: Send + Sync> Arm for RedisBenchmark<K> {
    fn check(&mut self) -> Doing<'_, ()> {
        Box::pin(async { self.once(self.pipeline, GRACE).await.map(drop) })
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        Box::pin(async move {
            let (time, most) = budget.limits();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is between one and a hundred million"
            )]
            let likely = (self.per_second * time.as_secs_f64()).clamp(1.0, MOST) as u64;
            let started = Instant::now();
            let run = self.once(likely.min(most), time + GRACE).await?;
            // A short run's own rate rests on a millisecond.
            if started.elapsed() > LONG_ENOUGH {
                self.per_second = run.per_second;
            }
            let mut tally = Tally {
                operations: run.operations,
                client_cpu_s: Some((run.cpu_s - self.start_cpu_s).max(0.0)),
                ..Tally::default()
            };
            let figures = [
                ("printed_mean_us", run.mean_us),
                ("requests_per_s", run.per_second),
            ];
            tally.figures = figures.map(|(name, it)| (name.to_owned(), it)).into();
            Ok(tally)
        })
    }
}

/// How many options of one value come before the number of operations.
const FIXED: usize = 9;

/// The command line, but for `-n`.
fn arguments(load: &Load, url: &str, user: &User) -> Result<Vec<String>, Fault> {
    let config = Config::from_url(url)
        .map_err(|_| Fault::Failed("the URL of Redis cannot be read".to_owned()))?;
    let server = config.server.hosts().into_iter().next();
    let server = server.ok_or_else(|| Fault::Failed("the URL of Redis has no host".to_owned()))?;
    let options: [(&str, String); FIXED] = [
        ("-h", server.host.to_string()),
        ("-p", server.port.to_string()),
        ("--user", user.name.clone()),
        ("-a", user.password.clone()),
        ("--dbnum", config.database.unwrap_or(0).to_string()),
        ("-c", "1".to_owned()),
        ("-P", load.pipeline.to_string()),
        ("-r", load.keys.to_string()),
        ("--precision", "3".to_owned()),
    ];
    let mut arguments: Vec<String> = options
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
    arguments.push("--csv".to_owned());
    arguments.extend(load.command.iter().cloned());
    Ok(arguments)
}

/// CPU seconds of all processes that this one has started and waited for.
fn children_cpu_s() -> Result<f64, Fault> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(Fault::failed)?;
    let seconds = |it: nix::sys::time::TimeVal| {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a few hours")]
        let micros = (it.tv_sec() * 1_000_000 + it.tv_usec()) as f64;
        micros / 1e6
    };
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// Reads what a run printed: a line of names, and a line of values in milliseconds.
fn read(output: &Output, cpu_s: f64) -> Result<Run, Fault> {
    let text = String::from_utf8_lossy(&output.stdout);
    let fault = || {
        let errors = String::from_utf8_lossy(&output.stderr);
        let said: String = format!("{text}{errors}").chars().take(500).collect();
        Fault::Failed(format!("`{PROGRAM}` ended with {}: {said}", output.status))
    };
    if !output.status.success() {
        return Err(fault());
    }
    // The command, which comes first in its line, may hold anything; the figures come last.
    let mut lines = text.lines().filter(|it| it.starts_with('"'));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return Err(fault());
    };
    let figures: BTreeMap<&str, f64> = names
        .rsplit(',')
        .zip(values.rsplit(','))
        .filter_map(|(name, value)| {
            let value = value.trim_matches('"').parse().ok()?;
            Some((name.trim_matches('"'), value))
        })
        .collect();
    let figure = |name| figures.get(name).copied().ok_or_else(fault);
    Ok(Run {
        operations: 0,
        cpu_s,
        per_second: figure("rps")?,
        mean_us: figure("avg_latency_ms")? * 1e3,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn output(code: i32, stdout: &str) -> Output {
        Output {
            status: std::process::ExitStatus::from_raw(code << 8),
            stdout: stdout.into(),
            stderr: b"WARNING: Could not fetch server CONFIG".into(),
        }
    }

    #[test]
    fn figures_are_read_by_their_names_whatever_the_command_holds() {
        let printed = "\"test\",\"rps\",\"avg_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\",\"p99_latency_ms\"\n\
            \"SET k {\"a\":1,\"b\":2}\",\"41666.67\",\"0.092\",\"0.031\",\"0.047\",\"3.223\"\n";
        let run = read(&output(0, printed), 0.5).unwrap();
        assert_eq!((run.cpu_s, run.per_second), (0.5, 41_666.67));
        assert_eq!(run.mean_us, 92.0);
    }

    #[test]
    fn a_run_that_failed_says_so() {
        for it in [
            output(1, ""),
            output(0, ""),
            output(0, "\"test\",\"rps\"\n\"GET\",\"?\""),
        ] {
            let error = read(&it, 0.0).unwrap_err();
            assert!(error.to_string().contains("CONFIG"), "{error}");
        }
    }

    #[test]
    fn the_password_of_the_url_is_no_argument() {
        let load = Load {
            prefix: "p".to_owned(),
            command: vec!["GET".to_owned()],
            pipeline: 7,
            keys: 9,
        };
        let user = User {
            name: "u".to_owned(),
            password: "one-time".to_owned(),
            // Refused at once when the user is dropped.
            url: "redis://127.0.0.1:1".to_owned(),
        };
        let given = arguments(&load, "redis://:secret@h:7/3", &user).unwrap();
        let line = given.join(" ");
        assert!(
            line.starts_with("-h h -p 7 --user u -a one-time --dbnum 3 -c 1 -P 7 -r 9"),
            "{line}"
        );
        assert!(!line.contains("secret"));
    }
}
