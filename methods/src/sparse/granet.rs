//! # GraNet
//!
//! ## Mechanism
//! Training starts from a random mask of density d_i with Erdős–Rényi-kernel layer densities. After every step
//! `w ← w ⊙ m` and `momentum ← momentum ⊙ m`. Every `interval` = ΔT steps comes an event; with c = step/ΔT and
//! n = ⌊`prune_until`·T/ΔT⌋ (T steps in all):
//! 1. if c ≤ n − 1, prune globally to density d_f + (d_i − d_f)(1 − c/n)³: of all N weights keep those with |w|
//!    above (not at) the int(N·density)-th largest;
//! 2. in each layer with z weights left, drop the ⌈ρ_t·z⌉ of smallest |w|, then grow as many where |∂L/∂w| is
//!    largest among all that are then masked; ties go by index. ρ_t falls by half a cosine from `prune_rate` to
//!    0.005 over T. A weight that was masked before the event starts from 0 with momentum 0; one that is dropped
//!    and grown in the same event keeps its value.
//!
//! Mode `gradual-magnitude` (GMP) is step 1 alone, `static` a fixed mask of density d_f. `init_density` equal to
//! `final_density` is RigL-like: event 1 takes what the random mask has above d_f, then only masks move.
//!
//! `scaled_init` re-draws all weights at the start from Kaiming's normal for fan_in·d, d the density of the start,
//! as `random-pruning` does. Random masks without normalisation shrink the signal by √d a layer and do not train
//! otherwise: without it a `static` mask is no baseline there, it measures the initialisation.
//!
//! ## Claim
//! Sparse-to-sparse GraNet (d_i = 0.5) beats dense-to-sparse pruning with ResNet-50 on ImageNet without longer
//! training (abstract; it gives no number). Here: accuracy above `gradual-magnitude` and above `static` at the
//! same d_f and steps. The bench can see the second; at its scale the first is a tie within noise.
//!
//! ## Sources
//! Liu et al., arXiv:2106.10404 (NeurIPS 2021); Shiweiliuiiiiiii/GraNet at f338a247, `CIFAR/sparselearning/core.py`.
//!
//! ## Differences
//! - As in the code, c ≤ n − 1 (c ≤ n in its version 1bf6fbe6) ends at d_f + (d_i − d_f)/n³, and "above" at one
//!   weight fewer. A scheduled density of 1 prunes nothing: "above" would still.
//! - Ties in dropping: the code drops every weight at the threshold, more than ⌈ρ·z⌉. Ties in growing: it sorts
//!   |g|·(m = 0), 0 for all kept weights, and where fewer masked weights have a gradient than are to grow (dead
//!   units) it "grows" kept ones, so that weights are lost. Here only masked ones grow, and the density holds.
//! - The code's GMP starts dense whatever d_i; here from d_i. ΔT is 1,000 of 62,560 steps in the CIFAR scripts. A
//!   run with n < 2 is too short to prune at all, as the fact `mask_events` (step, density, weights come alive) shows.
//! - The code picks its model on the test set, and has no `scaled_init` (Random Pruning's `--scaled`). Under AdamW
//!   only the first moment is masked.

use lab::method::Method;
use lab::network::{Network, Parameter};
use lab::optim::base::BaseSettings;
use lab::recipe::Recipe;
use lab::seat::{Batch, Constraint, Facts, Gradients, Optimizer, StepInfo};
use lab::sparsity::{self, densities::erdos_renyi_kernel, masks::Masks, shapes, surgery};
use lab::state::State;
use lab::{LabError, offers};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::{Range, SettingError, Values};
use ledger::streams::Streams;
use ledger::{choice, settings};
use serde_json::json;

/// ρ at the end of the run.
const LAST_PRUNE_RATE: f64 = 0.005;

choice! {
    /// What happens at events.
    pub enum Mode {
        /// Prune and regrow.
        Granet = "granet",
        /// Prune only.
        GradualMagnitude = "gradual-magnitude",
        /// Nothing: a fixed mask of the final density.
        Static = "static",
    }
}

