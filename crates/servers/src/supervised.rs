//! The handle of whoever needs servers: it holds the pipe of a supervisor.

use std::{
    fmt,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

use crate::{Addresses, Error, Spec, Which, process::wait_until, supervisor::unescaped};

/// Longer than all that a supervisor may do before it answers: installing what is missing.
const START_LIMIT: Duration = Duration::from_secs(3600);
/// Longer than a supervisor needs to stop or start one server by force.
const COMMAND_LIMIT: Duration = Duration::from_secs(180);

/// Servers that run as long as this value lives, or its process.
pub struct Supervised {
    supervisor: Child,
    /// Closed, it ends the supervisor.
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
    addresses: Addresses,
}

impl Supervised {
    /// Starts `program supervise WORDS…` and waits until all servers are ready.
    ///
    /// The supervisor gets a process group of its own, so that Ctrl-C reaches this process alone;
    /// it ends when this process does, however that happens. What takes long, such as installing a
    /// package, it tells on standard error.
    ///
    /// # Errors
    ///
    /// [`Error::Unmet`] when the spec lacks a server that another one needs; else when the program
    /// cannot be started or a server does not start.
    pub fn start(program: &Path, spec: &Spec) -> Result<Supervised, Error> {
        spec.check()?;
        let mut supervisor = Command::new(program)
            .arg("supervise")
            .args(spec.to_words())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(Error::io("start", program))?;
        let commands = supervisor.stdin.take();
        let (lines, answers) = sync_channel(4);
        if let Some(output) = supervisor.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if lines.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let mut supervised = Supervised {
            supervisor,
            commands,
            answers,
            addresses: Addresses::default(),
        };
        supervised.addresses = supervised.read_greeting()?;
        Ok(supervised)
    }

    /// The addresses of all servers. They stay when a server is started again.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The address of one server, if there is one.
    pub fn url(&self, which: Which) -> Option<&str> {
        self.addresses.of(which)
    }

    /// The superuser's address of PostgreSQL, if there is one.
    pub fn postgres_url(&self) -> Option<&str> {
        self.url(Which::Postgres)
    }

    /// The superuser's address of PostgreSQL through `PgBouncer`, if there is one. It lets nobody
    /// else in.
    pub fn pgbouncer_url(&self) -> Option<&str> {
        self.url(Which::PgBouncer)
    }

    /// The superuser's address of the standby of PostgreSQL, if there is one.
    pub fn standby_url(&self) -> Option<&str> {
        self.url(Which::PostgresStandby)
    }

    /// The address of Redis, password included, if there is one.
    pub fn redis_url(&self) -> Option<&str> {
        self.url(Which::Redis)
    }

    /// The address by which the sentinels say who is the primary, if there are any:
    /// `redis-sentinel://:PASSWORD@HOST:PORT?node=HOST:PORT…&sentinelServiceName=ruleiq`, and
    /// `&sentinelPassword=PASSWORD`, the same.
    pub fn sentinel_url(&self) -> Option<&str> {
        self.addresses.sentinels()
    }

    /// The address of the Redis Cluster, if there is one:
    /// `redis-cluster://:PASSWORD@HOST:PORT?node=HOST:PORT…` with all its nodes.
    pub fn cluster_url(&self) -> Option<&str> {
        self.addresses.cluster()
    }

    /// Kills the server: it flushes nothing and tells nobody.
    ///
    /// # Errors
    ///
    /// When the server does not run or the supervisor is gone.
    pub fn kill(&mut self, which: Which) -> Result<(), Error> {
        self.command("kill", which)
    }

    /// Stops the server in good order.
    ///
    /// # Errors
    ///
    /// When the server does not run or the supervisor is gone.
    pub fn stop(&mut self, which: Which) -> Result<(), Error> {
        self.command("stop", which)
    }

    /// Starts a killed or stopped server again, on the same port with the same data.
    ///
    /// A Redis is waited for until it answers: who is the primary, sentinels and nodes settle
    /// later. One that is not durable has lost its data; if it is still the primary, so will its
    /// replica.
    ///
    /// # Errors
    ///
    /// When it runs already or does not start.
    pub fn start_again(&mut self, which: Which) -> Result<(), Error> {
        self.command("start", which)
    }

    /// Halts the server where it is: connections stay open and nothing is answered.
    ///
    /// # Errors
    ///
    /// When the server does not run or the supervisor is gone.
    pub fn pause(&mut self, which: Which) -> Result<(), Error> {
        self.command("pause", which)
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    ///
    /// When the server does not run or the supervisor is gone.
    pub fn resume(&mut self, which: Which) -> Result<(), Error> {
        self.command("resume", which)
    }

    fn read_greeting(&self) -> Result<Addresses, Error> {
        let mut single = Vec::new();
        loop {
            let line = self.answer("starting the servers", START_LIMIT)?;
            if line == "ready" {
                return Ok(Addresses::new(single));
            }
            let server = line.split_once(' ');
            match server.and_then(|(word, url)| Some((word.parse().ok()?, url.to_owned()))) {
                Some(server) => single.push(server),
                None => return Err(refusal(&line)),
            }
        }
    }

    fn command(&mut self, verb: &str, which: Which) -> Result<(), Error> {
        if let Some(commands) = &mut self.commands {
            writeln!(commands, "{verb} {which}").map_err(|source| Error::Io {
                step: "write to the supervisor".to_owned(),
                source,
            })?;
        }
        let line = self.answer("waiting for the supervisor", COMMAND_LIMIT)?;
        if line == "ok" {
            Ok(())
        } else {
            Err(refusal(&line))
        }
    }

    fn answer(&self, step: &'static str, after: Duration) -> Result<String, Error> {
        self.answers
            .recv_timeout(after)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => Error::TimedOut { step, after },
                RecvTimeoutError::Disconnected => {
                    Error::Supervisor("the supervisor of the servers has ended".to_owned())
                }
            })
    }
}

/// Ends the servers and waits until they are gone.
impl Drop for Supervised {
    fn drop(&mut self) {
        self.commands = None;
        if !wait_until(COMMAND_LIMIT, || {
            !matches!(self.supervisor.try_wait(), Ok(None))
        }) {
            // Whoever starts next cleans up. It was not waited for, so it is still the same.
            drop(self.supervisor.kill());
            drop(self.supervisor.wait());
        }
    }
}

impl fmt::Debug for Supervised {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Supervised")
            .field("supervisor", &self.supervisor.id())
            .finish_non_exhaustive()
    }
}

fn refusal(line: &str) -> Error {
    let message = line.strip_prefix("error ").unwrap_or(line);
    Error::Supervisor(unescaped(message))
}
