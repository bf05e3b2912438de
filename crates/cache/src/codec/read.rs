//! Reads a value from postcard and takes its [shape](super::shape) on the way.
//!
//! Bytes can be anybody's. A length is believed only while there are as many bytes in all as elements have
//! been promised, so that nothing is reserved for more of them, and none without bytes are made without end;
//! and what is nested too deep is refused before the stack is.

use postcard::{Deserializer, Error, Result, de_flavors::Slice};
use serde::de::{
    Deserialize, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::{
    MAX_DEPTH,
    shape::{Names, Shape, Token},
};

/// The value that these bytes are from the first to the last, and its shape.
pub(super) fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<(T, u64)> {
    let mut reader = Reader {
        postcard: Deserializer::from_bytes(bytes),
        shape: Shape::default(),
        depth: 0,
        elements: bytes.len(),
    };
    let value = T::deserialize(&mut reader)?;
    if !reader.postcard.finalize()?.is_empty() {
        return Err(Error::DeserializeBadEncoding);
    }
    Ok((value, reader.shape.finish()))
}

struct Reader<'de> {
    postcard: Deserializer<'de, Slice<'de>>,
    shape: Shape,
    depth: usize,
    /// How many there may be yet. Each has a byte of its own, its first.
    elements: usize,
}

impl<'de> Reader<'de> {
    /// What stands before a value, without asking a visitor.
    #[inline]
    fn take<T: Deserialize<'de>>(&mut self) -> Result<T> {
        T::deserialize(&mut self.postcard)
    }

    #[inline]
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::DeserializeBadEncoding);
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    #[inline]
    fn list(&mut self, token: Token) -> Result<usize> {
        self.shape.token(token);
        let len = self.take::<usize>()?;
        let left = self.elements.checked_sub(len);
        self.elements = left.ok_or(Error::DeserializeUnexpectedEnd)?;
        Ok(len)
    }

    #[inline]
    fn elements<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value> {
        self.nested(|reader| {
            let mut elements = Elements { reader, left: len };
            let value = visitor.visit_seq(&mut elements)?;
            elements.finish(value)
        })
    }

    #[inline]
    fn fields<V: Visitor<'de>>(
        &mut self,
        names: Names,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let value = self.elements(fields.len(), visitor)?;
        self.shape
            .named(fields.iter().fold(names, |names, field| names.and(field)));
        Ok(value)
    }
}

macro_rules! primitives {
    ($($method:ident $token:ident;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.shape.token(Token::$token);
            self.postcard.$method(visitor)
        }
    )*};
}

macro_rules! refused {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
            Err(Error::WontImplement)
        }
    )*};
}

impl<'de> serde::Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    // `str` and `String` are written the same, and so are the two kinds of bytes.
    primitives! {
        deserialize_bool Bool;
        deserialize_i8 I8;
        deserialize_i16 I16;
        deserialize_i32 I32;
        deserialize_i64 I64;
        deserialize_i128 I128;
        deserialize_u8 U8;
        deserialize_u16 U16;
        deserialize_u32 U32;
        deserialize_u64 U64;
        deserialize_u128 U128;
        deserialize_f32 F32;
        deserialize_f64 F64;
        deserialize_char Char;
        deserialize_str Str;
        deserialize_string Str;
        deserialize_bytes Bytes;
        deserialize_byte_buf Bytes;
        deserialize_unit Unit;
    }

    // The bytes do not say what they are.
    refused! { deserialize_any deserialize_ignored_any deserialize_identifier }

    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.take::<u8>()? {
            0 => {
                self.shape.token(Token::None);
                visitor.visit_none()
            }
            1 => {
                self.shape.token(Token::Some);
                self.nested(|reader| visitor.visit_some(reader))
            }
            _ => Err(Error::DeserializeBadOption),
        }
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.shape.named(Names::new(Token::UnitStruct, name, 0));
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.shape.named(Names::new(Token::NewtypeStruct, name, 1));
        self.nested(|reader| visitor.visit_newtype_struct(reader))
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let len = self.list(Token::Seq)?;
        self.elements(len, visitor)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.shape.tuple(len);
        self.elements(len, visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.shape.named(Names::new(Token::TupleStruct, name, len));
        self.elements(len, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let left = self.list(Token::Map)?;
        self.nested(|reader| {
            let mut entries = Elements { reader, left };
            let value = visitor.visit_map(&mut entries)?;
            entries.finish(value)
        })
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.fields(
            Names::new(Token::Struct, name, fields.len()),
            fields,
            visitor,
        )
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(Enum {
            reader: self,
            name,
            variants,
        })
    }
}

/// As many values as were promised, or pairs of them.
struct Elements<'r, 'de> {
    reader: &'r mut Reader<'de>,
    left: usize,
}

impl Elements<'_, '_> {
    /// What a visitor leaves would be taken for what comes after.
    #[inline]
    fn finish<T>(self, value: T) -> Result<T> {
        if self.left == 0 {
            Ok(value)
        } else {
            Err(Error::DeserializeBadEncoding)
        }
    }

