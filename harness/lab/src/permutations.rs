//! Two-layer ReLU networks of infinite width, trained on the k unit vectors alone to carry out a
//! permutation of bits: what they say of any other input, as a Gaussian process.
//!
//! Inputs are bits over their norm. With θ the angle of two inputs and c its cosine, the kernel of the network at
//! its start is `K = (sin θ + (π − θ)c)/2πk`, that of its training `Θ = K + c(π − θ)/2πk`, or K where only
//! the last layer moves. Trained to the end on (X, Y), an output has mean `AY` and covariance
//! `K + A·K_XX·Aᵀ − A·K_Xx − K_xX·Aᵀ`, A = Θ_xX·Θ_XX⁻¹. Outputs are independent of each other.

use std::f64::consts::PI;
use std::ops::RangeInclusive;

use ledger::choice;
use ledger::streams::normal_f64;
use rand_pcg::Pcg64;
use tch::{Kind, TchError, Tensor};

choice! {
    /// What of a network moves while it is trained.
    pub enum Regime {
        /// All of it, in the parametrisation of the neural tangent kernel.
        Ntk = "ntk",
        /// The last layer: at large width, what the standard parametrisation comes to, with its one rate for all.
        LastLayer = "last-layer",
    }
}

/// Every input but 0, as the bits of a number.
pub fn inputs(bits: u32) -> RangeInclusive<u32> {
    1..=(1_u32 << bits) - 1
}

/// K and Θ of two inputs.
fn kernels(regime: Regime, bits: u32, x: u32, y: u32) -> [f64; 2] {
    let ones = |x: u32| f64::from(x.count_ones());
    let cosine = (ones(x & y) / (ones(x) * ones(y)).sqrt()).min(1.0);
    let (angle, scale) = (cosine.acos(), 2.0 * PI * f64::from(bits));
    let start = (angle.sin() + (PI - angle) * cosine) / scale;
    match regime {
        Regime::Ntk => [start, start + cosine * (PI - angle) / scale],
        Regime::LastLayer => [start; 2],
    }
}

/// The row of A of an input: what each training input adds to an output.
#[must_use]
pub fn weights(regime: Regime, bits: u32, input: u32) -> Vec<f64> {
    let theta = |x: u32, y: u32| kernels(regime, bits, x, y)[1];
    // Θ_XX is a on its diagonal and b elsewhere.
    let (a, b) = (theta(1, 1), theta(1, 2));
    let row: Vec<f64> = (0..bits).map(|i| theta(input, 1 << i)).collect();
    let share = b * row.iter().sum::<f64>() / (a - b + f64::from(bits) * b);
    row.into_iter().map(|value| (value - share) / (a - b)).collect()
}

/// The process over all inputs.
#[derive(Debug, Clone)]
pub struct Process {
    /// A: by input, then by training input.
    mean: Vec<Vec<f64>>,
    /// Columns L of the covariance LLᵀ, which is not of full rank: what was trained on is known.
    factor: Vec<Vec<f64>>,
}

impl Process {
    /// For `bits` bits; takes their number of inputs cubed.
    #[must_use]
    pub fn new(regime: Regime, bits: u32) -> Self {
        let mean: Vec<_> = inputs(bits).map(|input| weights(regime, bits, input)).collect();
        let start = |x: u32, y: u32| kernels(regime, bits, x, y)[0];
        let cross: Vec<Vec<f64>> =
            inputs(bits).map(|x| (0..bits).map(|i| start(x, 1 << i)).collect()).collect();
        let train = |i: usize, j: usize| start(1 << i, 1 << j);
        let covariance = |p: usize, q: usize| {
            let (x, y) = (p as u32 + 1, q as u32 + 1);
            let each = (0..mean[p].len()).map(|i| {
                let both = (0..mean[q].len()).map(|j| mean[q][j] * train(i, j)).sum::<f64>();
                mean[p][i] * (both - cross[q][i]) - mean[q][i] * cross[p][i]
            });
            start(x, y) + each.sum::<f64>()
        };
        let factor = cholesky(mean.len(), covariance);
        Self { mean, factor }
    }

