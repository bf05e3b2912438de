//! How files are named and what they begin with.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::workspace::{Layer, Workspace};

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "base", "common", "helper", "helpers", "misc", "models", "types", "util", "utils",
];
/// The README of a crate is its documentation.
const README_IS_DOCUMENTATION: &str = "#![doc = include_str!(\"../README.md\")]";

/// Every file and folder has a name that means something, and a module has one place.
pub(super) fn names(workspace: &Workspace) -> Vec<String> {
    let mut breaches = Vec::new();
    for member in &workspace.members {
        if EMPTY_NAMES.contains(&member.name.as_str()) {
            breaches.push(format!("{}: name the crate for what it holds", member.name));
        }
        for path in sources(&member.dir, &["src", "tests", "benches", "examples"]) {
            let relative = path.strip_prefix(&member.dir).unwrap_or(&path);
            let shown = path.strip_prefix(&workspace.root).unwrap_or(&path);
            breaches.extend(name_breach(relative).map(|it| format!("{}: {it}", shown.display())));
        }
    }
    breaches
}

/// Every source file says what it is for.
pub(super) fn comments(workspace: &Workspace) -> Vec<String> {
    let mut breaches = Vec::new();
    for member in &workspace.members {
        for path in sources(&member.dir, &["src"]) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            // The tests of one module, moved out of its file, are about that module.
            let is_tests = path.file_name().is_some_and(|it| it == "tests.rs");
            if !is_tests && !text.starts_with("//!") && !text.starts_with("#![doc") {
                let shown = path
                    .strip_prefix(&workspace.root)
                    .unwrap_or(&path)
                    .display();
                breaches.push(format!("{shown}: begins without a comment on the module"));
            }
        }
    }
    breaches
}

/// Every crate has a README, and a library shows it as its documentation.
pub(super) fn documentation(workspace: &Workspace) -> Vec<String> {
    let mut breaches = Vec::new();
    for member in &workspace.members {
        if workspace.layers.get(&member.name) == Some(&Layer::Tools) {
            continue;
        }
        if !member.dir.join("README.md").exists() {
            breaches.push(format!("{}: no README.md", member.name));
        }
        let library = fs::read_to_string(member.dir.join("src/lib.rs")).unwrap_or_default();
        if member.has_library && !library.starts_with(README_IS_DOCUMENTATION) {
            breaches.push(format!(
                "{}: src/lib.rs does not begin with {README_IS_DOCUMENTATION}",
                member.name
            ));
        }
    }
    breaches
}

fn name_breach(path: &Path) -> Option<&'static str> {
    if path.file_name().is_some_and(|it| it == "mod.rs") {
        return Some("a module `foo` stands in `foo.rs`, beside its folder");
    }
    let stem = path.with_extension("");
    let empty = stem
        .iter()
        .any(|it| EMPTY_NAMES.iter().any(|empty| it == *empty));
    empty.then_some("name it for what it holds, or put it with its one user")
}

fn sources(dir: &Path, folders: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut pending: Vec<PathBuf> = folders.iter().map(|it| dir.join(it)).collect();
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_meaning_is_a_breach() {
        let check = |path: &str, is_breach: bool| {
            assert_eq!(name_breach(Path::new(path)).is_some(), is_breach, "{path}");
        };
        check("src/pool.rs", false);
        check("src/pool/stats.rs", false);
        check("src/baseline.rs", false);
        check("src/utils.rs", true);
        check("src/common/pool.rs", true);
        check("tests/it/helpers.rs", true);
        check("src/pool/mod.rs", true);
    }
}
