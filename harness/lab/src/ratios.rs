//! A generative model as the discriminator of its own past: direct discriminative optimisation (Zheng et al.,
//! arXiv:2503.01103). With r = log p_θ − log p_ref, θ begun at the reference:
//! L = −E_data log σ(β·r) − α·E_ref log(1 − σ(β·r)).
//!
//! A diffusion model has no r at hand; in its place stands, inside the sigmoid, what one draw of level and noise says:
//! Δ = ‖F_ref − F̂‖² − ‖F_θ − F̂‖² of EDM's raw network and its target, a sum over coordinates.

use ledger::digest::Digest;
use ledger::settings::Values;
use ledger::streams::{self, Streams};
use ledger::{choice, order};
use rand_pcg::Pcg64;
use tch::{Device, TchError, Tensor};

use crate::LabError;
use crate::diffusion::{
    Denoise, Preconditioning, column, generation, noise_like, noised, squared_distance,
};
use crate::network::Network;
use crate::objectives::denoising::Denoising;
use crate::samplers::Setup;
use crate::samplers::ode::Ode;
use crate::seat::{Batch, Costs, Facts, Objective, Sampler as _, Stage, StepInfo, TaskInfo};
use crate::self_made::SelfMade;
use crate::state::State;

choice! {
    /// What is done from the reference on.
    pub enum Continued {
        /// It is told from the data, round by round.
        Ddo = "ddo",
        /// It goes on learning as before: the control.
        Plain = "plain",
    }
}

/// −log σ(β·r) of ratios of data and −α·log(1 − σ(β·r)) of those of fakes, of their shapes.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn losses(
    data: &Tensor,
    fakes: &Tensor,
    [alpha, beta]: [f64; 2],
) -> Result<[Tensor; 2], TchError> {
    let real = data.f_mul_scalar(-beta)?.f_softplus()?;
    let fake = fakes.f_mul_scalar(beta)?.f_softplus()?.f_mul_scalar(alpha)?;
    Ok([real, fake])
}

/// How the reference is told from the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// What is done.
    pub continued: Continued,
    /// α, the weight of fakes.
    pub alpha: f64,
    /// β, the sharpness.
    pub beta: f64,
    /// Mean and deviation of ln σ.
    pub levels: [f64; 2],
    /// Fakes that a reference makes.
    pub fakes: u32,
    /// Evaluations of the network for each.
    pub fake_evaluations: u32,
}

/// A reference and what it made.
#[derive(Debug)]
struct Reference {
    network: Network,
    digest: Digest,
    /// N × …; none where nothing is told from data.
    fakes: Option<Tensor>,
}

/// The objective of all rounds.
#[derive(Debug)]
pub struct Ratios {
    rules: Rules,
    sigma_data: f64,
    shape: Vec<i64>,
    examples: u32,
    device: Device,
    streams: Streams,
    plain: Denoising,
    tutor: Option<Network>,
    reference: Option<Reference>,
    made: Vec<SelfMade>,
    rounds: u32,
    levels: Pcg64,
    noise: Pcg64,
    evaluations: u64,
}

impl Ratios {
    /// Levels and noise come from streams of their own.
    ///
    /// # Errors
    /// When there is nothing to generate.
    pub fn new(rules: Rules, task: &TaskInfo<'_>) -> Result<Self, LabError> {
        let generation = generation(task)?;
        let [mean, deviation] = rules.levels;
        let sigma_data = generation.sigma_data;
        Ok(Self {
            rules,
            sigma_data,
            shape: generation.shape.clone(),
            examples: task.examples,
            device: task.device(),
            streams: task.streams.clone(),
            plain: Denoising::new(mean, deviation, sigma_data, task.streams),
            tutor: None,
            reference: None,
            made: Vec::new(),
            rounds: 0,
            levels: task.streams.generator("ratio sigma"),
            noise: task.streams.generator("ratio noise"),
            evaluations: 0,
        })
    }

