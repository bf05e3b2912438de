//! All that a statement needs in the index, so that the table itself is not read.

use std::collections::BTreeSet;

use super::{Candidate, MAX_KEYS, Proposals, Rule};
use crate::{
    IndexDefinition, Key, Method,
    catalogue::{Column, Table},
    usage::TableUse,
};

/// More columns besides the keys are not stored.
const MAX_INCLUDED: usize = 8;
/// A longer value is no key that nothing is found by.
const SHORT_KEY: f64 = 16.0;
/// An index is narrow if its columns take at most this part of a row: a wider one is a second table.
const NARROW: f64 = 0.6;

/// The index with the columns that it lacks.
pub(super) fn propose(
    candidate: &Candidate,
    table_use: &TableUse,
    table: &Table,
    proposals: &mut Proposals,
) {
    let index = &candidate.definition;
    let Some(missing) = missing(index, table_use, table) else {
        return;
    };
    let all_fit = missing.iter().all(|it| fits(it, table));
    if missing.is_empty() || missing.len() > MAX_INCLUDED || !all_fit {
        return;
    }
    let mut covering = index.clone();
    covering.include = missing.iter().map(|it| it.name.clone()).collect();
    // Rows in the order that is wanted lie anywhere in the table, and few of them may be asked for.
    let part = if brings_order(index, table_use) {
        1.0
    } else {
        NARROW
    };
    if is_within(part, &covering, table) {
        proposals.add(covering, Rule::Covering);
    }
    // Without columns that are only stored, equal keys share their room.
    let is_short = index.keys.len() < MAX_KEYS && missing[0].width() <= SHORT_KEY;
    if missing.len() == 1 && is_short && missing[0].deduplicates {
        let mut longer = index.clone();
        longer.keys.push(Key::column(missing[0].name.clone()));
        proposals.add(longer, Rule::Covering);
    }
}

/// Whether a key of the index is one that rows are sorted by.
fn brings_order(index: &IndexDefinition, table_use: &TableUse) -> bool {
    let mut sorted_by = table_use.orders.iter().flat_map(|it| &it.keys);
    sorted_by.any(|it| index.keys.iter().any(|key| it.operand.is_in(key)))
}

/// The columns that a statement needs and an index lacks, unless it needs the rows themselves, or
/// the value of an expression has to be computed again from columns.
fn missing<'a>(
    index: &IndexDefinition,
    table_use: &TableUse,
    table: &'a Table,
) -> Option<Vec<&'a Column>> {
    if index.method != Method::Btree {
        return None;
    }
    let has: BTreeSet<&str> = (index.keys.iter())
        .filter_map(|it| it.as_column())
        .map(|it| it.name())
        .collect();
    let needed = table_use.needed.as_ref()?;
    let missing = needed.iter().filter(|it| !has.contains(it.as_str()));
    missing.map(|it| table.column(it)).collect()
}

/// The narrowest index that answers a statement alone, though it finds nothing: a small copy of
/// the table.
pub(super) fn propose_narrow(table_use: &TableUse, table: &Table, proposals: &mut Proposals) {
    let Some(needed) = &table_use.needed else {
        return;
    };
    let columns: Vec<&Column> = needed.iter().filter_map(|it| table.column(it)).collect();
    let all_fit = columns.iter().all(|it| it.has_order && fits(it, table));
    if columns.is_empty() || columns.len() > MAX_KEYS || !all_fit {
        return;
    }
    let keys = columns.iter().map(|it| Key::column(it.name.clone()));
    let index = IndexDefinition::btree(table.name.clone(), keys.collect());
    if is_within(NARROW, &index, table) {
        proposals.add(index, Rule::Covering);
    }
}

/// Whether no value of a column is longer than what an index takes (2,704 bytes of a row in all). What
/// `ANALYZE` tells is of short values, so a table that stores any elsewhere may have them in each column.
fn fits(column: &Column, table: &Table) -> bool {
    column.is_bounded || !table.has_long_values
}

/// Whether a row of the index takes at most this part of one of the table.
fn is_within(part: f64, index: &IndexDefinition, table: &Table) -> bool {
    let names = index.keys.iter().filter_map(|it| it.as_column());
    let columns = names.chain(&index.include);
    let width: f64 = (columns.filter_map(|it| table.column(it.name())))
        .map(Column::width)
        .sum();
    let row: f64 = table.columns.iter().map(Column::width).sum();
    // A row of a table has 24 bytes of header, and one of an index 8.
    width + 8.0 <= part * (row + 24.0)
}
