//! The tokens of a statement.
//!
//! The lexical rules are those of the PostgreSQL manual, section 4.1. Blanks and comments are left
//! out. Any text has tokens: what is not closed reaches to the end.

/// One token of a statement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind,
    /// It as it is written.
    pub text: &'a str,
    /// Where it begins, in bytes from the beginning of the statement.
    pub start: usize,
}

/// What a token is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenKind {
    /// A keyword or an unquoted identifier.
    Word,
    /// An identifier in double quotes.
    QuotedIdentifier,
    /// A string or bit string, with all that continues it on later lines.
    String,
    /// A number.
    Number,
    /// `$1`.
    Parameter,
    /// A single character of an operator, or of punctuation.
    Symbol,
}

impl Token<'_> {
    /// Where it ends, in bytes from the beginning of the statement.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it stands for a value.
    pub fn is_constant(&self) -> bool {
        use TokenKind::{Number, Parameter, String};
        matches!(self.kind, String | Number | Parameter)
    }

    /// Whether it is this word, in whatever letter case.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }
}

/// The tokens of a statement, in order.
pub fn tokens(sql: &str) -> Tokens<'_> {
    Tokens {
        whole: sql,
        rest: sql,
    }
}

/// The tokens of the rest of a statement.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    /// Takes `len` bytes off the front.
    fn take(&mut self, len: usize) -> &'a str {
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        token
    }

    /// Takes the characters for which `belongs` holds.
    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if self.rest.starts_with("--") {
                self.take_while(|c| c != '\n');
            } else if self.rest.starts_with("/*") {
                self.take(comment_len(self.rest));
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
        let first = self.rest.chars().next()?;
        let start = self.whole.len() - self.rest.len();
        let kind = self.skip_token(first);
        let text = &self.whole[start..self.whole.len() - self.rest.len()];
        Some(Token { kind, text, start })
    }
}

impl<'a> Tokens<'a> {
    /// Goes past the token that begins with this character.
    fn skip_token(&mut self, first: char) -> TokenKind {
        match first {
            '\'' => self.string(false),
            '"' => {
                self.take(quoted_len(self.rest, '"', false));
                TokenKind::QuotedIdentifier
            }
            '$' => self.dollar(),
            '0'..='9' => self.number(),
            '.' if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
            _ if is_word_start(first) => self.word(),
            _ => {
                self.take(first.len_utf8());
                TokenKind::Symbol
            }
        }
    }

    /// A parameter, or a string between dollar signs.
    fn dollar(&mut self) -> TokenKind {
        if let Some(len) = dollar_quoted_len(self.rest) {
            self.take(len);
            return TokenKind::String;
        }
        self.take(1);
        self.take_while(|c| c.is_ascii_digit());
        TokenKind::Parameter
    }

    fn number(&mut self) -> TokenKind {
        self.take(number_len(self.rest));
        TokenKind::Number
    }

    /// An identifier or keyword, or a string that begins with a letter: `E''`, `B''`, `X''`, `N''`.
    fn word(&mut self) -> TokenKind {
        let word = self.take_while(|c| is_word_start(c) || c.is_ascii_digit() || c == '$');
        let prefixes_string = matches!(word, "e" | "E" | "b" | "B" | "x" | "X" | "n" | "N");
        if prefixes_string && self.rest.starts_with('\'') {
            return self.string(matches!(word, "e" | "E"));
        }
        TokenKind::Word
    }

    /// A string with what continues it on later lines, by the same rules of escaping.
    fn string(&mut self, backslash_escapes: bool) -> TokenKind {
        loop {
            self.take(quoted_len(self.rest, '\'', backslash_escapes));
            let mut next = self.clone();
            next.skip_blanks_and_comments();
            let between = &self.rest[..self.rest.len() - next.rest.len()];
            if !(between.contains(['\n', '\r']) && next.rest.starts_with('\'')) {
                return TokenKind::String;
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

    #[test]
    fn tokens_say_what_they_are_and_where_they_stand() {
        use TokenKind::*;
        let sql = "select \"A\".b -- c\n from t where x=$1 or y='it''s' and z>1.5";
        let found: Vec<_> = tokens(sql).map(|it| (it.kind, it.text)).collect();
        let expected = [
            (Word, "select"),
            (QuotedIdentifier, "\"A\""),
            (Symbol, "."),
            (Word, "b"),
            (Word, "from"),
            (Word, "t"),
            (Word, "where"),
            (Word, "x"),
            (Symbol, "="),
            (Parameter, "$1"),
            (Word, "or"),
            (Word, "y"),
            (Symbol, "="),
            (String, "'it''s'"),
            (Word, "and"),
            (Word, "z"),
            (Symbol, ">"),
            (Number, "1.5"),
        ];
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn a_token_stands_where_it_says(sql in ".*") {
            for token in tokens(&sql) {
                prop_assert!(!token.text.is_empty());
                prop_assert_eq!(&sql[token.start..token.end()], token.text);
            }
        }
    }
}
