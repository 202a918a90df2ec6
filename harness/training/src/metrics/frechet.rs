//! Fréchet distance between normals fitted to features.

use tch::{Kind, TchError, Tensor};

/// Mean and covariance of features N × F, in double precision.
#[derive(Debug)]
pub struct Moments {
    mean: Tensor,
    covariance: Tensor,
}

impl Moments {
    /// With the unbiased covariance.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn of(features: &Tensor) -> Result<Self, TchError> {
        let features = features.f_to_kind(Kind::Double)?;
        let mean = features.f_mean_dim(0, false, Kind::Double)?;
        let centred = features.f_sub(&mean)?;
        let freedom = (features.size()[0] - 1).max(1) as f64;
        let covariance = centred.f_transpose(0, 1)?.f_matmul(&centred)?.f_div_scalar(freedom)?;
        Ok(Self { mean, covariance })
    }

    /// ‖μ − μ′‖² + tr(C + C′ − 2(CC′)^½).
    ///
    /// # Errors
    /// When the dimensions differ.
    pub fn distance(&self, other: &Self) -> Result<f64, TchError> {
        let means = self.mean.f_sub(&other.mean)?.f_square()?.f_sum(Kind::Double)?;
        let traces = self.covariance.f_trace()?.f_add(&other.covariance.f_trace()?)?;
        // tr (CC′)^½ = tr (C^½ C′ C^½)^½, whose argument is symmetric.
        let root = root(&self.covariance)?;
        let product = root.f_matmul(&other.covariance)?.f_matmul(&root)?;
        let symmetric = product.f_add(&product.f_transpose(0, 1)?)?.f_mul_scalar(0.5)?;
        let roots = symmetric.f_linalg_eigvalsh("L")?.f_clamp_min(0.0)?.f_sqrt()?;
        let cross = roots.f_sum(Kind::Double)?.f_mul_scalar(2.0)?;
        f64::try_from(&means.f_add(&traces)?.f_sub(&cross)?)
    }
}

/// The symmetric root of a covariance.
fn root(covariance: &Tensor) -> Result<Tensor, TchError> {
    let (values, vectors) = covariance.f_linalg_eigh("L")?;
    let scaled = vectors.f_mul(&values.f_clamp_min(0.0)?.f_sqrt()?)?;
    scaled.f_matmul(&vectors.f_transpose(0, 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::streams;

    fn features(name: &str) -> Tensor {
        let numbers = streams::normal(&mut lab::trial::streams().generator(name), 12_000);
        Tensor::from_slice(&numbers).view([4_000, 3])
    }

    #[test]
    fn shifted_and_stretched_normals_are_at_the_distance_of_the_closed_form() {
        let moments = |x: &Tensor| Moments::of(x).unwrap();
        let plain = features("a");
        let moved = &plain * 3.0 + 2.0;
        // Per axis (3σ − σ)² and (2 + 2m)² for sample mean m and deviation σ, here exactly.
        let own = moments(&plain);
        let variance = own.covariance.trace().double_value(&[]);
        let expected =
            4.0 * variance + (&own.mean * 2.0 + 2.0).square().sum(None).double_value(&[]);
        let found = own.distance(&moments(&moved)).unwrap();
        assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
        assert!(own.distance(&own).unwrap().abs() < 1e-6);
        assert!(own.distance(&moments(&features("b"))).unwrap() < 0.01);
    }

    #[test]
    fn rotated_covariances_commute_no_longer_and_still_fit_the_definition() {
        // C = diag(4, 1), C′ = [[2.5, 1.5], [1.5, 2.5]]: eigenvalues of CC′ are (12.5 ± √92.25)/2.
        let matrix = |values: [f64; 4]| Tensor::from_slice(&values).view([2, 2]);
        let zero = || Tensor::from_slice(&[0.0, 0.0]);
        let a = Moments { mean: zero(), covariance: matrix([4.0, 0.0, 0.0, 1.0]) };
        let b = Moments { mean: zero(), covariance: matrix([2.5, 1.5, 1.5, 2.5]) };
        let cross: f64 = [1.0, -1.0]
            .map(|sign: f64| ((12.5 + sign * 92.25_f64.sqrt()) / 2.0).sqrt())
            .iter()
            .sum();
        assert!((a.distance(&b).unwrap() - (10.0 - 2.0 * cross)).abs() < 1e-9);
    }
}
