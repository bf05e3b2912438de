//! Texts that are right only with a constant in the place of a parameter, of any type.
//!
//! libpg_query is PostgreSQL's own grammar, taught to take a parameter where `pg_stat_statements` leaves one.
//! What it has read it writes in a way that every server takes: `float $1` as `$1::double precision`.

use pg_query::{DeparseOptions, ParserOptions};
use ruleiq_query::{TokenKind, tokens};

/// The text written anew from what the grammar makes of it; `None` where it is not one statement, or
/// nothing changes.
pub(super) fn rewritten(text: &str) -> Option<String> {
    // Without parameters, a statement is planned by its own text later on.
    tokens(text).find(|it| it.kind == TokenKind::Parameter)?;
    let parsed = pg_query::parse(text, ParserOptions::default()).ok()?;
    if parsed.protobuf.stmts.len() != 1 {
        return None;
    }
    let written = parsed.deparse(DeparseOptions::default()).ok()?;
    (written != text).then_some(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(rewritten(text).as_deref(), expected, "{text}");
    }

    #[test]
    fn a_parameter_takes_the_type_that_stood_before_the_constant() {
        check(
            "select float $1, double precision $2, time(3) $3, my.type $4",
            Some("SELECT $1::double precision, $2::double precision, $3::time(3), $4::my.type"),
        );
        check(
            "select now() - interval $1 day to second",
            Some("SELECT now() - $1::interval day to second"),
        );
    }

    #[test]
    fn what_is_not_one_statement_is_left_alone() {
        check("select $1; drop table t", None);
        check("", None);
        check("select from where $1", None);
        check("select 0x10", None);
        check("SELECT a FROM t WHERE b = $1", None);
    }
}
