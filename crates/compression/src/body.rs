//! What is known of a body before it is encoded.

/// What a body is like: encoding markup costs other times than encoding JSON.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Kind {
    /// JSON, and what is not known to be anything else.
    #[default]
    Json,
    /// HTML, XML, SVG.
    Markup,
    /// CSS and JavaScript.
    Code,
    /// CSV, plain text and the like.
    Text,
}

/// What is known of a body.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Body {
    /// Its size; none for a stream.
    pub size_bytes: Option<usize>,
    /// What it is like.
    pub kind: Kind,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Kind; 4] = [Kind::Json, Kind::Markup, Kind::Code, Kind::Text];

    /// What a body of this `Content-Type` is like.
    pub fn of(content_type: &[u8]) -> Kind {
        let essence = content_type.split(|byte| *byte == b';').next();
        let essence = essence.unwrap_or_default().trim_ascii();
        let ends = |end: &[u8]| {
            essence
                .len()
                .checked_sub(end.len())
                .is_some_and(|at| essence[at..].eq_ignore_ascii_case(end))
        };
        if ends(b"json") || ends(b"jsonl") {
            Kind::Json
        } else if ends(b"html") || ends(b"xml") {
            Kind::Markup
        } else if ends(b"css") || ends(b"script") {
            Kind::Code
        } else if essence.len() > 5 && essence[..5].eq_ignore_ascii_case(b"text/") || ends(b"csv") {
            Kind::Text
        } else {
            Kind::Json
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_says_what_a_body_is_like() {
        let check = |content_type: &str, kind| {
            let found = Kind::of(content_type.as_bytes());
            assert_eq!(found, kind, "{content_type}");
        };
        check("application/json", Kind::Json);
        check("application/problem+JSON; charset=utf-8", Kind::Json);
        check("text/html;charset=utf-8", Kind::Markup);
        check("image/svg+xml", Kind::Markup);
        check("text/css", Kind::Code);
        check("application/javascript", Kind::Code);
        check("text/ecmascript ; a=json", Kind::Code);
        check("text/csv", Kind::Text);
        check("application/csv", Kind::Text);
        check("Text/plain", Kind::Text);
        check("text/event-stream", Kind::Text);
        check("", Kind::Json);
        check("text/", Kind::Json);
    }
}
