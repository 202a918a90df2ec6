//! Points of the plane against the density they should follow.

use data::planar::Density;
use tch::{TchError, Tensor};

use lab::network::values;

/// Share of points that belong to a mode, and the entropy of their modes over that of a uniform
/// choice: 0 when there is only one.
///
/// # Errors
/// When the points cannot be copied to the host.
pub fn on_manifold_and_entropy(density: Density, points: &Tensor) -> Result<[f64; 2], TchError> {
    let points = values(points)?;
    let pairs = points.as_chunks::<2>().0;
    let mut counts = [0.0; 8];
    for pair in pairs {
        if let Some(mode) = density.mode_of(pair.map(f64::from)) {
            counts[mode] += 1.0;
        }
    }
    let on: f64 = counts.iter().sum();
    Ok([on / pairs.len().max(1) as f64, normalised_entropy(&counts)])
}

/// Entropy of shares proportional to `counts`, over the logarithm of their number.
#[must_use]
pub fn normalised_entropy(counts: &[f64]) -> f64 {
    let total: f64 = counts.iter().sum();
    let shares = counts.iter().map(|count| count / total).filter(|share| *share > 0.0);
    let entropy: f64 = shares.map(|share| -share * share.ln()).sum();
    entropy / (counts.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_one_for_equal_counts_and_zero_for_one_mode() {
        assert!((normalised_entropy(&[3.0; 8]) - 1.0).abs() < 1e-12);
        assert_eq!(normalised_entropy(&[0.0, 7.0, 0.0]), 0.0);
        assert_eq!(normalised_entropy(&[0.0; 4]), 0.0);
    }

    #[test]
    fn true_points_lie_on_the_manifold_and_the_origin_does_not() {
        let spare = Tensor::from_slice(&Density::Ring8.spare().values);
        let [on, entropy] = on_manifold_and_entropy(Density::Ring8, &spare).unwrap();
        assert!((on - 0.988_9).abs() < 0.006 && entropy > 0.999, "{on} {entropy}");
        let origin = Tensor::from_slice(&[0.0_f32, 0.0, 0.7, 0.0]);
        assert_eq!(on_manifold_and_entropy(Density::Ring8, &origin).unwrap(), [0.5, 0.0]);
    }
}
