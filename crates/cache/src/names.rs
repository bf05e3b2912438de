//! What a key is called in Redis.
//!
//! `prefix:key`, so that people can read it. A long key is `prefix#head#hash`: its first bytes and a
//! hash of 128 bits; the whole key stands in the envelope and is compared when it is read, so that
//! two keys with one hash are a miss.

use xxhash_rust::xxh3::xxh3_128;

use crate::glob;

/// Longer keys are hashed, in bytes.
const MAX_PLAIN_BYTES: usize = 200;
/// How much of a long key stays readable, in bytes.
const HEAD_BYTES: usize = 96;
/// The part of a head that every long key with this start has: a head can be cut up to three bytes
/// early, before a character that does not fit.
const SURE_HEAD_BYTES: usize = HEAD_BYTES - 3;

#[derive(Debug)]
pub(crate) struct Names {
    prefix: Box<str>,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Names {
        Names {
            prefix: prefix.into(),
        }
    }

    /// The key's name in Redis.
    pub(crate) fn name(&self, key: &str) -> String {
        let prefix = &self.prefix;
        if is_hashed(key) {
            let head = &key[..key.floor_char_boundary(HEAD_BYTES)];
            format!("{prefix}#{head}#{:032x}", xxh3_128(key.as_bytes()))
        } else {
            format!("{prefix}:{key}")
        }
    }

    /// A pattern for Redis that finds at least all that [`is_meant`](Names::is_meant) accepts.
    pub(crate) fn scan_pattern(&self, pattern: &str) -> String {
        let start = glob::literal_start(pattern);
        let start = &start[..start.floor_char_boundary(SURE_HEAD_BYTES)];
        format!("{}[:#]{}*", glob::escape(&self.prefix), glob::escape(start))
    }

    /// Whether a name that a scan found belongs to a key that the pattern matches. Of a long key only
    /// the head is known, which may be enough for a key that the pattern does not match: a cache may
    /// forget too much.
    pub(crate) fn is_meant(&self, pattern: &str, name: &str) -> bool {
        match name.strip_prefix(&*self.prefix) {
            Some(rest) if rest.starts_with('#') => true,
            Some(rest) => rest
                .strip_prefix(':')
                .is_some_and(|key| glob::matches(pattern, key)),
            None => false,
        }
    }
}

/// Whether the key's name holds only a part of it.
pub(crate) fn is_hashed(key: &str) -> bool {
    key.len() > MAX_PLAIN_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_keys_are_readable_and_long_ones_bounded() {
        let names = Names::new("app");
        assert_eq!(names.name("user:1"), "app:user:1");
        let long = names.name(&"ü".repeat(10_000));
        assert!(long.starts_with("app#ü"), "{long}");
        assert!(long.len() < 200, "{long}");
    }

    #[test]
    fn long_keys_that_differ_at_the_end_have_different_names() {
        let names = Names::new("app");
        let start = "x".repeat(1_000);
        assert_ne!(
            names.name(&format!("{start}1")),
            names.name(&format!("{start}2"))
        );
    }

    #[test]
    fn a_scan_finds_every_name_that_is_meant() {
        let names = Names::new("a*[p]?");
        let long = format!("user:ü{}", "ü".repeat(500));
        for (key, pattern) in [
            ("user:1", "user:*"),
            ("user:1", "user:1"),
            ("user:1", "*:1"),
            (long.as_str(), "user:*"),
            (long.as_str(), "*"),
            (long.as_str(), &format!("{long}*")),
        ] {
            let name = names.name(key);
            assert!(
                glob::matches(&names.scan_pattern(pattern), &name),
                "{pattern}"
            );
            assert!(names.is_meant(pattern, &name), "{pattern}");
        }
        assert!(!names.is_meant("user:*", &names.name("users:1")));
        assert!(!names.is_meant("*", "axxp:user:1"));
    }
}
