//! What was measured so far, so that a run that was ended can go on.
//!
//! A file of lines: what the run is, then one case per line, appended when it is done. A last line
//! that was cut off by a crash is thrown away, and its case measured again; so is the case of any
//! other line that cannot be read, and one whose subject could not be measured.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::Measured;

const NAME: &str = "partial.jsonl";

/// The file of a run's cases.
#[derive(Debug)]
pub struct Store {
    file: File,
    path: PathBuf,
}

/// What tells one run from another.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct StoredRun {
    /// What all draws come from.
    pub seed: u64,
    /// When it began, in seconds since 1970.
    pub began_s: i64,
    /// Whatever else has to be the same for its cases to belong together, by name.
    pub key: serde_json::Map<String, serde_json::Value>,
}

/// Why cases cannot be kept, or a run cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file cannot be read or written.
    #[error("failed to {doing} `{}`", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is nothing to go on with.
    #[error("`{}` does not begin with the head of a run", path.display())]
    NoRun {
        /// The file.
        path: PathBuf,
    },
    /// It is another run.
    #[error("the stored run differs in {}: begin anew, without resuming", what.join(", "))]
    Differs {
        /// In what, with both values.
        what: Vec<String>,
    },
}

impl Store {
    /// Begins a file in `folder`, in place of any that is there.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn begin(folder: &Path, run: &StoredRun) -> Result<Store, StoreError> {
        let path = folder.join(NAME);
        let fault = fault("begin", &path);
        fs::create_dir_all(folder).map_err(&fault)?;
        let file = File::create(&path).map_err(&fault)?;
        let mut store = Store { file, path };
        store.append(run)?;
        Ok(store)
    }

    /// Opens the file in `folder`: its run, and the cases that are done.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn resume(folder: &Path) -> Result<(Store, StoredRun, Vec<Measured>), StoreError> {
        let path = folder.join(NAME);
        let text = fs::read(&path).map_err(fault("read", &path))?;
        let mut lines = text.split_inclusive(|it| *it == b'\n');
        let head = lines.next().unwrap_or_default();
        let Ok(run) = serde_json::from_slice::<StoredRun>(head) else {
            return Err(StoreError::NoRun { path });
        };
        let mut whole = head.len();
        let mut done = Vec::new();
        for line in lines.take_while(|it| it.ends_with(b"\n")) {
            whole += line.len();
            let measured = serde_json::from_slice::<Measured>(line);
            done.extend(measured.ok().filter(has_subject));
        }
        let open = fault("open", &path);
        let file = OpenOptions::new().append(true).open(&path).map_err(&open)?;
        file.set_len(whole as u64).map_err(&open)?;
        Ok((Store { file, path }, run, done))
    }

    /// Keeps a case.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn keep(&mut self, measured: &Measured) -> Result<(), StoreError> {
        self.append(measured)
    }

    /// On a file that is there, for tests.
    #[cfg(test)]
    pub(super) fn on(path: &Path) -> Store {
        let file = OpenOptions::new().append(true).open(path);
        Store {
            file: file.expect("the file is there"),
            path: path.to_owned(),
        }
    }

    fn append(&mut self, value: &impl Serialize) -> Result<(), StoreError> {
        let mut line = serde_json::to_vec(value).expect("a case can be written as JSON");
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(fault("write", &self.path))
    }
}

impl StoredRun {
    /// Refuses another run.
    ///
    /// # Errors
    ///
    /// When `asked` differs in what has to be the same.
    pub fn expect(
        &self,
        asked: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), StoreError> {
        let null = serde_json::Value::Null;
        let names = self.key.keys().chain(asked.keys());
        let names: std::collections::BTreeSet<_> = names.collect();
        let what: Vec<String> = names
            .into_iter()
            .filter_map(|name| {
                let stored = self.key.get(name).unwrap_or(&null);
                let asked = asked.get(name).unwrap_or(&null);
                (stored != asked).then(|| format!("{name} (stored {stored}, asked {asked})"))
            })
            .collect();
        if what.is_empty() {
            Ok(())
        } else {
            Err(StoreError::Differs { what })
        }
    }
}

/// Whether there is something to keep: what was missing may be there when the run goes on.
fn has_subject(measured: &Measured) -> bool {
    measured
        .sides
        .first()
        .is_some_and(|it| it.missing.is_none())
}

fn fault(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::File {
        doing,
        path: path.clone(),
        source,
    }
}
