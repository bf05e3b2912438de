//! Whether files can be written, and are what they should be, before an hour of measuring.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf, absolute},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

/// What every report of this version says of itself, before its number.
const SCHEMA: &str = "ruleiq-bench/";
const SCHEMA_VERSION: &str = "1";
/// About the size of a report with all its rounds. Whether so much is free is what is tried.
const PROBE_BYTES: usize = 1 << 20;

/// The file of an output, as an absolute path: its writer works in another folder.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn output(path: &Path) -> anyhow::Result<PathBuf> {
    let file = absolute(path).with_context(|| format!("`{}` is no path", path.display()))?;
    probe(&file).with_context(|| format!("`{}` cannot be written", path.display()))?;
    Ok(file)
}

/// A report to read.
///
/// # Errors
///
/// When it is none, or of another version.
pub(super) fn report(path: &Path) -> anyhow::Result<PathBuf> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("failed to read `{shown}`"))?;
    let report: Value = serde_json::from_reader(std::io::BufReader::new(file))
        .with_context(|| format!("`{shown}` is no report: it is not JSON"))?;
    let schema = report["schema"].as_str().unwrap_or_default();
    let version = schema
        .strip_prefix(SCHEMA)
        .with_context(|| format!("`{shown}` is no report: its schema is `{schema}`"))?;
    ensure!(
        version == SCHEMA_VERSION,
        "`{shown}` is of schema `{schema}`, and this program reads `{SCHEMA}{SCHEMA_VERSION}`; \
         measure anew"
    );
    absolute(path).with_context(|| format!("`{shown}` is no path"))
}

fn probe(file: &Path) -> anyhow::Result<()> {
    match fs::metadata(file) {
        Ok(it) if it.is_dir() => bail!("it is a folder"),
        // A reader at the other end would take a probe for the report.
        Ok(it) if it.file_type().is_fifo() || it.file_type().is_socket() => Ok(()),
        Ok(it) if it.file_type().is_char_device() => {
            let mut device = OpenOptions::new().write(true).open(file)?;
            // Space before JSON and HTML means nothing.
            device.write_all(b"\n")?;
            Ok(device.flush()?)
        }
        Ok(_) => {
            OpenOptions::new().append(true).open(file)?;
            probe_beside(file)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => probe_beside(file),
        Err(error) => Err(error.into()),
    }
}

/// Writes as much as a report has under another name: reports are written so, and renamed.
fn probe_beside(file: &Path) -> anyhow::Result<()> {
    let mut name = file.file_name().context("it names no file")?.to_owned();
    name.push(format!(".{}.probe", std::process::id()));
    let beside = file.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&beside)
        .and_then(|mut it| {
            it.write_all(&vec![b' '; PROBE_BYTES])?;
            it.sync_all()
        });
    // There may be none.
    drop(fs::remove_file(&beside));
    Ok(written?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_cannot_be_written_is_refused_and_the_rest_is_left_as_it_is() {
        let folder = folder("outputs");
        let kept = folder.join("kept.json");
        fs::write(&kept, "kept").unwrap();
        let check = |path: &Path, expect: Option<&str>| {
            let error = output(path).err().map(|it| format!("{it:#}"));
            match (error, expect) {
                (None, None) => {}
                (Some(error), Some(expect)) => assert!(error.contains(expect), "{error}"),
                (error, _) => panic!("{}: {error:?}", path.display()),
            }
        };
        check(&kept, None);
        check(&folder.join("made.json"), None);
        check(Path::new("/dev/null"), None);
        check(Path::new("/dev/full"), Some("No space left"));
        check(&folder, Some("it is a folder"));
        check(&folder.join("missing/made.json"), Some("No such file"));
        check(&kept.join("below.json"), Some("Not a directory"));

        let files: Vec<_> = fs::read_dir(&folder).unwrap().flatten().collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(fs::read_to_string(&kept).unwrap(), "kept");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_report_of_another_version_is_refused() {
        let folder = folder("reports");
        let check = |text: &str, expect: Option<&str>| {
            let file = folder.join("report.json");
            fs::write(&file, text).unwrap();
            let error = report(&file).err().map(|it| format!("{it:#}"));
            match (error, expect) {
                (None, None) => {}
                (Some(error), Some(expect)) => assert!(error.contains(expect), "{error}"),
                (error, _) => panic!("{text}: {error:?}"),
            }
        };
        check(r#"{"schema": "ruleiq-bench/1"}"#, None);
        check(r#"{"schema": "ruleiq-bench/2"}"#, Some("measure anew"));
        check(r#"{"schema": "other/1"}"#, Some("its schema is `other/1`"));
        check("{}", Some("is no report"));
        check("no JSON", Some("it is not JSON"));
        let missing = report(&folder.join("missing")).unwrap_err();
        fs::remove_dir_all(&folder).unwrap();
        assert!(
            format!("{missing:#}").contains("failed to read"),
            "{missing:#}"
        );
    }
}