    /// Fakes of a reference.
    fn make(&mut self, network: &Network) -> Result<Tensor, LabError> {
        let Rules { fakes, fake_evaluations, .. } = self.rules;
        let seed = SelfMade::seed(&self.streams, "fakes", self.rounds);
        let mut random = order::generator(&seed);
        let each = usize::try_from(self.shape.iter().product::<i64>()).unwrap_or(0);
        let numbers = streams::normal(&mut random, fakes as usize * each);
        let shape = [&[i64::from(fakes)], self.shape.as_slice()].concat();
        let noise = Tensor::f_from_slice(&numbers)?.f_view(shape.as_slice())?;
        let noise = noise.f_to_device(self.device)?;
        let setup = Setup {
            preconditioning: Preconditioning::Diffusion,
            sigma_data: self.sigma_data,
            evaluations: fake_evaluations,
        };
        let ode = Ode { setup, heun: true };
        let samples = ode.sample(network, &noise, fake_evaluations, &mut random)?;
        // Heun's method has no use for an even one.
        let each = u64::from(2 * fake_evaluations.div_ceil(2) - 1);
        let figures = [u64::from(fakes), u64::from(fakes) * each];
        self.evaluations += figures[1];
        let settings = Values::from([("evaluations".to_owned(), fake_evaluations.into())]);
        let digest = network.digest()?;
        self.made.push(SelfMade::new("fakes", digest, &settings, seed, figures, &[&samples])?);
        Ok(samples)
    }

    /// Δ of points B × …, shape B, at levels and noise that network and reference have in common.
    fn ratios(
        &mut self,
        network: &Network,
        reference: &Network,
        x: &Tensor,
    ) -> Result<Tensor, LabError> {
        let rows = x.size().first().copied().unwrap_or(0);
        let [mean, deviation] = self.rules.levels;
        let drawn = streams::normal(&mut self.levels, usize::try_from(rows).unwrap_or(0));
        let sigmas: Vec<f64> =
            drawn.into_iter().map(|normal| (mean + deviation * f64::from(normal)).exp()).collect();
        let noisy = noised(x, &noise_like(x, &mut self.noise)?, &sigmas)?;
        let errors = |network: &Network| -> Result<Tensor, LabError> {
            let preconditioning = Preconditioning::Diffusion;
            let map = Denoise { network, preconditioning, sigma_data: self.sigma_data };
            Ok(squared_distance(&map.rows(&noisy, &sigmas)?, x)?)
        };
        let own = errors(network)?;
        let before = tch::no_grad(|| errors(reference))?;
        self.evaluations += 2 * rows.unsigned_abs();
        // λ(σ)‖D − x‖² = ‖F − F̂‖².
        let weights: Vec<f64> = sigmas.iter().map(|&sigma| self.plain.weight(sigma)).collect();
        Ok(before.f_sub(&own)?.f_mul(&column(&weights, &own)?)?)
    }
}

impl Objective for Ratios {
    fn learn_from(&mut self, tutor: Network) {
        self.tutor = Some(tutor);
    }

    fn enter(&mut self, stage: usize, network: &Network) -> Result<(), LabError> {
        let reference = match (self.tutor.take(), stage) {
            (Some(tutor), 0) => {
                for (own, trained) in network.parameters.iter().zip(&tutor.parameters) {
                    own.tensor.shallow_clone().f_copy_(&trained.tensor)?;
                }
                tutor
            }
            (None, 1..) => network.duplicate(),
            _ => {
                return Err(LabError::Method("the first round has no reference".to_owned()));
            }
        };
        let fakes = match self.rules.continued {
            Continued::Ddo => Some(self.make(&reference)?),
            Continued::Plain => None,
        };
        self.reference = Some(Reference { digest: reference.digest()?, network: reference, fakes });
        self.rounds += 1;
        Ok(())
    }

    /// Every round starts afresh, its average too.
    fn stage(&self, _: &StepInfo) -> Stage {
        Stage { index: self.rounds, lr_factor: 1.0 }
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        if self.rules.continued == Continued::Plain {
            self.evaluations += batch.ids.len() as u64;
            return self.plain.losses(network, batch, now);
        }
        let Some(Reference { network: reference, digest, fakes: Some(fakes) }) =
            self.reference.take()
        else {
            return Err(LabError::Method("a round without a reference".to_owned()));
        };
        let before = i64::from(now.epoch) * i64::from(self.examples);
        let places = batch.sample_ids.f_add_scalar(before)?;
        let places = places.f_remainder(i64::from(self.rules.fakes))?;
        let fake = fakes.f_index_select(0, &places)?;
        if let Some(made) = self.made.last_mut() {
            made.used(now.step);
        }
        let own = self.ratios(network, &reference, &batch.inputs)?;
        let other = self.ratios(network, &reference, &fake)?;
        self.reference = Some(Reference { network: reference, digest, fakes: Some(fakes) });
        let Rules { alpha, beta, .. } = self.rules;
        let [real, fake] = losses(&own, &other, [alpha, beta])?;
        Ok(real.f_add(&fake)?)
    }

    fn costs(&self) -> Costs {
        Costs::from([("network_evaluations", self.evaluations)])
    }

