//! A normalized statement as a list of tokens, and such a list as SQL that people read.

/// The tokens of a statement that [`Fingerprint::normalized`](ruleiq_query::Fingerprint::normalized) has
/// written: one space between two, and a quoted identifier, which may hold spaces, is one.
pub(super) fn tokens(normalized: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = normalized.trim_start();
    while !rest.is_empty() {
        let len = match rest.starts_with('"') {
            true => quoted_len(rest),
            false => rest.find(' ').unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(len);
        tokens.push(token);
        rest = after.trim_start_matches(' ');
    }
    tokens
}

/// The length of a quoted identifier; a doubled quote is part of it.
fn quoted_len(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '"' && chars.next_if(|(_, next)| *next == '"').is_none() {
            return at + 1;
        }
    }
    text.len()
}

/// Writes tokens as people do: `f(a.b, ?) >= ?::date`.
pub(super) fn spell<'a>(tokens: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let mut before = "";
    for token in tokens {
        if !before.is_empty() && is_apart(before, token) {
            text.push(' ');
        }
        text.push_str(token);
        before = token;
    }
    text
}

/// Whether a space stands between two tokens.
fn is_apart(before: &str, token: &str) -> bool {
    match (before, token) {
        (_, "," | ")" | "[" | "]" | "." | ":" | ";") | ("(" | "[" | "." | ":", _) => false,
        (name, "(") => !is_called(name),
        _ => !(is_operator(before) && is_operator(token)),
    }
}

/// Whether a parenthesis after the word holds arguments.
fn is_called(name: &str) -> bool {
    const NOT_CALLED: [&str; 26] = [
        "all",
        "and",
        "as",
        "by",
        "distinct",
        "else",
        "except",
        "exists",
        "filter",
        "from",
        "in",
        "intersect",
        "into",
        "join",
        "lateral",
        "not",
        "on",
        "or",
        "over",
        "select",
        "set",
        "then",
        "union",
        "using",
        "values",
        "where",
    ];
    is_name(name) && !NOT_CALLED.contains(&name)
}

fn is_operator(token: &str) -> bool {
    const OPERATORS: &str = "+-*/<>=~!@#%^&|`";
    token.chars().all(|c| OPERATORS.contains(c))
}

/// Whether the token is an identifier or a keyword.
pub(super) fn is_name(token: &str) -> bool {
    let first = token.chars().next();
    first.is_some_and(|c| c == '"' || c == '_' || c.is_alphabetic() || !c.is_ascii())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruleiq_query::Fingerprint;

    use super::*;

    fn check(sql: &str, spelled: &str) {
        assert_eq!(spell(tokens(&Fingerprint::normalized(sql))), spelled);
    }

    #[test]
    fn a_statement_is_spelled_as_people_write_it() {
        check(
            "select  *  from t where a=$1",
            "select * from t where a = ?",
        );
        check("SELECT t.a, count(*) FROM t", "select t.a, count(*) from t");
        check("SELECT a->>'b', c::date", "select a ->> ?, c::date");
        check("WHERE a >= $1 AND b IN (1, 2)", "where a >= ? and b in (?)");
        check("a = ANY($1::int[])", "a = any(?::int[])");
        check(
            "INSERT INTO t (a) VALUES ($1)",
            "insert into t(a) values (?)",
        );
        check(r#"SELECT "A b"."c ""d""""#, r#"select "A b"."c ""d""""#);
        check("", "");
    }

    proptest! {
        #[test]
        fn spelling_changes_nothing_but_spaces(sql in r#"[a-z"$1.,()=:>*' ]{0,40}"#) {
            let normalized = Fingerprint::normalized(&sql);
            let bare = |text: &str| text.replace(' ', "");
            let spelled = spell(tokens(&normalized));
            prop_assert_eq!(bare(&spelled), bare(&normalized));
        }
    }
}
