//! Texts that are right only with a constant in the place of a parameter.
//!
//! `pg_stat_statements` writes `interval $1` and `extract($1 from x)`, which no server takes.

use std::ops::Range;

/// Types whose name may stand before a string.
const TYPES: &[&str] = &[
    "interval",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
];

/// The text with what cannot be prepared written in another way; `None` where there is nothing to do.
pub(super) fn repaired(text: &str) -> Option<String> {
    let words = words(text);
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let name = text[word.clone()].to_ascii_lowercase();
        let next = |offset: usize| words.get(at + offset).map(|it| &text[it.clone()]);
        let parameter = next(1).filter(|it| it.starts_with('$'));
        if let (Some(parameter), true) = (parameter, TYPES.contains(&name.as_str())) {
            let end = words[at + 1].end;
            edits.push((word.start..end, format!("{parameter}::{name}")));
        }
        let is_extract = name == "extract"
            && next(1) == Some("(")
            && next(2).is_some_and(|it| it.starts_with('$'))
            && next(3).is_some_and(|it| it.eq_ignore_ascii_case("from"));
        if is_extract {
            edits.push((word.clone(), "date_part".to_owned()));
            edits.push((words[at + 3].clone(), ",".to_owned()));
        }
    }
    if edits.is_empty() {
        return None;
    }
    let mut repaired = text.to_owned();
    edits.sort_by_key(|(range, _)| range.start);
    for (range, replacement) in edits.into_iter().rev() {
        repaired.replace_range(range, &replacement);
    }
    Some(repaired)
}

/// Where words, parameters and symbols stand; what is quoted and comments are one symbol each.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii();
        let len = match first {
            '\'' | '"' => quoted_len(rest, first),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |it| it + 2),
            '$' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => dollar_len(rest),
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        if !first.is_whitespace() {
            words.push(at..at + len);
        }
        at += len;
    }
    words
}

fn quoted_len(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

/// The length of `$tag$ … $tag$`.
fn dollar_len(text: &str) -> usize {
    let Some(end) = text[1..].find('$').map(|it| it + 2) else {
        return 1;
    };
    let (tag, body) = text.split_at(end);
    let is_tag = tag[1..end - 1]
        .chars()
        .all(|c| c.is_alphanumeric() || c == '_');
    match is_tag {
        true => body.find(tag).map_or(text.len(), |it| it + 2 * end),
        false => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_only_a_constant_can_be_is_written_in_another_way() {
        let check = |text, expected: Option<&str>| {
            assert_eq!(repaired(text).as_deref(), expected, "{text}");
        };
        check(
            "select now() - interval $1, Timestamp  $2",
            Some("select now() - $1::interval, $2::timestamp"),
        );
        check(
            "select extract($1 from at), EXTRACT( $2 FROM interval $3)",
            Some("select date_part($1 , at), date_part( $2 , $3::interval)"),
        );
        check(
            "select interval, $1, 'interval $1', \"interval\" from t",
            None,
        );
        check(
            "select $x$interval $1$x$ -- interval $1\n/* date $1 */",
            None,
        );
        check("select extract(year from at) where x = $1", None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>(), dense in "[interval$1'\"/*\\- (]{0,40}") {
            // It must not panic, and what is repaired is so once and for all.
            for text in [text, dense] {
                if let Some(once) = repaired(&text) {
                    prop_assert_ne!(once, text);
                }
            }
        }
    }
}
