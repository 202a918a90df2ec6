//! # shapes-high
//!
//! Shapes as those of `shapes16`, one disc, square, cross or ring at any place, size and angle, that a small U-shaped
//! convolutional network of 8–16–32 channels is trained on at 16 × 16 pixels (`native`) and asked for at 32 × 32 (`side`;
//! 8,192 train, 250 validation, 1,000 test; no download). Nothing in the network hangs on the size: noise of the larger one
//! makes samples of the larger one.
//!
//! Every look draws as many samples as the split has images, from noise that is the same for every method; real images are
//! the same objects rendered at the larger size. A reader of shapes fits a rendering to each sample: `one_object` is
//! the share with a single group of bright pixels, `not_one` that of all others (one more image counts, half of it as one of
//! them, so that it is never 0 and ratios can be told), `recognised` the share that a rendering fits. The method is also
//! asked for samples of the native size, by the sums of its noise over squares: `kept_class` is the share of those
//! recognised there whose class is that of the larger sample. `fd_random` is the Fréchet distance to real images of
//! the larger size in 64 features of a fixed random network, `sw2` the sliced Wasserstein-2 distance of pixels, `high_band` the
//! energy above a quarter of the highest frequency over that of real images, and `high_band_gap` how far its logarithm is
//! from 0.

use std::collections::BTreeMap;

use data::sequences::{Place, Sizes, distinct};
use data::shapes::{FULL_SCALE, Factors};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::sample::sample_id;
use ledger::settings::{Range, SettingError};
use ledger::{order, settings, streams};
use rand_pcg::Pcg64;
use tch::{Device, TchError, Tensor};

use crate::shared::generated;
use crate::shared::generative::{HIGH_BAND, SIGMA_DATA, share};
use crate::shared::settings::scaled;
use lab::LabError;
use lab::high_frequency::Bands;
use lab::models::unet_s::{MULTIPLE, unet_s};
use lab::offers;
use lab::side_info::{Generation, Resolution, SideInfo};
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::metrics::features::Features;
use training::metrics::frechet::Moments;
use training::metrics::shapes::Readings;
use training::metrics::sliced_wasserstein::{Projections, distance};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the channels 8–16–32; widths must stay multiples of 8.
        width: f64 = 1.0, range Range::of(1.0..=64.0), from "assumed";
        /// Side of an image that is trained on; of fewer pixels a ring falls apart.
        native: u32 = 16, range Range::of(16.0..=64.0), from "assumed";
        /// Side of an image that is judged.
        side: u32 = 32, range Range::of(8.0..=256.0), from "assumed: twice the native one, as 2048 is of 1024";
        refuse Self::fit;
    }
}

impl Settings {
    /// Refuses sides that the network or the noise of both sizes cannot be of.
    fn fit(&self) -> Result<(), SettingError> {
        let Self { native, side, .. } = *self;
        let joint = |message: String| Err(SettingError::Joint(message));
        if !native.is_multiple_of(MULTIPLE) {
            return joint(format!(
                "setting \"native\" is {native}, but the network takes sides that are multiples of {MULTIPLE}"
            ));
        }
        if side <= native || !side.is_multiple_of(native) {
            return joint(format!(
                "setting \"side\" is {side}, but must be a multiple of \"native\", which is {native}, and larger"
            ));
        }
        Ok(())
    }
}

const SIZES: [u32; 3] = [8_192, 250, 1_000];
/// Of pixels of 16 × 16, as `shapes16` has them: inputs have a deviation of 0.5.
const MEAN: f64 = 0.1437;
const DEVIATION: f64 = 0.6508;
/// Where the high band of images begins, as a share of the highest frequency of an axis.
const CUTOFF: f64 = 0.25;

const METRICS: &[MetricInfo] = &[
    MetricInfo::error("fd_random"),
    MetricInfo::error("not_one"),
    share("one_object"),
    share("recognised"),
    share("class_entropy"),
    share("kept_class"),
    MetricInfo::error("sw2"),
    HIGH_BAND,
    MetricInfo::error("high_band_gap"),
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "16×16 shapes to generate at 32×32, U-net 8–16–32",
    data: DataName::Generated,
    offers: &[offers::DENOISING, offers::IMAGES, offers::HIGHER],
    metrics: METRICS,
    metric: "fd_random",
    target: 0.1,
    target_origin: "assumed",
    budget_epochs: 24.0,
    evaluate_every_epochs: 12.0,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(&Settings::read(values)?, device),
    network: |values, _, streams, device| {
        let Settings { width, .. } = Settings::read(values)?;
        Ok(unet_s(scaled(8, width), streams, device)?)
    },
    ..Workload::BLANK
};

fn id(factors: &Factors) -> Digest {
    sample_id(&factors.render(), &[factors.shape as u8])
}

