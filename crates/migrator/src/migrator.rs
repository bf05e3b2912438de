//! Applying, reverting and listing migrations.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde::Serialize;
use sqlx::{
    Connection as _, Executor as _, PgConnection,
    migrate::{Migrate as _, MigrateError},
};
use tokio::time::Instant;

use crate::{
    Error, InvalidMigration, MigrationFile, Ownership,
    applied::{self, Applied, TABLE},
    connection,
    migration::{self, Concurrent, Pair, Script},
    ownership,
};

const EMBEDDED: &[MigrationFile<'static>] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The migrations of one program, in their order.
#[derive(Clone, Debug)]
pub struct Migrator {
    pairs: Vec<Pair>,
    lock_timeout: Duration,
}

/// How far to revert.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// Revert the last one that was applied.
    One,
    /// Revert all that came after this version, which must be one that the program knows.
    To(i64),
    /// Revert everything.
    Zero,
}

/// What was done.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Report {
    /// The versions that were applied or reverted, in that order.
    pub versions: Vec<i64>,
    /// The newest migration of the database, if this program does not know it.
    pub newer: Option<i64>,
}

/// One migration, seen from one database.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Status {
    /// Its version, by which migrations are ordered.
    pub version: i64,
    /// Its name; unknown to this program if `None`.
    pub name: Option<String>,
    /// Whether it is applied as a whole.
    pub applied: bool,
    /// Whether its file is another one than was applied.
    pub changed: bool,
}

/// The newest version that the program knows.
#[expect(clippy::missing_panics_doc, reason = "a test loads the embedded files")]
pub fn latest_version() -> i64 {
    let newest = EMBEDDED.last().and_then(|(file, _)| file.split_once('_'));
    let version = newest.and_then(|(version, _)| version.parse().ok());
    version.expect("the files are named VERSION_NAME, as a test sees to")
}

impl Migrator {
    /// The migrations that the program carries.
    #[expect(clippy::missing_panics_doc, reason = "a test loads the embedded files")]
    pub fn embedded() -> Migrator {
        Migrator::new(EMBEDDED).expect("the files are sound, as a test sees to")
    }

