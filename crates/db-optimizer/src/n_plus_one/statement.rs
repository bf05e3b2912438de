//! What a statement does, as far as its normalized text tells.

use super::tokens::{is_name, spell, tokens};

/// A statement, token by token.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    tokens: Vec<&'a str>,
    /// In how many parentheses each token stands.
    depths: Vec<usize>,
}

/// What it does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    /// Reads a table.
    Read,
    Insert,
    Update,
    Delete,
    /// Writes in another way: MERGE, or a WITH that writes.
    Write,
    /// Something that has to be said as often as it is: a transaction's ends, a setting, a cursor, a lock, a
    /// function that is called for what it does.
    Other,
}

impl<'a> Statement<'a> {
    pub(super) fn read(normalized: &'a str) -> Statement<'a> {
        let tokens = tokens(normalized);
        let mut depth: usize = 0;
        let depths = tokens.iter().map(|token| {
            let outside = depth;
            match *token {
                "(" => depth += 1,
                ")" => {
                    depth = depth.saturating_sub(1);
                    return depth;
                }
                _ => {}
            }
            outside
        });
        let depths = depths.collect();
        Statement { tokens, depths }
    }

    pub(super) fn tokens(&self) -> &[&'a str] {
        &self.tokens
    }

    /// As people write it.
    pub(super) fn spelled(&self) -> String {
        spell(self.tokens.iter().copied())
    }

    pub(super) fn verb(&self) -> Verb {
        match self.tokens.first().copied() {
            Some("select" | "table") if self.only_reads() => Verb::Read,
            Some("with") if self.writes_within() => Verb::Write,
            Some("with") if self.find("select", 0).is_some() => Verb::Read,
            Some("insert") => Verb::Insert,
            Some("update") => Verb::Update,
            Some("delete") => Verb::Delete,
            Some("merge") => Verb::Write,
            _ => Verb::Other,
        }
    }

    /// A SELECT without FROM reads no table: it calls functions, such as `nextval` or
    /// `pg_advisory_lock`. One that skips what is locked takes one job after the other.
    fn only_reads(&self) -> bool {
        let skips = self.tokens.windows(2).any(|it| it == ["skip", "locked"]);
        let is_table = self.tokens[0] == "table";
        (is_table || self.find("from", 0).is_some()) && !skips
    }

    /// Whether a WITH writes, in it or after it.
    fn writes_within(&self) -> bool {
        let mut before = "";
        self.tokens.iter().zip(&self.depths).any(|(token, depth)| {
            let begins = before == "(" || (before == ")" && *depth == 0);
            before = token;
            begins && matches!(*token, "insert" | "update" | "delete" | "merge")
        })
    }

    /// The place of the first such token outside of all parentheses, from there on.
    pub(super) fn find(&self, token: &str, from: usize) -> Option<usize> {
        self.find_any(&[token], from)
    }

    pub(super) fn find_any(&self, any: &[&str], from: usize) -> Option<usize> {
        (from..self.tokens.len()).find(|&at| self.depths[at] == 0 && any.contains(&self.tokens[at]))
    }

    /// Whether any function of these names is called outside of all parentheses.
    pub(super) fn calls(&self, names: &[&str]) -> bool {
        let pairs = self.tokens.windows(2).zip(&self.depths);
        let mut outside = pairs.filter(|(_, depth)| **depth == 0);
        outside.any(|(pair, _)| pair[1] == "(" && names.contains(&pair[0]))
    }

    /// The columns between two places: `a`, `t . a`, where nothing else stands there but commas.
    pub(super) fn columns(&self, from: usize, to: usize) -> Option<Vec<&'a str>> {
        let mut columns = Vec::new();
        for column in self.tokens[from..to].split(|it| *it == ",") {
            match column {
                [name] if is_name(name) => columns.push(*name),
                _ => return None,
            }
        }
        Some(columns)
    }
}

#[cfg(test)]
mod tests {
    use ruleiq_query::Fingerprint;

    use super::*;

    fn check(sql: &str, verb: Verb) {
        let normalized = Fingerprint::normalized(sql);
        assert_eq!(Statement::read(&normalized).verb(), verb, "{sql}");
    }

    #[test]
    fn what_a_statement_does_is_told_by_its_words() {
        use Verb::{Delete, Insert, Other, Read, Update, Write};
        check("SELECT * FROM t WHERE id = $1", Read);
        check("SELECT (SELECT max(n) FROM t)", Other);
        check("TABLE t", Read);
        check("SELECT a FROM t WHERE id = $1 FOR UPDATE", Read);
        check("SELECT a FROM t LIMIT 1 FOR UPDATE SKIP LOCKED", Other);
        check("SELECT nextval('s')", Other);
        check("SELECT pg_advisory_xact_lock($1)", Other);
        check("SELECT 1", Other);
        check("WITH a AS (SELECT 1) SELECT * FROM a", Read);
        check(
            "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a",
            Write,
        );
        check("WITH a AS (SELECT 1) UPDATE t SET n = 1", Write);
        check("INSERT INTO t (a) VALUES ($1) RETURNING id", Insert);
        check("UPDATE t SET a = $1", Update);
        check("DELETE FROM t WHERE id = $1", Delete);
        check(
            "MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE",
            Write,
        );
        for sql in [
            "BEGIN",
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT a",
            "RELEASE a",
            "SET LOCAL a = 'b'",
            "RESET a",
            "SHOW a",
            "LISTEN a",
            "NOTIFY a",
            "FETCH 10 FROM c",
            "CLOSE c",
            "DECLARE c CURSOR FOR SELECT * FROM t",
            "LOCK TABLE t",
            "COPY t FROM STDIN",
            "CALL p($1)",
            "DO 'x'",
            "CREATE TABLE t (a int)",
            "VACUUM t",
            "EXPLAIN SELECT 1",
            "",
        ] {
            check(sql, Other);
        }
    }
}
