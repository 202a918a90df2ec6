//! Training of rectified flows: on data and independent noise, then on pairs that a flow has made itself (Liu, Gong,
//! Liu, arXiv:2209.03003), with what Lee, Lin & Fanti change in it (arXiv:2405.20320).

use ledger::digest::Digest;
use ledger::settings::{SettingType as _, Values};
use ledger::streams::{self, Streams};
use ledger::{choice, order};
use rand_pcg::Pcg64;
use tch::{Device, Tensor};

use super::features::Frozen;
use super::{Flow, Form, Rule, Times, carry, straightness};
use crate::LabError;
use crate::diffusion::{Preconditioning, column, generation_as, noise_like, squared_distance};
use crate::network::Network;
use crate::samplers::Setup;
use crate::samplers::ode::Ode;
use crate::seat::{Batch, Costs, Facts, Objective, Sampler as _, Stage, StepInfo, TaskInfo};
use crate::self_made::SelfMade;
use crate::state::State;

choice! {
    /// Which model makes the first pairs.
    pub enum Teacher {
        /// A flow trained on data and independent noise, by Euler steps.
        Flow = "flow",
        /// A diffusion model as EDM trains it, by its Heun steps.
        Diffusion = "diffusion",
    }
}

choice! {
    /// What the weights of the first reflow are in the beginning.
    pub enum Begin {
        /// Those of the run.
        Fresh = "fresh",
        /// The teacher's.
        Teacher = "teacher",
    }
}

choice! {
    /// Which noise stands beside what was made.
    pub enum Coupling {
        /// That which it was made from.
        Own = "own",
        /// That of the item before: a control, which leaves nothing of pairs but their data.
        Shuffled = "shuffled",
    }
}

choice! {
    /// What a velocity loses. With d coordinates and e = z − x − v:
    pub enum Loss {
        /// ‖e‖²/d.
        Squared = "squared",
        /// (√(‖e‖² + c²) − c)/d with c = 0.00054·d.
        Huber = "huber",
        /// (1 − t) times that, and the distance of x and x_t − t·v in the features of a fixed network.
        Features = "features",
        /// The same with the distance over t.
        FeaturesByTime = "features-by-time",
    }
}

/// How a flow is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// How the network's output is used.
    pub form: Form,
    /// Which model makes the first pairs.
    pub teacher: Teacher,
    /// What the first reflow begins with.
    pub begin: Begin,
    /// Where losses are taken.
    pub times: Times,
    /// The a of U-shaped times, the shift of logit-normal ones.
    pub shape: f64,
    /// What is minimised.
    pub loss: Loss,
    /// Which noise stands beside what was made.
    pub coupling: Coupling,
    /// Pairs that a reflow learns from.
    pub pairs: u32,
    /// Evaluations of the network for each of them.
    pub pair_evaluations: u32,
}

/// Numbers that the straightness of a run's end is taken from, and its steps: a measurement, whose evaluations are not
/// counted among those of the method.
const MEASURED: usize = 8_192;
const MEASURED_STEPS: u32 = 100;

/// c/d.
const HUBER: f64 = 0.000_54;

/// Data that were made from noise, N × … each.
#[derive(Debug)]
struct Pairs {
    data: Tensor,
    noise: Tensor,
}

/// The objective of a flow: of the data while there are no pairs, of pairs from the first reflow on.
#[derive(Debug)]
pub struct Reflow {
    rules: Rules,
    sigma_data: f64,
    /// Shape of an example.
    shape: Vec<i64>,
    examples: u32,
    device: Device,
    streams: Streams,
    features: Option<Frozen>,
    teacher: Option<Network>,
    pairs: Option<Pairs>,
    made: Vec<SelfMade>,
    /// Reflows begun.
    reflows: u32,
    times: Pcg64,
    noise: Pcg64,
    evaluations: u64,
    straightness: Option<f64>,
}

