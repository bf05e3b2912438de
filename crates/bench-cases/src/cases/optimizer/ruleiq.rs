//! RuleIQ's own workload: its tables with keys alone, the rows of the demo seed, its statements.
//!
//! The rows are copied from the database of all cases, which has indexes. Tokens and keys of
//! requests, of which the seed has none, are made by their numbers.

use futures_util::{SinkExt as _, StreamExt as _, pin_mut};
use ruleiq_bench::Fault;
use ruleiq_migrator::{Migrator, Ownership, Target};
use tokio_postgres::Client;

use super::{advise::Found, queries::QuerySet, schema::UpTo};
use crate::{Env, postgres::connect};

/// In an order in which they may be filled.
const TABLES: [&str; 8] = [
    "users",
    "business_profiles",
    "compliance_frameworks",
    "framework_controls",
    "assessment_sessions",
    "assessment_session_frameworks",
    "assessment_questions",
    "assessment_responses",
];
/// Those that the schema has beside its constraints'.
const INDEXES: &str = "SELECT format('DROP INDEX %I.%I', n.nspname, c.relname)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public'
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)";
/// The user that the statements name most.
const NAMED: &str = "SELECT count(*) FROM users WHERE id = '01856aa0-c800-7000-808b-5af501b77e52'";
const ASSESSMENTS: &str = "SELECT count(*) FROM assessment_sessions";

/// All statements.
pub(super) fn queries() -> Result<QuerySet, Fault> {
    QuerySet::parse(include_str!("ruleiq/queries.sql"))
}

/// The best set of indexes that was found by hand for them, within half of the tables' size.
pub(super) fn by_hand() -> Found {
    Found::recorded(include_str!("ruleiq/by_hand.sql"))
}

/// The name of a database for it, and what that holds.
pub(super) async fn name(env: &Env) -> Result<(String, String), Fault> {
    let source = connect(env.owner_url()?).await?;
    let row = source.query_one(ASSESSMENTS, &[]).await;
    let assessments: i64 = row.map_err(Fault::failed)?.get(0);
    let holds = format!("RuleIQ with keys alone, {assessments} assessments");
    Ok(("ruleiq_bench_ruleiq".to_owned(), holds))
}

/// Fills a database, whatever an earlier call has left in it.
pub(super) async fn fill(env: &Env, url: &str) -> Result<(), Fault> {
    let migrator = Migrator::embedded();
    migrator.up(url).await.map_err(Fault::failed)?;
    let target = Target::To(UpTo::Schema.version());
    let ownership = Ownership::default();
    let reverted = migrator.down(url, target, &ownership).await;
    reverted.map_err(Fault::failed)?;
    let (source, to) = (connect(env.owner_url()?).await?, connect(url).await?);
    for row in to.query(INDEXES, &[]).await.map_err(Fault::failed)? {
        run(&to, row.get(0)).await?;
    }
    // Each row was checked where it comes from.
    run(&to, "SET session_replication_role = replica").await?;
    run(&to, &format!("TRUNCATE {} CASCADE", TABLES.join(", "))).await?;
    for table in TABLES {
        copy(&source, &to, table).await?;
    }
    run(&to, include_str!("ruleiq/rows.sql")).await?;
    run(&to, "VACUUM (ANALYZE)").await
}

/// Whether the rows are those that the statements name.
pub(super) async fn is_demo(url: &str) -> Result<bool, Fault> {
    let client = connect(url).await?;
    let row = client.query_one(NAMED, &[]).await;
    Ok(row.map_err(Fault::failed)?.get::<_, i64>(0) == 1)
}

async fn copy(from: &Client, to: &Client, table: &str) -> Result<(), Fault> {
    let rows = from
        .copy_out(&format!("COPY {table} TO STDOUT (FORMAT binary)"))
        .await
        .map_err(Fault::failed)?;
    let sink = to
        .copy_in(&format!("COPY {table} FROM STDIN (FORMAT binary)"))
        .await
        .map_err(Fault::failed)?;
    pin_mut!(rows, sink);
    while let Some(block) = rows.next().await {
        let block = block.map_err(Fault::failed)?;
        sink.send(block).await.map_err(Fault::failed)?;
    }
    sink.finish().await.map_err(Fault::failed)?;
    Ok(())
}

async fn run(client: &Client, statement: &str) -> Result<(), Fault> {
    client.batch_execute(statement).await.map_err(Fault::failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workload_reads_and_writes_and_the_set_made_by_hand_is_of_indexes() {
        let all = queries().unwrap();
        let writes = all.iter().filter(|it| it.write.is_some());
        let tagged = all.iter().filter(|it| it.tags == ["write"]);
        assert!(writes.clone().count() >= 14 && writes.eq(tagged));
        assert!(all.reading().iter().count() >= 38);
        let by_hand = by_hand().indexes;
        assert!(!by_hand.is_empty());
        for index in by_hand {
            assert!(index.starts_with("CREATE INDEX ON "), "{index}");
        }
    }
}
