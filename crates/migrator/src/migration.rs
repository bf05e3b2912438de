//! A migration: two files, checked when they are loaded.

use sqlx::{
    AssertSqlSafe, SqlSafeStr as _,
    migrate::{Migration, MigrationType},
};

/// The first line of a file that must not run in a transaction.
const NO_TRANSACTION: &str = "-- no-transaction";
/// What the server keeps of a name. It would cut a longer one, and nobody would find it again.
const NAME_LIMIT: usize = 63;

/// A file's name and its text.
pub type MigrationFile<'a> = (&'a str, &'a str);

/// What is wrong with a migration's files.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMigration {
    /// The name is not of the form `VERSION_NAME.up.sql` or `VERSION_NAME.down.sql`.
    #[error("`{file}` is not named `VERSION_NAME.up.sql` or `VERSION_NAME.down.sql`")]
    Name {
        /// The file.
        file: String,
    },
    /// One of the two directions is missing, or there is one too many.
    #[error("migration {version} needs one file that goes up and one that goes down")]
    Pair {
        /// Which migration.
        version: i64,
    },
    /// A file without a transaction may hold one statement of two forms.
    #[error(
        "`{file}` runs without a transaction, so it has to be one statement: \
         `CREATE [UNIQUE] INDEX CONCURRENTLY IF NOT EXISTS name ON …` or \
         `DROP INDEX CONCURRENTLY IF EXISTS name`, with a plain name in small letters of at most \
         63 bytes"
    )]
    Concurrent {
        /// The file.
        file: String,
    },
    /// The folder cannot be read.
    #[error("failed to read `{path}`: {reason}")]
    Unreadable {
        /// The folder or file.
        path: String,
        /// The system's reason.
        reason: String,
    },
}

/// Both directions of one migration.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) version: i64,
    pub(crate) name: String,
    pub(crate) up: Script,
    pub(crate) down: Script,
}

/// One direction of a migration.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) migration: Migration,
    /// What it does, if it runs without a transaction.
    pub(crate) concurrent: Option<Concurrent>,
}

/// The one statement of a file without a transaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Concurrent {
    /// Builds this index.
    Build(String),
    /// Drops an index.
    Drop,
}

