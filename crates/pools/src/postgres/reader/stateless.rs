//! What may run on a connection that everybody shares: what reads, and leaves nothing behind.
//!
//! That nothing is written the server sees to, since such connections are read-only. What a session
//! would remember is looked for in the text.

use ruleiq_query::{TokenKind, tokens};

use super::super::kind;

/// Functions by which a session remembers something that the next caller would meet.
const REMEMBERED: [&str; 9] = [
    "set_config",
    "setseed",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_shared",
    "pg_advisory_unlock_all",
];

/// What is wrong with a statement, where it may not run there.
pub(super) fn refusal(sql: &str) -> Option<&'static str> {
    if !kind::is_query(sql) {
        return Some("it does not begin like a query, and shares its connection with others");
    }
    let mut tokens = tokens(sql).peekable();
    while let Some(token) = tokens.next() {
        let name = match token.kind {
            TokenKind::Word => token.text,
            TokenKind::QuotedIdentifier => token.text.trim_matches('"'),
            _ => continue,
        };
        let is_called = tokens.peek().is_some_and(|next| next.text == "(");
        if is_called && REMEMBERED.iter().any(|it| name.eq_ignore_ascii_case(it)) {
            return Some(
                "it calls a function whose effect stays with the connection, which others share",
            );
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_may_run() {
        for sql in [
            "SELECT 1",
            "  -- why\n select * from t where id = $1",
            "WITH a AS (SELECT 1) TABLE a",
            "(SELECT 1) UNION (SELECT 2)",
            "VALUES (1), (2)",
            "SHOW work_mem",
            "EXPLAIN SELECT 1",
            "SELECT set_config FROM settings",
            "SELECT 'set_config(1)'",
            "SELECT pg_advisory_xact_lock(1)",
        ] {
            assert_eq!(refusal(sql), None, "{sql}");
        }
    }

    #[test]
    fn what_a_session_would_remember_may_not() {
        for sql in [
            "",
            "BEGIN",
            "SET work_mem = '1MB'",
            "RESET ALL",
            "LISTEN jobs",
            "PREPARE a AS SELECT 1",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "DISCARD ALL",
            "DO $$ BEGIN END $$",
            "CALL p()",
            "COPY t TO STDOUT",
            "LOCK TABLE t",
            "INSERT INTO t VALUES (1) RETURNING id",
            "/* SELECT */ UPDATE t SET a = 1",
            "SELECT Set_Config ('work_mem', '1MB', false)",
            "SELECT pg_catalog.pg_advisory_lock(1)",
            r#"SELECT "pg_try_advisory_lock"(1)"#,
        ] {
            assert!(refusal(sql).is_some(), "{sql}");
        }
    }
}
