//! Samples in memory: bytes as the files hold them, or generated floats.

use crate::split::sample_id;

/// Images as bytes, in dataset order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// `n x channels x height x width` values, row-major (CHW within a sample).
    pub pixels: Vec<u8>,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// One class per sample, each below `classes`.
    pub labels: Vec<u8>,
    /// The number of classes.
    pub classes: u8,
    /// The pixel value of full intensity: 255, or 16 for digits. Divide by it to scale to 0..1.
    pub full_scale: u8,
}

impl Images {
    /// The number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The pixels of sample `i`, which are its canonical bytes; `None` past the end.
    #[must_use]
    pub fn sample_bytes(&self, i: usize) -> Option<&[u8]> {
        let size = self.shape.iter().product::<usize>();
        self.pixels.get(i.checked_mul(size)?..i.checked_add(1)?.checked_mul(size)?)
    }

    /// The ids of all samples, in dataset order (see [`sample_id`]).
    #[must_use]
    pub fn sample_ids(&self) -> Vec<[u8; 32]> {
        let size = self.shape.iter().product::<usize>().max(1);
        let samples = self.pixels.chunks_exact(size).zip(&self.labels);
        samples.map(|(pixels, &label)| sample_id(pixels, label)).collect()
    }

    /// Appends the samples of `other`, which has the same shape and classes.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.pixels.append(&mut other.pixels);
        self.labels.append(&mut other.labels);
    }
}

/// Generated samples as floats, in dataset order.
#[derive(Debug, Clone, PartialEq)]
pub struct Floats {
    /// `n x channels x height x width` values, row-major (CHW within a sample), each a multiple of
    /// one over `steps_per_unit`.
    pub values: Vec<f32>,
    /// Steps that one unit is divided into: a power of two.
    pub steps_per_unit: f32,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// One class per sample, each below `classes`.
    pub labels: Vec<u8>,
    /// The number of classes.
    pub classes: u8,
}

impl Floats {
    /// The number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The canonical bytes of sample `i`: each value in steps as an i16, little-endian; `None` past
    /// the end.
    #[must_use]
    pub fn sample_bytes(&self, i: usize) -> Option<Vec<u8>> {
        let size = self.shape.iter().product::<usize>();
        let values = self.values.get(i.checked_mul(size)?..i.checked_add(1)?.checked_mul(size)?)?;
        Some(self.canonical_bytes(values))
    }

    /// The ids of all samples, in dataset order (see [`sample_id`]).
    #[must_use]
    pub fn sample_ids(&self) -> Vec<[u8; 32]> {
        let size = self.shape.iter().product::<usize>().max(1);
        let samples = self.values.chunks_exact(size).zip(&self.labels);
        samples.map(|(values, &label)| sample_id(&self.canonical_bytes(values), label)).collect()
    }

    /// Every row of every image from right to left, and of each value v then `scale`·v + `shift`, rounded to
    /// the nearest step that an i16 holds.
    pub(crate) fn mirrored(mut self, scale: f64, shift: f64) -> Self {
        for row in self.values.chunks_exact_mut(self.shape[2].max(1)) {
            row.reverse();
            for value in row {
                let steps = quantise(scale * f64::from(*value) + shift, self.steps_per_unit);
                *value = f32::from(steps) / self.steps_per_unit;
            }
        }
        self
    }

    /// Appends a value, rounded to the nearest step that an i16 holds.
    pub(crate) fn push(&mut self, value: f64) {
        let steps = quantise(value, self.steps_per_unit);
        self.values.push(f32::from(steps) / self.steps_per_unit);
    }

    fn canonical_bytes(&self, values: &[f32]) -> Vec<u8> {
        let steps = |value: &f32| quantise(f64::from(*value), self.steps_per_unit).to_le_bytes();
        values.iter().flat_map(steps).collect()
    }
}

/// The nearest i16 number of steps, saturating at the ends of the range.
#[expect(clippy::cast_possible_truncation, reason = "float-to-int casts saturate, as wanted here")]
fn quantise(value: f64, steps_per_unit: f32) -> i16 {
    (value * f64::from(steps_per_unit)).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_past_the_end_is_none_not_a_panic() {
        let images = Images {
            pixels: vec![1, 2, 3, 4],
            shape: [1, 1, 2],
            labels: vec![0, 1],
            classes: 2,
            full_scale: 255,
        };
        assert_eq!(images.sample_bytes(1), Some(&[3, 4][..]));
        assert_eq!(images.sample_bytes(2), None);
        assert_eq!(images.sample_bytes(usize::MAX), None);
        assert_eq!(images.sample_ids(), [sample_id(&[1, 2], 0), sample_id(&[3, 4], 1)]);
    }

    #[test]
    fn a_mirrored_image_is_read_from_the_right_scaled_and_shifted() {
        let floats = Floats {
            values: vec![0.0, 1.0, 2.0, -1.0, 0.5, 0.25],
            steps_per_unit: 256.0,
            shape: [1, 1, 3],
            labels: vec![0, 1],
            classes: 2,
        };
        let ids = floats.sample_ids();
        let mirrored = floats.mirrored(0.5, 0.25);
        assert_eq!(mirrored.values, [1.25, 0.75, 0.25, 0.375, 0.5, -0.25]);
        assert!(ids.iter().all(|id| !mirrored.sample_ids().contains(id)));
    }

    #[test]
    fn quantised_values_survive_the_round_trip_to_bytes_exactly() {
        for steps_per_unit in [256.0, 16_384.0] {
            let empty = Floats {
                values: Vec::new(),
                steps_per_unit,
                shape: [1, 1, 1],
                labels: Vec::new(),
                classes: 1,
            };
            for step in [i16::MIN, -257, -256, -1, 0, 1, 255, 1000, i16::MAX] {
                let value = f32::from(step) / steps_per_unit;
                assert_eq!(empty.canonical_bytes(&[value]), step.to_le_bytes());
            }
        }
        assert_eq!(quantise(1e9, 256.0), i16::MAX);
    }
}
