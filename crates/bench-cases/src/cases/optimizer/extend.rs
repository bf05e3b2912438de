//! Extend: the search that ours is held against.
//!
//! Schlosser, Kossmann, Boissier: Efficient Scalable Multi-Attribute Index Selection Using Recursive
//! Strategies, ICDE 2019. It begins with no index. In each round it tries every further index of one
//! column, and every index that it has with one more column at its end; it takes what saves most cost
//! per byte, and ends where nothing saves 0.3 %. Columns are plain and ascending.

mod btree_bytes;
mod column;
mod costs;

use ruleiq_bench::Fault;

use self::{
    btree_bytes::BtreeBytes,
    column::{Column, columns},
    costs::Costs,
};
use super::{
    advise::{Found, Sizes, Task},
    planner::Planner,
    queries::QuerySet,
};

/// What a step has to save, as a ratio of the costs before and after it.
const LEAST_SAVED: f64 = 1.003;

/// An index of plain columns. All names are quoted where they need it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct PlainIndex {
    table: String,
    columns: Vec<Column>,
}

/// A step of the search.
struct Step {
    indexes: Vec<PlainIndex>,
    cost: f64,
    saved_per_byte: f64,
}

/// Indexes to be tried, of which the last is another than before.
struct Attempt {
    indexes: Vec<PlainIndex>,
    /// What the last one takes the place of.
    in_place_of: Option<PlainIndex>,
}

struct Search<'a> {
    costs: Costs<'a>,
    columns: Vec<Column>,
    /// Absent where sizes are `HypoPG`'s.
    bytes: Option<BtreeBytes>,
    budget_bytes: f64,
}

/// The indexes that Extend chooses.
pub(super) async fn extend(
    planner: &mut Planner,
    queries: &QuerySet,
    task: &Task,
) -> Result<Found, Fault> {
    let before = planner.explains();
    let of_queries = columns(planner, queries).await?;
    let columns = column::all(&of_queries);
    let bytes = match task.sizes {
        Sizes::Hypopg => None,
        Sizes::Own => Some(BtreeBytes::read(planner, &columns).await?),
    };
    let mut search = Search {
        costs: Costs::new(planner, queries, of_queries),
        columns,
        bytes,
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        budget_bytes: task.budget_bytes as f64,
    };
    let chosen = search.run().await?;
    planner.hold(&[]).await?;
    Ok(Found {
        indexes: chosen.iter().map(PlainIndex::sql).collect(),
        explains: planner.explains() - before,
    })
}

impl Search<'_> {
    async fn run(&mut self) -> Result<Vec<PlainIndex>, Fault> {
        let mut chosen = Vec::new();
        let mut cost = self.costs.of(&chosen).await?;
        while let Some(step) = self.step(&chosen, cost).await? {
            (chosen, cost) = (step.indexes, step.cost);
        }
        chosen.sort();
        Ok(chosen)
    }

    /// The best step, if one is worth while.
    async fn step(&mut self, chosen: &[PlainIndex], cost: f64) -> Result<Option<Step>, Fault> {
        let mut best: Option<Step> = None;
        for attempt in self.attempts(chosen) {
            let Some(step) = self.attempt(attempt, cost).await? else {
                continue;
            };
            if best
                .as_ref()
                .is_none_or(|it| step.saved_per_byte > it.saved_per_byte)
            {
                best = Some(step);
            }
        }
        Ok(best)
    }

    async fn attempt(&mut self, attempt: Attempt, before: f64) -> Result<Option<Step>, Fault> {
        let mut all_bytes = 0.0;
        for index in &attempt.indexes {
            all_bytes += self.bytes(index).await?;
        }
        if all_bytes > self.budget_bytes {
            return Ok(None);
        }
        let cost = self.costs.of(&attempt.indexes).await?;
        if cost * LEAST_SAVED >= before {
            return Ok(None);
        }
        let mut grown = match attempt.indexes.last() {
            Some(index) => self.bytes(index).await?,
            None => 0.0,
        };
        if let Some(index) = &attempt.in_place_of {
            grown -= self.bytes(index).await?;
        }
        Ok(Some(Step {
            indexes: attempt.indexes,
            cost,
            saved_per_byte: (before - cost) / grown.max(1.0),
        }))
    }

    fn attempts(&self, chosen: &[PlainIndex]) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for column in &self.columns {
            let single = PlainIndex::of(column);
            if !chosen.contains(&single) {
                attempts.push(Attempt {
                    indexes: chosen.iter().cloned().chain([single]).collect(),
                    in_place_of: None,
                });
            }
            for index in chosen {
                attempts.extend(longer(chosen, index, column));
            }
        }
        attempts
    }

    async fn bytes(&mut self, index: &PlainIndex) -> Result<f64, Fault> {
        if let Some(bytes) = &self.bytes {
            return Ok(bytes.of(index));
        }
        let bytes = self.costs.hypothetical_bytes(index).await?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let bytes = bytes as f64;
        Ok(bytes)
    }
}

