//! What statements would cost if indexes were there: plans with HypoPG's hypothetical indexes.
//!
//! The indexes live in the memory of one backend and outlive a transaction, so a session is
//! forgotten at its end, and before its beginning whatever another one left. No statement of the
//! user is executed, and none is kept prepared: a plan that was made before an index would not know
//! of it (manual of HypoPG, "Limitations"). No index is ever unique: the planner would believe it.

use std::collections::BTreeMap;

use ruleiq_query::{Error as QueryError, Queries, Statement};
use serde::Deserialize;
use tokio_postgres::error::SqlState;

use crate::{Error, IndexDefinition, plan::PlanText};

/// How long planning may take.
const PLANNING_LIMIT_MS: u32 = 250;
/// More indexes at once make planning slow.
const MAX_ALIVE: usize = 64;

/// A session of questions.
#[derive(Debug)]
pub(crate) struct WhatIf<'a, Q> {
    queries: &'a Q,
    /// HypoPG's schema as it is written in SQL.
    schema: String,
    change: Statement,
    /// The session's own `statement_timeout`.
    limit_before: String,
    alive: BTreeMap<usize, u32>,
    /// How often the planner was asked.
    pub(crate) explains: u64,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) cost: f64,
    /// The hypothetical indexes in the plan, by the numbers that the caller gave them.
    pub(crate) used: Vec<usize>,
}

/// A plan, of which only this matters.
#[derive(Deserialize)]
struct Explained {
    #[serde(rename = "Plan")]
    plan: PlanNode,
}

#[derive(Deserialize)]
struct PlanNode {
    #[serde(rename = "Total Cost")]
    cost: f64,
    #[serde(rename = "Plan Rows")]
    rows: f64,
    #[serde(rename = "Index Name")]
    index: Option<String>,
    #[serde(rename = "Plans", default)]
    children: Vec<PlanNode>,
}