    #[inline]
    fn next(&mut self) -> Option<&mut Self> {
        self.left = self.left.checked_sub(1)?;
        Some(self)
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let next = self.next();
        next.map(|it| seed.deserialize(&mut *it.reader)).transpose()
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        self.next_element_seed(seed)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        seed.deserialize(&mut *self.reader)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

struct Enum<'r, 'de> {
    reader: &'r mut Reader<'de>,
    name: &'static str,
    variants: &'static [&'static str],
}

impl<'r, 'de> EnumAccess<'de> for Enum<'r, 'de> {
    type Error = Error;
    type Variant = Chosen<'r, 'de>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant)> {
        let index = self.reader.take::<u32>()?;
        let variant = self.variants.get(index as usize);
        let chosen = Chosen {
            reader: self.reader,
            name: self.name,
            variant: variant.ok_or(Error::DeserializeBadEnum)?,
        };
        Ok((seed.deserialize(index.into_deserializer())?, chosen))
    }
}

struct Chosen<'r, 'de> {
    reader: &'r mut Reader<'de>,
    name: &'static str,
    variant: &'static str,
}

impl Chosen<'_, '_> {
    #[inline]
    fn names(&self, token: Token, len: usize) -> Names {
        Names::new(token, self.name, len).and(self.variant)
    }
}

impl<'de> VariantAccess<'de> for Chosen<'_, 'de> {
    type Error = Error;

    #[inline]
    fn unit_variant(self) -> Result<()> {
        self.reader.shape.named(self.names(Token::UnitVariant, 0));
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        self.reader
            .shape
            .named(self.names(Token::NewtypeVariant, 1));
        self.reader.nested(|reader| seed.deserialize(reader))
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.reader
            .shape
            .named(self.names(Token::TupleVariant, len));
        self.reader.elements(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let names = self.names(Token::StructVariant, fields.len());
        self.reader.shape.named(names);
        self.reader.fields(names, fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeSet, HashMap},
        result,
    };

    use super::*;

    /// 2^60, as postcard writes it.
    const HUGE: [u8; 9] = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];

    #[derive(Debug, serde::Deserialize)]
    enum Tree {
        Leaf,
        Node(Box<Tree>),
    }

    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "it is only read")]
    struct Chain(Option<Box<Chain>>);

    fn refuses<'de, T: Deserialize<'de>>(bytes: &'de [u8]) {
        assert!(read::<T>(bytes).is_err());
    }

    #[test]
    fn a_length_of_more_than_there_is_is_refused() {
        refuses::<String>(&HUGE);
        refuses::<Vec<u8>>(&HUGE);
        refuses::<Vec<String>>(&HUGE);
        refuses::<Vec<[u64; 32]>>(&HUGE);
        refuses::<HashMap<u32, u32>>(&HUGE);
        refuses::<BTreeSet<()>>(&HUGE);
        refuses::<Vec<()>>(&HUGE);
        refuses::<Vec<[(); 3]>>(&HUGE);
        // Each of four lists says that it has all eight bytes.
        refuses::<Vec<Vec<()>>>(&[4, 8, 8, 8, 8, 0, 0, 0]);
    }

    #[test]
    fn elements_without_a_byte_are_read_while_there_are_bytes_for_them() {
        let read = |bytes| read::<(Vec<()>, u8, u8)>(bytes).map(|(value, _)| value);
        assert_eq!(read(&[3, 1, 2]), Ok((vec![(); 3], 1, 2)));
        assert!(read(&[4, 1, 2]).is_err());
    }

    #[test]
    fn what_is_nested_without_end_is_refused() {
        let endless = vec![1; 1_000_000];
        refuses::<Tree>(&endless);
        refuses::<Chain>(&endless);
    }

    #[test]
    fn it_is_read_as_deep_as_is_allowed() {
        let nested = |levels: usize| [vec![1; levels], vec![0]].concat();
        let depth = |tree: &Tree| {
            std::iter::successors(Some(tree), |tree| match tree {
                Tree::Leaf => None,
                Tree::Node(inner) => Some(inner),
            })
            .count()
        };
        let (tree, _) = read::<Tree>(&nested(MAX_DEPTH)).unwrap();
        assert_eq!(depth(&tree), MAX_DEPTH + 1);
        refuses::<Tree>(&nested(MAX_DEPTH + 1));
        // A `Some` inside of a struct, for each.
        assert!(read::<Chain>(&nested(MAX_DEPTH / 2 - 1)).is_ok());
        refuses::<Chain>(&nested(MAX_DEPTH / 2));
    }

    #[test]
    fn what_is_left_over_is_refused() {
        assert_eq!(read::<u8>(&[7]).map(|(value, _)| value), Ok(7));
        refuses::<u8>(&[7, 7]);
    }

    #[test]
    fn a_visitor_that_leaves_elements_is_refused() {
        #[derive(Debug)]
        struct First;
        impl<'de> Visitor<'de> for First {
            type Value = First;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> result::Result<First, A::Error> {
                list.next_element::<u8>()?;
                Ok(First)
            }
        }
        impl<'de> Deserialize<'de> for First {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> result::Result<First, D::Error> {
                deserializer.deserialize_seq(First)
            }
        }
        assert!(read::<First>(&[1, 7]).is_ok());
        refuses::<First>(&[2, 7, 7]);
        refuses::<(First, u8)>(&[2, 7, 7]);
    }

    #[test]
    fn a_variant_that_does_not_exist_is_refused() {
        assert!(read::<Tree>(&[0]).is_ok());
        refuses::<Tree>(&[2]);
        refuses::<Tree>(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    }

    #[test]
    fn what_postcard_cannot_hold_says_so() {
        let error = read::<serde_json::Value>(&[0]).unwrap_err();
        assert_eq!(error, Error::WontImplement);
    }
}
