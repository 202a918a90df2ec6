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

/// Generated samples as floats, in dataset order; every value is a multiple of 1/256.
#[derive(Debug, Clone, PartialEq)]
pub struct Floats {
    /// `n x channels x height x width` values, row-major (CHW within a sample).
    pub values: Vec<f32>,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// One class per sample, each below `classes`.
    pub labels: Vec<u8>,
    /// The number of classes.
    pub classes: u8,
}

impl Floats {
    /// Values are stored in steps of one over this.
    pub const STEPS_PER_UNIT: f32 = 256.0;

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

    /// The canonical bytes of sample `i`: each value times 256 as an i16, little-endian; `None`
    /// past the end.
    #[must_use]
    pub fn sample_bytes(&self, i: usize) -> Option<Vec<u8>> {
        let size = self.shape.iter().product::<usize>();
        let values = self.values.get(i.checked_mul(size)?..i.checked_add(1)?.checked_mul(size)?)?;
        Some(canonical_bytes(values))
    }

    /// The ids of all samples, in dataset order (see [`sample_id`]).
    #[must_use]
    pub fn sample_ids(&self) -> Vec<[u8; 32]> {
        let size = self.shape.iter().product::<usize>().max(1);
        let samples = self.values.chunks_exact(size).zip(&self.labels);
        samples.map(|(values, &label)| sample_id(&canonical_bytes(values), label)).collect()
    }
}

/// The nearest i16 multiple of 1/256, saturating at the ends of the range.
#[expect(clippy::cast_possible_truncation, reason = "float-to-int casts saturate, as wanted here")]
pub(crate) fn quantise(value: f64) -> i16 {
    (value * f64::from(Floats::STEPS_PER_UNIT)).round() as i16
}

fn canonical_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|&value| quantise(f64::from(value)).to_le_bytes()).collect()
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
    fn quantised_values_survive_the_round_trip_to_bytes_exactly() {
        for step in [i16::MIN, -257, -256, -1, 0, 1, 255, 1000, i16::MAX] {
            let value = f32::from(step) / Floats::STEPS_PER_UNIT;
            assert_eq!(canonical_bytes(&[value]), step.to_le_bytes());
        }
        assert_eq!(quantise(1e9), i16::MAX);
    }
}
