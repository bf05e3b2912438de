//! Tells a value that says that there is nothing.

use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{Error, Impossible},
};

/// Whether a value is `None`, as its own serialization says.
pub(crate) fn is_nothing<T: Serialize + ?Sized>(value: &T) -> bool {
    value.serialize(Probe).is_ok()
}

/// Succeeds for `None` alone.
struct Probe;

#[derive(Debug)]
struct Something;

impl fmt::Display for Something {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("something")
    }
}

impl std::error::Error for Something {}

impl Error for Something {
    fn custom<M: fmt::Display>(_: M) -> Something {
        Something
    }
}

type Never = Impossible<(), Something>;

macro_rules! something {
    ($($method:ident($($argument:ty),*) -> $returns:ty;)*) => {$(
        fn $method(self, $(_: $argument),*) -> Result<$returns, Something> {
            Err(Something)
        }
    )*};
}

impl Serializer for Probe {
    type Ok = ();
    type Error = Something;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    fn serialize_none(self) -> Result<(), Something> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), Something> {
        Err(Something)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Something> {
        // A wrapper around nothing.
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Something> {
        Err(Something)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<(), Something> {
        Err(Something)
    }

    something! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_i128(i128) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_u128(u128) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_str(&str) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_seq(Option<usize>) -> Never;
        serialize_tuple(usize) -> Never;
        serialize_tuple_struct(&'static str, usize) -> Never;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Never;
        serialize_map(Option<usize>) -> Never;
        serialize_struct(&'static str, usize) -> Never;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Never;
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;

    #[derive(Serialize)]
    struct Wrapped(Option<u32>);

    #[derive(Serialize)]
    struct Named {
        value: Option<u32>,
    }

    #[derive(Serialize)]
    enum Kind {
        Unit,
        Holds(Option<u32>),
    }

    #[test]
    fn none_is_nothing_and_whatever_else_is_empty_is_something() {
        assert!(is_nothing(&None::<u32>));
        assert!(is_nothing(&Arc::new(None::<Vec<u32>>)));
        assert!(is_nothing(&Wrapped(None)));
        for is_nothing in [
            is_nothing(&Some(None::<u32>)),
            is_nothing(&Wrapped(Some(1))),
            is_nothing(&Named { value: None }),
            is_nothing(&Kind::Unit),
            is_nothing(&Kind::Holds(None)),
            is_nothing(&()),
            is_nothing(&0_u128),
            is_nothing(&false),
            is_nothing(""),
            is_nothing(&[0_u8; 0]),
            is_nothing(&Vec::<Option<u32>>::new()),
            is_nothing(&BTreeMap::<u32, u32>::new()),
            is_nothing(&format_args!("text")),
        ] {
            assert!(!is_nothing);
        }
    }
}
