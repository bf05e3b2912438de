//! Finds the servers' programs: on PATH, then where the packages of Debian, Fedora and Homebrew
//! put them.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{Error, run::run};

/// Older ones lack settings that we give.
const OLDEST_POSTGRES: u32 = 14;

/// The programs of one version of PostgreSQL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PostgresPrograms {
    /// The folder with `initdb` and `postgres`.
    pub(crate) folder: PathBuf,
    /// The major version.
    pub(crate) version: u32,
}

impl PostgresPrograms {
    /// All versions on this machine, the preferred one first.
    pub(crate) fn find() -> Vec<PostgresPrograms> {
        let mut folders = path();
        // Debian; the PostgreSQL project's packages for Fedora; Homebrew on either processor.
        folders.extend(versions("/usr/lib/postgresql", "", "bin"));
        folders.extend(versions("/usr", "pgsql-", "bin"));
        folders.push("/usr/bin".into());
        folders.extend(versions("/opt/homebrew/opt", "postgresql@", "bin"));
        folders.extend(versions("/usr/local/opt", "postgresql@", "bin"));
        PostgresPrograms::find_in(&folders)
    }

    fn find_in(folders: &[PathBuf]) -> Vec<PostgresPrograms> {
        let mut found: Vec<PostgresPrograms> = Vec::new();
        for folder in folders {
            // What is on PATH is often a link into the folder that holds the rest.
            let Ok(postgres) = folder.join("postgres").canonicalize() else {
                continue;
            };
            let Some(folder) = postgres.parent().map(Path::to_owned) else {
                continue;
            };
            let is_known = found.iter().any(|it| it.folder == folder);
            if is_known || !is_program(&postgres) || !is_program(&folder.join("initdb")) {
                continue;
            }
            let version = version(&postgres).filter(|it| *it >= OLDEST_POSTGRES);
            found.extend(version.map(|version| PostgresPrograms { folder, version }));
        }
        found
    }

    pub(crate) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    /// Comes with the client's programs, which those of the server need.
    pub(crate) fn pg_basebackup(&self) -> PathBuf {
        self.folder.join("pg_basebackup")
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    /// Whether an extension is installed, as far as its control file can be found.
    pub(crate) fn has_extension(&self, name: &str) -> bool {
        let version = self.version;
        let prefix = self.folder.parent().unwrap_or(&self.folder);
        let control = format!("extension/{name}.control");
        [
            PathBuf::from(format!("/usr/share/postgresql/{version}")),
            prefix.join("share"),
            prefix.join("share/postgresql"),
            prefix.join("share/pgsql"),
            prefix.join(format!("share/postgresql@{version}")),
        ]
        .iter()
        .any(|share| share.join(&control).exists())
    }
}

/// PostgreSQL's client `psql`: that of the version whose server is run by preference, else the one
/// on PATH.
///
/// # Errors
///
/// [`Error::NoClient`] when there is none.
pub fn psql() -> Result<PathBuf, Error> {
    let beside_servers = PostgresPrograms::find()
        .into_iter()
        .map(|programs| programs.folder);
    psql_in(beside_servers.chain(path())).ok_or(Error::NoClient)
}

fn psql_in(mut folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    folders.find_map(|folder| Some(folder.join("psql")).filter(|it| is_program(it)))
}

/// The server program of Redis, or of Valkey, which is Redis by another name.
pub(crate) fn find_redis() -> Option<PathBuf> {
    ["redis-server", "valkey-server"]
        .iter()
        .find_map(|name| find(name, "redis"))
}

/// The program of `PgBouncer`.
pub(crate) fn find_pgbouncer() -> Option<PathBuf> {
    find("pgbouncer", "pgbouncer")
}

/// A program by its name; `formula` is that of its package with Homebrew.
fn find(name: &str, formula: &str) -> Option<PathBuf> {
    let mut folders = path();
    folders.extend(
        [
            "/usr/bin",
            "/usr/sbin",
            "/usr/local/bin",
            "/opt/homebrew/bin",
        ]
        .map(PathBuf::from),
    );
    folders.push(format!("/opt/homebrew/opt/{formula}/bin").into());
    folders.push(format!("/usr/local/opt/{formula}/bin").into());
    folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|program| is_program(program))
}