impl<'a, Q: Queries> WhatIf<'a, Q> {
    /// Begins a session, or answers `None` where HypoPG is not installed.
    pub(crate) async fn begin(queries: &'a Q) -> Result<Option<WhatIf<'a, Q>>, Error> {
        const FIND: &str = "SELECT quote_ident(n.nspname), current_setting('statement_timeout')
                            FROM pg_extension e
                            JOIN pg_namespace n ON n.oid = e.extnamespace
                            WHERE e.extname = 'hypopg'";
        let failed = || Error::reading("what HypoPG says");
        let Some(row) = queries.query_opt(FIND, &[]).await.map_err(failed())? else {
            return Ok(None);
        };
        let schema: String = row.get(0);
        let change = format!(
            "SELECT 0 AS place, 0::oid
             FROM unnest($1::oid[]) it WHERE {schema}.hypopg_drop_index(it) IS NULL
             UNION ALL
             SELECT asked.place, made.indexrelid
             FROM unnest($2::text[]) WITH ORDINALITY asked (sql, place),
                  LATERAL {schema}.hypopg_create_index(asked.sql) made
             ORDER BY place"
        );
        let session = WhatIf {
            change: queries.prepare(&change).await.map_err(failed())?,
            limit_before: row.get(1),
            queries,
            schema,
            alive: BTreeMap::new(),
            explains: 0,
        };
        session.forget().await?;
        session.limit(&format!("{PLANNING_LIMIT_MS}")).await?;
        Ok(Some(session))
    }

    /// Bounds how long planning may take.
    async fn limit(&self, limit: &str) -> Result<(), Error> {
        const LIMIT: &str = "SELECT set_config('statement_timeout', $1, false)";
        let limited = self.queries.query(LIMIT, &[&limit]).await;
        limited.map_err(Error::reading("what HypoPG says"))?;
        Ok(())
    }

    async fn forget(&self) -> Result<(), Error> {
        let reset = format!("SELECT {}.hypopg_reset()", self.schema);
        let forgotten = self.queries.query(&reset, &[]).await;
        forgotten.map_err(Error::reading("what HypoPG says"))?;
        Ok(())
    }

    /// Ends the session: nothing of it is left in the backend.
    pub(crate) async fn end(mut self) -> Result<(), Error> {
        self.alive.clear();
        self.limit(&self.limit_before).await?;
        self.forget().await
    }

    /// The bytes of an index as HypoPG believes, or why it knows no such index.
    pub(crate) async fn hypopg_bytes(
        &mut self,
        index: &IndexDefinition,
    ) -> Result<Result<f64, Refused>, Error> {
        let make = format!(
            "SELECT indexrelid, {0}.hypopg_relation_size(indexrelid)::float8
             FROM {0}.hypopg_create_index($1::text)",
            self.schema
        );
        let sql = creation(index);
        let row = match self.queries.query_one(&make, &[&sql]).await {
            Ok(row) => row,
            Err(error) if error.as_db_error().is_some() => return Ok(Err(Refused)),
            Err(error) => return Err(Error::reading("what HypoPG says")(error)),
        };
        let (oid, bytes): (u32, f64) = (row.get(0), row.get(1));
        self.change(&[oid], &[]).await?;
        Ok(Ok(bytes))
    }

    /// Plans a statement as if exactly these indexes were there besides the real ones. `None` where
    /// planning takes too long: some conditions with `OR` take exponentially more with each index.
    ///
    /// `relevant` are those that may change the plan: others may be there or not.
    pub(crate) async fn ask(
        &mut self,
        explain: &Explain,
        indexes: &[(usize, &IndexDefinition)],
        is_unwanted: impl Fn(usize) -> bool,
    ) -> Result<Option<Answer>, Error> {
        self.make(indexes, &is_unwanted).await?;
        loop {
            let answer = self.explain(explain).await?;
            let is_asked = |number: &usize| indexes.iter().any(|it| it.0 == *number);
            match answer {
                // One that was thought not to matter is in the plan: once more, without it.
                Some(answer) if !answer.used.iter().all(is_asked) => {
                    let uninvited = |it: usize| answer.used.contains(&it);
                    self.make(indexes, uninvited).await?;
                }
                answer => return Ok(answer),
            }
        }
    }

    /// Plans a statement with the hypothetical indexes that there are.
    async fn explain(&mut self, explain: &Explain) -> Result<Option<Answer>, Error> {
        self.explains += 1;
        let text = match explain.run(self.queries).await {
            Ok(text) => text,
            Err(error) if error.sql_state() == Some(&SqlState::QUERY_CANCELED) => return Ok(None),
            Err(error) => return Err(Error::reading("a plan with hypothetical indexes")(error)),
        };
        let explained: Vec<Explained> = serde_json::from_str(&text).unwrap_or_default();
        let Some(explained) = explained.into_iter().next() else {
            // Such as a cost beyond all numbers: an answer that nothing is preferred by.
            return Ok(Some(Answer {
                cost: f64::INFINITY,
                used: Vec::new(),
            }));
        };
        let mut used = Vec::new();
        self.used(&explained.plan, &mut used);
        used.sort_unstable();
        used.dedup();
        Ok(Some(Answer {
            cost: explained.plan.cost,
            used,
        }))
    }

    /// Has these indexes and none that is unwanted.
    async fn make(
        &mut self,
        indexes: &[(usize, &IndexDefinition)],
        is_unwanted: impl Fn(usize) -> bool,
    ) -> Result<(), Error> {
        let is_asked = |number: usize| indexes.iter().any(|it| it.0 == number);
        let is_crowded = self.alive.len() + indexes.len() > MAX_ALIVE;
        let dropped: Vec<usize> = (self.alive.keys().copied())
            .filter(|&it| !is_asked(it) && (is_crowded || is_unwanted(it)))
            .collect();
        let missing: Vec<_> = (indexes.iter())
            .filter(|it| !self.alive.contains_key(&it.0))
            .collect();
        if dropped.is_empty() && missing.is_empty() {
            return Ok(());
        }
        let oids: Vec<u32> = dropped.iter().map(|it| self.alive[it]).collect();
        let texts: Vec<String> = missing.iter().map(|it| creation(it.1)).collect();
        let made = self.change(&oids, &texts).await?;
        self.alive.retain(|it, _| !dropped.contains(it));
        for (oid, (number, _)) in made.into_iter().zip(missing) {
            self.alive.insert(*number, oid);
        }
        Ok(())
    }

    /// Drops some indexes and makes others, in one round trip.
    async fn change(&self, dropped: &[u32], made: &[String]) -> Result<Vec<u32>, Error> {
        let rows = self.queries.query(&self.change, &[&dropped, &made]).await;
        let rows = rows.map_err(Error::reading("what HypoPG says"))?;
        Ok(rows.iter().map(|it| it.get(1)).collect())
    }

    /// The numbers of the hypothetical indexes under a node. Their names begin with `<oid>`.
    fn used(&self, node: &PlanNode, found: &mut Vec<usize>) {
        let oid = |name: &str| {
            name.strip_prefix('<')?
                .split_once('>')?
                .0
                .parse::<u32>()
                .ok()
        };
        if let Some(oid) = node.index.as_deref().and_then(oid) {
            found.extend(self.alive.iter().filter(|it| *it.1 == oid).map(|it| *it.0));
        }
        for child in &node.children {
            self.used(child, found);
        }
    }
}

/// HypoPG knows no such index: an access method or an expression that it does not take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused;

fn creation(index: &IndexDefinition) -> String {
    format!("CREATE INDEX {}", index.on_clause())
}

/// How the plan of a statement is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Explain {
    /// A statement without parameters, which the server has read once. It is planned anew each time.
    Ready(Statement),
    /// A statement with parameters, of which nothing is known but their number.
    Generic { sql: String, parameters: usize },
}

