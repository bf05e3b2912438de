//! One server from its start to its end.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    DataDir, Error, PostgresSpec, RedisSpec, Which,
    instance::Instance,
    pgbouncer::PgBouncer,
    port,
    postgres::Postgres,
    process::{Process, wait_until},
    redis::{Connection, Redis, Role},
    run::tail,
    which::Product,
};

/// Recovery of kept data included.
const START_LIMIT: Duration = Duration::from_secs(120);
const DISCARD_LIMIT: Duration = Duration::from_secs(10);
/// Saving on a busy disk included.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);
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

/// What is to run, and with which programs.
#[derive(Debug)]
pub(crate) enum Engine {
    Postgres(Postgres),
    PgBouncer(PgBouncer),
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
        Server::start(home, Engine::Postgres(engine), None)
    }

    /// Finds Redis and starts it.
    pub(crate) fn redis(
        home: &Path,
        spec: &RedisSpec,
        notices: &mut dyn Write,
    ) -> Result<Server, Error> {
        let engine = Redis::find(home, Role::Primary, spec.clone(), notices)?;
        Server::start(home, Engine::Redis(engine), None)
    }

    /// Starts what was found, with a password of its own or that of the server it belongs to.
    pub(crate) fn start(
        home: &Path,
        engine: Engine,
        password: Option<&str>,
    ) -> Result<Server, Error> {
        let instance = Instance::open(home, engine.which(), engine.data())?;
        let password = match password {
            Some(password) => password.to_owned(),
            None => instance.password()?,
        };
        let port = instance.port();
        let mut server = Server {
            engine,
            instance,
            password,
            port: 0,
            running: None,
        };
        server.prepare()?;
        for attempt in 0..PORT_TRIES {
            // Bookmarks and open tools go on working when kept data keep their port.
            server.port = match port {
                Some(port) if attempt == 0 => port,
                _ => port::free()?,
            };
            server.configure()?;
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

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    pub(crate) fn url(&self) -> String {
        self.which().product().url(&self.password, self.port)
    }

    /// Logs in, where it is a Redis.
    pub(crate) fn connect(&self) -> io::Result<Connection> {
        Connection::open(self.port, &self.password, COMMAND_LIMIT)
    }

    /// Starts the server again, on its port and with the settings that it has by now.
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

    fn prepare(&self) -> Result<(), Error> {
        match &self.engine {
            Engine::Postgres(it) => it.prepare(&self.instance, &self.password),
            Engine::PgBouncer(_) => PgBouncer::prepare(&self.instance),
            Engine::Redis(_) => Redis::prepare(&self.instance),
        }
    }

    fn configure(&self) -> Result<(), Error> {
        match &self.engine {
            // All that it needs stands on its command line.
            Engine::Postgres(_) => Ok(()),
            Engine::PgBouncer(it) => it.configure(&self.instance, self.port, &self.password),
            Engine::Redis(it) => it.configure(&self.instance, self.port, &self.password),
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
            Engine::PgBouncer(it) => it.server(&self.instance),
            Engine::Redis(it) => it.server(&self.instance),
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
            Engine::PgBouncer(_) => PgBouncer::is_ready(&self.log(), self.port),
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
        match self.product() {
            Product::Postgres => &[(Signal::INT, LIMIT), (Signal::QUIT, DISCARD_LIMIT)],
            // From 1.23 on, it lets its clients finish and may wait for them for ever.
            Product::PgBouncer => &[(Signal::TERM, DISCARD_LIMIT)],
            Product::Redis => &[(Signal::TERM, LIMIT)],
        }
    }

    /// The same where the data go with the server. Asked this way, PostgreSQL writes nothing out
    /// and frees its shared memory; the others have nothing to free and are killed.
    pub(crate) fn discard_signals(self) -> &'static [(Signal, Duration)] {
        match self.product() {
            Product::Postgres => &[(Signal::QUIT, DISCARD_LIMIT)],
            Product::PgBouncer | Product::Redis => &[],
        }
    }
}

impl Product {
    /// The address of one whose port and password are these. `PgBouncer` is to clients what
    /// PostgreSQL is.
    pub(crate) fn url(self, password: &str, port: u16) -> String {
        match self {
            Product::Postgres | Product::PgBouncer => Postgres::url(password, port),
            Product::Redis => Redis::url(password, port),
        }
    }
}

impl Engine {
    fn which(&self) -> Which {
        match self {
            Engine::Postgres(it) => it.which(),
            Engine::PgBouncer(_) => Which::PgBouncer,
            Engine::Redis(it) => it.which(),
        }
    }

    fn data(&self) -> &DataDir {
        match self {
            Engine::Postgres(it) => it.data(),
            Engine::PgBouncer(it) => it.data(),
            Engine::Redis(it) => it.data(),
        }
    }
}
