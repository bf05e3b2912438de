//! What a log keeps of a statement: its fingerprint, and the text to show for it.

use std::{borrow::Cow, fmt, sync::Arc};

use crate::Fingerprint;

/// So much of a text that was sent is read to show it, in bytes.
const MAX_READ_BYTES: usize = 16 * 1024;
/// So much of a text is shown, in bytes.
const MAX_SHOWN_BYTES: usize = 4 * 1024;

/// A statement without its constants.
///
/// The text of a [`Statement`](crate::Statement) is shared with it and not copied: a log costs a pointer for
/// each.
#[derive(Clone)]
pub struct Shape {
    fingerprint: Fingerprint,
    text: Text,
}

#[derive(Clone)]
enum Text {
    /// As it is sent. It may hold constants, and is never shown.
    Sent(Arc<str>),
    Normalized(String),
}

impl Shape {
    /// The shape of a text. It costs what [`Fingerprint::of`] costs.
    pub fn of(sql: &str) -> Shape {
        let mut text = Fingerprint::normalized(sql);
        let fingerprint = Fingerprint::of_normalized(&text);
        if text.len() > MAX_SHOWN_BYTES {
            text.truncate(text.floor_char_boundary(MAX_SHOWN_BYTES));
            text.shrink_to_fit();
        }
        Shape {
            fingerprint,
            text: Text::Normalized(text),
        }
    }

    /// The shape of a text whose fingerprint is known.
    #[inline]
    pub(crate) fn sent(fingerprint: Fingerprint, text: Arc<str>) -> Shape {
        Shape {
            fingerprint,
            text: Text::Sent(text),
        }
    }

    /// Which statement it is.
    #[inline]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The statement as [`Fingerprint::normalized`] writes it, without its constants: the first 4 KiB, and
    /// nothing that stands after the first 16 KiB of what was sent.
    pub fn normalized(&self) -> Cow<'_, str> {
        match &self.text {
            Text::Normalized(text) => Cow::Borrowed(text),
            Text::Sent(sent) => {
                // A constant that is cut counts as one that is not closed: as a constant.
                let read = &sent[..sent.floor_char_boundary(MAX_READ_BYTES)];
                let mut text = Fingerprint::normalized(read);
                text.truncate(text.floor_char_boundary(MAX_SHOWN_BYTES));
                Cow::Owned(text)
            }
        }
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shape")
            .field("fingerprint", &self.fingerprint)
            .field("normalized", &self.normalized())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, normalized: &str) {
        let sent = Shape::sent(Fingerprint::of(sql), sql.into());
        for shape in [Shape::of(sql), sent] {
            assert_eq!(shape.normalized(), normalized);
            assert_eq!(shape.fingerprint(), Fingerprint::of(sql));
        }
    }

    #[test]
    fn a_shape_shows_no_constant_however_it_was_made() {
        check("SELECT 1", "select ?");
        check(
            "SELECT a FROM t WHERE b = 'x'",
            "select a from t where b = ?",
        );
        let shape = Shape::sent(Fingerprint::of("SELECT 'x'"), "SELECT 'secret'".into());
        assert!(!format!("{shape:?}").contains("secret"), "{shape:?}");
    }

    #[test]
    fn a_long_text_is_cut_and_keeps_its_fingerprint() {
        let columns = vec!["größe"; 4_000].join(" , ");
        let sql = format!("select {columns}");
        let cut = &sql[..sql.floor_char_boundary(MAX_SHOWN_BYTES)];
        check(&sql, cut);
    }

    #[test]
    fn a_constant_that_is_cut_is_not_shown() {
        for (open, close) in [("'", "'"), ("$tag$", "$tag$"), ("/*", "*/")] {
            let sql = format!("select {open}{}{close}", "secret ".repeat(4_000));
            let shape = Shape::sent(Fingerprint::of(&sql), sql.into());
            assert!(!shape.normalized().contains("secret"), "{open}");
        }
    }
}
