//! A plain server that was started.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use ruleiq_bench::Fault;

use super::{PlainPlan, PlainRoute};

/// What its start may take.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running plain server; killed when dropped.
#[derive(Debug)]
pub struct PlainServer {
    child: Child,
    address: SocketAddr,
    /// The server ends when this is closed, even if its starter is killed.
    stdin: Option<ChildStdin>,
}

impl PlainServer {
    /// Starts one with a single thread. `program` is `bench-cases`.
    ///
    /// # Errors
    ///
    /// When it does not tell its port in time.
    pub fn start(program: &Path, routes: &[PlainRoute]) -> Result<PlainServer, Fault> {
        PlainServer::start_with(
            program,
            &PlainPlan {
                routes: routes.to_vec(),
                ..PlainPlan::default()
            },
        )
    }

    /// Starts one. `program` is `bench-cases`.
    ///
    /// # Errors
    ///
    /// When it does not tell its port in time.
    pub fn start_with(program: &Path, plan: &PlainPlan) -> Result<PlainServer, Fault> {
        let fault = |error: &dyn std::fmt::Display| {
            let program = program.display();
            Fault::Failed(format!("`{program} plain` did not start: {error}"))
        };
        let child = Command::new(program)
            .arg("plain")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|it| fault(&it))?;
        let mut server = PlainServer {
            child,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            stdin: None,
        };
        let port = server.begin(plan).map_err(|it| fault(&it))?;
        server.address.set_port(port);
        Ok(server)
    }

    fn begin(&mut self, plan: &PlainPlan) -> std::io::Result<u16> {
        let (Some(mut stdin), Some(stdout)) = (self.child.stdin.take(), self.child.stdout.take())
        else {
            return Err(std::io::Error::other("it has no pipes"));
        };
        let mut line = serde_json::to_vec(plan)?;
        line.push(b'\n');
        stdin.write_all(&line)?;
        self.stdin = Some(stdin);
        let (tell, told) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            tell.send(read.map(|_| line))
        });
        let line = told
            .recv_timeout(START_LIMIT)
            .map_err(|_| std::io::Error::other(format!("no port within {START_LIMIT:?}")))??;
        line.trim()
            .parse()
            .map_err(|_| std::io::Error::other(format!("`{}` is no port", line.trim())))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for PlainServer {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The program that is the plain server: this one, or the one beside it.
///
/// # Errors
///
/// When it is not there.
pub(crate) fn program() -> Result<PathBuf, Fault> {
    let current = std::env::current_exe().map_err(Fault::failed)?;
    let beside = current.ancestors().skip(1).take(2);
    let mut programs = beside.map(|it| it.join("bench-cases"));
    programs.find(|it| it.is_file()).ok_or_else(|| {
        let current = current.display();
        Fault::Failed(format!("there is no `bench-cases` beside `{current}`"))
    })
}
