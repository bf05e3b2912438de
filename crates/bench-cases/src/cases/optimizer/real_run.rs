//! Running a workload for real, with indexes that are built.
//!
//! An operation is one pass: every statement that reads, as often as its weight has it, in a drawn
//! order, on one connection. Writes are left out, since an index never makes them faster. What is advised
//! has been tried out before: no other advisor knows which of its indexes make a statement slower.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use ruleiq_bench::{Arm, Budget, Doing, Fault, Tally, concurrent};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{
    contest::{Contestant, Terms},
    planner::Planner,
    queries::QuerySet,
    site::Opened,
};
use crate::{
    Env,
    postgres::within,
    seeded::{Seeded, shuffled},
};

/// How often each statement is run with and without the indexes, to compare the two,
const TIMES: usize = 5;
/// and those that seem slower: one that is disturbed five times is nothing rare.
const AGAIN: usize = 20;
/// A difference that is no more than this is a clock's.
const LEAST: Duration = Duration::from_micros(100);
/// How much slower a statement may be with the indexes than without.
const SLOWER: f64 = 1.05;

/// What all sides are set up from.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct RealRun {
    pub(super) terms: Terms,
    /// Statements of a pass, roughly; each comes once at least.
    pub(super) pass: u32,
}

/// The side with the indexes that were advised and tried out, as `advise --trial` does by a wider limit.
pub(super) async fn with_advice(env: Arc<Env>, run: Arc<RealRun>) -> Result<Box<dyn Arm>, Fault> {
    set_up(&env, &run, Some(Contestant::TriedAdvice)).await
}

/// The side with those of Extend.
pub(super) async fn with_extend(env: Arc<Env>, run: Arc<RealRun>) -> Result<Box<dyn Arm>, Fault> {
    set_up(&env, &run, Some(Contestant::Extend)).await
}

/// The side with keys alone.
pub(super) async fn without(env: Arc<Env>, run: Arc<RealRun>) -> Result<Box<dyn Arm>, Fault> {
    set_up(&env, &run, None).await
}

async fn set_up(
    env: &Env,
    run: &RealRun,
    contestant: Option<Contestant>,
) -> Result<Box<dyn Arm>, Fault> {
    let mut opened = run.terms.site.open_own(env).await?;
    opened.queries = opened.queries.one_of(run.terms.one_of);
    let mut planner = Planner::connect(&opened.url).await?;
    let queries = opened.queries.clone().reading();
    // Before there is an index, which might lead to other rows.
    let right = count_rows(planner.client(), &queries).await?;
    let mut indexes = Vec::new();
    if let Some(contestant) = contestant {
        let task = run.terms.task(&planner).await?;
        // What is searched for is the whole workload; what is run are its reads.
        let found = contestant.find(&mut planner, &opened.queries, task).await?;
        indexes = within("building indexes", build(&planner, &found.indexes)).await?;
    }
    let order = pass(&queries, run.pass, env.seed());
    let running = Running {
        planner: Mutex::new(planner),
        queries,
        right,
    };
    let running = Arc::new(running);
    let mine = Arc::clone(&running);
    let operation = move || {
        let (running, order) = (Arc::clone(&mine), order.clone());
        async move { running.run(&order).await }
    };
    Ok(Box::new(RealArm {
        arm: concurrent(1, operation, |()| Ok(())),
        running,
        indexes,
        _opened: opened,
    }))
}

/// Creates indexes, and answers their names as they are quoted.
async fn build(planner: &Planner, indexes: &[String]) -> Result<Vec<String>, Fault> {
    const BUILT: &str = "SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname !~ '^pg_'
          AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)";
    let client = planner.client();
    for index in indexes {
        let built = client.batch_execute(index).await;
        built.map_err(Fault::failed)?;
    }
    // Expressions of indexes have statistics, too.
    let analyzed = client.batch_execute("VACUUM (ANALYZE)").await;
    analyzed.map_err(Fault::failed)?;
    let rows = client.query(BUILT, &[]).await.map_err(Fault::failed)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The places of the statements of one pass.
