//! What a report lacks.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

/// Why a report of slow statements is not whole.
///
/// Displayed, it says what is lost and the way out. Serialized, it is that text as `detail` beside
/// a stable `code`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Degradation {
    /// The extension is not installed in this database.
    NotInstalled,
    /// The server was started without the extension's library.
    NotPreloaded,
    /// The role may not read the view.
    Forbidden,
    /// The view has none of the columns that are known here.
    UnknownColumns,
    /// Slow statements of other roles whose text and identity this role may not see.
    Hidden {
        /// How many there are.
        statements: u64,
    },
    /// The server has lost the texts of statements.
    TextsLost,
    /// The server had no room for all statements.
    Evicted {
        /// How often it threw some away.
        evictions: u64,
    },
    /// Statements whose plan could not be made; each says why.
    NotPlanned {
        /// How many there are.
        statements: usize,
    },
    /// There are more slow statements than are reported.
    TooMany {
        /// How many are reported.
        reported: usize,
    },
}

impl Degradation {
    /// A stable name.
    pub fn code(self) -> &'static str {
        match self {
            Degradation::NotInstalled => "not_installed",
            Degradation::NotPreloaded => "not_preloaded",
            Degradation::Forbidden => "forbidden",
            Degradation::UnknownColumns => "unknown_columns",
            Degradation::Hidden { .. } => "hidden",
            Degradation::TextsLost => "texts_lost",
            Degradation::Evicted { .. } => "evicted",
            Degradation::NotPlanned { .. } => "not_planned",
            Degradation::TooMany { .. } => "too_many",
        }
    }
}

impl fmt::Display for Degradation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Degradation::NotInstalled => f.write_str(
                "no statement is known: pg_stat_statements is not installed in this database; as a \
                 superuser, run `CREATE EXTENSION pg_stat_statements`",
            ),
            Degradation::NotPreloaded => f.write_str(
                "no statement is known: the server runs without pg_stat_statements; add it to \
                 `shared_preload_libraries` and restart the server",
            ),
            Degradation::Forbidden => f.write_str(
                "no statement is known: this role may not read pg_stat_statements; grant it \
                 `pg_monitor`, with SELECT on the view and USAGE on its schema",
            ),
            Degradation::UnknownColumns => f.write_str(
                "no statement is known: this pg_stat_statements has neither `total_exec_time` nor \
                 `total_time`; update the extension",
            ),
            Degradation::Hidden { statements } => write!(
                f,
                "{statements} slow statements of other roles are left out, since this role may \
                 not see them; grant it `pg_read_all_stats`"
            ),
            Degradation::TextsLost => f.write_str(
                "the texts of some statements are lost: the server ran out of memory or disk for \
                 them, or somebody removed its file; call `pg_stat_statements_reset()`",
            ),
            Degradation::Evicted { evictions } => write!(
                f,
                "rare statements may be missing: the server made room {evictions} times; raise \
                 `pg_stat_statements.max`"
            ),
            Degradation::NotPlanned { statements } => write!(
                f,
                "{statements} statements have no plan here, so that nothing is said of what is wrong \
                 with them; `not_planned` says why, such as a right to read that this role lacks"
            ),
            Degradation::TooMany { reported } => write!(
                f,
                "only the {reported} statements with the most time in all are reported; raise the \
                 threshold to see fewer"
            ),
        }
    }
}

impl Serialize for Degradation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Degradation", 2)?;
        fields.serialize_field("code", self.code())?;
        fields.serialize_field("detail", &self.to_string())?;
        fields.end()
    }
}
