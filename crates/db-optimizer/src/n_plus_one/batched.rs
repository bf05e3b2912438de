//! The statement that does in one round trip what a loop does in many.
//!
//! Constants and parameters look alike in a normalized statement, so what is the same each time may
//! stand among the keys; it can stay as it was. `…` stands for a type that the text does not tell.

use super::{
    statement::{Statement, Verb},
    tokens::{is_name, spell},
};

/// What a row of the answer comes from all rows of a group, or what counts them.
const ACROSS_ROWS: [&str; 22] = [
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "first_value",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "lag",
    "lead",
    "max",
    "min",
    "rank",
    "row_number",
    "string_agg",
    "sum",
    "xmlagg",
];
/// What ends a WHERE.
const AFTER_WHERE: [&str; 11] = [
    "except",
    "fetch",
    "for",
    "group",
    "having",
    "intersect",
    "limit",
    "offset",
    "order",
    "returning",
    "union",
];
/// Where these stand, one answer for all keys is not the answers for each.
const PER_KEY: [&str; 7] = [
    "distinct", "fetch", "group", "having", "limit", "offset", "over",
];

/// A condition or an assignment `column = ?`.
#[derive(Clone, Copy)]
struct Equality<'s> {
    column: &'s [&'s str],
    /// The type that the value is cast to.
    cast: Option<&'s str>,
}

/// A statement cut at its WHERE.
struct Parts<'s> {
    before: &'s [&'s str],
    conditions: Vec<&'s [&'s str]>,
    after: &'s [&'s str],
}

/// The batched form; `None` where the text does not tell.
pub(super) fn batched(statement: &Statement<'_>, verb: Verb) -> Option<String> {
    match verb {
        Verb::Read => batched_read(statement),
        Verb::Insert => batched_insert(statement),
        Verb::Update => batched_update(statement),
        Verb::Delete => Parts::of(statement)?.for_all_keys(),
        Verb::Write | Verb::Other => None,
    }
}

fn batched_read(statement: &Statement<'_>) -> Option<String> {
    let sets = ["union", "intersect", "except"];
    if statement.find_any(&sets, 0).is_some() {
        return None;
    }
    let parts = Parts::of(statement)?;
    let is_per_key = statement.find_any(&PER_KEY, 0).is_some() || statement.calls(&ACROSS_ROWS);
    match is_per_key {
        true => parts.for_each_key(),
        false => parts.for_all_keys(),
    }
}

/// `INSERT INTO t (a, b) VALUES ($1, $2)`, where nothing but values is inserted.
fn batched_insert(statement: &Statement<'_>) -> Option<String> {
    let tokens = statement.tokens();
    let values = statement.find("values", 0)?;
    let after = tokens[values..].strip_prefix(&["values", "(", "?", ")"])?;
    let open = statement.find("(", 0).filter(|open| *open < values)?;
    let close = statement.find(")", open)?;
    let columns = statement.columns(open + 1, close)?;
    if after.first() == Some(&",") {
        return None;
    }
    let arrays = vec![array(None); columns.len()].join(", ");
    let (before, after) = (
        spell(tokens[..values].iter().copied()),
        spell(after.iter().copied()),
    );
    Some(joined(&[
        &before,
        &format!("select * from unnest({arrays})"),
        &after,
    ]))
}

/// `UPDATE t SET a = $1 WHERE id = $2`, with nothing but equalities in its WHERE.
fn batched_update(statement: &Statement<'_>) -> Option<String> {
    let parts = Parts::of(statement)?;
    let set = statement.find("set", 0)?;
    let target = *parts.before[..set].last().filter(|it| is_name(it))?;
    if statement.find("from", 0).is_some() {
        return None;
    }
    let assignments: Vec<&[&str]> = split_outside(&parts.before[set + 1..], ",");
    let keys = parts.conditions.iter().map(|it| Equality::of(it));
    let keys = keys.collect::<Option<Vec<_>>>()?;
    let given = assignments
        .iter()
        .filter_map(|it| Equality::of(it))
        .chain(keys.iter().copied());
    let given = Given::of(given)?;

    let assigned = assignments.iter().map(|it| match Equality::of(it) {
        Some(equality) => format!(
            "{} = given.{}",
            spell(equality.column.iter().copied()),
            equality.name()
        ),
        None => spell(it.iter().copied()),
    });
    let assigned = assigned.collect::<Vec<_>>().join(", ");
    let matched = keys.iter().map(|key| match key.column {
        [name] => format!("{target}.{name} = given.{name}"),
        qualified => format!(
            "{} = given.{}",
            spell(qualified.iter().copied()),
            key.name()
        ),
    });
    let matched = matched.collect::<Vec<_>>().join(" and ");
    let update = spell(parts.before[..=set].iter().copied());
    let after = spell(parts.after.iter().copied());
    let from = format!("{assigned} from {} where {matched}", given.table());
    Some(joined(&[&update, &from, &after]))
}

