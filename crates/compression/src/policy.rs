//! Which responses are worth a coding.

use std::borrow::Cow;

use crate::{BuildError, Coding, Config, Effort};

/// Which responses are worth a coding, by path, content type and size, and how hard those of a path are encoded.
#[derive(Clone, Debug)]
pub struct Policy {
    enabled: bool,
    minimum_size: usize,
    maximum_size: usize,
    exclude_paths: Box<[Box<str>]>,
    content_types: Box<[Box<str>]>,
    codings: Box<[Coding]>,
    effort: Effort,
    /// The longest paths first.
    routes: Box<[(Box<str>, Effort)]>,
}

/// Why a response is sent as it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Skip {
    /// The path is excluded.
    Path,
    /// The application said so for this response.
    OptOut,
    /// The client prefers no coding, or knows none of those on offer.
    Identity,
    /// The status has no body, or one that must not change.
    Status,
    /// The request is a HEAD, whose answer has no body.
    Head,
    /// The content type is not known to shrink.
    ContentType,
    /// The body is not larger than the minimum.
    TooSmall,
    /// The body is larger than the maximum.
    TooLarge,
    /// The response has a content coding already.
    Encoded,
    /// `Cache-Control: no-transform` in the request or the response.
    NoTransform,
    /// The request is for a range, or the response is one.
    Range,
    /// The response carries a digest of the bytes as they are.
    Digest,
    /// The encoded body was not smaller.
    NotSmaller,
    /// As many bodies as allowed wait to be encoded off the caller's thread, or as many streams are.
    Busy,
    /// There is more to do than can be done.
    Load,
    /// The encoder failed.
    Failed,
}

impl Policy {
    /// The policy of a configuration.
    ///
    /// # Errors
    ///
    /// [`BuildError::Level`] for a level, also of a route, that its coding does not have; [`BuildError::Path`] for a path
    /// that does not begin with `/`, which would cover nothing.
    pub fn new(config: &Config) -> Result<Policy, BuildError> {
        let mut routes = Vec::with_capacity(config.routes.len());
        for route in &config.routes {
            let effort = Effort::of(config, &route.levels)?;
            routes.push((covered(&route.path)?, effort));
        }
        routes.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Ok(Policy {
            effort: Effort::new(config)?,
            routes: routes.into(),
            enabled: config.enabled,
            minimum_size: config.minimum_size,
            maximum_size: config.maximum_size,
            exclude_paths: config
                .exclude_paths
                .iter()
                .map(|path| covered(path))
                .collect::<Result<_, _>>()?,
            content_types: config
                .content_types
                .iter()
                .map(|it| it.trim().into())
                .collect(),
            codings: config.codings.clone().into(),
        })
    }

    /// Whether anything is compressed at all.
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// The codings on offer, in the order that breaks ties.
    pub fn codings(&self) -> &[Coding] {
        &self.codings
    }

    /// Whether a path is an excluded one or below one.
    ///
    /// Paths are compared byte by byte, percent-encoding undone as a router does it: `/%64ocs` is `/docs`, while `%2F` is
    /// part of a name.
    pub fn excludes(&self, path: &str) -> bool {
        let path = decoded(path);
        let mut excluded = self.exclude_paths.iter();
        excluded.any(|it| covers(it, &path))
    }

    /// How hard responses of a path are encoded.
    ///
    /// Paths are compared as those that are excluded.
    pub fn effort(&self, path: &str) -> &Effort {
        if self.routes.is_empty() {
            return &self.effort;
        }
        let path = decoded(path);
        let mut routes = self.routes.iter();
        let route = routes.find(|(covered, _)| covers(covered, &path));
        route.map_or(&self.effort, |(_, effort)| effort)
    }

    /// Whether a body of this `Content-Type` shrinks.
    ///
    /// # Errors
    ///
    /// With the reason why not.
    pub fn check_content_type(&self, content_type: Option<&[u8]>) -> Result<(), Skip> {
        match content_type {
            Some(content_type) if shrinks(content_type) || self.lists(content_type) => Ok(()),
            _ => Err(Skip::ContentType),
        }
    }

    /// Whether the configuration names this type.
    fn lists(&self, content_type: &[u8]) -> bool {
        let essence = content_type.split(|byte| *byte == b';').next();
        let essence = essence.unwrap_or_default().trim_ascii();
        let mut listed = self.content_types.iter();
        listed.any(|it| it.as_bytes().eq_ignore_ascii_case(essence))
    }

