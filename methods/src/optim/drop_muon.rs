//! # Drop-Muon
//!
//! ## Mechanism
//! Before every step a cut-off `s ∈ {1..b}` is drawn over the `b` layers, counted from the input. Layers
//! `s..b` take a Muon step; layers before `s` keep weights and momentum, take no gradient and no
//! Newton–Schulz, so that the backward pass stops at `s`: `i < s: M_i, W_i` unchanged;
//! `i ≥ s: M_i ← M_i + (1−β)(G_i − M_i)`, `W_i ← W_i − γ·D(M_i)` as in `muon`. `uniform`: `p_i = 1/b`.
//! `epoch-shift`: `p_i ∝ exp(α[(1−t)(b−1−i) + t·i])`, `i` from 0, `t` the share of the run that is over: early
//! steps train nearly all layers, late ones mostly the last. `full`: `s = 1` always, which is `muon`.
//!
//! ## Claim
//! The accuracy of full Muon in up to 1.4× less wall-clock time (abstract; 3-layer CNNs on MNIST,
//! Fashion-MNIST and CIFAR-10, *training* accuracy). With layers of equal cost a uniform cut-off makes
//! a step 3b−1 : 2b cheaper, 1.33× at b = 3 and 1.375× at b = 4, and more only where the first layers or
//! Newton–Schulz, which frozen layers skip, cost most. Steps are worth less each: see both.
//!
//! ## Sources
//! Gruntkowska, Maziane, Qu, Richtárik, arXiv:2510.02239; no official code found. The update is as
//! a third party recorded it (junaidaliop/zij, docs/math/dropmuon.md), which has no `epoch-shift`.
//!
//! ## Differences
//! - The paper writes β for the share of the *gradient*: its β = 0.05 is `momentum` 0.95 here.
//! - The paper's step is `‖M‖_*·UVᵀ` or a radius times `UVᵀ`; here the latter by Newton–Schulz, as Muon.
//! - The recorded rule steps along M; by default (`nesterov`) here along G + β(M − G).
//! - `epoch-shift` and its α are of another implementation, unverified; a review says it is the worse way round.
//! - Biases and, by settings, head and first convolution follow AdamW, dropped with their layer.
//! - Assumed: batch size, schedule, and all settings of Muon.

use lab::method::Method;
use lab::network::Parameter;
use lab::optim::muon::{Muon, MuonSettings};
use lab::recipe::Recipe;
use lab::seat::{Active, Facts, Gradients, Optimizer, StepInfo};
use lab::state::State;
use lab::{LabError, offers};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::Range;
use ledger::streams::unit_f64;
use ledger::{choice, settings};
use rand_pcg::Pcg64;
use tch::Tensor;

choice! {
    /// How the cut-off is drawn.
    pub enum Cutoff {
        /// Every layer with the same probability.
        Uniform = "uniform",
        /// From nearly all layers early to the last ones late.
        EpochShift = "epoch-shift",
        /// No cut: every layer, every step.
        Full = "full",
    }
}

settings! {
    /// Settings of `drop-muon`.
    pub struct Settings {
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "assumed: as muon";
        /// Learning-rate factor over the run, of both rules.
        schedule: Schedule = Schedule::Linear, from "assumed: as muon";
        /// How the cut-off is drawn.
        cutoff: Cutoff = Cutoff::Uniform, from "paper, CNN experiments";
        /// α, sharpness of `epoch-shift`; otherwise unused.
        shift: f64 = 0.5, range Range::of(0.0..=20.0), from "a third party's implementation; paper not verified";
        use muon: MuonSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "Muon on a random suffix of layers, so that backward passes end early",
    paper: Paper {
        title: "Drop-Muon: update less, converge faster",
        authors: "Gruntkowska, Maziane, Qu, Richtárik",
        year: 2025,
        reference: "arXiv:2510.02239",
        code: "none found",
    },
    claim: PaperClaim {
        statement: "the accuracy of full Muon in less wall-clock time",
        number: "up to 1.4×",
        source: "abstract",
    },
    baseline: Some("muon"),
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { batch_size, schedule, cutoff, shift, muon } = Settings::read(values)?;
        let rule = DropMuon {
            cutoff,
            shift,
            random: task.streams.generator("method"),
            muon: Muon::new(muon, task.network)?,
            steps_from: vec![0; task.network.depth()],
        };
        Recipe::plain(batch_size, schedule, Box::new(rule), task)
    },
};

