//! A power law of the loss by size with a floor, L(N) = A/Nᵃ + E: what it says at a size, and the one that fits.
//!
//! Source: Hoffmann et al., arXiv:2203.15556, section 3.3, of one variable; fitted here by least squares of the
//! losses themselves, for a handful of sizes leaves no outliers to be robust against.

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::error::{all_finite, require};

const NAME: &str = "the power law of a loss by size";

/// Fewest sizes that a law of three numbers is fitted to: one is left to be wrong.
pub const FEWEST: usize = 4;

/// Exponents that are looked at first, and the range that they are in.
const GRID: u32 = 400;
const EXPONENTS: [f64; 2] = [0.01, 10.0];
/// Halvings of the interval around the best of them.
const ROUNDS: u32 = 80;

/// L(N) = A/Nᵃ + E.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PowerLaw {
    /// A: how far above the floor the loss is at size 1.
    pub scale: f64,
    /// a.
    pub exponent: f64,
    /// E: the loss that no size goes below.
    pub floor: f64,
}

impl PowerLaw {
    /// The loss at a size.
    #[must_use]
    pub fn at(&self, size: f64) -> f64 {
        self.scale / size.powf(self.exponent) + self.floor
    }

    /// The size that has a loss, where there is one.
    #[must_use]
    pub fn size(&self, loss: f64) -> Option<f64> {
        let size = (self.scale / (loss - self.floor)).powf(1.0 / self.exponent);
        (size.is_finite() && size > 0.0 && loss > self.floor).then_some(size)
    }
}

/// The law nearest to losses by size, in the sum of squares.
///
/// # Errors
/// With fewer than [`FEWEST`] different sizes, sizes not above 0, or numbers that are none.
pub fn fit(points: &[(f64, f64)]) -> Result<PowerLaw, StatsError> {
    let mut sizes: Vec<f64> = points.iter().map(|(size, _)| *size).collect();
    let losses: Vec<f64> = points.iter().map(|(_, loss)| *loss).collect();
    all_finite(NAME, &sizes)?;
    all_finite(NAME, &losses)?;
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    require(NAME, FEWEST, sizes.len())?;
    if let Some((index, (value, _))) = points.iter().enumerate().find(|(_, (size, _))| *size <= 0.0)
    {
        return Err(StatsError::NotPositive { statistic: NAME, index, value: *value });
    }
    let [least, most] = EXPONENTS.map(f64::ln);
    let at = |step: u32| least + (most - least) * f64::from(step) / f64::from(GRID);
    let error = |exponent: f64| of_exponent(points, exponent.exp()).1;
    let best = (0..=GRID).map(at).min_by(|a, b| error(*a).total_cmp(&error(*b)));
    let (best, width) = (best.unwrap_or(0.0), (most - least) / f64::from(GRID));
    let (mut low, mut high) = ((best - width).max(least), (best + width).min(most));
    let golden = (5_f64.sqrt() - 1.0) / 2.0;
    for _ in 0..ROUNDS {
        let [left, right] = [high - golden * (high - low), low + golden * (high - low)];
        if error(left) < error(right) {
            high = right;
        } else {
            low = left;
        }
    }
    Ok(of_exponent(points, f64::midpoint(low, high).exp()).0)
}

/// The best law of an exponent, a line in N⁻ᵃ, and its sum of squares.
fn of_exponent(points: &[(f64, f64)], exponent: f64) -> (PowerLaw, f64) {
    let x = |size: f64| size.powf(-exponent);
    let n = points.len() as f64;
    let mean_x = points.iter().map(|(size, _)| x(*size)).sum::<f64>() / n;
    let mean_loss = points.iter().map(|(_, loss)| loss).sum::<f64>() / n;
    let (mut across, mut along) = (0.0, 0.0);
    for (size, loss) in points {
        let deviation = x(*size) - mean_x;
        across += deviation * (loss - mean_loss);
        along += deviation * deviation;
    }
    let scale = across / along;
    let law = PowerLaw { scale, exponent, floor: mean_loss - scale * mean_x };
    let error = points.iter().map(|(size, loss)| (loss - law.at(*size)).powi(2)).sum();
    (law, if along > 0.0 { error } else { f64::INFINITY })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published law of regularised models, by billions of parameters (arXiv:2509.14786).
    const PUBLISHED: PowerLaw = PowerLaw { scale: 0.05, exponent: 1.02, floor: 3.431 };
    const SIZES: [f64; 4] = [0.15, 0.3, 0.6, 1.4];

    #[test]
    fn the_published_law_has_its_losses_at_the_published_sizes() {
        for (size, loss) in SIZES.into_iter().zip([3.7772, 3.6017, 3.5152, 3.4665]) {
            assert!((PUBLISHED.at(size) - loss).abs() < 5e-5, "{size}: {}", PUBLISHED.at(size));
            assert!((PUBLISHED.size(PUBLISHED.at(size)).unwrap() - size).abs() < 1e-9);
        }
        assert_eq!(PUBLISHED.size(3.431), None);
        assert_eq!(PUBLISHED.size(3.0), None);
    }

    #[test]
    fn a_law_is_found_again_from_its_losses() {
        for law in [PUBLISHED, PowerLaw { scale: 2.0, exponent: 0.3, floor: 0.5 }] {
            let found = fit(&SIZES.map(|size| (size, law.at(size)))).unwrap();
            assert!((found.scale - law.scale).abs() < 1e-4, "{found:?}");
            assert!((found.exponent - law.exponent).abs() < 1e-4, "{found:?}");
            assert!((found.floor - law.floor).abs() < 1e-4, "{found:?}");
        }
    }

    #[test]
    fn noise_moves_a_law_a_little_and_no_other_of_its_exponents_is_nearer() {
        let noisy = SIZES.iter().zip([1e-3, -1e-3, 1e-3, -1e-3]);
        let points: Vec<_> =
            noisy.map(|(size, noise)| (*size, PUBLISHED.at(*size) + noise)).collect();
        let found = fit(&points).unwrap();
        assert!((found.floor - PUBLISHED.floor).abs() < 0.02, "{found:?}");
        let error = |exponent| of_exponent(&points, exponent).1;
        let own = error(found.exponent);
        assert!(own < error(found.exponent * 1.001) && own < error(found.exponent / 1.001));
    }

    #[test]
    fn too_few_sizes_are_refused() {
        let few = [(1.0, 2.0), (2.0, 1.5), (3.0, 1.4), (3.0, 1.3)];
        let error = fit(&few).unwrap_err().to_string();
        assert!(error.contains("power law"), "{error}");
        assert!(fit(&[(0.0, 1.0), (1.0, 0.9), (2.0, 0.8), (3.0, 0.7)]).is_err());
        assert!(fit(&[(1.0, f64::NAN), (2.0, 0.9), (3.0, 0.8), (4.0, 0.7)]).is_err());
    }
}
