//! The programs that measure and that are measured, of this tree and of an earlier revision.
//!
//! They are copied aside, so that a build in another terminal does not change them in the middle
//! of a run. Both copies have paths of one length: the length of a program's name moves its stack,
//! and with it its speed (Mytkowicz et al., Producing wrong data without doing anything obviously
//! wrong, 2009).

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::revision::Checkout;
use crate::{
    process::Interrupt,
    program::{Build, SERVER, named},
    progress, workspace,
};

const BENCH_CASES: &str = "ruleiq-bench-cases";
/// The program of that package which runs cases; others of it stand beside.
const RUNNER: &str = "bench-cases";
/// What says with which compiler the programs in a folder were built, in a target folder of their
/// own.
const BUILT_WITH: &str = "built-aside-with";
/// Where earlier revisions are built. Never into the folder of this tree: cargo names what it built
/// of a package by its place in the workspace, which is the same in both checkouts, and tells them
/// apart by times of files alone, so that one revision could get the other's programs.
const AGAINST_TARGET: &str = "against-target";
/// The folders of both sides: their names have one length.
const CURRENT: &str = "current";
const AGAINST: &str = "against";
/// The folder of what a run has measured so far.
pub(super) const RUN: &str = "run";

/// Programs as cargo built them, by name.
#[derive(Debug)]
pub(super) struct Built(BTreeMap<String, PathBuf>);

/// The programs of one revision, in a folder of their own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Programs {
    /// `bench-cases`.
    pub(super) runner: PathBuf,
    /// `ruleiq-server`, where it is needed.
    pub(super) server: Option<PathBuf>,
}

impl Built {
    /// Builds the program that runs cases, of this tree.
    pub(super) fn runner(interrupt: &Interrupt) -> anyhow::Result<Built> {
        if !workspace::target()?.join("release").join(RUNNER).exists() {
            progress::line("the first build takes some minutes");
        }
        Ok(Built(build(BENCH_CASES, None).run(interrupt)?))
    }

    /// Builds the server too.
    pub(super) fn add_server(&mut self, interrupt: &Interrupt) -> anyhow::Result<()> {
        self.0.extend(build(SERVER, None).run(interrupt)?);
        Ok(())
    }

    /// `bench-cases`.
    pub(super) fn bench_cases(&self) -> anyhow::Result<PathBuf> {
        named(&self.0, RUNNER)
    }

    /// Copies them into the folder of this run.
    pub(super) fn aside(&self, home: &Path, commit: &str) -> anyhow::Result<Programs> {
        let side = home.join(CURRENT);
        if side.exists() {
            fs::remove_dir_all(&side)
                .with_context(|| format!("failed to remove {}", side.display()))?;
        }
        copy(&self.0, &side.join(commit))
    }
}

