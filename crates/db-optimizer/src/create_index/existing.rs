//! The indexes that a table has, and whether one of them does what a wanted one would.

use ruleiq_query::Queries;
use tokio_postgres::Row;

use super::{report::ExistingIndex, session::Session};
use crate::{ChangeError, IndexDefinition, Key, KeyOn, Method, index_name};

/// An index of a table.
#[derive(Debug)]
pub(crate) struct Existing {
    /// With its schema, as it is written in SQL.
    pub(crate) sql: String,
    name: String,
    definition: String,
    /// Whether queries may use it.
    pub(crate) is_valid: bool,
    /// Whether it is called as what is being built by us.
    pub(crate) is_ours_in_the_making: bool,
    /// Whether it is a part of an index of the parent's.
    pub(crate) is_attached: bool,
    method: String,
    keys: Vec<Part>,
    include: Vec<String>,
    predicate: Option<String>,
}

#[derive(Debug)]
struct Part {
    /// The column's name, or the expression as the server writes it.
    column: Option<String>,
    expression: String,
    operator_class: Option<String>,
    has_own_collation: bool,
    /// Bit 0: descending. Bit 1: nulls first (`pg_index.indoption`).
    order: i32,
}

const EXISTING: &str = "
SELECT format('%I.%I', nsp.nspname, rel.relname), rel.relname::text,
       pg_get_indexdef(rel.oid),
       idx.indisvalid AND idx.indisready,
       rel.relname::text ~ $2,
       EXISTS (SELECT FROM pg_inherits WHERE inhrelid = rel.oid),
       am.amname::text,
       idx.indnkeyatts::int,
       ARRAY(SELECT att.attname::text FROM generate_series(1, idx.indnatts) n
             LEFT JOIN pg_attribute att
               ON att.attrelid = idx.indrelid AND att.attnum = idx.indkey[n - 1] AND att.attnum <> 0
             ORDER BY n),
       ARRAY(SELECT pg_get_indexdef(rel.oid, n, true)
             FROM generate_series(1, idx.indnatts) n ORDER BY n),
       ARRAY(SELECT CASE WHEN NOT opc.opcdefault THEN opc.opcname::text END
             FROM generate_series(1, idx.indnkeyatts) n
             JOIN pg_opclass opc ON opc.oid = idx.indclass[n - 1] ORDER BY n),
       ARRAY(SELECT att.attnum IS NULL OR idx.indcollation[n - 1] = att.attcollation
             FROM generate_series(1, idx.indnkeyatts) n
             LEFT JOIN pg_attribute att
               ON att.attrelid = idx.indrelid AND att.attnum = idx.indkey[n - 1] AND att.attnum <> 0
             ORDER BY n),
       ARRAY(SELECT idx.indoption[n - 1]::int FROM generate_series(1, idx.indnkeyatts) n ORDER BY n),
       pg_get_expr(idx.indpred, idx.indrelid, true)
FROM pg_index idx
JOIN pg_class rel ON rel.oid = idx.indexrelid
JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
JOIN pg_am am ON am.oid = rel.relam
WHERE idx.indrelid = $1
ORDER BY rel.relname";

/// The indexes of a table.
pub(crate) async fn read<Q: Queries>(
    session: &Session<'_, Q>,
    table: u32,
) -> Result<Vec<Existing>, ChangeError> {
    let pattern = index_name::BUILDING_PATTERN;
    let what = "the indexes of the table";
    let rows = session.query(what, EXISTING, &[&table, &pattern]).await?;
    Ok(rows.iter().map(Existing::of).collect())
}

impl Existing {
    fn of(row: &Row) -> Existing {
        let key_count = usize::try_from(row.get::<_, i32>(7)).unwrap_or(0);
        let columns: Vec<Option<String>> = row.get(8);
        let texts: Vec<String> = row.get(9);
        let classes: Vec<Option<String>> = row.get(10);
        let (collations, orders): (Vec<bool>, Vec<i32>) = (row.get(11), row.get(12));
        let include = columns.iter().skip(key_count).flatten().cloned().collect();
        let keys = columns.into_iter().zip(texts).take(key_count);
        let keys = keys.zip(classes).zip(collations.into_iter().zip(orders));
        Existing {
            sql: row.get(0),
            name: row.get(1),
            definition: row.get(2),
            is_valid: row.get(3),
            is_ours_in_the_making: row.get(4),
            is_attached: row.get(5),
            method: row.get(6),
            keys: keys
                .map(
                    |(((column, expression), operator_class), (own, order))| Part {
                        column,
                        expression,
                        operator_class,
                        has_own_collation: own,
                        order,
                    },
                )
                .collect(),
            include,
            predicate: row.get(13),
        }
    }

