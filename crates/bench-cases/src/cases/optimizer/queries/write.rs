//! What a statement writes, as its text says it.

use std::collections::BTreeSet;

/// An insert, an update or a delete.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) struct Write {
    pub(in super::super) table: String,
    pub(in super::super) kind: Kind,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) enum Kind {
    Insert,
    /// And the columns that it sets.
    Update(BTreeSet<String>),
    Delete,
}

impl Write {
    /// What a statement writes; none of one that reads.
    pub(super) fn of(text: &str) -> Option<Write> {
        let lower = text.to_lowercase();
        let mut words = lower.split_whitespace();
        let (table, kind) = match words.next()? {
            "insert" => (words.nth(1)?, Kind::Insert),
            "delete" => (words.nth(1)?, Kind::Delete),
            "update" => (words.next()?, Kind::Update(set_columns(&lower))),
            _ => return None,
        };
        Some(Write {
            table: table.to_owned(),
            kind,
        })
    }
}

/// The columns left of `=` between `SET` and what ends it, outside parentheses.
fn set_columns(text: &str) -> BTreeSet<String> {
    let Some((_, list)) = text.split_once("set ") else {
        return BTreeSet::new();
    };
    let mut columns = BTreeSet::new();
    for part in outside_parentheses(list).split(',') {
        if let Some((column, _)) = part.split_once('=') {
            columns.insert(column.trim().to_owned());
        }
        let ends = |it| matches!(it, "where" | "from" | "returning");
        if part.split_whitespace().any(ends) {
            break;
        }
    }
    columns
}

fn outside_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    let outside = text.chars().filter(|it| {
        match it {
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                return false;
            }
            _ => {}
        }
        depth == 0
    });
    outside.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_known_by_its_table_and_what_it_sets() {
        let check = |text: &str, expect: Option<(&str, Kind)>| {
            let expect = expect.map(|(table, kind)| Write {
                table: table.to_owned(),
                kind,
            });
            assert_eq!(Write::of(text), expect, "{text}");
        };
        let update =
            |columns: &[&str]| Kind::Update(columns.iter().map(|it| (*it).to_owned()).collect());
        check("SELECT 1", None);
        check("INSERT INTO t (a) VALUES (1)", Some(("t", Kind::Insert)));
        check("delete from s.t where a = 1", Some(("s.t", Kind::Delete)));
        check(
            "UPDATE t SET a = coalesce(b, c), d = now() WHERE e = 1 AND f = 2",
            Some(("t", update(&["a", "d"]))),
        );
        check(
            "UPDATE t AS x\nSET a = 1\nFROM y, z\nWHERE x.b = y.b",
            Some(("t", update(&["a"]))),
        );
    }
}
