//! Rewards that are maximised directly, through the model's prediction of what a state will come to (Xu et al.,
//! arXiv:2304.05977, for images; Seedance 1.0, arXiv:2506.09113, for video).
//!
//! Noise is carried down a grid of levels by the model itself, without gradients, to one of the last steps; from there
//! x̂₀ = x_t − t·v(x_t, t) in one evaluation, and −w·R(x̂₀) + η·L is minimised, L being the flow's own loss on an example.

use std::sync::Arc;

use ledger::settings::Range;
use ledger::{order, settings};
use rand_pcg::Pcg64;
use tch::Tensor;

use crate::LabError;
use crate::diffusion::{Denoise, Preconditioning, SIGMA_MAX, generation, grid, noise_like};
use crate::flow::reflow::Reflow;
use crate::flow::{Flow, Form};
use crate::network::Network;
use crate::samplers::ddim::step;
use crate::seat::{Batch, Costs, Objective, StepInfo, TaskInfo};
use crate::side_info::Reward;
use crate::state::State;

settings! {
    /// How a reward is maximised.
    pub struct RewardSettings {
        /// w: factor on the reward.
        reward_weight: f64 = 1.0, range Range::above(0.0), from "assumed";
        /// η: factor on the flow's own loss beside the reward; 0 for none.
        anchor: f64 = 0.1, range Range::of(0.0..), from "assumed; none in arXiv:2506.09113";
        /// Last steps of the grid that predictions are made at.
        late: u32 = 16, range Range::of(1.0..=1024.0), from "assumed; arXiv:2304.05977: 10 of 40";
    }
}

/// The objective.
#[derive(Debug)]
pub struct Rewarded {
    settings: RewardSettings,
    sigma_data: f64,
    /// Levels of the grid, from the largest on.
    levels: Vec<f64>,
    reward: Arc<dyn Reward>,
    anchor: Reflow,
    stops: Pcg64,
    noise: Pcg64,
    /// States of the step, and their level.
    reached: Option<(Tensor, f64)>,
    evaluations: u64,
    rewards: u64,
}

impl Rewarded {
    /// Over a grid of `steps`; `anchor` is the flow's own loss. Steps to stop at come from stream `reward step`, noise
    /// from `reward noise`.
    ///
    /// # Errors
    /// When nobody says what a sample is worth.
    pub fn new(
        settings: RewardSettings,
        steps: u32,
        anchor: Reflow,
        task: &TaskInfo<'_>,
    ) -> Result<Self, LabError> {
        let generation = generation(task)?;
        let reward = generation.reward.clone().ok_or_else(|| {
            task.unfit("nobody says what a sample is worth: set \"reward_share\" to 0")
        })?;
        Ok(Self {
            settings,
            sigma_data: generation.sigma_data,
            levels: grid(steps as usize + 1).into_iter().rev().collect(),
            reward,
            anchor,
            stops: task.streams.generator("reward step"),
            noise: task.streams.generator("reward noise"),
            reached: None,
            evaluations: 0,
            rewards: 0,
        })
    }
}

/// x̂₀ = x_t − t·v(x_t, t), where x_t = x/(1 + σ) of a state x = x₀ + σz, t = σ/(1 + σ).
fn predicted(
    network: &Network,
    sigma_data: f64,
    x: &Tensor,
    sigma: f64,
) -> Result<Tensor, LabError> {
    let t = sigma / (1.0 + sigma);
    let between = x.f_mul_scalar(1.0 / (1.0 + sigma))?;
    let flow = Flow { network, form: Form::Denoiser, sigma_data };
    let velocity = flow.rows(&between, &[t])?;
    Ok(between.f_sub(&velocity.f_mul_scalar(t)?)?)
}

