//! Writes a value as postcard and takes its [shape](super::shape) on the way.
//!
//! What postcard would write, but could not be read again, is refused: a field that is skipped, a length
//! that is not that of what follows, and what [reading](super::read) has limits for.

use std::fmt::{Display, Write};

use postcard::{Error, Result, ser_flavors::Flavor};
use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::{
    MAX_DEPTH,
    branches::Branches,
    shape::{Names, Shape, Token},
};

/// Appends a value to `out`: its shape, and which branches of its type it has.
pub(super) fn write<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(u64, Branches)> {
    let start = out.len();
    let mut writer = Writer {
        postcard: postcard::Serializer {
            output: Append(out),
        },
        shape: Shape::default(),
        branches: Branches::default(),
        place: 0,
        depth: 0,
        elements: 0,
        text: String::new(),
    };
    // The type itself is one.
    writer.branches.add(0, Token::Unit);
    value.serialize(&mut writer)?;
    // Elements without a byte: reading takes no more of them than there are bytes.
    if writer.elements > writer.postcard.output.0.len() - start {
        return Err(Error::WontImplement);
    }
    Ok((writer.shape.finish(), writer.branches))
}

struct Writer<'out> {
    postcard: postcard::Serializer<Append<'out>>,
    shape: Shape,
    branches: Branches,
    /// The fields or the variant it is in, by their names.
    place: u64,
    depth: usize,
    elements: usize,
    /// What [`Serializer::collect_str`] has to know the length of.
    text: String,
}

struct Append<'out>(&'out mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> Result<()> {
        Ok(())
    }
}

impl<'out> Writer<'out> {
    #[inline]
    fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::WontImplement);
        }
        Ok(())
    }

    #[inline]
    fn nested<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.enter()?;
        value.serialize(&mut *self)?;
        self.depth -= 1;
        Ok(())
    }

    /// A list or a map, whose elements are a part of its type that an empty one does not show.
    #[inline]
    fn list(&mut self, token: Token, len: Option<usize>) -> Result<Elements<'_, 'out>> {
        let len = len.ok_or(Error::SerializeSeqLengthUnknown)?;
        self.shape.token(token);
        self.elements = self.elements.saturating_add(len);
        if len > 0 {
            self.branches.add(self.place, token);
        }
        self.postcard.serialize_seq(Some(len))?;
        self.elements(len)
    }

    #[inline]
    fn variant(&mut self, index: u32, names: Names) -> Result<()> {
        self.shape.named(names);
        self.place = names.number();
        self.branches.add(self.place, Token::UnitVariant);
        self.postcard.serialize_u32(index)
    }

    #[inline]
    fn elements(&mut self, len: usize) -> Result<Elements<'_, 'out>> {
        self.enter()?;
        Ok(Elements {
            writer: self,
            left: len,
        })
    }

    #[inline]
    fn fields(&mut self, names: Names, len: usize) -> Result<Fields<'_, 'out>> {
        self.enter()?;
        Ok(Fields {
            writer: self,
            names,
            left: len,
        })
    }
}

macro_rules! primitives {
    ($($method:ident($type:ty) $token:ident;)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<()> {
            self.shape.token(Token::$token);
            self.postcard.$method(value)
        }
    )*};
}