fn pass(queries: &QuerySet, statements: u32, seed: u64) -> Vec<usize> {
    let all: f64 = queries.iter().map(|it| it.weight).sum();
    let mut places = Vec::new();
    for (place, query) in queries.iter().enumerate() {
        let share = (query.weight / all * f64::from(statements)).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most `statements`"
        )]
        let times = (share as usize).max(1);
        places.extend(std::iter::repeat_n(place, times));
    }
    let count = u32::try_from(places.len()).unwrap_or(u32::MAX);
    let order = shuffled(&mut Seeded::new(seed, "pass"), count);
    order.into_iter().map(|it| places[it as usize]).collect()
}

struct Running {
    planner: Mutex<Planner>,
    queries: QuerySet,
    /// How many rows each statement has.
    right: Vec<usize>,
}

impl Running {
    async fn run(&self, order: &[usize]) -> Result<(), Fault> {
        let planner = self.planner.lock().await;
        let queries: Vec<_> = self.queries.iter().collect();
        for place in order {
            let query = queries[*place];
            let rows = rows(planner.client(), &query.text).await?;
            if rows != self.right[*place] {
                return Err(Fault::Wrong(format!(
                    "`{}` has {rows} rows in place of {}",
                    query.name, self.right[*place]
                )));
            }
        }
        Ok(())
    }

    /// The counts of statements that the indexes make slower, and how many times slower the worst is.
    /// Without them is: in a transaction that drops them and is rolled back. Whose plan is the same with and
    /// without is not slower, whatever a clock says.
    async fn compare(&self, indexes: &[String]) -> Result<BTreeMap<String, f64>, Fault> {
        let planner = self.planner.lock().await;
        let client = planner.client();
        let drop = format!("BEGIN; DROP INDEX {}", indexes.join(", "));
        let mut timed = vec![Compared::default(); self.right.len()];
        for round in 0..TIMES + AGAIN {
            // Whose plan is the same cannot be slower.
            let is_wanted = |it: &Compared| {
                round == 0 || (round < TIMES && it.has_other_plan()) || it.is_slower()
            };
            let wanted: Vec<bool> = timed.iter().map(is_wanted).collect();
            if !wanted.contains(&true) {
                break;
            }
            self.time(client, &wanted, |place, run| timed[place].with.note(run))
                .await?;
            run(client, &drop).await?;
            let without = self
                .time(client, &wanted, |place, run| timed[place].without.note(run))
                .await;
            run(client, "ROLLBACK").await?;
            without?;
        }
        let slower: Vec<f64> = timed
            .iter()
            .filter(|it| it.is_slower())
            .map(Compared::ratio)
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "a few statements")]
        let counts = [
            ("sampled_slower_statements", slower.len() as f64),
            (
                "sampled_worst_ratio",
                slower.iter().copied().fold(0.0, f64::max),
            ),
        ];
        Ok(counts.map(|(name, count)| (name.to_owned(), count)).into())
    }

    /// Plans and runs the statements that are wanted.
    async fn time(
        &self,
        client: &Client,
        wanted: &[bool],
        mut note: impl FnMut(usize, Ran),
    ) -> Result<(), Fault> {
        for (place, query) in self.queries.iter().enumerate() {
            if !wanted[place] {
                continue;
            }
            // Dropping indexes and taking that back empties the session's caches of the catalogue, too.
            let explain = format!("EXPLAIN (COSTS OFF) {}", query.text);
            let plan = client.simple_query(&explain).await.map_err(Fault::failed)?;
            let began = Instant::now();
            rows(client, &query.text).await?;
            let took = began.elapsed();
            let lines = plan.iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            let plan = lines.collect::<Vec<_>>().join("\n");
            note(place, Ran { plan, took });
        }
        Ok(())
    }
}

/// One run of a statement.
struct Ran {
    plan: String,
    took: Duration,
}

/// A statement's runs with the indexes and without.
#[derive(Clone, Debug, Default)]
struct Compared {
    with: Fastest,
    without: Fastest,
}

