//! # AdamW
//!
//! ## Mechanism
//! `m ← β₁m + (1−β₁)g`; `v ← β₂v + (1−β₂)g²`; `w ← w(1 − γλ) − γ·m̂/(√v̂ + ε)`, where
//! `m̂ = m/(1−β₁ᵗ)` and `v̂ = v/(1−β₂ᵗ)` at the t-th update. The decay λ acts on the weight and not
//! on the gradient, so that it is not divided by √v̂. The rate γ follows the schedule, per step.
//!
//! ## Claim
//! None here: this is a baseline. The paper's own claim is that decoupling the decay closes much of
//! Adam's gap to SGD on CIFAR-10 and ImageNet32 (no single number is compared with here).
//!
//! ## Sources
//! Loshchilov & Hutter, arXiv:1711.05101; PyTorch 2.11's `torch.optim.AdamW` for the exact update
//! and the defaults, whose fused kernel this calls.
//!
//! ## Differences
//! Paper: the decay is multiplied by the schedule only, `w ← w − η(α·m̂/(√v̂ + ε) + λw)`. PyTorch
//! and this file: also by the learning rate α. Every parameter decays, biases and norms too, as
//! in PyTorch without parameter groups. Assumed: batch size and schedule.

use lab::method::Method;
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::Recipe;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `adamw`.
    pub struct Settings {
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "assumed: as sgd";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Cosine { floor: 0.0 }, from "assumed: as sgd";
        use adamw: AdamwSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "AdamW: the adaptive baseline",
    paper: Paper {
        title: "Decoupled weight decay regularization",
        authors: "Loshchilov, Hutter",
        year: 2019,
        reference: "arXiv:1711.05101",
        code: "torch.optim.AdamW (PyTorch 2.11)",
    },
    claim: PaperClaim { statement: "baseline", number: "none", source: "none" },
    baseline: None,
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { batch_size, schedule, adamw } = Settings::read(values)?;
        let rule = Adamw::new(adamw, task.network, |_, _| true)?;
        Recipe::plain(batch_size, schedule, Box::new(rule), task)
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::values;
    use lab::seat::{Gradients, Optimizer as _, StepInfo};
    use training::trial::Trial;

    const ADAMW: AdamwSettings =
        AdamwSettings { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1 };

    /// The head's bias after each of `gradients`, beside the same in f64 from the card's formula.
    fn bias_and_formula(gradients: &[f32]) -> (Vec<f32>, f64) {
        let network = Trial { examples: 3, epochs: 1, seed: 0 }.network().unwrap();
        let bias = network.parameters.len() - 1;
        let mut rule = Adamw::new(ADAMW, &network, |_, _| true).unwrap();
        let AdamwSettings { lr, beta1, beta2, eps, weight_decay } = ADAMW;
        let (mut w, mut m, mut v) =
            (f64::from(values(&network.parameters[bias].tensor).unwrap()[0]), 0.0, 0.0);
        let now = StepInfo {
            step: 0,
            total_steps: 9,
            epoch: 0,
            total_epochs: 1,
            lr_factor: 0.5,
            pass: 0,
        };
        for (t, &g) in (1..).zip(gradients) {
            let tensors = vec![network.parameters[bias].tensor.full_like(f64::from(g)).detach()];
            let step = Gradients { active: vec![bias], tensors };
            tch::no_grad(|| rule.update(&network.parameters, &step, &now)).unwrap();
            let g = f64::from(g);
            m = beta1 * m + (1.0 - beta1) * g;
            v = beta2 * v + (1.0 - beta2) * g * g;
            let (mean, square) = (m / (1.0 - beta1.powi(t)), v / (1.0 - beta2.powi(t)));
            w = w * (1.0 - 0.5 * lr * weight_decay) - 0.5 * lr * mean / (square.sqrt() + eps);
        }
        (values(&network.parameters[bias].tensor).unwrap(), w)
    }

    #[test]
    fn the_kernel_follows_the_cards_formula() {
        let (bias, formula) = bias_and_formula(&[0.3, -2.0, 0.01, 0.5]);
        assert!((f64::from(bias[0]) - formula).abs() < 1e-6, "{} {formula}", bias[0]);
    }

    #[test]
    fn the_first_step_is_the_rate_whatever_the_gradients_size() {
        for size in [1e-4, 1.0, 1e4] {
            let start = bias_and_formula(&[]).0[0];
            let decayed = start * (1.0 - 0.5 * 0.01 * 0.1);
            let moved = bias_and_formula(&[size]).0[0];
            assert!((decayed - moved - 0.005).abs() < 1e-6, "{size}: {}", decayed - moved);
        }
    }
}
