//! What workloads of samples have in common: noise that is the same for every arm, references, and
//! the judge.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use data::planar::Density;
use data::{Loaded, Samples};
use ledger::catalogue::MetricInfo;
use ledger::digest::Digest;
use ledger::{order, streams};
use rand_pcg::Pcg64;
use tch::{Device, TchError, Tensor};

use super::classification::{Layout, place};
use super::{
    DataIdentity, Generation, Judge, Judged, Look, Material, Ready, Split, Splits, offers,
};
use crate::LabError;
use crate::metrics::features::Features;
use crate::metrics::frechet::Moments;
use crate::metrics::mmd::Mmd;
use crate::metrics::modes::on_manifold_and_entropy;
use crate::metrics::neighbours::precision_recall;
use crate::metrics::shapes::Readings;
use crate::metrics::sliced_wasserstein::{Projections, distance};
use crate::seat::{Facts, Sampler};

/// What these workloads offer methods.
pub const OFFERS: &[&str] = &[offers::DENOISING];

/// Standard deviation of the data per coordinate after [`Layout::normalisation`].
pub const SIGMA_DATA: f64 = 0.5;

/// Evaluations of the few-step curve.
const CURVE: [u32; 4] = [1, 2, 4, 8];

/// A metric that is better when it is smaller and has no value of its own at best.
pub const fn smaller(name: &'static str) -> MetricInfo {
    MetricInfo { name, higher_is_better: false, best: None, chance: None }
}

/// A share, without a known value of guessing.
pub const fn share(name: &'static str) -> MetricInfo {
    MetricInfo { name, higher_is_better: true, best: Some(1.0), chance: None }
}

/// Metrics of images without known factors.
pub const IMAGES: &[MetricInfo] = &[
    MetricInfo::error("sw2"),
    smaller("mmd2"),
    MetricInfo::error("fd_random"),
    MetricInfo::error("fd_classifier"),
    share("precision"),
    share("recall"),
    MetricInfo::error("sw2@1"),
    MetricInfo::error("sw2@2"),
    MetricInfo::error("sw2@4"),
    MetricInfo::error("sw2@8"),
    MetricInfo::error("fd_classifier@1"),
    MetricInfo::error("fd_classifier@2"),
    MetricInfo::error("fd_classifier@4"),
    MetricInfo::error("fd_classifier@8"),
];

/// What samples are, beside vectors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Points that should follow a density.
    Points(Density),
    /// Images of shapes; mean and deviation that pixels were normalised by.
    Shapes([f64; 2]),
    /// Other images.
    Images,
}

/// Everything that a workload of samples loads.
#[derive(Debug)]
pub struct Source<'a> {
    /// How stored numbers become inputs.
    pub layout: &'a Layout,
    /// Samples and splits.
    pub loaded: &'a Loaded,
    /// Samples that no split holds.
    pub spare: Split,
    /// What samples are.
    pub kind: Kind,
    /// Samples that a look at the validation split draws, and one at the test split.
    pub judged: [i64; 2],
}

impl Source<'_> {
    /// Puts all on the device and makes the judge.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn ready(self, train: &[u32], device: Device) -> Result<Ready, LabError> {
        let Self { layout, loaded, spare, kind, judged } = self;
        let place = |positions: &[u32]| place(&loaded.samples, positions, layout, device);
        let splits = Splits {
            train: place(train)?,
            probe: None,
            validation: place(&loaded.split.validation)?,
            test: place(&loaded.split.test)?,
        };
        let shape: Vec<i64> = splits.train.rows(0, 1)?.0.size().split_off(1);
        let classes = u32::from(loaded.samples.classes());
        let spaces = match kind {
            Kind::Points(_) => None,
            Kind::Shapes(_) | Kind::Images => {
                let classifier = Features::classifier(&splits.train, classes, device)?;
                Some(Spaces { random: Features::random(device)?, classifier })
            }
        };
        let projections = Projections::new(shape.iter().product(), device)?;
        let ground = |name: &str, split: &Split, count: i64| {
            Ground::new(layout.data, name, &split.rows(0, count.min(split.len()))?.0, &projections)
        };
        let validation = ground("validation", &splits.validation, judged[0])?;
        let test = ground("test", &splits.test, judged[1])?;
        let digests = |ids: &[[u8; 32]]| ids.iter().copied().map(Digest).collect::<Vec<_>>();
        // Training examples may be fewer than the data's: some of them may be the spare ones.
        let all = digests(&loaded.sample_ids);
        let own = loaded.split.train.iter().zip(&all);
        let kept = own.filter(|(position, _)| train.binary_search(position).is_ok());
        let identity = DataIdentity::new(
            kept.map(|(_, id)| *id).collect(),
            &digests(&loaded.validation_ids),
            &digests(&loaded.test_ids),
            loaded.origin,
        );
        let fresh = spare.rows(0, spare.len())?.0;
        let generation = Generation { shape, sigma_data: SIGMA_DATA, fresh };
        let material = Material { generation: Some(generation), ..Material::default() };
        let judge = Box::new(Samplewise { kind, projections, spaces, validation, test });
        Ok(Ready { splits, identity: Arc::new(identity), material, judge })
    }
}

