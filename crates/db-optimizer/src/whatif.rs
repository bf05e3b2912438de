//! What statements would cost if indexes were there: plans with HypoPG's hypothetical indexes.
//!
//! The indexes live in the memory of one backend and outlive a transaction, so a session is
//! forgotten at its end, and before its beginning whatever another one left. No statement of the
//! user is executed, and none is kept prepared: a plan that was made before an index would not know
//! of it (manual of HypoPG, "Limitations"). No index is ever unique: the planner would believe it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use ruleiq_query::{Error as QueryError, Queries, Statement};
use tokio_postgres::error::SqlState;

use crate::{
    Error, IndexDefinition,
    catalogue::Oid,
    generic_plan::{Draw, Planner, Plans},
    plan::{Plan, PlanText},
};

/// More indexes at once make planning slow.
const MAX_ALIVE: usize = 64;

/// A session of questions.
#[derive(Debug)]
pub(crate) struct WhatIf<'a, Q> {
    queries: &'a Q,
    /// HypoPG's schema as it is written in SQL.
    schema: String,
    change: Statement,
    /// Whether real indexes can be hidden: from HypoPG 1.4 on.
    can_hide: bool,
    alive: BTreeMap<usize, u32>,
    /// How often the planner was asked.
    pub(crate) explains: u64,
}

/// A plan with hypothetical indexes.
#[derive(Debug)]
pub(crate) struct PlanWith {
    pub(crate) plan: Plan,
    pub(crate) cost: f64,
    /// The names of the real indexes in it, and in the plans for constants that are drawn.
    pub(crate) real: BTreeSet<String>,
    /// The number of each of them that is in it, with the name that it has there.
    pub(crate) indexes: BTreeMap<usize, String>,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) cost: f64,
    /// The hypothetical indexes in the plan, by the numbers that the caller gave them.
    pub(crate) used: Vec<usize>,
}

impl<'a, Q: Queries> WhatIf<'a, Q> {
    /// Begins a session, or answers `None` where HypoPG is not installed.
    pub(crate) async fn begin(queries: &'a Q) -> Result<Option<WhatIf<'a, Q>>, Error> {
        const FIND: &str = "SELECT quote_ident(n.nspname),
                                   to_regprocedure(format('%I.hypopg_hide_index(oid)', n.nspname)) IS NOT NULL
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
            queries,
            schema,
            can_hide: row.get(1),
            alive: BTreeMap::new(),
            explains: 0,
        };
        session.forget().await?;
        Ok(Some(session))
    }

    async fn forget(&self) -> Result<(), Error> {
        self.call("hypopg_reset()").await?;
        if self.can_hide {
            self.call("hypopg_unhide_all_indexes()").await?;
        }
        Ok(())
    }

    async fn call(&self, function: &str) -> Result<(), Error> {
        let call = format!("SELECT {}.{function}", self.schema);
        let called = self.queries.query(&call, &[]).await;
        called.map_err(Error::reading("what HypoPG says"))?;
        Ok(())
    }

    pub(crate) fn can_hide(&self) -> bool {
        self.can_hide
    }

    /// Has the planner overlook a real index, in this session alone, until it is shown again.
    pub(crate) async fn hide(&self, index: Oid) -> Result<(), Error> {
        self.call(&format!("hypopg_hide_index({index})")).await
    }

    pub(crate) async fn show(&self, index: Oid) -> Result<(), Error> {
        self.call(&format!("hypopg_unhide_index({index})")).await
    }

    /// Ends the session: nothing of it is left in the backend.
    pub(crate) async fn end(mut self) -> Result<(), Error> {
        self.alive.clear();
        self.forget().await
    }

    /// The bytes of each index as HypoPG believes, and `None` for one that it does not take: another
    /// access method than its own, no such operator class, no immutable function.
    pub(crate) async fn hypopg_bytes(
        &mut self,
        indexes: &[IndexDefinition],
    ) -> Result<Vec<Option<f64>>, Error> {
        let mut all = vec![None; indexes.len()];
        let mut parts: Vec<Range<usize>> = (0..indexes.len())
            .step_by(MAX_ALIVE)
            .map(|from| from..(from + MAX_ALIVE).min(indexes.len()))
            .collect();
        while let Some(part) = parts.pop() {
            match self.bytes_of_part(&indexes[part.clone()]).await? {
                Some(bytes) => all[part].copy_from_slice(&bytes),
                // One of them is refused, and with it the others.
                None if part.len() > 1 => {
                    let middle = part.start + part.len() / 2;
                    parts.extend([part.start..middle, middle..part.end]);
                }
                None => {}
            }
        }
        Ok(all)
    }

