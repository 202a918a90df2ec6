//! Noisy least squares with a power-law spectrum: the order and rate of every step have exact
//! expected effects.
//!
//! x ~ N(0, Λ) with λ_i = 1/i in 64 dimensions; an example of quality q has
//! y = x·(w* + (1 − q)·`bias`·v) + (`noise` + `noise_slope`·(1 − q))·ε, where v and w* are fixed
//! vectors of ±1. The excess risk of weights w is ½(w − w*)ᵀΛ(w − w*). Numbers are rounded to
//! multiples of 2⁻¹², so that sample ids do not depend on a platform's logarithm.

use ledger::digest::Digest;
use ledger::order::bounded;
use ledger::sample::sample_id;
use rand_distr::{Distribution as _, StandardNormal};
use rand_pcg::Pcg64;

/// Number of dimensions.
pub const DIMENSION: usize = 64;

/// Quality levels, evenly spread from 0 to 1: an order by quality leaves ties to chance.
const LEVELS: u64 = 32;

/// Steps per unit of a rounded number.
const STEPS: f64 = 4096.0;

/// How low quality spoils an example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quad {
    /// Length of the wrong direction per coordinate at quality 0.
    pub bias: f64,
    /// Noise at quality 1.
    pub noise: f64,
    /// Further noise at quality 0.
    pub noise_slope: f64,
}

/// One noisy equation.
#[derive(Debug, Clone, PartialEq)]
pub struct Equation {
    /// x.
    pub inputs: [f32; DIMENSION],
    /// y.
    pub output: f32,
    /// q, one of 32 levels from 0 to 1.
    pub quality: f64,
}

impl Equation {
    /// The sample id, over inputs and output as f32 LE.
    #[must_use]
    pub fn id(&self) -> Digest {
        let bytes: Vec<u8> = self.inputs.iter().flat_map(|value| value.to_le_bytes()).collect();
        sample_id(&bytes, &self.output.to_le_bytes())
    }
}

/// λ_i, largest first.
#[must_use]
pub fn spectrum() -> [f64; DIMENSION] {
    std::array::from_fn(|i| 1.0 / (i + 1) as f64)
}

/// w*: +1 and −1 in turns.
#[must_use]
pub fn optimum() -> [f64; DIMENSION] {
    std::array::from_fn(|i| if i % 2 == 0 { 1.0 } else { -1.0 })
}

/// v: +1 and −1 in turns of two, so that it is as far from w* as from −w*.
fn wrong_direction() -> [f64; DIMENSION] {
    std::array::from_fn(|i| if i / 2 % 2 == 0 { 1.0 } else { -1.0 })
}

/// ½(w − w*)ᵀΛ(w − w*).
#[must_use]
pub fn excess_risk(weights: &[f64]) -> f64 {
    let terms = spectrum().into_iter().zip(optimum()).zip(weights);
    0.5 * terms.map(|((lambda, best), w)| lambda * (w - best).powi(2)).sum::<f64>()
}

impl Quad {
    /// An example of uniform quality.
    #[must_use]
    pub fn draw(&self, random: &mut Pcg64) -> Equation {
        let normal = |random: &mut Pcg64| -> f64 { StandardNormal.sample(random) };
        let quality = bounded(random, LEVELS) as f64 / (LEVELS - 1) as f64;
        let mut inputs = [0.0; DIMENSION];
        let mut output = (self.noise + self.noise_slope * (1.0 - quality)) * normal(random);
        let directions = optimum().into_iter().zip(wrong_direction());
        for ((input, lambda), (best, wrong)) in inputs.iter_mut().zip(spectrum()).zip(directions) {
            let x = rounded(lambda.sqrt() * normal(random));
            *input = x as f32;
            output += x * (best + (1.0 - quality) * self.bias * wrong);
        }
        Equation { inputs, output: rounded(output) as f32, quality }
    }

    /// The expected excess risk after SGD from weights 0 with one example a step, of the qualities
    /// and at the rates given, in this order: the recursion of mean and second moment of w − w* is
    /// closed, because the x of every step is fresh.
    #[must_use]
    pub fn expected_excess(&self, steps: impl IntoIterator<Item = (f64, f64)>) -> f64 {
        let (lambda, wrong) = (spectrum(), wrong_direction());
        let mut mean = optimum().map(|best| -best);
        let mut square = mean.map(|error| error * error);
        for (quality, rate) in steps {
            let bias = wrong.map(|wrong| (1.0 - quality) * self.bias * wrong);
            let variance = (self.noise + self.noise_slope * (1.0 - quality)).powi(2);
            // Second moment of the distance to the optimum of this step's own targets.
            let own: [f64; DIMENSION] =
                std::array::from_fn(|i| square[i] - 2.0 * mean[i] * bias[i] + bias[i] * bias[i]);
            let risk: f64 = lambda.iter().zip(own).map(|(lambda, own)| lambda * own).sum();
            for i in 0..DIMENSION {
                let noise = 2.0 * lambda[i] * lambda[i] * own[i] + lambda[i] * (risk + variance);
                square[i] +=
                    -2.0 * rate * lambda[i] * (square[i] - mean[i] * bias[i]) + rate * rate * noise;
                mean[i] -= rate * lambda[i] * (mean[i] - bias[i]);
            }
        }
        0.5 * lambda.iter().zip(square).map(|(lambda, square)| lambda * square).sum::<f64>()
    }

