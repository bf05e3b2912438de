//! A value that was read and is sent again, whatever it is.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// A value of any type, in the form in which the protocol carries it. It goes back as it came, to a
/// parameter of the same type.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameter {
    kind: Type,
    /// Absent: `NULL`.
    bytes: Option<Vec<u8>>,
}

impl<'a> FromSql<'a> for Parameter {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Parameter, Box<dyn Error + Sync + Send>> {
        Ok(Parameter {
            kind: kind.clone(),
            bytes: Some(raw.to_vec()),
        })
    }

    fn from_sql_null(kind: &Type) -> Result<Parameter, Box<dyn Error + Sync + Send>> {
        Ok(Parameter {
            kind: kind.clone(),
            bytes: None,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Parameter {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        if *kind != self.kind {
            return Err(format!("a key is `{}`, and the parameter `{kind}`", self.kind).into());
        }
        Ok(match &self.bytes {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
