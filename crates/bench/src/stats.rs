//! The statistics: estimates and intervals that make no assumption about the shape of the noise.
//!
//! All of it takes plain numbers and needs no clock; what draws, draws from a seed. The unit is
//! the block: a thousand operations of one slice are not a thousand observations.

mod bootstrap;
mod location;
mod multiplicity;
mod normal;
mod power;
mod rank_sum;
mod signed_rank;
mod steady;

pub(crate) use self::power::Z;
pub use self::{
    bootstrap::{Merged, merged_intervals},
    location::{mad_s, mean, median, quantile_of_sorted},
    multiplicity::holm,
    normal::{normal_cdf, normal_quantile},
    power::{blocks_to_see, detectable},
    rank_sum::{Shift, rank_sum_p, shift},
    signed_rank::{Estimate, Interval, estimate, signed_rank_p, walsh_rank},
    steady::{mser, spearman, steady_from},
};
