//! How long the kinds of data of RuleIQ may be cached.

use std::time::Duration;

/// A user's profile: it changes rarely.
pub const USER_PROFILE: Duration = Duration::from_secs(3_600);
/// An assessment session: it changes while it is worked on.
pub const ASSESSMENT_SESSION: Duration = Duration::from_secs(1_800);
/// A business profile: it changes seldom.
pub const BUSINESS_PROFILE: Duration = Duration::from_secs(3_600);
/// A compliance framework: it changes with a release.
pub const COMPLIANCE_FRAMEWORK: Duration = Duration::from_secs(7_200);
/// The numbers of the dashboard: people watch them move.
pub const DASHBOARD_STATS: Duration = Duration::from_secs(300);
/// The list of frameworks: it changes rarely.
pub const FRAMEWORK_LIST: Duration = Duration::from_secs(86_400);
