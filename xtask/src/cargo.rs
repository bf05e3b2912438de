//! Cargo, as if a person had typed it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Variables by which `cargo run` describes xtask's own package to xtask.
const DESCRIBES_US: &[&str] = &[
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
    "OUT_DIR",
];
const DESCRIBES_US_PREFIXES: &[&str] = &["CARGO_MANIFEST_", "CARGO_PKG_"];

/// The root of the repository: the folder in which xtask's own stands.
pub(crate) fn root() -> PathBuf {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir
        .parent()
        .expect("xtask is a folder of the repository")
        .to_path_buf()
}

/// Cargo, in the root of the repository.
///
/// What describes xtask is not handed on: it would make build scripts that look at such variables
/// run again, and everything behind them compile again, at each turn between `cargo build` and
/// `cargo xtask`.
pub(crate) fn command() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(describes_us) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether cargo has this subcommand.
pub(crate) fn has(subcommand: &str) -> bool {
    command()
        .args([subcommand, "--version"])
        .output()
        .is_ok_and(|it| it.status.success())
}

fn describes_us(variable: &str) -> bool {
    DESCRIBES_US.contains(&variable)
        || DESCRIBES_US_PREFIXES
            .iter()
            .any(|it| variable.starts_with(it))
}
