//! What a key is called in Redis.
//!
//! `prefix:key`, so that people can read it. A long key is `prefix#head#hash`: its first bytes and a keyed
//! hash of 160 bits; the whole key stands in the envelope and is compared when it is read, so that two
//! keys with one hash are a miss. Braces stand as `%7B` and `%7D`: a Redis Cluster keeps a key by what is
//! between them.
//!
//! The lease of a load or a write has a name of its own, `prefix!{name}`, which a cluster keeps with the
//! value's. It does not begin like a value's: who listens to what happens to values hears nothing of
//! leases.
//!
//! The generation of a tag is `prefix@tag`, and that of the epoch `prefix@`.

use std::{borrow::Cow, fmt};

use crate::glob;

/// Longer keys are hashed, in bytes.
const MAX_PLAIN_BYTES: usize = 200;
/// How much of a long key stays readable, in bytes.
const HEAD_BYTES: usize = 96;
/// The part of a head that every long key with this start has: a head can be cut up to three bytes
/// early, before a character that does not fit.
const SURE_HEAD_BYTES: usize = HEAD_BYTES - 3;
/// Of a hash: nobody finds two keys with the same one, not even on purpose.
const HASH_BYTES: usize = 20;
const HASH_CONTEXT: &str = "ruleiq-cache 2026-11-26 names of long keys";

/// Tells keys apart by at most some 200 bytes.
#[derive(Clone)]
pub(crate) struct Identities {
    hash_key: [u8; blake3::KEY_LEN],
}

pub(crate) struct Names {
    prefix: Box<str>,
    identities: Identities,
}

/// What a name stands for.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Subject<'a> {
    /// The value of the key with this identity.
    Value(Cow<'a, str>),
    /// The generation of this tag.
    Tag(Cow<'a, str>),
}

impl Identities {
    /// The same for all processes that have the same secret.
    pub(crate) fn new(secret: &str) -> Identities {
        Identities {
            hash_key: blake3::derive_key(HASH_CONTEXT, secret.as_bytes()),
        }
    }

    /// The key itself, or of a long one its head and hash.
    pub(crate) fn of<'a>(&self, key: &'a str) -> Cow<'a, str> {
        if !is_hashed(key) {
            return Cow::Borrowed(key);
        }
        let mut identity = String::with_capacity(MAX_PLAIN_BYTES);
        identity.push('#');
        push_escaped(&mut identity, &key[..key.floor_char_boundary(HEAD_BYTES)]);
        identity.push('#');
        let hash = blake3::keyed_hash(&self.hash_key, key.as_bytes());
        identity.push_str(&hash.to_hex()[..2 * HASH_BYTES]);
        Cow::Owned(identity)
    }
}

impl Names {
    pub(crate) fn new(prefix: &str, identities: Identities) -> Names {
        Names {
            prefix: prefix.into(),
            identities,
        }
    }

    /// The name of the key's value.
    pub(crate) fn name(&self, key: &str) -> String {
        let mut name =
            String::with_capacity(self.prefix.len() + key.len().min(MAX_PLAIN_BYTES) + 1);
        name.push_str(&self.prefix);
        if is_hashed(key) {
            name.push_str(&self.identities.of(key));
        } else {
            name.push(':');
            push_escaped(&mut name, key);
        }
        name
    }

    /// The name of the lease for a value of this name.
    pub(crate) fn lease(&self, name: &str) -> String {
        format!("{}!{{{name}}}", self.prefix)
    }

    /// The name of a tag's generation.
    pub(crate) fn tag(&self, tag: &str) -> String {
        let mut name = format!("{}@", self.prefix);
        push_escaped(&mut name, tag);
        name
    }

    /// Where changes are told.
    pub(crate) fn channel(&self) -> &str {
        &self.prefix
    }

    /// What all names of values and generations begin with: one or the other.
    pub(crate) fn starts(&self) -> [String; 3] {
        [":", "#", "@"].map(|separator| format!("{}{separator}", self.prefix))
    }

    /// What has this name, if it is a value or a generation.
    pub(crate) fn subject<'a>(&self, name: &'a str) -> Option<Subject<'a>> {
        let rest = name.strip_prefix(&*self.prefix)?;
        Some(match rest.as_bytes().first()? {
            b':' => Subject::Value(unescaped(&rest[1..])),
            b'#' => Subject::Value(Cow::Borrowed(rest)),
            b'@' => Subject::Tag(unescaped(&rest[1..])),
            _ => return None,
        })
    }

    /// Two patterns for Redis, that of leases and that of values, which find at least all that
    /// [`is_meant`](Names::is_meant) accepts.
    pub(crate) fn scan_patterns(&self, pattern: &str) -> [String; 2] {
        let start = glob::literal_start(pattern);
        let start = &start[..start.floor_char_boundary(SURE_HEAD_BYTES)];
        let mut escaped = String::new();
        push_escaped(&mut escaped, start);
        let prefix = glob::escape(&self.prefix);
        let value = format!("{prefix}[:#]{}*", glob::escape(&escaped));
        [format!("{prefix}!{{{value}"), value]
    }

    /// Whether a name that a scan found, of a value or a lease, belongs to a key that the pattern matches. Of
    /// a long key only the head is known, which may be enough for a key that the pattern does not match: a
    /// cache may forget too much.
    pub(crate) fn is_meant(&self, pattern: &str, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(&*self.prefix) else {
            return false;
        };
        let value = match rest.strip_prefix("!{") {
            Some(lease) => lease.strip_suffix('}'),
            None => Some(name),
        };
        let Some(rest) = value.and_then(|it| it.strip_prefix(&*self.prefix)) else {
            return false;
        };
        match rest.strip_prefix(':') {
            Some(key) => glob::matches(pattern, &unescaped(key)),
            None => rest.starts_with('#') && may_be_meant(pattern, rest),
        }
    }
}

