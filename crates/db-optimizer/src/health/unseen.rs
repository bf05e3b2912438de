//! What a health report lacks.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct as _};
use time::OffsetDateTime;

/// Why a health report is not whole.
///
/// Displayed, it says what is lost and the way out. Serialized, it is that text as `detail` beside
/// a stable `code`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Unseen {
    /// The role may not see what sessions of other roles do, nor the details of replication.
    OtherRoles,
    /// This is a standby: the use that the primary makes of indexes and tables is not seen, nor
    /// does anything here count writes.
    Primary,
    /// The standbys' use of indexes is not seen.
    Standbys {
        /// How many there are.
        standbys: u64,
    },
    /// Statistics are too young for an index to be called unused.
    Window {
        /// Since when they count, at least.
        since: OffsetDateTime,
    },
    /// Sequences that the role may not read.
    Sequences {
        /// How many there are.
        hidden: u64,
    },
    /// Other databases of the server are looked at for their age alone.
    OtherDatabases {
        /// How many there are.
        databases: u64,
    },
    /// There are more findings of one kind than are reported.
    TooMany {
        /// The code of the findings.
        check: &'static str,
        /// How many are reported.
        reported: usize,
    },
    /// The server refused what a check asked for.
    Refused {
        /// The code of the check's findings.
        check: &'static str,
        /// The server's own code.
        sql_state: String,
    },
}

impl Unseen {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Unseen::OtherRoles => "other_roles",
            Unseen::Primary => "primary",
            Unseen::Standbys { .. } => "standbys",
            Unseen::Window { .. } => "window",
            Unseen::Sequences { .. } => "sequences",
            Unseen::OtherDatabases { .. } => "other_databases",
            Unseen::TooMany { .. } => "too_many",
            Unseen::Refused { .. } => "refused",
        }
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unseen::OtherRoles => f.write_str(
                "sessions of other roles and the lag of standbys are not seen by this role; grant it \
                 `pg_read_all_stats`",
            ),
            Unseen::Primary => f.write_str(
                "this is a standby: indexes that only the primary uses look unused, and its dead rows, \
                 updates and sessions are not counted here; ask the primary, too",
            ),
            Unseen::Standbys { standbys } => write!(
                f,
                "what {standbys} standbys use is not counted here: before an index is dropped, ask each of them"
            ),
            Unseen::Window { since } => write!(
                f,
                "no index is called unused: statistics are kept since {} at least, which is too short",
                since.date()
            ),
            Unseen::Sequences { hidden } => write!(
                f,
                "{hidden} sequences are not seen by this role; grant it SELECT on them, or `pg_read_all_data`"
            ),
            Unseen::OtherDatabases { databases } => write!(
                f,
                "of {databases} other databases only the ages are looked at; connect to each for the rest"
            ),
            Unseen::TooMany { check, reported } => {
                write!(f, "only the {reported} worst findings of `{check}` are reported")
            }
            Unseen::Refused { check, sql_state } => write!(
                f,
                "`{check}` was not looked at: the server refused with SQLSTATE {sql_state}; its log says why"
            ),
        }
    }
}

impl Serialize for Unseen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Unseen", 2)?;
        fields.serialize_field("code", self.code())?;
        fields.serialize_field("detail", &self.to_string())?;
        fields.end()
    }
}