    /// The bytes of all, if none is refused.
    async fn bytes_of_part(
        &mut self,
        indexes: &[IndexDefinition],
    ) -> Result<Option<Vec<Option<f64>>>, Error> {
        let make = format!(
            "SELECT {0}.hypopg_relation_size(made.indexrelid)::float8
             FROM unnest($1::text[]) WITH ORDINALITY asked (sql, place),
                  LATERAL {0}.hypopg_create_index(asked.sql) made
             ORDER BY asked.place",
            self.schema
        );
        let texts: Vec<String> = indexes.iter().map(creation).collect();
        let made = self.queries.query(&make, &[&texts]).await;
        // Those before one that is refused are there: they know of no transaction.
        self.forget().await?;
        match made {
            Ok(rows) => Ok(Some(rows.iter().map(|it| Some(it.get(0))).collect())),
            Err(error) if error.as_db_error().is_some() => Ok(None),
            Err(error) => Err(Error::reading("what HypoPG says")(error)),
        }
    }

    /// The plan of a statement as if exactly these indexes were there.
    pub(crate) async fn plan(
        &mut self,
        explain: &Explain,
        indexes: &[(usize, &IndexDefinition)],
    ) -> Result<Option<PlanWith>, Error> {
        self.make(indexes, |_| true).await?;
        self.explains += explain.plan_count();
        let plans = explain.plans(self.queries).await?;
        Ok(plans.map(|it| {
            let named = |it: &Plan| -> Vec<String> {
                let names = it.index_names();
                names.filter(|it| self.number(it).is_none()).collect()
            };
            let real = it.all().flat_map(named);
            let (real, cost) = (real.collect(), it.cost());
            let plan = it.generic;
            let names = plan.index_names();
            let number = |name: String| Some((self.number(&name)?, name));
            PlanWith {
                indexes: names.filter_map(number).collect(),
                real,
                cost,
                plan,
            }
        }))
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
        self.explains += explain.plan_count();
        let explained = explain.run(self.queries).await?;
        Ok(explained.map(|it| Answer {
            cost: it.cost,
            used: self.numbers(&it.indexes),
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

    /// The numbers of the hypothetical indexes among these. Their names begin with `<oid>`.
    fn numbers(&self, names: &[String]) -> Vec<usize> {
        let mut numbers: Vec<usize> = names.iter().filter_map(|it| self.number(it)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn number(&self, name: &str) -> Option<usize> {
        let oid: u32 = name.strip_prefix('<')?.split_once('>')?.0.parse().ok()?;
        let found = self.alive.iter().find(|it| *it.1 == oid);
        found.map(|it| *it.0)
    }
}

fn creation(index: &IndexDefinition) -> String {
    format!("CREATE INDEX {}", index.on_clause())
}

/// How the plan of a statement is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Explain {
    /// A statement without parameters, which the server has read once. It is planned anew each time.
    Ready(Statement),
    /// A statement with parameters, which is planned for any values of them, and for those that are
    /// drawn: the cheaper way counts.
    Generic { sql: String, draws: Vec<Draw> },
}

/// What matters of a plan.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) cost: f64,
    pub(crate) rows: f64,
    indexes: Vec<String>,
}

impl Explain {
    /// Has the server read a statement without parameters. It takes one statement and no more.
    pub(crate) async fn ready(queries: &impl Queries, sql: &str) -> Result<Explain, QueryError> {
        let explain = format!("EXPLAIN (FORMAT JSON) {sql}");
        Ok(Explain::Ready(queries.prepare(&explain).await?))
    }

    /// Plans the statement; `None` where that takes too long, or the plan cannot be read.
    pub(crate) async fn run(&self, queries: &impl Queries) -> Result<Option<Outcome>, Error> {
        Ok(self.plans(queries).await?.map(|it| Outcome::of(&it)))
    }

    /// How many plans an answer takes.
    fn plan_count(&self) -> u64 {
        match self {
            Explain::Ready(_) => 1,
            Explain::Generic { draws, .. } => 1 + draws.len() as u64,
        }
    }

    async fn plans(&self, queries: &impl Queries) -> Result<Option<Plans>, Error> {
        match self {
            Explain::Ready(statement) => {
                let row = match queries.query_one(statement, &[]).await {
                    Err(it) if it.sql_state() == Some(&SqlState::QUERY_CANCELED) => {
                        return Ok(None);
                    }
                    other => other.map_err(Error::reading("a plan with hypothetical indexes"))?,
                };
                let plan = Plan::parse(&row.get::<_, PlanText>(0).0).ok();
                Ok(plan.map(Plans::only))
            }
            Explain::Generic { sql, draws } => {
                let mut planner = Planner::begin(queries).await?;
                let planned = planner.plans(sql, draws).await;
                planner.end().await?;
                Ok(planned?.ok())
            }
        }
    }
}

impl Outcome {
    fn of(plans: &Plans) -> Outcome {
        Outcome {
            cost: plans.cost(),
            rows: plans.generic.root.plan_rows.unwrap_or(0.0),
            indexes: plans.taken().iter().flat_map(Plan::index_names).collect(),
        }
    }
}
