//! One step of a diffusion model taught by many steps of the same one: pairs of noise and of what a frozen teacher made of
//! it, compared in the features of a fixed network, as they are, above a spatial frequency and along edges (after HiPA,
//! arXiv:2311.18158, as far as it is known).

use ledger::settings::Values;
use ledger::streams::{self, Streams};
use ledger::{choice, order};
use tch::{Device, Tensor};

use crate::LabError;
use crate::diffusion::{Denoise, Preconditioning, SIGMA_MAX, generation};
use crate::flow::features::Frozen;
use crate::high_frequency::Bands;
use crate::network::Network;
use crate::samplers::Setup;
use crate::samplers::ode::Ode;
use crate::seat::{Batch, Costs, Facts, Objective, Sampler as _, Stage, StepInfo, TaskInfo};
use crate::self_made::SelfMade;
use crate::state::State;

choice! {
    /// Where images are compared beside their features.
    pub enum Fine {
        /// Above the frequency, and along edges.
        Both = "both",
        /// Above the frequency alone.
        Band = "band",
        /// Along edges alone.
        Edges = "edges",
    }
}

/// What is learnt from, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// λ, the weight of what is fine; 0 leaves it out.
    pub fine_weight: f64,
    /// Which of it.
    pub fine: Fine,
    /// The frequency, as a share of half a cycle per pixel.
    pub cutoff: f64,
    /// Pairs that the teacher makes.
    pub pairs: u32,
    /// Evaluations of the network for each.
    pub pair_evaluations: u32,
}

/// Noise and what was made of it, N × C × H × W each.
#[derive(Debug)]
struct Pairs {
    noise: Tensor,
    made: Tensor,
}

/// The objective of one step.
#[derive(Debug)]
pub struct OneStepPairs {
    rules: Rules,
    sigma_data: f64,
    shape: Vec<i64>,
    examples: u32,
    device: Device,
    streams: Streams,
    features: Frozen,
    bands: Bands,
    teacher: Option<Network>,
    pairs: Option<Pairs>,
    made: Vec<SelfMade>,
    /// Whether the teacher has made its pairs.
    begun: u32,
    evaluations: u64,
}

impl OneStepPairs {
    /// Noise of the pairs comes from a stream of their own.
    ///
    /// # Errors
    /// When there is nothing to generate, or what there is are no images.
    pub fn new(rules: Rules, task: &TaskInfo<'_>) -> Result<Self, LabError> {
        let generation = generation(task)?;
        let shape = generation.shape.clone();
        let &[channels, height, width] = shape.as_slice() else {
            let reason = format!("it compares images, and an example is of shape {shape:?}");
            return Err(task.unfit(reason));
        };
        Ok(Self {
            rules,
            sigma_data: generation.sigma_data,
            examples: task.examples,
            device: task.device(),
            streams: task.streams.clone(),
            features: Frozen::new(channels, task.device())?,
            bands: Bands::new([height, width], rules.cutoff, task.device())?,
            shape,
            teacher: None,
            pairs: None,
            made: Vec::new(),
            begun: 0,
            evaluations: 0,
        })
    }

    /// Pairs of the teacher's.
    fn make(&mut self, teacher: &Network) -> Result<Pairs, LabError> {
        let Rules { pairs, pair_evaluations, .. } = self.rules;
        let seed = SelfMade::seed(&self.streams, "pairs", 0);
        let mut random = order::generator(&seed);
        let each = usize::try_from(self.shape.iter().product::<i64>()).unwrap_or(0);
        let numbers = streams::normal(&mut random, pairs as usize * each);
        let shape = [&[i64::from(pairs)], self.shape.as_slice()].concat();
        let noise = Tensor::f_from_slice(&numbers)?.f_view(shape.as_slice())?;
        let noise = noise.f_to_device(self.device)?;
        let setup = Setup {
            preconditioning: Preconditioning::Diffusion,
            sigma_data: self.sigma_data,
            evaluations: pair_evaluations,
        };
        let made =
            Ode { setup, heun: true }.sample(teacher, &noise, pair_evaluations, &mut random)?;
        // Heun's method has no use for an even one.
        let each = u64::from(2 * pair_evaluations.div_ceil(2) - 1);
        let figures = [u64::from(pairs), u64::from(pairs) * each];
        self.evaluations += figures[1];
        let settings = Values::from([("evaluations".to_owned(), pair_evaluations.into())]);
        let digest = teacher.digest()?;
        let contents = [&noise, &made];
        self.made.push(SelfMade::new("pairs", digest, &settings, seed, figures, &contents)?);
        Ok(Pairs { noise, made })
    }

