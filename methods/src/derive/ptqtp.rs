//! # PTQTP: weights as the sum of two trit-planes
//!
//! ## Mechanism
//! In every group of G weights of a row, `w ≈ α₁t₁ + α₂t₂` with two scales and planes t₁, t₂ of −1, 0
//! and 1: nine values at most, 2·log₂3 + 32/G bits a weight. From `t₁ = t₂ = sign w`, repeat:
//! `α ← (SᵀS + λI)⁻¹Sᵀw` with S = [t₁ t₂], then for each weight the pair of trits whose value is nearest,
//! until ‖Δα‖ < ε or `iterations` have passed. λ starts at 1e-8 in every iteration and grows tenfold, to 1 at most,
//! while the condition number of the matrix (Frobenius) is above `condition`. Of pairs that are equally
//! near the first stands: (0,0), then (−1,0), (0,−1), (0,1), (1,0), then (−1,−1), (−1,1), (1,−1), (1,1).
//! At the start the scales are equal, so this order decides how the planes part. No data, no step; the
//! network is replaced as it stands at the start: with a parent in the suite, the parent's.
//!
//! ## Claim
//! Far better than other rules below 4 bits (abstract: "82.4 % mathematical reasoning retention versus 0 %",
//! LLaMA 3 and Qwen 3). Here: loss and error between those of rounding to 3 and to 4 bits, `low-bit` with
//! the same groups. Accuracy hardly tells such rules apart in networks this small; the loss does.
//!
//! ## Sources
//! Xiao et al., arXiv:2509.16989; the official repository (HeXiao-55/PTQTP, 6c30707a) has no code. The
//! update is as a third party wrote it down (matteo-grella/fucina, docs/PTQTP.md).
//!
//! ## Differences
//! - 1e6 and λ ≤ 1 are the third party's; the paper's values were not found.
//! - The order of equally near pairs is ours. That party takes both single trits of one plane first: under exact
//!   ties all weights of middling size then enter that plane, and groups end worse (a test shows it).
//! - Scales stay floats; the bits told count 16 for each. Rows that G does not divide end in a shorter group.
//! - Which layers: assumed, see `layers`.

use lab::low_bit::{Grouped, Grouping, Rule};
use lab::method::Method;
use lab::offers;
use lab::seat::Facts;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `ptqtp`.
    pub struct Settings {
        /// Iterations in a group, at most.
        iterations: u32 = 50, range Range::of(1.0..=10_000.0), from "paper";
        /// ε: smallest change of the scales, as a vector, that goes on.
        epsilon: f64 = 1e-4, range Range::of(0.0..=1.0), from "paper";
        /// κ: condition number above which λ grows.
        condition: f64 = 1e6, range Range::of(1.0..=1e15), from "a third party's implementation";
        use grouping: Grouping;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "replaces weights by the sum of two trit-planes; takes no step",
    paper: Paper {
        title: "PTQTP: post-training quantization to trit-planes for large language models",
        authors: "Xiao et al.",
        year: 2025,
        reference: "arXiv:2509.16989",
        code: "none (github.com/HeXiao-55/PTQTP holds a README)",
    },
    claim: PaperClaim {
        statement: "keeps what other rules below 4 bits lose",
        number: "82.4 % of mathematical reasoning against 0 %",
        source: "abstract",
    },
    baseline: Some("low-bit"),
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { iterations, epsilon, condition, grouping } = Settings::read(values)?;
        let fit = Fit { iterations, epsilon, condition, ..Fit::default() };
        Grouped::recipe(fit, grouping, task)
    },
};

/// Pairs of trits; of those equally near, the first stands.
const PAIRS: [[f64; 2]; 9] = [
    [0.0, 0.0],
    [-1.0, 0.0],
    [0.0, -1.0],
    [0.0, 1.0],
    [1.0, 0.0],
    [-1.0, -1.0],
    [-1.0, 1.0],
    [1.0, -1.0],
    [1.0, 1.0],
];

/// The rule, with what it met.
#[derive(Debug, Clone)]
pub struct Fit {
    iterations: u32,
    epsilon: f64,
    condition: f64,
    pairs: [[f64; 2]; 9],
    groups: u64,
    taken: u64,
    unsettled: u64,
    weights: u64,
    zeros: [u64; 2],
    /// Squared errors of the last group after each iteration.
    errors: Vec<f64>,
}