impl Programs {
    /// Those of a commit, which are built if they are not kept from an earlier run.
    pub(super) fn of_commit(
        commit: &str,
        needs_server: bool,
        home: &Path,
        built_with: &str,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Programs> {
        let folder = home.join(AGAINST).join(commit);
        let mark = folder.join(BUILT_WITH);
        if fs::read_to_string(&mark).is_ok_and(|it| it == built_with) {
            let kept = Programs::in_folder(&folder);
            if kept.runner.exists() && (kept.server.is_some() || !needs_server) {
                return Ok(kept);
            }
        }
        progress::line(&format!(
            "building revision {commit} aside, which takes some minutes"
        ));
        let checkout = Checkout::make(commit, &home.join("checkout"))?;
        let mut programs = BTreeMap::new();
        for build in builds_aside(checkout.folder(), home, needs_server) {
            programs.extend(build.run(interrupt)?);
        }
        let programs = copy(&programs, &folder)?;
        fs::write(&mark, built_with)
            .with_context(|| format!("failed to write {}", mark.display()))?;
        Ok(programs)
    }

    fn in_folder(folder: &Path) -> Programs {
        Programs {
            runner: folder.join(RUNNER),
            server: Some(folder.join(SERVER)).filter(|it| it.exists()),
        }
    }
}

/// Throws away what earlier runs left: the programs of earlier revisions, and partial results.
pub(super) fn forget(home: &Path) -> anyhow::Result<()> {
    for folder in [home.join(AGAINST), against_target(home), home.join(RUN)] {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error)
                    .with_context(|| format!("failed to remove {}", folder.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn against_target(home: &Path) -> PathBuf {
    home.join(AGAINST_TARGET)
}

/// What is built of an earlier revision's sources, into a folder that is theirs.
fn builds_aside<'a>(sources: &'a Path, home: &Path, needs_server: bool) -> Vec<Build<'a>> {
    let packages = [BENCH_CASES]
        .into_iter()
        .chain(needs_server.then_some(SERVER));
    let builds = packages.map(|it| build(it, Some((sources, against_target(home)))));
    builds.collect()
}

/// A package by itself, with the features that it has when it is installed.
fn build<'a>(package: &'a str, elsewhere: Option<(&'a Path, PathBuf)>) -> Build<'a> {
    Build {
        package,
        debug: false,
        locked: true,
        elsewhere,
    }
}

fn copy(programs: &BTreeMap<String, PathBuf>, folder: &Path) -> anyhow::Result<Programs> {
    fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    for (name, path) in programs {
        let copy = folder.join(name);
        // A program that still runs cannot be overwritten, but it can be removed.
        drop(fs::remove_file(&copy));
        fs::copy(path, &copy).with_context(|| format!("failed to copy {}", path.display()))?;
    }
    Ok(Programs::in_folder(folder))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn both_sides_have_paths_of_one_length() {
        assert_eq!(CURRENT.len(), AGAINST.len());
    }

    #[test]
    fn an_earlier_revision_is_built_apart_from_this_tree() {
        let sources = Path::new("/checkout");
        let target = |build: &Build<'_>| {
            let command = build.command();
            assert_eq!(command.get_current_dir(), Some(sources));
            let mut words = command.get_args().skip_while(|it| *it != "--target-dir");
            words.nth(1).map(PathBuf::from)
        };
        let check = |needs_server: bool, packages: &[&str]| {
            let builds = builds_aside(sources, Path::new("/home"), needs_server);
            let names: Vec<&str> = builds.iter().map(|it| it.package).collect();
            assert_eq!(names, packages);
            for build in &builds {
                assert_eq!(target(build), Some("/home/against-target".into()));
            }
        };
        check(false, &[BENCH_CASES]);
        check(true, &[BENCH_CASES, SERVER]);
        // This tree is built where cargo builds it.
        let ours = build(BENCH_CASES, None).command();
        assert!(ours.get_args().all(|it| it != "--target-dir"));
    }

    #[test]
    fn starting_over_leaves_nothing_of_earlier_runs() {
        let home = std::env::temp_dir().join(format!("xtask-forget-{}", std::process::id()));
        for folder in [
            "against/c0ffee",
            "against-target/release",
            "run",
            "postgres",
        ] {
            fs::create_dir_all(home.join(folder)).unwrap();
        }
        forget(&home).unwrap();
        forget(&home).unwrap();
        let left: Vec<_> = fs::read_dir(&home).unwrap().flatten().collect();
        let left: Vec<_> = left.iter().map(fs::DirEntry::file_name).collect();
        fs::remove_dir_all(&home).unwrap();
        assert_eq!(left, ["postgres"]);
    }

    #[test]
    fn the_programs_of_a_run_are_its_own() {
        let home = std::env::temp_dir().join(format!("xtask-programs-{}", std::process::id()));
        let release = home.join("release");
        fs::create_dir_all(&release).unwrap();
        let names = ["bench-cases", "bench-cases-alloc"];
        for name in names {
            fs::write(release.join(name), "one").unwrap();
        }
        let built = Built(names.map(|it| (it.to_owned(), release.join(it))).into());
        built.aside(&home, "an-earlier-commit").unwrap();
        let aside = built.aside(&home, "c0ffee").unwrap();
        fs::write(release.join("bench-cases"), "two").unwrap();

        let folders = fs::read_dir(home.join("current")).unwrap().count();
        let text = fs::read_to_string(&aside.runner).unwrap();
        let other = home.join("current/c0ffee/bench-cases-alloc").exists();
        fs::remove_dir_all(&home).unwrap();
        assert_eq!((folders, text.as_str(), other), (1, "one", true));
        assert_eq!(aside.server, None);
    }
}
