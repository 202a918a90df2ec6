//! # blobs-cnn
//!
//! Procedural 16 × 16 images: ten classes of three smooth random prototypes each, shifted, mixed
//! with a distractor of another class and noised (8,192 train, 1,024 validation, 2,048 test; no
//! download), and a CNN with 8–16–32 channels, 11,018 parameters without normalisation.
//!
//! `norm: true` puts batch normalisation behind every convolution: without it every random mask
//! collapses, because the signal shrinks by the root of the density in each layer.
//!
//! `examples: 2048` trains on the first 2,048 of the 8,192 alone: images are drawn independently, so
//! that these are a random subset. Budgets are then counted in epochs of 2,048. Fewer examples are a
//! regime in which the network over-fits.
//!
//! `domain: mirrored` shows every image from right to left and as 0.7·x + 0.3: what a network that was
//! trained on the others is fine-tuned on. Classes and splits are the same.

use data::blobs::Blobs;
use ledger::catalogue::DataName;
use ledger::settings::Range;
use ledger::{choice, settings};

use crate::shared::classification::{self, Layout, Normalisation};
use crate::shared::settings::scaled;
use lab::models::cnn::{Shape, cnn};
use training::workload::Workload;

/// Training examples there are.
const TRAIN: u32 = 8_192;

choice! {
    /// Which images.
    pub enum Domain {
        /// As they are drawn.
        Drawn = "drawn",
        /// From right to left, and 0.7·x + 0.3.
        Mirrored = "mirrored",
    }
}

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the channels 8–16–32.
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
        /// Batch normalisation behind every convolution.
        norm: bool = false, from "assumed";
        /// Training examples: the first of the split; an epoch of the budget is that many.
        examples: u32 = TRAIN, range Range::of(16.0..=f64::from(TRAIN)), from "assumed: all there are";
        /// Which images.
        domain: Domain = Domain::Drawn, from "assumed";
    }
}

const LAYOUT: Layout = Layout {
    data: "blobs",
    normalisation: Normalisation { mean: &[0.0], deviation: &[1.0] },
    flat: false,
};

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "procedural 16×16 blobs, CNN 8–16–32",
    data: DataName::Set(LAYOUT.data),
    target: 0.90,
    budget_epochs: 6.0,
    evaluate_every_epochs: 0.25,
    split_sizes: [TRAIN, 1_024, 2_048],
    epoch_setting: Some("examples"),
    settings: Settings::table,
    resolve: |values| {
        let mut resolved = Settings::resolve(values)?;
        // They came later: left out at their defaults, so that what was tuned before still fits.
        resolved.retain(|name, value| {
            (name != "examples" || *value != TRAIN) && (name != "domain" || *value != "drawn")
        });
        Ok(resolved)
    },
    load: |values, sources, device| {
        let Settings { examples, domain, .. } = Settings::read(values)?;
        let mut loaded = match domain {
            Domain::Drawn => data::load(LAYOUT.data, sources)?,
            Domain::Mirrored => data::load::mirrored_blobs(&Blobs::default())?,
        };
        loaded.split.train.truncate(examples as usize);
        loaded.sample_ids.truncate(examples as usize);
        LAYOUT.ready(&loaded, device)
    },
    network: |values, _, streams, device| {
        let Settings { width, norm, .. } = Settings::read(values)?;
        let widths = [8, 16, 32].map(|channels| scaled(channels, width));
        let shape = Shape { channels: 1, side: 16, widths, classes: 10, norm };
        Ok(cnn(shape, streams, device)?)
    },
    ..classification::WORKLOAD
};

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::settings::Values;
    use tch::Device;
    use training::workload::Ready;

    fn with(examples: u32) -> Values {
        Values::from([("examples".to_owned(), examples.into())])
    }

    fn ready(values: &Values) -> Ready {
        let [data_dir, cache_dir] = [std::path::PathBuf::new(), std::path::PathBuf::new()];
        let sources = data::Sources { data_dir, cache_dir };
        (WORKLOAD.load)(&(WORKLOAD.resolve)(values).unwrap(), &sources, Device::Cpu).unwrap()
    }

    #[test]
    fn fewer_examples_are_the_first_of_all_and_are_judged_on_the_same_ones() {
        let (all, few) = (ready(&Values::new()), ready(&with(100)));
        assert_eq!([all.splits.train.len(), few.splits.train.len()], [8_192, 100]);
        assert_eq!(few.splits.train.stored, all.splits.train.stored.narrow(0, 0, 100));
        assert_eq!(few.splits.train.labels, all.splits.train.labels.narrow(0, 0, 100));
        assert_eq!(few.identity.sample_ids, all.identity.sample_ids[..100]);
        assert_ne!(few.identity.train_root, all.identity.train_root);
        let judged = |ready: &Ready| (ready.identity.validation_root, ready.identity.test_root);
        assert_eq!(judged(&few), judged(&all));
        assert_eq!(few.splits.test.stored, all.splits.test.stored);
        assert_eq!(few.splits.validation.stored, all.splits.validation.stored);
    }

    #[test]
    fn the_other_domain_has_the_same_images_from_the_right_and_paler_and_ids_of_its_own() {
        let mirrored = Values::from([("domain".to_owned(), "mirrored".into())]);
        let (drawn, mirrored) = (ready(&Values::new()), ready(&mirrored));
        for (drawn, mirrored) in [
            (&drawn.splits.train, &mirrored.splits.train),
            (&drawn.splits.validation, &mirrored.splits.validation),
            (&drawn.splits.test, &mirrored.splits.test),
        ] {
            assert_eq!(drawn.labels, mirrored.labels);
            // N × H × W × C.
            let expected = drawn.stored.flip([2]) * 0.7 + 0.3;
            let far = (expected - &mirrored.stored).abs().max().double_value(&[]);
            assert!(far <= 1.0 / 512.0 + 1e-6, "{far}");
        }
        let ids = &drawn.identity.sample_ids;
        assert!(ids.iter().zip(&mirrored.identity.sample_ids).all(|(a, b)| a != b));
        assert_ne!(drawn.identity.test_root, mirrored.identity.test_root);
        let said = Values::from([("domain".to_owned(), "drawn".into())]);
        assert_eq!((WORKLOAD.resolve)(&said).unwrap(), (WORKLOAD.resolve)(&Values::new()).unwrap());
    }

    #[test]
    fn all_examples_are_no_setting_and_numbers_that_the_split_does_not_have_are_refused() {
        let resolve = |values: &Values| (WORKLOAD.resolve)(values);
        assert_eq!(resolve(&with(8_192)).unwrap(), resolve(&Values::new()).unwrap());
        assert_eq!(resolve(&with(2_048)).unwrap()["examples"], 2_048);
        for wrong in [0, 15, 8_193] {
            let refused = resolve(&with(wrong)).unwrap_err().to_string();
            let expected = "but must be a whole number at least 16 and at most 8192";
            assert_eq!(refused, format!("setting \"examples\" is {wrong}, {expected}"));
        }
    }
}
