//! Tells statements apart by their shape.
//!
//! Constants, parameters, letter case, comments and white space do not count, and a list of
//! constants counts as one constant, so that `IN ($1, $2)` and `in (7)` are the same statement.
//! The lexical rules are those of the PostgreSQL manual, section 4.1.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

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
        let mut tokens = Tokens(sql).peekable();
        while let Some(token) = tokens.next() {
            if !text.is_empty() {
                text.push(' ');
            }
            match token {
                Token::Word(word) => text.extend(word.chars().flat_map(char::to_lowercase)),
                Token::Symbol(symbol) => text.push_str(symbol),
                Token::Constant => {
                    text.push('?');
                    let mut rest = tokens.clone();
                    while rest.next() == Some(Token::Symbol(","))
                        && rest.next() == Some(Token::Constant)
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

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    /// A keyword or an unquoted identifier, in the letter case of the text.
    Word(&'a str),
    /// An operator character, or a quoted identifier with its quotes.
    Symbol(&'a str),
    /// A string, a number, a bit string or a parameter.
    Constant,
}

/// The tokens of the rest of a statement.
#[derive(Clone)]
struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    /// Takes `len` bytes off the front.
    fn take(&mut self, len: usize) -> &'a str {
        let (token, rest) = self.0.split_at(len);
        self.0 = rest;
        token
    }

    /// Takes the characters for which `belongs` holds.
    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !belongs(c)).unwrap_or(self.0.len());
        self.take(end)
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if self.0.starts_with("--") {
                self.take_while(|c| c != '\n');
            } else if self.0.starts_with("/*") {
                self.take(comment_len(self.0));
            } else {
                return;
            }
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks_and_comments();
        let first = self.0.chars().next()?;
        Some(match first {
            '\'' => self.string(false),
            '"' => Token::Symbol(self.take(quoted_len(self.0, '"', false))),
            '$' => match dollar_quoted_len(self.0) {
                Some(len) => {
                    self.take(len);
                    Token::Constant
                }
                None => {
                    self.take(1);
                    self.take_while(|c| c.is_ascii_digit());
                    Token::Constant
                }
            },
            '0'..='9' => {
                self.take(number_len(self.0));
                Token::Constant
            }
            '.' if self.0[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.take(number_len(self.0));
                Token::Constant
            }
            _ if is_word_start(first) => self.word(),
            _ => Token::Symbol(self.take(first.len_utf8())),
        })
    }
}

impl<'a> Tokens<'a> {
    /// An identifier or keyword, or a string that begins with a letter: `E''`, `B''`, `X''`, `N''`.
    fn word(&mut self) -> Token<'a> {
        let word = self.take_while(|c| is_word_start(c) || c.is_ascii_digit() || c == '$');
        let prefixes_string = matches!(word, "e" | "E" | "b" | "B" | "x" | "X" | "n" | "N");
        if prefixes_string && self.0.starts_with('\'') {
            return self.string(matches!(word, "e" | "E"));
        }
        Token::Word(word)
    }

    /// A string with what continues it on later lines, by the same rules of escaping.
    fn string(&mut self, backslash_escapes: bool) -> Token<'a> {
        loop {
            self.take(quoted_len(self.0, '\'', backslash_escapes));
            let mut next = self.clone();
            next.skip_blanks_and_comments();
            let between = &self.0[..self.0.len() - next.0.len()];
            if !(between.contains(['\n', '\r']) && next.0.starts_with('\'')) {
                return Token::Constant;
            }
            *self = next;
        }
    }
}

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_' || !c.is_ascii()
}

/// The length of a comment that may contain others, to the end of the text if it is not closed.
fn comment_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of a quoted string or identifier; a doubled quote is part of it.
fn quoted_len(text: &str, quote: char, backslash_escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if backslash_escapes && c == '\\' {
            chars.next();
        } else if c == quote {
            match chars.peek() {
                Some((_, next)) if *next == quote => {
                    chars.next();
                }
                _ => return at + 1,
            }
        }
    }
    text.len()
}

/// The length of `$tag$ … $tag$`, or `None` if the text does not begin with such a tag.
fn dollar_quoted_len(text: &str) -> Option<usize> {
    let tag_end = text[1..].find(|c: char| !(c.is_alphanumeric() || c == '_'))? + 1;
    if !text[tag_end..].starts_with('$') || text[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let tag = &text[..=tag_end];
    let body = &text[tag.len()..];
    Some(match body.find(tag) {
        Some(end) => tag.len() + end + tag.len(),
        None => text.len(),
    })
}

/// The length of a number; an exponent's sign belongs to it.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let signed_exponent = matches!(bytes[at], b'+' | b'-')
            && matches!(bytes[at - 1], b'e' | b'E')
            && !bytes[..at].starts_with(b"0x");
        if !(bytes[at].is_ascii_alphanumeric()
            || matches!(bytes[at], b'.' | b'_')
            || signed_exponent)
        {
            break;
        }
        at += 1;
    }
    at
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
