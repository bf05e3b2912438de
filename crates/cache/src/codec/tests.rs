//! Values of all kinds come back, and those of changed types do not.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    fmt::Debug,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    ops::{Bound, Range, RangeInclusive},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ::time::OffsetDateTime;
use proptest::{collection, option, prelude::*};
use serde::Deserialize;
use uuid::Uuid;

use super::*;

fn written<T>(value: &T) -> (Written, Vec<u8>)
where
    T: Serialize + DeserializeOwned + 'static,
{
    let mut out = b"before".to_vec();
    let written = encode(value, Codec::Postcard, &mut out).unwrap();
    assert!(out.starts_with(b"before"));
    (written, out.split_off(b"before".len()))
}

fn comes_back<T>(codec: Codec, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
{
    let (written, bytes) = written(value);
    assert_eq!(written.codec, codec, "{value:?}");
    if codec == Codec::Postcard {
        // It is postcard, neither more nor less.
        assert_eq!(bytes, postcard::to_stdvec(value).unwrap());
    }
    let read = decode::<T>(written.codec, written.shape, &bytes);
    assert_eq!(read.as_ref(), Some(value));
}

/// Whether what was written as one type is read as another.
fn is_read<A, B>(value: &A) -> bool
where
    A: Serialize + DeserializeOwned + 'static,
    B: DeserializeOwned + 'static,
{
    let (written, bytes) = written(value);
    assert_eq!(written.codec, Codec::Postcard);
    assert!(decode::<A>(written.codec, written.shape, &bytes).is_some());
    decode::<B>(written.codec, written.shape, &bytes).is_some()
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Everything {
    id: u64,
    small: (i8, u16, i32),
    large: (i128, u128),
    float: f64,
    letter: char,
    is_set: bool,
    name: String,
    parent: Option<Box<Everything>>,
    #[expect(clippy::option_option, reason = "its three values have to differ")]
    maybe: Option<Option<u8>>,
    kinds: Vec<Kind>,
    by_name: BTreeMap<String, Vec<u32>>,
    fixed: [u8; 3],
    nothing: (),
    marker: Marker,
    wrapped: Wrapped,
    pair: Pair,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
enum Kind {
    Unit,
    Newtype(String),
    Tuple(u8, Option<bool>),
    Struct { x: i16, inner: Vec<Kind> },
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Marker;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Wrapped(String);

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Pair(f32, Vec<u8>);

fn kind() -> impl Strategy<Value = Kind> {
    let leaf = prop_oneof![
        Just(Kind::Unit),
        any::<String>().prop_map(Kind::Newtype),
        any::<(u8, Option<bool>)>().prop_map(|(a, b)| Kind::Tuple(a, b)),
    ];
    leaf.prop_recursive(3, 12, 3, |kind| {
        (any::<i16>(), collection::vec(kind, 0..3)).prop_map(|(x, inner)| Kind::Struct { x, inner })
    })
}

fn one() -> impl Strategy<Value = Everything> {
    let numbers = (
        any::<u64>(),
        any::<(i8, u16, i32)>(),
        any::<(i128, u128)>(),
        -1e9..1e9,
        any::<(char, bool)>(),
    );
    let others = (
        any::<String>(),
        any::<Option<Option<u8>>>(),
        collection::vec(kind(), 0..4),
        any::<BTreeMap<String, Vec<u32>>>(),
        any::<[u8; 3]>(),
        (-1e9_f32..1e9, any::<Vec<u8>>()),
    );
    (numbers, others).prop_map(|(numbers, others)| {
        let (id, small, large, float, (letter, is_set)) = numbers;
        let (name, maybe, kinds, by_name, fixed, (first, second)) = others;
        Everything {
            id,
            small,
            large,
            float,
            letter,
            is_set,
            wrapped: Wrapped(name.clone()),
            name,
            parent: None,
            maybe,
            kinds,
            by_name,
            fixed,
            nothing: (),
            marker: Marker,
            pair: Pair(first, second),
        }
    })
}

fn everything() -> impl Strategy<Value = Everything> {
    (one(), option::of(one())).prop_map(|(own, parent)| Everything {
        parent: parent.map(Box::new),
        ..own
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_written_comes_back(value in everything()) {
        comes_back(Codec::Postcard, &value);
    }

    #[test]
    fn whatever_is_cut_is_a_miss(value in everything(), cut in any::<prop::sample::Index>()) {
        let (written, bytes) = written(&value);
        let cut = &bytes[..cut.index(bytes.len())];
        prop_assert_eq!(decode::<Everything>(written.codec, written.shape, cut), None);
    }

    #[test]
    fn flipped_bits_never_panic(value in everything(), at in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let (written, mut bytes) = written(&value);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        decode::<Everything>(written.codec, written.shape, &bytes);
    }

    #[test]
    fn bytes_of_any_kind_never_panic(bytes in any::<Vec<u8>>()) {
        decode::<Everything>(Codec::Postcard, 0, &bytes);
        decode::<Vec<Kind>>(Codec::Postcard, 0, &bytes);
        decode::<Everything>(Codec::Json, 0, &bytes);
    }
}

#[test]
fn what_std_has_comes_back() {
    fn check<T>(value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
    {
        comes_back(Codec::Postcard, value);
    }
    check(&());
    check(&true);
    check(&f64::INFINITY);
    check(&'ß');
    check(&String::new());
    check(&None::<u32>);
    check(&Some(None::<u32>));
    check(&Some(Some(3_u32)));
    check(&(1_u8, "two".to_owned(), [3.5_f32; 4]));
    check(&[0_u8; 0]);
    check(&Box::new(7_u32));
    check(&Box::<[u16]>::from([1, 2]));
    check(&Arc::new(vec![1_u32]));
    check(&Arc::<str>::from("shared"));
    check(&Cow::<'static, str>::Owned("text".to_owned()));
    check(&HashMap::from([
        (1_u32, "a".to_owned()),
        (2, "b".to_owned()),
    ]));
    check(&BTreeMap::from([
        ((1_u8, 2_u8), Some(3_i64)),
        ((4, 5), None),
    ]));
    check(&HashSet::from([1_u64, 2, 3]));
    check(&BTreeSet::from(["a".to_owned()]));
    check(&VecDeque::from([Some(1_u8), None]));
    check(&Ok::<u8, String>(1));
    check(&Err::<u8, String>("no".to_owned()));
    check(&Range { start: 1, end: 5 });
    check(&RangeInclusive::new(1_u8, 5));
    check(&(
        Bound::Included(1),
        Bound::<i32>::Unbounded,
        Bound::Excluded(2),
    ));
    check(&NonZeroU32::MIN);
    check(&std::num::Wrapping(3_i16));
    check(&std::marker::PhantomData::<u8>);
    check(&Duration::new(3, 4));
    check(&(SystemTime::UNIX_EPOCH + Duration::from_nanos(5)));
    check(&IpAddr::V4(Ipv4Addr::LOCALHOST));
    check(&"[::1]:80".parse::<SocketAddr>().unwrap());
    check(&PathBuf::from("/tmp"));
    check(&std::ffi::OsString::from("os"));
    check(&std::ffi::CString::from(c"bytes"));
}

#[test]
fn identifiers_and_times_come_back() {
    fn check<T>(value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
    {
        comes_back(Codec::Postcard, value);
    }

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Stamped {
        #[serde(with = "::time::serde::timestamp")]
        at: OffsetDateTime,
        #[serde(with = "::time::serde::timestamp::option")]
        until: Option<OffsetDateTime>,
        #[serde(with = "uuid::serde::simple")]
        id: Uuid,
    }

    let at = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
    check(&Uuid::from_u128(7));
    check(&at);
    check(&at.date());
    check(&vec![None, Some(at.time())]);
    check(&::time::Duration::milliseconds(-5));
    check(&::time::Weekday::Monday);
    check(&Stamped {
        at,
        until: Some(at),
        id: Uuid::from_u128(7),
    });
}

#[test]
fn what_derive_can_be_told_comes_back() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Renamed {
        long_name: u8,
        #[serde(rename = "type")]
        kind: String,
        #[serde(skip)]
        skipped: u8,
        #[serde(default)]
        optional: Option<u8>,
    }

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    #[serde(transparent)]
    struct Transparent(Vec<u8>);

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    #[serde(into = "u32", from = "u32")]
    struct Converted(u32);
    impl From<u32> for Converted {
        fn from(number: u32) -> Converted {
            Converted(number)
        }
    }
    impl From<Converted> for u32 {
        fn from(it: Converted) -> u32 {
            it.0
        }
    }

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Generic<T> {
        inner: T,
    }

    let kind = "kind".to_owned();
    comes_back(
        Codec::Postcard,
        &Renamed {
            long_name: 1,
            kind,
            skipped: 0,
            optional: None,
        },
    );
    comes_back(Codec::Postcard, &Transparent(vec![1]));
    comes_back(Codec::Postcard, &Converted(5));
    comes_back(
        Codec::Postcard,
        &Generic {
            inner: Generic { inner: Some(1_u8) },
        },
    );
}

/// As it was, and each way it can change.
mod row {
    use super::{Deserialize, Serialize};

    macro_rules! rows {
        ($($version:ident { $($field:ident: $type:ty),* })*) => {$(
            pub(super) mod $version {
                use super::{Deserialize, Serialize};

                #[derive(Default, Deserialize, Serialize)]
                pub(in super::super) struct Row {
                    $(pub(in super::super) $field: $type,)*
                }
            }
        )*};
    }

    rows! {
        before { id: u32, count: u32, name: String }
        added_at_the_end { id: u32, count: u32, name: String, more: () }
        added_at_the_start { more: (), id: u32, count: u32, name: String }
        option_added { id: u32, count: u32, name: String, more: Option<u8> }
        removed { id: u32, count: u32 }
        removed_first { count: u32, name: String }
        renamed { id: u32, total: u32, name: String }
        reordered { count: u32, id: u32, name: String }
        signed { id: i32, count: u32, name: String }
        wider { id: u32, count: u64, name: String }
        text { id: u32, count: String, name: String }
        optional { id: u32, count: Option<u32>, name: String }
        bytes { id: u32, count: u32, name: Vec<u8> }
        character { id: u32, count: u32, name: char }
        array { id: u32, count: [u32; 1], name: String }
        wrapped { id: u32, count: super::Wrapped, name: String }
    }

    #[derive(Default, Deserialize, Serialize)]
    pub(super) struct Wrapped(u32);
}

#[test]
fn a_struct_that_has_changed_is_a_miss() {
    use row::before::Row;

    fn check<T>(what: &str)
    where
        T: Default + Serialize + DeserializeOwned + 'static,
    {
        for count in [0, 1, 300] {
            for name in ["", "a", "name"] {
                let name = name.to_owned();
                let row = Row { id: 1, count, name };
                assert!(!is_read::<Row, T>(&row), "{what}");
            }
        }
        assert!(!is_read::<T, Row>(&T::default()), "{what}");
    }

    check::<row::added_at_the_end::Row>("added at the end");
    check::<row::added_at_the_start::Row>("added at the start");
    check::<row::option_added::Row>("option added");
    check::<row::removed::Row>("removed");
    check::<row::removed_first::Row>("removed first");
    check::<row::renamed::Row>("renamed");
    check::<row::reordered::Row>("reordered");
    check::<row::signed::Row>("signed");
    check::<row::wider::Row>("wider");
    check::<row::text::Row>("text");
    check::<row::optional::Row>("optional");
    check::<row::bytes::Row>("bytes");
    check::<row::character::Row>("character");
    check::<row::array::Row>("array");
    check::<row::wrapped::Row>("wrapped");
}

mod kind {
    use super::{Deserialize, Serialize};

    macro_rules! kinds {
        ($($version:ident { $($variants:tt)* })*) => {$(
            pub(super) mod $version {
                use super::{Deserialize, Serialize};

                #[derive(Deserialize, Serialize)]
                pub(in super::super) enum Kind { $($variants)* }
            }
        )*};
    }

    #[derive(Deserialize, Serialize)]
    pub(super) enum Kind {
        A,
        B(u8),
        C { x: u8 },
    }

    kinds! {
        inserted { Z, A, B(u8), C { x: u8 } }
        reordered { C { x: u8 }, A, B(u8) }
        renamed { Aa, Bb(u8), Cc { x: u8 } }
        other_kinds { A(()), B { x: u8 }, C(u8) }
        other_fields { A {}, B(i8), C { y: u8 } }
        appended { A, B(u8), C { x: u8 }, D }
    }
}

#[test]
fn an_enum_that_has_changed_is_a_miss() {
    use kind::Kind;

    for kind in [Kind::A, Kind::B(1), Kind::C { x: 1 }] {
        assert!(!is_read::<_, kind::inserted::Kind>(&kind));
        assert!(!is_read::<_, kind::reordered::Kind>(&kind));
        assert!(!is_read::<_, kind::renamed::Kind>(&kind));
        assert!(!is_read::<_, kind::other_kinds::Kind>(&kind));
        assert!(!is_read::<_, kind::other_fields::Kind>(&kind));
        // What there was before means the same.
        assert!(is_read::<_, kind::appended::Kind>(&kind));
    }
}

#[test]
fn lists_and_tuples_that_have_changed_are_a_miss() {
    assert!(!is_read::<_, (u32, String, String)>(&(
        0_u32,
        0_u32,
        String::new()
    )));
    assert!(!is_read::<_, [u8; 2]>(&vec![7_u8]));
    assert!(!is_read::<_, Vec<u16>>(&vec![7_u8]));
    assert!(!is_read::<_, Vec<(u8, u8)>>(&BTreeMap::from([(
        1_u8, 2_u8
    )])));
    assert!(!is_read::<_, String>(&vec![b'a']));
    assert!(!is_read::<_, u32>(&7_u64));
    assert!(!is_read::<_, bool>(&Some(())));
    assert!(!is_read::<_, Vec<Option<bool>>>(&vec![None::<u8>, Some(1)]));
    assert!(!is_read::<_, Vec<Option<bool>>>(&vec![Some(1_u8), None]));
    // Nothing of another type is nothing.
    assert!(is_read::<_, Vec<String>>(&Vec::<u8>::new()));
    assert!(is_read::<_, Option<String>>(&None::<u8>));
}

#[test]
fn what_is_cut_anywhere_is_a_miss() {
    let value = vec![
        (1_u32, "one".to_owned(), Some(vec![1_u8, 2])),
        (300, String::new(), None),
    ];
    let (written, bytes) = written(&value);
    for length in 0..bytes.len() {
        let cut = &bytes[..length];
        assert_eq!(
            decode::<Vec<(u32, String, Option<Vec<u8>>)>>(written.codec, written.shape, cut),
            None
        );
    }
}

#[test]
fn what_has_to_be_told_its_types_is_json() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Flat {
        id: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u32>,
    }

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(u32),
        Text(String),
    }

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    #[serde(tag = "type")]
    enum Tagged {
        A { x: u8 },
        B,
    }

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    #[serde(tag = "type", content = "of")]
    enum Adjacent {
        A(u8),
        B,
    }

    let rest = BTreeMap::from([("a".to_owned(), 1)]);
    comes_back(Codec::Json, &Adjacent::A(1));
    comes_back(Codec::Json, &Adjacent::B);
    comes_back(Codec::Json, &Flat { id: 1, rest });
    comes_back(Codec::Json, &Untagged::Number(1));
    comes_back(Codec::Json, &Untagged::Text("a".to_owned()));
    comes_back(Codec::Json, &Tagged::A { x: 1 });
    comes_back(Codec::Json, &Tagged::B);
    comes_back(Codec::Json, &serde_json::json!({"a": [1, null, "text"]}));
    comes_back(
        Codec::Json,
        &HashMap::from([("a".to_owned(), serde_json::json!(1.5))]),
    );
}

#[test]
fn a_type_is_json_from_the_first_field_that_is_left_out() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Sparse {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
        b: Option<u8>,
        c: u8,
    }

    // Without `a`, its bytes are those of another value.
    let nasty = Sparse {
        a: None,
        b: Some(0),
        c: 0,
    };
    let other = Sparse {
        a: Some(0),
        b: None,
        c: 0,
    };
    assert_eq!(postcard::to_stdvec(&nasty).unwrap(), [1, 0, 0]);
    assert_eq!(postcard::to_stdvec(&other).unwrap(), [1, 0, 0, 0]);

    comes_back(
        Codec::Postcard,
        &Sparse {
            a: Some(1),
            b: None,
            c: 2,
        },
    );
    comes_back(Codec::Json, &nasty);
    comes_back(
        Codec::Json,
        &Sparse {
            a: Some(1),
            b: None,
            c: 2,
        },
    );
}

#[test]
fn a_tuple_struct_that_leaves_fields_out_is_json() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Sparse(
        u8,
        #[serde(default, skip_serializing_if = "Option::is_none")] Option<u8>,
    );

    comes_back(Codec::Postcard, &Sparse(1, Some(2)));
    comes_back(Codec::Json, &Sparse(1, None));
}

#[test]
fn what_only_some_values_have_is_tried_when_the_first_has_it() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Sometimes {
        name: Option<String>,
        meta: Option<serde_json::Value>,
    }

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    enum Aliased {
        A,
        #[serde(alias = "Bb")]
        B(u8),
        C(u8),
    }

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    enum Skips {
        A(u8),
        #[serde(skip)]
        #[expect(dead_code, reason = "it is what shifts the others")]
        B(u8),
        C(u8),
        D(u8),
    }

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Lists {
        all: Vec<serde_json::Value>,
    }

    comes_back(
        Codec::Postcard,
        &Sometimes {
            name: Some("a".to_owned()),
            meta: None,
        },
    );
    comes_back(
        Codec::Json,
        &Sometimes {
            name: None,
            meta: Some(serde_json::json!("a")),
        },
    );
    comes_back(Codec::Postcard, &Aliased::A);
    comes_back(Codec::Postcard, &Aliased::B(1));
    comes_back(Codec::Json, &Aliased::C(1));
    comes_back(Codec::Postcard, &Skips::A(1));
    comes_back(Codec::Json, &Skips::C(1));
    comes_back(Codec::Json, &Skips::D(1));
    comes_back(Codec::Postcard, &Lists { all: vec![] });
    comes_back(
        Codec::Json,
        &Lists {
            all: vec![1.into()],
        },
    );
}

#[test]
fn fields_that_are_only_written_or_only_read_make_it_json() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Uneven {
        a: u8,
        #[serde(skip_deserializing)]
        b: u8,
        #[serde(alias = "cc")]
        c: u8,
    }

    comes_back(Codec::Json, &Uneven { a: 1, b: 0, c: 2 });
}

#[test]
fn a_read_that_meets_what_postcard_cannot_hold_makes_its_type_json() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Meta(Option<serde_json::Value>);

    assert!(decode::<Meta>(Codec::Postcard, 0, &[1, 0]).is_none());
    comes_back(Codec::Json, &Meta(None));
}

#[test]
fn what_is_wanted_as_json_is_json() {
    let mut out = Vec::new();
    let written = encode(&Some(1_u8), Codec::Json, &mut out).unwrap();
    assert_eq!(
        (written.codec, written.shape, &out[..]),
        (Codec::Json, 0, &b"1"[..])
    );
    assert_eq!(decode(Codec::Json, 0, &out), Some(Some(1_u8)));
    assert_eq!(decode::<u8>(Codec::Json, 0, b"1 1"), None);
    assert_eq!(decode::<u8>(Codec::Json, 0, b"-1"), None);
}

#[test]
fn a_value_that_nothing_can_hold_is_an_error_and_leaves_its_type_as_it_was() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Timed(Vec<SystemTime>);

    let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let mut out = b"before".to_vec();
    assert!(
        encode(
            &Timed(vec![SystemTime::UNIX_EPOCH, early]),
            Codec::Postcard,
            &mut out
        )
        .is_err()
    );
    assert_eq!(out, b"before");
    comes_back(Codec::Postcard, &Timed(vec![SystemTime::UNIX_EPOCH]));
}

#[test]
fn what_is_nested_too_deep_for_postcard_is_json() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Chain {
        next: Option<Box<Chain>>,
    }

    fn chain(length: usize) -> Chain {
        (1..length).fold(Chain { next: None }, |next, _| Chain {
            next: Some(Box::new(next)),
        })
    }

    comes_back(Codec::Postcard, &chain(MAX_DEPTH / 2));
    comes_back(Codec::Json, &chain(MAX_DEPTH / 2 + 1));
    // Which JSON writes, and refuses to read.
    let (written, bytes) = written(&chain(1_000));
    assert_eq!(decode::<Chain>(written.codec, written.shape, &bytes), None);
}
