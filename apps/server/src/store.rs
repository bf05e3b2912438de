//! The statements of the application, one file per table or group of tables.
//!
//! Every function runs on whatever it is given: a session, a transaction, a bare client. Those
//! that must be part of a transaction say so.

pub(crate) mod assessments;
pub(crate) mod business_profiles;
pub(crate) mod frameworks;
pub(crate) mod page;
pub(crate) mod refresh_tokens;
pub(crate) mod schema;
pub(crate) mod users;
