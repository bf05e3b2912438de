//! What git knows of the sources, and a checkout of an earlier revision.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, ensure};

use crate::{cargo, progress};

/// The file whose absence says that a revision cannot be measured.
const NEEDED: &str = "crates/bench-cases/Cargo.toml";
/// What stands for the revision of sources that are in no repository.
const UNKNOWN: &str = "unknown";

/// What is measured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Revision {
    /// The commit.
    pub(super) commit: String,
    /// Whether the tree differs from it.
    pub(super) dirty: bool,
}

/// A checkout of a commit, which is removed with this value.
#[derive(Debug)]
pub(super) struct Checkout {
    folder: PathBuf,
}

impl Revision {
    /// That of the working tree. Sources without a repository count as changed: nobody can tell
    /// what they were.
    pub(super) fn of_tree() -> Revision {
        let state = || {
            let commit = git(&["rev-parse", "HEAD"])?;
            let dirty = !git(&["status", "--porcelain"])?.is_empty();
            anyhow::Ok(Revision { commit, dirty })
        };
        state().unwrap_or_else(|_| Revision {
            commit: UNKNOWN.to_owned(),
            dirty: true,
        })
    }
}

/// The commit that somebody names, which has to have benchmarks.
pub(super) fn commit_of(name: &str) -> anyhow::Result<String> {
    let commit = git(&[
        "rev-parse",
        "--verify",
        "--end-of-options",
        &format!("{name}^{{commit}}"),
    ])
    .with_context(|| format!("`{name}` is no revision of this repository"))?;
    git(&["cat-file", "-e", &format!("{commit}:{NEEDED}")]).with_context(|| {
        format!("`{name}` has no {NEEDED}, so it cannot be measured; take a later revision")
    })?;
    Ok(commit)
}

impl Checkout {
    /// Checks the commit out into a folder, which is made.
    pub(super) fn make(commit: &str, folder: &Path) -> anyhow::Result<Checkout> {
        let checkout = Checkout {
            folder: folder.to_path_buf(),
        };
        checkout.remove().context("an old checkout is in the way")?;
        let shown = folder.to_str().context("the folder's name is not UTF-8")?;
        git(&["worktree", "add", "--detach", "--quiet", shown, commit])
            .with_context(|| format!("failed to check out {commit}"))?;
        Ok(checkout)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes this checkout, and what git knows of it. Of others, git keeps what it knows: that
    /// the folder of another checkout is not there now may be a disk that is not mounted.
    fn remove(&self) -> anyhow::Result<()> {
        let shown = self
            .folder
            .to_str()
            .context("the folder's name is not UTF-8")?;
        // Git refuses a folder of which it knows nothing, and forgets one that is gone.
        let forgotten = git(&["worktree", "remove", "--force", "--force", shown]);
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)
                .with_context(|| format!("failed to remove {}", self.folder.display()))?;
        }
        match forgotten {
            Err(error) if is_listed(&self.folder)? => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether git knows a checkout there.
fn is_listed(folder: &Path) -> anyhow::Result<bool> {
    let listed = git(&["worktree", "list", "--porcelain"])?;
    let folders = listed.lines().filter_map(|it| it.strip_prefix("worktree "));
    Ok(folders.map(Path::new).any(|it| it == folder))
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            progress::line(&format!("{error:#}"));
        }
    }
}

/// What git answers, in the root of the repository.
fn git(words: &[&str]) -> anyhow::Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new("git")
        .args(words)
        .current_dir(cargo::root())
        .output()
        .context("failed to run git")?;
    let said = String::from_utf8_lossy(&stderr);
    ensure!(status.success(), "git: {}", said.trim());
    Ok(String::from_utf8_lossy(&stdout).trim().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_commit_is_refused() {
        for name in ["no-such-revision", "", "--all", "HEAD:Cargo.toml"] {
            let error = format!("{:#}", commit_of(name).unwrap_err());
            assert!(error.contains("is no revision"), "{name}: {error}");
        }
    }

    #[test]
    fn a_checkout_goes_away_alone() {
        let Ok(head) = git(&["rev-parse", "HEAD"]) else {
            return; // Sources without a repository have no revisions.
        };
        let folder = std::env::temp_dir().join(format!("xtask-checkout-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let folder = folder.canonicalize().unwrap();
        let (ours, other) = (folder.join("ours"), folder.join("other"));
        let theirs = Checkout::make(&head, &other).unwrap();
        // Git still knows it, as one whose disk is not there.
        fs::remove_dir_all(&other).unwrap();
        let checkout = Checkout::make(&head, &ours).unwrap();
        assert!(checkout.folder().join(NEEDED).exists());
        drop(checkout);
        let known = (is_listed(&ours).unwrap(), is_listed(&other).unwrap());
        drop(theirs);
        let after = is_listed(&other).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!((known, after), ((false, true), false));
    }
}
