//! The other load clients.

use std::{path::Path, process::Stdio, time::Duration};

use ruleiq_bench::Fault;
use serde::Deserialize;
use tokio::{process::Command, time::timeout};

use crate::paused::Paused;

/// What every client sends beside `host`: what oha sends by itself, for it cannot be told not to.
pub(super) const HEADERS: [(&str, &str); 3] = [
    ("user-agent", "oha/1"),
    ("accept", "*/*"),
    ("accept-encoding", "gzip, compress, deflate, br"),
];

/// What a client may take beyond its time.
const BEYOND: Duration = Duration::from_secs(20);
/// Longer than the check; a client that nobody ends is gone after it.
const LONGEST: Duration = Duration::from_secs(1_800);

/// A client that is installed.
#[derive(Debug)]
pub(super) struct Peer {
    kind: Kind,
    name: String,
    program: std::path::PathBuf,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Wrk,
    Oha,
}

impl Peer {
    pub(super) async fn wrk(program: &Path) -> Result<Peer, String> {
        Peer::find(Kind::Wrk, program, "wrk", "apt-get install wrk").await
    }

    pub(super) async fn oha(program: &Path) -> Result<Peer, String> {
        Peer::find(Kind::Oha, program, "oha", "cargo install oha").await
    }

    /// The client, or how to get it.
    async fn find(kind: Kind, program: &Path, name: &str, remedy: &str) -> Result<Peer, String> {
        let asked = Command::new(program)
            .arg("--version")
            .kill_on_drop(true)
            .output();
        let Ok(Ok(answer)) = timeout(BEYOND, asked).await else {
            return Err(format!("{name} is not installed: {remedy}"));
        };
        let text = String::from_utf8_lossy(&answer.stdout);
        let version = text.split_whitespace().nth(1).unwrap_or("?");
        Ok(Peer {
            kind,
            name: format!("{name} {version}"),
            program: program.to_owned(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Loads `url` for so long; answers how many requests were answered, all of them rightly.
    pub(super) async fn load(
        &self,
        url: &str,
        connections: usize,
        time: Duration,
    ) -> Result<u64, Fault> {
        let mut command = self.command(url, connections, time);
        command.kill_on_drop(true);
        let name = &self.name;
        let output = timeout(time + BEYOND, command.output())
            .await
            .map_err(|_| Fault::Failed(format!("{name} does not end")))?
            .map_err(Fault::failed)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let requests = match self.kind {
            Kind::Wrk => wrk_requests(&text),
            Kind::Oha => oha_requests(&text),
        };
        let stderr = String::from_utf8_lossy(&output.stderr);
        requests.ok_or_else(|| Fault::Failed(format!("{name} failed: {text}{stderr}")))
    }

    /// Loads `url` whenever it is let to.
    pub(super) fn start(&self, url: &str, connections: usize) -> Result<Paused, Fault> {
        let mut command = self.command(url, connections, LONGEST);
        command.stderr(Stdio::null());
        Paused::start(&self.name, command)
    }

    /// With one thread.
    fn command(&self, url: &str, connections: usize, time: Duration) -> Command {
        let seconds = format!("{}s", time.as_secs().max(1));
        let connections = connections.to_string();
        let mut command = Command::new(&self.program);
        match self.kind {
            Kind::Wrk => command.args(["-t", "1", "-c", &connections, "-d", &seconds]),
            Kind::Oha => command.args(["--no-tui", "--output-format", "json"]).args([
                "--worker-threads",
                "1",
                "-c",
                &connections,
                "-z",
                &seconds,
            ]),
        };
        for (name, value) in HEADERS {
            command.arg("-H").arg(format!("{name}: {value}"));
        }
        command.arg(url).stdin(Stdio::null());
        command
    }
}

/// From `N requests in …`; none when anything went wrong.
fn wrk_requests(text: &str) -> Option<u64> {
    if text.contains("Socket errors") || text.contains("Non-2xx") {
        return None;
    }
    let line = text.lines().find(|it| it.contains(" requests in "))?;
    let requests: u64 = line.split_whitespace().next()?.parse().ok()?;
    (requests > 0).then_some(requests)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OhaReport {
    status_code_distribution: std::collections::BTreeMap<String, u64>,
    error_distribution: std::collections::BTreeMap<String, u64>,
}

/// The answers with status 200; none when there were others, or errors other than requests that
/// were under way at the end.
fn oha_requests(text: &str) -> Option<u64> {
    let report: OhaReport = serde_json::from_str(text).ok()?;
    let is_the_end = |it: &String| it.contains("deadline");
    let is_clean = report.error_distribution.keys().all(is_the_end);
    let statuses = &report.status_code_distribution;
    statuses
        .get("200")
        .copied()
        .filter(|_| is_clean && statuses.len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_read() {
        let text = "  2 threads\n  33518 requests in 1.01s, 4.16MB read\nRequests/sec:  33000.1\n";
        assert_eq!(wrk_requests(text), Some(33_518));
        let failed = format!("{text}  Non-2xx or 3xx responses: 7\n");
        assert_eq!(wrk_requests(&failed), None);
        assert_eq!(wrk_requests("unable to connect"), None);
    }

    #[test]
    fn what_oha_says_is_read() {
        let of = |errors: &str, statuses: &str| {
            oha_requests(&format!(
                r#"{{"summary": {{}}, "statusCodeDistribution": {statuses}, "errorDistribution": {errors}}}"#
            ))
        };
        let at_the_end = r#"{"aborted due to deadline": 32}"#;
        assert_eq!(of(at_the_end, r#"{"200": 5}"#), Some(5));
        assert_eq!(of("{}", r#"{"200": 5, "500": 1}"#), None);
        assert_eq!(of(r#"{"connection refused": 1}"#, r#"{"200": 5}"#), None);
    }
}
