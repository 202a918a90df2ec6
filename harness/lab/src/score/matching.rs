//! Denoising score matching, with conditions that are dropped now and then, and what methods of a score share.

use ledger::catalogue::Schedule;
use ledger::settings;
use ledger::settings::{Range, SettingError};
use ledger::streams::{Streams, unit_f64};
use rand_pcg::Pcg64;
use tch::Tensor;

use super::guide::{Beside, one_hot};
use super::{Output, Score, Span, Times, noised, outputs, variance};
use crate::LabError;
use crate::averaging::ema::Ema;
use crate::diffusion::{column, noise_like, squared_distance};
use crate::network::Network;
use crate::objectives::DefaultLoss;
use crate::optim::radam::{Adaptive, AdaptiveSettings};
use crate::recipe::{Recipe, Step};
use crate::seat::{Batch, Costs, Facts, Objective, Sampler, StepInfo, TaskInfo};
use crate::state::State;

settings! {
    /// Settings that all methods of a score have.
    pub struct ScoreSettings {
        /// How the network's output becomes a score.
        output: Output = Output::Noise, from "arXiv:2404.07771; mean: its network for a subspace";
        /// Which times losses are taken at.
        times: Times = Times::Logarithmic, from "assumed; arXiv:2404.07771: uniform";
        /// Where the backward process stops.
        early: f64 = 0.001, range Range::above_up_to(0.0, 0.1), from "assumed";
        /// Where it begins.
        horizon: f64 = 8.0, range Range::of(1.0..=50.0), from "assumed";
        /// Evaluations of networks per sample.
        evaluations: u32 = 100, range Range::of(1.0..), from "assumed";
        /// Decay of the average of the weights; 0 is none.
        ema: f64 = 0.99, range Range::of(0.0..1.0), from "assumed";
        /// Examples per step.
        batch_size: u32 = 256, range Range::of(1.0..), from "assumed";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "assumed";
        /// Update rule.
        optimizer: Adaptive = Adaptive::Adam, from "assumed";
        /// Peak learning rate.
        lr: f64 = 1e-3, range Range::above(0.0), from "assumed";
        use adaptive: AdaptiveSettings;
    }
}

settings! {
    /// Settings of guidance.
    pub struct GuideSettings {
        /// w, how strongly samples are led.
        guidance: f64 = 1.0, range Range::of(-1.0..=1000.0), from "assumed";
        /// Share of the backward process from which on they are led.
        guide_from: f64 = 0.0, range Range::of(0.0..=1.0), from "arXiv:2404.07771: all of it";
        /// Share of it until which they are.
        guide_until: f64 = 1.0, range Range::of(0.0..=1.0), from "arXiv:2404.07771: all of it";
        /// The class that is asked of all samples, from 1; 0 for each in turn.
        class: u32 = 0, range Range::of(0.0..=65535.0), from "assumed";
        refuse Self::in_order;
    }
}

impl GuideSettings {
    fn in_order(&self) -> Result<(), SettingError> {
        let Self { guide_from, guide_until, .. } = *self;
        if guide_from > guide_until {
            let reason = format!("guide_from {guide_from} is above guide_until {guide_until}");
            return Err(SettingError::Joint(reason));
        }
        Ok(())
    }

    /// How strongly, and when.
    #[must_use]
    pub fn weight(&self) -> super::guide::Weight {
        let between = [self.guide_from, self.guide_until];
        super::guide::Weight { size: self.guidance, between }
    }

    /// What is asked of samples where data have so many classes.
    ///
    /// # Errors
    /// When there is no such class.
    pub fn asked(
        &self,
        classes: u32,
        task: &TaskInfo<'_>,
    ) -> Result<super::guide::Asked, LabError> {
        match self.class {
            0 => Ok(super::guide::Asked::EachClass(classes)),
            class if class <= classes => Ok(super::guide::Asked::Class(class - 1, classes)),
            class => {
                let reason = format!(
                    "class {class} is asked for, and its conditions are classes 1 to {classes}: set \"class\" \
                     to one of them, or to 0 for each in turn"
                );
                Err(task.unfit(reason))
            }
        }
    }
}

impl ScoreSettings {
    /// From when to when.
    #[must_use]
    pub fn span(&self) -> Span {
        Span { early: self.early, horizon: self.horizon }
    }

    /// Steps of `objective`, whose samples `sampler` draws.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn recipe(
        &self,
        objective: Box<dyn Objective>,
        sampler: Option<Box<dyn Sampler>>,
        network: &Network,
    ) -> Result<Recipe, LabError> {
        let Self { ema, batch_size, schedule, optimizer, lr, adaptive, .. } = self;
        let optimizer = adaptive.build(*optimizer, *lr, network)?;
        Ok(Recipe {
            averaging: Ema::seat(*ema, &network.parameters),
            sampler,
            ..Recipe::of(*batch_size, schedule.clone(), Step::Gradient { objective, optimizer })
        })
    }
}

