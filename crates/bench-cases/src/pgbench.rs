//! `pgbench -M prepared`: what PostgreSQL's own program needs for the same statement.
//!
//! One process runs for the whole case and is stopped between slices, so that no slice holds its
//! logins. How many statements it ran is asked of `pg_stat_statements`, once at the end of a slice and
//! by the statement's number, which costs the server next to nothing. It is an outside peer: it tells
//! neither single answers nor single latencies.
//!
//! Where this process is killed while it runs, it dies of its next line of progress, for nobody reads
//! it.

mod program;

use std::{process::Stdio, sync::Arc, time::Duration};

use nix::time::ClockId;
use ruleiq_bench::{Arm, Budget, Doing, Fault, Tally};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{ChildStderr, Command},
    sync::watch,
    time::timeout,
};

pub(crate) use self::program::version;
use self::program::{connection_variables, find};
use crate::{
    Env,
    cases::pools::{PointSelect, Points},
    paused::Paused,
    postgres::{Statements, grown},
};

/// Longer than any case; a process that nobody ends is gone after it.
const LONGEST: Duration = Duration::from_secs(3_600);
const START_LIMIT: Duration = Duration::from_secs(20);
/// Statements before the first slice, over all clients.
const WARM: u64 = 1_000;
const POLL: Duration = Duration::from_millis(5);

/// A side: `pgbench` with as many clients as the pools have connections.
///
/// # Errors
///
/// When the program or `pg_stat_statements` is not there, or it cannot connect.
pub(crate) async fn pgbench(
    env: Arc<Env>,
    settings: Arc<PointSelect>,
) -> Result<Box<dyn Arm>, Fault> {
    let program = find().ok_or_else(|| {
        Fault::Failed("`pgbench` is not installed: Debian has it in `postgresql-15`".to_owned())
    })?;
    let statements = Statements::of(env.owner_url()?).await?.ok_or_else(|| {
        Fault::Failed(
            "what `pgbench` runs is counted by pg_stat_statements, which is not there".to_owned(),
        )
    })?;
    let points = Points::create(&env, &settings).await?;
    let clients = settings.pool.connections.to_string();
    let mut command = Command::new(program);
    command
        .args(["-n", "-M", "prepared", "-f", "-", "-P", "1", "-j", "2"])
        .args(["-c", &clients, "-T", &LONGEST.as_secs().to_string()])
        .arg(format!("--random-seed={}", env.seed()))
        .envs(connection_variables(env.database_url()?, &settings.pool)?)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let script = format!(
        "\\set id random(1, {})\n{};\n",
        settings.rows,
        points.statement.replace("$1", ":id")
    );
    let pgbench = Pgbench::start(command, &script, statements, points).await?;
    Ok(Box::new(pgbench))
}

struct Pgbench {
    // Fields are dropped in this order: the process ends before its table.
    process: Paused,
    clock: ClockId,
    last_line: watch::Receiver<String>,
    statements: Statements,
    /// The number of its statement, where that is known.
    statement: Option<i64>,
    /// What it had run when it was stopped last.
    calls: u64,
    points: Points,
}

impl Pgbench {
    async fn start(
        command: Command,
        script: &str,
        statements: Statements,
        points: Points,
    ) -> Result<Pgbench, Fault> {
        let mut process = Paused::start("`pgbench`", command)?;
        let mut stdin = process.stdin().expect("it is piped");
        let written = stdin.write_all(script.as_bytes()).await;
        written.map_err(Fault::failed)?;
        drop(stdin);
        let mut pgbench = Pgbench {
            clock: ClockId::pid_cpu_clock_id(process.pid()).map_err(Fault::failed)?,
            last_line: last_line_of(process.stderr().expect("it is piped")),
            process,
            statements,
            statement: None,
            calls: 0,
            points,
        };
        // All clients are logged in and warm once each has run some statements.
        let before = pgbench.count().await?;
        pgbench.wait_for(before + WARM, START_LIMIT).await?;
        pgbench.pause().await?;
        let text = &pgbench.points.statement;
        let id = pgbench.statements.id_of(text).await;
        pgbench.statement = id.map_err(Fault::failed)?;
        pgbench.calls = pgbench.count().await?;
        Ok(pgbench)
    }

    async fn slice(&mut self, budget: Budget) -> Result<Tally, Fault> {
        let (calls, cpu) = (self.calls, self.cpu()?);
        self.process.go_on().map_err(|it| self.told(&it))?;
        match budget {
            Budget::For(limit) => tokio::time::sleep(limit).await,
            Budget::Operations(n) => {
                let limit = budget.limits().0;
                // One that ran fewer in that time is slow, and has still run them.
                if let Ok(ended) = timeout(limit, self.reach(calls.saturating_add(n))).await {
                    ended?;
                }
            }
        }
        self.pause().await?;
        let spent = self.cpu()? - cpu;
        self.calls = self.count().await?;
        Ok(Tally {
            operations: grown(calls, self.calls)?,
            client_cpu_s: Some(spent.as_secs_f64()),
            ..Tally::default()
        })
    }

    async fn pause(&self) -> Result<(), Fault> {
        let paused = self.process.pause().await;
        paused.map_err(|it| self.told(&it))
    }

    async fn wait_for(&self, calls: u64, limit: Duration) -> Result<(), Fault> {
        let reached = timeout(limit, self.reach(calls)).await;
        reached.unwrap_or_else(|_| {
            Err(Fault::Failed(format!(
                "`pgbench` ran no {calls} statements in {} s: {}",
                limit.as_secs(),
                *self.last_line.borrow()
            )))
        })
    }

    async fn reach(&self, calls: u64) -> Result<(), Fault> {
        while self.count().await? < calls {
            tokio::time::sleep(POLL * 4).await;
            self.process.is_stopped().map_err(|it| self.told(&it))?;
        }
        Ok(())
    }

    async fn count(&self) -> Result<u64, Fault> {
        let calls = match self.statement {
            Some(id) => self.statements.calls_of(id).await,
            None => self.statements.calls().await,
        };
        calls.map_err(Fault::failed)
    }

    fn cpu(&self) -> Result<Duration, Fault> {
        let spent = self
            .clock
            .now()
            .map_err(|it| self.told(&Fault::failed(it)))?;
        Ok(Duration::from(spent))
    }

    /// With the last line that it wrote, which says why it ended.
    fn told(&self, fault: &Fault) -> Fault {
        Fault::Failed(format!("{fault}: {}", *self.last_line.borrow()))
    }
}

/// Reads what it writes to the end, and keeps the last line.
fn last_line_of(stderr: ChildStderr) -> watch::Receiver<String> {
    let (sender, receiver) = watch::channel(String::new());
    tokio::spawn(async move {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            sender.send_replace(line);
        }
    });
    receiver
}

impl Arm for Pgbench {
    fn check(&mut self) -> Doing<'_, ()> {
        Box::pin(async {
            let tally = self.slice(Budget::Operations(1)).await?;
            let is_running = tally.operations > 0;
            is_running
                .then_some(())
                .ok_or_else(|| Fault::Wrong("`pgbench` ran nothing".to_owned()))
        })
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        Box::pin(self.slice(budget))
    }
}
