//! What a database is asked, with what, and what a right answer looks like.

use std::ops::RangeInclusive;

use ruleiq_query::{Error, Read};
use tokio_postgres::{Row, types::ToSql};

use super::Parameter;

/// The most values that a case is asked with in turn.
pub const MAX_KEYS: usize = 1_000;

/// A statement that reads, what it is asked with, and what a right answer looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseCase {
    /// Its name, without the component: `simple_select`.
    pub name: &'static str,
    /// What it measures, in one sentence.
    pub about: &'static str,
    /// The statement. It must not write.
    pub statement: &'static str,
    /// A statement whose rows are what [`statement`](Self::statement) is asked with: one column for
    /// each of its parameters, in their order and of their types. At most [`MAX_KEYS`] rows are
    /// used; it should not read much more. None for a statement without parameters.
    pub keys: Option<&'static str>,
    /// How many rows a right answer has.
    pub rows: RangeInclusive<usize>,
    /// The column of an answer that repeats the first parameter, if one does: checked in every row.
    pub echo: Option<usize>,
    /// What 95 of 100 answers should not exceed, and what they must not, in microseconds.
    pub latency_p95_us: Option<(f64, f64)>,
}

/// What one run of a statement is asked with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Key(Vec<Parameter>);

/// Why an answer is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WrongAnswer {
    /// It has too few or too many rows.
    #[error("{rows} rows, where there should be {} to {}", expected.start(), expected.end())]
    Rows {
        /// How many it has.
        rows: usize,
        /// How many there should be.
        expected: RangeInclusive<usize>,
    },
    /// A row belongs to something else than was asked for.
    #[error("row {row} is not of what was asked for")]
    Foreign {
        /// The row, from 0.
        row: usize,
    },
}

impl DatabaseCase {
    /// Reads what the statement is asked with: one key without parameters where it has none.
    ///
    /// Empty if the database has no data for it.
    ///
    /// # Errors
    ///
    /// Those of the statement that reads the keys.
    pub async fn sample(&self, db: &impl Read) -> Result<Vec<Key>, Error> {
        let Some(keys) = self.keys else {
            return Ok(vec![Key::default()]);
        };
        let rows = db.query(keys, &[]).await?;
        Ok(rows.iter().take(MAX_KEYS).map(Key::from_row).collect())
    }

    /// Compares an answer with what is known of the right one. Costs a comparison of a few bytes for
    /// each row.
    ///
    /// # Errors
    ///
    /// When the answer is wrong.
    pub fn check(&self, key: &Key, rows: &[Row]) -> Result<(), WrongAnswer> {
        if !self.rows.contains(&rows.len()) {
            return Err(WrongAnswer::Rows {
                rows: rows.len(),
                expected: self.rows.clone(),
            });
        }
        let (Some(column), Some(asked)) = (self.echo, key.0.first()) else {
            return Ok(());
        };
        let foreign = rows
            .iter()
            .position(|row| row.try_get::<_, Parameter>(column).ok().as_ref() != Some(asked));
        foreign.map_or(Ok(()), |row| Err(WrongAnswer::Foreign { row }))
    }
}

impl Key {
    /// The columns of a row, in their order.
    pub fn from_row(row: &Row) -> Key {
        let columns = 0..row.len();
        Key(columns.map(|column| row.get(column)).collect())
    }

    /// The values, as a statement takes them.
    pub fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|it| it as &(dyn ToSql + Sync)).collect()
    }
}
