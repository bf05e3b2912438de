//! What reading a table through an index costs, where the planner cannot be asked.
//!
//! The planner's own formulas (`costsize.c`: `cost_bitmap_heap_scan`, `index_pages_fetched` of Mackert
//! and Lohman, the correlation of `cost_index`, `genericcostestimate`), without the cache that several scans share.

use ruleiq_query::Queries;

use crate::Error;

/// The planner's prices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prices {
    pub(crate) sequential_page: f64,
    pub(crate) random_page: f64,
    pub(crate) row: f64,
    pub(crate) index_entry: f64,
    pub(crate) operator: f64,
}

/// One look through an index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// The rows that it finds.
    pub(crate) rows: f64,
    /// The part of the index that it reads.
    pub(crate) part: f64,
    pub(crate) index_pages: f64,
    pub(crate) table_pages: f64,
    /// The correlation between the order of the index and that of the rows, from -1 to 1.
    pub(crate) order: f64,
    /// The part of the table's pages that the index does not answer for.
    pub(crate) unanswered: f64,
}

impl Prices {
    pub(crate) async fn read(queries: &impl Queries) -> Result<Prices, Error> {
        const READ: &str = "
            SELECT current_setting('seq_page_cost')::float8,
                   current_setting('random_page_cost')::float8,
                   current_setting('cpu_tuple_cost')::float8,
                   current_setting('cpu_index_tuple_cost')::float8,
                   current_setting('cpu_operator_cost')::float8";
        let row = queries.query_one(READ, &[]).await;
        let row = row.map_err(Error::reading("the planner's prices"))?;
        Ok(Prices {
            sequential_page: row.get(0),
            random_page: row.get(1),
            row: row.get(2),
            index_entry: row.get(3),
            operator: row.get(4),
        })
    }

    /// What a look costs.
    pub(crate) fn of(&self, look: Look) -> f64 {
        let leaves = (look.index_pages * look.part).ceil().max(1.0);
        let index = leaves * self.random_page + look.rows * (self.index_entry + self.operator);
        let pages = pages_fetched(look.rows, look.table_pages);
        // From each for itself to one after the other, as more of the table is read.
        let share = (pages / look.table_pages.max(1.0)).min(1.0).sqrt();
        let page = self.random_page - (self.random_page - self.sequential_page) * share;
        // At best, the rows lie one after the other.
        let adjoining = (look.table_pages * look.part).ceil().max(1.0);
        let least = self.random_page + (adjoining - 1.0) * self.sequential_page;
        let most = pages * page;
        let read = most + look.order.powi(2) * (least.min(most) - most);
        index + look.unanswered * read + look.rows * self.row
    }
}

/// The pages on which so many rows lie, spread evenly.
fn pages_fetched(rows: f64, pages: f64) -> f64 {
    let pages = pages.max(1.0);
    (2.0 * pages * rows / (2.0 * pages + rows))
        .ceil()
        .min(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICES: Prices = Prices {
        sequential_page: 1.0,
        random_page: 4.0,
        row: 0.01,
        index_entry: 0.005,
        operator: 0.0025,
    };

    #[track_caller]
    fn check(rows: f64, (unanswered, order): (f64, f64), expected: f64) {
        let look = Look {
            rows,
            part: rows / 100_000.0,
            index_pages: 276.0,
            table_pages: 1_000.0,
            order,
            unanswered,
        };
        let cost = PRICES.of(look);
        assert!((cost - expected).abs() < 0.01 * expected, "{cost}");
    }

    /// By hand: a hundred thousand rows on a thousand pages.
    #[test]
    fn costs_are_those_of_the_planner() {
        check(1.0, (1.0, 0.0), 7.92);
        check(100.0, (1.0, 0.0), 300.5);
        check(10_000.0, (1.0, 0.0), 1_287.0);
        check(100.0, (0.0, 0.0), 5.75);
        check(100.0, (1.0, 1.0), 9.75);
        check(10_000.0, (1.0, -1.0), 390.0);
    }

    #[test]
    fn no_more_pages_are_read_than_there_are() {
        assert_eq!(pages_fetched(1e9, 10.0), 10.0);
        assert_eq!(pages_fetched(1.0, 1e6), 1.0);
        assert_eq!(pages_fetched(0.0, 0.0), 0.0);
    }
}
