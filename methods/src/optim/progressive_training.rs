//! # Progressive training, randomised (RPT) and by growing
//!
//! ## Mechanism
//! Before every step a cut-off `s ∈ {1..b}` is chosen over the `b` layers, counted from the input. Layers
//! `s..b` take a step of SGD, at the rate over their smoothness L_i where that is given; layers before `s`
//! keep weights and momentum and take no gradient, so that the backward pass stops at `s`. With
//! `q_i = P(s ≤ i)`: `E f(x⁺) ≤ f(x) − Σ_i (q_i/2L_i)‖∇_i f‖²` at rates 1/L_i. `uniform`: q_i = i/b; `given`:
//! by `probabilities` of s; `full`: s = 1, which is SGD; `q-star`: `q_i = max_{j≤i} L_j / max_j L_j`, where the
//! bound on the steps to a small gradient, ∝ max_i L_i/q_i, times the cost of a step, c₀ + Σ_i q_i·c_i, is
//! least: full training where the first layer attains the maximum, less elsewhere. `growing` is not random:
//! the last layer alone, then one more from behind after each b-th part of the share `growth` of the run.
//!
//! ## Claim
//! RPT converges for general smooth functions (abstract; no number); full updates are not optimal "unless
//! a very specific relationship between layer smoothness constants holds" (abstract of Drop-Muon, which
//! builds on it). Here: cost to a small gradient on `quad-blocks`; at L = (1, 4, 2) the bound's q* takes ¾ of
//! full. The bound knows nothing of how well blocks are conditioned: where all are alike, q* should lose.
//!
//! ## Sources
//! Szlendak, Gasanov, Richtárik, arXiv:2306.03626; growing: Karras et al., arXiv:1710.10196. No code found.
//! Cost model and q* are derived from the inequality above (weights w = 1).
//!
//! ## Differences
//! - Full texts were not at hand: whether theirs moves a suffix or a prefix of layers, and at which rates,
//!   is unverified. A suffix is what a backward pass can save.
//! - Karras et al. add layers to a generative network; here all are there, frozen as initialised.
//! - Momentum, decay, batch size, schedule and `growth` are assumed; with momentum 0 and decay 0 it is RPT.

use lab::method::Method;
use lab::network::Parameter;
use lab::optim::sgd::{Sgd, SgdSettings};
use lab::recipe::Recipe;
use lab::seat::{Active, Facts, Gradients, Optimizer, StepInfo};
use lab::state::State;
use lab::{LabError, cutoffs, offers};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::{Range, SettingError, Values};
use ledger::{choice, settings};
use rand_pcg::Pcg64;
use tch::Tensor;

choice! {
    /// How the cut-off is chosen.
    pub enum Cutoff {
        /// At random, every layer with the same probability.
        Uniform = "uniform",
        /// At random, by the smoothness of the layers.
        QStar = "q-star",
        /// At random, by `probabilities`.
        Given = "given",
        /// No cut: every layer, every step.
        Full = "full",
        /// Earlier layers join one by one.
        Growing = "growing",
    }
}