    /// ‖P(x̂) − P(y)‖² and λ times the same of what is fine, shape B.
    fn compare(&self, own: &Tensor, goal: &Tensor) -> Result<Tensor, LabError> {
        let Rules { fine_weight, fine, .. } = self.rules;
        let mut sum = self.features.contrast(own, goal)?;
        if fine_weight == 0.0 {
            return Ok(sum);
        }
        let mut add = |own: Tensor, goal: Tensor| -> Result<(), LabError> {
            let apart = self.features.contrast(&own, &goal)?.f_mul_scalar(fine_weight)?;
            sum = sum.f_add(&apart)?;
            Ok(())
        };
        if fine != Fine::Edges {
            add(self.bands.high(own)?, self.bands.high(goal)?)?;
        }
        if fine != Fine::Band {
            add(self.bands.edges(own)?, self.bands.edges(goal)?)?;
        }
        Ok(sum)
    }
}

impl Objective for OneStepPairs {
    fn learn_from(&mut self, tutor: Network) {
        self.teacher = Some(tutor);
    }

    fn enter(&mut self, _: usize, _: &Network) -> Result<(), LabError> {
        let Some(teacher) = self.teacher.take() else {
            return Err(LabError::Method("one step without a teacher of many".to_owned()));
        };
        self.pairs = Some(self.make(&teacher)?);
        self.begun = 1;
        Ok(())
    }

    /// From the teacher's weights on: the average starts afresh.
    fn stage(&self, _: &StepInfo) -> Stage {
        Stage { index: self.begun, lr_factor: 1.0 }
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let Some(Pairs { noise, made }) = &self.pairs else {
            return Err(LabError::Method("a step before there are pairs".to_owned()));
        };
        let before = i64::from(now.epoch) * i64::from(self.examples);
        let places = batch.sample_ids.f_add_scalar(before)?;
        let places = places.f_remainder(i64::from(self.rules.pairs))?;
        let noisy = noise.f_index_select(0, &places)?.f_mul_scalar(SIGMA_MAX)?;
        let preconditioning = Preconditioning::Diffusion;
        let map = Denoise { network, preconditioning, sigma_data: self.sigma_data };
        let own = map.rows(&noisy, &[SIGMA_MAX])?;
        let losses = self.compare(&own, &made.f_index_select(0, &places)?)?;
        self.evaluations += batch.ids.len() as u64;
        if let Some(made) = self.made.last_mut() {
            made.used(now.step);
        }
        Ok(losses)
    }

    fn costs(&self) -> Costs {
        Costs::from([("network_evaluations", self.evaluations)])
    }