/// What a network is told of an example.
#[derive(Debug)]
pub enum Told {
    /// Nothing.
    Nothing,
    /// Its class, of so many.
    Classes(u32),
    /// A number for each training example, and that there is one.
    Numbers(Tensor),
}

impl Told {
    /// Columns of a batch, B × columns.
    fn columns(&self, batch: &Batch) -> Result<Option<Tensor>, LabError> {
        Ok(match self {
            Self::Nothing => None,
            Self::Classes(classes) => Some(one_hot(&batch.labels, *classes)?),
            Self::Numbers(all) => {
                let own = all.f_index_select(0, &batch.sample_ids)?.f_view([-1, 1])?;
                Some(Tensor::f_cat(&[&own, &own.f_ones_like()?], 1)?)
            }
        })
    }
}

/// ‖s + ε/σ_t‖²·σ_t² over coordinates, σ_t² = 1 − e^{−t}: what is told is left out with probability `drop`.
#[derive(Debug)]
pub struct Matching {
    settings: ScoreSettings,
    /// What the network is told.
    pub told: Told,
    drop: f64,
    times: Pcg64,
    noise: Pcg64,
    coins: Pcg64,
    evaluations: u64,
    dropped: u64,
    seen: u64,
    /// Where the network that is trained beside this one goes.
    beside: Option<Beside>,
}

impl Matching {
    /// Times, noise and what is left out come from streams of their own.
    #[must_use]
    pub fn new(settings: &ScoreSettings, told: Told, drop: f64, streams: &Streams) -> Self {
        Self {
            settings: settings.clone(),
            told,
            drop,
            times: streams.generator("score time"),
            noise: streams.generator("noise"),
            coins: streams.generator("null condition"),
            evaluations: 0,
            dropped: 0,
            seen: 0,
            beside: None,
        }
    }

    /// The same, with a place for the tutor of the run's stages.
    #[must_use]
    pub fn beside(self, place: Beside) -> Self {
        Self { beside: Some(place), ..self }
    }

    /// What the network is told of a batch: zeros where that is left out.
    fn condition(&mut self, batch: &Batch) -> Result<Option<Tensor>, LabError> {
        let Some(columns) = self.told.columns(batch)? else { return Ok(None) };
        self.seen += batch.ids.len() as u64;
        if self.drop == 0.0 {
            return Ok(Some(columns));
        }
        let kept = batch.ids.iter().map(|_| unit_f64(&mut self.coins) >= self.drop);
        let kept: Vec<f64> = kept.map(|kept| f64::from(u8::from(kept))).collect();
        self.dropped += kept.iter().filter(|kept| **kept == 0.0).count() as u64;
        Ok(Some(columns.f_mul(&column(&kept, &columns)?)?))
    }
}

/// Noisy points of a batch, their noise, and the time of each.
fn noisy(
    settings: &ScoreSettings,
    batch: &Batch,
    times: &mut Pcg64,
    noise: &mut Pcg64,
) -> Result<(Tensor, Tensor, Vec<f64>), LabError> {
    let span = settings.span();
    let at: Vec<f64> = batch.ids.iter().map(|_| span.draw(settings.times, times)).collect();
    let fresh = noise_like(&batch.inputs, noise)?;
    Ok((noised(&batch.inputs, &fresh, &at)?, fresh, at))
}

impl Objective for Matching {
    fn learn_from(&mut self, tutor: Network) {
        if let Some(place) = &self.beside {
            // Only a second tutor would not fit, and a run has one.
            let _ = place.set(tutor);
        }
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let Self { settings, times, noise, .. } = self;
        let (x, fresh, at) = noisy(settings, batch, times, noise)?;
        let condition = self.condition(batch)?;
        let score = Score { network, output: self.settings.output };
        let score = score.rows(&x, &at, condition.as_ref())?;
        let roots: Vec<f64> = at.iter().map(|&t| variance(t).sqrt()).collect();
        self.evaluations += batch.ids.len() as u64;
        let scaled = score.f_mul(&column(&roots, &x)?)?;
        Ok(squared_distance(&scaled, &fresh.f_neg()?)?)
    }

    fn acts_beside_passes(&self) -> bool {
        false
    }

    fn costs(&self) -> Costs {
        Costs::from([("network_evaluations", self.evaluations)])
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::new();
        if self.seen > 0 {
            facts.insert("conditions".to_owned(), self.seen.into());
            facts.insert("conditions_dropped".to_owned(), self.dropped.into());
        }
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("times", &mut self.times)?;
        state.of("noise", &mut self.noise)?;
        state.of("coins", &mut self.coins)?;
        state.of("evaluations", &mut self.evaluations)?;
        state.of("dropped", &mut self.dropped)?;
        state.of("seen", &mut self.seen)
    }
}

