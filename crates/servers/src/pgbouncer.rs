//! `PgBouncer`: its settings, how it is started, and when it is ready.

use std::{
    io::Write,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{DataDir, Error, install::pgbouncer as find, instance::Instance, postgres::SUPERUSER};

const SETTINGS_FILE: &str = "data/pgbouncer.ini";
const USERS_FILE: &str = "data/users.txt";

/// A pooler in front of the PostgreSQL on a port, and the program to run it with.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    program: PathBuf,
    postgres_port: u16,
    data: DataDir,
}

impl PgBouncer {
    pub(crate) fn find(
        home: &Path,
        postgres_port: u16,
        notices: &mut dyn Write,
    ) -> Result<PgBouncer, Error> {
        Ok(PgBouncer {
            program: find(home, notices)?,
            postgres_port,
            data: DataDir::Temporary,
        })
    }

    pub(crate) fn data(&self) -> &DataDir {
        &self.data
    }

    /// Makes the folder of the settings.
    pub(crate) fn prepare(instance: &Instance) -> Result<(), Error> {
        instance.make_private_folder("data").map(drop)
    }

    /// Writes the settings and the one user that gets in.
    pub(crate) fn configure(
        &self,
        instance: &Instance,
        port: u16,
        password: &str,
    ) -> Result<(), Error> {
        // In plain text: of a hash it could check a client's password, and not log in with it.
        let users = format!("\"{SUPERUSER}\" \"{password}\"\n");
        let users = instance.write_for_server(USERS_FILE, &users)?;
        let settings = settings(self.postgres_port, port, &users);
        instance
            .write_for_server(SETTINGS_FILE, &settings)
            .map(drop)
    }

    /// The command that runs it in the foreground.
    pub(crate) fn server(&self, instance: &Instance) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(instance.path(SETTINGS_FILE));
        command.env("LC_ALL", "C").current_dir(instance.data());
        command
    }

    /// Whether it says in its log that it is up, and listens. Whether PostgreSQL answers is seen
    /// when the first client comes.
    pub(crate) fn is_ready(log: &str, port: u16) -> bool {
        log.contains("process up: ") && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    }
}

/// Without users for its administration, and without `options` among the startup parameters that
/// are ignored: who gives them must hear that they do not reach PostgreSQL. A login that failed is
/// tried again after a second: by default, clients would be refused for 15 s after PostgreSQL is
/// back.
fn settings(postgres_port: u16, port: u16, users: &Path) -> String {
    format!(
        "[databases]\n\
         * = host=127.0.0.1 port={postgres_port}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = scram-sha-256\n\
         auth_file = {}\n\
         pool_mode = transaction\n\
         default_pool_size = 20\n\
         max_client_conn = 500\n\
         ignore_startup_parameters = extra_float_digits\n\
         server_login_retry = 1\n",
        users.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_settled_by_the_driver_is_ignored() {
        let text = settings(15000, 15001, Path::new("/data/users.txt"));
        assert!(text.contains("* = host=127.0.0.1 port=15000\n"));
        assert!(text.contains("listen_port = 15001\n"));
        assert!(text.contains("ignore_startup_parameters = extra_float_digits\n"));
        assert!(!text.contains("admin_users"));
    }
}