    fn facts(&self) -> Facts {
        SelfMade::facts(&self.made)
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.network("teacher", &mut self.teacher)?;
        let mut pairs = self.pairs.take().map(|Pairs { noise, made }| (noise, made));
        state.of("pairs", &mut pairs)?;
        self.pairs = pairs.map(|(noise, made)| Pairs { noise, made });
        state.told("made", &mut self.made)?;
        state.of("begun", &mut self.begun)?;
        state.of("evaluations", &mut self.evaluations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::unet_s::unet_s;
    use crate::network::values;
    use crate::side_info::{Generation, SideInfo};
    use crate::trial::{self, step_info};
    use tch::Kind;

    const RULES: Rules =
        Rules { fine_weight: 1.0, fine: Fine::Both, cutoff: 0.25, pairs: 12, pair_evaluations: 5 };

    fn network() -> Network {
        unet_s(8, &trial::streams(), Device::Cpu).unwrap()
    }

    fn objective(rules: Rules, shape: &[i64]) -> Result<OneStepPairs, LabError> {
        let fresh = Tensor::zeros([1, 1, 8, 8], (Kind::Float, Device::Cpu));
        let generation = Generation {
            shape: shape.to_vec(),
            sigma_data: 0.5,
            fresh,
            conditions: None,
            reward: None,
            start: None,
        };
        let side = SideInfo { generation: Some(generation), ..SideInfo::default() };
        let (network, streams) = (network(), trial::streams());
        OneStepPairs::new(rules, &trial::task(&network, &side, &streams))
    }

    fn begun(rules: Rules) -> OneStepPairs {
        let mut objective = objective(rules, &[1, 8, 8]).unwrap();
        objective.learn_from(network());
        tch::no_grad(|| objective.enter(0, &network())).unwrap();
        objective
    }

    #[test]
    fn pairs_are_what_the_teacher_makes_of_their_noise_in_as_many_evaluations() {
        let mut objective = begun(RULES);
        let Pairs { noise, made } = objective.pairs.take().unwrap();
        let setup =
            Setup { preconditioning: Preconditioning::Diffusion, sigma_data: 0.5, evaluations: 5 };
        let mut random = order::generator(&SelfMade::seed(&trial::streams(), "pairs", 0));
        let again = tch::no_grad(|| {
            Ode { setup, heun: true }.sample(&network(), &noise, 5, &mut random).unwrap()
        });
        assert_eq!(values(&made).unwrap(), values(&again).unwrap());
        assert_eq!(objective.evaluations, 12 * 5);
        assert_eq!(objective.made[0].network, network().digest().unwrap());
        assert_eq!(objective.stage(&step_info(0, 9)).index, 1);
    }

    #[test]
    fn without_weight_what_is_fine_is_left_out_and_with_it_it_is_added_in_parts() {
        let losses = |rules: Rules| -> Vec<f32> {
            let mut objective = begun(rules);
            let batch = trial::batch(&[8, 8, 1]).unwrap();
            values(&objective.losses(&network(), &batch, &step_info(0, 9)).unwrap()).unwrap()
        };
        let plain = losses(Rules { fine_weight: 0.0, ..RULES });
        let fine = |fine| losses(Rules { fine, ..RULES });
        let (both, band, edges) = (fine(Fine::Both), fine(Fine::Band), fine(Fine::Edges));
        let twice = losses(Rules { fine_weight: 2.0, ..RULES });
        let rows = plain.iter().zip(&both).zip(&twice).zip(band.iter().zip(&edges));
        for (((plain, both), twice), (band, edges)) in rows {
            let (band, edges) = (band - plain, edges - plain);
            assert!(*plain > 0.0 && band > 0.0 && edges > 0.0);
            assert!((both - plain - band - edges).abs() < 1e-5 * both);
            assert!((twice - plain - 2.0 * (band + edges)).abs() < 1e-5 * twice);
        }
        // The cut-off says what is fine.
        assert_ne!(losses(Rules { fine: Fine::Band, cutoff: 0.01, ..RULES }), band);
    }

    #[test]
    fn a_step_evaluates_the_network_once_for_each_pair_and_epochs_walk_through_all() {
        let mut objective = begun(RULES);
        let batch = trial::batch(&[8, 8, 1]).unwrap();
        let now = StepInfo { epoch: 1, ..step_info(3, 9) };
        let loss = objective.losses(&network(), &batch, &now).unwrap();
        assert_eq!((loss.size(), objective.evaluations), (vec![8], 12 * 5 + 8));
        assert_eq!(objective.facts()[crate::self_made::SELF_MADE][0]["step"], 3);
        // Eight examples of epoch 1 are pairs 8, 9, 10, 11, 0, 1, 2, 3 of twelve: row 4 is pair 0.
        let first = objective.losses(&network(), &batch, &step_info(3, 9)).unwrap();
        let (loss, first) = (values(&loss).unwrap(), values(&first).unwrap());
        for (own, other) in loss[4..].iter().zip(&first[..4]) {
            assert!((own - other).abs() < 1e-4 * other, "{own} {other}");
        }
        assert!((loss[0] - first[0]).abs() > 1e-4 * first[0]);
    }

    #[test]
    fn points_are_refused_and_a_stage_without_a_teacher_is_a_fault() {
        let error = objective(RULES, &[2]).unwrap_err().to_string();
        assert!(error.contains("compares images"), "{error}");
        let mut lonely = objective(RULES, &[1, 8, 8]).unwrap();
        assert!(lonely.enter(0, &network()).is_err());
    }
}
