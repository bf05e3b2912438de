//! The searches that the guide's indexes are there for, one for each of them.

use std::collections::BTreeMap;

use ruleiq_bench::Fault;
use ruleiq_db_optimizer::Recommendation;
use serde_json::Value;
use tokio_postgres::{Client, Row, Statement, types::ToSql};
use uuid::Uuid;

/// Operations until the keys repeat.
const KEYS: usize = 16;

/// What a search is for, and with which columns the guide's index serves it.
struct Search {
    sql: &'static str,
    key: KeyOf,
    table: &'static str,
    columns: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum KeyOf {
    User,
    Business,
    Nothing,
}

const SEARCHES: [Search; 6] = [
    Search {
        sql: "SELECT id FROM business_profiles WHERE user_id = $1",
        key: KeyOf::User,
        table: "public.business_profiles",
        columns: &["user_id"],
    },
    Search {
        sql: "SELECT id FROM assessment_sessions WHERE user_id = $1",
        key: KeyOf::User,
        table: "public.assessment_sessions",
        columns: &["user_id"],
    },
    Search {
        sql: "SELECT id FROM assessment_sessions WHERE business_profile_id = $1",
        key: KeyOf::Business,
        table: "public.assessment_sessions",
        columns: &["business_profile_id"],
    },
    Search {
        sql: "SELECT id FROM assessment_sessions WHERE status = 'archived'",
        key: KeyOf::Nothing,
        table: "public.assessment_sessions",
        columns: &["status"],
    },
    Search {
        sql: "SELECT id FROM assessment_sessions ORDER BY created_at DESC LIMIT 20",
        key: KeyOf::Nothing,
        table: "public.assessment_sessions",
        columns: &["created_at"],
    },
    Search {
        sql: "SELECT id FROM assessment_sessions WHERE user_id = $1 AND status = 'archived'",
        key: KeyOf::User,
        table: "public.assessment_sessions",
        columns: &["user_id", "status"],
    },
];

/// The searches, with keys and right answers.
pub(super) struct Workload {
    statements: Vec<Statement>,
    keys: Vec<Keys>,
}

struct Keys {
    user: Uuid,
    business: Uuid,
    /// The ids that each search answers, in their order.
    answers: Vec<Vec<Uuid>>,
}

/// For how many of the searches the guide's index is among what is advised.
pub(super) fn found(advised: &[Recommendation]) -> usize {
    let is_advised = |search: &&Search| {
        advised
            .iter()
            .any(|it| it.table == search.table && it.columns == search.columns)
    };
    SEARCHES.iter().filter(is_advised).count()
}

impl Workload {
    /// Draws keys, and reads the right answers without any index.
    pub(super) async fn prepare(client: &Client) -> Result<Workload, Fault> {
        let mut statements = Vec::new();
        for search in &SEARCHES {
            statements.push(client.prepare(search.sql).await.map_err(Fault::failed)?);
        }
        // One that was planned before would keep its index.
        let settings = "SET enable_indexscan = off; SET enable_bitmapscan = off; \
                        SET enable_indexonlyscan = off; SET plan_cache_mode = force_custom_plan";
        client
            .batch_execute(settings)
            .await
            .map_err(Fault::failed)?;
        let drawn = "SELECT user_id, id FROM business_profiles ORDER BY md5(id::text) LIMIT $1";
        let drawn = client.query(drawn, &[&(KEYS as i64)]).await;
        let mut workload = Workload {
            statements,
            keys: Vec::new(),
        };
        for row in drawn.map_err(Fault::failed)? {
            let mut keys = Keys {
                user: row.get(0),
                business: row.get(1),
                answers: Vec::new(),
            };
            for at in 0..SEARCHES.len() {
                keys.answers.push(workload.search(client, at, &keys).await?);
            }
            workload.keys.push(keys);
        }
        client
            .batch_execute("RESET ALL")
            .await
            .map_err(Fault::failed)?;
        Ok(workload)
    }

    /// Does all searches once, with the keys of this round, and compares the answers.
    pub(super) async fn run(&self, client: &Client, round: usize) -> Result<(), Fault> {
        let keys = &self.keys[round % self.keys.len()];
        for (at, expected) in keys.answers.iter().enumerate() {
            let answer = self.search(client, at, keys).await?;
            if answer != *expected {
                return Err(Fault::Wrong(format!(
                    "`{}` answers {} rows in place of {}, or others",
                    SEARCHES[at].sql,
                    answer.len(),
                    expected.len()
                )));
            }
        }
        Ok(())
    }

    async fn search(&self, client: &Client, at: usize, keys: &Keys) -> Result<Vec<Uuid>, Fault> {
        let params: &[&(dyn ToSql + Sync)] = match SEARCHES[at].key {
            KeyOf::User => &[&keys.user],
            KeyOf::Business => &[&keys.business],
            KeyOf::Nothing => &[],
        };
        let rows = client.query(&self.statements[at], params).await;
        let rows = rows.map_err(Fault::failed)?;
        let mut ids: Vec<Uuid> = rows.iter().map(|row: &Row| row.get(0)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// What the planner believes all searches to cost, with the first keys.
    pub(super) async fn counts(&self, client: &Client) -> Result<BTreeMap<String, f64>, Fault> {
        let keys = &self.keys[0];
        let mut cost = 0.0;
        for search in &SEARCHES {
            let key = match search.key {
                KeyOf::User => keys.user,
                KeyOf::Business => keys.business,
                KeyOf::Nothing => Uuid::nil(),
            };
            let sql = search.sql.replace("$1", &format!("'{key}'"));
            let explained = client
                .query_one(&format!("EXPLAIN (FORMAT JSON) {sql}"), &[])
                .await
                .map_err(Fault::failed)?;
            let plan: Value = explained.get(0);
            cost += plan[0]["Plan"]["Total Cost"]
                .as_f64()
                .ok_or_else(|| Fault::Failed("a plan without a cost".to_owned()))?;
        }
        Ok(BTreeMap::from([("plan_cost".to_owned(), cost)]))
    }
}