/// The chosen indexes, one of them with another column at its end, if that may be.
fn longer(chosen: &[PlainIndex], index: &PlainIndex, column: &Column) -> Option<Attempt> {
    if column.table != index.table || index.columns.contains(column) {
        return None;
    }
    let mut longer = index.clone();
    longer.columns.push(column.clone());
    if chosen.contains(&longer) {
        return None;
    }
    let others = chosen.iter().filter(|it| *it != index).cloned();
    Some(Attempt {
        indexes: others.chain([longer]).collect(),
        in_place_of: Some(index.clone()),
    })
}

impl PlainIndex {
    fn of(column: &Column) -> PlainIndex {
        PlainIndex {
            table: column.table.clone(),
            columns: vec![column.clone()],
        }
    }

    fn sql(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|it| it.name.as_str()).collect();
        format!("CREATE INDEX ON {} ({})", self.table, names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use ruleiq_test_support::TestDatabase;

    use super::*;

    const TABLE: &str = r#"CREATE TABLE "Odd" ("A" integer, b integer, c text);
        INSERT INTO "Odd" SELECT n, n % 500, md5(n::text) FROM generate_series(1, 20000) n;
        ANALYZE "Odd""#;
    const QUERIES: &str = r#"-- name: first weight: 10
        SELECT c FROM "Odd" WHERE "A" = 7;
        -- name: second
        SELECT count(*) FROM "Odd" WHERE b = 7 AND c < 'a';"#;

    async fn search(budget_bytes: u64, sizes: Sizes) -> Found {
        let database = TestDatabase::migrated().await;
        let client = database.client().await;
        client.batch_execute(TABLE).await.unwrap();
        let mut planner = Planner::connect(database.url()).await.unwrap();
        let text = QUERIES.replace("\n        ", "\n");
        let queries = QuerySet::parse(&text).unwrap();
        let task = Task {
            budget_bytes,
            sizes,
            entry_cost: 0.0,
        };
        extend(&mut planner, &queries, &task).await.unwrap()
    }

    #[tokio::test]
    async fn what_saves_most_is_found_and_names_are_quoted() {
        let found = search(10_000_000, Sizes::Hypopg).await;
        let expect = [
            r#"CREATE INDEX ON "Odd" ("A")"#,
            r#"CREATE INDEX ON "Odd" (b)"#,
        ];
        // Appended columns may save a little more.
        for (index, begin) in found.indexes.iter().zip(expect) {
            assert!(index.starts_with(begin.trim_end_matches(')')), "{found:?}");
        }
        assert_eq!(found.indexes.len(), 2);
        // Two plans without, and one for each that a further index could change.
        assert!((6..40).contains(&found.explains), "{found:?}");
    }

    #[tokio::test]
    async fn nothing_beyond_the_budget_is_chosen() {
        let found = search(0, Sizes::Hypopg).await;
        assert!(found.indexes.is_empty(), "{found:?}");
        // Room for one, and not for two.
        let found = search(500_000, Sizes::Own).await;
        assert_eq!(found.indexes, [r#"CREATE INDEX ON "Odd" ("A")"#]);
    }
}