/// Reads the files of all migrations and puts them in order.
pub(crate) fn load(files: &[MigrationFile<'_>]) -> Result<Vec<Pair>, InvalidMigration> {
    let mut parsed = files
        .iter()
        .map(|(file, text)| parse(file, text))
        .collect::<Result<Vec<_>, _>>()?;
    parsed.sort_by_key(|it| it.migration.version);
    parsed
        .chunk_by(|a, b| a.migration.version == b.migration.version)
        .map(pair)
        .collect()
}

fn pair(files: &[Script]) -> Result<Pair, InvalidMigration> {
    let version = files[0].migration.version;
    let of = |down: bool| {
        let mut found = files
            .iter()
            .filter(move |it| it.migration.migration_type.is_down_migration() == down);
        match (found.next(), found.next()) {
            (Some(file), None) => Ok(file),
            _ => Err(InvalidMigration::Pair { version }),
        }
    };
    let (up, down) = (of(false)?, of(true)?);
    if up.migration.description != down.migration.description {
        return Err(InvalidMigration::Pair { version });
    }
    Ok(Pair {
        version,
        name: up.migration.description.clone().into_owned(),
        up: up.clone(),
        down: down.clone(),
    })
}

fn parse(file: &str, text: &str) -> Result<Script, InvalidMigration> {
    let name = || InvalidMigration::Name {
        file: file.to_owned(),
    };
    let (stem, kind) = match (file.strip_suffix(".up.sql"), file.strip_suffix(".down.sql")) {
        (Some(stem), _) => (stem, MigrationType::ReversibleUp),
        (_, Some(stem)) => (stem, MigrationType::ReversibleDown),
        _ => return Err(name()),
    };
    let (version, description) = stem.split_once('_').ok_or_else(name)?;
    let version = version.parse().map_err(|_| name())?;
    let no_tx = text.starts_with(NO_TRANSACTION);
    let concurrent = match no_tx {
        true => Some(
            concurrent(text).ok_or_else(|| InvalidMigration::Concurrent {
                file: file.to_owned(),
            })?,
        ),
        false => None,
    };
    let sql = AssertSqlSafe(text.to_owned()).into_sql_str();
    Ok(Script {
        migration: Migration::new(version, description.to_owned().into(), kind, sql, no_tx),
        concurrent,
    })
}

/// Reads the one statement of a file that runs without a transaction.
///
/// Only forms that may be repeated are accepted, since a crash can come between the statement and
/// the note that it ran. A semicolon inside is refused even where it would be part of a literal:
/// the server puts several statements that come together into a transaction.
fn concurrent(text: &str) -> Option<Concurrent> {
    let code: Vec<&str> = text
        .lines()
        .map(|line| line.split_once("--").map_or(line, |(code, _)| code))
        .collect();
    let code = code.join(" ");
    let statement = code.trim().trim_end_matches(';');
    if statement.contains(';') || statement.contains("/*") {
        return None;
    }
    let lower = statement.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let (name, does) = match words.as_slice() {
        [
            "create",
            "index",
            "concurrently",
            "if",
            "not",
            "exists",
            name,
            "on",
            ..,
        ]
        | [
            "create",
            "unique",
            "index",
            "concurrently",
            "if",
            "not",
            "exists",
            name,
            "on",
            ..,
        ] => (*name, Concurrent::Build((*name).to_owned())),
        ["drop", "index", "concurrently", "if", "exists", name] => (*name, Concurrent::Drop),
        _ => return None,
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (name.len() <= NAME_LIMIT && name.chars().all(plain)).then_some(does)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const BUILD: &str =
        "-- no-transaction\n-- Why.\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a_b\n    ON t (x);\n";
    const DROP: &str = "-- no-transaction\nDROP INDEX CONCURRENTLY IF EXISTS a_b;\n";

    #[test]
    fn files_become_migrations_in_order() {
        let pairs = load(&[
            ("2_second.up.sql", BUILD),
            ("2_second.down.sql", DROP),
            ("1_first.down.sql", "SELECT 1"),
            ("1_first.up.sql", "SELECT 1"),
        ])
        .unwrap();

        let seen: Vec<_> = pairs
            .iter()
            .map(|it| (it.version, it.name.as_str(), it.up.migration.no_tx))
            .collect();
        assert_eq!(seen, [(1, "first", false), (2, "second", true)]);
        assert_eq!(
            pairs[1].up.concurrent,
            Some(Concurrent::Build("a_b".to_owned()))
        );
        assert_eq!(pairs[1].down.concurrent, Some(Concurrent::Drop));
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        let refused = |files: &[MigrationFile<'_>]| load(files).unwrap_err().to_string();
        assert!(refused(&[("1_a.sql", "")]).contains("`1_a.sql` is not named"));
        assert!(refused(&[("a_1.up.sql", "")]).contains("`a_1.up.sql` is not named"));
        assert!(refused(&[("1_a.up.sql", "")]).contains("migration 1 needs"));
        assert!(refused(&[("1_a.up.sql", ""), ("1_b.down.sql", "")]).contains("migration 1 needs"));
        assert!(
            refused(&[("1_a.up.sql", ""), ("1_a.down.sql", ""), ("1_b.up.sql", "")])
                .contains("migration 1 needs")
        );
    }

    #[test]
    fn only_statements_that_may_be_repeated_run_without_a_transaction() {
        let builds = |index: &str| Some(Concurrent::Build(index.to_owned()));
        assert_eq!(concurrent(BUILD), builds("a_b"));
        assert_eq!(concurrent(DROP), Some(Concurrent::Drop));
        for (text, index) in [
            (
                "create unique index concurrently if not exists x on t (a) where a > 1",
                "x",
            ),
            (
                "CREATE INDEX CONCURRENTLY IF NOT EXISTS x ON \"T\" (a) WHERE s = 'draft';",
                "x",
            ),
        ] {
            assert_eq!(concurrent(text), builds(index), "{text}");
        }
        let long = format!(
            "DROP INDEX CONCURRENTLY IF EXISTS {}",
            "x".repeat(NAME_LIMIT + 1)
        );
        assert_eq!(concurrent(&long), None);
        for text in [
            "CREATE INDEX CONCURRENTLY a ON t (x)",
            "CREATE INDEX IF NOT EXISTS a ON t (x)",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON t (x); DROP TABLE t",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS \"A\" ON t (x)",
            "DROP INDEX CONCURRENTLY a",
            "VACUUM t",
            "",
        ] {
            assert_eq!(concurrent(text), None, "{text}");
        }
    }
}