    /// The migrations of a folder: its files whose names end in `.sql`.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is not as it must be.
    pub fn from_dir(folder: &Path) -> Result<Migrator, InvalidMigration> {
        let unreadable = |path: &Path, error: &std::io::Error| InvalidMigration::Unreadable {
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
            let path = entry.map_err(|error| unreadable(folder, &error))?.path();
            if path.extension().is_none_or(|it| it != "sql") {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            files.push((name.into_owned(), text));
        }
        let files: Vec<MigrationFile<'_>> = files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        Migrator::new(&files)
    }

    /// The migrations of these files.
    ///
    /// # Errors
    ///
    /// A file that is not as it must be.
    pub fn new(files: &[MigrationFile<'_>]) -> Result<Migrator, InvalidMigration> {
        Ok(Migrator {
            pairs: migration::load(files)?,
            lock_timeout: Duration::from_secs(600),
        })
    }

    /// How long to wait for another migrator. Default: 10 minutes.
    #[must_use]
    pub fn lock_timeout(mut self, limit: Duration) -> Migrator {
        self.lock_timeout = limit;
        self
    }

    /// A text that changes whenever a migration does.
    pub fn checksum(&self) -> String {
        let scripts = self.pairs.iter().flat_map(|it| [&it.up, &it.down]);
        let bytes = scripts.flat_map(|it| {
            let version = it.migration.version.to_be_bytes();
            version
                .into_iter()
                .chain(it.migration.checksum.iter().copied())
        });
        // FNV-1a: the parts are digests already.
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }

    /// Applies what is not applied yet.
    ///
    /// A database that is newer than the program is left as it is, since a release may be taken
    /// back without its schema.
    ///
    /// # Errors
    ///
    /// See [`Error`]. Migrations that were applied before the failing one stay.
    ///
    /// # Cancel safety
    ///
    /// A migration in a transaction is applied as a whole or not at all; a concurrent build that is
    /// cut off is begun again the next time.
    pub async fn up(&self, url: &str) -> Result<Report, Error> {
        let mut connection = connection::connect_locked(url, self.lock_timeout).await?;
        applied::make_table(&mut connection).await?;
        let applied = applied::read(&mut connection).await?;
        let newer = self.check(&applied)?;
        let mut versions = Vec::new();
        for pair in &self.pairs {
            match applied.get(&pair.version) {
                Some(it) if it.whole => continue,
                Some(_) => applied::forget(&mut connection, pair.version).await?,
                None => {}
            }
            apply(&mut connection, pair).await?;
            versions.push(pair.version);
        }
        close(connection).await;
        Ok(Report { versions, newer })
    }

    /// Reverts migrations, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotOurs`] for a database that is not marked as ours, [`Error::Unknown`] for one
    /// that is newer than the program, [`Error::NoTarget`] for a target that is no migration, and
    /// see [`Error`].
    ///
    /// # Cancel safety
    ///
    /// As with [`up`](Migrator::up): what is cut off is reverted again by the next `down`, and
    /// applied again by the next `up`.
    pub async fn down(
        &self,
        url: &str,
        target: Target,
        ownership: &Ownership,
    ) -> Result<Report, Error> {
        if let Target::To(version) = target
            && !self.knows(version)
        {
            return Err(Error::NoTarget { version });
        }
        let mut connection = connection::connect_locked(url, self.lock_timeout).await?;
        ownership.check(&mut connection).await?;
        let applied = applied::read(&mut connection).await?;
        if let Some(version) = self.check(&applied)? {
            return Err(Error::Unknown { version });
        }
        let known = self
            .pairs
            .iter()
            .rev()
            .filter(|it| applied.contains_key(&it.version));
        let reverted: Vec<&Pair> = match target {
            Target::One => known.take(1).collect(),
            Target::To(version) => known.take_while(|it| it.version > version).collect(),
            Target::Zero => known.collect(),
        };
        for pair in &reverted {
            revert(&mut connection, pair).await?;
        }
        close(connection).await;
        Ok(Report {
            versions: reverted.iter().map(|it| it.version).collect(),
            newer: None,
        })
    }

    /// Lists all migrations that the program or the database knows. Changes nothing and waits for
    /// nobody.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn status(&self, url: &str) -> Result<Vec<Status>, Error> {
        let mut connection = connection::connect(url).await?;
        let applied = applied::read(&mut connection).await?;
        let unknown = |(version, it): (&i64, &Applied)| {
            let status = Status {
                version: *version,
                name: None,
                applied: it.whole,
                changed: false,
            };
            (*version, status)
        };
        let mut all: BTreeMap<i64, Status> = applied.iter().map(unknown).collect();
        for pair in &self.pairs {
            let known = applied.get(&pair.version);
            all.insert(
                pair.version,
                Status {
                    version: pair.version,
                    name: Some(pair.name.clone()),
                    applied: known.is_some_and(|it| it.whole),
                    changed: known.is_some_and(|it| is_changed(pair, it)),
                },
            );
        }
        close(connection).await;
        Ok(all.into_values().collect())
    }

    /// Compares what is applied with what is known, and answers the newest unknown migration.
    fn check(&self, applied: &BTreeMap<i64, Applied>) -> Result<Option<i64>, Error> {
        for pair in &self.pairs {
            if applied
                .get(&pair.version)
                .is_some_and(|it| is_changed(pair, it))
            {
                return Err(Error::Changed {
                    version: pair.version,
                    name: pair.name.clone(),
                });
            }
        }
        let newest_known = self.pairs.last().map_or(0, |it| it.version);
        let mut unknown = applied.keys().filter(|it| !self.knows(**it)).peekable();
        match unknown.peek() {
            Some(version) if **version < newest_known => Err(Error::Unknown { version: **version }),
            _ => Ok(unknown.last().copied()),
        }
    }

    fn knows(&self, version: i64) -> bool {
        self.pairs.iter().any(|it| it.version == version)
    }
}

fn is_changed(pair: &Pair, applied: &Applied) -> bool {
    applied.checksum != *pair.up.migration.checksum
}

async fn apply(connection: &mut PgConnection, pair: &Pair) -> Result<(), Error> {
    let start = Instant::now();
    let migration = &pair.up.migration;
    connection::bound_table_locks(connection, migration.no_tx).await?;
    match &pair.up.concurrent {
        Some(does) => {
            run_concurrently(connection, pair, &pair.up, does).await?;
            // Notes the migration without running it.
            connection
                .skip(TABLE, migration)
                .await
                .map_err(Error::Table)?;
        }
        None => {
            let mut transaction = connection.begin().await?;
            transaction
                .apply(TABLE, migration)
                .await
                .map_err(|source| failed(pair, source))?;
            ownership::mark(&mut transaction, TABLE).await?;
            let committed = transaction.commit().await;
            committed.map_err(|error| failed(pair, error.into()))?;
        }
    }
    tracing::info!(
        version = pair.version,
        name = pair.name,
        elapsed_ms = elapsed_ms(start),
        "applied a migration"
    );
    Ok(())
}

async fn revert(connection: &mut PgConnection, pair: &Pair) -> Result<(), Error> {
    let start = Instant::now();
    let migration = &pair.down.migration;
    connection::bound_table_locks(connection, migration.no_tx).await?;
    match &pair.down.concurrent {
        Some(does) => {
            applied::begin_revert(connection, pair.version).await?;
            run_concurrently(connection, pair, &pair.down, does).await?;
            applied::forget(connection, pair.version).await?;
        }
        None => {
            connection
                .revert(TABLE, migration)
                .await
                .map_err(|source| failed(pair, source))?;
        }
    }
    tracing::info!(
        version = pair.version,
        name = pair.name,
        elapsed_ms = elapsed_ms(start),
        "reverted a migration"
    );
    Ok(())
}

/// Runs a statement that cannot run in a transaction, and looks at what it left.
async fn run_concurrently(
    connection: &mut PgConnection,
    pair: &Pair,
    script: &Script,
    does: &Concurrent,
) -> Result<(), Error> {
    if let Concurrent::Build(index) = does {
        connection::drop_invalid_index(connection, index).await?;
    }
    connection
        .execute(script.migration.sql.clone())
        .await
        .map_err(|error| failed(pair, MigrateError::ExecuteMigration(error, pair.version)))?;
    match does {
        // It was there already, and somebody else builds it.
        Concurrent::Build(index) if !connection::is_valid_index(connection, index).await? => {
            Err(Error::InvalidIndex {
                version: pair.version,
                index: index.clone(),
            })
        }
        _ => Ok(()),
    }
}

fn failed(pair: &Pair, source: MigrateError) -> Error {
    Error::Migration {
        version: pair.version,
        name: pair.name.clone(),
        source,
    }
}

fn elapsed_ms(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Says goodbye to the server, so that the lock is free at once. That it did not hear is no failure.
async fn close(connection: PgConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "the connection did not close cleanly");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_migrations_are_sound() {
        let migrator = Migrator::embedded();
        assert_eq!(migrator.pairs.last().unwrap().version, latest_version());
        assert_eq!(
            migrator.checksum(),
            Migrator::new(EMBEDDED).unwrap().checksum()
        );
    }
}