    /// Variance of an output on an input.
    #[must_use]
    pub fn variance(&self, input: u32) -> f64 {
        self.factor.iter().map(|column| column[input as usize - 1].powi(2)).sum()
    }

    /// The mean over `networks` networks, drawn exactly, of the output that is to follow bit `bit`: a
    /// number for each input.
    pub fn draw(&self, bit: usize, networks: u32, random: &mut Pcg64) -> Vec<f64> {
        let mut drawn: Vec<f64> = self.mean.iter().map(|row| row[bit]).collect();
        let scale = f64::from(networks).sqrt().recip();
        for column in &self.factor {
            let z = scale * normal_f64(random);
            drawn.iter_mut().zip(column).for_each(|(value, l)| *value += l * z);
        }
        drawn
    }
}

/// A network of finite width at its start, `f(x) = W₂·relu(W₁x)/√(nk)`, in f64.
#[derive(Debug)]
pub struct Finite<'a> {
    /// What moves.
    pub regime: Regime,
    /// Inputs, (2^k − 1) × k, each of norm 1.
    pub all: &'a Tensor,
    /// Rows of those that are trained on.
    pub units: &'a Tensor,
    /// W₁, n × k.
    pub first: Tensor,
    /// W₂, k × n.
    pub last: Tensor,
}

impl Finite<'_> {
    /// Outputs after training to the end, inputs × bits, where output i is to follow bit i: in closed form,
    /// of the network linearised at its start (exact where the last layer alone moves).
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn trained(&self) -> Result<Tensor, TchError> {
        let (k, n) = self.last.size2()?;
        let scale = 1.0 / (n * k) as f64;
        let hidden = self.all.f_matmul(&self.first.f_tr()?)?;
        let features = hidden.f_relu()?.f_mul_scalar(scale.sqrt())?;
        let outputs = features.f_matmul(&self.last.f_tr()?)?;
        let of_units = |tensor: &Tensor| tensor.f_index_select(0, self.units);
        let missing =
            Tensor::f_eye(k, (Kind::Double, self.all.device()))?.f_sub(&of_units(&outputs)?)?;
        let kernel = features.f_matmul(&of_units(&features)?.f_tr()?)?;
        if self.regime == Regime::LastLayer {
            let solved = Tensor::f_linalg_solve(&of_units(&kernel)?, &missing, true)?;
            return outputs.f_add(&kernel.f_matmul(&solved)?);
        }
        // Θ by (x, j), (x', j'): x·x' Σ_h W₂_jh W₂_j'h where h is active on both; and K where j = j'.
        let active = hidden.f_gt(0.0)?.f_to_kind(Kind::Double)?;
        let there = of_units(&active)?.f_view([k, 1, 1, n])?;
        let pairs = self.last.f_view([1, k, 1, n])?.f_mul(&self.last.f_view([1, 1, k, n])?)?;
        let both = active.f_matmul(&there.f_mul(&pairs)?.f_view([k * k * k, n])?.f_tr()?)?;
        let products = self.all.f_matmul(&of_units(self.all)?.f_tr()?)?.f_mul_scalar(scale)?;
        let first = both.f_view([-1, k, k, k])?.f_mul(&products.f_view([-1, k, 1, 1])?)?;
        let same = Tensor::f_eye(k, (Kind::Double, self.all.device()))?.f_view([1, 1, k, k])?;
        let theta = first.f_add(&kernel.f_view([-1, k, 1, 1])?.f_mul(&same)?)?;
        // (x, x', j, j') → (x, j), (x', j').
        let theta = theta.f_permute([0, 2, 1, 3])?.f_contiguous()?;
        let square = of_units(&theta)?.f_view([k * k, k * k])?;
        let solved = Tensor::f_linalg_solve(&square, &missing.f_reshape([k * k, 1])?, true)?;
        outputs.f_add(&theta.f_view([-1, k * k])?.f_matmul(&solved)?.f_view([-1, k])?)
    }
}

/// Steps of gradient descent, at most: with 16 bits the slowest error falls by an eighth or a quarter with each.
const MOST_STEPS: u32 = 1_000;
/// Largest error on what was trained on at which descent ends.
const FITTED: f64 = 1e-6;

