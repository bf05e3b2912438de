//! PostgreSQL: how its data are made, how it is started, and when it is ready.

use std::{env, fs, path::Path, process::Command, time::Duration};

use crate::{
    DataDir, Error, PostgresSpec, Which,
    install::postgres as find,
    instance::{self, Instance, UNFINISHED},
    programs::PostgresPrograms,
    run::{Finished, run},
};

const INITDB_LIMIT: Duration = Duration::from_secs(120);
/// Data that were kept may be some GB.
const COPY_LIMIT: Duration = Duration::from_secs(600);
/// How a standby logs in to its primary. Its settings name this file and hold no password.
const PASSWORDS_FILE: &str = "primary-password";
/// A name on which every tool agrees.
pub(crate) const SUPERUSER: &str = "postgres";

/// The settings of every instance. Sockets are off: the port is the only way in, and it asks for
/// the password.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("shared_preload_libraries", "pg_stat_statements"),
    ("pg_stat_statements.track", "top"),
    ("pg_stat_statements.max", "10000"),
    ("track_io_timing", "on"),
    // Tests run side by side, each with pools of its own.
    ("max_connections", "300"),
    ("shared_buffers", "128MB"),
    ("huge_pages", "off"),
    ("logging_collector", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    // In the data folder, where the next start finds it and a removal takes it along, instead of in
    // a place for all where a kill leaves it, and which a container may lack.
    ("dynamic_shared_memory_type", "mmap"),
];
/// A server that is killed may lose the commits of its last second by these; when the machine loses
/// power, all data may be unreadable.
const FAST: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
];

/// One instance that is wanted, and the programs to run it with.
#[derive(Debug)]
pub(crate) struct Postgres {
    programs: PostgresPrograms,
    spec: PostgresSpec,
    role: Role,
}

/// Where the data of an instance come from.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// It is the first to have them.
    Primary,
    /// From the server on the port, which it follows.
    Standby { of: u16 },
}

impl Postgres {
    pub(crate) fn find(
        home: &Path,
        spec: PostgresSpec,
        notices: &mut dyn std::io::Write,
    ) -> Result<Postgres, Error> {
        let data = match &spec.data {
            DataDir::Temporary => None,
            DataDir::Kept(folder) => Some(instance::data(&instance::resolve(folder))),
        };
        let made_by = data.as_deref().and_then(|data| {
            let version = fs::read_to_string(data.join("PG_VERSION")).ok()?;
            Some((data, version.trim().parse().ok()?))
        });
        let programs = find(home, made_by, notices)?;
        Ok(Postgres {
            programs,
            spec,
            role: Role::Primary,
        })
    }

    /// A standby of the server on a port.
    pub(crate) fn find_standby(
        home: &Path,
        spec: PostgresSpec,
        of: u16,
        notices: &mut dyn std::io::Write,
    ) -> Result<Postgres, Error> {
        let primary = Postgres::find(home, spec, notices)?;
        Ok(Postgres {
            role: Role::Standby { of },
            ..primary
        })
    }

    pub(crate) fn which(&self) -> Which {
        match self.role {
            Role::Primary => Which::Postgres,
            Role::Standby { .. } => Which::PostgresStandby,
        }
    }

    pub(crate) fn data(&self) -> &DataDir {
        &self.spec.data
    }