impl Reflow {
    /// Times come from stream `flow time`, noise of data from stream `noise`, that of pairs from streams of their own.
    ///
    /// # Errors
    /// When there is nothing to generate, or a loss by features is asked of what is no image.
    pub fn new(rules: Rules, task: &TaskInfo<'_>, streams: &Streams) -> Result<Self, LabError> {
        let generation = generation_as(None, task)?;
        let shape = generation.shape.clone();
        let features = match (rules.loss, shape.as_slice()) {
            (Loss::Squared | Loss::Huber, _) => None,
            (_, &[channels, _, _]) => Some(Frozen::new(channels, task.device())?),
            (loss, other) => {
                let reason = format!(
                    "loss {} compares images, and an example is of shape {other:?}: take \"huber\"",
                    loss.write()
                );
                return Err(task.unfit(reason));
            }
        };
        Ok(Self {
            rules,
            sigma_data: generation.sigma_data,
            shape,
            examples: task.examples,
            device: task.device(),
            streams: streams.clone(),
            features,
            teacher: None,
            pairs: None,
            made: Vec::new(),
            reflows: 0,
            times: streams.generator("flow time"),
            noise: streams.generator("noise"),
            evaluations: 0,
            straightness: None,
        })
    }

    /// Of data and independent noise alone: a denoiser, by squares.
    ///
    /// # Errors
    /// When there is nothing to generate.
    pub fn of_data(
        times: Times,
        shape: f64,
        task: &TaskInfo<'_>,
        streams: &Streams,
    ) -> Result<Self, LabError> {
        let rules = Rules {
            form: Form::Denoiser,
            teacher: Teacher::Flow,
            begin: Begin::Fresh,
            times,
            shape,
            loss: Loss::Squared,
            coupling: Coupling::Own,
            pairs: 1,
            pair_evaluations: 1,
        };
        Self::new(rules, task, streams)
    }

    fn flow<'a>(&self, network: &'a Network) -> Flow<'a> {
        Flow { network, form: self.rules.form, sigma_data: self.sigma_data }
    }

    /// Pairs by `network`, in place of those before.
    fn make(&mut self, network: &Network, kind: Teacher) -> Result<(), LabError> {
        let Rules { form, pairs, pair_evaluations, coupling, .. } = self.rules;
        let seed = SelfMade::seed(&self.streams, "pairs", self.reflows);
        let noise = self.normal(pairs as usize, seed)?;
        let (data, each) = match kind {
            Teacher::Flow => (
                carry(&self.flow(network), &noise, pair_evaluations, Rule::Euler)?,
                pair_evaluations,
            ),
            Teacher::Diffusion => {
                let setup = Setup {
                    preconditioning: Preconditioning::Diffusion,
                    sigma_data: self.sigma_data,
                    evaluations: pair_evaluations,
                };
                let mut unused = order::generator(&seed);
                let ode = Ode { setup, heun: true };
                let data = ode.sample(network, &noise, pair_evaluations, &mut unused)?;
                // Heun's method has no use for an even one.
                (data, 2 * pair_evaluations.div_ceil(2) - 1)
            }
        };
        let noise = match coupling {
            Coupling::Own => noise,
            Coupling::Shuffled => noise.f_roll([1], [0])?,
        };
        let evaluations = u64::from(pairs) * u64::from(each);
        self.evaluations += evaluations;
        let settings = Values::from([
            ("coupling".to_owned(), coupling.write()),
            ("model".to_owned(), kind.write()),
            ("form".to_owned(), form.write()),
            ("evaluations".to_owned(), pair_evaluations.into()),
        ]);
        let figures = [u64::from(pairs), evaluations];
        let made =
            SelfMade::new("pairs", network.digest()?, &settings, seed, figures, &[&noise, &data])?;
        self.made.push(made);
        self.pairs = Some(Pairs { data, noise });
        Ok(())
    }

    /// Standard normal numbers for so many examples, from a seed.
    fn normal(&self, rows: usize, seed: Digest) -> Result<Tensor, LabError> {
        let each: i64 = self.shape.iter().product();
        let mut random = order::generator(&seed);
        let numbers = streams::normal(&mut random, rows * usize::try_from(each).unwrap_or(0));
        let shape = [&[rows as i64], self.shape.as_slice()].concat();
        Ok(Tensor::f_from_slice(&numbers)?.f_view(shape.as_slice())?.f_to_device(self.device)?)
    }

    /// Data and noise of a batch: its own and fresh noise, or in place of example i of epoch e the pair
    /// (e·n + i) mod N, of n examples and N pairs.
    fn ends(&mut self, batch: &Batch, now: &StepInfo) -> Result<[Tensor; 2], LabError> {
        let Some(Pairs { data, noise }) = &self.pairs else {
            let noise = noise_like(&batch.inputs, &mut self.noise)?;
            return Ok([batch.inputs.shallow_clone(), noise]);
        };
        let before = i64::from(now.epoch) * i64::from(self.examples);
        let places = batch.sample_ids.f_add_scalar(before)?;
        let places = places.f_remainder(i64::from(self.rules.pairs))?;
        let ends = [data.f_index_select(0, &places)?, noise.f_index_select(0, &places)?];
        if let Some(made) = self.made.last_mut() {
            made.used(now.step);
        }
        Ok(ends)
    }
}