/// Some samples, laid out as the splits are.
///
/// # Errors
/// When the device has no room.
pub fn split_of(
    samples: &Samples,
    positions: &[u32],
    layout: &Layout,
    device: Device,
) -> Result<Split, TchError> {
    place(samples, positions, layout, device)
}

/// Noise and reference of one split.
#[derive(Debug)]
struct Ground {
    /// Standard normal, n × ….
    noise: Tensor,
    /// Where further noise starts from.
    random: Pcg64,
    /// Real samples, n × ….
    real: Tensor,
    sorted: Tensor,
    full: OnceCell<Full>,
}

/// What only the last look needs.
#[derive(Debug)]
struct Full {
    mmd: Mmd,
    random: Option<Moments>,
    classifier: Option<Moments>,
    /// Features (or points) that neighbours are sought in.
    near: Tensor,
}

/// The two feature spaces of images.
#[derive(Debug)]
struct Spaces {
    random: Features,
    classifier: Features,
}

fn flat(samples: &Tensor) -> Result<Tensor, TchError> {
    samples.f_contiguous()?.f_flatten(1, -1)
}

impl Ground {
    fn new(
        data: &str,
        name: &str,
        real: &Tensor,
        projections: &Projections,
    ) -> Result<Self, TchError> {
        let parts = [b"palimpsest/evaluation/v1".as_slice(), data.as_bytes(), name.as_bytes()];
        let mut random = order::generator(&Digest::of_parts(&parts));
        let numbers = streams::normal(&mut random, real.numel());
        let noise = Tensor::f_from_slice(&numbers)?.f_view(real.size().as_slice())?;
        let sorted = projections.sorted(&flat(real)?)?;
        let noise = noise.f_to_device(real.device())?;
        Ok(Self { noise, random, real: real.shallow_clone(), sorted, full: OnceCell::new() })
    }

    fn full(&self, spaces: Option<&Spaces>) -> Result<&Full, TchError> {
        if let Some(full) = self.full.get() {
            return Ok(full);
        }
        let near = match spaces {
            Some(spaces) => spaces.classifier.of(&self.real)?,
            None => flat(&self.real)?,
        };
        let random = match spaces {
            Some(spaces) => Some(Moments::of(&spaces.random.of(&self.real)?)?),
            None => None,
        };
        let classifier = if spaces.is_some() { Some(Moments::of(&near)?) } else { None };
        let full = Full { mmd: Mmd::new(flat(&self.real)?)?, random, classifier, near };
        Ok(self.full.get_or_init(|| full))
    }
}

/// Judges samples.
#[derive(Debug)]
struct Samplewise {
    kind: Kind,
    projections: Projections,
    spaces: Option<Spaces>,
    validation: Ground,
    test: Ground,
}

impl Samplewise {
    fn sw2(&self, ground: &Ground, samples: &Tensor) -> Result<f64, TchError> {
        distance(&self.projections.sorted(&flat(samples)?)?, &ground.sorted)
    }

