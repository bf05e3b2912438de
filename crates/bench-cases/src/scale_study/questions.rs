//! The database's statements as its data grow in steps of ten.
//!
//! Each size has a database of its own, made by `ruleiq-server migrate` and `seed`, and dropped
//! when it has been measured.

use std::{collections::BTreeMap, path::Path, process::Stdio, sync::Arc, time::Duration};

use ruleiq_bench::{Fault, cpu::Servers, report::GrowthPoint};
use ruleiq_performance::benchmark::{DatabaseCase, ruleiq_cases};
use serde_json::Value;
use tokio::process::Command;
use tokio_postgres::Client;

use super::{Found, Say, Series, grouped, point};
use crate::{
    Env, Options,
    cases::database,
    postgres::{OwnedDatabase, connect},
};

/// The cases, and the index by whose depth each finds its first row.
pub(super) const CASES: [(&str, &str); 4] = [
    ("simple_select", "users_pkey"),
    (
        "complex_join",
        "idx_assessment_questions_session_id_position",
    ),
    (
        "aggregation",
        "idx_assessment_questions_session_id_position",
    ),
    (
        "indexed_search",
        "idx_assessment_sessions_user_id_created_at_id",
    ),
];

/// What filling may take besides a second for each 2,000 questions.
const FILL_LIMIT: Duration = Duration::from_secs(120);
/// Answers that are explained.
const EXPLAINED: usize = 20;

pub(super) async fn grow(
    env: &Arc<Env>,
    servers: Servers,
    sizes: &[u64],
    found: &Found,
    say: Say<'_>,
) -> Result<(), Fault> {
    for size in sizes {
        say(&format!(
            "a database of {} questions is filled",
            grouped(*size)
        ));
        let filled = fill_one(env, *size).await;
        let (database, its) = match filled {
            Ok(filled) => filled,
            Err(fault) => {
                found.keep(series(CASES[0].0), *size, Err(fault), say)?;
                return Ok(());
            }
        };
        for (case, index) in CASES {
            let series = series(case);
            say(&series.says(*size));
            let measured = measure(&its, servers, *size, case, index).await;
            found.keep(series, *size, measured, say)?;
        }
        drop(database);
    }
    Ok(())
}

/// A database of this size, and the surroundings of cases in it. It goes with its handle.
async fn fill_one(env: &Env, size: u64) -> Result<(OwnedDatabase, Arc<Env>), Fault> {
    let database = OwnedDatabase::create(env.owner_url()?).await?;
    fill(env.server_program()?, database.url(), size).await?;
    let its = Env::new()
        .with_seed(env.seed())
        .with_owner_url(database.url())
        .with_database_url(&database.url_for(env.database_url()?)?);
    Ok((database, Arc::new(its)))
}

fn series(case: &'static str) -> Series {
    Series {
        what: "questions",
        component: "database",
        case,
    }
}

async fn measure(
    env: &Arc<Env>,
    servers: Servers,
    size: u64,
    name: &str,
    index: &str,
) -> Result<GrowthPoint, Fault> {
    let owner = connect(env.owner_url()?).await?;
    let is_it = |it: &DatabaseCase| it.name == name;
    let unknown = || Fault::Failed(format!("there is no database case `{name}`"));
    let statement = ruleiq_cases().into_iter().find(is_it).ok_or_else(unknown)?;
    let mut figures = explained(&owner, &statement).await?;
    figures.extend(sizes(&owner).await?);
    if let Some(depth) = index_depth(&owner, index).await {
        figures.insert("index_depth".to_owned(), depth);
    }
    let all = database::cases(&Options::default());
    let case = all.iter().find(|it| it.name().case == name);
    let side = case.and_then(|it| it.sides().first()).ok_or_else(unknown)?;
    let mut arm = side.set_up(Arc::clone(env)).await?;
    point::measure(size, &mut *arm, servers, figures).await
}

