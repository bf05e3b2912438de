//! The text of a condition, as the server prints it, in tokens.
//!
//! It is not parsed: rules look for shapes that a token and its neighbours show.

/// A part of a condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// A name or keyword, without quotes.
    Name(String),
    /// A string's content.
    Text(&'a str),
    /// A number or a parameter.
    Value,
    /// `(`, `)`, `,`, `.`, `::`, or an operator.
    Symbol(&'a str),
}

/// The tokens of a condition.
pub(super) fn tokens(condition: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = condition;
    while let Some(first) = rest.chars().next() {
        let len = len(rest, first);
        let (part, after) = rest.split_at(len);
        match first {
            _ if first.is_whitespace() => {}
            '\'' => tokens.push(Token::Text(part.trim_matches('\''))),
            '"' => {
                let name = part.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
                tokens.push(Token::Name(name.unwrap_or(part).replace("\"\"", "\"")));
            }
            '$' | '0'..='9' => tokens.push(Token::Value),
            _ if is_name(first) => tokens.push(Token::Name(part.to_owned())),
            _ => tokens.push(Token::Symbol(part)),
        }
        rest = after;
    }
    tokens
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// The length of the token that begins a text with this character.
fn len(text: &str, first: char) -> usize {
    let until = |is_part: fn(char) -> bool| text.find(|c| !is_part(c)).unwrap_or(text.len());
    match first {
        '\'' | '"' => quoted_len(text, first),
        _ if is_name(first) => until(is_name),
        ':' if text.starts_with("::") => 2,
        '(' | ')' | ',' | '.' | '[' | ']' => 1,
        _ if first.is_whitespace() => until(char::is_whitespace),
        _ => until(|c| "+-*/<>=~!@#%^&|`?:".contains(c)).max(first.len_utf8()),
    }
}

/// A doubled quote is part of what is quoted.
fn quoted_len(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

/// The casts of a column: `(name)::type` and `(alias.name)::type`.
pub(super) fn casts<'t>(tokens: &'t [Token<'_>]) -> impl Iterator<Item = (&'t str, String)> {
    tokens
        .windows(3)
        .enumerate()
        .filter_map(|(at, it)| match it {
            [Token::Name(column), Token::Symbol(")"), Token::Symbol("::")] => {
                let is_alone = matches!(
                    tokens[..at],
                    [.., Token::Symbol("("), Token::Name(_), Token::Symbol(".")]
                        | [.., Token::Symbol("(")]
                );
                // A call's parentheses are not a column's.
                let is_call = matches!(tokens[..at], [.., Token::Name(_), Token::Symbol("(")]);
                (is_alone && !is_call).then(|| (column.as_str(), type_name(&tokens[at + 3..])))
            }
            _ => None,
        })
}

/// The words that name a type: `double precision`, `timestamp without time zone`.
fn type_name(tokens: &[Token<'_>]) -> String {
    let words = tokens.iter().map_while(|it| match it {
        Token::Name(word) if !matches!(word.as_str(), "AND" | "OR" | "IS" | "NOT") => {
            Some(word.as_str())
        }
        _ => None,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The calls of functions, with the names in their arguments: `lower((name)::text)`.
pub(super) fn calls<'t>(tokens: &'t [Token<'_>]) -> impl Iterator<Item = (&'t str, Vec<&'t str>)> {
    tokens
        .windows(2)
        .enumerate()
        .filter_map(|(at, it)| match it {
            [Token::Name(function), Token::Symbol("(")] if !is_keyword(function) => {
                let is_cast = matches!(tokens[..at], [.., Token::Symbol("::")]);
                (!is_cast).then(|| (function.as_str(), names(&tokens[at + 2..])))
            }
            _ => None,
        })
}

/// Words of a condition that stand before a parenthesis and are no function.
fn is_keyword(name: &str) -> bool {
    const KEYWORDS: &[&str] = &[
        "AND",
        "OR",
        "NOT",
        "ANY",
        "ALL",
        "SubPlan",
        "InitPlan",
        "hashed",
        "IN",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "ROW",
        "ARRAY",
        "EXISTS",
        "COALESCE",
        "GREATEST",
        "LEAST",
        "NULLIF",
        "numeric",
        "varchar",
        "bpchar",
        "character",
        "timestamp",
        "interval",
        "bit",
        "varying",
    ];
    KEYWORDS.contains(&name)
}

/// The names up to the parenthesis that closes what is open.
fn names<'t>(tokens: &'t [Token<'_>]) -> Vec<&'t str> {
    let mut depth = 1;
    let mut names = Vec::new();
    for token in tokens {
        match token {
            Token::Symbol("(") => depth += 1,
            Token::Symbol(")") => depth -= 1,
            Token::Name(name) => names.push(name.as_str()),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// Whether a pattern that is compared with `LIKE` or `ILIKE` begins with anything: `~~ '%x'`.
pub(super) fn has_leading_wildcard(tokens: &[Token<'_>]) -> bool {
    tokens.windows(2).any(|it| match it {
        [Token::Symbol("~~" | "~~*"), Token::Text(pattern)] => pattern.starts_with(['%', '_']),
        _ => false,
    })
}

/// Whether letter case does not count in a comparison with a pattern: `ILIKE`.
pub(super) fn ignores_case(tokens: &[Token<'_>]) -> bool {
    tokens.contains(&Token::Symbol("~~*"))
}

/// Whether alternatives stand in it.
pub(super) fn has_or(tokens: &[Token<'_>]) -> bool {
    tokens
        .iter()
        .any(|it| matches!(it, Token::Name(word) if word == "OR"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn casts_of_columns_are_found() {
        let check = |condition: &str, expected: &[(&str, &str)]| {
            let tokens = tokens(condition);
            let found: Vec<_> = casts(&tokens).collect();
            let found: Vec<_> = found.iter().map(|(a, b)| (*a, b.as_str())).collect();
            assert_eq!(found, expected, "{condition}");
        };
        check("((id)::text = $1)", &[("id", "text")]);
        check("((t.\"Id\"\"x\")::numeric = 1.5)", &[("Id\"x", "numeric")]);
        check(
            "((at)::timestamp without time zone > now())",
            &[("at", "timestamp without time zone")],
        );
        check(
            "((x)::double precision = $1 AND y)",
            &[("x", "double precision")],
        );
        check("(lower(x)::text = 'a(b)::text')", &[]);
        check("(x = ('1'::text)::integer)", &[]);
    }

    #[test]
    fn calls_are_found_with_their_columns() {
        let check = |condition: &str, expected: &[(&str, &[&str])]| {
            let tokens = tokens(condition);
            let found: Vec<_> = calls(&tokens).collect();
            let found: Vec<_> = found
                .iter()
                .map(|(f, names)| (*f, names.as_slice()))
                .collect();
            assert_eq!(found, expected, "{condition}");
        };
        check(
            "(lower((email)::text) = 'x'::text)",
            &[("lower", &["email", "text"])],
        );
        check("(a = ANY ('{1,2}'::integer[]))", &[]);
        check("(a = 'f(x)'::varchar(5))", &[]);
        check("(NOT (hashed SubPlan 1))", &[]);
    }

    #[test]
    fn patterns_and_alternatives_are_found() {
        let wildcard = |condition| has_leading_wildcard(&tokens(condition));
        assert!(wildcard("(name ~~ '%x%'::text)"));
        assert!(wildcard("((name)::text ~~* '_x'::text)"));
        assert!(!wildcard("(name ~~ 'x%'::text)"));
        assert!(!wildcard("(name ~~ $1)"));
        assert!(!wildcard("(name = '%x'::text)"));
        assert!(ignores_case(&tokens("(name ~~* $1)")));
        assert!(has_or(&tokens("((a = 1) OR (b = 2))")));
        assert!(!has_or(&tokens("(a = ' OR '::text)")));
    }

    proptest! {
        #[test]
        fn any_text_has_tokens(text in any::<String>(), dense in "[('\":.$a~%|é) ]{0,40}") {
            for text in [text, dense] {
                let tokens = tokens(&text);
                calls(&tokens).for_each(drop);
                casts(&tokens).for_each(drop);
                prop_assert!(tokens.len() <= text.len());
            }
        }
    }
}
