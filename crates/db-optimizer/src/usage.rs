//! How a statement uses each table, read from its plan: what indexes could serve.

mod conditions;
mod needed;
mod order;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    Key, KeyOn,
    catalogue::{Catalogue, Oid, Table},
    expression::{self, Expression, Kind, parse},
    plan::{Node, Plan},
};

pub(crate) use self::order::Order;
#[cfg(test)]
pub(crate) use self::order::OrderKey;

/// What is compared or sorted: a column, or an expression over columns of one table.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Operand {
    Column(String),
    /// As SQL without aliases, and the columns in it.
    Expression(String, Vec<String>),
}

/// How one statement uses a table under one alias.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableUse {
    pub(crate) table: Oid,
    /// What the plan calls the table.
    pub(crate) alias: String,
    /// Compared for equality with a value that is the same for all rows.
    pub(crate) equalities: Vec<Operand>,
    /// Compared for equality with each of several values.
    pub(crate) lists: Vec<Operand>,
    /// Compared by `<`, `<=`, `>`, `>=`, or known not to be null.
    pub(crate) ranges: Vec<Operand>,
    /// Compared by `LIKE` with a pattern that begins with letters.
    pub(crate) prefixes: Vec<Operand>,
    /// Compared by `LIKE` or a regular expression with any other pattern.
    pub(crate) patterns: Vec<Operand>,
    /// Asked for what is in it: documents, arrays, words, areas.
    pub(crate) contents: Vec<Contents>,
    /// Compared for equality with a column of the table of another alias.
    pub(crate) joins: Vec<(Operand, String)>,
    /// Each branch of an `OR` of which every branch could be looked up.
    pub(crate) branches: Vec<Branch>,
    /// What rows are sorted by.
    pub(crate) orders: Vec<Order>,
    /// What rows are grouped by.
    pub(crate) groups: Vec<Vec<Operand>>,
    /// What the least or the largest is asked of.
    pub(crate) extremes: Vec<Operand>,
    /// Conditions on this table alone, without parameters.
    pub(crate) filters: Vec<Filter>,
    /// The columns that the statement needs, and `None` where it needs the rows themselves.
    pub(crate) needed: Option<BTreeSet<String>>,
}

/// A value that is asked for what is in it, as `tags @> '{a}'` does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Contents {
    pub(crate) of: Operand,
    pub(crate) operator: String,
    /// The type that it is compared with, as SQL, where the plan says so.
    pub(crate) with: Option<String>,
}

/// One branch of an `OR`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Branch {
    pub(crate) equalities: Vec<Operand>,
    pub(crate) ranges: Vec<Operand>,
}

/// A condition on one table, as an index could be told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filter {
    /// As SQL without aliases.
    pub(crate) sql: String,
    pub(crate) shape: FilterShape,
    pub(crate) columns: Vec<String>,
}

/// What a condition compares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FilterShape {
    /// A column with a constant, for equality, or with each of several.
    Equality,
    /// `IS NULL`, `IS NOT NULL`, a boolean column.
    Flag,
    /// Two columns of the table with each other.
    Columns,
    /// Anything else.
    Other,
}

impl Operand {
    /// Whether a key of an index holds it.
    pub(crate) fn is_in(&self, key: &Key) -> bool {
        match (self, &key.on) {
            (Operand::Column(name), KeyOn::Column(key)) => name == key.name(),
            (Operand::Expression(sql, _), KeyOn::Expression(key)) => sql == key,
            _ => false,
        }
    }

    pub(crate) fn columns(&self) -> &[String] {
        match self {
            Operand::Column(name) => std::slice::from_ref(name),
            Operand::Expression(_, columns) => columns,
        }
    }
}

impl TableUse {
    /// The columns by which an index could find rows or bring them into an order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Operand> {
        let plain = [
            &self.equalities,
            &self.lists,
            &self.ranges,
            &self.prefixes,
            &self.patterns,
            &self.extremes,
        ];
        let branches = (self.branches.iter()).flat_map(|it| it.equalities.iter().chain(&it.ranges));
        (plain.into_iter().flatten())
            .chain(self.joins.iter().map(|it| &it.0))
            .chain(
                self.orders
                    .iter()
                    .flat_map(|it| it.keys.iter().map(|it| &it.operand)),
            )
            .chain(self.groups.iter().flatten())
            .chain(branches)
    }
}

/// A smaller table is read as a whole as fast as through an index.
const SMALLEST_PAGES: f64 = 8.0;

/// What every row has, and no index.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// The tables of a plan by their aliases.
type Aliases<'a> = BTreeMap<String, &'a Table>;

/// How a plan uses the tables of the catalogue.
pub(crate) fn of_plan(plan: &Plan, catalogue: &Catalogue) -> Vec<TableUse> {
    let aliases = aliases(plan, catalogue);
    let plan = &with_aliases(plan, &aliases);
    let mut uses: BTreeMap<String, TableUse> = (aliases.iter())
        .map(|(alias, table)| (alias.clone(), TableUse::of(alias, table)))
        .collect();
    for node in plan.nodes() {
        for condition in conditions_of(node) {
            conditions::collect(&parse(condition), &aliases, &mut uses);
        }
        order::collect(node, &aliases, &mut uses);
    }
    needed::collect(plan, &aliases, &mut uses);
    uses.into_values().collect()
}

