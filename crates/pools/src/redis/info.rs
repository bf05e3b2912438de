//! What a Redis says of itself.

use serde::Serialize;

/// What decides how well a Redis serves.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RedisInfo {
    /// Its version.
    pub version: String,
    /// The most memory that its data may take, in bytes; 0 is no limit.
    pub max_memory_bytes: u64,
    /// What goes when that is full, such as `allkeys-lru`; with `noeviction` writes fail instead.
    pub max_memory_policy: String,
}

impl RedisInfo {
    /// Reads the sections `server` and `memory` of `INFO`.
    pub(super) fn parse(text: &str) -> Option<RedisInfo> {
        let field = |name: &str| {
            let value = |line: &str| {
                Some(
                    line.strip_prefix(name)?
                        .strip_prefix(':')?
                        .trim()
                        .to_owned(),
                )
            };
            text.lines().find_map(value)
        };
        Some(RedisInfo {
            version: field("redis_version")?,
            max_memory_bytes: field("maxmemory")?.parse().ok()?,
            max_memory_policy: field("maxmemory_policy")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_among_others() {
        let text = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nmaxmemory:1048576\r\n\
                    maxmemory_human:1.00M\r\nmaxmemory_policy:allkeys-lru\r\n";
        let info = RedisInfo::parse(text).unwrap();
        assert_eq!(info.version, "7.0.15");
        assert_eq!(info.max_memory_bytes, 1_048_576);
        assert_eq!(info.max_memory_policy, "allkeys-lru");
        assert_eq!(
            RedisInfo::parse("# Server\r\nredis_version:7.0.15\r\n"),
            None
        );
    }
}
