//! Constants for the parameters of a statement, drawn from what `ANALYZE` has seen in the columns
//! that they are compared with.
//!
//! A plan for any constants knows no frequent value and takes a third of the rows for a range. Draws are
//! quantiles, so they are the same each time: a frequent value is drawn for the part of the rows
//! that have it. They are data of the tables: they go back to the server that they came from as constants of an
//! `EXPLAIN`, and are neither reported nor logged here.

use std::collections::{BTreeMap, BTreeSet};

use ruleiq_query::{Queries, Token, TokenKind, tokens};

use crate::{
    Error,
    catalogue::{Catalogue, Table},
    expression::{ColumnRef, Expression, Kind, parse},
    generic_plan::Draw,
    literal::literal,
    plan::Plan,
    usage,
};

/// So many draws are made for a statement.
const DRAWS: usize = 3;
/// With more parameters, a statement is planned for any constants alone.
const MAX_PARAMETERS: usize = 32;
/// What stands for the parameter of `LIMIT`: a page of a list.
const PAGE: &str = "20";

/// What a parameter is.
#[derive(Clone, Debug, PartialEq)]
enum Meaning {
    /// Compared with a column, or with each of an array's values.
    Column {
        column: ColumnRef,
        is_array: bool,
    },
    /// The number of rows that are wanted, or passed over.
    Limit,
    Offset,
}

/// The values of columns: tables by their names, columns by theirs.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<(String, String, String), Vec<Option<String>>>);

impl Samples {
    /// Reads the values of all columns of these tables that parameters are compared with.
    pub(super) async fn read<'a>(
        queries: &impl Queries,
        catalogue: &Catalogue,
        plans: impl IntoIterator<Item = (&'a str, &'a Plan)>,
    ) -> Result<Samples, Error> {
        let mut columns: BTreeSet<(String, String, String)> = BTreeSet::new();
        for (sql, plan) in plans {
            for meaning in meanings(sql, plan).into_values() {
                if let Meaning::Column { column, .. } = meaning
                    && let Some(table) = table_of(plan, &column.alias, catalogue)
                {
                    columns.insert(key(table, &column.column));
                }
            }
        }
        let mut samples = Samples::default();
        if columns.is_empty() {
            return Ok(samples);
        }
        let mut asked = (Vec::new(), Vec::new(), Vec::new());
        for (schema, table, column) in columns {
            asked.0.push(schema);
            asked.1.push(table);
            asked.2.push(column);
        }
        let rows = queries.query(VALUES, &[&asked.0, &asked.1, &asked.2]).await;
        let rows = rows.map_err(Error::reading("the statistics of columns"))?;
        for row in rows {
            let values = Values {
                common: row.get(3),
                frequencies: row.get(4),
                bounds: row.get(5),
            };
            let drawn = (0..DRAWS).map(|it| values.at(quantile(it)));
            samples
                .0
                .insert((row.get(0), row.get(1), row.get(2)), drawn.collect());
        }
        Ok(samples)
    }

    /// The draws for a statement with parameters, if each of them has a value.
    pub(super) fn draws(&self, sql: &str, plan: &Plan, catalogue: &Catalogue) -> Option<Vec<Draw>> {
        let meanings = meanings(sql, plan);
        let count = parameters(sql);
        if count == 0 || count > MAX_PARAMETERS {
            return None;
        }
        let draw = |draw: usize| {
            let values = (1..=count).map(|number| {
                let value = |column: &ColumnRef, at: usize| {
                    let table = table_of(plan, &column.alias, catalogue)?;
                    self.0
                        .get(&key(table, &column.column))?
                        .get(at % DRAWS)?
                        .clone()
                };
                match meanings.get(&number)? {
                    Meaning::Limit => Some(PAGE.to_owned()),
                    Meaning::Offset => Some("0".to_owned()),
                    // Several parameters take turns, or all would be rare at once.
                    Meaning::Column {
                        column,
                        is_array: false,
                    } => value(column, draw + number).map(|it| literal(&it)),
                    Meaning::Column {
                        column,
                        is_array: true,
                    } => {
                        let values = (0..DRAWS).map(|at| value(column, at));
                        values
                            .collect::<Option<Vec<_>>>()
                            .map(|it| literal(&array(&it)))
                    }
                }
            });
            values.collect::<Option<Vec<_>>>().map(Draw)
        };
        (0..DRAWS).map(draw).collect()
    }
}

const VALUES: &str = "
SELECT s.schemaname::text, s.tablename::text, s.attname::text,
       coalesce(s.most_common_vals::text::text[], '{}'),
       coalesce(s.most_common_freqs, '{}'),
       coalesce(s.histogram_bounds::text::text[], '{}')
FROM unnest($1::text[], $2::text[], $3::text[]) asked (schema, name, col)
JOIN pg_stats s ON s.schemaname = asked.schema AND s.tablename = asked.name
               AND s.attname = asked.col
-- Of a partitioned table, what is known of all partitions.
ORDER BY s.inherited";

/// The middles of equal parts.
fn quantile(draw: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "there are few draws")]
    let part = (draw as f64 + 0.5) / DRAWS as f64;
    part
}

/// What `ANALYZE` has seen of a column.
struct Values {
    common: Vec<Option<String>>,
    frequencies: Vec<f32>,
    bounds: Vec<Option<String>>,
}

