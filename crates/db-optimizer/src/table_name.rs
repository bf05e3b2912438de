//! A table's name as it is written in SQL.

/// The longest text that is looked at: two quoted names of 63 bytes that are all quotes, and a dot.
const MAX_BYTES: usize = 2 * (2 * 63 + 2) + 1;

/// A name, with or without a schema. It has been read as PostgreSQL reads identifiers (manual,
/// section 4.1.1) and is only ever sent as a parameter.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct TableName {
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
}

impl TableName {
    /// `None` for what is no name.
    pub(crate) fn parse(text: &str) -> Option<TableName> {
        // PostgreSQL knows no texts with a zero byte.
        if text.len() > MAX_BYTES || text.contains('\0') {
            return None;
        }
        let (first, rest) = identifier(text)?;
        if rest.is_empty() {
            return Some(TableName {
                schema: None,
                table: first,
            });
        }
        let (second, rest) = identifier(rest.strip_prefix('.')?)?;
        rest.is_empty().then_some(TableName {
            schema: Some(first),
            table: second,
        })
    }
}

/// The name that a text is, read as in SQL.
pub(crate) fn identifier_alone(text: &str) -> Option<String> {
    if text.len() > MAX_BYTES || text.contains('\0') {
        return None;
    }
    let (name, rest) = identifier(text)?;
    rest.is_empty().then_some(name)
}

/// The identifier that a text begins with, and what follows it.
fn identifier(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted_identifier(quoted);
    }
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let is_name = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit() || c == '$');
    // The server folds no other letters in UTF-8.
    is_name.then(|| (name.to_ascii_lowercase(), rest))
}

/// What follows the opening quote.
fn quoted_identifier(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return (!name.is_empty()).then_some((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Option<(Option<&str>, &str)>) {
        let expected = expected.map(|(schema, table)| TableName {
            schema: schema.map(str::to_owned),
            table: table.to_owned(),
        });
        assert_eq!(TableName::parse(text), expected, "{text:?}");
    }

    #[test]
    fn names_are_read_as_in_sql() {
        check("users", Some((None, "users")));
        check("Public.USERS", Some((Some("public"), "users")));
        check("größe", Some((None, "größe")));
        check("a$1", Some((None, "a$1")));
        check(r#""Weird ""Name""""#, Some((None, r#"Weird "Name""#)));
        check(r#"s."a.b""#, Some((Some("s"), "a.b")));
        check(r#""S"."T""#, Some((Some("S"), "T")));
    }

    #[test]
    fn what_is_no_name_names_no_table() {
        let texts = [
            "",
            ".",
            "a.",
            ".a",
            "a.b.c",
            "1a",
            "$1",
            "a b",
            "a;drop table b",
            "a'",
            "\"",
            "\"\"",
            "\"a",
            "\"a\"b",
            "a\0",
            "\"a\0\"",
            "--",
            "a/**/",
        ];
        for text in texts {
            check(text, None);
        }
        check(&"a".repeat(MAX_BYTES + 1), None);
    }

    proptest! {
        #[test]
        fn a_quoted_name_is_read_back(schema in "[^\0]{1,20}", table in "[^\0]{1,20}") {
            let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
            let text = format!("{}.{}", quote(&schema), quote(&table));
            let expected = TableName { schema: Some(schema), table };
            prop_assert_eq!(TableName::parse(&text), Some(expected));
        }

        #[test]
        fn any_text_can_be_read(text in any::<String>()) {
            // Whether it is a name or not, it must not panic.
            if let Some(name) = TableName::parse(&text) {
                prop_assert!(!name.table.is_empty());
            }
        }
    }
}
