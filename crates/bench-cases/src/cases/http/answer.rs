//! Whether a first answer is the right one. All later ones are compared with it.

use ruleiq_bench::Fault;
use ruleiq_compression::Coding;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{cases::compression::compare, http_server::Fetched};

/// What an answer has to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// Nothing at all.
    Empty,
    /// Some text.
    Text,
    /// An object with at least one member.
    Object,
    /// The row with this `id`.
    Row(Uuid),
    /// `items`, at least one, each of this user where one is given.
    Rows { of: Option<Uuid> },
}

impl Shape {
    /// An error unless `body` is this.
    pub(super) fn judge(self, path: &str, body: &[u8]) -> Result<(), Fault> {
        let wrong = |what: &str| Err(Fault::Wrong(format!("`{path}` answers {what}")));
        match self {
            Shape::Empty if !body.is_empty() => return wrong("with a body"),
            Shape::Text if body.is_empty() => return wrong("without a body"),
            Shape::Empty | Shape::Text => return Ok(()),
            Shape::Object | Shape::Row(_) | Shape::Rows { .. } => {}
        }
        let Ok(Value::Object(object)) = serde_json::from_slice(body) else {
            return wrong("without a JSON object");
        };
        match self {
            Shape::Row(id) if object.get("id") != Some(&json!(id)) => wrong("with another row"),
            Shape::Rows { of } => {
                let items = object.get("items").and_then(Value::as_array);
                let Some(items) = items.filter(|it| !it.is_empty()) else {
                    return wrong("with no items");
                };
                let is_strange = |it: &Value| of.is_some_and(|user| it["user_id"] != json!(user));
                if items.iter().any(is_strange) {
                    return wrong("with a row of another user");
                }
                Ok(())
            }
            _ if object.is_empty() => wrong("with an empty object"),
            _ => Ok(()),
        }
    }
}

/// An error unless `coded` comes in this coding and is `identity`, decoded.
pub(super) fn judge_coded(
    path: &str,
    coding: &str,
    coded: &Fetched,
    identity: &Fetched,
) -> Result<(), Fault> {
    if coded.coding.as_deref() != Some(coding) {
        let got = &coded.coding;
        let wrong = format!("`{path}` is coded {got:?} in place of {coding}");
        return Err(Fault::Wrong(wrong));
    }
    let known = Coding::ALL.into_iter().find(|it| it.as_str() == coding);
    let known = known.ok_or_else(|| Fault::Failed(format!("`{coding}` is no known coding")))?;
    compare(known, &coded.body, &identity.body)
        .map_err(|fault| Fault::Wrong(format!("`{path}`: {fault}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn is_right(shape: Shape, body: &Value) -> bool {
        match shape.judge("/a", body.to_string().as_bytes()) {
            Ok(()) => true,
            Err(Fault::Wrong(_)) => false,
            Err(fault) => panic!("{fault}"),
        }
    }

    #[test]
    fn lists_have_rows_and_all_are_of_who_asked() {
        let (me, you) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mine = Shape::Rows { of: Some(me) };
        assert!(is_right(mine, &json!({ "items": [{ "user_id": me }] })));
        assert!(!is_right(mine, &json!({ "items": [] })));
        assert!(!is_right(mine, &json!({})));
        let both = json!({ "items": [{ "user_id": me }, { "user_id": you }] });
        assert!(!is_right(mine, &both));
        assert!(is_right(Shape::Rows { of: None }, &both));
    }

    #[test]
    fn what_is_not_what_was_asked_for_is_wrong() {
        let id = Uuid::from_u128(1);
        assert!(is_right(Shape::Row(id), &json!({ "id": id })));
        assert!(!is_right(Shape::Row(id), &json!({ "id": Uuid::nil() })));
        assert!(!is_right(Shape::Row(id), &json!([])));
        assert!(!is_right(Shape::Object, &json!({})));
        assert!(Shape::Object.judge("/a", b"<html>").is_err());
        assert!(Shape::Text.judge("/a", b"").is_err());
        assert!(Shape::Empty.judge("/a", b"{}").is_err());
    }

    #[test]
    fn a_coded_answer_is_decoded_and_compared() {
        let fetched = |coding: Option<&str>, body: Vec<u8>| Fetched {
            status: 200,
            content_type: String::new(),
            coding: coding.map(str::to_owned),
            body: body.into(),
        };
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"hello").unwrap();
        let coded = fetched(Some("gzip"), gzip.finish().unwrap());
        let judge = |coding, coded: &Fetched, identity: &[u8]| {
            judge_coded("/a", coding, coded, &fetched(None, identity.to_vec()))
        };
        assert_eq!(judge("gzip", &coded, b"hello"), Ok(()));
        for wrong in [
            judge("gzip", &coded, b"jello"),
            judge("br", &coded, b"hello"),
            judge("gzip", &fetched(Some("gzip"), b"hello".to_vec()), b"hello"),
        ] {
            assert!(matches!(wrong, Err(Fault::Wrong(_))), "{wrong:?}");
        }
    }
}
