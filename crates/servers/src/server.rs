//! One server from its start to its end.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    DataDir, Error, PostgresSpec, RedisSpec, Which,
    instance::Instance,
    port,
    postgres::Postgres,
    process::{Process, wait_until},
    redis::Redis,
    run::tail,
};

/// Recovery of kept data included.
const START_LIMIT: Duration = Duration::from_secs(120);
const DISCARD_LIMIT: Duration = Duration::from_secs(10);
/// How often another port is tried when somebody was faster.
const PORT_TRIES: u32 = 10;

/// A server of our own. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Server {
    engine: Engine,
    instance: Instance,
    password: String,
    port: u16,
    running: Option<(Process, Child)>,
}

#[derive(Debug)]
enum Engine {
    Postgres(Postgres),
    Redis(Redis),
}

/// What became of an attempt to start.
enum Launch {
    Ready(Process, Child),
    PortTaken,
}

impl Server {
    /// Finds PostgreSQL and starts it.
    pub(crate) fn postgres(
        home: &Path,
        spec: &PostgresSpec,
        notices: &mut dyn Write,
    ) -> Result<Server, Error> {
        let engine = Postgres::find(home, spec.clone(), notices)?;
        Server::start(home, Engine::Postgres(engine))
    }

    /// Finds Redis and starts it.
    pub(crate) fn redis(
        home: &Path,
        spec: &RedisSpec,
        notices: &mut dyn Write,
    ) -> Result<Server, Error> {
        let engine = Redis::find(home, spec.clone(), notices)?;
        Server::start(home, Engine::Redis(engine))
    }

    fn start(home: &Path, engine: Engine) -> Result<Server, Error> {
        let instance = Instance::open(home, engine.which(), engine.data())?;
        let password = instance.password()?;
        let port = instance.port();
        let mut server = Server {
            engine,
            instance,
            password,
            port: 0,
            running: None,
        };
        match &server.engine {
            Engine::Postgres(it) => it.prepare(&server.instance, &server.password)?,
            Engine::Redis(_) => Redis::prepare(&server.instance)?,
        }
        for attempt in 0..PORT_TRIES {
            // Bookmarks and open tools go on working when kept data keep their port.
            server.port = match port {
                Some(port) if attempt == 0 => port,
                _ => port::free()?,
            };
            if let Launch::Ready(process, child) = server.launch()? {
                server.running = Some((process, child));
                return Ok(server);
            }
        }
        Err(Error::NoPort)
    }

    pub(crate) fn which(&self) -> Which {
        self.engine.which()
    }

    pub(crate) fn url(&self) -> String {
        match self.engine {
            Engine::Postgres(_) => Postgres::url(&self.password, self.port),
            Engine::Redis(_) => Redis::url(&self.password, self.port),
        }
    }

    /// Starts the server again, on its port.
    pub(crate) fn start_again(&mut self) -> Result<(), Error> {
        if self.running().is_ok() {
            return Err(Error::Running(self.which()));
        }
        self.reap();
        match self.launch()? {
            Launch::Ready(process, child) => {
                self.running = Some((process, child));
                Ok(())
            }
            Launch::PortTaken => Err(self.start_error()),
        }
    }

