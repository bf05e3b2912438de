//! Which columns an `UPDATE` changes. The plan does not say.

use std::collections::BTreeSet;

use ruleiq_query::{Token, tokens};

use crate::table_name::identifier_alone;

/// The columns before each `=` after `SET`, in all parts of a statement.
pub(super) fn changed_columns(sql: &str) -> BTreeSet<String> {
    let all: Vec<Token<'_>> = tokens(sql).collect();
    let lists = all.iter().enumerate().filter(|it| it.1.is_word("set"));
    lists.flat_map(|(at, _)| targets(&all[at..])).collect()
}

/// The targets of one list, which begins with `SET`: `a = 1, (b, c) = (2, 3), d[1] = 4, e.f = 5`.
fn targets(list: &[Token<'_>]) -> Vec<String> {
    let (mut depth, mut is_target) = (0_i32, true);
    let mut found = Vec::new();
    for pair in list.windows(2) {
        let (before, token) = (&pair[0], &pair[1]);
        match token.text {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "=" if depth == 0 => is_target = false,
            "," if depth == 0 => is_target = true,
            _ if depth == 0 && !is_target && is_end(token, before) => break,
            _ => {}
        }
        if depth < 0 {
            break;
        }
        let begins = before.is_word("set") || matches!(before.text, "," | "(");
        if is_target && begins {
            found.extend(identifier_alone(token.text));
        }
    }
    found
}

/// Whether the list is over: `a IS DISTINCT FROM b` goes on.
fn is_end(token: &Token<'_>, before: &Token<'_>) -> bool {
    token.text == ";"
        || ["where", "returning"].iter().any(|it| token.is_word(it))
        || (token.is_word("from") && !before.is_word("distinct"))
}

/// Whether an expression, as the server writes it, speaks of any of these columns.
pub(super) fn mentions(sql: &str, columns: &BTreeSet<String>) -> bool {
    let mut names = tokens(sql).filter_map(|it| identifier_alone(it.text));
    names.any(|it| columns.contains(&it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_from_values() {
        let check = |sql: &str, expected: &[&str]| {
            let found: Vec<String> = changed_columns(sql).into_iter().collect();
            assert_eq!(found, expected, "{sql}");
        };
        check("SELECT a = 1 FROM t", &[]);
        check("UPDATE t SET a = 1", &["a"]);
        check("update T set A = B + 1, \"C\" = d", &["C", "a"]);
        check(r#"UPDATE t SET "a""b" = 1, "x y" = 2"#, &["a\"b", "x y"]);
        check("UPDATE t SET a = CASE WHEN b = 1 THEN c ELSE d END", &["a"]);
        check(
            "UPDATE t SET a = (SELECT x FROM u WHERE y = 1), b = 2",
            &["a", "b"],
        );
        check("UPDATE t SET (a, b) = (c, d), e = f", &["a", "b", "e"]);
        check("UPDATE t SET (a, b) = (SELECT c, d FROM u)", &["a", "b"]);
        check("UPDATE t SET a[i] = 1, b.c = 2", &["a", "b"]);
        check("UPDATE t SET a = b IS DISTINCT FROM c, d = 1", &["a", "d"]);
        check("UPDATE t SET a = 1 FROM u WHERE t.b = u.b, c = 1", &["a"]);
        check("UPDATE t SET a = $1 WHERE b = $2 RETURNING c", &["a"]);
        check(
            "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE t.c = 1",
            &["b"],
        );
        check(
            "WITH x AS (UPDATE t SET a = 1 RETURNING b) UPDATE u SET c = x.b FROM x",
            &["a", "c"],
        );
        check("UPDATE t SET", &[]);
    }

    #[test]
    fn an_expression_speaks_of_what_it_names() {
        let columns = BTreeSet::from(["email".to_owned(), "My Name".to_owned()]);
        assert!(mentions("lower(email)", &columns));
        assert!(mentions("\"My Name\" IS NULL", &columns));
        assert!(!mentions("lower(note) = 'email'", &columns));
    }
}
