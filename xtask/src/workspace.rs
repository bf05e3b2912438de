//! What `cargo metadata` and the root manifest say about this repository.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::cargo;

/// The repository: its members, and the tables that govern them.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Where builds go, and everything else that may be deleted.
    pub(crate) target: PathBuf,
    /// The layer of each member, by the name of its folder.
    pub(crate) layers: BTreeMap<String, Layer>,
    /// Third-party crates and the members that alone may use them.
    pub(crate) only: BTreeMap<String, Vec<String>>,
    pub(crate) members: Vec<Member>,
}

/// Where a member stands in `[workspace.metadata.layers]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Layer {
    /// A level of the product.
    Level(u32),
    /// Made for tests, and its place in the list of these.
    Dev(usize),
    /// Programs for whoever works on the repository.
    Tools,
}

/// One package of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    /// The name of the folder, which is also the package name without the project's prefix.
    pub(crate) name: String,
    pub(crate) package: String,
    pub(crate) dir: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: Vec<String>,
    pub(crate) has_library: bool,
}

/// One line of a member's dependencies.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) package: String,
    /// The member it is, if it is one of ours.
    pub(crate) member: Option<String>,
    /// Whether only tests, examples and benchmarks see it.
    pub(crate) dev: bool,
}

/// The folder for builds and for everything else that may be deleted.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    Ok(Workspace::load()?.target)
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> anyhow::Result<Workspace> {
        let output = cargo::command()
            .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
            .output()
            .context("failed to run `cargo metadata`")?;
        ensure!(
            output.status.success(),
            "`cargo metadata` failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata = serde_json::from_slice(&output.stdout)
            .context("`cargo metadata` did not answer with JSON")?;
        Workspace::from_metadata(&metadata)
    }

    /// Reads the answer of `cargo metadata`.
    pub(crate) fn from_metadata(metadata: &Value) -> anyhow::Result<Workspace> {
        let tables = &metadata["metadata"];
        let mut layers = BTreeMap::new();
        for (key, names) in object(&tables["layers"], "[workspace.metadata.layers]")? {
            for (place, name) in strings(names).enumerate() {
                let layer = match key.as_str() {
                    "dev" => Layer::Dev(place),
                    "tools" => Layer::Tools,
                    level => Layer::Level(level.parse().with_context(|| {
                        format!("layer `{level}` is neither a number nor `dev` nor `tools`")
                    })?),
                };
                ensure!(
                    layers.insert(name.to_owned(), layer).is_none(),
                    "[workspace.metadata.layers] names `{name}` twice"
                );
            }
        }
        let only = object(&tables["only"], "[workspace.metadata.only]")?
            .map(|(name, users)| (name.clone(), strings(users).map(str::to_owned).collect()))
            .collect();
        Ok(Workspace {
            root: text(&metadata["workspace_root"]).into(),
            target: text(&metadata["target_directory"]).into(),
            layers,
            only,
            members: array(&metadata["packages"])
                .iter()
                .map(Member::from_metadata)
                .collect(),
        })
    }

    /// The member of this name, with or without the project's prefix.
    pub(crate) fn member(&self, name: &str) -> anyhow::Result<&Member> {
        self.members
            .iter()
            .find(|it| it.package == name || it.name == name)
            .with_context(|| {
                let names: Vec<&str> = self.members.iter().map(|it| it.name.as_str()).collect();
                format!(
                    "there is no package `{name}`; there are {}",
                    names.join(", ")
                )
            })
    }
}

impl Member {
    fn from_metadata(package: &Value) -> Member {
        let dir = Path::new(text(&package["manifest_path"]))
            .parent()
            .unwrap_or(Path::new(""))
            .to_path_buf();
        let is_library = |target: &Value| {
            strings(&target["kind"]).any(|kind| kind.contains("lib") || kind == "proc-macro")
        };
        Member {
            name: file_name(&dir),
            package: text(&package["name"]).to_owned(),
            dependencies: array(&package["dependencies"])
                .iter()
                .map(|it| Dependency {
                    package: text(&it["name"]).to_owned(),
                    member: it["path"].as_str().map(|path| file_name(Path::new(path))),
                    dev: it["kind"] == "dev",
                })
                .collect(),
            features: package["features"]
                .as_object()
                .map(|it| it.keys().cloned().collect())
                .unwrap_or_default(),
            has_library: array(&package["targets"]).iter().any(is_library),
            dir,
        }
    }
}

fn object<'a>(
    value: &'a Value,
    table: &str,
) -> anyhow::Result<impl Iterator<Item = (&'a String, &'a Value)>> {
    let object = value.as_object();
    Ok(object
        .with_context(|| format!("{table} is missing in the root manifest"))?
        .iter())
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    array(value).iter().filter_map(Value::as_str)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|it| it.to_string_lossy().into_owned())
        .unwrap_or_default()
}
