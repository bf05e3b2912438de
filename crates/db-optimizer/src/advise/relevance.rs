//! Which candidates may change the plan of which statement.

use crate::{
    IndexDefinition,
    catalogue::{Catalogue, Table},
    usage::TableUse,
};

/// Whether an index may change how a statement reads one of its tables.
pub(super) fn is_relevant(
    index: &IndexDefinition,
    uses: &[TableUse],
    catalogue: &Catalogue,
) -> bool {
    uses.iter()
        .any(|it| serves(index, it, catalogue.table(it.table)))
}

fn serves(index: &IndexDefinition, table_use: &TableUse, table: &Table) -> bool {
    table.name == index.table
        && index
            .predicate
            .as_deref()
            .is_none_or(|it| is_implied(it, table_use))
        && (finds(index, table_use) || index.predicate.is_some() || answers_alone(index, table_use))
}

/// Whether a statement says what the predicate does: candidates have it word by word.
fn is_implied(predicate: &str, table_use: &TableUse) -> bool {
    let says = |sql: &str| predicate == sql || predicate.contains(&format!("({sql})"));
    table_use.filters.iter().any(|it| says(&it.sql))
}

/// Whether the first key finds rows or brings them into an order.
fn finds(index: &IndexDefinition, table_use: &TableUse) -> bool {
    let Some(first) = index.keys.first() else {
        return false;
    };
    table_use.keys().any(|it| it.is_in(first))
}

/// Whether the index has all that the statement needs of the table.
pub(super) fn answers_alone(index: &IndexDefinition, table_use: &TableUse) -> bool {
    let has = |name: &String| {
        let keys = index.keys.iter().filter_map(|it| it.as_column());
        keys.chain(&index.include).any(|it| it.name() == name)
    };
    (table_use.needed.as_ref()).is_some_and(|it| it.iter().all(has))
}
