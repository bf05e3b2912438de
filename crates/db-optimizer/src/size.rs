//! How large a btree will be, freshly built.
//!
//! From the layout of PostgreSQL's own pages (`nbtree`, `itup.h`, `bufpage.h`): 8 bytes of header
//! and the keys make a tuple, 4 more point to it, and since PostgreSQL 13 equal keys share one tuple
//! with a list of 6 bytes for each row, of at most a tenth of a page. HypoPG's own estimate knows
//! neither the lists nor the alignment.

use crate::{
    IndexDefinition, Method,
    catalogue::{Column, Table},
};

const PAGE: f64 = 8192.0;
/// What a page holds besides its header and the links to its neighbours.
const USABLE: f64 = PAGE - 40.0;
const FILL: f64 = 0.9;
const TUPLE_HEADER: f64 = 8.0;
const POINTER: f64 = 4.0;
/// The address of a row.
const ADDRESS: f64 = 6.0;
/// The longest tuple with a list of rows.
const LONGEST_LIST: f64 = 812.0;
/// The bytes of an expression's value, of which nothing is known.
const EXPRESSION_WIDTH: f64 = 32.0;

/// The bytes of an index that holds this part of the table's rows.
pub(crate) fn estimate(index: &IndexDefinition, table: &Table, share: f64) -> f64 {
    let rows = (table.rows * share).max(0.0);
    let entry = match index.method {
        // Equal elements share a list of addresses, each told by its distance from the one before.
        Method::Gin => row_bytes(index, table) * 0.5,
        Method::Gist => row_bytes(index, table) + TUPLE_HEADER + POINTER,
        Method::Btree => 0.0,
    };
    if entry > 0.0 {
        return rows * entry + PAGE;
    }
    let tuple = tuple_bytes(index, table);
    let leaves = (leaf_bytes(index, table, rows, tuple) / (USABLE * FILL)).ceil();
    (leaves + inner_pages(leaves, tuple) + 1.0) * PAGE
}

fn columns<'a>(
    index: &'a IndexDefinition,
    table: &'a Table,
) -> impl Iterator<Item = Option<&'a Column>> {
    let keys = index.keys.iter().map(|key| key.as_column());
    let all = keys.chain(index.include.iter().map(Some));
    all.map(|name| name.and_then(|it| table.column(it.name())))
}

fn row_bytes(index: &IndexDefinition, table: &Table) -> f64 {
    let widths = columns(index, table).map(|it| it.map_or(EXPRESSION_WIDTH, Column::width));
    widths.sum()
}

/// A tuple with its header, aligned to 8 bytes.
fn tuple_bytes(index: &IndexDefinition, table: &Table) -> f64 {
    let mut bytes = TUPLE_HEADER;
    for column in columns(index, table) {
        match column {
            // Short values of no fixed length are not aligned.
            Some(it) if it.fixed_length.is_none() => bytes += it.width(),
            Some(it) => bytes = round_up(bytes, it.alignment) + it.width(),
            None => bytes += EXPRESSION_WIDTH,
        }
    }
    round_up(bytes, 8.0)
}

fn leaf_bytes(index: &IndexDefinition, table: &Table, rows: f64, tuple: f64) -> f64 {
    let alone = rows * (tuple + POINTER);
    let shares_tuples = index.include.is_empty()
        && columns(index, table).all(|it| it.is_some_and(|it| it.deduplicates));
    if !shares_tuples {
        return alone;
    }
    let distinct = distinct(index, table, rows);
    let rows_per_key = rows / distinct.max(1.0);
    if rows_per_key < 2.0 {
        // Some keys stand alone and some in pairs.
        let pair = round_up(tuple + 2.0 * ADDRESS, 8.0) + POINTER;
        let in_pairs = rows - distinct;
        return (alone - in_pairs * (2.0 * (tuple + POINTER) - pair)).max(0.0);
    }
    let per_list = ((LONGEST_LIST - tuple) / ADDRESS).floor().max(1.0);
    let full_lists = (rows_per_key / per_list).floor();
    let rest = rows_per_key - full_lists * per_list;
    let list = |rows: f64| round_up(tuple + ADDRESS * rows, 8.0) + POINTER;
    let mut per_key = full_lists * list(per_list);
    if rest >= 1.0 {
        per_key += list(rest);
    }
    distinct * per_key
}

/// How many different keys there are; nulls are one more value.
fn distinct(index: &IndexDefinition, table: &Table, rows: f64) -> f64 {
    let product: f64 = columns(index, table)
        .flatten()
        .map(|it| it.distinct(rows) + f64::from(u8::from(it.null_share() > 0.0)))
        .product();
    product.min(rows).max(1.0)
}

/// All levels above the leaves.
fn inner_pages(leaves: f64, tuple: f64) -> f64 {
    let per_page = (USABLE * 0.7 / (tuple + 8.0 + POINTER)).floor().max(2.0);
    let (mut level, mut pages) = (leaves, 0.0);
    while level > 1.0 {
        level = (level / per_page).ceil();
        pages += level;
    }
    pages
}

fn round_up(bytes: f64, to: f64) -> f64 {
    (bytes / to).ceil() * to
}
