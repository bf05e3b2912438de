//! Redis's glob patterns, for the tier that Redis does not see.
//!
//! `*` any bytes, `?` one byte, `[a-c]` and `[^a-c]` one byte of a set, `\` takes the next one as it
//! is: as in `KEYS` and `SCAN` (`stringmatchlen` in Redis's `util.c`), but linear in the number of
//! stars.

/// Whether the pattern matches the whole text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Behind the last star, and how far into the text it reaches. An earlier star need not be tried
    // again: whatever it could take, the last one can.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        match one(&pattern[p..], text[t]) {
            Some(length) => {
                p += length;
                t += 1;
            }
            None => match &mut star {
                Some((behind, reach)) => {
                    *reach += 1;
                    (p, t) = (*behind, *reach);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&it| it == b'*')
}

/// The pattern that matches exactly this text.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for it in text.chars() {
        if matches!(it, '*' | '?' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(it);
    }
    escaped
}

/// What every text begins with that the pattern matches.
pub(crate) fn literal_start(pattern: &str) -> String {
    let mut literal = String::new();
    let mut rest = pattern.chars();
    while let Some(it) = rest.next() {
        match it {
            '*' | '?' | '[' => break,
            '\\' => literal.push(rest.next().unwrap_or('\\')),
            _ => literal.push(it),
        }
    }
    literal
}

/// The length of the pattern's first element, if it matches this byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ref set @ ..] => in_set(set, byte).map(|length| 1 + length),
        [b'\\', escaped, ..] => (escaped == byte).then_some(2),
        [literal, ..] => (literal == byte).then_some(1),
    }
}

/// The length of a set, its closing bracket included, if it has the byte. A set that is never
/// closed ends with the pattern.
fn in_set(set: &[u8], byte: u8) -> Option<usize> {
    let negated = set.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match set[at..] {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [from, b'-', to, ..] => {
                found |= (from.min(to)..=from.max(to)).contains(&byte);
                at += 3;
            }
            [it, ..] => {
                found |= it == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expect: bool) {
        assert_eq!(matches(pattern, text), expect, "`{pattern}` on `{text}`");
    }

    #[test]
    fn patterns_match_as_in_redis() {
        check("", "", true);
        check("", "a", false);
        check("*", "", true);
        check("user:*", "user:1", true);
        check("user:*", "users:1", false);
        check("*:1", "user:1", true);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "a-b-b-", false);
        check("a?c", "abc", true);
        check("a?c", "ac", false);
        check("[ab]", "b", true);
        check("[^ab]", "b", false);
        check("[^ab]", "c", true);
        check("[a-c]x", "bx", true);
        check("[c-a]x", "bx", true);
        check("[a-c]x", "dx", false);
        check(r"[\]]", "]", true);
        check(r"\*", "*", true);
        check(r"\*", "a", false);
        check("[a", "a", true);
        check("a\\", "a\\", true);
        check("**a", "bba", true);
    }

    #[test]
    fn a_pattern_of_many_stars_ends() {
        let pattern = "*a".repeat(40);
        check(&pattern, &"a".repeat(4_000), true);
        check(&format!("{pattern}b"), &"a".repeat(4_000), false);
    }

    #[test]
    fn an_escaped_text_matches_itself_alone() {
        for text in ["plain", "a*b", "a?b", "[ab]", r"a\b", "a]b", "ü*"] {
            assert_eq!(literal_start(&escape(text)), text);
            check(&escape(text), text, true);
        }
        check(&escape("a*b"), "axb", false);
        check(&escape("[ab]"), "a", false);
    }

    #[test]
    fn the_start_of_a_pattern_ends_at_its_first_wildcard() {
        for (pattern, expect) in [
            ("user:*", "user:"),
            ("a[bc]", "a"),
            (r"a\*?b", "a*"),
            ("*", ""),
        ] {
            assert_eq!(literal_start(pattern), expect);
        }
    }
}
