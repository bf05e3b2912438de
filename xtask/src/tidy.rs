//! `tidy`: rules about the shape of the repository that the compiler does not check.
//!
//! Each rule is a function from the workspace to the list of its breaches, so that one run reports
//! all of them. The tests of this package run the same rules.

mod layers;
mod manifests;
mod places;
mod sources;

use std::process::ExitCode;

use crate::workspace::Workspace;

type Rule = fn(&Workspace) -> Vec<String>;

const RULES: &[Rule] = &[
    layers::layering,
    layers::owners,
    manifests::root,
    manifests::members,
    places::places,
    sources::names,
    sources::comments,
    sources::documentation,
];

/// Prints every breach.
#[expect(
    clippy::print_stdout,
    reason = "the breaches are what the command is for"
)]
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let breaches = breaches()?;
    if breaches.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for breach in &breaches {
        println!("{breach}");
    }
    println!(
        "{} breaches; the rules stand in xtask/src/tidy",
        breaches.len()
    );
    Ok(ExitCode::FAILURE)
}

fn breaches() -> anyhow::Result<Vec<String>> {
    let workspace = Workspace::load()?;
    Ok(RULES.iter().flat_map(|rule| rule(&workspace)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    #[test]
    fn the_repository_is_tidy() {
        let breaches = super::breaches().unwrap();
        assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
    }
}
