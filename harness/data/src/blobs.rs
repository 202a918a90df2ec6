//! SynthBlobs-H: generated classes of smooth blobs with a distractor and noise; no download.
//!
//! Each class has `prototypes` templates: smooth random fields on an H x H torus, white noise
//! filtered by exp(-(|k|/0.10)^2) with k in cycles per pixel, as a Fourier series cut at
//! |k| = 1/4 per axis (|u|, |v| <= 4 at H = 16), standardised to mean 0 and sd 1. A sample is
//!
//! ```text
//! x = (a roll(T[y,p], s1) + mix roll(T[z,q], s2) + noise eps) / 1.3
//! ```
//!
//! with y uniform, p and q uniform prototypes, z a uniform other class, a ~ U(0.7, 1.3), s1 and s2
//! uniform in {-shift..shift}^2, eps standard normal. Values are rounded to multiples of 1/256, so
//! that sample ids do not depend on the last digit of a platform's sine.

use std::f64::consts::TAU;

use ledger::digest::Digest;
use rand_core::Rng as _;
use rand_distr::{Distribution as _, StandardNormal};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::raw::Floats;
use crate::split::Split;

const CLASSES: u8 = 10;
const FILTER_WIDTH: f64 = 0.10;
const SCALE: f64 = 1.3;

/// The generator's settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blobs {
    /// Height and width in pixels, 4 to 64.
    pub size: usize,
    /// Samples to train on.
    pub train: u32,
    /// Samples to validate on, drawn after those.
    pub validation: u32,
    /// Samples to test on, drawn last.
    pub test: u32,
    /// Weight of the distractor.
    pub mix: f64,
    /// Standard deviation of the noise before the division by 1.3.
    pub noise: f64,
    /// Largest shift of a template, in pixels per axis; below `size`.
    pub shift: usize,
    /// Templates per class, 1 to 256.
    pub prototypes: usize,
    /// Chooses templates and samples.
    pub seed: u64,
}

impl Default for Blobs {
    fn default() -> Self {
        Self {
            size: 16,
            train: 8192,
            validation: 1024,
            test: 2048,
            mix: 0.6,
            noise: 0.8,
            shift: 1,
            prototypes: 3,
            seed: 7,
        }
    }
}

impl Blobs {
    /// The easier setting of the same generator: mix 0.4, noise 0.5, shift 2, two prototypes.
    #[must_use]
    pub fn easy() -> Self {
        Self { mix: 0.4, noise: 0.5, shift: 2, prototypes: 2, ..Self::default() }
    }

    /// All samples, training first, then validation, then test, and where each part lies.
    ///
    /// # Errors
    /// [`DataError::Setting`] on a setting out of range.
    pub fn generate(&self) -> Result<(Floats, Split), DataError> {
        self.check()?;
        let mut draw = Draw::new(self.seed);
        let templates = self.templates(&mut draw);
        let split = Split::consecutive(self.train, self.validation, self.test);
        let count = split.train.len() + split.validation.len() + split.test.len();
        let mut floats = Floats {
            values: Vec::with_capacity(count.saturating_mul(self.size * self.size)),
            steps_per_unit: 256.0,
            shape: [1, self.size, self.size],
            labels: Vec::with_capacity(count),
            classes: CLASSES,
        };
        for _ in 0..count {
            self.append_sample(&templates, &mut draw, &mut floats);
        }
        Ok((floats, split))
    }

    fn check(&self) -> Result<(), DataError> {
        let refuse =
            |setting, found: String, expected| Err(DataError::Setting { setting, found, expected });
        if !(4..=64).contains(&self.size) {
            return refuse("size", self.size.to_string(), "4 to 64");
        }
        if !(1..=256).contains(&self.prototypes) {
            return refuse("prototypes", self.prototypes.to_string(), "1 to 256");
        }
        if self.shift >= self.size {
            return refuse("shift", self.shift.to_string(), "less than size");
        }
        for (setting, value) in [("mix", self.mix), ("noise", self.noise)] {
            if !(0.0..=10.0).contains(&value) {
                return refuse(setting, value.to_string(), "0 to 10");
            }
        }
        let counts = [self.train, self.validation, self.test].map(u64::from);
        match counts.iter().sum::<u64>() {
            1..=1_000_000 => Ok(()),
            sum => refuse("train + validation + test", sum.to_string(), "1 to 1,000,000"),
        }
    }

