//! The endpoints that can be asked again and again.

use super::asked::Asked;

/// An endpoint, and what is asked of it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The case's name.
    pub(super) name: &'static str,
    /// In one sentence.
    pub(super) about: &'static str,
    /// Its path, with `{id}` where a key stands: also the control's route.
    pub(super) path: &'static str,
    /// What is asked for, and by whom.
    pub(super) asked: Asked,
    /// Whether the same request gets the same bytes again.
    pub(super) is_stable: bool,
    /// Whether it is measured compressed, too.
    pub(super) is_coded: bool,
    /// Whether a quick run has it.
    pub(super) is_quick: bool,
    /// Whether it is for one reader at a time: a whole catalogue is read for an answer.
    pub(super) is_slow: bool,
}

const PLAIN: Endpoint = Endpoint {
    name: "",
    about: "",
    path: "",
    asked: Asked::Nothing,
    is_stable: true,
    is_coded: false,
    is_quick: false,
    is_slow: false,
};

/// All of them.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        name: "assessment",
        about: "One of a user's assessments with all that belongs to it, from the cache.",
        path: "/api/v1/assessments/{id}",
        asked: Asked::Assessments { fresh: false },
        is_coded: true,
        is_quick: true,
        ..PLAIN
    },
    Endpoint {
        name: "assessment_uncached",
        about: "The same from the database: three statements.",
        path: "/api/v1/assessments/{id}",
        asked: Asked::Assessments { fresh: true },
        ..PLAIN
    },
    Endpoint {
        name: "assessments",
        about: "The first page of a user's assessments, from the database.",
        path: "/api/v1/assessments",
        asked: Asked::OwnRows,
        is_quick: true,
        ..PLAIN
    },
    Endpoint {
        name: "business_profiles",
        about: "The first page of a user's business profiles, from the database.",
        path: "/api/v1/business-profiles",
        asked: Asked::OwnRows,
        ..PLAIN
    },
    Endpoint {
        name: "user",
        about: "A user's own profile, from the cache.",
        path: "/api/v1/users/{id}",
        asked: Asked::Themselves,
        ..PLAIN
    },
    Endpoint {
        name: "frameworks",
        about: "All frameworks, from the cache.",
        path: "/api/v1/frameworks",
        asked: Asked::ByUsers,
        ..PLAIN
    },
    Endpoint {
        name: "framework",
        about: "One framework with its controls, from the cache.",
        path: "/api/v1/frameworks/{id}",
        asked: Asked::Frameworks,
        ..PLAIN
    },
    Endpoint {
        name: "responses",
        about: "All answers of an assessment are stored again: four statements in a transaction.",
        path: "/api/v1/assessments/{id}/responses",
        asked: Asked::Responses,
        ..PLAIN
    },
    Endpoint {
        name: "health",
        about: "Whether the servers answer, which asks them.",
        path: "/health",
        ..PLAIN
    },
    Endpoint {
        name: "livez",
        about: "The shortest way through all middleware.",
        path: "/livez",
        ..PLAIN
    },
    Endpoint {
        name: "readyz",
        about: "Whether requests can be served, which asks the database.",
        path: "/readyz",
        ..PLAIN
    },
    Endpoint {
        name: "openapi",
        about: "The description of the API.",
        path: "/api/openapi.json",
        ..PLAIN
    },
    Endpoint {
        name: "metrics",
        about: "All metrics as Prometheus reads them.",
        path: "/metrics",
        asked: Asked::ByPrometheus,
        is_stable: false,
        ..PLAIN
    },
    Endpoint {
        name: "performance_metrics",
        about: "Each operation's count and percentiles, for an administrator.",
        path: "/api/v1/performance/metrics",
        asked: Asked::ByAdmin,
        is_stable: false,
        ..PLAIN
    },
    Endpoint {
        name: "pool_stats",
        about: "What the pools hold, for an administrator.",
        path: "/api/v1/performance/pool/stats",
        asked: Asked::ByAdmin,
        is_stable: false,
        ..PLAIN
    },
    Endpoint {
        name: "cache_stats",
        about: "What the cache holds and how often it had it, for an administrator.",
        path: "/api/v1/performance/cache/stats",
        asked: Asked::ByAdmin,
        is_stable: false,
        ..PLAIN
    },
    Endpoint {
        name: "database_stats",
        about: "Slow statements and missing indexes, for an administrator.",
        path: "/api/v1/performance/database/stats",
        asked: Asked::ByAdmin,
        is_stable: false,
        is_slow: true,
        ..PLAIN
    },
];
