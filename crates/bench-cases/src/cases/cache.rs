//! The cache against the crates that it stands on: a bare map in the process, a bare Redis client,
//! and `redis-benchmark` beside them.
//!
//! Both sides of a case begin and end with the same: a value of type `Profile`. Where that means
//! decoding it from postcard, the judging control does so, too; a second one leaves the bytes as they are,
//! and shows what the decoding costs.

mod deletes;
mod local;
mod reads;
pub(crate) mod redis;
pub(crate) mod settings;
mod values;
mod writes;

use ruleiq_bench::Case;

use crate::{Env, Options};

/// The crate that is measured.
const OURS: (&str, &str) = ("ruleiq-cache", env!("CARGO_PKG_VERSION"));
/// Tasks of the operations on single keys, where none are asked for.
const TASKS: usize = 16;

/// The cases of the cache.
pub fn cases(options: &Options) -> Vec<Case<Env>> {
    vec![
        local::l1_hit(options),
        local::l1_hit_2(options),
        reads::l2_hit_1(options),
        reads::l2_hit_64(options),
        reads::get_miss(options),
        writes::set(options),
        deletes::delete(options),
        reads::mget_100(options),
        writes::mset_100(options),
        deletes::delete_pattern(options),
        local::key(options),
    ]
}