impl Objective for Reflow {
    fn learn_from(&mut self, tutor: Network) {
        self.teacher = Some(tutor);
    }

    fn enter(&mut self, stage: usize, network: &Network) -> Result<(), LabError> {
        let teacher = self.teacher.take();
        match &teacher {
            Some(teacher) if stage == 0 => {
                self.make(teacher, self.rules.teacher)?;
                if self.rules.begin == Begin::Teacher {
                    for (own, taught) in network.parameters.iter().zip(&teacher.parameters) {
                        own.tensor.shallow_clone().f_copy_(&taught.tensor)?;
                    }
                }
            }
            None if stage > 0 => self.make(network, Teacher::Flow)?,
            _ => return Err(LabError::Method("the first reflow has no teacher".to_owned())),
        }
        self.reflows += 1;
        Ok(())
    }

    /// From the first reflow on: what has the teacher's weights starts afresh, its average too.
    fn stage(&self, _: &StepInfo) -> Stage {
        Stage { index: self.reflows, lr_factor: 1.0 }
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let [data, noise] = self.ends(batch, now)?;
        let Rules { times, shape, loss, .. } = self.rules;
        let at: Vec<f64> = batch.ids.iter().map(|_| times.draw(shape, &mut self.times)).collect();
        let target = noise.f_sub(&data)?;
        let column = |numbers: &[f64]| column(numbers, &data);
        let between = data.f_addcmul(&target, &column(&at)?)?;
        let velocity = self.flow(network).rows(&between, &at)?;
        self.evaluations += batch.ids.len() as u64;
        let coordinates = self.shape.iter().product::<i64>().max(1) as f64;
        let squared = squared_distance(&velocity, &target)?;
        if loss == Loss::Squared {
            return Ok(squared.f_div_scalar(coordinates)?);
        }
        let c = HUBER * coordinates;
        let huber = squared.f_add_scalar(c * c)?.f_sqrt()?.f_sub_scalar(c)?;
        let huber = huber.f_div_scalar(coordinates)?;
        let Some(features) = &self.features else { return Ok(huber) };
        let minus: Vec<f64> = at.iter().map(|t| -t).collect();
        let clean = between.f_addcmul(&velocity, &column(&minus)?)?;
        let of_row = |weight: fn(&f64) -> f64| -> Result<Tensor, LabError> {
            let weights: Vec<f32> = at.iter().map(|t| weight(t) as f32).collect();
            Ok(Tensor::f_from_slice(&weights)?.f_to_device(self.device)?)
        };
        let mut apart = features.distance(&clean, &data)?;
        if loss == Loss::FeaturesByTime {
            apart = apart.f_mul(&of_row(|t| 1.0 / t)?)?;
        }
        Ok(huber.f_mul(&of_row(|t| 1.0 - t)?)?.f_add(&apart)?)
    }

