//! Documents, arrays, words and areas, by what is in them.

use super::{Proposals, Rule, expression};
use crate::{
    IndexDefinition, Key, Method,
    catalogue::Table,
    usage::{Contents, Operand, TableUse},
};

/// Areas, of which gist knows what overlaps and holds others of the same type.
const AREAS: [&str; 5] = ["box", "circle", "polygon", "geometry", "geography"];

pub(super) fn propose(table_use: &TableUse, table: &Table, proposals: &mut Proposals) {
    for contents in &table_use.contents {
        let Some((method, class)) = method(contents, table) else {
            continue;
        };
        let key = match &contents.of {
            Operand::Column(name) => table.column(name).map(|it| Key::column(it.name.clone())),
            Operand::Expression(sql, columns) => expression::key(sql, columns),
        };
        if let Some(mut key) = key {
            key.operator_class = class.map(str::to_owned);
            let mut index = IndexDefinition::btree(table.name.clone(), vec![key]);
            index.method = method;
            proposals.add(index, Rule::Contents);
        }
    }
}

/// The access method that knows the operator on values of this type, and its class.
fn method(contents: &Contents, table: &Table) -> Option<(Method, Option<&'static str>)> {
    let (operator, with) = (contents.operator.as_str(), contents.with.as_deref());
    let of = match &contents.of {
        Operand::Column(name) => table.column(name).map(|it| it.type_name.as_str())?,
        // Of an expression, the type is that of what it is compared with, or follows from it.
        Operand::Expression(sql, _)
            if with == Some("tsquery") && sql.starts_with("to_tsvector(") =>
        {
            "tsvector"
        }
        Operand::Expression(..) => with.filter(|it| *it == "jsonb" || it.ends_with("[]"))?,
    };
    match of {
        // Smaller, and it knows no keys (manual, "jsonb Indexing").
        "jsonb" if operator == "@>" => Some((Method::Gin, Some("jsonb_path_ops"))),
        "jsonb" if matches!(operator, "?" | "?|" | "?&" | "@?" | "@@") => Some((Method::Gin, None)),
        "tsvector" if operator == "@@" => Some((Method::Gin, None)),
        it if it.ends_with("[]") && matches!(operator, "@>" | "<@" | "&&") => {
            Some((Method::Gin, None))
        }
        it if it.ends_with("range") && matches!(operator, "@>" | "<@" | "&&") => {
            Some((Method::Gist, None))
        }
        it if AREAS.contains(&it) && with == Some(it) => Some((Method::Gist, None)),
        _ => None,
    }
}
