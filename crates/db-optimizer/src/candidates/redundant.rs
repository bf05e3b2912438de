//! Indexes that are there already, or that begin like one that is.

use crate::{
    IndexDefinition, KeyOn, Method,
    catalogue::{ExistingIndex, Table},
};

/// Whether an index that is there serves all that this one would.
pub(super) fn is_there(index: &IndexDefinition, table: &Table) -> bool {
    let serves = |it: &ExistingIndex| match index.method {
        Method::Btree => serves(it, index, table),
        _ => serves_contents(it, index, table),
    };
    table.indexes.iter().any(serves)
}

/// Whether an index of another method is on the same value already.
fn serves_contents(existing: &ExistingIndex, index: &IndexDefinition, table: &Table) -> bool {
    let method = match index.method {
        Method::Btree => " USING btree ",
        Method::Gin => " USING gin ",
        Method::Gist => " USING gist ",
    };
    let is_comparable =
        existing.is_valid && existing.predicate.is_none() && existing.definition.contains(method);
    // It knows fewer operators.
    let is_narrower = |class: &str| {
        existing.definition.contains(class)
            && index
                .keys
                .iter()
                .all(|it| it.operator_class.as_deref() != Some(class))
    };
    is_comparable
        && !is_narrower("jsonb_path_ops")
        && index.keys.iter().all(|key| match &key.on {
            KeyOn::Column(name) => table
                .column(name.name())
                .is_some_and(|it| existing.keys.iter().any(|has| has.column == it.number)),
            KeyOn::Expression(sql) => existing.definition.contains(sql.as_str()),
        })
}

/// Whether the first index serves all that the second would: it begins with the same keys and
/// holds all columns and rows.
fn serves(existing: &ExistingIndex, index: &IndexDefinition, table: &Table) -> bool {
    let is_comparable = existing.is_valid && existing.is_btree && index.method == Method::Btree;
    if !is_comparable || existing.keys.len() < index.keys.len() {
        return false;
    }
    // What a predicate says can be written in many ways; only the same text is the same.
    if existing.predicate != index.predicate {
        return false;
    }
    let same_keys = existing.keys.iter().zip(&index.keys).all(|(has, wanted)| {
        let number = wanted.as_column().and_then(|it| table.column(it.name()));
        let nulls_first = wanted.descending != wanted.nulls_opposite;
        number.is_some_and(|it| it.number == has.column)
            && wanted.operator_class.is_none()
            && has.is_default
            && (has.descending, has.nulls_first) == (wanted.descending, nulls_first)
    });
    let numbers = existing.keys.iter().map(|it| it.column);
    let stored: Vec<i16> = numbers.chain(existing.include.iter().copied()).collect();
    let all_stored = index.include.iter().all(|name| {
        let column = table.column(name.name());
        column.is_some_and(|it| stored.contains(&it.number))
    });
    same_keys && all_stored
}

/// Whether the new index serves all that the one that is there does.
pub(crate) fn replaces(index: &IndexDefinition, existing: &ExistingIndex, table: &Table) -> bool {
    let is_comparable = existing.is_btree && index.method == Method::Btree;
    if !is_comparable || existing.keys.len() > index.keys.len() || !existing.include.is_empty() {
        return false;
    }
    // A small index over some rows is worth its own: statements may read it from end to end.
    let same_rows = index.predicate == existing.predicate;
    let mut keys = existing.keys.iter().zip(&index.keys);
    same_rows
        && keys.all(|(has, wanted)| {
            let column = wanted.as_column().and_then(|it| table.column(it.name()));
            let nulls_first = wanted.descending != wanted.nulls_opposite;
            column.is_some_and(|it| it.number == has.column)
                && wanted.operator_class.is_none()
                && has.is_default
                && (has.descending, has.nulls_first) == (wanted.descending, nulls_first)
        })
}