    /// Oracles.
    fn known(&self, ground: &Ground, samples: &Tensor, all: &mut Found) -> Result<(), TchError> {
        match self.kind {
            Kind::Points(density) => {
                let [on, entropy] = on_manifold_and_entropy(density, samples)?;
                all.extend([named("on_manifold", on), named("mode_entropy", entropy)]);
            }
            Kind::Shapes([mean, deviation]) => {
                let pixels = |x: &Tensor| x.f_mul_scalar(deviation)?.f_add_scalar(mean);
                let readings = Readings::of(&pixels(samples)?)?;
                let real = Readings::of(&pixels(&ground.real)?)?;
                all.extend([
                    named("one_object", readings.one_object()),
                    named("recognised", readings.recognised()),
                    named("class_entropy", readings.class_entropy()),
                    named("position_gap", readings.position_gap(&real)),
                ]);
            }
            Kind::Images => {}
        }
        Ok(())
    }

    /// Figures that only the last look needs.
    fn costly(&self, ground: &Ground, samples: &Tensor, all: &mut Found) -> Result<(), TchError> {
        let full = ground.full(self.spaces.as_ref())?;
        all.extend([named("mmd2", full.mmd.to(&flat(samples)?)?)]);
        let near = match &self.spaces {
            Some(spaces) => spaces.classifier.of(samples)?,
            None => flat(samples)?,
        };
        let [precision, recall] = precision_recall(&full.near, &near)?;
        all.extend([named("precision", precision), named("recall", recall)]);
        if let (Some(spaces), Some(random), Some(classifier)) =
            (&self.spaces, &full.random, &full.classifier)
        {
            let own = Moments::of(&spaces.random.of(samples)?)?;
            all.extend([
                named("fd_random", random.distance(&own)?),
                named("fd_classifier", classifier.distance(&Moments::of(&near)?)?),
            ]);
        }
        Ok(())
    }

    /// The few-step curve from the one model.
    fn curve(
        &self,
        look: &Look<'_>,
        sampler: &dyn Sampler,
        ground: &Ground,
        all: &mut Found,
    ) -> Result<(), TchError> {
        for evaluations in CURVE {
            let samples = draw(look, sampler, ground, evaluations)?;
            all.extend([named(&format!("sw2@{evaluations}"), self.sw2(ground, &samples)?)]);
            if let (Some(spaces), Some(real)) =
                (&self.spaces, &ground.full(self.spaces.as_ref())?.classifier)
            {
                let own = Moments::of(&spaces.classifier.of(&samples)?)?;
                all.extend([named(&format!("fd_classifier@{evaluations}"), real.distance(&own)?)]);
            }
        }
        Ok(())
    }
}

type Found = BTreeMap<String, f64>;

fn named(name: &str, value: f64) -> (String, f64) {
    (name.to_owned(), value)
}

fn draw(
    look: &Look<'_>,
    sampler: &dyn Sampler,
    ground: &Ground,
    evaluations: u32,
) -> Result<Tensor, TchError> {
    let mut random = ground.random.clone();
    sampler.sample(look.model.network, &ground.noise, evaluations, &mut random)
}

impl Judge for Samplewise {
    /// The sliced Wasserstein distance and the oracles at every look; all else for the test split at
    /// the end of the run.
    fn metrics(&self, look: &Look<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let sampler = look.model.sampler.ok_or_else(|| LabError::Unfit {
            method: "the method".to_owned(),
            workload: "a workload of samples".to_owned(),
            reason: "no sampler".to_owned(),
        })?;
        let ground = match look.judged {
            Judged::Validation => &self.validation,
            Judged::Test => &self.test,
        };
        let samples = draw(look, sampler, ground, sampler.evaluations())?;
        let mut all = Found::from([named("sw2", self.sw2(ground, &samples)?)]);
        self.known(ground, &samples, &mut all)?;
        if look.last && look.judged == Judged::Test && all.values().all(|value| value.is_finite()) {
            self.costly(ground, &samples, &mut all)?;
            self.curve(look, sampler, ground, &mut all)?;
        }
        Ok(all)
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::from([(
            "judged_samples".to_owned(),
            vec![self.validation.real.size()[0], self.test.real.size()[0]].into(),
        )]);
        if let Some(digest) = self.spaces.as_ref().and_then(|s| s.classifier.digest().ok()) {
            facts.insert("classifier".to_owned(), digest.to_string().into());
        }
        facts
    }
}

#[cfg(test)]
mod tests;
