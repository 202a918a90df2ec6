//! Images of one object against what a reader of shapes finds on them.

use data::shapes::{Reading, SHAPES, SIDE, read_at};
use tch::{TchError, Tensor};

use super::modes::normalised_entropy;
use lab::network::values;

/// What is read from a set of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Readings {
    one: usize,
    /// What was read from each image.
    all: Vec<Option<Reading>>,
    recognised: Vec<Reading>,
}

impl Readings {
    /// Reads images N × 1 × 16 × 16 of pixels 0..1.
    ///
    /// # Errors
    /// When they cannot be copied to the host.
    pub fn of(images: &Tensor) -> Result<Self, TchError> {
        Self::at(images, SIDE)
    }

    /// Reads images N × 1 × `side` × `side` of pixels 0..1.
    ///
    /// # Errors
    /// When they cannot be copied to the host.
    pub fn at(images: &Tensor, side: usize) -> Result<Self, TchError> {
        let pixels = values(images)?;
        let size = (side * side).max(1);
        let all: Vec<_> = pixels.chunks_exact(size).map(|image| read_at(image, side)).collect();
        let one = all.iter().flatten().filter(|reading| reading.objects == 1).count();
        let recognised = all.iter().flatten().filter(|r| r.recognised()).copied().collect();
        Ok(Self { one, all, recognised })
    }

    /// Share of images with exactly one object of any form.
    #[must_use]
    pub fn one_object(&self) -> f64 {
        self.one as f64 / self.all.len().max(1) as f64
    }

    /// Share of images that show one object of a class as a rendering would.
    #[must_use]
    pub fn recognised(&self) -> f64 {
        self.recognised.len() as f64 / self.all.len().max(1) as f64
    }

    /// Share of images with another number of objects than one, of as many and one more that is half of each: never 0, so
    /// that ratios of it can be told.
    #[must_use]
    pub fn not_one(&self) -> f64 {
        let images = self.all.len() as f64;
        (images - self.one as f64 + 0.5) / (images + 1.0)
    }

    /// Share of the images recognised in `before`, row by row, whose class here is the same; none where nothing was.
    #[must_use]
    pub fn kept_class(&self, before: &Self) -> f64 {
        let pairs = before.all.iter().zip(&self.all);
        let known: Vec<bool> = pairs
            .filter_map(|(before, here)| before.filter(Reading::recognised).map(|b| (b, here)))
            .map(|(b, here)| here.is_some_and(|here| here.factors.shape == b.factors.shape))
            .collect();
        known.iter().filter(|kept| **kept).count() as f64 / known.len().max(1) as f64
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

    #[test]
    fn classes_are_kept_from_one_frame_to_a_larger_one_and_not_by_other_images() {
        let mut random = ledger::order::generator(&ledger::digest::Digest::of(b"kept classes"));
        let all: Vec<_> = (0..200).map(|_| data::shapes::Factors::draw(&mut random)).collect();
        let at = |side: usize| {
            let grey = all.iter().flat_map(|one| one.render_at(side));
            let grey: Vec<f32> = grey.map(|pixel| f32::from(pixel) / 16.0).collect();
            Tensor::from_slice(&grey).view([-1, 1, side as i64, side as i64])
        };
        let [small, large] = [16, 32].map(|side| Readings::at(&at(side), side).unwrap());
        assert!(large.kept_class(&small) > 0.99, "{}", large.kept_class(&small));
        assert!((large.not_one() - 0.5 / 201.0).abs() < 1e-12);
        let others = Readings::at(&at(32).roll([1], [0]), 32).unwrap();
        assert!(others.kept_class(&small) < 0.4, "{}", others.kept_class(&small));
        let four = at(16).repeat([1, 1, 2, 2]);
        assert!(Readings::at(&four, 32).unwrap().not_one() > 0.99);
        // Of what was not recognised nothing is kept.
        let none = Readings::at(&(at(16) * 0.0), 16).unwrap();
        assert_eq!((large.kept_class(&none), none.not_one()), (0.0, 200.5 / 201.0));
    }
}