    /// Stops the server in good order; by force where that takes too long.
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        self.end(self.which().stop_signals())
    }

    /// Kills the server as the end of the world would.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        self.end(&[])
    }

    /// Halts the server where it is.
    pub(crate) fn pause(&self) -> Result<(), Error> {
        self.running().map(Process::pause)
    }

    /// Lets a paused server go on.
    pub(crate) fn resume(&self) -> Result<(), Error> {
        self.running().map(Process::resume)
    }

    /// Stops the server for good and removes its data, if they are temporary: then nothing needs
    /// to be written out any more.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        if self.running().is_ok() {
            if self.instance.is_temporary() {
                self.end(self.which().discard_signals())?;
            } else {
                self.stop()?;
            }
        }
        self.reap();
        self.instance.remove_temporary()
    }

    /// Lets the server run on without us.
    pub(crate) fn leave(mut self) {
        self.running = None;
    }

    fn running(&self) -> Result<&Process, Error> {
        match &self.running {
            Some((process, _)) if process.is_alive() => Ok(process),
            _ => Err(Error::NotRunning(self.which())),
        }
    }

    fn end(&mut self, signals: &[(Signal, Duration)]) -> Result<(), Error> {
        let process = self.running()?;
        if !process.ask_to_end(signals) {
            process.kill();
        }
        self.reap();
        Ok(())
    }

    /// Takes note of the end of a server that has ended.
    fn reap(&mut self) {
        if let Some((_, mut child)) = self.running.take() {
            // It has ended, so this returns at once, and its verdict does not matter.
            drop(child.wait());
        }
    }

    fn launch(&self) -> Result<Launch, Error> {
        let mut command = self.command()?;
        let mut child = command.spawn().map_err(|source| Error::Io {
            step: format!("start `{}`", command.get_program().display()),
            source,
        })?;
        let Some(process) = Process::of(child.id()) else {
            drop(child.wait());
            return self.ended();
        };
        if let Err(error) = self.instance.note(&process, self.port) {
            process.kill();
            drop(child.wait());
            return Err(error);
        }
        let mut is_ready = false;
        let in_time = wait_until(START_LIMIT, || {
            is_ready = self.is_ready(&process);
            is_ready || !process.is_alive()
        });
        if is_ready && process.is_alive() {
            return Ok(Launch::Ready(process, child));
        }
        process.kill();
        drop(child.wait());
        if in_time {
            return self.ended();
        }
        Err(Error::TimedOut {
            step: "starting a server",
            after: START_LIMIT,
        })
    }

    fn command(&self) -> Result<Command, Error> {
        let mut command = match &self.engine {
            Engine::Postgres(it) => it.server(&self.instance, self.port),
            Engine::Redis(it) => it.server(&self.instance, self.port, &self.password)?,
        };
        self.instance.account().apply(&mut command);
        let path = self.instance.path("log");
        let log = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("make", &path))?;
        let errors = log.try_clone().map_err(Error::io("open", &path))?;
        command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // Ctrl-C in a terminal is for whoever started us.
            .process_group(0);
        Ok(command)
    }

    fn is_ready(&self, process: &Process) -> bool {
        match self.engine {
            Engine::Postgres(_) => Postgres::is_ready(&self.instance, process.pid()),
            Engine::Redis(_) => Redis::is_ready(self.port, &self.password),
        }
    }

    /// Why the server has ended instead of starting.
    fn ended(&self) -> Result<Launch, Error> {
        if self.log().contains("Address already in use") {
            return Ok(Launch::PortTaken);
        }
        Err(self.start_error())
    }

    fn start_error(&self) -> Error {
        Error::Start {
            which: self.which(),
            log: tail(&self.log()),
        }
    }

    fn log(&self) -> String {
        let bytes = fs::read(self.instance.path("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((process, mut child)) = self.running.take() {
            process.kill();
            drop(child.wait());
        }
    }
}

impl Which {
    /// What to send, and how long to wait for the end, so that nothing acknowledged is lost.
    pub(crate) fn stop_signals(self) -> &'static [(Signal, Duration)] {
        const LIMIT: Duration = Duration::from_secs(30);
        match self {
            Which::Postgres => &[(Signal::INT, LIMIT), (Signal::QUIT, DISCARD_LIMIT)],
            Which::Redis => &[(Signal::TERM, LIMIT)],
        }
    }

    /// The same where the data go with the server. Asked this way, PostgreSQL writes nothing out
    /// and frees its shared memory; Redis has nothing to free and is killed.
    pub(crate) fn discard_signals(self) -> &'static [(Signal, Duration)] {
        match self {
            Which::Postgres => &[(Signal::QUIT, DISCARD_LIMIT)],
            Which::Redis => &[],
        }
    }
}

impl Engine {
    fn which(&self) -> Which {
        match self {
            Engine::Postgres(_) => Which::Postgres,
            Engine::Redis(_) => Which::Redis,
        }
    }

    fn data(&self) -> &DataDir {
        match self {
            Engine::Postgres(it) => it.data(),
            Engine::Redis(it) => it.data(),
        }
    }
}
