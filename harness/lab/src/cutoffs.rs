//! Cut-offs over layers: a step moves the layers from a random one on, the others rest.
//!
//! With p_s the probability that layer s is the first to move, q_i = Σ_{s≤i} p_s is that of layer i to
//! move, non-decreasing, and 1 for the last. At rates 1/L_i the steps to a small gradient are bounded by
//! a constant times max_i L_i/q_i, and a step costs c₀ + Σ_i q_i·c_i.

use ledger::streams::unit_f64;
use rand_pcg::Pcg64;

/// q of p.
#[must_use]
pub fn reached(probabilities: &[f64]) -> Vec<f64> {
    let sum = |q: &mut f64, p: &f64| {
        *q += p;
        Some(*q)
    };
    probabilities.iter().scan(0.0, sum).collect()
}

/// q* = max_{j≤i} L_j / max_j L_j: the bound on the steps times the cost of a step is least, whatever
/// layers and overhead cost.
#[must_use]
pub fn cheapest(smoothness: &[f64]) -> Vec<f64> {
    let most = smoothness.iter().copied().fold(0.0, f64::max);
    let so_far = |largest: &mut f64, l: &f64| {
        *largest = largest.max(*l);
        Some(*largest / most)
    };
    smoothness.iter().scan(0.0, so_far).collect()
}

/// The first layer to move, under q.
pub fn draw(reached: &[f64], random: &mut Pcg64) -> usize {
    let drawn = unit_f64(random);
    reached.iter().position(|q| drawn < *q).unwrap_or(reached.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial;

    /// Bound times cost, with a unit for each layer.
    fn cost(smoothness: &[f64], q: &[f64], overhead: f64) -> f64 {
        let steps = smoothness.iter().zip(q).map(|(l, q)| l / q).fold(0.0, f64::max);
        steps * (overhead + q.iter().sum::<f64>())
    }

    #[test]
    fn q_star_is_full_only_where_the_first_layer_is_the_least_smooth() {
        assert_eq!(cheapest(&[1.0, 4.0, 2.0]), [0.25, 1.0, 1.0]);
        assert_eq!(cheapest(&[4.0, 1.0, 1.0]), [1.0; 3]);
        assert_eq!(reached(&[0.25, 0.75, 0.0]), [0.25, 1.0, 1.0]);
        let l = [1.0, 4.0, 2.0];
        assert_eq!(cost(&l, &cheapest(&l), 0.0) / cost(&l, &[1.0; 3], 0.0), 0.75);
    }

    #[test]
    fn no_other_q_costs_less_by_the_bound() {
        for l in [[1.0, 4.0, 2.0], [4.0, 1.0, 1.0], [1.0, 2.0, 4.0], [2.0, 1.0, 3.0]] {
            for overhead in [0.0, 0.5, 3.0] {
                let least = cost(&l, &cheapest(&l), overhead);
                for (a, b) in (1..=24).flat_map(|b| (1..=b).map(move |a| (a, b))) {
                    let q = [f64::from(a) / 24.0, f64::from(b) / 24.0, 1.0];
                    assert!(cost(&l, &q, overhead) >= least - 1e-9, "{l:?} {overhead}: {q:?}");
                }
            }
        }
    }

    #[test]
    fn layers_are_first_as_often_as_p_says() {
        let p = [0.25, 0.6, 0.0, 0.15];
        let (q, mut random) = (reached(&p), trial::streams().generator("method"));
        let mut counts = [0.0; 4];
        for _ in 0..10_000 {
            counts[draw(&q, &mut random)] += 1.0;
        }
        for (count, p) in counts.into_iter().zip(p) {
            let sd = (10_000.0 * p * (1.0 - p)).sqrt();
            assert!((count - 10_000.0 * p).abs() <= 4.0 * sd, "{counts:?}");
        }
    }
}
