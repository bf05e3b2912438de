//! What `bench-cases` is told to do, as JSON of one line on its standard input.
//!
//! Its shape is that of `Plan` in `crates/bench-cases/src/plan.rs`, which this program does not
//! link: it has to compile in seconds.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use serde_json::{Value, json};

use super::{arguments::Measuring, programs::Programs, revision::Revision, toolchain::Toolchain};

/// What is asked for on the command line, with paths that are known to be good.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub(super) baseline: Option<PathBuf>,
    pub(super) json: Option<PathBuf>,
    pub(super) html: Option<PathBuf>,
    pub(super) save: Option<PathBuf>,
    /// The folder of partial results.
    pub(super) out: Option<PathBuf>,
}

impl Files {
    /// Refuses to write two things into one file, or over one that is read.
    pub(super) fn differ(&self, read: Option<&Path>) -> anyhow::Result<()> {
        let written = [&self.json, &self.html, &self.save];
        let files = written.into_iter().flatten().map(PathBuf::as_path);
        let files: Vec<PathBuf> = files.chain(read).map(real).collect();
        for (at, file) in files.iter().enumerate() {
            ensure!(
                file.starts_with("/dev") || !files[..at].contains(file),
                "`{}` is named for two things: give each a file of its own",
                file.display()
            );
        }
        Ok(())
    }
}

/// The file that is meant, whatever it is called. One that is not there yet is in a folder that is.
fn real(path: &Path) -> PathBuf {
    let in_folder = || {
        let folder = path.parent()?.canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    let real = path.canonicalize().ok().or_else(in_folder);
    real.unwrap_or_else(|| path.to_path_buf())
}

/// Everything of a run.
pub(super) fn run(
    asked: &Measuring,
    files: &Files,
    revision: &Revision,
    against: Option<(&str, &Programs)>,
    toolchain: &Toolchain,
) -> Value {
    let mut plan = selection(asked);
    let more = json!({
        "quick": asked.quick,
        "blocks": asked.blocks,
        "iterations": asked.iterations,
        "seed": asked.seed,
        "baseline": files.baseline,
        "allow_dirty": asked.allow_dirty,
        "against": against.map(|(commit, programs)| json!({
            "revision": commit,
            "program": programs.runner,
            "server": programs.server,
        })),
        "out": files.out,
        "resume": asked.resume,
        "json": files.json,
        "html": files.html,
        "save": files.save,
        "without_allocations": asked.without_allocations,
        "instructions": asked.instructions,
        "scale_study": asked.scale_study,
        "seconds": asked.seconds,
        "lenient": asked.lenient,
        "toolchain": toolchain.to_json(),
        "git": {
            "revision": revision.commit,
            "dirty": revision.dirty,
            "against": against.map(|(commit, _)| commit),
        },
    });
    merge(&mut plan, more);
    plan
}

/// Only says which cases are chosen.
pub(super) fn list(asked: &Measuring) -> Value {
    let mut plan = selection(asked);
    let more = json!({ "quick": asked.quick, "list": true });
    merge(&mut plan, more);
    plan
}

/// Renders a stored report again.
pub(super) fn report(files: &Files, lenient: bool) -> Value {
    json!({ "json": files.json, "html": files.html, "lenient": lenient })
}

fn selection(asked: &Measuring) -> Value {
    json!({
        "components": asked.components(),
        "cases": asked.cases,
        "options": { "concurrency": asked.concurrency, "tiny": false },
    })
}

fn merge(plan: &mut Value, more: Value) {
    if let (Value::Object(plan), Value::Object(more)) = (plan, more) {
        plan.extend(more);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;
    use crate::cargo;

    /// The names of the fields of a struct.
    fn fields(source: &str, of: &str) -> BTreeSet<String> {
        let (_, body) = source.split_once(&format!("pub struct {of} {{")).unwrap();
        let (body, _) = body.split_once("\n}").unwrap();
        let names = body.lines().filter_map(|it| {
            let (name, _) = it.trim().strip_prefix("pub ")?.split_once(':')?;
            Some(name.to_owned())
        });
        names.collect()
    }

    fn keys(value: &Value) -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn each_output_has_a_file_of_its_own() {
        let folder = std::env::temp_dir().join(format!("xtask-files-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let check = |json: &str, html: &str, read: Option<&str>, expect: bool| {
            let at = |name: &str| match name.starts_with('/') {
                true => PathBuf::from(name),
                false => folder.join(name),
            };
            let files = Files {
                json: Some(at(json)),
                html: Some(at(html)),
                ..Files::default()
            };
            let differ = files.differ(read.map(at).as_deref());
            assert_eq!(differ.is_ok(), expect, "{json} {html} {read:?}: {differ:?}");
        };
        check("report.json", "report.html", None, true);
        check("report", "report", None, false);
        check("report", "../report", None, true);
        let name = folder.file_name().unwrap().to_str().unwrap();
        check("report", &format!("../{name}/report"), None, false);
        check("report.json", "report.html", Some("report.json"), false);
        check("/dev/null", "/dev/null", None, true);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_reader_knows_every_word_and_gets_everything_that_it_knows() {
        let source = cargo::root().join("crates/bench-cases/src/plan.rs");
        let source = fs::read_to_string(source).unwrap();
        let revision = Revision {
            commit: "c0ffee".to_owned(),
            dirty: false,
        };
        let programs = Programs {
            runner: "/bin/bench-cases".into(),
            server: None,
        };
        let asked = Measuring::default();
        let plan = run(
            &asked,
            &Files::default(),
            &revision,
            Some(("decaf", &programs)),
            &Toolchain::find().unwrap(),
        );
        let mut sent = keys(&plan);
        sent.extend(keys(&list(&asked)));
        // Only whoever starts the program by hand may measure without optimization.
        sent.insert("allow_debug".to_owned());
        assert_eq!(sent, fields(&source, "Plan"));
        assert_eq!(keys(&plan["against"]), fields(&source, "Against"));
        assert_eq!(keys(&plan["options"]), fields(&source, "Options"));
        assert!(keys(&report(&Files::default(), true)).is_subset(&sent));
    }
}
