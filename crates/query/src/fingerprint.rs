//! Tells statements apart by their shape.
//!
//! Constants, parameters, letter case, comments and white space do not count, and a list of
//! constants counts as one constant, so that `IN ($1, $2)` and `in (7)` are the same statement.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::lexer::{TokenKind, tokens};

/// A 64-bit name for a statement's shape.
///
/// It is stable across processes and releases of this crate.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of a statement.
    pub fn of(sql: &str) -> Fingerprint {
        Fingerprint::of_normalized(&Fingerprint::normalized(sql))
    }

    pub(crate) fn of_normalized(text: &str) -> Fingerprint {
        Fingerprint(xxh3_64(text.as_bytes()))
    }

    /// The text that is hashed: the statement with `?` for each constant.
    ///
    /// It holds no constant of the input, so it may be logged.
    pub fn normalized(sql: &str) -> String {
        let mut text = String::with_capacity(sql.len());
        let mut tokens = tokens(sql);
        while let Some(token) = tokens.next() {
            if !text.is_empty() {
                text.push(' ');
            }
            match token.kind {
                TokenKind::Word => text.extend(token.text.chars().flat_map(char::to_lowercase)),
                TokenKind::QuotedIdentifier | TokenKind::Symbol => text.push_str(token.text),
                TokenKind::String | TokenKind::Number | TokenKind::Parameter => {
                    text.push('?');
                    let mut rest = tokens.clone();
                    while rest.next().is_some_and(|it| it.text == ",")
                        && rest.next().is_some_and(|it| it.is_constant())
                    {
                        tokens = rest.clone();
                    }
                }
            }
        }
        text
    }

    /// The number itself.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(sql: &str, normalized: &str) {
        assert_eq!(Fingerprint::normalized(sql), normalized, "{sql}");
    }

    #[test]
    fn a_statement_is_normalized() {
        check("SELECT  1", "select ?");
        check(
            "select * from T where id=$1",
            "select * from t where id = ?",
        );
        check("SELECT 'it''s', E'a\\'b', $x$ ' $x$, $$;$$", "select ?");
        check("a IN (1, 2,3)", "a in ( ? )");
        check(
            "a = ANY($1) -- why\n and /* x /* y */ z */ b",
            "a = any ( ? ) and b",
        );
        check(
            r#"SELECT "Weird ""Name""" FROM t1"#,
            r#"select "Weird ""Name""" from t1"#,
        );
        check("x = 1.5e-3 + .5", "x = ? + ?");
        check("f(1, b, 2, 3)", "f ( ? , b , ? )");
        check("B'101' X'1F' e", "? ? e");
        check("E'a' -- and on\n 'b\\'c', 'd'\n'e'", "?");
        check("E'a' 'b'", "? ?");
        check("'not closed", "?");
        check("/* not closed", "");
        check("größe = 'ß'", "größe = ?");
        check("", "");
    }

    #[test]
    fn constants_do_not_change_a_fingerprint_and_names_do() {
        let of = Fingerprint::of;
        assert_eq!(
            of("select a from t where b in (1,2)"),
            of("SELECT a FROM t WHERE b IN ($1)")
        );
        assert_ne!(of("select a from t"), of("select b from t"));
        assert_ne!(of(r#"select "A""#), of(r#"select "a""#));
    }

    /// Text that is full of what has a meaning.
    const DENSE: &str = r#"[aEx1.,'"$\\/*\-+?( \n]{0,40}"#;

    proptest! {
        #[test]
        fn any_text_is_normalized_once_and_for_all(sql in any::<String>(), dense in DENSE) {
            for text in [sql, dense] {
                let once = Fingerprint::normalized(&text);
                prop_assert_eq!(Fingerprint::normalized(&once), once);
            }
        }

        #[test]
        fn a_constant_never_shows(constant in "[a-z]{8}") {
            let sql = format!("select x from t where y = '{constant}'");
            prop_assert_eq!(Fingerprint::normalized(&sql), "select x from t where y = ?");
        }
    }
}