    /// `CLASSES x prototypes` fields, class-major.
    fn templates(&self, draw: &mut Draw) -> Vec<Vec<f64>> {
        (0..usize::from(CLASSES) * self.prototypes).map(|_| smooth_field(self.size, draw)).collect()
    }

    fn append_sample(&self, templates: &[Vec<f64>], draw: &mut Draw, floats: &mut Floats) {
        let classes = usize::from(CLASSES);
        let label = draw.below(classes);
        let template = label * self.prototypes + draw.below(self.prototypes);
        let other = (label + 1 + draw.below(classes - 1)) % classes;
        let distractor = other * self.prototypes + draw.below(self.prototypes);
        let amplitude = 0.7 + 0.6 * draw.unit();
        let [first, second] = [self.draw_shift(draw), self.draw_shift(draw)];
        let (Some(template), Some(distractor)) =
            (templates.get(template), templates.get(distractor))
        else {
            return;
        };
        for y in 0..self.size {
            for x in 0..self.size {
                let signal = amplitude * self.rolled(template, y, x, first)
                    + self.mix * self.rolled(distractor, y, x, second)
                    + self.noise * draw.normal();
                floats.push(signal / SCALE);
            }
        }
        floats.labels.push(u8::try_from(label).unwrap_or(0));
    }

    /// A shift of -shift..=shift per axis, as the offset `size - s` to read from.
    fn draw_shift(&self, draw: &mut Draw) -> [usize; 2] {
        [0; 2].map(|_: usize| self.size + draw.below(2 * self.shift + 1) - self.shift)
    }

    /// The value that shifting `field` brings to (y, x) on the torus.
    fn rolled(&self, field: &[f64], y: usize, x: usize, [down, right]: [usize; 2]) -> f64 {
        let row = (y + 2 * self.size - down) % self.size;
        let column = (x + 2 * self.size - right) % self.size;
        field.get(row * self.size + column).copied().unwrap_or(0.0)
    }
}

/// A smooth random field of mean 0 and sd 1, `size x size`, row-major.
fn smooth_field(size: usize, draw: &mut Draw) -> Vec<f64> {
    let cut = i32::try_from(size / 4).unwrap_or(0);
    let length = size as f64;
    let mut field = vec![0.0; size * size];
    // One half-plane: the field is real. The mean's term (0, 0) would be standardised away.
    let half_plane = (0..=cut).flat_map(|u| (-cut..=cut).map(move |v| (u, v)));
    for (u, v) in half_plane.filter(|&(u, v)| u > 0 || v > 0) {
        let (u, v) = (f64::from(u), f64::from(v));
        let squared_frequency = (u * u + v * v) / (length * length);
        let weight = (-squared_frequency / (FILTER_WIDTH * FILTER_WIDTH)).exp();
        let (cosine, sine) = (weight * draw.normal(), weight * draw.normal());
        for (place, value) in field.iter_mut().enumerate() {
            let (y, x) = ((place / size) as f64, (place % size) as f64);
            let phase = TAU * (u * y + v * x) / length;
            *value += cosine * phase.cos() + sine * phase.sin();
        }
    }
    let count = field.len() as f64;
    let mean = field.iter().sum::<f64>() / count;
    let variance = field.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    field.iter().map(|value| (value - mean) / variance.sqrt()).collect()
}

/// The one stream: Pcg64 with state and stream from SHA-256("palimpsest/blobs/v1" || seed LE).
struct Draw(Pcg64);

impl Draw {
    fn new(seed: u64) -> Self {
        let digest = Digest::of_parts(&[b"palimpsest/blobs/v1", &seed.to_le_bytes()]);
        let mut halves = [[0; 16]; 2];
        for (half, bytes) in halves.iter_mut().zip(digest.as_bytes().as_chunks::<16>().0) {
            *half = *bytes;
        }
        let [state, stream] = halves.map(u128::from_le_bytes);
        Self(Pcg64::new(state, stream))
    }

    /// Uniform in 0..n by multiply-shift; the bias, below n / 2^64, is left in.
    fn below(&mut self, n: usize) -> usize {
        let product = u128::from(self.0.next_u64()) * n as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }

