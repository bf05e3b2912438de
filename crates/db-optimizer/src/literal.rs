//! Texts as SQL.

/// A text as SQL, whatever `standard_conforming_strings` says.
pub(crate) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruleiq_query::tokens;

    use super::*;

    proptest! {
        /// Read back by our lexer, a literal is one token.
        #[test]
        fn a_literal_is_one_token(value in any::<String>(), dense in "['\\\\E\"]{0,8}") {
            for value in [value, dense] {
                let literal = literal(&value);
                let found: Vec<_> = tokens(&literal).collect();
                prop_assert_eq!(found.len(), 1);
            }
        }
    }
}