    /// Makes the data, or copies those of the primary, if there are none.
    pub(crate) fn prepare(&self, instance: &Instance, password: &str) -> Result<(), Error> {
        let data = instance.data();
        if data.exists() {
            return Ok(());
        }
        let unfinished = instance.path(UNFINISHED);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(Error::io("remove", &unfinished))?;
        }
        instance.make_private_folder(UNFINISHED)?;
        let finished = match self.role {
            Role::Primary => self.init(instance, &unfinished, password),
            Role::Standby { of } => self.copy(instance, &unfinished, password, of),
        }?;
        if !finished.is_success {
            return Err(Error::Start {
                which: self.which(),
                log: finished.tail(),
            });
        }
        fs::rename(&unfinished, &data).map_err(Error::io("move", &unfinished))
    }

    /// Makes data of its own in a folder.
    fn init(&self, instance: &Instance, folder: &Path, password: &str) -> Result<Finished, Error> {
        let password_file = instance.write_for_server("initial-password", password)?;
        let mut command = command(&self.programs.initdb(), folder);
        command
            .args(["--username", SUPERUSER, "--auth", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--no-locale"])
            .arg("--pwfile")
            .arg(&password_file)
            .arg("--pgdata")
            .arg(folder);
        let finished = self.run(command, instance, "making a database cluster", INITDB_LIMIT)?;
        fs::remove_file(&password_file).map_err(Error::io("remove", &password_file))?;
        Ok(finished)
    }

    /// Copies the data of a server that runs, with the settings by which the copy follows it.
    fn copy(
        &self,
        instance: &Instance,
        folder: &Path,
        password: &str,
        of: u16,
    ) -> Result<Finished, Error> {
        let line = format!("127.0.0.1:{of}:*:{SUPERUSER}:{password}\n");
        let passwords = instance.write_for_server(PASSWORDS_FILE, &line)?;
        let mut command = command(&self.programs.pg_basebackup(), folder);
        command
            .args(["--host", "127.0.0.1", "--port", &of.to_string()])
            .args(["--username", SUPERUSER, "--no-password"])
            .args(["--checkpoint=fast", "--wal-method=stream"])
            .args(["--write-recovery-conf", "--pgdata"])
            .arg(folder)
            .env("PGPASSFILE", &passwords);
        self.run(command, instance, "copying a database cluster", COPY_LIMIT)
    }

    fn run(
        &self,
        mut command: Command,
        instance: &Instance,
        step: &'static str,
        limit: Duration,
    ) -> Result<Finished, Error> {
        if !self.spec.durable {
            command.arg("--no-sync");
        }
        instance.account().apply(&mut command);
        run(&mut command, step, limit)
    }

    /// The command that runs the server in the foreground.
    pub(crate) fn server(&self, instance: &Instance, port: u16) -> Command {
        let data = instance.data();
        let mut command = command(&self.programs.postgres(), &data);
        command.arg("-D").arg(&data);
        command.args(["-c", &format!("port={port}")]);
        let fast = if self.spec.durable { &[] } else { FAST };
        for (name, value) in SETTINGS.iter().chain(fast) {
            command.args(["-c", &format!("{name}={value}")]);
        }
        for (name, value) in &self.spec.settings {
            command.args(["-c", &format!("{name}={value}")]);
        }
        command
    }

    /// Whether the process `pid` says in its data folder that it takes connections.
    pub(crate) fn is_ready(instance: &Instance, pid: u32) -> bool {
        fs::read_to_string(instance.data().join("postmaster.pid"))
            .is_ok_and(|text| says_ready(&text, pid))
    }

    pub(crate) fn url(password: &str, port: u16) -> String {
        format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/postgres")
    }
}

/// A program without the settings of whoever calls us: `PGPORT` and its like would win over the
/// files.
fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C").current_dir(folder);
    command
}

/// `postmaster.pid` has the process id in its first line and the state in its eighth.
fn says_ready(text: &str, pid: u32) -> bool {
    let mut lines = text.lines();
    lines.next().is_some_and(|line| line.parse() == Ok(pid))
        && lines.nth(6).is_some_and(|state| state.trim() == "ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID_FILE: &str =
        "9255\n/data\n1795611485\n54329\n\n127.0.0.1\n 10010949         4\nready   \n";

    #[test]
    fn a_server_is_ready_when_it_says_so_itself() {
        assert!(says_ready(PID_FILE, 9255));
        assert!(!says_ready(PID_FILE, 1));
        assert!(!says_ready(&PID_FILE.replace("ready", "starting"), 9255));
        assert!(!says_ready("9255\n/data\n", 9255));
    }
}
