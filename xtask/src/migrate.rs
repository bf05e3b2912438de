//! `migrate`: the schema of the development database, or of another on request.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail, ensure};

use crate::{cargo, dev, process, process::Interrupt, progress};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Apply what is not applied yet
    Up {
        #[command(flatten)]
        target: dev::Target,
    },
    /// Revert the last migration
    Down {
        /// Revert all of them
        #[arg(long, conflicts_with = "to")]
        all: bool,
        /// Revert all that came after this version
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        #[command(flatten)]
        target: dev::Target,
        #[command(flatten)]
        ownership: dev::Ownership,
    },
    /// List the migrations and whether each is applied
    Status {
        #[command(flatten)]
        target: dev::Target,
    },
    /// Begin a migration: two files, one that goes up and one that goes down
    New {
        /// What it does, such as `add_tags`
        name: String,
        /// Build an index while the table is in use, without a transaction
        #[arg(long)]
        concurrently: bool,
    },
}

/// Runs `ruleiq-server migrate`, or makes files.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (target, words) = match &arguments.action {
        Action::New { name, concurrently } => {
            let folder = cargo::root().join("migrations");
            let version = version(SystemTime::now())?;
            for path in create(&folder, &version, name, *concurrently)? {
                progress::line(&format!("made {}", path.display()));
            }
            return Ok(ExitCode::SUCCESS);
        }
        Action::Up { target } => (target, vec!["up"]),
        Action::Status { target } => (target, vec!["status"]),
        Action::Down {
            all,
            to,
            target,
            ownership,
        } => {
            let mut words = vec!["down"];
            words.extend(all.then_some("--all"));
            words.extend(to.iter().flat_map(|it| ["--to", it.as_str()]));
            words.extend(ownership.words());
            (target, words)
        }
    };
    let interrupt = Interrupt::install()?;
    let database = target.open(&interrupt)?;
    let mut command = database.owner_command();
    command.arg("migrate").args(words);
    let status = process::status(&mut command, &interrupt)?;
    Ok(process::exit_code(status))
}

/// Makes both files of a migration.
fn create(
    folder: &Path,
    version: &str,
    name: &str,
    concurrently: bool,
) -> anyhow::Result<[PathBuf; 2]> {
    let name = file_name(name)?;
    let newest = newest(folder)?;
    ensure!(
        newest.as_deref().is_none_or(|it| it < version),
        "the newest migration is {newest:?}, which is later than now ({version}); look at the clock"
    );
    let (up, down) = match concurrently {
        true => (
            format!(
                "-- no-transaction\n-- Which statements need it.\n\
                 CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_{name}\n    ON table_name (column_name);\n"
            ),
            format!("-- no-transaction\nDROP INDEX CONCURRENTLY IF EXISTS idx_{name};\n"),
        ),
        false => (
            "-- Why, and how long it locks what.\n".to_owned(),
            "-- What is lost.\n".to_owned(),
        ),
    };
    let path = |direction: &str| folder.join(format!("{version}_{name}.{direction}.sql"));
    let paths = [path("up"), path("down")];
    for (path, text) in paths.iter().zip([up, down]) {
        fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(paths)
}

/// The version of the newest migration. They all have the same length.
fn newest(folder: &Path) -> anyhow::Result<Option<String>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let versions = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.split_once('_')?.0.to_owned())
    });
    Ok(versions.max())
}

/// The name as it stands in the file: words of small letters and digits.
fn file_name(name: &str) -> anyhow::Result<String> {
    let words: Vec<String> = name
        .split(|c: char| c == '_' || c == '-' || c.is_whitespace())
        .filter(|it| !it.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if words.is_empty() || !words.iter().all(|word| word.chars().all(plain)) {
        bail!("`{name}` is no name for a migration: use letters, digits and `_`");
    }
    Ok(words.join("_"))
}

/// A time as migrations are numbered: year to second, in UTC.
fn version(time: SystemTime) -> anyhow::Result<String> {
    let seconds = time.duration_since(UNIX_EPOCH)?.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    Ok(format!(
        "{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}"
    ))
}

/// The date that is so many days after 1970-01-01, in the Gregorian calendar.
///
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`: years begin
/// in March, so that the leap day is the last, and repeat after 400.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, year) = match month_from_march < 10 {
        true => (month_from_march + 3, era * 400 + year_of_era),
        false => (month_from_march - 9, era * 400 + year_of_era + 1),
    };
    (year, month, day)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_version_is_a_time() {
        let check = |seconds: u64, expect: &str| {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(version(time).unwrap(), expect);
        };
        check(0, "19700101000000");
        check(951_782_399, "20000228235959");
        check(951_782_400, "20000229000000");
        check(1_709_164_800, "20240229000000");
        check(1_735_689_599, "20241231235959");
        check(4_107_542_400, "21000301000000");
    }

    #[test]
    fn a_name_becomes_words_of_small_letters() {
        let check = |name: &str, expect: Option<&str>| {
            assert_eq!(file_name(name).ok().as_deref(), expect, "{name}");
        };
        check("add_tags", Some("add_tags"));
        check("Add tags-2", Some("add_tags_2"));
        check("", None);
        check("../x", None);
        check("a.up.sql", None);
        check("größe", None);
    }

    #[test]
    fn both_files_are_made_after_the_newest_migration() {
        let folder = std::env::temp_dir().join(format!("xtask-migrate-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let made = create(&folder, "20240229000000", "Add tags", false).unwrap();
        let names = made.map(|it| it.file_name().unwrap().to_owned());
        let too_early = create(&folder, "20240228000000", "late", true);
        fs::remove_dir_all(&folder).unwrap();

        assert_eq!(
            names,
            [
                "20240229000000_add_tags.up.sql",
                "20240229000000_add_tags.down.sql"
            ]
        );
        assert!(
            too_early
                .unwrap_err()
                .to_string()
                .contains("look at the clock")
        );
    }
}
