//! One row by key, from a table of the case's own: its keys are numbers, which `pgbench` can draw,
//! too.

use std::sync::Arc;

use ruleiq_bench::{Arm, Fault, concurrent};
use serde::Serialize;
use tokio_postgres::{Client, Row};

use crate::{
    Env,
    around::{keeping, verified},
    draws::Draws,
    postgres::{OwnedSchema, PoolSettings, Pooled, connect, counted, warm, within},
};

/// What all sides are set up from.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PointSelect {
    #[serde(flatten)]
    pub(crate) pool: PoolSettings,
    statement: &'static str,
    /// Of the table.
    pub(crate) rows: u32,
    keys: &'static str,
}

/// The table of one side.
#[derive(Debug)]
pub(crate) struct Points {
    /// The statement, whose one parameter is a key from 1 to the number of rows.
    pub(crate) statement: String,
    keys: Draws<i64>,
    _schema: OwnedSchema,
}

impl PointSelect {
    pub(crate) fn new(pool: PoolSettings, rows: u32) -> PointSelect {
        PointSelect {
            pool,
            statement: "SELECT id, payload FROM points WHERE id = $1",
            rows,
            keys: "uniform over all",
        }
    }
}

impl Points {
    /// Makes and fills the table. Each side has one of its own, all of them alike.
    pub(crate) async fn create(env: &Env, settings: &PointSelect) -> Result<Points, Fault> {
        let rows = settings.rows;
        let table = format!(
            "CREATE TABLE points (id bigint PRIMARY KEY, payload text NOT NULL)
                 WITH (autovacuum_enabled = off);
             INSERT INTO points SELECT n, repeat(md5(n::text), 2) FROM generate_series(1, {rows}) n"
        );
        let owner_url = env.owner_url()?;
        let create = async {
            let schema = OwnedSchema::create(owner_url, env.database_url()?, &table).await?;
            let vacuum = format!("VACUUM (ANALYZE, FREEZE) {}.points", schema.name());
            let vacuumed = connect(owner_url).await?.batch_execute(&vacuum).await;
            vacuumed.map_err(Fault::failed)?;
            Ok(schema)
        };
        let schema = within("filling a table", create).await?;
        let name = format!("FROM {}.points", schema.name());
        Ok(Points {
            statement: settings.statement.replacen("FROM points", &name, 1),
            keys: Draws::uniform(env.seed(), "points", (1..=i64::from(rows)).collect())?,
            _schema: schema,
        })
    }

    /// A table, and a pool that is warm for its statement.
    pub(super) async fn behind<P: Pooled>(
        env: &Env,
        settings: &PointSelect,
    ) -> Result<(Arc<Points>, P), Fault> {
        let points = Points::create(env, settings).await?;
        let key = points.key();
        let pool = warm(
            env.database_url()?,
            &settings.pool,
            &points.statement,
            &[&key],
        )
        .await?;
        Ok((Arc::new(points), pool))
    }

    /// The next key.
    pub(super) fn key(&self) -> i64 {
        *self.keys.next()
    }

    /// Whether a row is that of the key.
    pub(super) fn judge(key: i64, row: &Row) -> Result<(), Fault> {
        let (id, payload): (i64, &str) = (row.get(0), row.get(1));
        if id == key && payload.len() == 64 {
            return Ok(());
        }
        Err(Fault::Wrong(format!("row {id} came in answer to {key}")))
    }
}

/// A side: the statement through the pool `P`.
pub(crate) async fn point_select<P: Pooled>(
    env: Arc<Env>,
    settings: Arc<PointSelect>,
) -> Result<Box<dyn Arm>, Fault> {
    let (points, pool) = Points::behind::<P>(&env, &settings).await?;
    let plain = Arc::new(connect(env.owner_url()?).await?);

    let (mine, its_pool) = (Arc::clone(&points), pool.clone());
    let operation = move || {
        let (pool, points) = (its_pool.clone(), Arc::clone(&mine));
        async move { pool.request(select(&pool, &points)).await }
    };
    let arm = concurrent(settings.pool.tasks, operation, |_| Ok(()));
    let arm = counted(arm, env.owner_url()?);
    let its = Arc::clone(&points);
    let arm = verified(arm, move || {
        let (pool, points, plain) = (pool.clone(), Arc::clone(&its), Arc::clone(&plain));
        async move { verify(&pool, &points, &plain).await }
    });
    Ok(keeping(arm, points))
}

/// One operation.
pub(super) async fn select<P: Pooled>(pool: &P, points: &Points) -> Result<Row, Fault> {
    let key = points.key();
    let connection = pool.checkout().await?;
    let row = P::query_one(&connection, &points.statement, &[&key]).await?;
    Points::judge(key, &row)?;
    Ok(row)
}

/// Compares an answer with what the row was made of.
async fn verify<P: Pooled>(pool: &P, points: &Points, plain: &Client) -> Result<(), Fault> {
    let row = select(pool, points).await?;
    let expected = plain
        .query_one(
            "SELECT repeat(md5($1::bigint::text), 2)",
            &[&row.get::<_, i64>(0)],
        )
        .await
        .map_err(Fault::failed)?;
    if row.get::<_, &str>(1) == expected.get::<_, &str>(0) {
        return Ok(());
    }
    Err(Fault::Wrong(
        "a row's text is not what it was made with".to_owned(),
    ))
}
