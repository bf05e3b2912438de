//! Pages of rows, newest first, by keyset cursor.
//!
//! A cursor names the last row of a page by the columns that order it, so that a page costs the
//! same wherever it stands, and rows that come or go move nothing.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Serialize;
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;
use uuid::Uuid;

/// The most rows of one page.
pub(crate) const MAX_LIMIT: u16 = 100;

/// The first whole year that PostgreSQL can hold. Its last one is beyond `OffsetDateTime`'s.
const FIRST_YEAR: i32 = -4712;

/// Where a page ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cursor {
    pub(crate) created_at: OffsetDateTime,
    pub(crate) id: Uuid,
}

/// Some rows, and where the next ones begin.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// The `cursor` of the next page; `null` on the last.
    pub(crate) next_cursor: Option<String>,
}

/// The conditions of a page's statement, in the order of their parameters.
///
/// A condition that does not apply is not in the text, since `$1 IS NULL OR …` would keep the
/// planner from the index.
#[derive(Default)]
pub(crate) struct Conditions<'a> {
    sql: String,
    params: Vec<&'a (dyn ToSql + Sync)>,
}

impl Cursor {
    /// The cursor as callers see it: opaque, and safe in an address.
    pub(crate) fn encode(self) -> String {
        let micros = self.created_at.unix_timestamp_nanos() / 1_000;
        let micros = i64::try_from(micros).expect("PostgreSQL's times fit into 64 bits");
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&micros.to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`encode`](Cursor::encode) wrote.
    pub(crate) fn decode(text: &str) -> Option<Cursor> {
        let bytes: [u8; 24] = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (micros, id) = bytes.split_at(8);
        let micros = i64::from_be_bytes(micros.try_into().expect("8 of 24 bytes"));
        let nanos = i128::from(micros) * 1_000;
        let created_at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
        (created_at.year() >= FIRST_YEAR).then(|| Cursor {
            created_at,
            id: Uuid::from_slice(id).expect("16 of 24 bytes"),
        })
    }
}

impl<T> Page<T> {
    /// Makes a page of up to `limit + 1` rows, of which the last only says that there are more.
    pub(crate) fn new(mut items: Vec<T>, limit: u16, cursor: impl Fn(&T) -> Cursor) -> Page<T> {
        let more = items.len() > usize::from(limit);
        items.truncate(usize::from(limit));
        let last = items.last().filter(|_| more);
        Page {
            next_cursor: last.map(|it| cursor(it).encode()),
            items,
        }
    }
}

impl<'a> Conditions<'a> {
    /// Adds a condition on a column, such as `user_id =`, if there is a value.
    pub(crate) fn when<T: ToSql + Sync>(&mut self, left: &'static str, value: Option<&'a T>) {
        if let Some(value) = value {
            let right = self.param(value);
            self.and(&format!("{left} {right}"));
        }
    }

    /// Adds the condition that rows come after the cursor, newest first.
    pub(crate) fn after(&mut self, cursor: Option<&'a Cursor>) {
        if let Some(Cursor { created_at, id }) = cursor {
            let (created_at, id) = (self.param(created_at), self.param(id));
            self.and(&format!("(created_at, id) < ({created_at}, {id})"));
        }
    }

    /// `SELECT … FROM … WHERE … ORDER BY … LIMIT …`, and its parameters.
    pub(crate) fn select(
        mut self,
        select: &'static str,
        limit: &'a i64,
    ) -> (String, Vec<&'a (dyn ToSql + Sync)>) {
        let limit = self.param(limit);
        let sql = format!(
            "{select}{} ORDER BY created_at DESC, id DESC LIMIT {limit}",
            self.sql
        );
        (sql, self.params)
    }

    fn param(&mut self, value: &'a (dyn ToSql + Sync)) -> String {
        self.params.push(value);
        format!("${}", self.params.len())
    }

    fn and(&mut self, condition: &str) {
        self.sql.push_str(if self.sql.is_empty() {
            " WHERE "
        } else {
            " AND "
        });
        self.sql.push_str(condition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor {
            created_at: OffsetDateTime::from_unix_timestamp_nanos(1_764_000_000_123_456_000)
                .unwrap(),
            id: Uuid::from_u128(7),
        }
    }

    #[test]
    fn a_cursor_survives_its_text() {
        assert_eq!(Cursor::decode(&cursor().encode()), Some(cursor()));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let long = "A".repeat(33);
        let impossible = BASE64_URL_SAFE_NO_PAD.encode([0x7f; 24]);
        let too_old = Cursor {
            created_at: OffsetDateTime::from_unix_timestamp(-220_000_000_000).unwrap(),
            ..cursor()
        };
        for text in [
            "",
            "x",
            "!!!!",
            &long,
            &impossible,
            &too_old.encode(),
            &cursor().encode()[1..],
        ] {
            assert_eq!(Cursor::decode(text), None, "{text}");
        }
    }

    #[test]
    fn only_conditions_that_apply_are_in_the_text() {
        let (cursor, user, limit) = (cursor(), Uuid::nil(), 3);
        let mut none = Conditions::default();
        none.when::<Uuid>("user_id =", None);
        none.after(None);
        let mut all = Conditions::default();
        all.when("user_id =", Some(&user));
        all.after(Some(&cursor));

        assert_eq!(
            none.select("SELECT 1 FROM t", &limit).0,
            "SELECT 1 FROM t ORDER BY created_at DESC, id DESC LIMIT $1"
        );
        let (sql, params) = all.select("SELECT 1 FROM t", &limit);
        assert_eq!(
            sql,
            "SELECT 1 FROM t WHERE user_id = $1 AND (created_at, id) < ($2, $3) \
             ORDER BY created_at DESC, id DESC LIMIT $4"
        );
        assert_eq!(params.len(), 4);
    }

    #[test]
    fn a_page_tells_whether_there_are_more() {
        let full = Page::new(vec![1, 2, 3], 2, |_| cursor());
        assert_eq!((full.items.len(), full.next_cursor.is_some()), (2, true));
        let last = Page::new(vec![1, 2], 2, |_| cursor());
        assert_eq!((last.items.len(), last.next_cursor.is_some()), (2, false));
    }
}