impl Objective for Rewarded {
    fn before_step(
        &mut self,
        network: &Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        let steps = u32::try_from(self.levels.len()).unwrap_or(u32::MAX).saturating_sub(1);
        let late = self.settings.late.clamp(1, steps.max(1));
        let stop = steps - late + order::bounded(&mut self.stops, u64::from(late)) as u32;
        let (preconditioning, sigma_data) = (Preconditioning::Diffusion, self.sigma_data);
        let map = Denoise { network, preconditioning, sigma_data };
        let mut x = noise_like(&batch.inputs, &mut self.noise)?.f_mul_scalar(SIGMA_MAX)?;
        for pair in self.levels.windows(2).take(stop as usize) {
            x = step(&map, &x, pair[0], pair[1])?;
        }
        self.evaluations += batch.ids.len() as u64 * u64::from(stop);
        let level = self.levels.get(stop as usize).copied().unwrap_or(SIGMA_MAX);
        self.reached = Some((x, level));
        Ok(())
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let RewardSettings { reward_weight, anchor, .. } = self.settings;
        let Some((x, level)) = self.reached.take() else {
            return Err(LabError::Method("a reward without a state to predict from".to_owned()));
        };
        let clean = predicted(network, self.sigma_data, &x, level)?;
        let rows = batch.ids.len() as u64;
        self.evaluations += rows;
        self.rewards += rows;
        let worth = self.reward.differentiable(&clean)?.ok_or_else(|| {
            LabError::Method("a reward that cannot be differentiated is maximised".to_owned())
        })?;
        let losses = worth.f_mul_scalar(-reward_weight)?;
        if anchor == 0.0 {
            return Ok(losses);
        }
        Ok(losses.f_add(&self.anchor.losses(network, batch, now)?.f_mul_scalar(anchor)?)?)
    }