#[derive(Debug)]
struct DropMuon {
    cutoff: Cutoff,
    shift: f64,
    random: Pcg64,
    muon: Muon,
    /// Steps whose first trained layer was this one.
    steps_from: Vec<u64>,
}

/// Probabilities of each of `layers` layers to be the first trained, at share `t` of the run.
fn epoch_shift(shift: f64, layers: usize, t: f64) -> Vec<f64> {
    let weights = (0..layers).map(|i| {
        let (before, behind) = (i as f64, (layers - 1 - i) as f64);
        (shift * ((1.0 - t) * behind + t * before)).exp()
    });
    let sum: f64 = weights.clone().sum();
    weights.map(|weight| weight / sum).collect()
}

/// Modelled cost of a backward pass that ends at layer `first`, relative to the whole, as if all layers
/// cost the same: a weight gradient for each trained layer, an input gradient for each but the first.
fn backward_cost(first: usize, layers: usize) -> f64 {
    (2 * (layers - first) - 1) as f64 / (2 * layers - 1) as f64
}

impl DropMuon {
    /// The first layer of the coming step.
    fn draw(&mut self, now: &StepInfo) -> usize {
        let layers = self.steps_from.len();
        match self.cutoff {
            Cutoff::Full => 0,
            Cutoff::Uniform => ledger::order::bounded(&mut self.random, layers as u64) as usize,
            Cutoff::EpochShift => {
                let t = now.step as f64 / now.total_steps.max(1) as f64;
                let mut left = unit_f64(&mut self.random);
                let passed = epoch_shift(self.shift, layers, t).into_iter().position(|p| {
                    left -= p;
                    left < 0.0
                });
                passed.unwrap_or(layers.saturating_sub(1))
            }
        }
    }
}

impl Optimizer for DropMuon {
    fn active(&mut self, now: &StepInfo) -> Active {
        let first = self.draw(now);
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
        self.muon.update(parameters, gradients, now)
    }

    fn momentum(&mut self, parameter: usize) -> Option<&mut Tensor> {
        self.muon.momentum(parameter)
    }

    fn reset(&mut self) -> Result<(), LabError> {
        self.muon.reset()
    }

