//! Many rows in one statement, into a table of the case's own.
//!
//! The table has the columns of RuleIQ's questions, and is emptied at the end of each slice: its
//! size is bounded and the same for all sides. It is never vacuumed meanwhile.

use std::sync::Arc;

use ruleiq_bench::{Arm, Fault, concurrent};
use serde::Serialize;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    Env,
    around::{keeping, undone, verified},
    draws::Draws,
    postgres::{OwnedSchema, PoolSettings, Pooled, connect, counted, warm},
    seeded::Seeded,
};

const TABLE: &str = "CREATE TABLE questions (
        id           uuid    PRIMARY KEY,
        session_id   uuid    NOT NULL,
        framework_id uuid    NOT NULL,
        code         text    NOT NULL,
        title        text    NOT NULL,
        position     integer NOT NULL
    ) WITH (autovacuum_enabled = off);
    CREATE INDEX ON questions (session_id, position)";

/// As many different batches of rows, so that none is sent twice in a row.
const BATCHES: usize = 64;

/// What both sides are set up from.
#[derive(Clone, Debug, Serialize)]
pub(super) struct BulkInsert {
    #[serde(flatten)]
    pool: PoolSettings,
    statement: &'static str,
    rows_per_operation: usize,
}

/// The texts of a statement's rows.
#[derive(Debug)]
struct Batch {
    framework: Uuid,
    codes: Vec<String>,
    titles: Vec<String>,
}

/// Shared by the tasks of a side.
struct Inserted {
    statement: String,
    batches: Draws<Batch>,
}

impl BulkInsert {
    pub(super) fn new(pool: PoolSettings, rows: usize) -> BulkInsert {
        BulkInsert {
            pool,
            statement: "INSERT INTO questions (id, session_id, framework_id, code, title, position) \
                        SELECT id, $1, $2, code, title, position::integer \
                        FROM unnest($3::uuid[], $4::text[], $5::text[]) \
                        WITH ORDINALITY AS row (id, code, title, position)",
            rows_per_operation: rows,
        }
    }

    fn statement_in(&self, schema: &OwnedSchema) -> String {
        let table = format!("INTO {}.questions", schema.name());
        self.statement.replacen("INTO questions", &table, 1)
    }
}

/// A side: the statement through the pool `P`.
pub(super) async fn bulk_insert<P: Pooled>(
    env: Arc<Env>,
    settings: Arc<BulkInsert>,
) -> Result<Box<dyn Arm>, Fault> {
    let (url, owner_url) = (env.database_url()?, env.owner_url()?);
    let schema = OwnedSchema::create(owner_url, url, TABLE).await?;
    let owner = connect(owner_url).await?;
    let mut draws = Seeded::new(env.seed(), "bulk_insert");
    let rows = settings.rows_per_operation;
    let batches = (0..BATCHES)
        .map(|_| Batch::draw(&mut draws, rows))
        .collect();
    let inserted = Arc::new(Inserted {
        statement: settings.statement_in(&schema),
        batches: Draws::uniform(env.seed(), "batches", batches)?,
    });
    let select = format!(
        "SELECT code, title FROM {}.questions WHERE session_id = $1 ORDER BY position",
        schema.name()
    );
    let pool: P = warm(url, &settings.pool, &select, &[&Uuid::nil()]).await?;

    let (mine, its_pool) = (Arc::clone(&inserted), pool.clone());
    let operation = move || {
        let (pool, inserted) = (its_pool.clone(), Arc::clone(&mine));
        async move { pool.request(insert(&pool, &inserted)).await.map(drop) }
    };
    let arm = concurrent(settings.pool.tasks, operation, |()| Ok(()));
    let arm = counted(arm, owner_url);
    let select = Arc::new((select, connect(owner_url).await?));
    let arm = verified(arm, move || {
        let (pool, inserted) = (pool.clone(), Arc::clone(&inserted));
        let select = Arc::clone(&select);
        async move { verify(&pool, &inserted, &select.0, &select.1).await }
    });
    let empty = format!("TRUNCATE {}.questions", schema.name());
    Ok(keeping(undone(arm, owner, empty), schema))
}

/// One operation. Answers what it stored, and under which session.
async fn insert<'a, P: Pooled>(
    pool: &P,
    inserted: &'a Inserted,
) -> Result<(Uuid, &'a Batch), Fault> {
    let batch = inserted.batches.next();
    let ids: Vec<Uuid> = batch.codes.iter().map(|_| Uuid::now_v7()).collect();
    let session = Uuid::now_v7();
    let connection = pool.checkout().await?;
    let rows = P::execute(
        &connection,
        &inserted.statement,
        &[
            &session,
            &batch.framework,
            &ids,
            &batch.codes,
            &batch.titles,
        ],
    )
    .await?;
    if rows == ids.len() as u64 {
        return Ok((session, batch));
    }
    Err(Fault::Wrong(format!(
        "{rows} rows were stored of {}",
        ids.len()
    )))
}

/// Stores rows and reads them back on another connection.
async fn verify<P: Pooled>(
    pool: &P,
    inserted: &Inserted,
    select: &str,
    plain: &Client,
) -> Result<(), Fault> {
    let (session, batch) = insert(pool, inserted).await?;
    let rows = plain
        .query(select, &[&session])
        .await
        .map_err(Fault::failed)?;
    let stored = rows
        .iter()
        .map(|it| (it.get::<_, String>(0), it.get::<_, String>(1)));
    let sent = batch
        .codes
        .iter()
        .cloned()
        .zip(batch.titles.iter().cloned());
    if stored.eq(sent) {
        return Ok(());
    }
    Err(Fault::Wrong(
        "other rows are stored than were sent".to_owned(),
    ))
}

impl Batch {
    fn draw(draws: &mut Seeded, rows: usize) -> Batch {
        Batch {
            framework: Uuid::from_u64_pair(draws.next(), draws.next()),
            codes: (0..rows).map(|_| text(draws, 1)).collect(),
            titles: (0..rows).map(|_| text(draws, 6)).collect(),
        }
    }
}

fn text(draws: &mut Seeded, words: usize) -> String {
    let words: Vec<String> = (0..words)
        .map(|_| format!("{:08x}", draws.below(u32::MAX)))
        .collect();
    words.join(" ")
}
