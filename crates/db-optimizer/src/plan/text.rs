//! The text of a plan, before it is JSON.

use std::{borrow::Cow, error::Error as StdError};

use serde::{Deserialize, Deserializer, de::Error as _};
use tokio_postgres::types::{FromSql, Type};

/// The answer of `EXPLAIN (FORMAT JSON)`: the server calls it `json` and does not check that it is.
pub(crate) struct PlanText(pub(crate) String);

impl<'a> FromSql<'a> for PlanText {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<PlanText, Box<dyn StdError + Sync + Send>> {
        Ok(PlanText(String::from_utf8_lossy(raw).into_owned()))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::JSON | Type::TEXT)
    }
}

/// Puts quotes around the numbers that JSON does not have and the server prints.
pub(super) fn repaired(text: &str) -> Cow<'_, str> {
    const NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

    if !NUMBERS.iter().any(|it| text.contains(it)) {
        return Cow::Borrowed(text);
    }
    let mut repaired = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let number = NUMBERS.iter().find(|it| rest.starts_with(**it));
        let len = match (first, number) {
            ('"', _) => string_len(rest),
            (_, Some(number)) => number.len(),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(len);
        match number {
            Some(number) => repaired.push_str(&format!("\"{number}\"")),
            None => repaired.push_str(token),
        }
        rest = after;
    }
    Cow::Owned(repaired)
}

/// The length of the JSON string that a text begins with.
fn string_len(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !is_escaped => return at + 1,
            b'\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

/// Reads a number, or the name of one that JSON does not have.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Plain(f64),
        Named(String),
    }
    match Number::deserialize(deserializer)? {
        Number::Plain(number) => Ok(Some(number)),
        Number::Named(name) => name.parse().map(Some).map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_json_stays_as_it_is(text in "[\"\\\\NaInfinity -]{0,30}") {
            let json = serde_json::to_string(&[&text, "Infinity"]).unwrap();
            prop_assert_eq!(repaired(&json), json.as_str());
        }
    }
}