impl Default for Fit {
    fn default() -> Self {
        let Settings { iterations, epsilon, condition, .. } = Settings::default();
        Self {
            iterations,
            epsilon,
            condition,
            pairs: PAIRS,
            groups: 0,
            taken: 0,
            unsettled: 0,
            weights: 0,
            zeros: [0; 2],
            errors: Vec::new(),
        }
    }
}

/// Scales of the least squares with planes `trits`, its matrix made regular enough.
fn scales(weights: &[f64], trits: &[[f64; 2]], condition: f64) -> [f64; 2] {
    let mut square = [0.0; 3];
    let mut product = [0.0; 2];
    for (w, [a, b]) in weights.iter().zip(trits) {
        square = [square[0] + a * a, square[1] + a * b, square[2] + b * b];
        product = [product[0] + a * w, product[1] + b * w];
    }
    let [s11, s12, s22] = square;
    let mut lambda = 1e-8;
    loop {
        let (a, b) = (s11 + lambda, s22 + lambda);
        let determinant = a * b - s12 * s12;
        // ‖A‖·‖A⁻¹‖ of a symmetric 2 × 2 matrix.
        let found = (a * a + b * b + 2.0 * s12 * s12) / determinant;
        if found <= condition || lambda >= 1.0 {
            let [p, q] = product;
            return [(p * b - q * s12) / determinant, (q * a - p * s12) / determinant];
        }
        lambda = f64::min(10.0 * lambda, 1.0);
    }
}

/// Puts the nearest pair at every weight; returns the squared error. Values are summed before they are
/// compared, so that equal ones tie exactly.
fn nearest(weights: &[f64], [a, b]: [f64; 2], pairs: &[[f64; 2]], trits: &mut [[f64; 2]]) -> f64 {
    let levels: Vec<f64> = pairs.iter().map(|[t, u]| a * t + b * u).collect();
    let mut error = 0.0;
    for (w, trit) in weights.iter().zip(trits) {
        let mut least = f64::INFINITY;
        for (level, pair) in levels.iter().zip(pairs) {
            let squared = (w - level) * (w - level);
            if squared < least {
                (least, *trit) = (squared, *pair);
            }
        }
        error += least;
    }
    error
}

impl Rule for Fit {
    fn replace(&mut self, group: &mut [f32]) {
        let weights: Vec<f64> = group.iter().copied().map(f64::from).collect();
        let sign = |w: &f64| if *w == 0.0 { 0.0 } else { w.signum() };
        let mut trits: Vec<[f64; 2]> = weights.iter().map(|w| [sign(w); 2]).collect();
        let mut alpha = [1.0; 2];
        let mut moved = f64::INFINITY;
        self.errors.clear();
        while self.errors.len() < self.iterations as usize && moved >= self.epsilon {
            let before = alpha;
            alpha = scales(&weights, &trits, self.condition);
            self.errors.push(nearest(&weights, alpha, &self.pairs, &mut trits));
            moved = f64::hypot(alpha[0] - before[0], alpha[1] - before[1]);
        }
        for (w, [t, u]) in group.iter_mut().zip(&trits) {
            *w = (alpha[0] * t + alpha[1] * u) as f32;
        }
        self.groups += 1;
        self.taken += self.errors.len() as u64;
        self.unsettled += u64::from(moved >= self.epsilon);
        self.weights += group.len() as u64;
        for plane in [0, 1] {
            self.zeros[plane] += trits.iter().filter(|trit| trit[plane] == 0.0).count() as u64;
        }
    }

    fn bits(&self, length: usize) -> f64 {
        2.0 * 3.0_f64.log2() * length as f64 + 32.0
    }

