//! The running `ruleiq-server`.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{cargo, database::Database, process, process::Interrupt, progress, random};

const API_PORT: u16 = 8080;
const METRICS_PORT: u16 = 9090;
/// How many ports are tried, from the usual one on.
const PORTS: u16 = 100;
const START_LIMIT: Duration = Duration::from_secs(60);
/// Longer than the server's own grace and that of its holder.
const STOP_LIMIT: Duration = Duration::from_secs(40);
const PROBE_LIMIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(100);

/// The program in a process group of its own, so that Ctrl-C reaches this process alone. It ends
/// with this process, however that ends.
#[derive(Debug)]
pub(super) struct App {
    holder: Child,
    api: SocketAddr,
    metrics: SocketAddr,
}

impl App {
    /// Starts the program.
    pub(super) fn start(database: &Database) -> anyhow::Result<App> {
        let api = free_address("the API", API_PORT, None)?;
        let metrics = free_address("the metrics", METRICS_PORT, Some(api))?;
        let xtask = std::env::current_exe().context("failed to find this program's own file")?;
        let key = database.home().secret("signing-key", random::key)?;
        let mut command = Command::new(xtask);
        process::without_postgres_settings(&mut command)
            .arg("hold")
            .arg(database.program())
            .arg("serve")
            .current_dir(cargo::root())
            .env_remove("RULEIQ_CONFIG")
            .env_remove("DATABASE_OWNER_URL")
            .env_remove("DATABASE_ADMIN_URL")
            .env("RULEIQ_ENV", "development")
            .env("DATABASE_URL", database.app_url()?)
            .env("DATABASE_MONITOR_URL", database.monitor_url()?)
            .env("REDIS_URL", database.redis_url()?)
            .env("JWT_KEYS", format!("dev:{key}"))
            .env("BIND_ADDRESS", api.to_string())
            .env("METRICS_BIND_ADDRESS", metrics.to_string())
            .stdin(Stdio::piped())
            .process_group(0);
        Ok(App {
            holder: process::spawn(&mut command)?,
            api,
            metrics,
        })
    }

    /// Waits until the program says that it is ready.
    pub(super) fn wait_until_ready(&mut self, interrupt: &Interrupt) -> anyhow::Result<()> {
        let end = Instant::now() + START_LIMIT;
        while !is_ready(self.api) {
            interrupt.check()?;
            if let Some(status) = self.ended()? {
                bail!("ruleiq-server ended: {status}");
            }
            if Instant::now() > end {
                bail!(
                    "ruleiq-server is not ready after {}; {}/readyz says why",
                    progress::seconds(START_LIMIT),
                    self.url()
                );
            }
            interrupt.sleep(POLL);
        }
        Ok(())
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.api)
    }

    pub(super) fn metrics_url(&self) -> String {
        format!("http://{}", self.metrics)
    }

    /// Whether the program has ended, and how.
    pub(super) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.holder.try_wait()?)
    }

    /// Lets the program finish its requests and end.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        drop(self.holder.stdin.take());
        match process::ended_within(&mut self.holder, STOP_LIMIT)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("ruleiq-server ended: {status}"),
            None => bail!(
                "ruleiq-server did not end within {}",
                progress::seconds(STOP_LIMIT)
            ),
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            progress::line(&error.to_string());
            // An error says that it has ended already.
            drop(self.holder.kill());
            drop(self.holder.wait());
        }
    }
}

/// The first free port from the usual one on.
fn free_address(what: &str, usual: u16, taken: Option<SocketAddr>) -> anyhow::Result<SocketAddr> {
    let address = (usual..usual + PORTS)
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .find(|it| Some(*it) != taken && TcpListener::bind(it).is_ok())
        .with_context(|| format!("no port from {usual} on is free for {what}"))?;
    if address.port() != usual {
        progress::line(&format!(
            "port {usual} is taken, so {what} gets {}",
            address.port()
        ));
    }
    Ok(address)
}

/// Whether the program answers that it can serve.
fn is_ready(address: SocketAddr) -> bool {
    let probe = || {
        let mut stream = TcpStream::connect_timeout(&address, PROBE_LIMIT)?;
        stream.set_read_timeout(Some(PROBE_LIMIT))?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok::<_, std::io::Error>(&status == b"HTTP/1.1 200")
    };
    probe().unwrap_or(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = holder.local_addr().unwrap();
        let found = free_address("this test", taken.port(), None).unwrap();
        assert_ne!(found, taken);
        let other = free_address("this test", found.port(), Some(found)).unwrap();
        assert_ne!(other, found);
    }

    #[test]
    fn only_a_good_answer_means_ready() {
        for (answer, expect) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
            ("", false),
        ] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            });
            assert_eq!(is_ready(address), expect, "{answer}");
            server.join().unwrap();
        }
    }
}