/// Cross-entropy of the class of noisy points: how a classifier that guides is trained.
#[derive(Debug)]
pub struct NoisyClasses {
    settings: ScoreSettings,
    times: Pcg64,
    noise: Pcg64,
}

impl NoisyClasses {
    /// Times and noise come from streams of their own.
    #[must_use]
    pub fn new(settings: &ScoreSettings, streams: &Streams) -> Self {
        let settings = settings.clone();
        Self { settings, times: streams.generator("score time"), noise: streams.generator("noise") }
    }
}

impl Objective for NoisyClasses {
    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let Self { settings, times, noise } = self;
        let (x, _, at) = noisy(settings, batch, times, noise)?;
        Ok(DefaultLoss::Classes.of_outputs(&outputs(network, &x, &at, None)?, &batch.labels)?)
    }

    fn acts_beside_passes(&self) -> bool {
        false
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("times", &mut self.times)?;
        state.of("noise", &mut self.noise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::given::{Shape, given};
    use crate::network::values;
    use crate::score::guide::Asked;
    use crate::trial::{self, step_info, streams};
    use tch::{Device, Kind};

    fn network() -> Network {
        let shape = Shape { axes: 2, columns: 4, width: 8, outputs: 2, rank: None };
        given(shape, &streams(), Device::Cpu).unwrap()
    }

    fn many(rows: u32) -> Batch {
        let ids: Vec<u32> = (0..rows).map(|row| row % trial::EXAMPLES).collect();
        trial::split(&[2]).unwrap().batch(&ids).unwrap()
    }

    #[test]
    fn an_exact_score_of_the_noise_alone_loses_nothing_and_zero_loses_a_unit_each() {
        // F = 0 is the score 0: ‖ε‖², 1 for each coordinate.
        let network = network();
        for parameter in &network.parameters {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().zero_());
        }
        let settings = ScoreSettings::default();
        let mut matching = Matching::new(&settings, Told::Nothing, 0.0, &streams());
        let losses = matching.losses(&network, &many(4_000), &step_info(0, 1)).unwrap();
        let mean = losses.mean(Kind::Double).double_value(&[]);
        assert!((mean - 2.0).abs() < 0.13, "{mean}");
        assert_eq!(matching.costs()["network_evaluations"], 4_000);
    }

    #[test]
    fn as_many_conditions_are_left_out_as_their_probability_says_and_their_columns_are_nothing() {
        let settings = ScoreSettings::default();
        let mut matching = Matching::new(&settings, Told::Classes(4), 0.15, &streams());
        let batch = many(6_000);
        let columns = matching.condition(&batch).unwrap().unwrap();
        let facts = matching.facts();
        let dropped = facts["conditions_dropped"].as_f64().unwrap();
        // Three deviations of a binomial: √(6,000·0.15·0.85) = 27.7.
        assert!((dropped - 900.0).abs() < 83.0, "{dropped}");
        assert_eq!(facts["conditions"], 6_000);
        let total = columns.sum(Kind::Double).double_value(&[]);
        assert!((total - (6_000.0 - dropped)).abs() < 1e-6);
        let rows = values(&columns.narrow(0, 0, 50)).unwrap();
        for (row, label) in rows.chunks(4).zip(0..50) {
            let sum: f32 = row.iter().sum();
            assert!(sum == 0.0 || row[label % 4] == 1.0, "{row:?}");
        }
    }

    #[test]
    fn numbers_come_with_the_word_that_there_is_one() {
        let all = Tensor::arange(i64::from(trial::EXAMPLES), (Kind::Float, Device::Cpu));
        let told = Told::Numbers(all);
        let columns = told.columns(&trial::batch(&[2]).unwrap()).unwrap().unwrap();
        assert_eq!(values(&columns).unwrap()[..6], [0.0, 1.0, 1.0, 1.0, 2.0, 1.0]);
    }

    #[test]
    fn a_class_that_is_not_there_and_times_out_of_order_are_refused_with_the_setting() {
        let network = network();
        let (side, streams) = (crate::side_info::SideInfo::default(), streams());
        let task = TaskInfo {
            method: "the method",
            workload: "points",
            network: &network,
            examples: 8,
            side: &side,
            teacher: None,
            budget_samples: 0,
            streams: &streams,
        };
        let with = |class| GuideSettings { class, ..GuideSettings::default() };
        let error = with(5).asked(4, &task).unwrap_err().to_string();
        assert!(error.contains("class 5") && error.contains("\"class\""), "{error}");
        assert!(matches!(with(4).asked(4, &task), Ok(Asked::Class(3, 4))));
        let swapped = GuideSettings { guide_from: 0.5, guide_until: 0.2, ..with(0) };
        assert!(swapped.together().unwrap_err().to_string().contains("guide_from 0.5"));
        let much = trial::with([("guidance", 1e6.into())]);
        assert!(GuideSettings::resolve(&much).unwrap_err().to_string().contains("guidance"));
    }
}
