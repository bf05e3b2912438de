//! The worker's end.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{Answer, CaseInfo, PROTOCOL, Request, SetUp, ready::Ready};
use crate::{Case, Fault, cpu::Servers};

/// The longest request that is read.
const LONGEST_REQUEST: u64 = 1 << 20;
/// What taking a case down may take.
const TAKE_DOWN: Duration = Duration::from_secs(30);

/// What a process has allocated since it began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Allocated {
    /// How often.
    pub count: u64,
    /// How much, in bytes; what was freed again is not subtracted.
    pub bytes: u64,
}

/// A worker over the cases of surroundings `E`.
#[derive(Debug)]
pub struct Worker<E> {
    /// The cases.
    pub cases: Vec<Case<E>>,
    /// The surroundings.
    pub env: Arc<E>,
    /// The servers whose CPU time counts.
    pub servers: Servers,
    /// Reads a counting allocator, in a program that has one: then `counts` has allocations too.
    pub allocated: Option<fn() -> Allocated>,
}

impl<E: Send + Sync + 'static> Worker<E> {
    /// Answers requests until there are no more.
    ///
    /// # Errors
    ///
    /// When a stream breaks.
    pub async fn serve(
        &self,
        mut input: impl AsyncBufRead + Unpin,
        mut output: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let hello = Answer::Hello { protocol: PROTOCOL };
        write(&mut output, &hello).await?;
        let mut ready = None;
        loop {
            let mut line = String::new();
            let mut bounded = (&mut input).take(LONGEST_REQUEST);
            if bounded.read_line(&mut line).await? == 0 {
                take_down(ready.take()).await;
                return Ok(());
            }
            let answer = match serde_json::from_str(&line) {
                Ok(request) => tokio::select! {
                    biased;
                    answer = self.answer(request, &mut ready) => answer,
                    () = closed(&mut input) => {
                        // Nobody waits for the answer, and what the case made has to go.
                        take_down(ready.take()).await;
                        return Ok(());
                    }
                },
                Err(error) => Answer::Error(format!("no request: {error}")),
            };
            write(&mut output, &answer).await?;
        }
    }

    async fn answer(&self, request: Request, ready: &mut Option<Ready>) -> Answer {
        let none = || Answer::Error("no case is set up".to_owned());
        match (request, ready.as_mut()) {
            (Request::List {}, _) => Answer::Cases(self.cases.iter().map(CaseInfo::of).collect()),
            (Request::SetUp(set_up), _) => {
                take_down(ready.take()).await;
                self.set_up(&set_up, ready).await
            }
            (Request::TearDown {}, _) => {
                take_down(ready.take()).await;
                Answer::Done {}
            }
            (_, None) => none(),
            (Request::Check {}, Some(ready)) => Answer::Arms(ready.check().await),
            (Request::Slice { arm, length, turn }, Some(ready)) => {
                match ready.slice(arm, length.budget(), turn).await {
                    Ok(slice) => Answer::Slice(Box::new(slice)),
                    Err(fault) => Answer::Error(fault.to_string()),
                }
            }
            (Request::Counts {}, Some(ready)) => Answer::Counts(ready.counts(self.allocated).await),
        }
    }

    async fn set_up(&self, set_up: &SetUp, ready: &mut Option<Ready>) -> Answer {
        let Some(case) = self.cases.iter().find(|it| *it.name() == set_up.case) else {
            return Answer::Error(format!("there is no case `{}`", set_up.case));
        };
        if let Some(side) = set_up.sides.iter().find(|it| **it >= case.sides().len()) {
            return Answer::Error(format!("`{}` has no side {side}", set_up.case));
        }
        let (made, states) = Ready::set_up(case, &self.env, self.servers, set_up).await;
        *ready = Some(made);
        Answer::Arms(states)
    }
}

/// Waits for the end of the input. A request that comes instead is left to be read.
async fn closed(input: &mut (impl AsyncBufRead + Unpin)) {
    if input.fill_buf().await.is_ok_and(|it| !it.is_empty()) {
        std::future::pending().await
    }
}

/// Drops arms where dropping may block: a server's end is waited for.
async fn take_down(ready: Option<Ready>) {
    if ready.is_some() {
        let dropped = tokio::task::spawn_blocking(move || drop(ready));
        // One that does not end is left to the end of this process.
        drop(timeout(TAKE_DOWN, dropped).await);
    }
}

async fn write(output: &mut (impl AsyncWrite + Unpin), answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    output.write_all(&line).await?;
    output.flush().await
}

/// A limit for one step of an arm.
pub(super) async fn within<T>(
    limit: Duration,
    step: &str,
    doing: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout(limit, doing)
        .await
        .unwrap_or_else(|_| Err(Fault::Failed(format!("`{step}` took more than {limit:?}"))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