/// The plan with the table's alias before its columns throughout: what a node gives is printed without,
/// where the statement has one table alone (`show_plan_tlist`).
fn with_aliases<'a>(plan: &'a Plan, aliases: &Aliases<'_>) -> Cow<'a, Plan> {
    let in_plan: BTreeSet<&String> = plan.nodes().filter_map(|it| it.alias.as_ref()).collect();
    let mut only = aliases.iter();
    match (only.next(), in_plan.len()) {
        (Some((alias, table)), 1) => {
            let mut plan = plan.clone();
            qualify(&mut plan.root, alias, table);
            Cow::Owned(plan)
        }
        _ => Cow::Borrowed(plan),
    }
}

fn qualify(node: &mut Node, alias: &str, table: &Table) {
    for output in &mut node.output {
        let is_column = |it: &str| table.column(it).is_some() || SYSTEM_COLUMNS.contains(&it);
        *output = expression::with_alias(output, alias, is_column);
    }
    for child in &mut node.children {
        qualify(child, alias, table);
    }
}

/// The tables that a plan reads: pairs of schema and name.
pub(crate) fn tables_of(plan: &Plan) -> impl Iterator<Item = (String, String)> {
    plan.nodes().filter_map(|node| {
        let name = node.relation.clone()?;
        Some((node.schema.clone()?, name))
    })
}

impl TableUse {
    fn of(alias: &str, table: &Table) -> TableUse {
        TableUse {
            table: table.oid,
            alias: alias.to_owned(),
            needed: Some(BTreeSet::new()),
            ..TableUse::default()
        }
    }
}

fn aliases<'a>(plan: &Plan, catalogue: &'a Catalogue) -> Aliases<'a> {
    let mut aliases = Aliases::new();
    for node in plan.nodes() {
        if let (Some(schema), Some(name)) = (&node.schema, &node.relation)
            && let Some(table) = catalogue.find(schema, name)
            && table.pages >= SMALLEST_PAGES
        {
            let alias = node.alias.as_ref().unwrap_or(name);
            aliases.insert(alias.clone(), table);
        }
    }
    aliases
}

/// All conditions of a node. `Recheck Cond` says again what `Index Cond` says below it.
pub(crate) fn conditions_of(node: &Node) -> impl Iterator<Item = &str> {
    let all = [
        &node.filter,
        &node.index_cond,
        &node.join_filter,
        &node.hash_cond,
        &node.merge_cond,
    ];
    all.into_iter().filter_map(|it| it.as_deref())
}

/// The alias of the only table whose columns are in an expression.
fn only_alias(expression: &Expression) -> Option<String> {
    let columns = expression.columns();
    let alias = &columns.first()?.alias;
    let is_only = columns.iter().all(|it| it.alias == *alias);
    is_only.then(|| alias.clone())
}

/// What a btree could hold of an expression over one table's columns.
fn operand(expression: &Expression, table: &Table) -> Option<Operand> {
    let expression = uncast(expression, table);
    let found = any_operand(expression, table)?;
    match &found {
        Operand::Column(name) => table.column(name)?.has_order.then_some(found),
        Operand::Expression(..) => Some(found),
    }
}

/// What any index could hold of an expression over one table's columns.
fn any_operand(expression: &Expression, table: &Table) -> Option<Operand> {
    if let Some(column) = expression.as_column() {
        table.column(&column.column)?;
        return Some(Operand::Column(column.column.clone()));
    }
    let columns: Vec<String> = (expression.columns().into_iter())
        .map(|it| it.column)
        .collect();
    let all_known = columns.iter().all(|it| table.column(it).is_some());
    let is_fit = all_known && !columns.is_empty() && !expression.has_parameter();
    is_fit.then(|| Operand::Expression(bare(&expression.unqualified()).to_owned(), columns))
}

/// Without the casts that change nothing of a value: `(name)::text` of a `character varying`.
fn uncast<'a>(expression: &'a Expression, table: &Table) -> &'a Expression {
    let Kind::Cast { of, to } = &expression.kind else {
        return expression;
    };
    let is_text = |name: &str| {
        (table.column(name)).is_some_and(|it| it.is_text && it.type_name != "character")
    };
    match of.as_column() {
        Some(column) if to == "text" && is_text(&column.column) => of,
        _ => expression,
    }
}

/// A text without parentheses around all of it.
fn bare(text: &str) -> &str {
    let inner = text.strip_prefix('(').and_then(|it| it.strip_suffix(')'));
    let Some(inner) = inner else {
        return text;
    };
    let mut depth = 0_i32;
    for token in ruleiq_query::tokens(inner) {
        depth += match token.text {
            "(" => 1,
            ")" => -1,
            _ => 0,
        };
        if depth < 0 {
            return text;
        }
    }
    inner
}
