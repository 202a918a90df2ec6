//! # NIW-Meta
//!
//! ## Mechanism
//! The weights of task i are θ_i ~ N(μ, Σ), and (μ, Σ) is Normal-Inverse-Wishart: q = N(μ; m₀, Σ/l₀)·IW(Σ; V₀, n₀)
//! with V₀ diagonal. m₀ is the network; ln V₀ and ln(n₀ − d − 1) are trained beside it and kept with it. For an episode:
//! 1. `inner_steps` steps of Langevin descent from m₀ (temperature 0: plain descent); m̄ is the mean of the iterates
//!    behind `burnin`, Ā one over their variance, at most `cap`: the loss is about ½(θ − m̄)ᵀĀ(θ − m̄). They have no
//!    gradient, so that memory does not grow with their number.
//! 2. With Λ₀ = n₀V₀⁻¹ = E[Σ⁻¹]: `m* = (Ā + Λ₀)⁻¹(Ā m̄ + Λ₀ m₀)`, `V* = (Ā + Λ₀)⁻¹`. Gradients pass by Λ₀ and m₀ only.
//! 3. Minimised, by Adam, is E_{θ ~ N(m*, V*)}[−log p(D_i|θ)], by one draw, +
//!    ½(E ln|Σ| − ln|V*| − d + Tr(Λ₀V*) + (m* − m₀)ᵀΛ₀(m* − m₀)), over the points of the episode.
//!
//! A new task: 1 on its support set and 2; answers are the mean over `samples` draws from N(m*, V*), or of m* itself
//! where `samples` is 0.
//!
//! ## Claim
//! More attractive than MAML in that no graph of the inner steps is kept (abstract; no number). Here: (S1) the error on
//! queries is no worse than MAML's; (S2) memory does not grow with inner steps, where MAML's does: by a test, a step on
//! half a million weights has the same peak at 5 and at 50 inner steps to within 5 %.
//!
//! ## Sources
//! Kim, Hospedales, arXiv:2306.09702 (ICLR 2024); minyoungkim21/niwmeta@2c65a508, a README without code ("Code is
//! coming soon"), whose flags are the defaults where they say what they are.
//!
//! ## Differences
//! - Derived from the model as the abstract states it: there is no code to compare with. What `gam0` and `alp` are is not
//!   documented; `precision` (of Λ₀ at the start), `sigma`, `temperature` and `kl` are this bench's.
//! - The divergence of q from its own prior, a share 1/N of it per episode, is left out, and with it l₀, on which nothing
//!   else depends. n₀ then has no pull but to grow.
//! - `fit: whole` takes the posterior of all points of an episode, as the bound has it; `fit: support` takes that of the
//!   support set and the loss of the queries, as a new task is met.