impl Values {
    /// The value at a part of the rows: frequent ones first, then the others in their order.
    fn at(&self, part: f64) -> Option<String> {
        let mut passed = 0.0;
        for (value, frequency) in self.common.iter().zip(&self.frequencies) {
            passed += f64::from(*frequency);
            if part < passed {
                return value.clone();
            }
        }
        let last = self.bounds.len().checked_sub(1);
        let Some(last) = last else {
            return self.common.first().cloned().flatten();
        };
        let of_rest = ((part - passed) / (1.0 - passed).max(1e-9)).clamp(0.0, 1.0);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a list"
        )]
        let place = (of_rest * last as f64).round() as usize;
        self.bounds[place.min(last)].clone()
    }
}

fn key(table: &Table, column: &str) -> (String, String, String) {
    let name = &table.name;
    (
        name.schema.name().to_owned(),
        name.table.name().to_owned(),
        column.to_owned(),
    )
}

fn table_of<'a>(plan: &Plan, alias: &str, catalogue: &'a Catalogue) -> Option<&'a Table> {
    let mut nodes = plan.nodes();
    let node = nodes.find(|it| it.relation.is_some() && it.alias.as_deref() == Some(alias))?;
    catalogue.find(node.schema.as_deref()?, node.relation.as_deref()?)
}

/// What each parameter is that can be told.
fn meanings(sql: &str, plan: &Plan) -> BTreeMap<usize, Meaning> {
    let mut meanings = of_limits(sql);
    for condition in plan.nodes().flat_map(usage::conditions_of) {
        collect(&parse(condition), &mut meanings);
    }
    meanings
}

fn collect(condition: &Expression, meanings: &mut BTreeMap<usize, Meaning>) {
    match &condition.kind {
        Kind::And(parts) | Kind::Or(parts) => parts.iter().for_each(|it| collect(it, meanings)),
        Kind::Not(of) => collect(of, meanings),
        Kind::Binary {
            left, right, any, ..
        } => {
            for (one, other) in [(left, right), (right, left)] {
                if let (Some(column), Some(number)) = (column(one), parameter(other)) {
                    let is_array = *any;
                    meanings
                        .entry(number)
                        .or_insert(Meaning::Column { column, is_array });
                }
            }
        }
        _ => {}
    }
}

/// A column, whatever it is cast to.
fn column(expression: &Expression) -> Option<ColumnRef> {
    match &expression.kind {
        Kind::Column(column) => Some(column.clone()),
        Kind::Cast { of, .. } => column(of),
        _ => None,
    }
}

/// The number of a parameter, whatever it is cast to.
fn parameter(expression: &Expression) -> Option<usize> {
    match &expression.kind {
        Kind::Parameter => number(&expression.text),
        Kind::Cast { of, .. } => parameter(of),
        _ => None,
    }
}

fn number(text: &str) -> Option<usize> {
    text.trim_start_matches('(')
        .trim_end_matches(')')
        .strip_prefix('$')?
        .parse()
        .ok()
}

/// The largest number of a parameter.
fn parameters(sql: &str) -> usize {
    let numbers = tokens(sql).filter(|it| it.kind == TokenKind::Parameter);
    numbers.filter_map(|it| number(it.text)).max().unwrap_or(0)
}

fn of_limits(sql: &str) -> BTreeMap<usize, Meaning> {
    let all: Vec<Token<'_>> = tokens(sql).collect();
    let pairs = all
        .windows(2)
        .filter(|it| it[1].kind == TokenKind::Parameter);
    let meaning = |pair: &[Token<'_>]| {
        let number = number(pair[1].text)?;
        match (pair[0].is_word("limit"), pair[0].is_word("offset")) {
            (true, _) => Some((number, Meaning::Limit)),
            (_, true) => Some((number, Meaning::Offset)),
            _ => None,
        }
    };
    pairs.filter_map(meaning).collect()
}

/// An array's text.
fn array(values: &[String]) -> String {
    let quoted = values
        .iter()
        .map(|it| format!("\"{}\"", it.replace('\\', "\\\\").replace('"', "\\\"")));
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(common: &[(&str, f32)], bounds: &[&str]) -> Values {
        let some = |it: &str| Some(it.to_owned());
        Values {
            common: common.iter().map(|it| some(it.0)).collect(),
            frequencies: common.iter().map(|it| it.1).collect(),
            bounds: bounds.iter().map(|it| some(it)).collect(),
        }
    }

    #[test]
    fn a_frequent_value_is_drawn_as_often_as_it_is_there() {
        let draw = |values: &Values| -> Vec<String> {
            (0..DRAWS)
                .filter_map(|it| values.at(quantile(it)))
                .collect()
        };
        assert_eq!(
            draw(&values(&[("a", 0.6)], &["k", "m", "z"])),
            ["a", "a", "m"]
        );
        assert_eq!(
            draw(&values(&[], &["a", "b", "c", "d", "e"])),
            ["b", "c", "d"]
        );
        assert_eq!(draw(&values(&[("a", 0.1)], &[])), ["a", "a", "a"]);
        assert_eq!(draw(&values(&[], &[])), Vec::<String>::new());
    }

    #[test]
    fn parameters_are_known_by_what_they_are_compared_with() {
        let mut found = of_limits("SELECT * FROM t WHERE a = $1 LIMIT $4 OFFSET $5");
        for condition in [
            "((t.a = $1) AND ((t.b)::text = ($2)::text))",
            "(t.c = ANY ($3))",
            "(lower(t.d) = $6)",
        ] {
            collect(&parse(condition), &mut found);
        }
        let column = |name: &str, is_array| Meaning::Column {
            column: ColumnRef {
                alias: "t".to_owned(),
                column: name.to_owned(),
            },
            is_array,
        };
        let expected = [
            (1, column("a", false)),
            (2, column("b", false)),
            (3, column("c", true)),
            (4, Meaning::Limit),
            (5, Meaning::Offset),
        ];
        assert_eq!(found, BTreeMap::from(expected));
    }
}