    /// The generator of a seed.
    #[must_use]
    pub fn generator(seed: u64) -> Pcg64 {
        let digest = Digest::of_parts(&[b"palimpsest/quad/v1", &seed.to_le_bytes()]);
        ledger::order::generator(&digest)
    }
}

fn rounded(value: f64) -> f64 {
    (value * STEPS).round() / STEPS
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUAD: Quad = Quad { bias: 1.0, noise: 0.1, noise_slope: 0.5 };

    /// SGD as any program does it, one example a step.
    fn descend(examples: &[Equation], rate: f64) -> f64 {
        let mut weights = [0.0; DIMENSION];
        for example in examples {
            let inputs = example.inputs.map(f64::from);
            let output: f64 = inputs.iter().zip(weights).map(|(x, w)| x * w).sum();
            let error = output - f64::from(example.output);
            weights.iter_mut().zip(inputs).for_each(|(w, x)| *w -= rate * error * x);
        }
        excess_risk(&weights)
    }

    #[test]
    fn sgd_has_the_expected_excess_risk_on_average() {
        let mut random = Quad::generator(3);
        let (mut risks, mut expected) = (Vec::new(), 0.0);
        for _ in 0..300 {
            let examples: Vec<_> = (0..150).map(|_| QUAD.draw(&mut random)).collect();
            risks.push(descend(&examples, 0.1));
            expected += QUAD.expected_excess(examples.iter().map(|e| (e.quality, 0.1))) / 300.0;
        }
        let mean = risks.iter().sum::<f64>() / 300.0;
        let variance = risks.iter().map(|risk| (risk - mean).powi(2)).sum::<f64>() / 299.0;
        let error = (variance / 300.0).sqrt();
        assert!((mean - expected).abs() < 4.0 * error, "{mean} against {expected} ± {error}");
        assert!(error < 0.05 * mean, "{error} of {mean}");
    }

    #[test]
    fn without_noise_and_bias_the_mean_weights_decay_by_one_minus_rate_times_lambda() {
        // One step from 0 at rate r: square_i = 1 − 2rλ + r²(2λ² + λΣλ); by hand for i = 1.
        let clean = Quad { bias: 0.0, noise: 0.0, noise_slope: 0.0 };
        let sum: f64 = spectrum().iter().sum();
        let by_hand: f64 = spectrum()
            .iter()
            .map(|l| 0.5 * l * (1.0 - 0.2 * l + 0.01 * (2.0 * l * l + l * sum)))
            .sum();
        assert!((clean.expected_excess([(1.0, 0.1)]) - by_hand).abs() < 1e-12);
        assert!((clean.expected_excess([]) - 0.5 * sum).abs() < 1e-12);
        assert_eq!(excess_risk(&optimum()), 0.0);
        assert!((excess_risk(&[0.0; DIMENSION]) - 0.5 * sum).abs() < 1e-12);
    }

    #[test]
    fn decay_narrows_the_gap_between_orders_and_ascending_likes_a_constant_rate_best() {
        let mut qualities: Vec<f64> = {
            let mut random = Quad::generator(5);
            (0..3000).map(|_| QUAD.draw(&mut random).quality).collect()
        };
        let excess = |qualities: &[f64], floor: f64| {
            let decayed = |step: usize| {
                let r = ((step as f64 - 2400.0) / 600.0).max(0.0).sqrt();
                0.1 * (1.0 - r + floor * r)
            };
            QUAD.expected_excess(qualities.iter().enumerate().map(|(t, &q)| (q, decayed(t))))
        };
        let floors = [1.0, 1.0 / 3.0, 1.0 / 300.0];
        let uniform = floors.map(|floor| excess(&qualities, floor));
        qualities.sort_by(f64::total_cmp);
        let ascending = floors.map(|floor| excess(&qualities, floor));
        let gaps: Vec<_> = uniform.iter().zip(ascending).map(|(u, a)| u - a).collect();
        assert!(gaps.is_sorted_by(|a, b| a > b), "{gaps:?}");
        assert!(ascending.is_sorted_by(|a, b| a < b), "{ascending:?}");
        assert!(uniform.iter().zip(ascending).all(|(u, a)| *u > 10.0 * a));
    }

    #[test]
    fn inputs_have_the_spectrum_and_the_residual_the_noise_of_the_quality() {
        let mut random = Quad::generator(1);
        let mut squares = [0.0; DIMENSION];
        let mut noise = 0.0;
        for _ in 0..4000 {
            let Equation { inputs, output, quality } = QUAD.draw(&mut random);
            let mut residual = f64::from(output);
            let directions = optimum().into_iter().zip(wrong_direction());
            for ((x, square), (best, wrong)) in inputs.iter().zip(&mut squares).zip(directions) {
                *square += f64::from(*x).powi(2) / 4000.0;
                residual -= f64::from(*x) * (best + (1.0 - quality) * wrong);
            }
            noise += (residual / (0.1 + 0.5 * (1.0 - quality))).powi(2) / 4000.0;
        }
        // Deviation of a mean square of 4,000 normals: 2.2 % of it.
        for (square, lambda) in squares.iter().zip(spectrum()) {
            assert!((square / lambda - 1.0).abs() < 0.1, "{square} against {lambda}");
        }
        assert!((noise - 1.0).abs() < 0.1, "{noise}");
    }
}
