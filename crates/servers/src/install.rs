//! Installs what is missing with the system's package manager, where that needs no questions.

use std::{
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    Error, Which,
    account::make_folder,
    process::wait_until,
    programs::{PostgresPrograms, find_pgbouncer, find_redis, is_on_path},
    run::run,
    which::Product,
};

const LIMIT: Duration = Duration::from_secs(900);

/// PostgreSQL's programs; of the version that made the data, if there are any.
pub(crate) fn postgres(
    home: &Path,
    data: Option<(&Path, u32)>,
    notices: &mut dyn Write,
) -> Result<PostgresPrograms, Error> {
    let mut found = PostgresPrograms::find();
    let mut install = None;
    if found.is_empty() {
        let _lock = lock(home)?;
        // Somebody may have installed it while this one waited.
        found = PostgresPrograms::find();
        if found.is_empty() {
            install = packages(Which::Postgres)
                .and_then(|(manager, packages)| manager.install(packages, notices).err());
            found = PostgresPrograms::find();
        }
    }
    let Some(first) = found.first() else {
        let which = Which::Postgres;
        return Err(Error::Missing { which, install });
    };
    let chosen = match data {
        None => first.clone(),
        Some((folder, made_by)) => found
            .iter()
            .find(|it| it.version == made_by)
            .ok_or_else(|| Error::OtherVersion {
                folder: folder.to_owned(),
                made_by,
                found: found.iter().map(|it| it.version).collect(),
            })?
            .clone(),
    };
    hypopg(home, &chosen, notices)?;
    Ok(chosen)
}

/// Redis's server program.
pub(crate) fn redis(home: &Path, notices: &mut dyn Write) -> Result<PathBuf, Error> {
    program(home, Which::Redis, find_redis, notices)
}

/// The program of `PgBouncer`.
pub(crate) fn pgbouncer(home: &Path, notices: &mut dyn Write) -> Result<PathBuf, Error> {
    program(home, Which::PgBouncer, find_pgbouncer, notices)
}

fn program(
    home: &Path,
    which: Which,
    find: fn() -> Option<PathBuf>,
    notices: &mut dyn Write,
) -> Result<PathBuf, Error> {
    if let Some(program) = find() {
        return Ok(program);
    }
    let _lock = lock(home)?;
    if let Some(program) = find() {
        return Ok(program);
    }
    let install =
        packages(which).and_then(|(manager, packages)| manager.install(packages, notices).err());
    find().ok_or(Error::Missing { which, install })
}

/// Adds `HypoPG` where a package of it fits. It is not essential: what went wrong is told once and
/// not tried again.
fn hypopg(home: &Path, programs: &PostgresPrograms, notices: &mut dyn Write) -> Result<(), Error> {
    let Some(package) = hypopg_package(programs) else {
        return Ok(());
    };
    let Some(manager) = Manager::find() else {
        return Ok(());
    };
    let tried = home.join(format!("tried-{package}"));
    let is_settled = || programs.has_extension("hypopg") || tried.exists();
    if is_settled() {
        return Ok(());
    }
    let _lock = lock(home)?;
    if is_settled() {
        return Ok(());
    }
    if let Err(reason) = manager.install(&[&package], notices) {
        tell(notices, &format!("going on without HypoPG: {reason}"));
        fs::write(&tried, reason).map_err(Error::io("write", &tried))?;
    }
    Ok(())
}

fn hypopg_package(programs: &PostgresPrograms) -> Option<String> {
    let version = programs.version;
    if programs.folder.starts_with("/usr/lib/postgresql") {
        Some(format!("postgresql-{version}-hypopg"))
    } else if programs.folder.starts_with(format!("/usr/pgsql-{version}")) {
        Some(format!("hypopg_{version}"))
    } else {
        None
    }
}

/// The packages of a server, if they can be installed without asking.
fn packages(which: Which) -> Option<(Manager, &'static [&'static str])> {
    let manager = Manager::find()?;
    let packages: &[&str] = match (manager.family, which.product()) {
        (Family::Debian, Product::Postgres) => &["postgresql"],
        (Family::Debian, Product::Redis) => &["redis-server"],
        (Family::Fedora, Product::Postgres) => &["postgresql-server", "postgresql-contrib"],
        (Family::Fedora, Product::Redis) => &["valkey"],
        (_, Product::PgBouncer) => &["pgbouncer"],
    };
    Some((manager, packages))
}

