//! Images of one object against what a reader of shapes finds on them.

use data::shapes::{Reading, SHAPES, SIDE, read};
use tch::{TchError, Tensor};

use super::modes::normalised_entropy;
use lab::network::values;

/// What is read from a set of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Readings {
    images: usize,
    one: usize,
    recognised: Vec<Reading>,
}

impl Readings {
    /// Reads images N × 1 × 16 × 16 of pixels 0..1.
    ///
    /// # Errors
    /// When they cannot be copied to the host.
    pub fn of(images: &Tensor) -> Result<Self, TchError> {
        let pixels = values(images)?;
        let all: Vec<_> = pixels.chunks_exact(SIDE * SIDE).map(read).collect();
        let one = all.iter().flatten().filter(|reading| reading.objects == 1).count();
        let recognised = all.iter().flatten().filter(|r| r.recognised()).copied().collect();
        Ok(Self { images: all.len(), one, recognised })
    }

    /// Share of images with exactly one object of any form.
    #[must_use]
    pub fn one_object(&self) -> f64 {
        self.one as f64 / self.images.max(1) as f64
    }

    /// Share of images that show one object of a class as a rendering would.
    #[must_use]
    pub fn recognised(&self) -> f64 {
        self.recognised.len() as f64 / self.images.max(1) as f64
    }

    /// Entropy of the classes of recognised images, over that of a uniform choice.
    #[must_use]
    pub fn class_entropy(&self) -> f64 {
        let mut counts = [0.0; SHAPES.len()];
        for reading in &self.recognised {
            counts[reading.factors.shape as usize] += 1.0;
        }
        normalised_entropy(&counts)
    }

    /// Wasserstein-1 distance of middles along an axis to those of `other`, mean over both axes, in
    /// pixels; half the frame when nothing is recognised.
    #[must_use]
    pub fn position_gap(&self, other: &Self) -> f64 {
        if self.recognised.is_empty() || other.recognised.is_empty() {
            return SIDE as f64 / 2.0;
        }
        let quantile = |readings: &Self, axis: usize| {
            let mut middles: Vec<f64> =
                readings.recognised.iter().map(|r| r.factors.middle[axis]).collect();
            middles.sort_by(f64::total_cmp);
            move |share: f64| {
                middles[((share * middles.len() as f64) as usize).min(middles.len() - 1)]
            }
        };
        let steps = 1_000;
        let axis_gap = |axis| {
            let (own, theirs) = (quantile(self, axis), quantile(other, axis));
            let at = |step: i32| (f64::from(step) + 0.5) / f64::from(steps);
            (0..steps).map(|step| (own(at(step)) - theirs(at(step))).abs()).sum::<f64>()
                / f64::from(steps)
        };
        f64::midpoint(axis_gap(0), axis_gap(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(pixels: &[u8]) -> Tensor {
        let grey: Vec<f32> = pixels.iter().map(|&pixel| f32::from(pixel) / 16.0).collect();
        Tensor::from_slice(&grey).view([-1, 1, 16, 16])
    }

    #[test]
    fn true_images_are_recognised_in_all_classes_and_places_and_noise_is_not() {
        let spare = data::shapes::spare();
        let [first, second] = [0, 1]
            .map(|half| Readings::of(&images(&spare.pixels[half * 128_000..][..128_000])).unwrap());
        assert!(first.recognised() > 0.99 && first.one_object() == 1.0);
        assert!(first.class_entropy() > 0.99);
        assert!(first.position_gap(&second) < 0.4, "{}", first.position_gap(&second));
        let noise = images(&spare.pixels[..25_600]).flip([1]).roll([77], [0]);
        let shifted = Readings::of(&(noise * 0.4 + 0.3)).unwrap();
        assert_eq!((shifted.recognised(), shifted.class_entropy()), (0.0, 0.0));
        assert_eq!(shifted.position_gap(&first), 8.0);
    }
}