settings! {
    /// Settings of `progressive-training`.
    pub struct Settings {
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "assumed: as sgd";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Cosine { floor: 0.0 }, from "assumed: as sgd";
        /// How the cut-off is chosen.
        cutoff: Cutoff = Cutoff::Uniform, from "assumed";
        /// Probability of each cut-off under `given`, from the first layer on.
        probabilities: Vec<f64> = Vec::new(), range Range::of(0.0..=1.0), from "assumed";
        /// L_i of each layer, from the first on: rates are divided by them; empty where they are unknown.
        smoothness: Vec<f64> = Vec::new(), range Range::above_up_to(0.0, 1e9), from "assumed";
        /// Share of the run over which layers join under `growing`.
        growth: f64 = 1.0, range Range::above_up_to(0.0, 1.0), from "assumed";
        use sgd: SgdSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "SGD on a random or growing suffix of layers, so that backward passes end early",
    paper: Paper {
        title: "Understanding progressive training through the framework of randomized coordinate descent",
        authors: "Szlendak, Gasanov, Richtárik",
        year: 2023,
        reference: "arXiv:2306.03626",
        code: "none found",
    },
    claim: PaperClaim {
        statement: "full updates are seldom optimal for the cost of training",
        number: "none in the abstract",
        source: "abstract; abstract of arXiv:2510.02239",
    },
    baseline: Some("sgd"),
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve,
    build: |values, task| {
        let Settings { batch_size, schedule, cutoff, probabilities, smoothness, growth, sgd } =
            Settings::read(values)?;
        let layers = task.network.depth();
        let with_smoothness = cutoff == Cutoff::QStar || !smoothness.is_empty();
        for (name, list, is_used) in [
            ("probabilities", probabilities.len(), cutoff == Cutoff::Given),
            ("smoothness", smoothness.len(), with_smoothness),
        ] {
            if is_used && list != layers {
                let reason = format!("\"{name}\" lists {list} numbers for {layers} layers");
                return Err(task.unfit(reason));
            }
        }
        let reached = match cutoff {
            Cutoff::Uniform => (1..=layers).map(|i| i as f64 / layers as f64).collect(),
            Cutoff::QStar => cutoffs::cheapest(&smoothness),
            Cutoff::Given => cutoffs::reached(&probabilities),
            Cutoff::Full | Cutoff::Growing => vec![1.0; layers],
        };
        let rule = Progressive {
            cutoff,
            growth,
            reached,
            smoothness,
            random: task.streams.generator("method"),
            sgd: Sgd::new(sgd, task.network),
            steps_from: vec![0; layers],
        };
        Recipe::plain(batch_size, schedule, Box::new(rule), task)
    },
};

fn resolve(values: &Values) -> Result<Values, SettingError> {
    let resolved = Settings::resolve(values)?;
    let Settings { cutoff, probabilities, .. } = Settings::read(&resolved)?;
    let sum: f64 = probabilities.iter().sum();
    if cutoff == Cutoff::Given && (sum - 1.0).abs() > 1e-9 {
        let message = format!("\"probabilities\" come to {sum}, but must come to 1");
        return Err(SettingError::Joint(message));
    }
    Ok(resolved)
}

#[derive(Debug)]
struct Progressive {
    cutoff: Cutoff,
    growth: f64,
    /// q_i; unused where layers join.
    reached: Vec<f64>,
    smoothness: Vec<f64>,
    random: Pcg64,
    sgd: Sgd,
    /// Steps whose first trained layer was this one.
    steps_from: Vec<u64>,
}

impl Optimizer for Progressive {
    fn active(&mut self, now: &StepInfo) -> Active {
        let layers = self.steps_from.len();
        let first = if self.cutoff == Cutoff::Growing {
            let part = self.growth * now.total_steps as f64 / layers as f64;
            layers.saturating_sub(1).saturating_sub((now.step as f64 / part) as usize)
        } else {
            cutoffs::draw(&self.reached, &mut self.random)
        };
        if let Some(steps) = self.steps_from.get_mut(first) {
            *steps += 1;
        }
        Active::From(first)
    }

    fn update(
        &mut self,
        parameters: &[Parameter],
        gradients: &Gradients,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        if self.smoothness.is_empty() {
            return self.sgd.update(parameters, gradients, now);
        }
        let active = gradients.active.clone();
        let layers = active.iter().map(|&index| self.smoothness[parameters[index].layer]);
        let scaled = layers.zip(&gradients.tensors).map(|(l, tensor)| tensor.f_div_scalar(l));
        let tensors = scaled.collect::<Result<_, _>>()?;
        self.sgd.update(parameters, &Gradients { active, tensors }, now)
    }

    fn momentum(&mut self, parameter: usize) -> Option<&mut Tensor> {
        self.sgd.momentum(parameter)
    }

    fn reset(&mut self) -> Result<(), LabError> {
        self.sgd.reset()
    }

    fn facts(&self) -> Facts {
        let updates: Vec<u64> =
            (0..self.steps_from.len()).map(|i| self.steps_from[..=i].iter().sum()).collect();
        Facts::from([("updates_per_layer".to_owned(), updates.into())])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("random", &mut self.random)?;
        self.sgd.state(state)?;
        state.of("steps_from", &mut self.steps_from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::{Network, values};
    use lab::trial::with;
    use serde_json::json;
    use training::trial::{Fixture, Trial};

    /// Runs `steps` whole-gradient steps at rates 1/L_i.
    fn descend(on: &Fixture, steps: u64, seed: u64, more: Values) -> (Network, Facts) {
        let mut settings = with([("lr", 1.into()), ("momentum", 0.into())]);
        settings.extend(with([("weight_decay", 0.into()), ("schedule", "constant".into())]));
        settings.extend(more);
        let rows = on.ready().splits.train.len() as u64;
        let trace = on.run(&METHOD, &settings, rows * steps, seed).unwrap();
        (trace.network, trace.facts)
    }

    #[test]
    fn a_block_of_one_dimension_is_at_its_optimum_or_has_not_moved() {
        // Powers of 4 and four rows: gradients are exact.
        let l = json!([1, 4, 0.25, 16]);
        let settings = with([("smoothness", l.clone()), ("dimension", 1.into())]);
        let on = workloads::fixture("quad-blocks", &settings).unwrap();
        let mut moved = [0.0; 4];
        for seed in 0..400 {
            let start = on.network(seed).unwrap();
            let (end, _) = descend(&on, 2, seed, with([("smoothness", l.clone())]));
            for (i, (old, new)) in start.parameters.iter().zip(&end.parameters).enumerate() {
                let [old, new] = [old, new].map(|p| values(&p.tensor).unwrap()[0]);
                assert!(new == 0.0 || new.to_bits() == old.to_bits(), "{old} {new}");
                moved[i] += f64::from(u8::from(new == 0.0));
            }
        }
        // E x² = (1 − q)² x₀² after two steps.
        for (i, moved) in moved.into_iter().enumerate() {
            let moves = 1.0 - (1.0 - (i + 1) as f64 / 4.0_f64).powi(2);
            let sd = (moves * (1.0 - moves) * 400.0).sqrt();
            assert!((moved - 400.0 * moves).abs() <= 4.0 * sd, "{i}: {moved}");
        }
    }

    #[test]
    fn the_cost_of_a_step_is_that_of_the_model() {
        let settings = with([("overhead", 0.5.into()), ("tolerance", 0.into())]);
        let on = workloads::fixture("quad-blocks", &settings).unwrap();
        for (cutoff, p, expected) in [
            ("uniform", [1.0 / 3.0; 3], 0.5 + 2.0),
            ("q-star", [0.25, 0.75, 0.0], 0.5 + 2.25),
            ("full", [1.0, 0.0, 0.0], 0.5 + 3.0),
        ] {
            let more = with([("smoothness", json!([1, 4, 2])), ("cutoff", cutoff.into())]);
            let (network, facts) = descend(&on, 400, 3, more);
            let costs = p.iter().zip([3.5, 2.5, 1.5]);
            let variance: f64 = costs.map(|(p, c): (&f64, f64)| p * (c - expected).powi(2)).sum();
            let found = f64::from(values(&network.buffers[1]).unwrap()[0]) / 400.0;
            assert!((found - expected).abs() <= 4.0 * (variance / 400.0).sqrt(), "{found}");
            assert_eq!(facts["updates_per_layer"][2], 400);
        }
    }

    #[test]
    fn moving_every_layer_is_sgd_bit_for_bit_and_layers_before_the_cut_off_stay_bit_for_bit() {
        let trial = Trial { examples: 96, epochs: 4, seed: 2 };
        let plain = with([("batch_size", 16.into())]);
        let sgd = trial.run(crate::find("sgd").unwrap().method, &plain).unwrap();
        let of = |pairs: Values| {
            trial.run(&METHOD, &plain.clone().into_iter().chain(pairs).collect()).unwrap()
        };
        let first = |p: [f64; 4]| with([("cutoff", "given".into()), ("probabilities", json!(p))]);
        let given = of(first([1.0, 0.0, 0.0, 0.0]));
        let full = of(with([("cutoff", "full".into())]));
        assert_eq!([given.digest, full.digest], [sgd.digest; 2]);
        assert_eq!(full.order, sgd.order);
        assert_ne!(of(with([])).digest, sgd.digest);
        let start = trial.network().unwrap();
        let late = of(first([0.0, 0.0, 0.5, 0.5]));
        for (old, new) in start.parameters.iter().zip(&late.network.parameters) {
            let [a, b] = [old, new].map(|p| values(&p.tensor).unwrap());
            assert_eq!(a == b, old.layer < 2, "{}", old.name);
        }
        // 24 steps, four layers: one more after every third of the first half.
        let growing = of(with([("cutoff", "growing".into()), ("growth", 0.5.into())]));
        assert_eq!(growing.facts["updates_per_layer"], json!([15, 18, 21, 24]));
    }

    #[test]
    fn lists_that_do_not_fit_are_refused() {
        let refused = |pairs: Values| {
            let trial = Trial { examples: 24, epochs: 1, seed: 0 };
            trial.run(&METHOD, &pairs).unwrap_err().to_string()
        };
        let given = |p: &[f64]| with([("cutoff", "given".into()), ("probabilities", json!(p))]);
        assert!(refused(given(&[0.5, 0.4])).contains("come to 0.9, but must come to 1"));
        let short = "\"probabilities\" lists 2 numbers for 4 layers";
        assert!(refused(given(&[0.5, 0.5])).ends_with(short));
        let bare = refused(with([("cutoff", "q-star".into())]));
        assert!(bare.ends_with("\"smoothness\" lists 0 numbers for 4 layers"), "{bare}");
    }
}