impl Finite<'_> {
    /// Outputs after gradient descent on the squared loss of all training inputs at once, until they are fitted, inputs ×
    /// bits: both layers at one rate in the parametrisation of the kernel, and `Regime::LastLayer` in the standard one,
    /// which with these weights is a rate times each layer's inputs, k and n.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn descended(&self) -> Result<Tensor, TchError> {
        let (k, n) = self.last.size2()?;
        let scale = ((n * k) as f64).sqrt().recip();
        let [first_rate, last_rate] = rates(self.regime, k as u32, n as f64);
        let units = self.all.f_index_select(0, self.units)?;
        let targets = Tensor::f_eye(k, (Kind::Double, self.all.device()))?;
        let (mut first, mut last) = (self.first.f_add_scalar(0.0)?, self.last.f_add_scalar(0.0)?);
        for _ in 0..MOST_STEPS {
            let hidden = units.f_matmul(&first.f_tr()?)?;
            let features = hidden.f_relu()?;
            let error = features.f_matmul(&last.f_tr()?)?.f_mul_scalar(scale)?.f_sub(&targets)?;
            if f64::try_from(error.f_abs()?.f_max()?)? < FITTED {
                break;
            }
            let active = hidden.f_gt(0.0)?.f_to_kind(Kind::Double)?;
            let behind = error.f_matmul(&last)?.f_mul(&active)?.f_tr()?.f_matmul(&units)?;
            let _ =
                last.f_sub_(&error.f_tr()?.f_matmul(&features)?.f_mul_scalar(scale * last_rate)?)?;
            let _ = first.f_sub_(&behind.f_mul_scalar(scale * first_rate)?)?;
        }
        let features = self.all.f_matmul(&first.f_tr()?)?.f_relu()?;
        features.f_matmul(&last.f_tr()?)?.f_mul_scalar(scale)
    }
}

/// Rates of the two layers of a network of width n: the inverse of the kernel's largest eigenvalue on what is trained on, at
/// infinite width, which is half of what descent bears.
fn rates(regime: Regime, bits: u32, n: f64) -> [f64; 2] {
    let k = f64::from(bits);
    let (same, other) = (kernels(Regime::Ntk, bits, 1, 1), kernels(Regime::Ntk, bits, 1, 2));
    let [start, both] = [0, 1].map(|of| same[of] + (k - 1.0) * other[of]);
    match regime {
        Regime::Ntk => [both.recip(); 2],
        Regime::LastLayer => {
            let rate = (n * start + k * (both - start)).recip();
            [k * rate, n * rate]
        }
    }
}

