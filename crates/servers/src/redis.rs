//! Redis in each of its parts: how it is started, and when it is ready.

mod connection;
mod settings;

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

pub(crate) use self::{connection::Connection, settings::MASTER_NAME};
use crate::{DataDir, Error, RedisSpec, Which, install::redis as find, instance::Instance, port};

/// In the folder that the server's user may write: a sentinel notes there what it has learnt, and a
/// server what a sentinel has made of it.
const SETTINGS_FILE: &str = "data/redis.conf";
const PING_LIMIT: Duration = Duration::from_millis(500);

/// One instance that is wanted, and the program to run it with.
#[derive(Debug)]
pub(crate) struct Redis {
    program: PathBuf,
    role: Role,
    spec: RedisSpec,
}

/// What an instance is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// A server by itself, or the first primary of others.
    Primary,
    /// Replicates the server on the port.
    Replica { of: u16 },
    /// Watches the primary on the port.
    Sentinel { number: u8, of: u16 },
    /// Becomes part of a cluster.
    ClusterNode { number: u8 },
}

impl Redis {
    pub(crate) fn find(
        home: &Path,
        role: Role,
        spec: RedisSpec,
        notices: &mut dyn io::Write,
    ) -> Result<Redis, Error> {
        let program = find(home, notices)?;
        Ok(Redis {
            program,
            role,
            spec,
        })
    }

    pub(crate) fn which(&self) -> Which {
        match self.role {
            Role::Primary => Which::Redis,
            Role::Replica { .. } => Which::RedisReplica,
            Role::Sentinel { number, .. } => Which::Sentinel(number),
            Role::ClusterNode { number } => Which::ClusterNode(number),
        }
    }

    pub(crate) fn data(&self) -> &DataDir {
        &self.spec.data
    }

    /// Makes the folder of the data.
    pub(crate) fn prepare(instance: &Instance) -> Result<(), Error> {
        instance.make_private_folder("data").map(drop)
    }

    /// Writes the settings. The password goes by a file: command lines are for all to see.
    pub(crate) fn configure(
        &self,
        instance: &Instance,
        port: u16,
        password: &str,
    ) -> Result<(), Error> {
        let data = instance.data();
        let text = match self.role {
            Role::Sentinel { of, .. } => settings::sentinel(&data, port, password, of),
            Role::Primary => settings::server(&self.spec, &data, port, password, ""),
            Role::Replica { of } => {
                let more = settings::replica(of);
                settings::server(&self.spec, &data, port, password, &more)
            }
            Role::ClusterNode { .. } => {
                let more = settings::cluster_node(port::free()?);
                settings::server(&self.spec, &data, port, password, &more)
            }
        };
        instance.write_for_server(SETTINGS_FILE, &text).map(drop)
    }

    /// The command that runs the server in the foreground, with the settings that are there.
    pub(crate) fn server(&self, instance: &Instance) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(instance.path(SETTINGS_FILE));
        if let Role::Sentinel { .. } = self.role {
            command.arg("--sentinel");
        }
        command.env("LC_ALL", "C").current_dir(instance.data());
        command
    }

    /// Whether a server on the port takes our password and answers.
    pub(crate) fn is_ready(port: u16, password: &str) -> bool {
        Connection::open(port, password, PING_LIMIT)
            .and_then(|mut connection| connection.ask("PING"))
            .is_ok_and(|answer| answer == "PONG")
    }

    pub(crate) fn url(password: &str, port: u16) -> String {
        format!("redis://:{password}@127.0.0.1:{port}")
    }
}