    fn after_step(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<(), LabError> {
        if now.step + 1 < now.total_steps {
            return Ok(());
        }
        let each = self.shape.iter().product::<i64>().max(1);
        let rows = (MEASURED / usize::try_from(each).unwrap_or(1)).max(1);
        let noise = self.normal(rows, SelfMade::seed(&self.streams, "straightness", 0))?;
        let straightness = straightness(&self.flow(network), &noise, MEASURED_STEPS)?;
        self.straightness = Some(straightness);
        Ok(())
    }

    fn costs(&self) -> Costs {
        Costs::from([("network_evaluations", self.evaluations)])
    }

    fn facts(&self) -> Facts {
        let mut facts = SelfMade::facts(&self.made);
        facts.insert("straightness".to_owned(), self.straightness.into());
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.network("teacher", &mut self.teacher)?;
        let mut pairs = self.pairs.take().map(|Pairs { data, noise }| (data, noise));
        state.of("pairs", &mut pairs)?;
        self.pairs = pairs.map(|(data, noise)| Pairs { data, noise });
        state.told("made", &mut self.made)?;
        state.of("reflows", &mut self.reflows)?;
        state.of("times", &mut self.times)?;
        state.of("noise", &mut self.noise)?;
        state.of("evaluations", &mut self.evaluations)?;
        state.of("straightness", &mut self.straightness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp2d::mlp2d;
    use crate::network::values;
    use crate::self_made::SELF_MADE;
    use crate::side_info::{Generation, SideInfo};
    use crate::trial::{self, step_info};

    const RULES: Rules = Rules {
        form: Form::Denoiser,
        teacher: Teacher::Flow,
        begin: Begin::Teacher,
        times: Times::Uniform,
        shape: 4.0,
        loss: Loss::Squared,
        coupling: Coupling::Own,
        pairs: 20,
        pair_evaluations: 5,
    };

    fn network(width: usize) -> Network {
        mlp2d(2, width, &trial::streams(), Device::Cpu).unwrap()
    }

    fn reflow(rules: Rules, network: &Network, shape: &[i64]) -> Result<Reflow, LabError> {
        let fresh = Tensor::zeros([1, 2], (tch::Kind::Float, Device::Cpu));
        let generation = Generation {
            shape: shape.to_vec(),
            sigma_data: 0.5,
            fresh,
            conditions: None,
            reward: None,
            start: None,
        };
        let side = SideInfo { generation: Some(generation), ..SideInfo::default() };
        let streams = trial::streams();
        let task = TaskInfo {
            method: "rectified-flow",
            workload: "points",
            network,
            examples: 8,
            side: &side,
            teacher: None,
            budget_samples: 0,
            streams: &streams,
        };
        Reflow::new(rules, &task, &streams)
    }

    fn entered(rules: Rules, network: &Network, teacher: Network) -> Reflow {
        let mut reflow = reflow(rules, network, &[2]).unwrap();
        reflow.learn_from(teacher);
        tch::no_grad(|| reflow.enter(0, network)).unwrap();
        reflow
    }

    fn losses(reflow: &mut Reflow, network: &Network, epoch: u32) -> Vec<f32> {
        let batch = trial::batch(&[2]).unwrap();
        let now = StepInfo { epoch, ..step_info(u64::from(epoch), 9) };
        values(&reflow.losses(network, &batch, &now).unwrap()).unwrap()
    }

    #[test]
    fn pairs_are_where_their_noise_is_carried_bit_for_bit_and_the_same_for_every_network_that_asks()
    {
        let (own, teacher) = (network(8), network(16));
        let kept = values(&teacher.parameters[0].tensor).unwrap();
        let rules = Rules { begin: Begin::Fresh, ..RULES };
        let reflow = entered(rules, &own, teacher.duplicate());
        let Pairs { data, noise } = reflow.pairs.as_ref().unwrap();
        let flow = Flow { network: &teacher, form: Form::Denoiser, sigma_data: 0.5 };
        let again = tch::no_grad(|| carry(&flow, noise, 5, Rule::Euler)).unwrap();
        assert_eq!(values(&again).unwrap(), values(data).unwrap());
        assert_eq!(values(&teacher.parameters[0].tensor).unwrap(), kept);
        assert_eq!(reflow.costs()["network_evaluations"], 100);
        // Shuffled, the same data stand beside the noise before.
        let rules = Rules { coupling: Coupling::Shuffled, ..rules };
        let shuffled = entered(rules, &own, teacher.duplicate()).pairs.unwrap();
        assert_eq!(values(&shuffled.data).unwrap(), values(data).unwrap());
        assert_eq!(
            values(&shuffled.noise.select(0, 1)).unwrap(),
            values(&noise.select(0, 0)).unwrap()
        );
        // Another teacher's pairs have the same noise.
        let other = entered(RULES, &own, network(8));
        assert_eq!(values(&other.pairs.unwrap().noise).unwrap(), values(noise).unwrap());
        assert_ne!(reflow.made[0].id(0), other.made[0].id(0));
    }

    #[test]
    fn the_first_reflow_begins_with_the_teachers_weights_or_with_its_own() {
        for (begin, same) in [(Begin::Teacher, true), (Begin::Fresh, false)] {
            let (own, teacher) = (network(8), network(8));
            let _ =
                tch::no_grad(|| teacher.parameters[0].tensor.shallow_clone().f_add_scalar_(0.5))
                    .unwrap();
            let digest = teacher.digest().unwrap();
            let reflow = entered(Rules { begin, ..RULES }, &own, teacher);
            assert_eq!(own.digest().unwrap() == digest, same, "{begin:?}");
            assert_eq!(reflow.made[0].network, digest);
            // The loop starts its optimiser and average afresh where the stage is another one.
            assert_eq!(reflow.stage(&step_info(0, 9)).index, 1);
        }
    }

    #[test]
    fn a_batch_of_a_reflow_holds_pairs_and_no_example_and_epochs_walk_through_all_of_them() {
        let own = network(8);
        let mut reflow = entered(RULES, &own, network(8));
        let batch = trial::batch(&[2]).unwrap();
        let all = values(&reflow.pairs.as_ref().unwrap().data).unwrap();
        for (epoch, places) in [(0, [0, 7]), (1, [8, 15]), (2, [16, 3])] {
            let now = StepInfo { epoch, ..step_info(3, 9) };
            let [data, _] = reflow.ends(&batch, &now).unwrap();
            let data = values(&data).unwrap();
            for (row, place) in [0, 7].into_iter().zip(places) {
                assert_eq!(data[2 * row..2 * row + 2], all[2 * place..2 * place + 2], "{epoch}");
            }
        }
        assert_eq!(reflow.facts()[SELF_MADE][0]["step"], 3);
    }

    #[test]
    fn a_second_reflow_makes_its_pairs_by_the_network_as_it_is_then() {
        let own = network(8);
        let rules = Rules { teacher: Teacher::Diffusion, ..RULES };
        let mut reflow = entered(rules, &own, network(8));
        // Heun's method: 2N − 1 evaluations.
        assert_eq!(reflow.costs()["network_evaluations"], 100);
        let first = values(&reflow.pairs.as_ref().unwrap().data).unwrap();
        tch::no_grad(|| reflow.enter(1, &own)).unwrap();
        assert_ne!(values(&reflow.pairs.as_ref().unwrap().data).unwrap(), first);
        let rows = reflow.facts();
        assert_eq!(rows[SELF_MADE].as_array().unwrap().len(), 2);
        assert_eq!(rows[SELF_MADE][1]["network"], own.digest().unwrap().to_string());
        assert!(tch::no_grad(|| entered(RULES, &own, network(8)).enter(0, &own)).is_err());
    }

    #[test]
    fn losses_are_those_of_their_formulas() {
        let own = network(8);
        let with = |loss| entered(Rules { loss, ..RULES }, &own, network(8));
        let squared = losses(&mut with(Loss::Squared), &own, 0);
        let huber = losses(&mut with(Loss::Huber), &own, 0);
        // c = 0.00054·d, not ·√d, which is iCT's: 1.65888 for CIFAR-10.
        assert!((HUBER * 3_072.0 - 1.658_88).abs() < 1e-9);
        let c = 0.001_08_f64;
        for (squared, huber) in squared.into_iter().zip(huber) {
            let expected = ((2.0 * f64::from(squared) + c * c).sqrt() - c) / 2.0;
            assert!((f64::from(huber) - expected).abs() < 1e-5, "{huber} {expected}");
        }
    }

    #[test]
    fn before_a_reflow_a_flow_learns_from_the_data() {
        let own = network(8);
        let mut plain = reflow(RULES, &own, &[2]).unwrap();
        let batch = trial::batch(&[2]).unwrap();
        let [data, noise] = plain.ends(&batch, &step_info(0, 9)).unwrap();
        assert_eq!(values(&data).unwrap(), values(&batch.inputs).unwrap());
        assert!(
            values(&noise).unwrap()
                != values(&plain.ends(&batch, &step_info(0, 9)).unwrap()[1]).unwrap()
        );
        assert_eq!(plain.stage(&step_info(0, 9)).index, 0);
        assert!(losses(&mut plain, &own, 0).iter().all(|loss| loss.is_finite()));
        assert_eq!(plain.facts()[SELF_MADE].as_array().unwrap().len(), 0);
    }

    #[test]
    fn a_loss_by_features_is_for_images() {
        let own = network(8);
        let rules = Rules { loss: Loss::Features, ..RULES };
        let error = reflow(rules, &own, &[2]).unwrap_err().to_string();
        assert!(error.contains("\"features\" compares images") && error.contains("\"huber\""));
        assert!(reflow(rules, &own, &[1, 8, 8]).is_ok());
    }
}