    /// Whether a body of this size, in bytes, is worth it.
    ///
    /// # Errors
    ///
    /// With the reason why not.
    pub fn check_size(&self, size: u64) -> Result<(), Skip> {
        let is_within = |limit: usize| usize::try_from(size).is_ok_and(|size| size <= limit);
        if is_within(self.minimum_size) {
            Err(Skip::TooSmall)
        } else if is_within(self.maximum_size) {
            Ok(())
        } else {
            Err(Skip::TooLarge)
        }
    }
}

impl Skip {
    /// All of them.
    pub const ALL: [Skip; 16] = [
        Skip::Path,
        Skip::OptOut,
        Skip::Identity,
        Skip::Status,
        Skip::Head,
        Skip::ContentType,
        Skip::TooSmall,
        Skip::TooLarge,
        Skip::Encoded,
        Skip::NoTransform,
        Skip::Range,
        Skip::Digest,
        Skip::NotSmaller,
        Skip::Busy,
        Skip::Load,
        Skip::Failed,
    ];

    /// The reason's name in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Skip::Path => "path",
            Skip::OptOut => "opt_out",
            Skip::Identity => "identity",
            Skip::Status => "status",
            Skip::Head => "head",
            Skip::ContentType => "content_type",
            Skip::TooSmall => "too_small",
            Skip::TooLarge => "too_large",
            Skip::Encoded => "encoded",
            Skip::NoTransform => "no_transform",
            Skip::Range => "range",
            Skip::Digest => "digest",
            Skip::NotSmaller => "not_smaller",
            Skip::Busy => "busy",
            Skip::Load => "load",
            Skip::Failed => "failed",
        }
    }
}

/// A path of the configuration, which covers all below it.
fn covered(path: &str) -> Result<Box<str>, BuildError> {
    match path.starts_with('/') {
        true => Ok(path.trim_end_matches('/').into()),
        false => Err(BuildError::Path { path: path.into() }),
    }
}

/// Whether a path is this one or below it.
fn covers(covered: &str, path: &[u8]) -> bool {
    path.strip_prefix(covered.as_bytes())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// A path without percent-encoding, but for `%2F`, which separates nothing, and for what is none.
fn decoded(path: &str) -> Cow<'_, [u8]> {
    if !path.contains('%') {
        return Cow::Borrowed(path.as_bytes());
    }
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let mut rest = path.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let Some((first, others)) = rest.split_first() {
        let pair = digit(others.first()).zip(digit(others.get(1)));
        let byte = pair.and_then(|(high, low)| u8::try_from(16 * high + low).ok());
        match byte.filter(|it| *first == b'%' && *it != b'/') {
            Some(byte) => {
                decoded.push(byte);
                rest = &others[2..];
            }
            None => {
                decoded.push(*first);
                rest = others;
            }
        }
    }
    Cow::Owned(decoded)
}

