//! Several questions at once.

/// The p-values, raised so that comparing each with a bound keeps the probability of a single
/// false alarm among all of them below that bound, in their own order.
///
/// S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
/// Statistics 6 (1979). The questions may depend on each other in any way.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|i, j| p[*i].total_cmp(&p[*j]));
    let mut raised = vec![1.0; p.len()];
    let mut at_least: f64 = 0.0;
    for (place, i) in order.into_iter().enumerate() {
        let left = (p.len() - place) as f64;
        at_least = at_least.max((p[i] * left).min(1.0));
        raised[i] = at_least;
    }
    raised
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_textbooks() {
        let raised = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (raised, expect) in raised.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((raised - expect).abs() < 1e-12);
        }
        assert!(holm(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn between_the_plain_value_and_that_of_bonferroni(
            p in prop::collection::vec(0.0..1.0_f64, 1..20),
        ) {
            for (raised, plain) in holm(&p).iter().zip(&p) {
                prop_assert!(raised >= plain);
                prop_assert!(*raised <= (plain * p.len() as f64).min(1.0).max(*raised));
                prop_assert!(*raised <= 1.0);
            }
            let least = p.iter().copied().fold(1.0, f64::min);
            let bonferroni = (least * p.len() as f64).min(1.0);
            let lowest = holm(&p).into_iter().fold(1.0, f64::min);
            prop_assert!((lowest - bonferroni).abs() < 1e-12);
        }
    }
}
