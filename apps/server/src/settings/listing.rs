//! One line of `ruleiq-server settings`.

use std::fmt;

/// A setting as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) name: &'static str,
    /// The value in force; of a secret, only whether it is set.
    pub(crate) value: String,
    /// Where the value comes from: `environment`, a file's path, or `default`.
    pub(crate) origin: String,
    pub(crate) meaning: &'static str,
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}={}\n    {}. From: {}",
            self.name, self.value, self.meaning, self.origin
        )
    }
}