    fn facts(&self) -> Facts {
        let layers = self.steps_from.len();
        let updates: Vec<u64> =
            (0..layers).map(|layer| self.steps_from[..=layer].iter().sum()).collect();
        let steps = updates.last().copied().unwrap_or(0).max(1) as f64;
        let costs = self.steps_from.iter().enumerate();
        let cost: f64 = costs.map(|(first, n)| *n as f64 * backward_cost(first, layers)).sum();
        Facts::from([
            ("updates_per_layer".to_owned(), updates.into()),
            ("modelled_backward_cost".to_owned(), (cost / steps).into()),
        ])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("random", &mut self.random)?;
        self.muon.state(state)?;
        state.of("steps_from", &mut self.steps_from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::values;
    use lab::trial::with;
    use ledger::streams::Streams;
    use training::trial::Trial;

    fn rule(cutoff: Cutoff) -> DropMuon {
        let network = Trial { examples: 3, epochs: 1, seed: 0 }.network().unwrap();
        DropMuon {
            cutoff,
            shift: 0.5,
            random: Streams::new([3; 32]).generator("method"),
            muon: Muon::new(MuonSettings::default(), &network).unwrap(),
            steps_from: vec![0; network.depth()],
        }
    }

    fn at(step: u64) -> StepInfo {
        StepInfo { step, total_steps: 384, epoch: 0, total_epochs: 1, lr_factor: 1.0, pass: 0 }
    }

    #[test]
    fn training_every_layer_every_step_is_muon_bit_for_bit() {
        let trial = Trial { examples: 96, epochs: 8, seed: 2 };
        for by in ["adamw", "muon"] {
            let mut with = with([("batch_size", 16.into()), ("head", by.into())]);
            let muon = trial.run(crate::find("muon").unwrap().method, &with).unwrap();
            with.insert("cutoff".to_owned(), "full".into());
            let full = trial.run(&METHOD, &with).unwrap();
            assert_eq!((full.digest, &full.order), (muon.digest, &muon.order));
            with.insert("cutoff".to_owned(), "uniform".into());
            let uniform = trial.run(&METHOD, &with).unwrap();
            assert_ne!(uniform.digest, full.digest);
            assert_eq!(uniform.facts["updates_per_layer"][3], 48);
        }
    }

    #[test]
    fn layers_before_the_cut_off_keep_weights_and_momentum_bit_for_bit() {
        let network = Trial { examples: 3, epochs: 1, seed: 0 }.network().unwrap();
        let mut rule = rule(Cutoff::Uniform);
        for (step, first) in [0, 2, 1, 3, 0, 2].into_iter().enumerate() {
            let state = |rule: &mut DropMuon| -> Vec<[Vec<f32>; 2]> {
                let tensors = network.parameters.iter().enumerate();
                tensors
                    .map(|(i, p)| {
                        [&p.tensor, rule.momentum(i).unwrap()].map(|t| values(t).unwrap())
                    })
                    .collect()
            };
            let before = state(&mut rule);
            let all = &network.parameters;
            let active = (0..all.len()).filter(|&i| all[i].layer >= first).collect::<Vec<_>>();
            let tensors = active.iter().map(|&i| all[i].tensor.detach().sin());
            let gradients = Gradients { tensors: tensors.collect(), active };
            tch::no_grad(|| rule.update(all, &gradients, &at(step as u64))).unwrap();
            let after = state(&mut rule);
            for (parameter, (now, old)) in all.iter().zip(after.iter().zip(&before)) {
                let frozen = parameter.layer < first;
                assert_eq!([now[0] == old[0], now[1] == old[1]], [frozen; 2], "{}", parameter.name);
            }
        }
    }

    #[test]
    fn the_ith_of_b_layers_is_updated_in_i_of_b_steps() {
        let mut rule = rule(Cutoff::Uniform);
        for step in 0..384 {
            rule.active(&at(step));
        }
        let facts = rule.facts();
        for (i, count) in facts["updates_per_layer"].as_array().unwrap().iter().enumerate() {
            let p = (i + 1) as f64 / 4.0;
            let (mean, deviation) = (384.0 * p, (384.0 * p * (1.0 - p)).sqrt());
            let count = count.as_f64().unwrap();
            assert!((count - mean).abs() <= 4.0 * deviation, "layer {i}: {count}");
        }
        // b/(2b−1) on average.
        let cost = facts["modelled_backward_cost"].as_f64().unwrap();
        assert!((cost - 4.0 / 7.0).abs() < 0.07, "{cost}");
    }

    #[test]
    fn a_uniform_cut_off_saves_a_quarter_of_a_step_at_three_layers() {
        // Forward b, backward 2b − 1.
        for (layers, share) in [(3_usize, 0.750), (4, 0.727), (8, 0.696)] {
            let (b, whole) = (layers as f64, (2 * layers - 1) as f64);
            let backward: f64 = (0..layers).map(|s| backward_cost(s, layers) / b).sum();
            let cost = (b + whole * backward) / (b + whole);
            assert!((cost - share).abs() < 5e-4, "{layers}: {cost}");
        }
    }

    #[test]
    fn epoch_shift_moves_from_the_first_layers_to_the_last() {
        let early = epoch_shift(0.5, 4, 0.0);
        for (i, weight) in [1.5_f64, 1.0, 0.5, 0.0].map(f64::exp).into_iter().enumerate() {
            assert!((early[i] / early[3] - weight).abs() < 1e-12);
        }
        assert!(early.into_iter().rev().eq(epoch_shift(0.5, 4, 1.0)));
        assert_eq!(epoch_shift(0.5, 4, 0.5), [0.25; 4]);
        let mut rule = rule(Cutoff::EpochShift);
        let mut trained_layers = |steps: std::ops::Range<u64>| -> usize {
            let first = steps.map(|step| match rule.active(&at(step)) {
                Active::From(first) => first,
                Active::All => 0,
            });
            first.map(|first| 4 - first).sum()
        };
        assert!(trained_layers(0..96) > trained_layers(288..384) + 50);
    }
}
