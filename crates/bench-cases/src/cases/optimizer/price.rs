//! What a workload costs with a set of indexes, as the planner has it.
//!
//! The cost is the sum over the statements of weight times the total cost of the plan, with the
//! indexes made up beside those of the constraints, and what writing to the indexes costs besides.

mod entries;

use ruleiq_bench::Fault;

use self::entries::Entries;
use super::{
    planner::{Planner, cost_of},
    queries::QuerySet,
};

/// What a write costs for each entry that it adds to an index, in the planner's units: a page of the
/// index that has to be written some day, and the record of that in the log.
pub(super) const ENTRY_COST: f64 = 1.0;

/// What a workload costs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Price {
    /// The weighted costs of all plans.
    pub(super) plans: f64,
    /// The weighted costs of the entries that writes add to indexes.
    pub(super) entries: f64,
    /// The sizes of the indexes that were made up, as `HypoPG` has them.
    pub(super) index_bytes: u64,
}

impl Price {
    /// Reading and writing.
    pub(super) fn total(&self) -> f64 {
        self.plans + self.entries
    }
}

/// What a workload costs with these indexes, where an entry of an index costs `entry_cost`. Leaves
/// none of them behind.
pub(super) async fn price(
    planner: &mut Planner,
    queries: &QuerySet,
    indexes: &[String],
    entry_cost: f64,
) -> Result<Price, Fault> {
    planner.hold(indexes).await?;
    let mut price = Price {
        plans: 0.0,
        entries: 0.0,
        index_bytes: 0,
    };
    for index in indexes {
        price.index_bytes += planner.hypothetical_bytes(index).await?;
    }
    let entries = Entries::of(planner, indexes).await?;
    for query in queries.iter() {
        let plan = planner.plan(&query.text).await?;
        price.plans += query.weight * cost_of(&plan)?;
        if let Some(write) = &query.write {
            let added = entries.added(planner, write, &plan).await?;
            price.entries += query.weight * entry_cost * added;
        }
    }
    planner.hold(&[]).await?;
    Ok(price)
}

#[cfg(test)]
mod tests {
    use ruleiq_test_support::TestDatabase;

    use super::*;

    const TABLE: &str = "CREATE TABLE t (n integer PRIMARY KEY, m integer, o integer);
        INSERT INTO t SELECT n, n % 100, n % 7 FROM generate_series(1, 20000) n;
        VACUUM (ANALYZE) t";

    async fn with_table(database: &TestDatabase) -> Planner {
        let client = database.client().await;
        for statement in TABLE.split(';') {
            client.batch_execute(statement).await.unwrap();
        }
        Planner::connect(database.url()).await.unwrap()
    }

    fn queries(text: &str) -> QuerySet {
        QuerySet::parse(text).unwrap()
    }

    #[tokio::test]
    async fn a_price_is_the_weighted_sum_of_what_plans_cost() {
        let database = TestDatabase::migrated().await;
        let mut planner = with_table(&database).await;
        let (one, other) = ("SELECT o FROM t WHERE m = 7", "SELECT count(*) FROM t");
        let text = format!("-- name: a weight: 3\n{one};\n-- name: b\n{other};\n");
        let index = ["CREATE INDEX ON t (m)".to_owned()];
        let without = price(&mut planner, &queries(&text), &[], 1.0)
            .await
            .unwrap();
        let with = price(&mut planner, &queries(&text), &index, 1.0)
            .await
            .unwrap();

        let plain = 3.0 * planner.cost(one).await.unwrap() + planner.cost(other).await.unwrap();
        assert!((without.plans - plain).abs() < 1e-6, "{without:?}, {plain}");
        assert_eq!((without.entries, without.index_bytes), (0.0, 0));
        assert!(with.total() < without.total() && with.index_bytes > 0);
    }

    #[tokio::test]
    async fn a_write_pays_for_each_index_that_it_adds_to() {
        let database = TestDatabase::migrated().await;
        let mut planner = with_table(&database).await;
        // Seven to one are in the partial one; the key has an entry of each insert, too.
        let indexes = [
            "CREATE INDEX ON t (m)".to_owned(),
            "CREATE INDEX ON t (m) WHERE o = 3".to_owned(),
        ];
        for (statement, without, with) in [
            ("INSERT INTO t VALUES (0, 1, 2), (-1, 1, 2)", 2.0, 4.3),
            // No index holds what it sets.
            ("UPDATE t SET o = 1 WHERE n = 1", 0.0, 2.14),
            ("UPDATE t SET m = 1 WHERE n = 1", 0.0, 2.14),
            ("DELETE FROM t WHERE n = 1", 0.0, 0.0),
        ] {
            let queries = queries(&format!("-- name: a weight: 10\n{statement}"));
            for (indexes, expect) in [(&[][..], without), (&indexes[..], with)] {
                let price = price(&mut planner, &queries, indexes, 0.5).await.unwrap();
                let entries = price.entries / 5.0;
                assert!((entries - expect).abs() < 0.1, "{statement}: {entries}");
            }
        }
    }
}
