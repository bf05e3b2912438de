//! Draws that are the same for the same seed.

/// The sequence of `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
/// Generators, 2014).
#[derive(Clone, Debug)]
pub(crate) struct Seeded(u64);

impl Seeded {
    /// The draws of `seed` for one purpose; draws for different purposes are independent.
    pub(crate) fn new(seed: u64, purpose: &str) -> Seeded {
        Seeded(seed ^ xxhash_rust::xxh3::xxh3_64(purpose.as_bytes()))
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let scaled = (u128::from(self.next()) * u128::from(bound)) >> 64;
        u32::try_from(scaled).expect("it is below a `u32`")
    }

    /// A share, from 0 to less than 1.
    pub(crate) fn share(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let bits = (self.next() >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }

    /// One of several, which are not none.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let count = u32::try_from(of.len()).expect("few");
        &of[self.below(count) as usize]
    }
}

/// `count` draws below `n`, of which k + 1 has the weight 1 / (k + 1)^0.99: a few are drawn often,
/// and most are drawn seldom.
pub(crate) fn zipf(draws: &mut Seeded, n: u32, count: usize) -> Vec<u32> {
    let mut sums = Vec::with_capacity(n as usize);
    let mut sum = 0.0;
    for k in 1..=n {
        sum += f64::from(k).powf(-0.99);
        sums.push(sum);
    }
    let draw = |_| {
        let at = draws.share() * sum;
        let k = sums.partition_point(|it| *it <= at);
        u32::try_from(k).unwrap_or(n).min(n - 1)
    };
    (0..count).map(draw).collect()
}

/// `count` draws below `n`, all equally likely.
pub(crate) fn uniform(draws: &mut Seeded, n: u32, count: usize) -> Vec<u32> {
    (0..count).map(|_| draws.below(n)).collect()
}

/// The numbers below `n`, in a drawn order.
pub(crate) fn shuffled(draws: &mut Seeded, n: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    for at in (1..n).rev() {
        order.swap(at as usize, draws.below(at + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_purpose_give_the_same_draws_and_others_give_others() {
        let draw = |seed, purpose| Seeded::new(seed, purpose).next();
        assert_eq!(draw(1, "keys"), draw(1, "keys"));
        assert_ne!(draw(1, "keys"), draw(2, "keys"));
        assert_ne!(draw(1, "keys"), draw(1, "values"));
    }

    #[test]
    fn a_shuffle_has_every_number_once_and_not_in_order() {
        let mut order = shuffled(&mut Seeded::new(42, "test"), 1_000);
        assert!(!order.is_sorted());
        order.sort_unstable();
        assert!(order.into_iter().eq(0..1_000));
        assert!(shuffled(&mut Seeded::new(42, "test"), 0).is_empty());
    }

    #[test]
    fn the_first_of_zipf_has_its_weight_and_uniform_has_none() {
        let often = |drawn: &[u32]| drawn.iter().filter(|it| **it == 0).count();
        let mut draws = Seeded::new(42, "test");
        let drawn = zipf(&mut draws, 1_000, 100_000);
        assert!(drawn.iter().all(|it| *it < 1_000));
        // 1 / sum of k^-0.99 for k to 1,000 is 12.9 %.
        let first = often(&drawn);
        assert!((11_900..13_900).contains(&first), "{first}");
        let drawn = uniform(&mut draws, 1_000, 100_000);
        assert!((50..200).contains(&often(&drawn)));
    }
}
