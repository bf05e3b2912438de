//! What a run has to do, as whoever starts it says.

use std::path::PathBuf;

use ruleiq_bench::report::{Git, Toolchain};
use serde::{Deserialize, Serialize};

/// What cases are made with.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Operations under way at once, in place of a case's own number. Cases that are about one
    /// number keep it.
    pub concurrency: Option<usize>,
    /// The smallest input that still goes every way, for tests.
    pub tiny: bool,
}

/// What `bench-cases run` reads as JSON from its standard input.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Components that run; empty: all.
    pub components: Vec<String>,
    /// Patterns with `*` and `?` over `component/case` or `case`; empty: all.
    pub cases: Vec<String>,
    /// What cases are made with.
    pub options: Options,
    /// Few short blocks, and the cases that are marked for it alone.
    pub quick: bool,
    /// Blocks of a case, in place of the profile's.
    pub blocks: Option<usize>,
    /// Operations of a slice, in place of its time.
    pub iterations: Option<u64>,
    /// What all draws come from; absent: drawn, and told in the report.
    pub seed: Option<u64>,
    /// Only says which cases there are.
    pub list: bool,
    /// A stored run to compare with.
    pub baseline: Option<PathBuf>,
    /// Takes a stored run of a changed tree as well.
    pub allow_dirty: bool,
    /// An earlier revision to compare with, in the same blocks.
    pub against: Option<Against>,
    /// Where partial results lie; absent: nothing is kept, and a run cannot be resumed.
    pub out: Option<PathBuf>,
    /// Goes on with what lies there.
    pub resume: bool,
    /// Where the report goes, as JSON.
    pub json: Option<PathBuf>,
    /// Where the report goes, as a page.
    pub html: Option<PathBuf>,
    /// Where the report goes for later comparisons; refused when it could not be one.
    pub save: Option<PathBuf>,
    /// Leaves the pass that counts allocations out.
    pub without_allocations: bool,
    /// Counts the instructions of hot paths too.
    pub instructions: bool,
    /// Measures cost as data, connections, keys and cache grow, in place of the cases.
    pub scale_study: bool,
    /// The time that the scale study is given, in seconds, in place of its own.
    pub seconds: Option<u64>,
    /// Runs a program with debug assertions all the same; what it says is invalid.
    pub allow_debug: bool,
    /// Undecided counts as fine.
    pub lenient: bool,
    /// What built this program.
    pub toolchain: Toolchain,
    /// What it was built from.
    pub git: Git,
}

/// An earlier revision.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Against {
    /// The commit.
    pub revision: String,
    /// Its `bench-cases`.
    pub program: PathBuf,
    /// Its `ruleiq-server`, which its cases get as theirs, where one is needed.
    #[serde(default)]
    pub server: Option<PathBuf>,
}