impl<'s> Parts<'s> {
    fn of(statement: &'s Statement<'_>) -> Option<Parts<'s>> {
        let tokens = statement.tokens();
        let at = statement.find("where", 0)?;
        let end = statement.find_any(&AFTER_WHERE, at).unwrap_or(tokens.len());
        if statement.find("or", at).is_some_and(|or| or < end) {
            return None;
        }
        Some(Parts {
            before: &tokens[..at],
            conditions: split_outside(&tokens[at + 1..end], "and"),
            after: &tokens[end..],
        })
    }

    fn keys(&self) -> impl Iterator<Item = Equality<'s>> {
        self.conditions.iter().filter_map(|it| Equality::of(it))
    }

    /// One answer with the rows of all keys.
    fn for_all_keys(&self) -> Option<String> {
        let keys: Vec<Equality<'_>> = self.keys().collect();
        let all = match keys.as_slice() {
            [] => return None,
            [key] => {
                let cast = key.cast.map(|it| format!("::{it}[]")).unwrap_or_default();
                format!("{} = any(?{cast})", spell(key.column.iter().copied()))
            }
            keys => {
                let columns = keys.iter().map(|it| spell(it.column.iter().copied()));
                let columns = columns.collect::<Vec<_>>().join(", ");
                let arrays = keys.iter().map(|it| array(it.cast)).collect::<Vec<_>>();
                format!(
                    "({columns}) in (select * from unnest({}))",
                    arrays.join(", ")
                )
            }
        };
        Some(self.with_conditions(Some(all), |_| None))
    }

    /// The answers for each key, side by side.
    fn for_each_key(&self) -> Option<String> {
        let given = Given::of(self.keys())?;
        let one = self.with_conditions(None, |key| {
            Some(format!(
                "{} = given.{}",
                spell(key.column.iter().copied()),
                key.name()
            ))
        });
        let given = given.table();
        Some(format!(
            "select given.*, found.* from {given} cross join lateral ({one}) as found"
        ))
    }

    /// The statement with one condition more, and with others in the place of the keys.
    fn with_conditions(
        &self,
        more: Option<String>,
        key: impl Fn(Equality<'s>) -> Option<String>,
    ) -> String {
        let conditions = self
            .conditions
            .iter()
            .filter_map(|it| match Equality::of(it) {
                Some(equality) => key(equality),
                None => Some(spell(it.iter().copied())),
            });
        let conditions: Vec<String> = more.into_iter().chain(conditions).collect();
        let before = spell(self.before.iter().copied());
        let after = spell(self.after.iter().copied());
        joined(&[&before, "where", &conditions.join(" and "), &after])
    }
}

impl<'s> Equality<'s> {
    fn of(tokens: &'s [&'s str]) -> Option<Equality<'s>> {
        let at = tokens.iter().position(|it| *it == "=")?;
        let column = &tokens[..at];
        let is_column = matches!(column, [_] | [_, ".", _] | [_, ".", _, ".", _])
            && column.iter().step_by(2).all(|it| is_name(it));
        let cast = match &tokens[at + 1..] {
            ["?"] => None,
            ["?", ":", ":", cast] => Some(*cast),
            _ => return None,
        };
        is_column.then_some(Equality { column, cast })
    }

    /// The column's name without its table's.
    fn name(&self) -> &'s str {
        self.column[self.column.len() - 1]
    }
}

/// The keys, or rows, as a table.
struct Given<'s>(Vec<Equality<'s>>);

impl<'s> Given<'s> {
    /// `None` where there are none, or two have one name.
    fn of(columns: impl Iterator<Item = Equality<'s>>) -> Option<Given<'s>> {
        let columns: Vec<Equality<'s>> = columns.collect();
        let is_told_apart = columns.iter().enumerate().all(|(at, column)| {
            let mut others = columns[..at].iter();
            others.all(|other| other.name() != column.name())
        });
        (is_told_apart && !columns.is_empty()).then_some(Given(columns))
    }

    fn table(&self) -> String {
        let arrays: Vec<String> = self.0.iter().map(|it| array(it.cast)).collect();
        let names: Vec<&str> = self.0.iter().map(Equality::name).collect();
        format!(
            "unnest({}) as given ({})",
            arrays.join(", "),
            names.join(", ")
        )
    }
}

/// A parameter that holds the values of all rows.
fn array(cast: Option<&str>) -> String {
    format!("?::{}[]", cast.unwrap_or("…"))
}

/// Cuts at a token, outside of parentheses and of `BETWEEN … AND`.
fn split_outside<'s>(tokens: &'s [&'s str], separator: &str) -> Vec<&'s [&'s str]> {
    let (mut parts, mut begin, mut depth, mut is_between) = (Vec::new(), 0, 0_usize, false);
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "between" if depth == 0 => is_between = true,
            "and" if is_between && depth == 0 => is_between = false,
            token if token == separator && depth == 0 => {
                parts.push(&tokens[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[begin..]);
    parts
}

fn joined(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|it| !it.is_empty()).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests;
