//! The expressions that PostgreSQL prints in a plan, read back.
//!
//! With `VERBOSE`, every column is printed with the alias of its table and every operator with
//! parentheses around it, so precedence never matters. What is not understood is kept as it is,
//! with the columns in it.

mod parser;

use ruleiq_query::{Token, TokenKind, tokens};

pub(crate) use parser::{parse, parse_sort_key};

/// A column as a plan names it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ColumnRef {
    /// The alias of the table, without quotes: no two tables of a plan have the same.
    pub(crate) alias: String,
    /// The column, without quotes; `*` for the whole row.
    pub(crate) column: String,
}

/// An expression and the text that it was read from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expression {
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Binary {
        operator: String,
        left: Box<Expression>,
        right: Box<Expression>,
        /// Whether it is `left operator ANY (right)`.
        any: bool,
    },
    IsNull {
        of: Box<Expression>,
        negated: bool,
    },
    Column(ColumnRef),
    Constant,
    Parameter,
    Cast {
        of: Box<Expression>,
        to: String,
    },
    Function {
        name: String,
        arguments: Vec<Expression>,
    },
    /// Anything else: its columns can be told, and no more.
    Other,
}

/// One entry of `Sort Key`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SortKey {
    pub(crate) by: Expression,
    pub(crate) descending: bool,
    /// Whether nulls come first, which they do by default where the order is descending.
    pub(crate) nulls_first: bool,
    /// Whether it has an operator or a collation of its own, which no plain index follows.
    pub(crate) is_special: bool,
}

impl Expression {
    /// The columns in it, in the order of the text, each once.
    pub(crate) fn columns(&self) -> Vec<ColumnRef> {
        column_refs(&self.text)
    }

    /// The conditions that all must hold.
    pub(crate) fn conjuncts(&self) -> Vec<&Expression> {
        match &self.kind {
            Kind::And(parts) => parts.iter().flat_map(Expression::conjuncts).collect(),
            _ => vec![self],
        }
    }

    /// The column, if it is nothing else.
    pub(crate) fn as_column(&self) -> Option<&ColumnRef> {
        match &self.kind {
            Kind::Column(column) => Some(column),
            _ => None,
        }
    }

    /// Whether it has a value of its own, without any row: a literal, or made of such.
    pub(crate) fn is_constant(&self) -> bool {
        match &self.kind {
            Kind::Constant => true,
            Kind::Cast { of, .. } => of.is_constant(),
            _ => false,
        }
    }

    /// Whether a parameter or the result of a subquery is in it.
    pub(crate) fn has_parameter(&self) -> bool {
        tokens(&self.text).any(|it| it.kind == TokenKind::Parameter || it.is_word("SubPlan"))
    }

    /// The text with the names of columns alone, as an index is told: `lower(u.email)` is
    /// `lower(email)`.
    pub(crate) fn unqualified(&self) -> String {
        let mut text = String::with_capacity(self.text.len());
        let mut copied = 0;
        for (alias, column) in qualified(&self.text) {
            text.push_str(&self.text[copied..alias.start]);
            copied = column.start;
        }
        text.push_str(&self.text[copied..]);
        text
    }
}

/// The columns in a text.
pub(crate) fn column_refs(text: &str) -> Vec<ColumnRef> {
    let mut found: Vec<ColumnRef> = Vec::new();
    for (alias, column) in qualified(text) {
        let column = ColumnRef {
            alias: name_of(&alias),
            column: name_of(&column),
        };
        if !found.contains(&column) {
            found.push(column);
        }
    }
    found
}

/// The text with an alias before each column that stands without.
pub(crate) fn with_alias(text: &str, alias: &str, is_column: impl Fn(&str) -> bool) -> String {
    let all: Vec<Token<'_>> = tokens(text).collect();
    let alias = format!("\"{}\".", alias.replace('"', "\"\""));
    let (mut written, mut copied) = (String::with_capacity(text.len()), 0);
    for (at, token) in all.iter().enumerate() {
        // A column, a type or a function of some name: these stand in their own places.
        let is_after = |it: &str| at > 0 && all[at - 1].text.ends_with(it);
        let is_before = |it: &str| all.get(at + 1).is_some_and(|next| next.text == it);
        let is_cast = at > 1 && all[at - 1].text == ":" && all[at - 2].text == ":";
        let is_other =
            is_cast || is_after(".") || is_after("::") || is_before(".") || is_before("(");
        if is_name(token) && !is_other && is_column(&name_of(token)) {
            written.push_str(&text[copied..token.start]);
            written.push_str(&alias);
            copied = token.start;
        }
    }
    written.push_str(&text[copied..]);
    written
}

/// Pairs of the tokens of an alias and its column.
fn qualified(text: &str) -> Vec<(Token<'_>, Token<'_>)> {
    let all: Vec<Token<'_>> = tokens(text).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at + 2 < all.len() {
        let is_call = all.get(at + 3).is_some_and(|it| it.text == "(");
        if is_name(&all[at]) && all[at + 1].text == "." && is_column(&all[at + 2]) && !is_call {
            found.push((all[at], all[at + 2]));
        }
        // The name after a dot begins nothing.
        at += if all[at + 1].text == "." { 2 } else { 1 };
    }
    found
}

fn is_name(token: &Token<'_>) -> bool {
    matches!(token.kind, TokenKind::Word | TokenKind::QuotedIdentifier)
}

fn is_column(token: &Token<'_>) -> bool {
    is_name(token) || token.text == "*"
}

/// A name without its quotes.
fn name_of(token: &Token<'_>) -> String {
    let inside = |it: &str| it.strip_prefix('"')?.strip_suffix('"').map(str::to_owned);
    match inside(token.text) {
        Some(name) => name.replace("\"\"", "\""),
        None => token.text.to_owned(),
    }
}
