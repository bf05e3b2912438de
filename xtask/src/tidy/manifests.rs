//! What every manifest has in common.

use std::{fs, path::Path};

use toml::{Table, Value};

use crate::workspace::{Layer, Workspace};

const PREFIX: &str = "ruleiq-";
/// What a package takes from the workspace.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "publish"];
const DEPENDENCIES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// The root manifest names every dependency as the package itself does.
pub(super) fn root(workspace: &Workspace) -> Vec<String> {
    match read(&workspace.root) {
        Ok(manifest) => renamed(&manifest),
        Err(breach) => vec![breach],
    }
}

/// Every member inherits what is decided once, and is named after its folder.
pub(super) fn members(workspace: &Workspace) -> Vec<String> {
    let mut breaches = Vec::new();
    for member in &workspace.members {
        let is_tool = workspace.layers.get(&member.name) == Some(&Layer::Tools);
        let name = &member.name;
        if !is_tool && member.package != format!("{PREFIX}{name}") {
            breaches.push(format!(
                "{name}: its package is `{}`, not `{PREFIX}{name}`",
                member.package
            ));
        }
        match read(&member.dir) {
            Ok(manifest) => {
                let found = not_inherited(&manifest);
                breaches.extend(found.into_iter().map(|it| format!("{name}: {it}")));
            }
            Err(breach) => breaches.push(breach),
        }
    }
    breaches
}

/// A renamed dependency breaks the paths in the expansions of its macros.
fn renamed(manifest: &Table) -> Vec<String> {
    let dependencies = manifest
        .get("workspace")
        .and_then(|it| it.get("dependencies"))
        .and_then(Value::as_table);
    let Some(dependencies) = dependencies else {
        return vec!["the root manifest has no [workspace.dependencies]".to_owned()];
    };
    dependencies
        .iter()
        .filter_map(|(key, dependency)| Some((key, dependency.get("package")?.as_str()?)))
        .map(|(key, package)| {
            format!(
                "[workspace.dependencies] calls `{package}` `{key}`; use the package's own name"
            )
        })
        .collect()
}

fn not_inherited(manifest: &Table) -> Vec<String> {
    let inherits = |value: Option<&Value>| {
        let workspace = value.and_then(|it| it.get("workspace"));
        workspace.and_then(Value::as_bool) == Some(true)
    };
    let mut breaches = Vec::new();
    if !inherits(manifest.get("lints")) {
        breaches.push("no `[lints] workspace = true`".to_owned());
    }
    for key in INHERITED {
        if !inherits(manifest.get("package").and_then(|it| it.get(key))) {
            breaches.push(format!("no `{key}.workspace = true`"));
        }
    }
    for table in DEPENDENCIES {
        let dependencies = manifest.get(*table).and_then(Value::as_table);
        for (name, dependency) in dependencies.into_iter().flatten() {
            if !inherits(Some(dependency)) {
                breaches.push(format!(
                    "[{table}] gives `{name}` a version of its own; it belongs into \
                     [workspace.dependencies]"
                ));
            }
        }
    }
    breaches
}

fn read(dir: &Path) -> Result<Table, String> {
    let path = dir.join("Cargo.toml");
    let text = fs::read_to_string(&path).map_err(|it| format!("{}: {it}", path.display()))?;
    text.parse()
        .map_err(|it| format!("{}: {it}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_dependency_is_a_breach() {
        let check = |manifest: &str, expect: &[&str]| {
            assert_eq!(renamed(&manifest.parse().unwrap()), expect, "{manifest}");
        };
        check(
            "[workspace.dependencies]\nserde = '1'\ntime = { version = '1' }",
            &[],
        );
        check(
            "[workspace.dependencies]\njson = { package = 'serde_json', version = '1' }",
            &["[workspace.dependencies] calls `serde_json` `json`; use the package's own name"],
        );
        check(
            "[workspace]",
            &["the root manifest has no [workspace.dependencies]"],
        );
    }

    #[test]
    fn what_is_decided_once_is_inherited() {
        let sound = "
            [package]
            version.workspace = true
            edition.workspace = true
            rust-version.workspace = true
            license.workspace = true
            publish.workspace = true
            [lints]
            workspace = true
            [dependencies]
            serde = { workspace = true, features = ['derive'] }
        ";
        let check = |from: &str, to: &str, expect: &[&str]| {
            let manifest = sound.replace(from, to);
            assert_eq!(
                not_inherited(&manifest.parse().unwrap()),
                expect,
                "{manifest}"
            );
        };
        check("", "", &[]);
        check("[lints]", "[other]", &["no `[lints] workspace = true`"]);
        check(
            "edition.workspace = true",
            "edition = '2021'",
            &["no `edition.workspace = true`"],
        );
        check(
            "serde = { workspace = true,",
            "serde = { version = '1',",
            &[
                "[dependencies] gives `serde` a version of its own; it belongs into \
               [workspace.dependencies]",
            ],
        );
    }
}
