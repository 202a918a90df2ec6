//! Judges samples against real ones.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use ledger::digest::Digest;
use ledger::{order, streams};
use rand_pcg::Pcg64;
use tch::{TchError, Tensor};

use super::Kind;
use lab::LabError;
use lab::high_frequency::Bands;
use lab::seat::{Facts, Sampler};
use training::judge::{EvaluationRequest, Judge, Judged};
use training::metrics::features::Features;
use training::metrics::frechet::Moments;
use training::metrics::mmd::Mmd;
use training::metrics::modes::on_manifold_and_entropy;
use training::metrics::neighbours::precision_recall;
use training::metrics::shapes::Readings;
use training::metrics::sliced_wasserstein::{Projections, distance};

/// Evaluations of the few-step curve.
const CURVE: [u32; 4] = [1, 2, 4, 8];

/// Where the high band of images begins, as a share of the highest frequency of an axis.
const CUTOFF: f64 = 0.25;

/// Noise and reference of one split.
#[derive(Debug)]
pub(super) struct Ground {
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
pub(super) struct Spaces {
    pub(super) random: Features,
    pub(super) classifier: Features,
}

fn flat(samples: &Tensor) -> Result<Tensor, TchError> {
    samples.f_contiguous()?.f_flatten(1, -1)
}

impl Ground {
    /// Real samples with noise of their number, the same for a data set and the name of a split.
    pub(super) fn new(
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
pub(super) struct Samplewise {
    pub(super) kind: Kind,
    pub(super) projections: Projections,
    pub(super) spaces: Option<Spaces>,
    pub(super) validation: Ground,
    pub(super) test: Ground,
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
        if let &[_, _, height, width] = ground.real.size().as_slice() {
            let bands = Bands::new([height, width], CUTOFF, samples.device())?;
            let ratio = bands.energy(samples)? / bands.energy(&ground.real)?;
            all.extend([named("high_band", ratio), named("high_band_gap", ratio.ln().abs())]);
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
        request: &EvaluationRequest<'_>,
        sampler: &dyn Sampler,
        ground: &Ground,
        all: &mut Found,
    ) -> Result<(), LabError> {
        for evaluations in CURVE {
            let samples = draw(request, sampler, ground, evaluations)?;
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
    request: &EvaluationRequest<'_>,
    sampler: &dyn Sampler,
    ground: &Ground,
    evaluations: u32,
) -> Result<Tensor, LabError> {
    let mut random = ground.random.clone();
    sampler.sample(request.model.network, &ground.noise, evaluations, &mut random)
}

impl Judge for Samplewise {
    /// The sliced Wasserstein distance and the oracles at every look; all else for the test split at
    /// the end of the run.
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let sampler = request.model.sampler.ok_or_else(|| LabError::Unfit {
            method: "the method".to_owned(),
            workload: "a workload of samples".to_owned(),
            reason: "no sampler".to_owned(),
        })?;
        let ground = request.judged.pick(&self.validation, &self.test);
        let samples = draw(request, sampler, ground, sampler.evaluations())?;
        let mut all = Found::from([named("sw2", self.sw2(ground, &samples)?)]);
        self.known(ground, &samples, &mut all)?;
        if request.last
            && request.judged == Judged::Test
            && all.values().all(|value| value.is_finite())
        {
            self.costly(ground, &samples, &mut all)?;
            self.curve(request, sampler, ground, &mut all)?;
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