    fn costs(&self) -> Costs {
        let flow = self.anchor.costs().get("network_evaluations").copied().unwrap_or(0);
        Costs::from([
            ("network_evaluations", self.evaluations + flow),
            ("reward_evaluations", self.rewards),
        ])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.anchor.state(state)?;
        state.of("stops", &mut self.stops)?;
        state.of("noise", &mut self.noise)?;
        state.of("evaluations", &mut self.evaluations)?;
        state.of("rewards", &mut self.rewards)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Times;
    use crate::models::mlp2d::mlp2d;
    use crate::network::values;
    use crate::side_info::{Generation, SideInfo};
    use crate::trial::{self, step_info};
    use tch::{Device, Kind};

    /// What samples earn by their first coordinate, or the same whatever they are.
    #[derive(Debug)]
    struct Along(f64);

    impl Reward for Along {
        fn of(&self, samples: &Tensor) -> Result<Vec<f64>, LabError> {
            Ok(values(&samples.select(1, 0))?.into_iter().map(|x| self.0 * f64::from(x)).collect())
        }

        fn differentiable(&self, samples: &Tensor) -> Result<Option<Tensor>, LabError> {
            Ok(Some(samples.f_select(1, 0)?.f_mul_scalar(self.0)?.f_add_scalar(0.3)?))
        }
    }

    /// Says nothing of how it changes.
    #[derive(Debug)]
    struct Said;

    impl Reward for Said {
        fn of(&self, _: &Tensor) -> Result<Vec<f64>, LabError> {
            Ok(vec![])
        }
    }

    fn network() -> Network {
        mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap()
    }

    fn rewarded(anchor: f64, reward: Arc<dyn Reward>) -> Rewarded {
        let fresh = Tensor::zeros([1, 2], (Kind::Float, Device::Cpu));
        let generation = Generation {
            shape: vec![2],
            sigma_data: 0.5,
            fresh,
            conditions: None,
            reward: Some(reward),
            start: None,
        };
        let side = SideInfo { generation: Some(generation), ..SideInfo::default() };
        let (network, streams) = (network(), trial::streams());
        let task = trial::task(&network, &side, &streams);
        let flow = Reflow::of_data(Times::LogitNormal, 1.0, &task, &streams).unwrap();
        let settings = RewardSettings { reward_weight: 2.0, anchor, late: 3 };
        Rewarded::new(settings, 8, flow, &task).unwrap()
    }

    fn gradients(objective: &mut Rewarded, network: &Network) -> Vec<Tensor> {
        let batch = trial::batch(&[2]).unwrap();
        tch::no_grad(|| objective.before_step(network, &batch, &step_info(0, 9))).unwrap();
        let loss = objective.loss(network, &batch, &step_info(0, 9)).unwrap();
        let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        Tensor::f_run_backward(&[&loss], &leaves, false, false).unwrap()
    }

    #[test]
    fn a_prediction_is_the_state_less_time_times_velocity_which_is_what_the_denoiser_says() {
        let network = network();
        let x = Tensor::from_slice(&[0.3_f32, -1.2, 0.7, 1.5]).view([2, 2]);
        for sigma in [0.002, 0.3, 2.5, 40.0] {
            let map = Denoise {
                network: &network,
                preconditioning: Preconditioning::Diffusion,
                sigma_data: 0.5,
            };
            let expected = map.at(&x, sigma).unwrap();
            let found = predicted(&network, 0.5, &x, sigma).unwrap();
            let far = (found - expected).abs().max().double_value(&[]);
            assert!(far < 1e-4, "{sigma}: {far}");
        }
    }

    #[test]
    fn a_constant_reward_has_no_gradient_and_another_one_is_climbed() {
        let network = network();
        let mut still = rewarded(0.0, Arc::new(Along(0.0)));
        for gradient in gradients(&mut still, &network) {
            assert_eq!(gradient.abs().max().double_value(&[]), 0.0);
        }
        let mut moved = rewarded(0.0, Arc::new(Along(1.0)));
        let slopes = gradients(&mut moved, &network);
        let batch = trial::batch(&[2]).unwrap();
        let earn = |by: f64| {
            for (parameter, slope) in network.parameters.iter().zip(&slopes) {
                let _ = tch::no_grad(|| parameter.tensor.shallow_clone().g_sub_(&(slope * by)));
            }
            let mut fresh = rewarded(0.0, Arc::new(Along(1.0)));
            tch::no_grad(|| fresh.before_step(&network, &batch, &step_info(0, 9))).unwrap();
            let loss = fresh.loss(&network, &batch, &step_info(0, 9)).unwrap();
            -loss.double_value(&[]) / 2.0
        };
        let before = earn(0.0);
        assert!(earn(0.01) > before);
    }

    #[test]
    fn states_are_of_the_last_steps_alone_and_every_evaluation_is_counted() {
        let network = network();
        let batch = trial::batch(&[2]).unwrap();
        let mut objective = rewarded(0.5, Arc::new(Along(1.0)));
        let rows = batch.ids.len() as u64;
        let (mut before, mut seen) = (0, std::collections::BTreeSet::new());
        for step in 0..24 {
            let now = step_info(step, 24);
            tch::no_grad(|| objective.before_step(&network, &batch, &now)).unwrap();
            let (_, level) = objective.reached.as_ref().unwrap();
            let place = objective.levels.iter().position(|own| own == level).unwrap() as u64;
            let _ = objective.losses(&network, &batch, &now).unwrap();
            let after = objective.costs()["network_evaluations"];
            // Those steps, one for the prediction and one for the flow's own loss.
            assert_eq!(after - before, rows * (place + 2));
            before = after;
            seen.insert(place);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [5, 6, 7]);
        assert_eq!(objective.costs()["reward_evaluations"], 24 * rows);
    }

    #[test]
    fn what_cannot_be_differentiated_is_refused() {
        let network = network();
        let batch = trial::batch(&[2]).unwrap();
        let mut objective = rewarded(0.0, Arc::new(Said));
        tch::no_grad(|| objective.before_step(&network, &batch, &step_info(0, 9))).unwrap();
        let error = objective.losses(&network, &batch, &step_info(0, 9)).unwrap_err();
        assert!(error.to_string().contains("cannot be differentiated"), "{error}");
    }
}
