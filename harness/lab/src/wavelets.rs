//! One level of the discrete wavelet transform of images, with symmetric extension at the frame, as matrices.
//!
//! With low and high filters of L taps a row of n numbers becomes ⌊(n + L − 1)/2⌋ of each:
//! a_k = Σ_j h_j·x_{2k+1−j}, numbers beyond the frame being mirrored (… x₁ x₀ | x₀ x₁ …). More numbers come out than
//! went in where L is above 2, so that not every set of bands is one of an image: [`Wavelet::join`] of another low band
//! has that band away from the frame, and with two taps everywhere.

use ledger::choice;
use tch::{Device, TchError, Tensor};

choice! {
    /// Filters of Daubechies.
    pub enum Filters {
        /// Eight taps, four vanishing moments.
        Db4 = "db4",
        /// Two taps: means and differences of neighbours.
        Haar = "haar",
    }
}

/// Low-pass filter of analysis with four vanishing moments (Daubechies, 1988), smallest lag first.
const DB4: [f64; 8] = [
    -0.010_597_401_784_997_278,
    0.032_883_011_666_982_945,
    0.030_841_381_835_986_965,
    -0.187_034_811_718_881_14,
    -0.027_983_769_416_983_85,
    0.630_880_767_929_590_4,
    0.714_846_570_552_541_5,
    0.230_377_813_308_855_23,
];

impl Filters {
    fn low(self) -> &'static [f64] {
        match self {
            Self::Db4 => &DB4,
            Self::Haar => &[std::f64::consts::FRAC_1_SQRT_2; 2],
        }
    }
}

/// The transform of images of one size.
#[derive(Debug)]
pub struct Wavelet {
    /// Analysis along an axis: low and high, m × n.
    analysis: [Tensor; 2],
    /// Synthesis along an axis, n × m.
    synthesis: [Tensor; 2],
}

/// Bands of images, N × C × m × m each.
#[derive(Debug)]
pub struct Coefficients {
    /// Low along both axes.
    pub low: Tensor,
    /// Low and high, high and low, high and high along height and width.
    pub details: [Tensor; 3],
}

/// Where a place beyond the frame lies when rows are mirrored at their ends.
fn mirrored(place: i64, n: i64) -> i64 {
    let within = place.rem_euclid(2 * n);
    if within < n { within } else { 2 * n - 1 - within }
}

