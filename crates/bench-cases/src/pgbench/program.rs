//! Where `pgbench` is, and what it is told by variables: a password on a command line is for all to
//! see.

use std::{fs, path::PathBuf, process::Command, sync::OnceLock};

use ruleiq_bench::Fault;
use tokio_postgres::{Config, config::Host};

use crate::postgres::PoolSettings;

/// Its version; `not installed` where it is not.
pub(crate) fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| read_version().unwrap_or_else(|| "not installed".to_owned()))
}

fn read_version() -> Option<String> {
    let output = Command::new(find()?).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    // pgbench (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)
    Some(text.split_whitespace().nth(2)?.to_owned())
}

/// On PATH, or where Debian's packages put it, the newest one first.
pub(super) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|it| {
            let entry = it.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    folders.extend(versions.into_iter().map(|(_, folder)| folder));
    folders
        .into_iter()
        .map(|it| it.join("pgbench"))
        .find(|it| it.is_file())
}

/// The variables by which libpq connects as the pools do.
pub(super) fn connection_variables(
    url: &str,
    settings: &PoolSettings,
) -> Result<Vec<(&'static str, String)>, Fault> {
    let config: Config = url.parse().map_err(Fault::failed)?;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(folder)) => folder.display().to_string(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().unwrap_or(&5432).to_string();
    let timeout = settings.statement_timeout_s;
    let mut variables = vec![
        ("PGHOST", host),
        ("PGPORT", port),
        ("PGAPPNAME", "ruleiq-bench".to_owned()),
        ("PGSSLMODE", "disable".to_owned()),
        ("PGCONNECT_TIMEOUT", "10".to_owned()),
        ("PGOPTIONS", format!("-c statement_timeout={timeout}s")),
    ];
    variables.extend(config.get_user().map(|it| ("PGUSER", it.to_owned())));
    variables.extend(config.get_dbname().map(|it| ("PGDATABASE", it.to_owned())));
    let password = config.get_password().map(String::from_utf8_lossy);
    variables.extend(password.map(|it| ("PGPASSWORD", it.into_owned())));
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libpq_connects_as_the_pools_do_and_the_password_is_no_argument() {
        let settings = PoolSettings::new(1, 1);
        let url = "postgres://u:p%20w@h:7/d?sslmode=disable";
        let variables = connection_variables(url, &settings).unwrap();
        for (name, expect) in [
            ("PGHOST", "h"),
            ("PGPORT", "7"),
            ("PGUSER", "u"),
            ("PGPASSWORD", "p w"),
            ("PGDATABASE", "d"),
            ("PGOPTIONS", "-c statement_timeout=60s"),
        ] {
            let found = variables.iter().find(|(it, _)| *it == name);
            assert_eq!(
                found.map(|(_, value)| value.as_str()),
                Some(expect),
                "{name}"
            );
        }
    }
}