settings! {
    /// Settings of `granet`.
    pub struct Settings {
        /// What happens at events.
        mode: Mode = Mode::Granet, from "core.py --method";
        /// Density at the start; 1 is dense-to-sparse.
        init_density: f64 = 0.5, range Range::above_up_to(0.0, 1.0), from "core.py --init-density";
        /// Density after pruning.
        final_density: f64 = 0.1, range Range::above_up_to(0.0, 1.0), from "CIFAR script: 0.1, 0.05, 0.02";
        /// Share of a layer's weights that the first event would drop and grow.
        prune_rate: f64 = 0.5, range Range::of(LAST_PRUNE_RATE..=1.0), from "core.py --prune-rate";
        /// Steps between events.
        interval: u32 = 16, range Range::of(1.0..), from "assumed: the scripts' 1000 of 62560 steps exceed a bench run";
        /// Share of the run in which density falls.
        prune_until: f64 = 0.5, range Range::above_up_to(0.0, 1.0), from "CIFAR script: epoch 80 of 160";
        /// Re-draw weights from Kaiming's normal with fan-in times the density of the start.
        scaled_init: bool = false, from "Random Pruning main.py --scaled";
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "CIFAR script (main.py: 100)";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Step { at: vec![0.5, 0.75], factor: 0.1 }, from "main.py";
        use base: BaseSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "gradual global pruning with regrowth by gradient; also GMP and static ERK masks",
    paper: Paper {
        title: "Sparse Training via Boosting Pruning Plasticity with Neuroregeneration",
        authors: "Liu, Chen, Chen, Atashgahi, Yin, Kou, Shen, Pechenizkiy, Wang, Mocanu",
        year: 2021,
        reference: "arXiv:2106.10404",
        code: "Shiweiliuiiiiiii/GraNet@f338a247",
    },
    claim: PaperClaim {
        statement: "sparse-to-sparse GraNet beats dense-to-sparse pruning at equal density and steps",
        number: "none in the abstract",
        source: "abstract (ResNet-50, ImageNet)",
    },
    baseline: Some("sgd"),
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let (optimizer, schedule) = (settings.base.build(task.network)?, settings.schedule.clone());
        let plain = Recipe::plain(settings.batch_size, schedule, optimizer, task)?;
        Ok(Recipe { constraint: Some(Box::new(Granet { settings, ..Granet::default() })), ..plain })
    },
};

fn resolve(values: &Values) -> Result<Values, SettingError> {
    let mut resolved = Settings::resolve(values)?;
    let Settings { mode, init_density, final_density, scaled_init, .. } = Settings::read(values)?;
    // It came later: left out at its default, so that what was tuned before still fits this arm.
    resolved.retain(|name, _| name != "scaled_init" || scaled_init);
    if mode != Mode::Static && final_density > init_density {
        return Err(SettingError::Joint(format!(
            "setting \"final_density\" is {final_density}, above \"init_density\", {init_density}; \
             pruning only removes weights: raise \"init_density\""
        )));
    }
    Ok(resolved)
}

#[derive(Default)]
struct Granet {
    settings: Settings,
    masks: Masks,
    /// Step, density after it and number of weights come alive, from the start on.
    events: Vec<(u64, f64, u64)>,
}

impl Constraint for Granet {
    fn prepare(
        &mut self,
        network: &mut Network,
        streams: &Streams,
        _: &Batch,
    ) -> Result<(), LabError> {
        let Settings { mode, init_density, final_density, scaled_init, .. } = self.settings;
        let density = if mode == Mode::Static { final_density } else { init_density };
        let densities = erdos_renyi_kernel(&shapes(&network.parameters), density);
        if scaled_init {
            sparsity::scaled_init(network, density, streams)?;
        }
        let mut stream = streams.generator("method");
        self.masks = Masks::bernoulli(&network.parameters, &densities, &mut stream)?;
        tch::no_grad(|| self.masks.apply(&mut network.parameters))?;
        self.events.push((0, self.masks.density()?, 0));
        Ok(())
    }

    fn hold(&self, parameters: &mut [Parameter]) -> Result<(), LabError> {
        Ok(self.masks.apply(parameters)?)
    }

    fn project(
        &mut self,
        parameters: &mut [Parameter],
        gradients: &Gradients,
        optimizer: &mut dyn Optimizer,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        self.masks.apply_with_momentum(parameters, optimizer)?;
        let Settings { mode, init_density, final_density, prune_rate: rate, .. } = self.settings;
        let (taken, interval) = (now.step + 1, u64::from(self.settings.interval));
        if mode == Mode::Static || taken % interval != 0 {
            return Ok(());
        }
        let total = now.total_steps as f64;
        let events = (self.settings.prune_until * total) as u64 / interval;
        let density = surgery::cubic_density(taken / interval, events, init_density, final_density);
        if let Some(density) = density.filter(|density| *density < 1.0) {
            surgery::prune_globally(&mut self.masks, parameters, density)?;
            self.masks.apply_with_momentum(parameters, optimizer)?;
        }
        let mut alive = 0;
        if mode == Mode::Granet {
            let rate = surgery::cosine_rate(rate, LAST_PRUNE_RATE, taken as f64 / total);
            alive = surgery::renew(&mut self.masks, parameters, gradients, rate)?;
            self.masks.apply_with_momentum(parameters, optimizer)?;
        }
        self.events.push((taken, self.masks.density()?, alive));
        Ok(())
    }

