//! The coordinator's end of a worker process.

use std::{
    collections::VecDeque,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::unistd::Pid;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

use super::{Answer, ArmCounts, ArmState, CaseInfo, Length, PROTOCOL, Request, SetUp, WorkerError};
use crate::{
    ArmOf, Slice,
    run::{Stop, stop},
};

/// The longest line of a worker that is read.
const LONGEST_ANSWER: u64 = 64 << 20;
/// The last lines of a worker's log that an error quotes.
const LAST_WORDS: usize = 8;
/// What a step may take on top of its own time.
const PATIENCE: Duration = Duration::from_secs(90);
/// What a set-up may take: a server starts, and data is filled in.
const SET_UP: Duration = Duration::from_secs(300);
const END: Duration = Duration::from_secs(20);
/// What a step may still take once the run is to end: longer than all but the longest slices.
const AFTER_STOP: Duration = Duration::from_secs(5);

/// How a worker is started.
#[derive(Clone, Debug)]
pub struct WorkerProgram {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables beside those of this process.
    pub variables: Vec<(String, String)>,
    /// What asks the run to end that the worker is part of.
    pub stop: Stop,
}

/// A worker. Dropped, it is killed, and so are the processes that it started.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Child,
    group: Option<Pid>,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    stop: Stop,
    log: Arc<Mutex<VecDeque<String>>>,
    reader: JoinHandle<()>,
}