impl Explain {
    /// Has the server read a statement without parameters.
    pub(crate) async fn ready(queries: &impl Queries, sql: &str) -> Result<Explain, QueryError> {
        let explain = format!("EXPLAIN (FORMAT JSON) {sql}");
        Ok(Explain::Ready(queries.prepare(&explain).await?))
    }

    /// The rows that the planner expects.
    pub(crate) async fn rows(&self, queries: &impl Queries) -> Option<f64> {
        let text = self.run(queries).await.ok()?;
        let explained: Vec<Explained> = serde_json::from_str(&text).ok()?;
        Some(explained.into_iter().next()?.plan.rows)
    }

    async fn run(&self, queries: &impl Queries) -> Result<String, QueryError> {
        match self {
            Explain::Ready(statement) => {
                let row = queries.query_one(statement, &[]).await?;
                Ok(row.get::<_, PlanText>(0).0)
            }
            Explain::Generic { sql, parameters } => {
                generic_plan(queries, sql, *parameters, "").await
            }
        }
    }
}

/// The plan that serves all values of the parameters, as JSON.
pub(crate) async fn generic_plan(
    queries: &impl Queries,
    sql: &str,
    parameters: usize,
    options: &str,
) -> Result<String, QueryError> {
    const NAME: &str = "ruleiq_what_if";
    queries
        .batch_execute(&format!(
            "SET plan_cache_mode = force_generic_plan; PREPARE {NAME} AS {sql}"
        ))
        .await?;
    let nulls = vec!["NULL"; parameters].join(", ");
    let execute = match parameters {
        0 => format!("EXPLAIN (FORMAT JSON{options}) EXECUTE {NAME}"),
        _ => format!("EXPLAIN (FORMAT JSON{options}) EXECUTE {NAME}({nulls})"),
    };
    let row = queries.query_one(&execute, &[]).await;
    queries
        .batch_execute(&format!("DEALLOCATE {NAME}; RESET plan_cache_mode"))
        .await?;
    Ok(row?.get::<_, PlanText>(0).0)
}