/// Inputs N × H × W × 1 of a size, as splits store them.
fn rendered(all: &[Factors], side: u32, device: Device) -> Result<Tensor, TchError> {
    let full = f64::from(FULL_SCALE);
    let pixels = all.iter().flat_map(|factors| factors.render_at(side as usize));
    let inputs = pixels.map(|covered| ((f64::from(covered) / full - MEAN) / DEVIATION) as f32);
    let side = i64::from(side);
    let inputs: Vec<f32> = inputs.collect();
    Tensor::f_from_slice(&inputs)?.f_view([-1, side, side, 1])?.f_to_device(device)
}

fn split(all: &[Factors], side: u32, device: Device) -> Result<Split, TchError> {
    let labels: Vec<i64> = all.iter().map(|factors| factors.shape as i64).collect();
    let labels = Tensor::f_from_slice(&labels)?.f_to_device(device)?;
    Ok(Split { stored: rendered(all, side, device)?, labels, groups: Vec::new() })
}

/// Real images of the larger size, N × 1 × H × W.
fn real(all: &[Factors], side: u32, device: Device) -> Result<Tensor, TchError> {
    rendered(all, side, device)?.f_permute([0, 3, 1, 2])
}

fn load(settings: &Settings, device: Device) -> Result<Ready, LabError> {
    let Settings { native, side, .. } = *settings;
    let drawn =
        |part: &[u8]| order::generator(&Digest::of_parts(&[b"palimpsest/shapes-high/v1", part]));
    let [train, validation, test] = SIZES;
    let sizes = Sizes { train, probe: 0, validation, test };
    let mut random = drawn(b"all");
    let parts = distinct(sizes, |_: Place| Factors::draw(&mut random), id)?;
    let (splits, identity) = generated::placed(&parts, |all| split(all, native, device))?;
    let mut random = drawn(b"spare");
    let fresh: Vec<Factors> = (0..test).map(|_| Factors::draw(&mut random)).collect();
    let generation = Generation {
        shape: vec![1, i64::from(native), i64::from(native)],
        sigma_data: SIGMA_DATA,
        fresh: real(&fresh, side, device)?,
        conditions: None,
        reward: None,
        start: None,
    };
    let random = Features::random(device)?;
    let projections = Projections::new(i64::from(side * side), device)?;
    let ground = |name: &str, all: &[Factors]| {
        Ground::new(name, real(all, side, device)?, &random, &projections)
    };
    let grounds =
        [ground("validation", &parts.validation.examples)?, ground("test", &parts.test.examples)?];
    let resolution = Some(Resolution { native, asked: side, multiple: MULTIPLE });
    let side_info = SideInfo { generation: Some(generation), resolution, ..SideInfo::default() };
    let bands = Bands::new([i64::from(side); 2], CUTOFF, device)?;
    let judge = Box::new(Enlarged { sides: [native, side], grounds, random, projections, bands });
    Ok(Ready { splits, identity, side: side_info, judge })
}

/// Noise and reference of a split.
#[derive(Debug)]
struct Ground {
    noise: Tensor,
    /// Where further noise starts from.
    random: Pcg64,
    real: Tensor,
    moments: Moments,
    sorted: Tensor,
}

impl Ground {
    fn new(
        name: &str,
        real: Tensor,
        features: &Features,
        projections: &Projections,
    ) -> Result<Self, TchError> {
        let parts = [b"palimpsest/evaluation/v1".as_slice(), b"shapes-high", name.as_bytes()];
        let mut random = order::generator(&Digest::of_parts(&parts));
        let numbers = streams::normal(&mut random, real.numel());
        let noise = Tensor::f_from_slice(&numbers)?.f_view(real.size().as_slice())?;
        let noise = noise.f_to_device(real.device())?;
        let moments = Moments::of(&features.of(&real)?)?;
        let sorted = projections.sorted(&flat(&real)?)?;
        Ok(Self { noise, random, real, moments, sorted })
    }
}

fn flat(images: &Tensor) -> Result<Tensor, TchError> {
    images.f_contiguous()?.f_flatten(1, -1)
}

/// Judges samples of the larger size.
#[derive(Debug)]
struct Enlarged {
    /// Native, and that which is asked for.
    sides: [u32; 2],
    grounds: [Ground; 2],
    random: Features,
    projections: Projections,
    bands: Bands,
}

impl Enlarged {
    fn read(images: &Tensor, side: u32) -> Result<Readings, TchError> {
        let pixels = images.f_mul_scalar(DEVIATION)?.f_add_scalar(MEAN)?;
        Readings::at(&pixels, side as usize)
    }
}