/// Columns of L with LLᵀ = C of `size`, largest pivots first, until what is left is rounding.
fn cholesky(size: usize, c: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
    let mut left: Vec<f64> = (0..size).map(|i| c(i, i)).collect();
    let floor = 1e-12 * left.iter().copied().fold(0.0, f64::max);
    let mut columns: Vec<Vec<f64>> = Vec::new();
    while let Some((pivot, most)) =
        left.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))
        && most > floor
    {
        let mut column: Vec<f64> = (0..size).map(|i| c(i, pivot)).collect();
        for known in &columns {
            let at = known[pivot];
            column.iter_mut().zip(known).for_each(|(value, l)| *value -= l * at);
        }
        column.iter_mut().for_each(|value| *value /= most.sqrt());
        left.iter_mut().zip(&column).for_each(|(value, l)| *value -= l * l);
        left[pivot] = 0.0;
        columns.push(column);
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial;

    /// Means of a bit that is set and of one that is not, on an input of `ones` ones.
    fn levels(regime: Regime, bits: u32, ones: u32) -> [f64; 2] {
        let row = weights(regime, bits, (1 << ones) - 1);
        [row[0], row.last().copied().unwrap()]
    }

    #[test]
    fn means_and_variances_are_the_reference_values() {
        for (regime, bits, ones, set, unset) in [
            (Regime::Ntk, 8, 2, 0.5639, -0.01133),
            (Regime::Ntk, 8, 3, 0.4183, -0.0248),
            (Regime::LastLayer, 8, 2, 0.6134, -0.02785),
            (Regime::LastLayer, 10, 2, 0.6179, -0.02326),
        ] {
            let [a, b] = levels(regime, bits, ones);
            assert!(
                (a - set).abs() < 6e-5 && (b - unset).abs() < 6e-6 + 5e-5 * f64::from(ones - 2),
                "{a} {b}"
            );
        }
        assert!((levels(Regime::Ntk, 8, 8)[0] - 0.1733).abs() < 6e-5);
        let variance = Process::new(Regime::Ntk, 8).variance(0b11);
        assert!((variance - 0.008185).abs() < 6e-7, "{variance}");
    }

    #[test]
    fn the_sign_of_every_mean_is_right_up_to_16_bits() {
        for regime in [Regime::Ntk, Regime::LastLayer] {
            for (bits, ones) in (2..=16).flat_map(|bits| (2..=bits).map(move |ones| (bits, ones))) {
                let [set, unset] = levels(regime, bits, ones);
                assert!(set > 0.0 && (ones == bits || unset < 0.0), "{bits} {ones}: {set} {unset}");
            }
        }
    }

    #[test]
    fn descent_ends_the_nearer_to_the_linear_network_the_wider_it_is() {
        let rows = inputs(4).flat_map(|x| {
            let norm = f64::from(x.count_ones()).sqrt();
            (0..4).map(move |bit| f64::from(x >> bit & 1) / norm)
        });
        let all = Tensor::from_slice(&rows.collect::<Vec<f64>>()).view([-1, 4]);
        let units = Tensor::from_slice(&[0_i64, 1, 3, 7]);
        for regime in [Regime::Ntk, Regime::LastLayer] {
            let apart = [256, 16_384].map(|n: i64| {
                let mut random = trial::streams().generator("method");
                let mut normal = |shape: [i64; 2]| {
                    let drawn: Vec<f64> =
                        (0..shape[0] * shape[1]).map(|_| normal_f64(&mut random)).collect();
                    Tensor::from_slice(&drawn).view(shape)
                };
                let (first, last) = (normal([n, 4]), normal([4, n]));
                let start = Finite { regime, all: &all, units: &units, first, last };
                let (descended, linear) = (start.descended().unwrap(), start.trained().unwrap());
                let fitted = descended.index_select(0, &units) - linear.index_select(0, &units);
                assert!(f64::try_from(fitted.abs().max()).unwrap() < 1e-5, "{regime:?} {n}");
                f64::try_from((descended - linear).abs().max()).unwrap()
            });
            assert!(apart[0] > 1e-6 && apart[1] < apart[0] / 4.0, "{regime:?}: {apart:?}");
        }
    }

    #[test]
    fn what_was_trained_on_is_known_and_draws_have_the_covariance() {
        let process = Process::new(Regime::Ntk, 4);
        for (i, bit) in (0..4).enumerate() {
            assert!(process.variance(1 << bit) < 1e-12);
            let row = weights(Regime::Ntk, 4, 1 << bit);
            assert!(
                row.iter()
                    .enumerate()
                    .all(|(j, w)| (w - f64::from(u8::from(i == j))).abs() < 1e-12)
            );
        }
        let mut random = trial::streams().generator("method");
        let draws: Vec<Vec<f64>> = (0..4_000).map(|_| process.draw(0, 10, &mut random)).collect();
        for input in inputs(4) {
            let all = draws.iter().map(|draw| draw[input as usize - 1]);
            let mean = all.clone().sum::<f64>() / 4_000.0;
            let square = all.map(|value| (value - mean).powi(2)).sum::<f64>() / 4_000.0;
            let own = process.variance(input) / 10.0;
            assert!((square - own).abs() <= 5.0 * own * (2.0_f64 / 4_000.0).sqrt() + 1e-12);
            let gap = mean - weights(Regime::Ntk, 4, input)[0];
            assert!(gap.abs() <= 5.0 * (own / 4_000.0).sqrt() + 1e-9, "{input}: {gap}");
        }
    }
}
