//! Images of ten fixed templates with noise, some of them under a wrong label; no download.
//!
//! A template is 12 × 12 standard normal numbers; an image is its class's template plus noise of a
//! chosen deviation. A share of the training labels is replaced by another class, drawn evenly: such
//! an image can only be learnt by heart. Validation and test labels are right. Values are rounded to
//! multiples of 1/256.

use ledger::digest::Digest;
use ledger::order::bounded;
use ledger::streams::{normal_f64, unit_f64};
use rand_pcg::Pcg64;

use crate::error::DataError;
use crate::load::generated;
use crate::loaded::{Loaded, Samples};
use crate::raw::Floats;
use crate::split::Split;

/// Height and width in pixels.
pub const SIDE: usize = 12;

/// Number of classes.
pub const CLASSES: u8 = 10;

/// The generator's settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Templates {
    /// Images to train on.
    pub train: u32,
    /// Images to validate on.
    pub validation: u32,
    /// Images to test on.
    pub test: u32,
    /// Standard deviation of the noise, 0 to 10.
    pub noise: f64,
    /// Share of training labels that are wrong, 0 to 1.
    pub label_noise: f64,
    /// Chooses the templates.
    pub source: u32,
    /// Chooses the images.
    pub sample: u32,
}

impl Templates {
    /// All images with their ids and splits.
    ///
    /// # Errors
    /// [`DataError::Setting`] on a setting out of range.
    pub fn load(&self) -> Result<Loaded, DataError> {
        self.check()?;
        let area = SIDE * SIDE;
        let mut random = generator(b"palimpsest/templates/v1", &[self.source]);
        let templates: Vec<f64> =
            (0..area * usize::from(CLASSES)).map(|_| normal_f64(&mut random)).collect();
        let split = Split::consecutive(self.train, self.validation, self.test);
        let count = split.train.len() + split.validation.len() + split.test.len();
        let mut floats = Floats {
            values: Vec::with_capacity(count * area),
            steps_per_unit: 256.0,
            shape: [1, SIDE, SIDE],
            labels: Vec::with_capacity(count),
            classes: CLASSES,
        };
        // Each part draws from a generator of its own: more of one leave the others as they are.
        for (part, images) in (0..).zip([self.train, self.validation, self.test]) {
            let which = [self.source, self.sample, part];
            let mut random = generator(b"palimpsest/templates-images/v1", &which);
            let wrong = if part == 0 { self.label_noise } else { 0.0 };
            for _ in 0..images {
                let class = bounded(&mut random, u64::from(CLASSES));
                let template = templates.chunks(area).nth(usize::try_from(class).unwrap_or(0));
                for value in template.into_iter().flatten() {
                    floats.push(value + self.noise * normal_f64(&mut random));
                }
                let is_wrong = unit_f64(&mut random) < wrong;
                let away = 1 + bounded(&mut random, u64::from(CLASSES) - 1);
                let shown = if is_wrong { (class + away) % u64::from(CLASSES) } else { class };
                floats.labels.push(u8::try_from(shown).unwrap_or(0));
            }
        }
        Ok(generated("templates", Samples::Floats(floats), split))
    }

    fn check(&self) -> Result<(), DataError> {
        let refuse =
            |setting, found: String, expected| Err(DataError::Setting { setting, found, expected });
        if !(0.0..=10.0).contains(&self.noise) {
            return refuse("noise", self.noise.to_string(), "0 to 10");
        }
        if !(0.0..=1.0).contains(&self.label_noise) {
            return refuse("label_noise", self.label_noise.to_string(), "0 to 1");
        }
        match [self.train, self.validation, self.test].map(u64::from).iter().sum::<u64>() {
            1..=2_000_000 => Ok(()),
            sum => refuse("number of images", sum.to_string(), "1 to 2,000,000"),
        }
    }
}

fn generator(name: &[u8], numbers: &[u32]) -> Pcg64 {
    let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    ledger::order::generator(&Digest::of_parts(&[name, &numbers]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Templates = Templates {
        train: 2_000,
        validation: 50,
        test: 500,
        noise: 1.0,
        label_noise: 0.2,
        source: 0,
        sample: 0,
    };

    fn parts(loaded: &Loaded) -> (Vec<f32>, Vec<u8>) {
        let Samples::Floats(Floats { values, labels, .. }) = &loaded.samples else { panic!() };
        (values.clone(), labels.clone())
    }

    /// The class whose template is nearest.
    fn nearest(templates: &[f32], image: &[f32]) -> u8 {
        let distance = |class: usize| -> f32 {
            let template = &templates[class * 144..(class + 1) * 144];
            template.iter().zip(image).map(|(a, b)| (a - b).powi(2)).sum()
        };
        let classes = (0..10).min_by(|a, b| distance(*a).total_cmp(&distance(*b)));
        u8::try_from(classes.unwrap()).unwrap()
    }

    #[test]
    fn a_fifth_of_the_training_labels_is_wrong_and_none_of_the_test_labels() {
        let (values, labels) = parts(&SMALL.load().unwrap());
        // Without noise every image is its template.
        let (clean, own) =
            parts(&Templates { noise: 0.0, label_noise: 0.0, ..SMALL }.load().unwrap());
        let mut templates = vec![0.0; 1440];
        for (image, &label) in clean.chunks(144).zip(&own) {
            templates[usize::from(label) * 144..][..144].copy_from_slice(image);
        }
        let wrong: Vec<bool> = values
            .chunks(144)
            .zip(&labels)
            .map(|(image, label)| nearest(&templates, image) != *label)
            .collect();
        let share = wrong[..2_000].iter().filter(|wrong| **wrong).count() as f64 / 2_000.0;
        // Four deviations are 0.036.
        assert!((share - 0.2).abs() < 0.036, "{share}");
        assert!(wrong[2_050..].iter().all(|wrong| !wrong));
    }

    #[test]
    fn more_training_images_leave_the_others_alone_and_samples_share_the_templates() {
        let [few, more, other] =
            [SMALL, Templates { train: 3_000, ..SMALL }, Templates { sample: 1, ..SMALL }]
                .map(|templates| templates.load().unwrap());
        assert_eq!(few.test_ids, more.test_ids);
        assert_eq!(few.sample_ids, more.sample_ids[..2_000]);
        assert_ne!(few.sample_ids, other.sample_ids);
        let mean = |loaded: &Loaded| {
            let (values, labels) = parts(loaded);
            let of = values.chunks(144).zip(&labels).filter(|(_, label)| **label == 4);
            of.clone().map(|(image, _)| f64::from(image[0])).sum::<f64>() / of.count() as f64
        };
        assert!((mean(&few) - mean(&other)).abs() < 0.5);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (templates, text) in [
            (Templates { noise: f64::NAN, ..SMALL }, "noise is NaN, expected 0 to 10"),
            (Templates { label_noise: 1.5, ..SMALL }, "label_noise is 1.5, expected 0 to 1"),
        ] {
            assert_eq!(templates.load().unwrap_err().to_string(), text);
        }
        assert!(Templates { train: u32::MAX, ..SMALL }.load().is_err());
    }
}