    fn facts(&self) -> Facts {
        let mut facts = self.masks.facts();
        facts.insert("mask_events".to_owned(), json!(self.events));
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("masks", &mut self.masks)?;
        state.of("events", &mut self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::optim::sgd::{Sgd, SgdSettings};
    use lab::{models::mlp, sparsity::count, trial};
    use ledger::digest::Digest;
    use tch::{Device, Kind, Tensor};
    use training::trial::train;

    fn small_mlp() -> Network {
        mlp::mlp(&[16, 32, 4], &trial::streams(), Device::Cpu).unwrap()
    }

    #[test]
    fn weights_that_come_alive_start_from_zero_and_layers_keep_their_size() {
        let mut network = small_mlp();
        let mut sgd = Sgd::new(SgdSettings::default(), &network);
        let mut granet = Granet::default();
        granet.settings.interval = 4;
        let probe = trial::batch(&[16]).unwrap();
        granet.prepare(&mut network, &trial::streams(), &probe).unwrap();
        let (mut kept, _guard) = (granet.masks.counts().unwrap(), tch::no_grad_guard());
        let places = Tensor::arange(512, (Kind::Float, Device::Cpu)) * 0.7;
        for step in 0..40_u32 {
            let wave = |Parameter { tensor, .. }: &Parameter| {
                (places.narrow(0, 0, tensor.numel() as i64) * f64::from(step)).cos().view_as(tensor)
            };
            let tensors = network.parameters.iter().map(wave).collect();
            let gradients = Gradients { active: vec![0, 1, 2, 3], tensors };
            let now = trial::step_info(step.into(), 40);
            let before = granet.masks.get(0).unwrap().copy();
            sgd.update(&network.parameters, &gradients, &now).unwrap();
            granet.project(&mut network.parameters, &gradients, &mut sgd, &now).unwrap();
            // Masked now, or masked until now.
            let zero = 1.0 - granet.masks.get(0).unwrap() * before;
            assert_eq!(count(&(&network.parameters[0].tensor * &zero)).unwrap(), 0);
            assert_eq!(count(&(&*sgd.momentum(0).unwrap() * &zero)).unwrap(), 0);
            // From event 5 on nothing is pruned, so every layer keeps its number of weights.
            let now = granet.masks.counts().unwrap();
            assert!(step < 16 || now == kept, "step {step}: {now:?} after {kept:?}");
            kept = now;
        }
        assert!(granet.events.iter().skip(1).all(|(_, _, alive)| *alive > 0));
    }

    /// The network after training by a method, by its digest, and the method's facts.
    fn trained(id: &str, with: serde_json::Value, epochs: u32) -> (Digest, Facts) {
        let (method, with) = (crate::find(id).unwrap().method, serde_json::from_value(with));
        let trained = train(method, &with.unwrap(), small_mlp(), &[16], epochs).unwrap();
        (trained.0.digest().unwrap(), trained.1)
    }

    #[test]
    fn density_falls_to_where_the_schedule_says_and_stays_where_it_starts_there() {
        for (mode, first) in [("granet", 0.5), ("gradual-magnitude", 0.5), ("granet", 0.1)] {
            let with =
                json!({"mode": mode, "init_density": first, "interval": 4, "batch_size": 32});
            let facts = trained("granet", with, 10).1;
            let events = facts["mask_events"].as_array().unwrap();
            let trajectory: Vec<_> = events.iter().map(|e| e[1].as_f64().unwrap()).collect();
            assert!(trajectory.is_sorted_by(|a, b| a >= b));
            assert!(events[1..].iter().all(|event| (event[2] != 0) == (mode == "granet")));
            // Event 4 of 5 keeps int(640·(0.1 + 0.4/125)) = 66 less the threshold; from 0.1 on, 64.
            let (event, kept) = if first == 0.1 { (1, 63.0) } else { (4, 65.0) };
            assert_eq!(trajectory[event..], vec![kept / 640.0; 11 - event], "{mode}");
        }
    }

    #[test]
    fn scaled_weights_are_those_of_random_pruning_at_the_density_of_the_start() {
        for (mode, density) in [("granet", 0.5), ("gradual-magnitude", 0.5), ("static", 0.1)] {
            let starts = [false, true].map(|scaled| {
                let own = trained("granet", json!({"mode": mode, "scaled_init": scaled}), 0).0;
                let with = json!({"density": density, "scaled_init": scaled});
                assert_eq!(own, trained("random-pruning", with, 0).0, "{mode}");
                own
            });
            assert_ne!(starts[0], starts[1], "{mode}");
        }
    }

    #[test]
    fn density_one_is_dense_training_bit_for_bit() {
        let schedule = json!({"step": {"at": [0.5, 0.75], "factor": 0.1}});
        let dense = trained("sgd", json!({"batch_size": 32, "schedule": schedule}), 10).0;
        for mode in ["granet", "gradual-magnitude", "static"] {
            let mut with = json!({"mode": mode, "interval": 4, "batch_size": 32});
            (with["init_density"], with["final_density"]) = (1.into(), 1.into());
            assert_eq!(trained("granet", with, 10).0, dense, "{mode}");
        }
    }

    #[test]
    fn a_final_density_above_the_first_is_refused() {
        let refused = resolve(&trial::with([("init_density", 0.05.into())]));
        assert!(refused.unwrap_err().to_string().contains("is 0.1, above \"init_density\", 0.05"));
    }
}