impl WorkerProcess {
    /// Starts a worker. `padding` bytes in its environment move its stack, and with it the luck of
    /// where things lie in memory.
    ///
    /// # Errors
    ///
    /// When it does not start, or speaks another protocol.
    pub async fn start(
        program: &WorkerProgram,
        padding: usize,
    ) -> Result<WorkerProcess, WorkerError> {
        let start = |source| WorkerError::Start {
            program: program.program.clone(),
            source,
        };
        let mut child = Command::new(&program.program)
            .args(&program.arguments)
            .envs(program.variables.iter().cloned())
            .env("RULEIQ_BENCH_PADDING", "x".repeat(padding))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal goes to the whole group: the worker has to end its slice first.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        let group = child.id().and_then(|it| i32::try_from(it).ok());
        let group = group.map(Pid::from_raw);
        if let Some(group) = group {
            program.stop.began(group);
        }
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(start(std::io::ErrorKind::BrokenPipe.into()));
        };
        let reader = read_log(errors, Arc::clone(&log));
        let mut worker = WorkerProcess {
            group,
            stop: program.stop.clone(),
            input: child.stdin.take(),
            output: BufReader::new(output),
            child,
            log,
            reader: tokio::spawn(reader),
        };
        match worker.answer("hello", PATIENCE).await? {
            Answer::Hello { protocol: PROTOCOL } => Ok(worker),
            Answer::Hello { protocol } => Err(WorkerError::OtherProtocol {
                theirs: protocol,
                ours: PROTOCOL,
            }),
            other => Err(garbled("hello", &other)),
        }
    }

    /// Its process id, while it lives.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Which cases it has.
    ///
    /// # Errors
    ///
    /// When it is gone or refuses.
    pub async fn list(&mut self) -> Result<Vec<CaseInfo>, WorkerError> {
        match self.ask("list", &Request::List {}, PATIENCE).await? {
            Answer::Cases(cases) => Ok(cases),
            other => Err(garbled("list", &other)),
        }
    }

    /// Sets up the sides of a case.
    ///
    /// # Errors
    ///
    /// When it is gone or refuses.
    pub async fn set_up(&mut self, set_up: SetUp) -> Result<Vec<ArmState>, WorkerError> {
        let request = Request::SetUp(set_up);
        match self.ask("set_up", &request, SET_UP).await? {
            Answer::Arms(arms) => Ok(arms),
            other => Err(garbled("set_up", &other)),
        }
    }

    /// Lets each arm do its operation once and compares the answer in full.
    ///
    /// # Errors
    ///
    /// When it is gone or refuses.
    pub async fn check(&mut self) -> Result<Vec<ArmState>, WorkerError> {
        match self.ask("check", &Request::Check {}, SET_UP).await? {
            Answer::Arms(arms) => Ok(arms),
            other => Err(garbled("check", &other)),
        }
    }

    /// Runs one arm.
    ///
    /// # Errors
    ///
    /// When it is gone or refuses.
    pub async fn slice(
        &mut self,
        arm: ArmOf,
        length: Length,
        turn: usize,
    ) -> Result<Slice, WorkerError> {
        let request = Request::Slice { arm, length, turn };
        let limit = match length {
            Length::Seconds(s) => PATIENCE + Duration::from_secs_f64(s.clamp(0.0, 3_600.0)),
            Length::Operations(_) => Duration::from_secs(600),
        };
        match self.ask("slice", &request, limit).await? {
            Answer::Slice(slice) => Ok(*slice),
            other => Err(garbled("slice", &other)),
        }
    }

    /// What can be counted exactly, by arm and metric.
    ///
    /// # Errors
    ///
    /// When it is gone or refuses.
    pub async fn counts(&mut self) -> Result<Vec<(ArmOf, ArmCounts)>, WorkerError> {
        match self.ask("counts", &Request::Counts {}, SET_UP).await? {
            Answer::Counts(counts) => Ok(counts),
            other => Err(garbled("counts", &other)),
        }
    }

    /// Takes the case down.
    ///
    /// # Errors
    ///
    /// When it is gone or refuses.
    pub async fn tear_down(&mut self) -> Result<(), WorkerError> {
        let request = Request::TearDown {};
        match self.ask("tear_down", &request, PATIENCE).await? {
            Answer::Done {} => Ok(()),
            other => Err(garbled("tear_down", &other)),
        }
    }

    /// Lets it end by itself, and kills it if it does not.
    pub async fn end(mut self) {
        self.input = None;
        // What it did not end in time is killed when this is dropped.
        if let Ok(Ok(_)) = timeout(END, self.child.wait()).await {
            self.forget();
        }
    }

    async fn ask(
        &mut self,
        step: &'static str,
        request: &Request,
        limit: Duration,
    ) -> Result<Answer, WorkerError> {
        let mut line = serde_json::to_string(request).expect("a request can be written as JSON");
        line.push('\n');
        let is_sent = match &mut self.input {
            Some(input) => input.write_all(line.as_bytes()).await.is_ok(),
            None => false,
        };
        if !is_sent {
            return Err(self.died(step).await);
        }
        match self.answer(step, limit).await? {
            Answer::Error(text) => Err(WorkerError::Refused(text)),
            answer => Ok(answer),
        }
    }

    async fn answer(&mut self, step: &'static str, limit: Duration) -> Result<Answer, WorkerError> {
        let mut line = String::new();
        let mut bounded = (&mut self.output).take(LONGEST_ANSWER);
        let reading = timeout(limit, bounded.read_line(&mut line));
        let (read, after) = tokio::select! {
            read = reading => (read.ok(), limit),
            () = overdue(&self.stop) => (None, AFTER_STOP),
        };
        match read {
            None => {
                self.kill();
                Err(WorkerError::TimedOut {
                    step,
                    after,
                    last_words: self.last_words(),
                })
            }
            Some(Ok(n)) if n > 0 => serde_json::from_str(&line).map_err(|_| WorkerError::Garbled {
                step,
                answer: line.chars().take(200).collect(),
            }),
            Some(_) => Err(self.died(step).await),
        }
    }

    async fn died(&mut self, step: &'static str) -> WorkerError {
        // Its log ends when it does, but for processes of its own that outlive it.
        let status = timeout(END, self.child.wait()).await;
        if !self.reader.is_finished()
            && timeout(Duration::from_secs(1), &mut self.reader)
                .await
                .is_err()
        {
            self.reader.abort();
        }
        WorkerError::Died {
            step,
            status: status.ok().and_then(Result::ok),
            last_words: self.last_words(),
        }
    }

    fn last_words(&self) -> Vec<String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().cloned().collect()
    }

    fn kill(&mut self) {
        if let Some(group) = self.forget() {
            stop::kill(group);
        }
    }

    fn forget(&mut self) -> Option<Pid> {
        let group = self.group.take()?;
        self.stop.ended(group);
        Some(group)
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.kill();
        self.reader.abort();
    }
}

/// Waits until a step that is under way has had its time after the run was asked to end.
async fn overdue(stop: &Stop) {
    stop.asked().await;
    tokio::time::sleep(AFTER_STOP).await;
}

async fn read_log(stderr: ChildStderr, log: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(stderr).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LAST_WORDS {
            log.pop_front();
        }
        log.push_back(String::from_utf8_lossy(&line).chars().take(500).collect());
    }
}

fn garbled(step: &'static str, answer: &Answer) -> WorkerError {
    WorkerError::Garbled {
        step,
        answer: format!("{answer:?}").chars().take(200).collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