/// What a statement takes when nothing else is in its way: whatever disturbs it makes it slower.
#[derive(Clone, Debug, Default)]
struct Fastest {
    plan: String,
    took: Option<Duration>,
}

impl Compared {
    fn is_slower(&self) -> bool {
        let (Some(with), Some(without)) = (self.with.took, self.without.took) else {
            return false;
        };
        self.has_other_plan() && with > without + LEAST && self.ratio() > SLOWER
    }

    fn has_other_plan(&self) -> bool {
        self.with.plan != self.without.plan
    }

    fn ratio(&self) -> f64 {
        let seconds = |it: &Fastest| it.took.map_or(0.0, |took| took.as_secs_f64());
        seconds(&self.with) / seconds(&self.without).max(1e-9)
    }
}

impl Fastest {
    fn note(&mut self, ran: Ran) {
        self.took = Some(self.took.map_or(ran.took, |before| before.min(ran.took)));
        self.plan = ran.plan;
    }
}

async fn count_rows(client: &Client, queries: &QuerySet) -> Result<Vec<usize>, Fault> {
    let mut counts = Vec::new();
    for query in queries.iter() {
        counts.push(rows(client, &query.text).await?);
    }
    Ok(counts)
}

/// Runs a statement, and answers how many rows it has.
async fn rows(client: &Client, statement: &str) -> Result<usize, Fault> {
    let answer = client.simple_query(statement).await;
    let is_row = |it: &&SimpleQueryMessage| matches!(it, SimpleQueryMessage::Row(_));
    Ok(answer.map_err(Fault::failed)?.iter().filter(is_row).count())
}

async fn run(client: &Client, statement: &str) -> Result<(), Fault> {
    client.batch_execute(statement).await.map_err(Fault::failed)
}

struct RealArm {
    // Fields are dropped in this order: the connections end before their database.
    arm: Box<dyn Arm>,
    running: Arc<Running>,
    indexes: Vec<String>,
    _opened: Opened,
}

impl Arm for RealArm {
    fn check(&mut self) -> Doing<'_, ()> {
        self.arm.check()
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        self.arm.run(budget)
    }

    fn counts(&mut self) -> Doing<'_, BTreeMap<String, f64>> {
        Box::pin(async {
            if self.indexes.is_empty() {
                return Ok(BTreeMap::new());
            }
            let mut counts = self.running.compare(&self.indexes).await?;
            #[expect(clippy::cast_precision_loss, reason = "a few indexes")]
            let count = self.indexes.len() as f64;
            counts.insert("sampled_indexes".to_owned(), count);
            Ok(counts)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_plan_makes_a_statement_slower() {
        let ran = |plan: &str, ms| Ran {
            plan: plan.to_owned(),
            took: Duration::from_millis(ms),
        };
        let mut compared = Compared::default();
        assert!(!compared.is_slower());
        compared.without.note(ran("Seq Scan", 10));
        compared.with.note(ran("Index Scan", 15));
        assert!(compared.is_slower() && (compared.ratio() - 1.5).abs() < 1e-9);
        compared.with.note(ran("Index Scan", 10));
        assert!(!compared.is_slower(), "it was disturbed");
        compared.with.note(ran("Index Scan", 20));
        assert!(!compared.is_slower());
        let mut same = Compared::default();
        same.without.note(ran("Seq Scan", 10));
        same.with.note(ran("Seq Scan", 15));
        assert!(!same.is_slower());
    }

    #[test]
    fn a_pass_has_each_statement_as_often_as_its_weight_says() {
        let text = "-- name: a weight: 80\nSELECT 1;\n-- name: b weight: 19\nSELECT 2;\n\
                    -- name: c\nSELECT 3;\n";
        let queries = QuerySet::parse(text).unwrap();
        let order = pass(&queries, 10, 42);
        let times = |place| order.iter().filter(|it| **it == place).count();
        assert_eq!([times(0), times(1), times(2)], [8, 2, 1]);
        assert_eq!(order, pass(&queries, 10, 42));
        assert_ne!(order, pass(&queries, 10, 43));
    }
}
