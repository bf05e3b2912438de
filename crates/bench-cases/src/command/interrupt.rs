//! Ctrl-C: once, the run ends after the slice under way; twice, at once.

use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use ruleiq_bench::run::Stop;
use tokio::signal::unix::{SignalKind, signal};

use super::output;

/// Listens from now on. A request to terminate counts as Ctrl-C.
pub(super) fn listen() -> anyhow::Result<Stop> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = Stop::default();
    let asked = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked.is_asked() {
                // No destructor runs, so nothing that this program started would end with it.
                end_below(Pid::this());
                asked.end_workers();
                std::process::exit(super::INTERRUPTED.into());
            }
            asked.ask();
            output::complain("ending after this slice; what was measured is kept");
        }
    });
    Ok(stop)
}

/// Ends every process below `pid`: servers, profilers, workers and what those started.
fn end_below(pid: Pid) {
    for child in children(pid) {
        end_below(child);
        // An error says that it has ended already.
        kill(child, Signal::SIGKILL).ok();
    }
}

/// A child is listed with the thread that started it.
fn children(pid: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let lists = threads.filter_map(|it| fs::read_to_string(it.path().join("children")).ok());
    lists
        .flat_map(|it| {
            let pids = it.split_whitespace().filter_map(|it| it.parse().ok());
            pids.map(Pid::from_raw).collect::<Vec<Pid>>()
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn nothing_is_left_below_a_program_that_ends_at_once() {
        let script = "sh -c 'sleep 600; exit 1' & wait; exit 7";
        let mut command = tokio::process::Command::new("sh");
        let mut top = command
            .args(["-c", script])
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(top.id().unwrap()).unwrap());
        let below = || {
            let own = children(pid);
            let theirs = own.iter().flat_map(|it| children(*it));
            [own.clone(), theirs.collect()].concat()
        };
        let both = async {
            while below().len() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let limit = Duration::from_secs(30);
        tokio::time::timeout(limit, both).await.unwrap();
        let grandchild = below()[1];
        end_below(pid);
        let status = tokio::time::timeout(limit, top.wait()).await.unwrap();
        assert_eq!(status.unwrap().code(), Some(7));
        let gone = async {
            while fs::read_to_string(format!("/proc/{grandchild}/stat"))
                .is_ok_and(|it| !it.contains(") Z "))
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(limit, gone).await.unwrap();
    }
}
