//! Reports on disk. A report appears whole or not at all: it is written under a temporary name in
//! the same folder, flushed to the disk and renamed. What is no regular file (`/dev/stdout`, a
//! pipe) cannot be replaced, and is written directly.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Report, SCHEMA};

/// The largest file that is read as a report: 256 MiB.
const LARGEST_BYTES: u64 = 256 << 20;

/// Why a report was not written or not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refused.
    #[error("failed to write the report to `{path}`: {}", plain(source))]
    Write {
        /// Where to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused.
    #[error("failed to read the report `{path}`: {}", plain(source))]
    Read {
        /// Where from.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be read again, so it is not written.
    #[error("the report for `{path}` could not be read again, and is not written: {reason}")]
    NotReadable {
        /// Where to.
        path: PathBuf,
        /// What reading it said.
        reason: String,
    },
    /// More than can be a report.
    #[error("`{path}` is no report: it has more than {limit_mib} MiB")]
    TooLarge {
        /// Where from.
        path: PathBuf,
        /// The limit.
        limit_mib: u64,
    },
    /// Not JSON.
    #[error("`{path}` is not JSON: {reason}")]
    NotJson {
        /// Where from.
        path: PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// JSON without our schema, or against it.
    #[error("`{path}` is no report of this program: {reason}")]
    NotReport {
        /// Where from.
        path: PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A report of another time.
    #[error(
        "`{path}` has schema `{found}`, and this program reads `{SCHEMA}`; read it with the \
         revision that wrote it"
    )]
    OtherSchema {
        /// Where from.
        path: PathBuf,
        /// Its schema.
        found: String,
    },
}

/// Writes `report` to `path` as JSON, whole or not at all.
///
/// # Errors
///
/// When the system refuses; what was at `path` is still there then. Or when the report could not
/// be read again.
pub fn write(path: &Path, report: &Report) -> Result<(), FileError> {
    let unreadable = |error: serde_json::Error| FileError::NotReadable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut bytes = serde_json::to_vec_pretty(report).map_err(unreadable)?;
    // JSON has no infinity and no NaN: they are written as `null`, which is no number.
    serde_json::from_slice::<Report>(&bytes).map_err(unreadable)?;
    bytes.push(b'\n');
    write_bytes(path, &bytes)
}

/// Writes `text`, a report for people, to `path`, whole or not at all.
///
/// # Errors
///
/// When the system refuses; what was at `path` is still there then.
pub fn write_text(path: &Path, text: &str) -> Result<(), FileError> {
    write_bytes(path, text.as_bytes())
}

/// Sees whether a report could be written to `path`, and changes nothing there: hours of measuring
/// should not end with a wrong path.
///
/// # Errors
///
/// When it could not.
pub fn check_writable(path: &Path) -> Result<(), FileError> {
    let target = Target::of(path);
    let tried = match &target {
        Target::Direct(path) => OpenOptions::new().append(true).open(path).map(drop),
        Target::Replaced(path) if path.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Target::Replaced(path) => {
            let temporary = temporary_beside(path);
            let made = create(&temporary).map(drop);
            made.and_then(|()| fs::remove_file(&temporary))
        }
    };
    tried.map_err(|source| FileError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Reads a report. Fields that are not known are ignored.
///
/// # Errors
///
/// When the system refuses, or what is at `path` is no report that this program reads.
pub fn read(path: &Path) -> Result<Report, FileError> {
    read_at_most(path, LARGEST_BYTES)
}

fn read_at_most(path: &Path, limit: u64) -> Result<Report, FileError> {
    let fault = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fault)?;
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    if read.map_err(fault)? as u64 > limit {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            limit_mib: limit >> 20,
        });
    }
    parse(path, &bytes)
}

/// The schema first: whatever else a report of another schema has would be told as a fault.
fn parse(path: &Path, bytes: &[u8]) -> Result<Report, FileError> {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    let fault = |error: serde_json::Error| {
        let (path, reason) = (path.to_owned(), error.to_string());
        match error.classify() {
            serde_json::error::Category::Data => FileError::NotReport { path, reason },
            _ => FileError::NotJson { path, reason },
        }
    };
    let head: Head = serde_json::from_slice(bytes).map_err(fault)?;
    if head.schema != SCHEMA {
        return Err(FileError::OtherSchema {
            path: path.to_owned(),
            found: head.schema,
        });
    }
    serde_json::from_slice(bytes).map_err(fault)
}

/// How a path is written.
enum Target {
    /// A file, there or not, by renaming. Links are followed: the link stays.
    Replaced(PathBuf),
    /// A device or a pipe; anything below `/dev` and `/proc`, where a name stands for what some
    /// process has open.
    Direct(PathBuf),
}

impl Target {
    fn of(path: &Path) -> Target {
        let special = path.starts_with("/dev") || path.starts_with("/proc");
        match fs::metadata(path) {
            Ok(data) if special || !(data.is_file() || data.is_dir()) => {
                Target::Direct(path.to_owned())
            }
            _ => Target::Replaced(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())),
        }
    }
}

fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let written = match Target::of(path) {
        // Appended, because `/dev/stdout` may be a file with something in it.
        Target::Direct(path) => OpenOptions::new()
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(bytes)),
        Target::Replaced(path) => replace(&path, bytes),
    };
    written.map_err(|source| FileError::Write {
        path: path.to_owned(),
        source,
    })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_beside(path);
    let done = fill(&temporary, bytes).and_then(|()| {
        if let Ok(old) = fs::metadata(path) {
            fs::set_permissions(&temporary, old.permissions())?;
        }
        fs::rename(&temporary, path)
    });
    if done.is_err() {
        // The first error is the one to tell.
        fs::remove_file(&temporary).ok();
    }
    done?;
    // The new name has to be on the disk as well.
    File::open(folder(path))?.sync_all()
}

fn fill(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = format!(".{name}.{}.tmp", uuid::Uuid::new_v4().simple());
    folder(path).join(name)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// What the system says, without `(os error 28)`.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((plain, _)) => plain.to_owned(),
        None => text,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_limit_is_not_read() {
        let error = read_at_most(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/dev/zero` is no report: it has more than 1 MiB"
        );
    }

    #[test]
    fn what_is_no_report_is_told_with_its_place() {
        let said = |text: &str| {
            parse(Path::new("x.json"), text.as_bytes())
                .unwrap_err()
                .to_string()
        };
        insta::assert_snapshot!(
            [
                said(""),
                said("{\n  \"schema\": nonsense\n}"),
                said("[1, 2]"),
                said("{\"id\": 1}"),
                said("{\"schema\": \"ruleiq-bench/2\", \"results\": 7}"),
                said("{\"schema\": \"ruleiq-bench/1\", \"id\": 7}"),
            ]
            .join("\n"),
            @r"
        `x.json` is not JSON: EOF while parsing a value at line 1 column 0
        `x.json` is not JSON: expected ident at line 2 column 14
        `x.json` is no report of this program: invalid type: integer `1`, expected a string at line 1 column 2
        `x.json` is no report of this program: missing field `schema` at line 1 column 9
        `x.json` has schema `ruleiq-bench/2`, and this program reads `ruleiq-bench/1`; read it with the revision that wrote it
        `x.json` is no report of this program: invalid type: integer `7`, expected a formatted UUID string at line 1 column 36
        "
        );
    }
}
