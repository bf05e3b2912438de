//! The text of a statement, as it may be shown.

use ruleiq_query::Fingerprint;

/// So much of a text is reported, in bytes.
const MAX_TEXT_BYTES: usize = 4_096;

/// A text without its constants. Cut in a string or a comment, the rest of it counts as that.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = Fingerprint::normalized(text);
    if shown.len() > MAX_TEXT_BYTES {
        let mark = '…';
        let mut end = MAX_TEXT_BYTES - mark.len_utf8();
        while !shown.is_char_boundary(end) {
            end -= 1;
        }
        shown.truncate(end);
        shown.push(mark);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_without_its_constants() {
        let text = "CREATE ROLE r PASSWORD 'hunter2'";
        assert_eq!(shown(text), "create role r password ?");
        assert_eq!(
            shown("ALTER ROLE r PASSWORD 'hunt"),
            "alter role r password ?"
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        for padding in ["", "x", "xx", "xxx"] {
            let shown = shown(&format!("select {padding}{}", "é".repeat(MAX_TEXT_BYTES)));
            assert!(shown.len() <= MAX_TEXT_BYTES, "{}", shown.len());
            assert!(shown.ends_with("é…"));
        }
    }
}