impl Wavelet {
    /// For images of `side` × `side`, an even number.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn new(filters: Filters, side: i64, device: Device) -> Result<Self, TchError> {
        let low = filters.low();
        let taps = low.len() as i64;
        let count = (side + taps - 1) / 2;
        let sign = |tap: usize| if tap.is_multiple_of(2) { -1.0 } else { 1.0 };
        let high: Vec<f64> = low.iter().rev().enumerate().map(|(tap, x)| sign(tap) * x).collect();
        let matrix = |numbers: Vec<f64>, shape: [i64; 2]| {
            let numbers: Vec<f32> = numbers.into_iter().map(|x| x as f32).collect();
            Tensor::f_from_slice(&numbers)?.f_view(shape)?.f_to_device(device)
        };
        let forth = |filter: &[f64]| {
            let mut rows = vec![0.0; (count * side) as usize];
            for row in 0..count {
                for (tap, x) in filter.iter().enumerate() {
                    let column = mirrored(2 * row + 1 - tap as i64, side);
                    rows[(row * side + column) as usize] += x;
                }
            }
            matrix(rows, [count, side])
        };
        let back = |filter: &[f64]| {
            let mut rows = vec![0.0; (side * count) as usize];
            for row in 0..side {
                for column in 0..count {
                    // Synthesis is by the same filter, reversed.
                    let tap = usize::try_from(2 * column + 1 - row).ok();
                    let x = tap.and_then(|tap| filter.get(tap)).copied().unwrap_or(0.0);
                    rows[(row * count + column) as usize] = x;
                }
            }
            matrix(rows, [side, count])
        };
        Ok(Self { analysis: [forth(low)?, forth(&high)?], synthesis: [back(low)?, back(&high)?] })
    }

    /// The bands of images N × C × n × n.
    ///
    /// # Errors
    /// When the images are of another size.
    pub fn split(&self, images: &Tensor) -> Result<Coefficients, TchError> {
        let [low, high] = &self.analysis;
        let both = |down: &Tensor, across: &Tensor| {
            down.f_matmul(images)?.f_matmul(&across.f_transpose(0, 1)?)
        };
        Ok(Coefficients {
            low: both(low, low)?,
            details: [both(low, high)?, both(high, low)?, both(high, high)?],
        })
    }

    /// The images of these bands.
    ///
    /// # Errors
    /// When the bands are of another size.
    pub fn join(&self, bands: &Coefficients) -> Result<Tensor, TchError> {
        let [low, high] = &self.synthesis;
        let Coefficients { low: base, details: [across, down, both] } = bands;
        let part = |band: &Tensor, left: &Tensor, right: &Tensor| {
            left.f_matmul(band)?.f_matmul(&right.f_transpose(0, 1)?)
        };
        part(base, low, low)?
            .f_add(&part(across, low, high)?)?
            .f_add(&part(down, high, low)?)?
            .f_add(&part(both, high, high)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    const BOTH: [Filters; 2] = [Filters::Db4, Filters::Haar];

    fn images(side: i64, pace: f64) -> Tensor {
        (Tensor::arange(2 * side * side, (Kind::Float, Device::Cpu)) * pace)
            .sin()
            .view([2, 1, side, side])
    }

    fn far(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn filters_are_orthonormal_to_their_shifts_and_of_four_vanishing_moments() {
        for filters in BOTH {
            let low = filters.low();
            for shift in (0..low.len()).step_by(2) {
                let product: f64 = low.iter().zip(&low[shift..]).map(|(a, b)| a * b).sum();
                assert!((product - f64::from(u8::from(shift == 0))).abs() < 1e-11, "{shift}");
            }
            assert!((low.iter().sum::<f64>() - 2.0_f64.sqrt()).abs() < 1e-11);
        }
        for moment in 0..4 {
            let high = DB4.iter().rev().enumerate();
            let sum: f64 = high
                .map(|(k, x)| f64::powi(k as f64, moment) * if k % 2 == 0 { -x } else { *x })
                .sum();
            assert!(sum.abs() < 1e-8, "{moment}: {sum}");
        }
    }

    #[test]
    fn a_constant_is_twice_itself_in_the_low_band_and_has_no_details() {
        for filters in BOTH {
            let wavelet = Wavelet::new(filters, 16, Device::Cpu).unwrap();
            let constant = Tensor::full([1, 1, 16, 16], 0.7, (Kind::Float, Device::Cpu));
            let bands = wavelet.split(&constant).unwrap();
            assert!(far(&bands.low, &bands.low.full_like(1.4)) < 1e-5, "{filters:?}");
            for detail in &bands.details {
                assert!(far(detail, &detail.zeros_like()) < 1e-5, "{filters:?}");
            }
        }
    }

    #[test]
    fn bands_make_the_image_again_and_are_as_many_as_the_filter_asks_for() {
        for (filters, side, count) in
            [(BOTH[0], 8, 7), (BOTH[0], 32, 19), (BOTH[1], 8, 4), (BOTH[1], 32, 16)]
        {
            let wavelet = Wavelet::new(filters, side, Device::Cpu).unwrap();
            let images = images(side, 0.37);
            let bands = wavelet.split(&images).unwrap();
            assert_eq!(bands.low.size(), [2, 1, count, count]);
            assert!(far(&wavelet.join(&bands).unwrap(), &images) < 1e-5, "{filters:?} {side}");
        }
    }

    #[test]
    fn another_low_band_is_the_images_own_everywhere_by_two_taps_and_inside_by_eight() {
        for (filters, frame) in [(BOTH[0], 3), (BOTH[1], 0)] {
            let wavelet = Wavelet::new(filters, 32, Device::Cpu).unwrap();
            let (guide, image) = (images(32, 0.11), images(32, 0.73));
            let low = wavelet.split(&guide).unwrap().low;
            let Coefficients { details, .. } = wavelet.split(&image).unwrap();
            let joined = wavelet.join(&Coefficients { low: low.shallow_clone(), details }).unwrap();
            let found = wavelet.split(&joined).unwrap().low;
            let inside = |x: &Tensor| {
                let count = x.size()[3] - 2 * frame;
                x.narrow(2, frame, count).narrow(3, frame, count)
            };
            assert!(far(&inside(&found), &inside(&low)) < 1e-5, "{filters:?}");
            // At the frame the bands of eight taps are not independent.
            assert_eq!(far(&found, &low) > 0.01, frame > 0, "{filters:?}");
        }
    }
}