impl Judge for Enlarged {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let sampler = request.model.sampler.ok_or_else(|| LabError::Unfit {
            method: "the method".to_owned(),
            workload: "a workload of samples".to_owned(),
            reason: "no sampler".to_owned(),
        })?;
        let [validation, test] = &self.grounds;
        let ground = request.judged.pick(validation, test);
        let [native, side] = self.sides;
        let draw = |noise: &Tensor| {
            let mut random = ground.random.clone();
            sampler.sample(request.model.network, noise, sampler.evaluations(), &mut random)
        };
        let samples = draw(&ground.noise)?;
        let factor = i64::from(side / native);
        let pooled =
            ground.noise.f_avg_pool2d([factor; 2], [factor; 2], [0, 0], false, true, None)?;
        let small = draw(&pooled.f_mul_scalar(factor as f64)?)?;
        let readings = Self::read(&samples, side)?;
        // Real images are of one size, whatever is asked for.
        let base = small.size().last().copied().and_then(|side| u32::try_from(side).ok());
        let before = Self::read(&small, base.unwrap_or(native))?;
        let own = Moments::of(&self.random.of(&samples)?)?;
        let ratio = self.bands.energy(&samples)? / self.bands.energy(&ground.real)?;
        let found = [
            ("fd_random", ground.moments.distance(&own)?),
            ("not_one", readings.not_one()),
            ("one_object", readings.one_object()),
            ("recognised", readings.recognised()),
            ("class_entropy", readings.class_entropy()),
            ("kept_class", readings.kept_class(&before)),
            ("sw2", distance(&self.projections.sorted(&flat(&samples)?)?, &ground.sorted)?),
            ("high_band", ratio),
            ("high_band_gap", ratio.ln().abs()),
        ];
        Ok(found.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::{Network, values};
    use lab::seat::Sampler;
    use lab::trial::with;
    use ledger::settings::Values;
    use training::judge::{Judged, Model};

    /// Fresh images, as they are or four small ones in the place of one; of noise of the native size the same made small.
    #[derive(Debug)]
    struct Known {
        images: Tensor,
        four: bool,
    }

    impl Sampler for Known {
        fn sample(
            &self,
            _: &Network,
            noise: &Tensor,
            _: u32,
            _: &mut Pcg64,
        ) -> Result<Tensor, LabError> {
            let images = self.images.narrow(0, 0, noise.size()[0]);
            let small = |images: &Tensor, factor: i64| {
                images.avg_pool2d([factor; 2], [factor; 2], [0, 0], false, true, None)
            };
            let four = || small(&images, 2).repeat([1, 1, 2, 2]);
            let images = if self.four { four() } else { images.shallow_clone() };
            Ok(small(&images, images.size()[3] / noise.size()[3]))
        }

        fn evaluations(&self) -> u32 {
            0
        }
    }

    fn judged(four: bool, with: &Values) -> BTreeMap<String, f64> {
        let stage = crate::fixture("shapes-high", with).unwrap();
        let Ready { splits, side, judge, .. } = stage.ready();
        let images = side.generation.as_ref().unwrap().fresh.shallow_clone();
        let sampler = Known { images, four };
        let network = stage.network(1).unwrap();
        let model = Model { sampler: Some(&sampler), ..Model::plain(&network) };
        let request =
            EvaluationRequest { model, split: &splits.test, judged: Judged::Test, last: true };
        tch::no_grad(|| judge.metrics(&request)).unwrap()
    }

    #[test]
    fn real_images_are_one_object_each_and_four_on_an_image_are_found() {
        let real = judged(false, &Values::new());
        assert!(real["one_object"] > 0.999 && real["recognised"] > 0.99, "{real:?}");
        assert!((real["not_one"] - 0.5 / 1_001.0).abs() < 1e-3, "{real:?}");
        assert!(real["kept_class"] > 0.99 && real["class_entropy"] > 0.99, "{real:?}");
        assert!(real["fd_random"] < 0.02 && (real["high_band"] - 1.0).abs() < 0.05, "{real:?}");
        let four = judged(true, &Values::new());
        assert!(four["not_one"] > 0.99 && four["recognised"] < 0.01, "{four:?}");
        assert!(four["fd_random"] > 10.0 * real["fd_random"], "{four:?}");
    }

    #[test]
    fn what_is_trained_on_is_small_and_what_is_judged_is_not_and_both_have_the_deviation_that_is_told()
     {
        let stage = crate::fixture("shapes-high", &Values::new()).unwrap();
        let Ready { splits, side, .. } = stage.ready();
        let generation = side.generation.as_ref().unwrap();
        let (train, _) = splits.train.rows(0, 8_192).unwrap();
        assert_eq!(
            (train.size(), generation.fresh.size()),
            (vec![8_192, 1, 16, 16], vec![1_000, 1, 32, 32])
        );
        for images in [&train, &generation.fresh] {
            let images = values(images).unwrap();
            let n = images.len() as f64;
            let mean = images.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
            let square = images.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / n;
            assert!(mean.abs() < 0.01, "{mean}");
            assert!((square.sqrt() - SIGMA_DATA).abs() < 0.02, "{}", square.sqrt());
        }
        let [test, train] = [&splits.test, &splits.train].map(|s| s.rows(0, 1).unwrap().0);
        assert_ne!(test, train);
    }

    #[test]
    fn sides_that_the_network_cannot_take_are_refused() {
        for (settings, word) in [
            (with([("native", 18.into())]), "\"native\" is 18"),
            (with([("side", 16.into())]), "\"side\" is 16"),
            (with([("side", 40.into())]), "\"side\" is 40"),
        ] {
            let error = (WORKLOAD.resolve)(&settings).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("multiple"), "{error}");
        }
        assert!((WORKLOAD.resolve)(&with([("native", 20.into()), ("side", 40.into())])).is_ok());
    }
}
