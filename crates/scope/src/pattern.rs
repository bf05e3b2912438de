//! Whether a statement that runs again and again is asked the same each time.

use ruleiq_query::Arguments;

/// How the arguments of a statement's runs compare.
///
/// Those of the first run are not looked at, so that what runs once costs nothing: it takes three runs to
/// know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ArgumentPattern {
    /// Too few runs were looked at.
    Unknown,
    /// The same each time: the answer was known.
    Same,
    /// Not the same each time.
    Different,
}

/// What is remembered of the arguments so far.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    Nothing,
    Once(Arguments),
    Same(Arguments),
    Different,
}

impl Seen {
    /// With those of one more run, if they were looked at.
    pub(crate) fn and(self, arguments: Option<Arguments>) -> Seen {
        match (self, arguments) {
            (seen, None) => seen,
            (Seen::Nothing, Some(it)) => Seen::Once(it),
            (Seen::Once(first) | Seen::Same(first), Some(it)) if it == first => Seen::Same(first),
            (_, Some(_)) => Seen::Different,
        }
    }

    pub(crate) fn pattern(self) -> ArgumentPattern {
        match self {
            Seen::Nothing | Seen::Once(_) => ArgumentPattern::Unknown,
            Seen::Same(_) => ArgumentPattern::Same,
            Seen::Different => ArgumentPattern::Different,
        }
    }
}
