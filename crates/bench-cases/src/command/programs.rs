//! Which programs take part in a run, told apart by what is in them.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;
use xxhash_rust::xxh3::xxh3_128;

use super::env;
use crate::Plan;

/// The hashes of all programs that take part, by what they are.
pub(super) fn hashes(plan: &Plan) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let this = std::env::current_exe().context("failed to find this program's own file")?;
    let env = env()?;
    let against = plan.against.as_ref();
    let programs = [
        ("runner", Some(this.as_path())),
        ("server", env.server_program().ok()),
        ("earlier runner", against.map(|it| it.program.as_path())),
        (
            "earlier server",
            against.and_then(|it| it.server.as_deref()),
        ),
    ];
    let present = programs
        .into_iter()
        .filter_map(|(name, path)| Some((name, path?)));
    present
        .map(|(name, path)| Ok((name, hash(path)?)))
        .collect()
}

/// What has to be said where both revisions have the same programs.
pub(super) fn warning(plan: &Plan) -> anyhow::Result<Option<String>> {
    if plan.against.is_none() {
        return Ok(None);
    }
    Ok(are_same(&hashes(plan)?).then(|| {
        "the programs of both revisions are the same, byte for byte: there is no difference to see"
            .to_owned()
    }))
}

fn are_same(hashes: &BTreeMap<&'static str, String>) -> bool {
    let is_same = |now, then| match (hashes.get(now), hashes.get(then)) {
        (Some(now), Some(then)) => now == then,
        // An earlier server is there where a case needs one.
        _ => true,
    };
    hashes.contains_key("earlier runner")
        && is_same("runner", "earlier runner")
        && is_same("server", "earlier server")
}

fn hash(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    Ok(format!("{:032x}", xxh3_128(&bytes)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_the_same_if_all_their_programs_are() {
        let check = |of: &[(&'static str, &str)], expect: bool| {
            let hashes = of.iter().map(|(name, it)| (*name, (*it).to_owned()));
            assert_eq!(are_same(&hashes.collect()), expect, "{of:?}");
        };
        check(&[("runner", "1"), ("server", "2")], false);
        check(&[("runner", "1"), ("earlier runner", "2")], false);
        check(&[("runner", "1"), ("earlier runner", "1")], true);
        let servers = [("server", "2"), ("earlier server", "3")];
        check(
            &[&[("runner", "1"), ("earlier runner", "1")], &servers[..]].concat(),
            false,
        );
    }

    #[test]
    fn a_plan_without_an_earlier_revision_has_its_own_program_alone() {
        let plan = Plan::default();
        let hashes = hashes(&plan).unwrap();
        assert_eq!(hashes["runner"].len(), 32);
        assert!(!hashes.contains_key("earlier runner"));
        assert_eq!(warning(&plan).unwrap(), None);
    }
}