/// Whether a program of this name is on PATH.
pub(crate) fn is_on_path(name: &str) -> bool {
    path().iter().any(|folder| is_program(&folder.join(name)))
}

fn path() -> Vec<PathBuf> {
    env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default()
}

/// The folders `parent/prefixNN/child`, the highest number first.
fn versions(parent: &str, prefix: &str, child: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.strip_prefix(prefix)?.parse();
            Some((number.ok()?, entry.path().join(child)))
        })
        .collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// The major version; none of a program that does not answer as PostgreSQL does.
fn version(postgres: &Path) -> Option<u32> {
    let mut command = Command::new(postgres);
    command.arg("--version").env("LC_ALL", "C");
    let limit = Duration::from_secs(20);
    let finished: Result<_, Error> = run(&mut command, "asking PostgreSQL for its version", limit);
    parse_version(&finished.ok()?.output)
}

/// `postgres (PostgreSQL) 15.14 (Debian …)`, `postgres (PostgreSQL) 18beta1`.
fn parse_version(line: &str) -> Option<u32> {
    let (_, version) = line.split_once("(PostgreSQL) ")?;
    let end = version
        .find(|it: char| !it.is_ascii_digit())
        .unwrap_or(version.len());
    version[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn versions_are_read_from_what_the_program_says() {
        let check = |line, expect| assert_eq!(parse_version(line), expect, "{line}");
        check(
            "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n",
            Some(15),
        );
        check("postgres (PostgreSQL) 18beta1", Some(18));
        check("postgres (PostgreSQL) 9.6", Some(9));
        check("postgres (EnterpriseDB) 12", None);
        check("", None);
    }

    #[test]
    fn a_link_leads_to_the_folder_with_all_programs() {
        let folder = env::temp_dir().join(format!("ruleiq-programs-{}", std::process::id()));
        let real = folder.join("lib/16/bin");
        let old = folder.join("lib/9/bin");
        let links = folder.join("bin");
        for it in [&real, &old, &links] {
            fs::create_dir_all(it).unwrap();
        }
        for (bin, version) in [(&real, "16.1"), (&old, "9.6")] {
            for name in ["postgres", "initdb"] {
                // By another process: a file that this one had open for writing might still be
                // open in a child of another test, and could not be run.
                let script = "printf '#!/bin/sh\necho \"postgres (PostgreSQL) %s\"' \"$1\" >\"$0\" \
                              && chmod +x \"$0\"";
                let mut writer = Command::new("sh");
                writer.args(["-c", script]).arg(bin.join(name)).arg(version);
                assert!(writer.status().unwrap().success());
            }
        }
        symlink(real.join("postgres"), links.join("postgres")).unwrap();

        let found = PostgresPrograms::find_in(&[links, old, real.clone(), folder.join("none")]);
        let real = real.canonicalize().unwrap();
        fs::remove_dir_all(&folder).unwrap();

        let expect = PostgresPrograms {
            folder: real,
            version: 16,
        };
        assert_eq!(found, [expect]);
    }

    #[test]
    fn a_folder_without_psql_is_passed_over() {
        assert_eq!(psql_in(["/dev".into()].into_iter()), None);
        let folder = env::temp_dir().join(format!("ruleiq-psql-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        symlink("/bin/sh", folder.join("psql")).unwrap();
        let found = psql_in(["/dev".into(), folder.clone()].into_iter());
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, Some(folder.join("psql")));
    }

    #[test]
    fn the_newest_version_comes_first() {
        let folder = env::temp_dir().join(format!("ruleiq-versions-{}", std::process::id()));
        for name in ["pg-9", "pg-17", "pg-16", "pg-old", "other"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let found = versions(folder.to_str().unwrap(), "pg-", "bin");
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            found,
            ["pg-17/bin", "pg-16/bin", "pg-9/bin"].map(|it| folder.join(it))
        );
    }
}