    fn facts(&self) -> Facts {
        let share = |part: u64, of: u64| part as f64 / of.max(1) as f64;
        let zeros = self.zeros.map(|zeros| share(zeros, self.weights));
        Facts::from([
            ("mean_iterations".to_owned(), share(self.taken, self.groups).into()),
            ("groups_not_settled".to_owned(), self.unsettled.into()),
            ("zeros_per_plane".to_owned(), zeros.to_vec().into()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::{Role, values};
    use lab::trial::{Tails, weights, with};
    use std::collections::BTreeSet;
    use training::trial::Parents;

    /// Relative errors of 4,000 groups of 128 weights at iterations 1, 2, 5 and the last, and what
    /// the rule met. Checks on the way that no group's error grows.
    fn errors(tails: Tails, mut fit: Fit) -> ([f64; 4], Fit) {
        let all = weights(tails, 4_000 * 128);
        let norm: f64 = all.iter().map(|w| f64::from(*w).powi(2)).sum();
        let mut sums = [0.0; 4];
        for group in all.chunks(128) {
            fit.replace(&mut group.to_vec());
            assert!(fit.errors.is_sorted_by(|before, after| before >= after), "{:?}", fit.errors);
            for (sum, at) in sums.iter_mut().zip([0, 1, 4, usize::MAX]) {
                *sum += fit.errors[at.min(fit.errors.len() - 1)];
            }
        }
        (sums.map(|sum| (sum / norm).sqrt()), fit)
    }

    #[test]
    fn errors_grow_in_no_group_and_come_to_the_reference_values() {
        let (normal, fit) = errors(Tails::Normal, Fit::default());
        for (found, expected) in normal.into_iter().zip([0.488, 0.343, 0.206, 0.1662]) {
            assert!((found / expected - 1.0).abs() < 0.008, "{normal:?}");
        }
        let facts = fit.facts();
        assert!((facts["mean_iterations"].as_f64().unwrap() - 13.5).abs() < 0.3, "{facts:?}");
        for zeros in facts["zeros_per_plane"].as_array().unwrap() {
            assert!((zeros.as_f64().unwrap() - 0.377).abs() < 0.004, "{facts:?}");
        }
        assert_eq!(fit.unsettled, 0);
        for (tails, expected) in [(Tails::Laplace, 0.2051), (Tails::T5, 0.2125)] {
            let [.., last] = errors(tails, Fit::default()).0;
            assert!((last / expected - 1.0).abs() < 0.008, "{tails:?}: {last}");
        }
    }

    #[test]
    fn of_equally_near_pairs_the_first_stands_and_this_decides_how_the_planes_part() {
        let mut trits = [[9.0; 2]; 5];
        let error = nearest(&[-0.5, 0.5, 0.0, 1.0, -1.0], [0.5, 0.5], &PAIRS, &mut trits);
        assert_eq!(trits, [[-1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0], [-1.0, -1.0]]);
        assert_eq!(error, 0.0);
        // Both signs into one plane first, as the third party has it.
        let mut pairs = PAIRS;
        pairs[1..5].copy_from_slice(&[[0.0, -1.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]]);
        let [.., last] = errors(Tails::Laplace, Fit { pairs, ..Fit::default() }).0;
        assert!(last > 0.22, "{last}");
    }

    #[test]
    fn trained_networks_of_both_kinds_keep_nine_values_a_group_and_err_between_3_and_4_bits() {
        for (workload, width, samples) in [("clusters-mlp", 8, 80), ("domains-gpt", 128, 20)] {
            let stage = workloads::fixture(workload, &with([("width", width.into())])).unwrap();
            let adamw = crate::find("adamw").unwrap().method;
            let trained = with([("batch_size", 1.into()), ("lr", 0.003.into())]);
            let parent = stage.run(adamw, &trained, samples, 1).unwrap().network;
            let derive = |method: &str, mut settings: ledger::settings::Values| {
                settings.insert("layers".to_owned(), "all".into());
                let method = crate::find(method).unwrap().method;
                let parents = Parents { start: Some(&parent), teacher: None };
                let trace = stage.derive(method, &settings, samples, 1, parents).unwrap();
                assert!(trace.order.ids.is_empty());
                (trace.facts["relative_error"].as_f64().unwrap(), trace.network)
            };
            let (error, network) = derive("ptqtp", with([]));
            let [three, four] =
                [3, 4].map(|bits| derive("low-bit", with([("bits", bits.into())])).0);
            assert!(four < error && error < three, "{workload}: {four} {error} {three}");
            for (old, new) in parent.parameters.iter().zip(&network.parameters) {
                let [old, weights] = [old, new].map(|p| values(&p.tensor).unwrap());
                if new.role != Role::Weight {
                    assert_eq!(old, weights, "{}", new.name);
                    continue;
                }
                for row in weights.chunks(new.tensor.size()[1] as usize) {
                    for group in row.chunks(128) {
                        let different: BTreeSet<u32> =
                            group.iter().map(|w| (w + 0.0).to_bits()).collect();
                        assert!(different.len() <= 9, "{}: {different:?}", new.name);
                    }
                }
            }
        }
    }
}
