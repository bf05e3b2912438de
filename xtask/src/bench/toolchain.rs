//! What the measured programs are built with. Two runs that differ in it do not compare.

use std::{env, fs, process::Command};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use toml::Table;

use crate::cargo;

/// What is said where no flag names a processor.
const BASELINE_CPU: &str = "generic";

/// The compiler and how it is told to optimize.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Toolchain {
    rustc: String,
    lto: String,
    target_cpu: String,
    /// What the environment changes of it, as `NAME=value`.
    changed: Vec<String>,
}

/// Variables by which cargo is told how to build, beside those of its profiles.
const FLAGS: &[&str] = &[
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
];

impl Toolchain {
    /// Asks the compiler, the root manifest and the environment.
    pub(super) fn find() -> anyhow::Result<Toolchain> {
        let read = |name: &str| -> anyhow::Result<Table> {
            let path = cargo::root().join(name);
            let text = fs::read_to_string(&path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            text.parse()
                .with_context(|| format!("failed to read {}", path.display()))
        };
        let variable = |name: &str| env::var(name).ok();
        Ok(Toolchain {
            rustc: rustc()?,
            lto: lto(variable("CARGO_PROFILE_RELEASE_LTO"), &read("Cargo.toml")?),
            target_cpu: target_cpu(
                variable("CARGO_ENCODED_RUSTFLAGS")
                    .map(|it| it.replace('\u{1f}', " "))
                    .or_else(|| variable("RUSTFLAGS"))
                    .or_else(|| variable("CARGO_BUILD_RUSTFLAGS")),
                &read(".cargo/config.toml")?,
            ),
            changed: changed(env::vars_os().filter_map(|(name, value)| {
                Some((
                    name.into_string().ok()?,
                    value.to_string_lossy().into_owned(),
                ))
            })),
        })
    }

    /// As it stands in a report.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "rustc": self.rustc,
            "profile": match self.changed.is_empty() {
                true => "release".to_owned(),
                false => format!("release, changed by {}", self.changed.join(", ")),
            },
            "lto": self.lto,
            "debug_assertions": false,
            "target_cpu": self.target_cpu,
            "allocator": "system",
        })
    }
}

/// The version and the commit of the compiler that cargo uses.
fn rustc() -> anyhow::Result<String> {
    let output = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("--version")
        .current_dir(cargo::root())
        .output()
        .context("failed to run rustc")?;
    ensure!(output.status.success(), "rustc does not say its version");
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.trim().trim_start_matches("rustc ").to_owned())
}

/// What the environment tells cargo to build otherwise than the files of the repository say.
fn changed(variables: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let tells = |name: &str| {
        FLAGS.contains(&name)
            || name.starts_with("CARGO_PROFILE_RELEASE_")
            || (name.starts_with("CARGO_TARGET_") && name.ends_with("_RUSTFLAGS"))
            || matches!(name, "RUSTC_WRAPPER" | "RUSTC_WORKSPACE_WRAPPER")
    };
    let mut changed: Vec<String> = variables
        .filter(|(name, value)| tells(name) && !value.is_empty())
        .map(|(name, value)| format!("{name}={}", value.replace('\u{1f}', " ")))
        .collect();
    changed.sort();
    changed
}

/// Link-time optimization by cargo's names. Without a word about it, or with `false`, it is done
/// within each crate (Cargo Book, Profiles, `lto`).
fn lto(variable: Option<String>, manifest: &Table) -> String {
    let word = variable.or_else(|| {
        let value = manifest.get("profile")?.get("release")?.get("lto")?;
        let word = value.as_str().map(str::to_owned);
        word.or_else(|| value.as_bool().map(|it| it.to_string()))
    });
    match word.as_deref() {
        None | Some("false") => "thin-local".to_owned(),
        Some("true") => "fat".to_owned(),
        Some(word) => word.to_owned(),
    }
}

/// The processor of the last `target-cpu=`. The variable stands in for the file, as with cargo.
fn target_cpu(flags: Option<String>, config: &Table) -> String {
    let configured = || {
        let flags = config.get("build")?.get("rustflags")?;
        let words = flags.as_array()?.iter().filter_map(toml::Value::as_str);
        Some(words.collect::<Vec<_>>().join(" "))
    };
    let flags = flags.or_else(configured).unwrap_or_default();
    let cpu = flags.rsplit_once("target-cpu=").map(|(_, rest)| rest);
    let cpu = cpu.and_then(|it| it.split_whitespace().next());
    cpu.unwrap_or(BASELINE_CPU).to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn optimization_is_called_by_cargo_s_names() {
        let check = |variable: Option<&str>, manifest: &str, expect: &str| {
            let found = lto(variable.map(str::to_owned), &manifest.parse().unwrap());
            assert_eq!(found, expect, "{variable:?} {manifest}");
        };
        check(None, "", "thin-local");
        check(None, "[profile.release]\nlto = false", "thin-local");
        check(None, "[profile.release]\nlto = true", "fat");
        check(None, "[profile.release]\nlto = 'thin'", "thin");
        check(Some("off"), "[profile.release]\nlto = 'thin'", "off");
    }

    #[test]
    fn the_last_word_about_the_processor_counts() {
        let check = |flags: Option<&str>, config: &str, expect: &str| {
            let found = target_cpu(flags.map(str::to_owned), &config.parse().unwrap());
            assert_eq!(found, expect, "{flags:?} {config}");
        };
        let configured = "[build]\nrustflags = ['-C', 'target-cpu=x86-64-v3']";
        check(None, "", "generic");
        check(None, configured, "x86-64-v3");
        check(Some("-D warnings"), configured, "generic");
        check(
            Some("-Ctarget-cpu=x86-64-v2 -Ctarget-cpu=native -g"),
            "",
            "native",
        );
    }

    #[test]
    fn what_the_environment_changes_is_told() {
        let check = |variables: &[(&str, &str)], expect: &[&str]| {
            let owned = |it: &(&str, &str)| (it.0.to_owned(), it.1.to_owned());
            assert_eq!(
                changed(variables.iter().map(owned)),
                expect,
                "{variables:?}"
            );
        };
        check(&[("PATH", "/bin"), ("RUSTFLAGS", "")], &[]);
        check(
            &[
                ("RUSTFLAGS", "-g"),
                ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
                ("CARGO_PROFILE_DEV_OPT_LEVEL", "1"),
                ("CARGO_TARGET_DIR", "/t"),
                ("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Cx"),
                ("CARGO_BUILD_RUSTFLAGS", "-Cy"),
            ],
            &[
                "CARGO_BUILD_RUSTFLAGS=-Cy",
                "CARGO_PROFILE_RELEASE_OPT_LEVEL=1",
                "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS=-Cx",
                "RUSTFLAGS=-g",
            ],
        );
    }

    #[test]
    fn the_compiler_says_its_version() {
        let toolchain = Toolchain::find().unwrap().to_json();
        let rustc = toolchain["rustc"].as_str().unwrap();
        assert!(rustc.starts_with("1."), "{rustc}");
    }
}