use lab::LabError;
use lab::episodes::{Back, EpisodeSettings, Found, Inner, QUERY, SUPPORT};
use lab::method::Method;
use lab::network::Network;
use lab::niw::Niw;
use lab::niw::network::{Answers, Beside, Langevin, drawn, with_weights};
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::{Recipe, Step};
use lab::seat::{Batch, Objective, Parametrisation, StepInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::layout::Layout;
use ledger::settings::{Range, SettingError, Values};
use ledger::streams::Streams;
use ledger::{choice, settings};
use tch::Tensor;

choice! {
    /// Points that the posterior of an episode is of, in training.
    pub enum Fitted {
        /// All.
        Whole = "whole",
        /// The support set; the loss is that of the queries.
        Support = "support",
    }
}

settings! {
    /// Settings of `niw-meta`.
    pub struct Settings {
        /// Points that the posterior of an episode is of.
        fit: Fitted = Fitted::Whole, from "assumed: as the bound has it";
        /// Iterates that are passed over.
        burnin: u32 = 0, range Range::of(0.0..=1_000.0), from "README --burnin";
        /// Largest curvature.
        cap: f64 = 1e3, range Range::above(0.0), from "README --ai_max";
        /// Variance of the steps' noise, over Langevin's.
        temperature: f64 = 1.0, range Range::of(0.0..), from "assumed: SGLD";
        /// Deviation of the likelihood.
        sigma: f64 = 0.3, range Range::above(0.0), from "assumed: the noise of sine-line";
        /// Λ₀ at the start.
        precision: f64 = 100.0, range Range::above(0.0), from "assumed";
        /// n₀ − d − 1 at the start.
        n0: f64 = 1.0, range Range::above(0.0), from "README --n0_init";
        /// Weight of the divergence.
        kl: f64 = 1.0, range Range::of(0.0..), from "assumed: the bound's";
        /// Draws that answers are the mean of; 0 for those of m*.
        samples: u32 = 2, range Range::of(0.0..=1_000.0), from "README --nsamps_test";
        /// Learning rate of Adam.
        lr: f64 = 1e-3, range Range::above(0.0), from "assumed: README has 1e-4 for a transformer";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "assumed";
        use shared: EpisodeSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "weights of tasks around a shared mean and width; a task's posterior in closed form",
    paper: Paper {
        title: "A Hierarchical Bayesian Model for Few-Shot Meta Learning",
        authors: "Kim, Hospedales",
        year: 2024,
        reference: "arXiv:2306.09702",
        code: "minyoungkim21/niwmeta@2c65a508 (README only)",
    },
    claim: PaperClaim {
        statement: "no worse than MAML, without the graph of the inner steps",
        number: "none in the abstract",
        source: "abstract",
    },
    baseline: Some("maml"),
    needs: &[offers::LOSS, offers::EPISODES],
    settings: Settings::table,
    resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let Found { layout, loss } = settings.shared.found(task)?;
        let Settings { precision, n0, lr, ref schedule, ref shared, .. } = settings;
        let mut beside = Beside { precision, surplus: n0 };
        let mut network = task.network.duplicate();
        beside.install(&mut network, task.streams)?;
        let adam = AdamwSettings { lr, weight_decay: 0.0, ..AdamwSettings::default() };
        let optimizer = Box::new(Adamw::new(adam, &network, |_, _| true)?);
        let objective = Box::new(Bound {
            langevin: settings.langevin(shared.inner(loss, Back::None)),
            fit: settings.fit,
            kl: settings.kl,
            layout: layout.clone(),
            streams: task.streams.clone(),
        });
        let step = Step::Gradient { objective, optimizer };
        let langevin = settings.langevin(shared.tested(loss, 0));
        let adapter = Box::new(Answers { langevin, samples: settings.samples });
        let plain = shared.recipe(&layout, schedule.clone(), step, adapter);
        Ok(Recipe { parametrisation: Some(Box::new(beside)), ..plain })
    },
};

fn resolve(values: &Values) -> Result<Values, SettingError> {
    let resolved = Settings::resolve(values)?;
    let Settings { burnin, shared, .. } = Settings::read(values)?;
    let EpisodeSettings { inner_steps, test_steps, .. } = shared;
    for (name, steps) in [("inner_steps", inner_steps), ("test_steps", test_steps)] {
        if steps <= burnin {
            return Err(SettingError::Joint(format!(
                "setting \"{name}\" is {steps}, but must be at least {} and at most 1000: one iterate behind the \
                 {burnin} of \"burnin\"",
                burnin + 1
            )));
        }
    }
    Ok(resolved)
}

impl Settings {
    fn langevin(&self, inner: Inner) -> Langevin {
        let Self { burnin, cap, temperature, sigma, .. } = *self;
        Langevin { inner, burnin, cap, temperature, sigma }
    }
}

/// What is minimised: one number per episode.
struct Bound {
    langevin: Langevin,
    fit: Fitted,
    kl: f64,
    layout: Layout,
    streams: Streams,
}

impl Bound {
    fn of(&self, network: &Network, episode: &Batch, epoch: u32) -> Result<Tensor, LabError> {
        let Self { langevin, fit, kl, layout, streams } = self;
        let mut random = streams.keyed("method", episode.ids[0], epoch);
        let parts = match fit {
            Fitted::Whole => None,
            Fitted::Support => Some((episode.role(layout, SUPPORT)?, episode.role(layout, QUERY)?)),
        };
        let (fitted, asked) = parts.as_ref().map_or((episode, episode), |(s, q)| (s, q));
        let local = langevin.posterior(network, fitted.shown(), &mut random)?;
        let weights = local.draw(&drawn(&mut random, &local.mean)?)?;
        let outputs = with_weights(network, &weights)?.forward(&asked.inputs, true)?;
        let losses = langevin.inner.loss.of_outputs(&outputs, &asked.labels)?;
        let likelihood = losses.f_mean(None)?.f_div_scalar(langevin.sigma.powi(2))?;
        let divergence = Niw::of(network)?.divergence(&local)?.f_to_kind(likelihood.kind())?;
        let share = kl / asked.ids.len() as f64;
        Ok(divergence.f_view(())?.f_mul_scalar(share)?.f_add(&likelihood)?)
    }
}

impl Objective for Bound {
    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let episodes = batch.units(&self.layout)?;
        let each = episodes.iter().map(|episode| self.of(network, episode, now.epoch));
        Ok(Tensor::f_stack(&each.collect::<Result<Vec<_>, _>>()?, 0)?)
    }

    fn acts_beside_passes(&self) -> bool {
        false
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::mlp::mlp;
    use lab::network::values;
    use lab::objectives::DefaultLoss;
    use lab::trial::{self, step_info, with};
    use serde_json::json;
    use training::trial::Fixture;

    fn fixture() -> Fixture {
        Fixture::generated(workloads::find("sine-line").unwrap(), &with([])).unwrap()
    }

    /// A network of these widths with V₀ and n₀, the objective, and the batch of some episodes.
    fn stage(
        values: serde_json::Value,
        widths: &[usize],
        episodes: u32,
    ) -> (Network, Bound, Batch) {
        let values = serde_json::from_value(values).unwrap();
        let (settings, fixture) = (Settings::read(&values).unwrap(), fixture());
        let mut network = mlp(widths, &trial::streams(), tch::Device::Cpu).unwrap();
        let mut beside = Beside { precision: settings.precision, surplus: settings.n0 };
        beside.install(&mut network, &trial::streams()).unwrap();
        let inner = settings.shared.inner(DefaultLoss::Squares, Back::None);
        let (langevin, layout) = (settings.langevin(inner), fixture.ready().side.episodes.clone());
        let Settings { fit, kl, .. } = settings;
        let bound = Bound { langevin, fit, kl, layout: layout.unwrap(), streams: trial::streams() };
        let ids: Vec<u32> = (0..20 * episodes).collect();
        (network, bound, fixture.ready().splits.train.batch(&ids).unwrap())
    }

    /// The loss, and its gradient by every parameter.
    fn gradients(network: &Network, bound: &mut Bound, batch: &Batch) -> (f64, Vec<Vec<f32>>) {
        let loss = bound.loss(network, batch, &step_info(0, 1)).unwrap();
        let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let gradients = Tensor::run_backward(&[&loss], &leaves, false, false);
        (loss.double_value(&[]), gradients.iter().map(|g| values(g).unwrap()).collect())
    }

    #[test]
    fn mean_width_and_freedom_are_all_trained() {
        for fit in ["whole", "support"] {
            let (network, mut bound, batch) = stage(json!({"fit": fit}), &[1, 8, 1], 2);
            let (loss, gradients) = gradients(&network, &mut bound, &batch);
            assert!(loss.is_finite() && gradients.len() == 6);
            let moved = |gradient: &Vec<f32>| gradient.iter().any(|value| *value != 0.0);
            assert!(gradients.iter().all(moved), "{gradients:?}");
        }
    }

    /// Check (c) of the card, in the loss: without width, m* is m₀ and V* nothing.
    #[test]
    fn without_width_and_divergence_it_is_joint_training_on_all_points() {
        let values = json!({"precision": 1e20, "kl": 0.0, "inner_steps": 3});
        let (network, mut bound, batch) = stage(values, &[1, 8, 1], 1);
        let (_, found) = gradients(&network, &mut bound, &batch);
        let outputs = network.forward(&batch.inputs, true).unwrap();
        let loss = DefaultLoss::Squares.of_outputs(&outputs, &batch.labels).unwrap().mean(None);
        let leaves: Vec<_> = network.parameters[..4].iter().map(|p| &p.tensor).collect();
        let plain = Tensor::run_backward(&[loss / 0.09], &leaves, false, false);
        for (found, plain) in found.iter().zip(&plain) {
            let plain = lab::network::values(plain).unwrap();
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * (1.0 + b.abs());
            assert!(found.iter().zip(&plain).all(close), "{found:?} {plain:?}");
        }
    }

    /// Check (e) of the card: what an episode leaves behind is nothing.
    #[test]
    fn an_objective_that_has_seen_other_episodes_gives_the_same_bits() {
        let (network, mut fresh, batch) = stage(json!({}), &[1, 8, 1], 3);
        let episodes = batch.units(&fresh.layout).unwrap();
        let expected = gradients(&network, &mut fresh, &episodes[2]);
        let (_, mut used, _) = stage(json!({}), &[1, 8, 1], 1);
        let before = network.digest().unwrap();
        for episode in [&episodes[0], &episodes[1], &episodes[0]] {
            assert_ne!(gradients(&network, &mut used, episode), expected);
        }
        assert_eq!(gradients(&network, &mut used, &episodes[2]), expected);
        assert_eq!(network.digest().unwrap(), before);
    }

    #[test]
    fn v0_and_n0_are_kept_beside_the_network() {
        let settings = with([("episodes", 2.into()), ("lr", 0.01.into())]);
        let trace = fixture().run(&METHOD, &settings, 20 * 8, 3).unwrap();
        let names = trace.network.parameters.iter().map(|p| p.name.as_str());
        assert_eq!(names.skip(6).collect::<Vec<_>>(), ["niw.log_scale", "niw.log_surplus"]);
        assert_ne!(values(trace.network.at(7)).unwrap(), [0.0], "n₀ moves");
    }

    #[test]
    fn a_burn_in_that_leaves_no_iterate_is_refused_with_the_range() {
        let told = resolve(&with([("burnin", 5.into())])).unwrap_err().to_string();
        assert!(told.contains("\"inner_steps\" is 5, but must be at least 6"), "{told}");
        assert!(resolve(&with([("inner_steps", 0.into())])).is_err());
    }
}
