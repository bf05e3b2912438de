//! What kind of statement a text is, as far as it shows.

use ruleiq_query::{Token, TokenKind, tokens};

/// How a statement begins that gives rows.
const READS: [&str; 6] = ["select", "with", "values", "table", "show", "explain"];

/// Whether it begins like a query.
pub(super) fn is_query(sql: &str) -> bool {
    first(sql).is_some_and(|token| READS.iter().any(|word| token.is_word(word)))
}

/// Whether it writes by its text. What its functions do does not show.
pub(super) fn modifies(sql: &str) -> bool {
    let Some(first) = first(sql) else {
        return false;
    };
    if first.is_word("explain") {
        // It runs what it explains, or does not.
        return has_word(sql, &["analyze", "analyse"])
            && has_word(
                sql,
                &["insert", "update", "delete", "merge", "create", "execute"],
            );
    }
    if first.is_word("select") || first.is_word("with") {
        // A reserved word, of SELECT INTO, INSERT and MERGE.
        return has_word(sql, &["into"]) || has_modifying_part(sql);
    }
    !READS.iter().any(|word| first.is_word(word))
}

/// Whether the server has nothing open any more when it is done, and something may have been written. A
/// text may hold several statements.
pub(super) fn may_commit(sql: &str, is_in_transaction: bool) -> bool {
    let mut before = ";";
    let (mut begins, mut ends) = (false, false);
    for token in tokens(sql) {
        if before == ";" {
            begins |= token.is_word("begin") || token.is_word("start");
            ends |= token.is_word("commit") || token.is_word("end");
        }
        before = token.text;
    }
    ends || !is_in_transaction && !begins
}

fn has_word(sql: &str, words: &[&str]) -> bool {
    tokens(sql).any(|token| words.iter().any(|word| token.is_word(word)))
}

fn first(sql: &str) -> Option<Token<'_>> {
    tokens(sql).find(|token| token.text != "(")
}

/// Whether a part of `WITH`, or what follows them, is no query (PostgreSQL's manual, 7.8.4).
fn has_modifying_part(sql: &str) -> bool {
    let mut before = None;
    let mut tokens = tokens(sql).peekable();
    while let Some(token) = tokens.next() {
        let begins = before == Some("(") || before == Some(")");
        before = Some(token.text);
        let Some(next) = tokens.peek().filter(|_| begins) else {
            continue;
        };
        let is_named = matches!(next.kind, TokenKind::Word | TokenKind::QuotedIdentifier);
        if token.is_word("delete") && next.is_word("from") || token.is_word("update") && is_named {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_writes_shows() {
        for sql in [
            "INSERT INTO t VALUES (1) RETURNING a",
            " -- x\nupdate t set a = 1",
            "DELETE FROM t",
            "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
            "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
            "WITH a AS MATERIALIZED (update t SET a = 1 RETURNING a) TABLE a",
            "WITH a AS (SELECT 1) MERGE INTO t USING a ON true WHEN MATCHED THEN DELETE",
            "COPY t FROM STDIN",
            "CALL p()",
            "CREATE TABLE t (a int)",
            "SELECT 1 AS a INTO t",
            "EXPLAIN ANALYZE DELETE FROM t",
            "explain (verbose, analyze) insert into t values (1)",
            "WITH RECURSIVE a AS (SELECT 1) SEARCH DEPTH FIRST BY b SET c INSERT INTO t TABLE a",
        ] {
            assert!(modifies(sql), "{sql}");
        }
        for sql in [
            "",
            "SELECT a FROM t FOR UPDATE",
            "(SELECT 1) UNION (SELECT 2)",
            "WITH a AS (SELECT count(update), (delete), insert FROM t) TABLE a",
            "WITH a AS (SELECT '(INSERT INTO t)') TABLE a",
            "SHOW work_mem",
            "EXPLAIN DELETE FROM t",
            "EXPLAIN ANALYZE SELECT 1",
        ] {
            assert!(!modifies(sql), "{sql}");
        }
    }

    #[test]
    fn what_ends_a_transaction_shows() {
        for (sql, outside, inside) in [
            ("INSERT INTO t VALUES (1)", true, false),
            ("BEGIN", false, false),
            ("START TRANSACTION; INSERT INTO t VALUES (1)", false, false),
            ("BEGIN; INSERT INTO t VALUES (1); COMMIT", true, true),
            ("COMMIT", true, true),
            ("end", true, true),
            ("SELECT CASE WHEN a THEN 1 END", true, false),
            (
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                true,
                false,
            ),
        ] {
            assert_eq!(may_commit(sql, false), outside, "{sql}");
            assert_eq!(may_commit(sql, true), inside, "{sql}");
        }
    }
}
