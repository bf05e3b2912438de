//! What is compressed, and how hard.

use serde::Deserialize;

use crate::Coding;

/// Which responses are compressed, and how hard.
///
/// Sizes are in bytes. See the crate's documentation for the content types.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether anything is compressed at all. Default: true.
    pub enabled: bool,

    /// The size that a body must exceed. Default: 1000.
    ///
    /// Too low: CPU for bodies that fit one packet anyway. Too high: bytes that need not travel.
    pub minimum_size: usize,

    /// The size that a body must not exceed. Default: 8 MiB.
    ///
    /// A body that is there as a whole is encoded in one piece, so that both forms are in memory at once. Too high:
    /// memory. Too low: the largest responses travel uncompressed. Streams of unknown size have no maximum.
    pub maximum_size: usize,

    /// Paths that are never compressed, each with all below it: `/docs` covers `/docs/openapi`
    /// and not `/docsearch`. Default: `/health`, `/metrics`, `/docs`.
    pub exclude_paths: Vec<String>,

    /// Content types that shrink, beside text in all its forms. Default: none.
    pub content_types: Vec<String>,

    /// The codings on offer, in the order that breaks ties. Default: `br`, `zstd`, `gzip`.
    ///
    /// Without one of them, clients that know no other get more bytes. Without any, all get them.
    pub codings: Vec<Coding>,

    /// How many bytes of encoded bodies are remembered, of those that say what they are made of. Default: 16 MiB; 0 for
    /// none.
    ///
    /// Too low: what many ask for is encoded for each of them.
    pub memo_bytes: usize,

    /// The CPU time that a body is likely to take at most, in microseconds. Default: 2000.
    ///
    /// Where the level of a coding takes more, a lower one is taken, and where none is low enough, the next coding that
    /// the client likes as much; where none is, the cheapest. Streams have none, and brotli's level 3 and the others' 6 at
    /// most. Too low: more bytes. Too high: a large body takes the time of many small ones.
    pub cpu_budget_us: u64,

    /// What comes first among codings that the client likes as much as each other. Default: `order`.
    pub preference: Preference,

    /// Whether responses are encoded in cheaper ways, or not at all, while there is too much to do. Default: true.
    ///
    /// Without it a service that has too much to do answers less.
    pub load_aware: bool,

    /// What some paths have of their own. Default: nothing.
    pub routes: Vec<Route>,

    /// 0 to 8, 10 or 11. Default: 4.
    ///
    /// Too high: 5 doubles the CPU of 4 for 4 % fewer bytes, 11 takes eighty times as much. Too low:
    /// zstd gives fewer bytes for less CPU.
    pub brotli_level: i32,

    /// -7 to 19. Default: none, which is 3, and 1 for bodies of at most 32 KiB: for them 3 takes more CPU for hardly fewer
    /// bytes, as the example `compare` shows for a body of yours.
    ///
    /// Too high: 6 takes four times the CPU of 3 for 3 % fewer bytes. Too low: more bytes, for
    /// little CPU saved.
    pub zstd_level: Option<i32>,

    /// 1 to 9. Default: 4.
    ///
    /// Too high: 9 saves next to nothing. Too low: 1 looks for so few matches that bodies get a
    /// third larger than at 2.
    pub gzip_level: i32,
}

/// What comes first among codings that a client likes as much as each other.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Preference {
    /// The order of [`Config::codings`].
    #[default]
    Order,
    /// What takes least CPU at its level, as measured: on JSON zstd, which also gives fewer bytes than brotli up to its
    /// level 4, as the example `compare` shows.
    Cheapest,
}

/// What a path has of its own, with all below it. Of several, the longest counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The path.
    pub path: String,
    /// What differs there.
    #[serde(flatten)]
    pub levels: Levels,
}

/// What may differ for a path. What is none is as everywhere: a level that costs more than the budget is not used without
/// a budget to go with it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Levels {
    /// See [`Config::preference`].
    pub preference: Option<Preference>,
    /// See [`Config::cpu_budget_us`].
    pub cpu_budget_us: Option<u64>,
    /// See [`Config::brotli_level`].
    pub brotli_level: Option<i32>,
    /// See [`Config::zstd_level`].
    pub zstd_level: Option<i32>,
    /// See [`Config::gzip_level`].
    pub gzip_level: Option<i32>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            enabled: true,
            minimum_size: 1000,
            maximum_size: 8 * 1024 * 1024,
            exclude_paths: ["/health", "/metrics", "/docs"].map(String::from).into(),
            content_types: Vec::new(),
            codings: Coding::ALL.into(),
            memo_bytes: 16 * 1024 * 1024,
            cpu_budget_us: 2_000,
            preference: Preference::default(),
            load_aware: true,
            routes: Vec::new(),
            brotli_level: 4,
            zstd_level: None,
            gzip_level: 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_keeps_its_default() {
        let config: Config =
            serde_json::from_str(r#"{"minimum_size": 5, "codings": ["zstd", "br"]}"#).unwrap();
        assert_eq!(config.minimum_size, 5);
        assert_eq!(config.codings, [Coding::Zstd, Coding::Brotli]);
        assert_eq!(config.exclude_paths, ["/health", "/metrics", "/docs"]);
        assert!(config.enabled);
    }

    #[test]
    fn an_unknown_key_or_coding_is_refused() {
        let parse = serde_json::from_str::<Config>;
        assert!(parse(r#"{"minimal_size": 5}"#).is_err());
        assert!(parse(r#"{"codings": ["deflate"]}"#).is_err());
        assert!(parse(r#"{"routes": [{"path": "/a", "brotli": 5}]}"#).is_err());
        assert!(parse(r#"{"routes": [{"brotli_level": 5}]}"#).is_err());
    }

    #[test]
    fn a_route_says_what_differs() {
        let config: Config = serde_json::from_str(
            r#"{"preference": "cheapest", "routes": [{"path": "/a", "preference": "order", "zstd_level": 6}]}"#,
        )
        .unwrap();
        assert_eq!(config.preference, Preference::Cheapest);
        let [Route { path, levels }] = &config.routes[..] else {
            panic!("one route");
        };
        assert_eq!(path, "/a");
        assert_eq!(levels.preference, Some(Preference::Order));
        assert_eq!((levels.zstd_level, levels.brotli_level), (Some(6), None));
    }
}
