//! Who may depend on whom. The tables stand in the root manifest.

use crate::workspace::{Layer, Workspace};

/// The highest level that crates made for tests may use.
const HIGHEST_FOR_DEV: u32 = 2;

/// A crate depends only on crates of a strictly lower level, and every crate has a level.
pub(super) fn layering(workspace: &Workspace) -> Vec<String> {
    let layer_of = |name: &str| workspace.layers.get(name).copied();
    let mut breaches = Vec::new();
    for member in &workspace.members {
        let Some(own) = layer_of(&member.name) else {
            breaches.push(format!(
                "`{}` is in no layer of [workspace.metadata.layers]",
                member.name
            ));
            continue;
        };
        for dependency in &member.dependencies {
            let Some(name) = &dependency.member else {
                continue;
            };
            let Some(theirs) = layer_of(name) else {
                continue;
            };
            if !may_use(own, theirs, dependency.dev) {
                breaches.push(format!(
                    "`{}` ({}) must not depend on `{name}` ({})",
                    member.name,
                    shown(own),
                    shown(theirs)
                ));
            }
        }
    }
    let is_member = |name: &String| workspace.members.iter().any(|it| it.name == *name);
    for name in workspace.layers.keys().filter(|it| !is_member(it)) {
        breaches.push(format!(
            "[workspace.metadata.layers] names `{name}`, which does not exist"
        ));
    }
    breaches
}

/// Some third-party crates are the business of few members.
pub(super) fn owners(workspace: &Workspace) -> Vec<String> {
    let mut breaches = Vec::new();
    for (package, owners) in &workspace.only {
        for member in &workspace.members {
            let mut dependencies = member.dependencies.iter();
            let uses = dependencies.any(|it| it.package == *package && !it.dev);
            if uses && !owners.contains(&member.name) {
                breaches.push(format!(
                    "`{}` must not depend on `{package}`, which is for {}",
                    member.name,
                    owners.join(", ")
                ));
            }
        }
        let is_member = |name: &String| workspace.members.iter().any(|it| it.name == *name);
        for owner in owners.iter().filter(|it| !is_member(it)) {
            breaches.push(format!(
                "[workspace.metadata.only] names `{owner}`, which does not exist"
            ));
        }
    }
    breaches
}

/// Whether a crate of one layer may use one of the other, as a dependency of its tests or of its
/// own.
fn may_use(own: Layer, theirs: Layer, for_tests: bool) -> bool {
    match (own, theirs) {
        (_, Layer::Tools) => false,
        (Layer::Tools, _) => true,
        (Layer::Level(_), Layer::Dev(_)) => for_tests,
        (Layer::Level(own), Layer::Level(theirs)) => theirs < own,
        (Layer::Dev(_), Layer::Level(level)) => level <= HIGHEST_FOR_DEV,
        (Layer::Dev(own), Layer::Dev(theirs)) => theirs < own,
    }
}

fn shown(layer: Layer) -> String {
    match layer {
        Layer::Level(level) => format!("level {level}"),
        Layer::Dev(_) => "dev".to_owned(),
        Layer::Tools => "tools".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A member and the members and packages that it uses; a `+` marks those for tests.
    fn member(name: &str, uses: &[&str]) -> Value {
        let dependencies: Vec<Value> = uses
            .iter()
            .map(|it| {
                let kind = it.starts_with('+').then_some("dev");
                let name = it.trim_start_matches('+');
                match name.strip_prefix("ours/") {
                    Some(name) => {
                        json!({ "name": name, "path": format!("/w/crates/{name}"), "kind": kind })
                    }
                    None => json!({ "name": name, "kind": kind }),
                }
            })
            .collect();
        json!({
            "name": name,
            "manifest_path": format!("/w/crates/{name}/Cargo.toml"),
            "dependencies": dependencies,
        })
    }

    fn workspace(members: &[Value]) -> Workspace {
        let layers = json!({
            "0": ["low", "low-too"], "2": ["middle"], "3": ["high"],
            "dev": ["first", "second"], "tools": ["tool"],
        });
        let names = [
            "low", "low-too", "middle", "high", "first", "second", "tool",
        ];
        let absent = names
            .iter()
            .filter(|name| !members.iter().any(|it| it["name"] == **name))
            .map(|name| member(name, &[]));
        let packages: Vec<Value> = members.iter().cloned().chain(absent).collect();
        Workspace::from_metadata(&json!({
            "workspace_root": "/w",
            "metadata": { "layers": layers, "only": { "sqlx": ["middle"] } },
            "packages": packages,
        }))
        .unwrap()
    }

    #[test]
    fn only_dependencies_that_go_down_are_allowed() {
        let check = |name: &str, uses: &str, expect: &[&str]| {
            let breaches = layering(&workspace(&[member(name, &[uses])]));
            assert_eq!(breaches, expect, "{name} → {uses}");
        };
        check("high", "ours/low", &[]);
        check(
            "low",
            "ours/high",
            &["`low` (level 0) must not depend on `high` (level 3)"],
        );
        check(
            "low",
            "ours/low-too",
            &["`low` (level 0) must not depend on `low-too` (level 0)"],
        );
        check(
            "low",
            "+ours/high",
            &["`low` (level 0) must not depend on `high` (level 3)"],
        );
        check("low", "+ours/first", &[]);
        check(
            "low",
            "ours/first",
            &["`low` (level 0) must not depend on `first` (dev)"],
        );
        check("second", "ours/middle", &[]);
        check(
            "second",
            "ours/high",
            &["`second` (dev) must not depend on `high` (level 3)"],
        );
        check("second", "ours/first", &[]);
        check(
            "first",
            "+ours/second",
            &["`first` (dev) must not depend on `second` (dev)"],
        );
        check("tool", "ours/second", &[]);
        check("tool", "ours/high", &[]);
        check(
            "high",
            "+ours/tool",
            &["`high` (level 3) must not depend on `tool` (tools)"],
        );
        check("high", "serde", &[]);
    }

    #[test]
    fn a_member_without_a_layer_and_a_layer_without_its_member_are_breaches() {
        let mut workspace = workspace(&[member("new", &[])]);
        workspace.members.retain(|it| it.name != "tool");
        assert_eq!(
            layering(&workspace),
            [
                "`new` is in no layer of [workspace.metadata.layers]",
                "[workspace.metadata.layers] names `tool`, which does not exist",
            ]
        );
    }

    #[test]
    fn a_crate_with_owners_is_theirs_alone_except_in_tests() {
        let check = |members: &[Value], expect: &[&str]| {
            assert_eq!(owners(&workspace(members)), expect, "{members:?}");
        };
        let owner = member("middle", &["sqlx"]);
        check(std::slice::from_ref(&owner), &[]);
        check(&[owner.clone(), member("high", &["+sqlx"])], &[]);
        check(
            &[owner, member("high", &["sqlx"])],
            &["`high` must not depend on `sqlx`, which is for middle"],
        );
        check(
            &[member("low", &["sqlx"]), member("high", &["+sqlx"])],
            &["`low` must not depend on `sqlx`, which is for middle"],
        );
    }

    #[test]
    fn a_member_in_two_layers_is_refused() {
        let metadata = json!({
            "metadata": { "layers": { "0": ["a"], "1": ["a"] }, "only": {} },
            "packages": [],
        });
        let error = Workspace::from_metadata(&metadata).unwrap_err().to_string();
        assert_eq!(error, "[workspace.metadata.layers] names `a` twice");
    }
}