impl<'w, 'out> Serializer for &'w mut Writer<'out> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Elements<'w, 'out>;
    type SerializeTuple = Elements<'w, 'out>;
    type SerializeTupleStruct = Elements<'w, 'out>;
    type SerializeTupleVariant = Elements<'w, 'out>;
    type SerializeMap = Elements<'w, 'out>;
    type SerializeStruct = Fields<'w, 'out>;
    type SerializeStructVariant = Fields<'w, 'out>;

    primitives! {
        serialize_bool(bool) Bool;
        serialize_i8(i8) I8;
        serialize_i16(i16) I16;
        serialize_i32(i32) I32;
        serialize_i64(i64) I64;
        serialize_i128(i128) I128;
        serialize_u8(u8) U8;
        serialize_u16(u16) U16;
        serialize_u32(u32) U32;
        serialize_u64(u64) U64;
        serialize_u128(u128) U128;
        serialize_f32(f32) F32;
        serialize_f64(f64) F64;
        serialize_char(char) Char;
        serialize_str(&str) Str;
        serialize_bytes(&[u8]) Bytes;
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    /// Formatted once: postcard would do so twice, to know the length first.
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<()> {
        self.shape.token(Token::Str);
        self.text.clear();
        write!(self.text, "{value}").map_err(|_| Error::CollectStrError)?;
        self.postcard.serialize_str(&self.text)
    }

    #[inline]
    fn serialize_unit(self) -> Result<()> {
        self.shape.token(Token::Unit);
        self.postcard.serialize_unit()
    }

    #[inline]
    fn serialize_none(self) -> Result<()> {
        self.shape.token(Token::None);
        self.postcard.serialize_none()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.shape.token(Token::Some);
        self.branches.add(self.place, Token::Some);
        // What postcard begins a `Some` with: its own method would go on with the value.
        self.postcard.serialize_u8(1)?;
        self.nested(value)
    }

    #[inline]
    fn serialize_unit_struct(self, name: &'static str) -> Result<()> {
        self.shape.named(Names::new(Token::UnitStruct, name, 0));
        self.postcard.serialize_unit_struct(name)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<()> {
        self.shape.named(Names::new(Token::NewtypeStruct, name, 1));
        self.nested(value)
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<()> {
        self.variant(index, Names::new(Token::UnitVariant, name, 0).and(variant))
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.variant(
            index,
            Names::new(Token::NewtypeVariant, name, 1).and(variant),
        )?;
        self.nested(value)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'w, 'out>> {
        self.list(Token::Seq, len)
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Elements<'w, 'out>> {
        self.list(Token::Map, len)
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Elements<'w, 'out>> {
        self.shape.tuple(len);
        self.elements(len)
    }

    #[inline]
    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Elements<'w, 'out>> {
        let names = Names::new(Token::TupleStruct, name, len);
        self.shape.named(names);
        self.branches.add(names.number(), Token::TupleStruct);
        self.elements(len)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Elements<'w, 'out>> {
        self.variant(
            index,
            Names::new(Token::TupleVariant, name, len).and(variant),
        )?;
        self.elements(len)
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Fields<'w, 'out>> {
        self.fields(Names::new(Token::Struct, name, len), len)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'w, 'out>> {
        let names = Names::new(Token::StructVariant, name, len).and(variant);
        self.variant(index, names)?;
        self.fields(names, len)
    }
}

/// What has no names: as many values as were promised.
struct Elements<'w, 'out> {
    writer: &'w mut Writer<'out>,
    left: usize,
}

impl Elements<'_, '_> {
    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.left = self.left.checked_sub(1).ok_or(Error::WontImplement)?;
        value.serialize(&mut *self.writer)
    }

    #[inline]
    fn finish(self) -> Result<()> {
        self.writer.depth -= 1;
        if self.left == 0 {
            Ok(())
        } else {
            Err(Error::WontImplement)
        }
    }
}

macro_rules! elements {
    ($($of:ident $method:ident;)*) => {$(
        impl $of for Elements<'_, '_> {
            type Ok = ();
            type Error = Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.element(value)
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.finish()
            }
        }
    )*};
}

elements! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

impl SerializeMap for Elements<'_, '_> {
    type Ok = ();
    type Error = Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.element(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(&mut *self.writer)
    }

    #[inline]
    fn end(self) -> Result<()> {
        self.finish()
    }
}

struct Fields<'w, 'out> {
    writer: &'w mut Writer<'out>,
    /// What it is called, and its fields up to now.
    names: Names,
    left: usize,
}

macro_rules! fields {
    ($($of:ident)*) => {$(
        impl $of for Fields<'_, '_> {
            type Ok = ();
            type Error = Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<()> {
                self.left = self.left.checked_sub(1).ok_or(Error::WontImplement)?;
                self.names = self.names.and(name);
                self.writer.place = self.names.number();
                value.serialize(&mut *self.writer)
            }

            /// Whoever reads would take the next field for this one.
            fn skip_field(&mut self, _: &'static str) -> Result<()> {
                Err(Error::WontImplement)
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.writer.shape.named(self.names);
                self.writer.branches.add(self.names.number(), Token::Struct);
                self.writer.depth -= 1;
                if self.left == 0 { Ok(()) } else { Err(Error::WontImplement) }
            }
        }
    )*};
}

fields! { SerializeStruct SerializeStructVariant }

#[cfg(test)]
mod tests {
    use std::{cell::Cell, fmt::Formatter, result};

    use super::*;

    /// A list that says how long it is, and how long it is.
    struct Seq(usize, u8);

    impl Serialize for Seq {
        fn serialize<S: Serializer>(&self, serializer: S) -> result::Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(Some(self.0))?;
            (0..self.1).try_for_each(|it| seq.serialize_element(&it))?;
            seq.end()
        }
    }

    struct Map(usize, u8);

    impl Serialize for Map {
        fn serialize<S: Serializer>(&self, serializer: S) -> result::Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(Some(self.0))?;
            (0..self.1).try_for_each(|it| map.serialize_entry(&it, &it))?;
            map.end()
        }
    }

    struct Struct(usize, u8);

    impl Serialize for Struct {
        fn serialize<S: Serializer>(&self, serializer: S) -> result::Result<S::Ok, S::Error> {
            let mut fields = serializer.serialize_struct("Struct", self.0)?;
            (0..self.1).try_for_each(|it| fields.serialize_field("it", &it))?;
            fields.end()
        }
    }

    fn fits(value: &impl Serialize) -> bool {
        write(value, &mut Vec::new()).is_ok()
    }

    #[test]
    fn a_length_that_is_not_that_of_what_follows_is_refused() {
        for (promised, kept, right) in [(0, 0, true), (2, 2, true), (2, 1, false), (1, 2, false)] {
            assert_eq!(fits(&Seq(promised, kept)), right, "{promised} {kept}");
            assert_eq!(fits(&Map(promised, kept)), right, "{promised} {kept}");
            assert_eq!(fits(&Struct(promised, kept)), right, "{promised} {kept}");
        }
    }

    #[test]
    fn a_field_that_is_skipped_is_refused() {
        struct Skips;
        impl Serialize for Skips {
            fn serialize<S: Serializer>(&self, serializer: S) -> result::Result<S::Ok, S::Error> {
                let mut fields = serializer.serialize_struct("Skips", 0)?;
                fields.skip_field("it")?;
                fields.end()
            }
        }
        assert!(!fits(&Skips));
    }

    #[test]
    fn a_length_that_nobody_knows_is_refused() {
        struct Filtered;
        impl Serialize for Filtered {
            fn serialize<S: Serializer>(&self, serializer: S) -> result::Result<S::Ok, S::Error> {
                serializer.collect_seq((0..9).filter(|it| it % 2 == 0))
            }
        }
        assert!(!fits(&Filtered));
    }

    #[test]
    fn elements_without_a_byte_are_refused_where_they_are_more_than_there_are_bytes() {
        let mut out = b"before".to_vec();
        assert!(write(&vec![()], &mut out).is_ok());
        assert!(write(&vec![(); 2], &mut out).is_err());
        assert!(write(&(vec![(); 3], 1_u8, 2_u8), &mut out).is_ok());
    }

    #[test]
    fn text_is_formatted_once() {
        struct Counts(Cell<u32>);
        impl Display for Counts {
            fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
                self.0.set(self.0.get() + 1);
                self.0.get().fmt(f)
            }
        }
        impl Serialize for Counts {
            fn serialize<S: Serializer>(&self, serializer: S) -> result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        let mut out = Vec::new();
        write(&Counts(Cell::new(0)), &mut out).unwrap();
        assert_eq!(out, postcard::to_stdvec("1").unwrap());
    }
}