/// The package manager together with the right to use it.
#[derive(Clone, Copy, Debug)]
struct Manager {
    family: Family,
    needs_sudo: bool,
}

#[derive(Clone, Copy, Debug)]
enum Family {
    Debian,
    Fedora,
}

impl Manager {
    fn find() -> Option<Manager> {
        let family = if is_on_path("apt-get") {
            Family::Debian
        } else if is_on_path("dnf") {
            Family::Fedora
        } else {
            return None;
        };
        let needs_sudo = !rustix::process::geteuid().is_root();
        (!needs_sudo || sudo_asks_nothing()).then_some(Manager { family, needs_sudo })
    }

    fn install(self, packages: &[&str], notices: &mut dyn Write) -> Result<(), String> {
        match self.family {
            Family::Debian => {
                // Nothing of what is there may go to make room.
                let mut words = vec!["install", "--yes", "--no-install-recommends"];
                words.push("--no-remove");
                words.extend(["-o", "DPkg::Lock::Timeout=300"]);
                words.extend(packages);
                self.run("apt-get", &words, notices).or_else(|_| {
                    // The lists of packages may be missing or name versions that are gone.
                    self.run("apt-get", &["update"], notices)?;
                    self.run("apt-get", &words, notices)
                })
            }
            Family::Fedora => {
                let mut words = vec!["install", "--assumeyes", "--setopt=install_weak_deps=False"];
                words.extend(packages);
                self.run("dnf", &words, notices)
            }
        }
    }

    fn run(self, program: &str, words: &[&str], notices: &mut dyn Write) -> Result<(), String> {
        // sudo hands no environment on, hence `env`. Ubuntu's needrestart would otherwise restart
        // services that use a library which came along.
        let frontend = [
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "NEEDRESTART_MODE=l",
            program,
        ];
        let sudo: &[&str] = if self.needs_sudo {
            &["sudo", "-n"]
        } else {
            &[]
        };
        let line: Vec<&str> = [sudo, &frontend, words].concat();
        tell(notices, &format!("running `{}`", line.join(" ")));
        let mut command = Command::new(line[0]);
        command.args(&line[1..]);
        let finished = run(&mut command, "installing packages", LIMIT).map_err(|it| it.chain())?;
        if finished.is_success {
            Ok(())
        } else {
            Err(finished.tail())
        }
    }
}

fn sudo_asks_nothing() -> bool {
    is_on_path("sudo")
        && run(
            Command::new("sudo").args(["-n", "true"]),
            "asking for rights",
            Duration::from_secs(20),
        )
        .is_ok_and(|finished| finished.is_success)
}

/// One installation at a time.
fn lock(home: &Path) -> Result<File, Error> {
    make_folder(home)?;
    let path = home.join("install.lock");
    let file = File::create(&path).map_err(Error::io("make", &path))?;
    let is_ours = wait_until(LIMIT, || {
        !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    });
    if is_ours {
        Ok(file)
    } else {
        let step = "waiting for another installation";
        Err(Error::TimedOut { step, after: LIMIT })
    }
}

/// A notice that cannot be written is not worth failing for.
fn tell(notices: &mut dyn Write, text: &str) {
    drop(writeln!(notices, "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hypopg_is_wanted_only_where_a_package_fits() {
        let check = |folder: &str, expect: Option<&str>| {
            let folder = folder.into();
            let programs = PostgresPrograms {
                folder,
                version: 16,
            };
            assert_eq!(hypopg_package(&programs).as_deref(), expect);
        };
        check("/usr/lib/postgresql/16/bin", Some("postgresql-16-hypopg"));
        check("/usr/pgsql-16/bin", Some("hypopg_16"));
        check("/usr/bin", None);
        check("/opt/homebrew/opt/postgresql@16/bin", None);
    }
}