    fn facts(&self) -> Facts {
        let mut facts = SelfMade::facts(&self.made);
        facts.insert("rounds".to_owned(), self.rounds.into());
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.plain.state(state)?;
        state.network("tutor", &mut self.tutor)?;
        let (mut network, mut kept) = match self.reference.take() {
            Some(Reference { network, digest, fakes }) => (Some(network), Some((digest, fakes))),
            None => (None, None),
        };
        let mut digest = kept.as_ref().map(|(digest, _)| *digest);
        let mut fakes = kept.take().and_then(|(_, fakes)| fakes);
        state.network("reference", &mut network)?;
        state.told("digest", &mut digest)?;
        state.of("fakes", &mut fakes)?;
        let reference = network.zip(digest);
        self.reference = reference.map(|(network, digest)| Reference { network, digest, fakes });
        state.told("made", &mut self.made)?;
        state.of("rounds", &mut self.rounds)?;
        state.of("levels", &mut self.levels)?;
        state.of("noise", &mut self.noise)?;
        state.of("evaluations", &mut self.evaluations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp2d::mlp2d;
    use crate::network::values;
    use crate::side_info::{Generation, SideInfo};
    use crate::trial::{self, step_info};
    use tch::Kind;

    const RULES: Rules = Rules {
        continued: Continued::Ddo,
        alpha: 4.0,
        beta: 0.05,
        levels: [-1.2, 1.2],
        fakes: 20,
        fake_evaluations: 5,
    };

    fn network() -> Network {
        mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap()
    }

    fn begun(rules: Rules, network: &Network) -> Ratios {
        let fresh = Tensor::zeros([1, 2], (Kind::Float, Device::Cpu));
        let (shape, conditions) = (vec![2], None);
        let generation = Some(Generation {
            shape,
            sigma_data: 0.5,
            fresh,
            conditions,
            reward: None,
            start: None,
        });
        let side = SideInfo { generation, ..SideInfo::default() };
        let streams = trial::streams();
        let task = TaskInfo {
            method: "ddo",
            workload: "points",
            network,
            examples: 8,
            side: &side,
            teacher: None,
            budget_samples: 0,
            streams: &streams,
        };
        let mut ratios = Ratios::new(rules, &task).unwrap();
        ratios.learn_from(network.duplicate());
        tch::no_grad(|| ratios.enter(0, network)).unwrap();
        ratios
    }

    #[test]
    fn at_the_reference_the_loss_is_one_plus_alpha_times_the_logarithm_of_two() {
        let network = network();
        for (alpha, expected) in [(1.0, 1.386_29), (4.0, 3.465_74), (6.0, 4.852_03)] {
            let mut ratios = begun(Rules { alpha, ..RULES }, &network);
            let batch = trial::batch(&[2]).unwrap();
            let losses = ratios.losses(&network, &batch, &step_info(0, 9)).unwrap();
            for loss in values(&losses).unwrap() {
                assert!((f64::from(loss) - expected).abs() < 1e-5, "{alpha}: {loss}");
            }
            // Heun's 2·3 − 1 = 5 for each fake; then two networks look at a point and a fake of each row.
            assert_eq!(ratios.costs()["network_evaluations"], 20 * 5 + 8 * 4);
        }
    }

    #[test]
    fn the_slope_at_the_reference_is_half_of_beta_times_that_of_the_ratios() {
        let network = network();
        let gradient = |loss: &Tensor| {
            let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
            let all = Tensor::run_backward(&[loss], &leaves, false, false);
            all.iter().flat_map(|tensor| values(tensor).unwrap()).collect::<Vec<f32>>()
        };
        let batch = trial::batch(&[2]).unwrap();
        let mut ratios = begun(RULES, &network);
        let own = ratios.losses(&network, &batch, &step_info(0, 9)).unwrap().sum(None);
        let own = gradient(&own);
        // The same draws again: an example's ratio counts −β/2, a fake's α·β/2.
        let mut ratios = begun(RULES, &network);
        let Reference { network: reference, fakes, .. } = ratios.reference.take().unwrap();
        let real = ratios.ratios(&network, &reference, &batch.inputs).unwrap();
        let fakes = fakes.unwrap().index_select(0, &batch.sample_ids);
        let fake = ratios.ratios(&network, &reference, &fakes).unwrap();
        let expected = gradient(&((fake * 4.0 - real) * 0.025).sum(None));
        let largest = expected.iter().fold(0.0_f32, |most, g| most.max(g.abs()));
        assert!(largest > 0.0);
        for (own, expected) in own.iter().zip(&expected) {
            assert!((own - expected).abs() < 1e-4 * largest, "{own} {expected}");
        }
    }

    #[test]
    fn a_reference_stays_what_it_is_while_the_network_moves() {
        let network = network();
        let mut ratios = begun(RULES, &network);
        let batch = trial::batch(&[2]).unwrap();
        for step in 0..3 {
            let loss = ratios.losses(&network, &batch, &step_info(step, 9)).unwrap().sum(None);
            trial::descend(&network, &loss, 0.01).unwrap();
            let reference = ratios.reference.as_ref().unwrap();
            assert_eq!(reference.network.digest().unwrap(), reference.digest);
            assert_ne!(network.digest().unwrap(), reference.digest);
        }
        let before = ratios.reference.as_ref().unwrap().digest;
        tch::no_grad(|| ratios.enter(1, &network)).unwrap();
        let reference = ratios.reference.as_ref().unwrap();
        assert!(reference.digest != before && reference.digest == network.digest().unwrap());
        assert_eq!(ratios.made.len(), 2);
    }

    #[test]
    fn plain_training_goes_on_as_denoising_and_makes_no_fakes() {
        let network = network();
        let mut ratios = begun(Rules { continued: Continued::Plain, ..RULES }, &network);
        let batch = trial::batch(&[2]).unwrap();
        let found = ratios.losses(&network, &batch, &step_info(0, 9)).unwrap();
        let mut plain = Denoising::new(-1.2, 1.2, 0.5, &trial::streams());
        let expected = plain.losses(&network, &batch, &step_info(0, 9)).unwrap();
        assert_eq!(values(&found).unwrap(), values(&expected).unwrap());
        assert_eq!((ratios.made.len(), ratios.evaluations), (0, 8));
    }

    /// The normalised optimum of the loss for a categorical p_θ, by gradient steps on logits from the reference.
    fn optimum([alpha, beta]: [f64; 2]) -> Vec<f64> {
        let wide = |numbers: [f64; 3]| Tensor::from_slice(&numbers);
        let (reference, data) = (wide([0.5, 0.3, 0.2]), wide([0.7, 0.2, 0.1]));
        let mut logits = reference.log().set_requires_grad(true);
        for _ in 0..4_000 {
            let ratios = logits.log_softmax(-1, Kind::Double) - reference.log();
            let [real, fake] = losses(&ratios, &ratios, [alpha, beta]).unwrap();
            let loss = (real * &data).sum(Kind::Double) + (fake * &reference).sum(Kind::Double);
            let gradient = Tensor::run_backward(&[loss], &[&logits], false, false);
            let moved = tch::no_grad(|| &logits - &gradient[0] * 2.0);
            logits = moved.detach().set_requires_grad(true);
        }
        Vec::try_from(&logits.softmax(-1, Kind::Double)).unwrap()
    }

    #[test]
    fn the_optimum_of_three_categories_is_the_known_one() {
        for (settings, expected) in [
            ([1.0, 1.0], [0.7, 0.2, 0.1]),
            // Not p_ref^{1−1/β}·p_data^{1/β}, which is (0.84241, 0.11461, 0.04298).
            ([1.0, 0.5], [0.826_94, 0.125_18, 0.047_87]),
            ([2.0, 1.0], [0.782_09, 0.147_34, 0.070_57]),
        ] {
            for (found, expected) in optimum(settings).into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-4, "{settings:?}: {found} {expected}");
            }
        }
    }

    #[test]
    fn a_model_with_likelihoods_leaves_its_reference_by_half_of_beta_times_the_likelihoods_gradient()
     {
        let wide = |numbers: [f64; 3]| Tensor::from_slice(&numbers);
        let (reference, data) = (wide([0.5, 0.3, 0.2]), wide([0.7, 0.2, 0.1]));
        let logits = reference.log().set_requires_grad(true);
        let ratios = logits.log_softmax(-1, Kind::Double) - reference.log();
        let [real, fake] = losses(&ratios, &ratios, [4.0, 0.05]).unwrap();
        let loss = (real * &data).sum(Kind::Double) + (fake * &reference).sum(Kind::Double);
        let likelihood = -(logits.log_softmax(-1, Kind::Double) * &data).sum(Kind::Double);
        let own = Tensor::run_backward(&[loss], &[&logits], true, false);
        let plain = Tensor::run_backward(&[likelihood], &[&logits], false, false);
        let off = (&own[0] - &plain[0] * 0.025).abs().max().double_value(&[]);
        assert!(off < 1e-12, "{off}");
    }
}