/// Migrates and seeds through the server's own program.
async fn fill(program: &Path, owner_url: &str, questions: u64) -> Result<(), Fault> {
    run(program, owner_url, &["migrate", "up"], FILL_LIMIT).await?;
    let limit = FILL_LIMIT + Duration::from_secs(questions / 2_000);
    let scale = questions.to_string();
    run(program, owner_url, &["seed", "--scale", &scale], limit).await?;
    let owner = connect(owner_url).await?;
    // Only some roles may; without it the first slices write out what was filled in.
    drop(owner.batch_execute("CHECKPOINT").await);
    Ok(())
}

async fn run(
    program: &Path,
    owner_url: &str,
    arguments: &[&str],
    limit: Duration,
) -> Result<(), Fault> {
    let what = format!("`{} {}`", program.display(), arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("RULEIQ_ENV", "development")
        .env("DATABASE_OWNER_URL", owner_url)
        .env("LOG", "warn")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(limit, output).await;
    let late = || Fault::Failed(format!("{what} took more than {} s", limit.as_secs()));
    let output = output.map_err(|_| late())?.map_err(Fault::failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("nothing");
    Err(Fault::Failed(format!("{what} failed: {last}")))
}

/// How many pages and rows an answer takes, on average.
async fn explained(owner: &Client, case: &DatabaseCase) -> Result<BTreeMap<String, f64>, Fault> {
    let keys = case.sample(owner).await.map_err(Fault::failed)?;
    let explain = format!(
        "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {}",
        case.statement
    );
    let mut sums = [0.0; 3];
    let step = (keys.len() / EXPLAINED).max(1);
    let some: Vec<_> = keys.iter().step_by(step).collect();
    for key in &some {
        let row = owner.query_one(&explain, &key.params()).await;
        let json: Value = row.map_err(Fault::failed)?.get(0);
        let plan = &json[0]["Plan"];
        let number = |name: &str| plan[name].as_f64().unwrap_or(0.0);
        let hit = number("Shared Hit Blocks");
        sums[0] += hit + number("Shared Read Blocks");
        sums[1] += hit;
        sums[2] += scanned(plan);
    }
    #[expect(clippy::cast_precision_loss, reason = "there are a few")]
    let n = some.len().max(1) as f64;
    Ok(BTreeMap::from([
        ("buffers_per_op".to_owned(), sums[0] / n),
        ("buffer_hit_ratio".to_owned(), sums[1] / sums[0].max(1.0)),
        ("rows_scanned_per_op".to_owned(), sums[2] / n),
    ]))
}

/// The rows that a plan's leaves gave.
fn scanned(plan: &Value) -> f64 {
    match plan["Plans"].as_array() {
        Some(inner) => inner.iter().map(scanned).sum(),
        None => {
            let number = |name: &str| plan[name].as_f64().unwrap_or(0.0);
            number("Actual Rows") * number("Actual Loops")
        }
    }
}

async fn sizes(owner: &Client) -> Result<BTreeMap<String, f64>, Fault> {
    let row = owner
        .query_one(
            "SELECT pg_database_size(current_database())::float8,
                    setting::float8 * current_setting('block_size')::float8
             FROM pg_settings WHERE name = 'shared_buffers'",
            &[],
        )
        .await
        .map_err(Fault::failed)?;
    let (data, buffers): (f64, f64) = (row.get(0), row.get(1));
    Ok(BTreeMap::from([
        ("data_bytes".to_owned(), data),
        ("data_over_shared_buffers".to_owned(), data / buffers),
    ]))
}

/// Levels of a btree above its leaves. None where `pageinspect` is not there, or not ours to make.
async fn index_depth(owner: &Client, index: &str) -> Option<f64> {
    let create = "CREATE EXTENSION IF NOT EXISTS pageinspect";
    owner.batch_execute(create).await.ok()?;
    let level = "SELECT level::float8 FROM bt_metap($1)";
    Some(owner.query_one(level, &[&index]).await.ok()?.get(0))
}