/// Whether a long key with this identity may be one that the pattern matches.
fn may_be_meant(pattern: &str, identity: &str) -> bool {
    let start = glob::literal_start(pattern);
    let start = &start[..start.floor_char_boundary(SURE_HEAD_BYTES)];
    let mut escaped = String::from("#");
    push_escaped(&mut escaped, start);
    identity.starts_with(&escaped)
}

/// Whether the key's name holds only a part of it.
pub(crate) fn is_hashed(key: &str) -> bool {
    key.len() > MAX_PLAIN_BYTES
}

fn push_escaped(text: &mut String, key: &str) {
    // As most keys are.
    let is_special = |it: u8| matches!(it, b'%' | b'{' | b'}');
    // Without an early end, so that the compiler looks at many bytes at once.
    if !key.bytes().fold(false, |found, it| found | is_special(it)) {
        return text.push_str(key);
    }
    for piece in key.split_inclusive(['%', '{', '}']) {
        let (plain, special) = match piece.as_bytes().last() {
            Some(b'%') => (&piece[..piece.len() - 1], "%25"),
            Some(b'{') => (&piece[..piece.len() - 1], "%7B"),
            Some(b'}') => (&piece[..piece.len() - 1], "%7D"),
            _ => (piece, ""),
        };
        text.push_str(plain);
        text.push_str(special);
    }
}

/// The opposite of [`push_escaped`].
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    // Of what this crate has written, no `%` is left that stands for something else.
    let braces = text.replace("%7B", "{").replace("%7D", "}");
    Cow::Owned(braces.replace("%25", "%"))
}

impl fmt::Debug for Identities {
    /// Without the key of its hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities").finish_non_exhaustive()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(prefix: &str) -> Names {
        Names::new(prefix, Identities::new(prefix))
    }

    #[test]
    fn short_keys_are_readable_and_long_ones_bounded() {
        let names = names("app");
        assert_eq!(names.name("user:1"), "app:user:1");
        assert_eq!(names.name("u:{1}%"), "app:u:%7B1%7D%25");
        let long = names.name(&"ü".repeat(10_000));
        assert!(long.starts_with("app#ü"), "{long}");
        assert!(long.len() < 200, "{long}");
        assert_eq!(long.rsplit('#').next().unwrap().len(), 40);
    }

    #[test]
    fn long_keys_that_differ_at_the_end_have_different_names() {
        let start = "x".repeat(1_000);
        let (one, other) = (format!("{start}1"), format!("{start}2"));
        assert_ne!(names("app").name(&one), names("app").name(&other));
        let elsewhere = names("other").name(&one);
        assert_ne!(
            names("app").name(&one).strip_prefix("app"),
            elsewhere.strip_prefix("other"),
            "the hash has a key"
        );
    }

    #[test]
    fn a_scan_finds_every_name_that_is_meant() {
        let names = names("a*[p]?");
        let long = format!("user:ü{}", "ü".repeat(500));
        for (key, pattern) in [
            ("user:1", "user:*"),
            ("user:1", "user:1"),
            ("user:1", "*:1"),
            ("user:{1}", "user:{*"),
            (long.as_str(), "user:*"),
            (long.as_str(), "*"),
            (long.as_str(), &format!("{long}*")),
        ] {
            let name = names.name(key);
            let lease = names.lease(&name);
            let scan_patterns = names.scan_patterns(pattern);
            for (found, scan_pattern) in [&lease, &name].into_iter().zip(&scan_patterns) {
                assert!(
                    glob::matches(scan_pattern, found),
                    "{scan_pattern} does not find {found}"
                );
                assert!(names.is_meant(pattern, found), "{pattern}: {found}");
            }
        }
        for other in ["axxp:user:1", "a*[p]?!user:1", "a*[p]?!{b:user:1}"] {
            assert!(!names.is_meant("*", other), "{other}");
        }
        assert!(!names.is_meant("user:*", &names.name("users:1")));
        assert!(!names.is_meant("users:*", &names.name(&long)));
    }

    /// The part of a name by which a cluster places it ("Redis cluster specification", "Hash tags").
    fn placed_by(name: &str) -> &str {
        let tag = name
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'));
        tag.map(|(tag, _)| tag)
            .filter(|tag| !tag.is_empty())
            .unwrap_or(name)
    }

    proptest! {
        #[test]
        fn a_value_is_known_by_its_name_and_kept_with_its_lease(
            key in "[a-c{}%:#!7BD25ü]{0,12}", repeat in 1_usize..40,
        ) {
            let names = names("app");
            let key = key.repeat(repeat);
            let name = names.name(&key);
            let identity = names.identities.of(&key).into_owned();
            prop_assert_eq!(names.subject(&name), Some(Subject::Value(identity.into())));
            let lease = names.lease(&name);
            prop_assert_eq!(placed_by(&lease), placed_by(&name));
            prop_assert!(names.subject(&lease).is_none());
            let tag = names.tag(&key);
            prop_assert_eq!(names.subject(&tag), Some(Subject::Tag(key.into())));
        }

        #[test]
        fn different_keys_have_different_names(one in "[{}%7B25D]{0,6}", other in "[{}%7B25D]{0,6}") {
            let names = names("app");
            prop_assert_eq!(one == other, names.name(&one) == names.name(&other));
        }
    }
}
