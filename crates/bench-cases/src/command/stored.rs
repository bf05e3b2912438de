//! The file of what is measured so far, and what has to be the same to go on with it.

use anyhow::bail;
use ruleiq_bench::{
    Measured,
    run::{RunPlan, Store, StoredRun},
};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{assemble::Facts, programs};
use crate::Plan;

/// Opens it, and answers what it already has. A run that goes on began when the stored run did, and
/// has its seed, which has to be `seed` if that is given.
pub(super) fn open(
    plan: &Plan,
    facts: &mut Facts,
    run_plan: &mut RunPlan,
    seed: Option<u64>,
) -> anyhow::Result<(Option<Store>, Vec<Measured>)> {
    let Some(folder) = &plan.out else {
        if plan.resume {
            bail!("there is nothing to resume without a folder of partial results");
        }
        return Ok((None, Vec::new()));
    };
    let key = key(plan, facts, run_plan)?;
    if plan.resume {
        let (store, run, done) = Store::resume(folder)?;
        run.expect(&key)?;
        if let Some(seed) = seed.filter(|it| *it != run.seed) {
            bail!(
                "the stored run was drawn from seed {}, and {seed} is asked for: begin anew, \
                 without resuming",
                run.seed
            );
        }
        run_plan.seed = run.seed;
        facts.started = OffsetDateTime::from_unix_timestamp(run.began_s)?;
        return Ok((Some(store), done));
    }
    let run = StoredRun {
        seed: run_plan.seed,
        began_s: facts.started.unix_timestamp(),
        key,
    };
    Ok((Some(Store::begin(folder, &run)?), Vec::new()))
}

/// Whatever makes figures differ. A tree with changes has no name of its own; its programs have.
fn key(plan: &Plan, facts: &Facts, run_plan: &RunPlan) -> anyhow::Result<Map<String, Value>> {
    let servers = facts
        .servers
        .iter()
        .map(|it| json!({ "name": it.name, "version": it.version, "settings": it.settings }));
    let key = json!({
        "revision": plan.git.revision,
        "dirty": plan.git.dirty,
        "programs": programs::hashes(plan)?,
        "against": plan.against.as_ref().map(|it| &it.revision),
        "quick": plan.quick,
        "blocks": run_plan.profile.blocks,
        "iterations": plan.iterations,
        "options": plan.options,
        "allocations": run_plan.counting.is_some(),
        "scale": { "name": facts.scale.name, "rows": facts.scale.rows },
        "servers": servers.collect::<Vec<Value>>(),
        "machine": facts.host.fingerprint,
    });
    Ok(key.as_object().cloned().unwrap_or_default())
}