    /// Uniform in [0, 1), 53 bits.
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (0.5f64).powi(53)
    }

    fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Blobs {
        Blobs { train: 400, validation: 50, test: 50, ..Blobs::default() }
    }

    #[test]
    fn templates_are_smooth_with_mean_zero_and_sd_one() {
        let field = smooth_field(16, &mut Draw::new(1));
        let (sum, squares) = field.iter().fold((0.0, 0.0), |(s, q), v| (s + v, q + v * v));
        assert!((sum / 256.0).abs() < 1e-12 && (squares / 256.0 - 1.0).abs() < 1e-12);
        // At width 0.10 neighbours correlate at about 0.83; white noise would give 0.
        let neighbours: f64 = (0..256).map(|i| field[i] * field[i / 16 * 16 + (i + 1) % 16]).sum();
        assert!(neighbours / 256.0 > 0.6, "{}", neighbours / 256.0);
    }

    #[test]
    fn the_same_seed_gives_the_same_samples_and_another_seed_others() {
        let (one, split) = small().generate().unwrap();
        assert_eq!(small().generate().unwrap(), (one.clone(), split));
        let (other, _) = Blobs { seed: 8, ..small() }.generate().unwrap();
        assert_ne!(one.values, other.values);
    }

    #[test]
    fn more_samples_leave_the_first_ones_unchanged() {
        let (few, _) = small().generate().unwrap();
        let (more, _) = Blobs { test: 100, ..small() }.generate().unwrap();
        assert_eq!(few.values, more.values[..few.values.len()]);
    }

    #[test]
    fn without_distractor_and_noise_a_sample_is_a_scaled_shifted_template_of_its_class() {
        let blobs = Blobs { mix: 0.0, noise: 0.0, shift: 2, ..small() };
        let (floats, _) = blobs.generate().unwrap();
        let templates = blobs.templates(&mut Draw::new(blobs.seed));
        for (sample, &label) in floats.values.chunks_exact(256).zip(&floats.labels).take(50) {
            let best = |class: usize| {
                let mut best = f64::NEG_INFINITY;
                for template in &templates[class * 3..class * 3 + 3] {
                    for shift in 0..25 {
                        let shift = [14 + shift / 5, 14 + shift % 5];
                        let dot: f64 = (0..256)
                            .map(|i| {
                                f64::from(sample[i]) * blobs.rolled(template, i / 16, i % 16, shift)
                            })
                            .sum();
                        best = best.max(dot / 256.0);
                    }
                }
                best
            };
            // The matching template's product is a / 1.3, between 0.7 / 1.3 and 1.
            let own = best(label.into());
            assert!((0.53..1.01).contains(&own), "{own}");
            assert!((0..10).all(|class| class == usize::from(label) || best(class) < own));
        }
    }

    #[test]
    fn values_have_the_variance_the_formula_gives() {
        let (floats, _) = small().generate().unwrap();
        let squares: f64 = floats.values.iter().map(|&v| f64::from(v).powi(2)).sum();
        // E a^2 = 1 + 0.6^2 / 12; plus mix^2 and noise^2; over 1.3^2.
        let expected = (1.0 + 0.03 + 0.36 + 0.64) / 1.69;
        let found = squares / floats.values.len() as f64;
        assert!((found / expected - 1.0).abs() < 0.05, "{found} against {expected}");
    }

    #[test]
    fn every_class_occurs_about_equally_often() {
        let (floats, split) = Blobs::default().generate().unwrap();
        assert_eq!((floats.len(), split.train.len(), split.test[0]), (11_264, 8192, 9216));
        for class in 0..10 {
            let count = floats.labels.iter().filter(|&&label| label == class).count();
            assert!((960..1300).contains(&count), "class {class}: {count}");
        }
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (blobs, text) in [
            (Blobs { size: 3, ..small() }, "size is 3, expected 4 to 64"),
            (Blobs { shift: 16, ..small() }, "shift is 16, expected less than size"),
            (Blobs { prototypes: 0, ..small() }, "prototypes is 0, expected 1 to 256"),
            (Blobs { noise: f64::NAN, ..small() }, "noise is NaN, expected 0 to 10"),
        ] {
            assert_eq!(blobs.generate().unwrap_err().to_string(), text);
        }
        assert!(Blobs { train: u32::MAX, test: u32::MAX, ..small() }.generate().is_err());
    }
}