/// Text in all its forms. gRPC is left alone, since it compresses its messages itself.
fn shrinks(content_type: &[u8]) -> bool {
    const APPLICATION: [&str; 8] = [
        "json",
        "xml",
        "javascript",
        "x-javascript",
        "ecmascript",
        "csv",
        "x-ndjson",
        "jsonl",
    ];
    let essence = content_type.split(|byte| *byte == b';').next();
    let Some((kind, name)) = essence
        .and_then(|essence| std::str::from_utf8(essence).ok())
        .and_then(|essence| essence.trim().split_once('/'))
    else {
        return false;
    };
    let starts = |start: &str| {
        name.get(..start.len())
            .is_some_and(|it| it.eq_ignore_ascii_case(start))
    };
    let suffix = name.rsplit_once('+').map_or("", |(_, suffix)| suffix);

    if kind.eq_ignore_ascii_case("text") {
        true
    } else if kind.eq_ignore_ascii_case("application") && starts("grpc") {
        false
    } else if suffix.eq_ignore_ascii_case("json") || suffix.eq_ignore_ascii_case("xml") {
        true
    } else {
        kind.eq_ignore_ascii_case("application")
            && APPLICATION.iter().any(|it| name.eq_ignore_ascii_case(it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Levels, Load, Route};

    fn policy() -> Policy {
        Policy::new(&Config::default()).unwrap()
    }

    #[test]
    fn a_body_must_exceed_the_minimum_and_not_the_maximum() {
        let check = |size, expect| assert_eq!(policy().check_size(size), expect, "for {size}");
        check(0, Err(Skip::TooSmall));
        check(999, Err(Skip::TooSmall));
        check(1000, Err(Skip::TooSmall));
        check(1001, Ok(()));
        check(8 * 1024 * 1024, Ok(()));
        check(8 * 1024 * 1024 + 1, Err(Skip::TooLarge));
        check(u64::MAX, Err(Skip::TooLarge));
    }

    #[test]
    fn text_in_all_its_forms_shrinks() {
        let eligible = [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON;charset=UTF-8",
            "application/problem+json",
            "application/vnd.api+json; ext=1",
            "application/atom+xml",
            "application/xml",
            "application/xhtml+xml",
            "application/javascript",
            "application/csv",
            "image/svg+xml",
            "text/html",
            "text/css ; charset=utf-8",
            "text/javascript",
            "text/csv",
            "text/xml",
            "text/plain",
            "Text/Event-Stream; charset=utf-8",
        ];
        for content_type in eligible {
            let verdict = policy().check_content_type(Some(content_type.as_bytes()));
            assert_eq!(verdict, Ok(()), "for {content_type}");
        }
    }

    #[test]
    fn other_content_does_not() {
        let ineligible = [
            "",
            "json",
            "text",
            "application/grpc",
            "application/grpc+json",
            "application/octet-stream",
            "application/zip",
            "application/jsonish",
            "application/x+jsonx",
            "multipart/form-data; boundary=application/json",
            "image/png",
            "font/woff2",
            "video/mp4",
        ];
        for content_type in ineligible {
            let verdict = policy().check_content_type(Some(content_type.as_bytes()));
            assert_eq!(verdict, Err(Skip::ContentType), "for {content_type}");
        }
        let verdict = policy().check_content_type(Some(b"application/js\xff"));
        assert_eq!(verdict, Err(Skip::ContentType));
        assert_eq!(policy().check_content_type(None), Err(Skip::ContentType));
    }

    #[test]
    fn a_type_that_is_named_shrinks_too() {
        let config = Config {
            content_types: vec!["application/wasm".to_owned()],
            ..Config::default()
        };
        let policy = Policy::new(&config).unwrap();
        let check = |content_type: &str| policy.check_content_type(Some(content_type.as_bytes()));
        assert_eq!(check("Application/Wasm; a=b"), Ok(()));
        assert_eq!(check("application/json"), Ok(()));
        assert_eq!(check("application/wasm2"), Err(Skip::ContentType));
    }

    #[test]
    fn a_path_is_excluded_with_all_below_it_and_nothing_beside_it() {
        let check = |path, expect| assert_eq!(policy().excludes(path), expect, "for {path}");
        check("/health", true);
        check("/health/", true);
        check("/health/database", true);
        check("/healthz", false);
        check("/Health", false);
        check("/docs/openapi.json", true);
        check("/docs%2fopenapi.json", false);
        check("/%64ocs", true);
        check("/%64oc%73/%zz", true);
        check("/docs%", false);
        check("/%25docs", false);
        check("/api/docs", false);
        check("/metrics", true);
        check("/", false);
        check("", false);
    }

    #[test]
    fn the_longest_route_that_covers_a_path_counts() {
        let route = |path: &str, level| Route {
            path: path.to_owned(),
            levels: Levels {
                gzip_level: Some(level),
                ..Levels::default()
            },
        };
        let config = Config {
            routes: vec![route("/a", 2), route("/a/b/", 3)],
            ..Config::default()
        };
        let policy = Policy::new(&config).unwrap();
        let level = |path| {
            policy
                .effort(path)
                .of_stream(Coding::Gzip, Load::Normal)
                .level
        };
        assert_eq!(level("/a"), 2);
        assert_eq!(level("/a/c"), 2);
        assert_eq!(level("/a/b"), 3);
        assert_eq!(level("/a/b/c"), 3);
        assert_eq!(level("/ab"), 4);
        assert_eq!(level("/"), 4);
        assert_eq!(level("/%61/%62"), 3);
        for wrong in [route("/a", 12), route("a", 4), route("", 4)] {
            let wrong = Config {
                routes: vec![wrong],
                ..Config::default()
            };
            assert!(Policy::new(&wrong).is_err());
        }
        let wrong = Config {
            exclude_paths: vec!["docs".to_owned()],
            ..Config::default()
        };
        let told = Policy::new(&wrong).unwrap_err().to_string();
        assert_eq!(
            told,
            "the path `docs` covers nothing; a path begins with `/`"
        );
    }

    #[test]
    fn a_trailing_slash_of_an_excluded_path_does_not_matter() {
        let excludes = |excluded: &str, path| {
            let exclude_paths = vec![excluded.into()];
            let config = Config {
                exclude_paths,
                ..Config::default()
            };
            Policy::new(&config).unwrap().excludes(path)
        };
        assert!(excludes("/docs/", "/docs"));
        assert!(excludes("/docs/", "/docs/a"));
        assert!(!excludes("/docs/", "/docsearch"));
        assert!(excludes("/", "/anything"));
    }
}
