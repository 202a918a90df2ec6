//! Unbiased squared maximum mean discrepancy with Gaussian kernels.

use tch::{Kind, TchError, Tensor};

/// Bandwidths in medians of the reference's distances.
const SHARES: [f64; 3] = [0.5, 1.0, 2.0];
/// Points of the reference that the median is taken over.
const FOR_MEDIAN: i64 = 1_000;
/// Rows compared at once.
const CHUNK: i64 = 512;

/// A reference set N × D with its bandwidths.
#[derive(Debug)]
pub struct Mmd {
    reference: Tensor,
    /// 1/(2h²) of each kernel.
    rates: [f64; 3],
    /// Mean of the kernels over pairs of the reference.
    own: f64,
}

impl Mmd {
    /// Bandwidths {½, 1, 2} times the median distance of the first 1,000 points.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn new(reference: Tensor) -> Result<Self, TchError> {
        let some = reference.f_narrow(0, 0, FOR_MEDIAN.min(reference.size()[0]))?;
        let median = f64::try_from(&some.f_pdist(2.0)?.f_median()?.f_to_kind(Kind::Double)?)?;
        let rates = SHARES.map(|share| 0.5 / (share * median).powi(2));
        let mut mmd = Self { reference, rates, own: 0.0 };
        mmd.own = mmd.within(&mmd.reference)?;
        Ok(mmd)
    }

    /// MMD² to `points`; about zero, of either sign, when these are drawn as the reference is.
    ///
    /// # Errors
    /// When the dimensions differ.
    pub fn to(&self, points: &Tensor) -> Result<f64, TchError> {
        let pairs = (points.size()[0] * self.reference.size()[0]) as f64;
        let between = self.sum(points, &self.reference)? / pairs;
        Ok(self.own + self.within(points)? - 2.0 * between)
    }

    /// Mean over pairs of two different points.
    fn within(&self, points: &Tensor) -> Result<f64, TchError> {
        let n = points.size()[0] as f64;
        // A point is at distance 0 from itself: every kernel gives 1.
        Ok((self.sum(points, points)? - SHARES.len() as f64 * n) / (n * (n - 1.0)))
    }

    fn sum(&self, a: &Tensor, b: &Tensor) -> Result<f64, TchError> {
        let squares = |x: &Tensor| x.f_square()?.f_sum_dim_intlist(1, true, Kind::Float);
        let (transposed, columns) = (b.f_transpose(0, 1)?, squares(b)?.f_transpose(0, 1)?);
        let (rows, mut start, mut total) = (a.size()[0], 0, 0.0);
        while start < rows {
            let part = a.f_narrow(0, start, CHUNK.min(rows - start))?;
            let mut squared = part.f_matmul(&transposed)?.f_mul_scalar(-2.0)?;
            let _ = squared.f_add_(&squares(&part)?)?.f_add_(&columns)?.f_clamp_min_(0.0)?;
            for rate in self.rates {
                let kernel = squared.f_mul_scalar(-rate)?.f_exp()?;
                total += f64::try_from(&kernel.f_sum(Kind::Double)?)?;
            }
            start += CHUNK;
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::streams;

    fn points(name: &str, count: i64) -> Tensor {
        let numbers =
            streams::normal(&mut lab::trial::streams().generator(name), 2 * count as usize);
        Tensor::from_slice(&numbers).view([count, 2])
    }

    #[test]
    fn three_points_give_what_the_definition_gives() {
        let reference = Tensor::from_slice(&[0.0_f32, 0.0, 1.0, 0.0, 3.0, 0.0]).view([3, 2]);
        let points = Tensor::from_slice(&[0.5_f32, 0.0, 2.0, 0.0]).view([2, 2]);
        let mmd = Mmd::new(reference).unwrap();
        // Distances 1, 2, 3: median 2.
        let kernel = |d: f64| {
            [1.0, 2.0, 4.0_f64].map(|h| (-d * d / (2.0 * h * h)).exp()).iter().sum::<f64>()
        };
        let own = (kernel(1.0) + kernel(2.0) + kernel(3.0)) / 3.0;
        let between: f64 = [0.5, 0.5, 2.5, 2.0, 1.0, 1.0].map(kernel).iter().sum::<f64>() / 6.0;
        let expected = own + kernel(1.5) - 2.0 * between;
        assert!((mmd.to(&points).unwrap() - expected).abs() < 1e-6);
    }

    #[test]
    fn the_same_law_gives_about_zero_and_another_more() {
        let mmd = Mmd::new(points("a", 600)).unwrap();
        let same = mmd.to(&points("b", 600)).unwrap();
        assert!(same.abs() < 0.01, "{same}");
        assert!(mmd.to(&(points("b", 600) + 0.5)).unwrap() > 0.05);
    }
}