    /// Whether this index is the wanted one in the making, under its passing name.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name
    }

    /// Whether it holds just what is wanted.
    pub(crate) fn is_equal_to(&self, wanted: &IndexDefinition) -> bool {
        self.keys.len() == wanted.keys.len()
            && self.include.len() == wanted.include.len()
            && self.is_in_the_same_order(wanted)
            && self.covers(wanted)
    }

    /// Whether it does what the wanted one would, being the same or more.
    pub(crate) fn covers(&self, wanted: &IndexDefinition) -> bool {
        let predicates = (&self.predicate, &wanted.predicate);
        let has_the_same_rows = match predicates {
            (None, None) => true,
            (Some(it), Some(wanted)) => plain(it) == plain(wanted),
            _ => false,
        };
        let method = match wanted.method {
            Method::Btree => "btree",
            Method::Gin => "gin",
            Method::Gist => "gist",
        };
        has_the_same_rows
            && self.method == method
            && self.keys.len() >= wanted.keys.len()
            && self
                .keys
                .iter()
                .zip(&wanted.keys)
                .all(|(part, key)| part.is(key))
            && (method == "gin" || self.is_in_the_same_order(wanted) || self.is_reversed(wanted))
            && wanted.include.iter().all(|it| self.holds(it.name()))
    }

    pub(crate) fn report(&self, wanted: &IndexDefinition) -> ExistingIndex {
        ExistingIndex {
            index: self.sql.clone(),
            definition: self.definition.clone(),
            is_equal: self.is_equal_to(wanted),
        }
    }

    fn holds(&self, column: &str) -> bool {
        let keys = self.keys.iter().filter_map(|it| it.column.as_deref());
        keys.chain(self.include.iter().map(String::as_str))
            .any(|it| it == column)
    }

    fn is_in_the_same_order(&self, wanted: &IndexDefinition) -> bool {
        let mut keys = self.keys.iter().zip(&wanted.keys);
        keys.all(|(part, key)| part.order == order_of(key))
    }

    /// A btree is read backwards as well as forwards.
    fn is_reversed(&self, wanted: &IndexDefinition) -> bool {
        let mut keys = self.keys.iter().zip(&wanted.keys);
        keys.all(|(part, key)| part.order == order_of(key) ^ 0b11)
    }
}

impl Part {
    fn is(&self, key: &Key) -> bool {
        let is_on = match (&key.on, &self.column) {
            (KeyOn::Column(wanted), Some(column)) => wanted.name() == column,
            (KeyOn::Expression(wanted), None) => plain(wanted) == plain(&self.expression),
            _ => false,
        };
        is_on && self.has_own_collation && self.operator_class == key.operator_class
    }
}

/// The order as `pg_index.indoption` has it.
fn order_of(key: &Key) -> i32 {
    let nulls_first = key.descending != key.nulls_opposite;
    i32::from(key.descending) | i32::from(nulls_first) << 1
}

/// An expression without what the server adds when it writes one back: blanks, parentheses around
/// the whole, and casts to text types.
fn plain(sql: &str) -> String {
    const CASTS: [&str; 6] = [
        "::charactervarying[]",
        "::charactervarying",
        "::text[]",
        "::text",
        "::varchar",
        "::bpchar",
    ];
    let mut text = without_blanks(sql);
    for cast in CASTS {
        text = text.replace(cast, "");
    }
    while let Some(inner) = within_parentheses(&text) {
        text = inner.to_owned();
    }
    text
}

/// Leaves what stands in quotes as it is.
fn without_blanks(sql: &str) -> String {
    let mut quote = None;
    sql.chars()
        .filter(|&it| {
            match quote {
                Some(open) if open == it => quote = None,
                None if it == '\'' || it == '"' => quote = Some(it),
                _ => {}
            }
            quote.is_some() || !it.is_whitespace()
        })
        .collect()
}

/// What is between a parenthesis that opens the text and the one that closes both.
fn within_parentheses(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    let mut depth = 0_i32;
    for it in inner.chars() {
        depth += match it {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if depth < 0 {
            return None;
        }
    }
    (depth == 0).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_adds_to_an_expression_makes_no_difference() {
        let check = |written: &str, read: &str, is_same: bool| {
            assert_eq!(plain(written) == plain(read), is_same, "{written} {read}");
        };
        check("status = 'open'", "(status = 'open'::text)", true);
        check("lower(email)", "lower(email::text)", true);
        check("deleted_at IS NULL", "(deleted_at IS NULL)", true);
        check("(a) + (b)", "(a) + (b)", true);
        check("(a + b) * c", "a + b * c", false);
        check("status = 'a b'", "status = 'ab'", false);
        check("\"a b\" > 0", "\"ab\" > 0", false);
        check("at::date", "at", false);
    }
}
