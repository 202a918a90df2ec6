//! # Muon
//!
//! ## Mechanism
//! For a weight matrix `W` (a filter bank is read as out × rest) with gradient `G`:
//! `M ← M + (1−β)(G − M)`; `U = G + β(M − G)` with Nesterov's form, else `U = M`;
//! `O = NS(U)·max(1, rows/columns)^½`; `W ← W(1 − γλ) − γO`. `NS` approximates the orthogonal factor
//! `UVᵀ` of `U = UΣVᵀ`: from `X = U/(‖U‖_F + 1e−7)`, wide side across, five times
//! `A = XXᵀ`, `X ← aX + (bA + cA²)X` with `(a, b, c) = (3.4445, −4.7750, 2.0315)`. Every singular value
//! above two thousandths of the norm comes to 0.68 to 1.20 (one of a thousandth to 0.47), so that all
//! directions move nearly alike.
//! AdamW moves biases and norms and, unless set otherwise, the head and the first convolution.
//!
//! ## Claim
//! CIFAR-10 to 94 % in 2.6 instead of 3.3 A100-seconds (README, cifar10-airbench). What this bench
//! can show is the direction: fewer train-clock seconds to the target than SGD and AdamW.
//!
//! ## Sources
//! KellerJordan/Muon@857d1adc `muon.py` and README; KellerJordan/cifar10-airbench@f1c599c4.
//!
//! ## Differences
//! - `muon.py` scales by `grad.size(-2)/grad.size(-1)` of the gradient before it is flattened: kH/kW,
//!   which is 1 for square filters, so its filters get **no** factor. Here the factor is that of the
//!   out × rest matrix, as the write-up means it.
//! - `muon.py` iterates in bfloat16; here in f32.
//! - airbench94_muon is another recipe: momentum 0.6 as `buf ← μ·buf + g`, 3 iterations, weights
//!   renormalised before each step, label smoothing 0.2, head by SGD. Not reproduced.
//! - Assumed: batch size; the linear schedule is airbench's.

use lab::method::Method;
use lab::offers;
use lab::optim::muon::{Muon, MuonSettings};
use lab::recipe::Recipe;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `muon`.
    pub struct Settings {
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "assumed: as sgd; airbench94_muon uses 2000";
        /// Learning-rate factor over the run, of both rules.
        schedule: Schedule = Schedule::Linear, from "airbench94_muon.py";
        use muon: MuonSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "Muon: momentum orthogonalised by Newton–Schulz, AdamW beside it",
    paper: Paper {
        title: "Muon: an optimizer for hidden layers in neural networks",
        authors: "Jordan, Jin, Boza, You, Cesista, Newhouse, Bernstein",
        year: 2024,
        reference: "https://kellerjordan.github.io/posts/muon/",
        code: "KellerJordan/Muon@857d1adc",
    },
    claim: PaperClaim {
        statement: "CIFAR-10 reaches 94 % in less time than without Muon",
        number: "2.6 instead of 3.3 A100-seconds",
        source: "README, KellerJordan/Muon",
    },
    baseline: Some("sgd"),
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { batch_size, schedule, muon } = Settings::read(values)?;
        Recipe::plain(batch_size, schedule, Box::new(Muon::new(muon, task.network)?), task)
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::values;
    use lab::optim::muon::{MovedBy, direction, orthogonalise};
    use lab::seat::{Gradients, Optimizer as _, StepInfo};
    use lab::trial::with;
    use ledger::streams::{Streams, normal};
    use tch::{Kind, Tensor};
    use training::trial::Trial;

    /// A matrix of standard normal numbers.
    fn gaussian(rows: i64, columns: i64) -> Tensor {
        let count = usize::try_from(rows * columns).unwrap();
        let numbers = normal(&mut Streams::new([7; 32]).generator("gaussian"), count);
        Tensor::from_slice(&numbers).view([rows, columns])
    }

    /// `U diag(σ) Vᵀ` of 8 × 12 with these singular values, after `steps` iterations; its own.
    fn singular_after(sigma: &[f32], steps: u32) -> Vec<f32> {
        let (u, _, v) = gaussian(8, 12).svd(true, true);
        let sigma = Tensor::from_slice(sigma);
        let matrix = u.matmul(&sigma.diag(0)).matmul(&v.transpose(0, 1));
        let result = orthogonalise(&matrix, steps).unwrap();
        values(&result.svd(true, true).1).unwrap()
    }

    fn within(numbers: &[f32], low: f32, high: f32) -> bool {
        numbers.iter().all(|number| (low..=high).contains(number))
    }

    /// Eight singular values whose norm is 1, the smallest `least`, the others even.
    fn spectrum(least: f32) -> Vec<f32> {
        let other = ((1.0 - least * least) / 7.0).sqrt();
        [vec![other; 7], vec![least]].concat()
    }

    #[test]
    fn singular_values_land_in_the_published_intervals() {
        for least in [0.01, 0.02, 0.05, 0.1, 0.2, 0.3] {
            let five = singular_after(&spectrum(least), 5);
            assert!(within(&five, 0.6818, 1.1344), "{least}: {five:?}");
        }
        for least in [0.002, 0.003, 0.005, 0.008] {
            let five = singular_after(&spectrum(least), 5);
            assert!(within(&five, 0.6818, 1.2024), "{least}: {five:?}");
        }
        for least in [0.02, 0.05, 0.1, 0.3] {
            let three = singular_after(&spectrum(least), 3);
            assert!(within(&three, 0.6818, 1.2024), "{least}: {three:?}");
        }
    }

    #[test]
    fn singular_values_below_a_thousandth_of_the_norm_are_only_magnified() {
        let least = *singular_after(&spectrum(1e-4), 5).last().unwrap();
        assert!((least - 0.04849).abs() < 1e-3, "{least}");
    }

    #[test]
    fn a_wide_gaussian_becomes_nearly_orthogonal_in_its_own_direction() {
        let matrix = gaussian(32, 288);
        let result = orthogonalise(&matrix, 5).unwrap();
        let sigma = values(&result.svd(true, true).1).unwrap();
        assert!(within(&sigma, 0.67, 1.06), "{sigma:?}");
        let (u, _, v) = matrix.svd(true, true);
        let polar = u.matmul(&v.transpose(0, 1));
        let cosine = (&result * &polar).sum(Kind::Float) / (result.norm() * polar.norm());
        assert!(f64::try_from(cosine).unwrap() > 0.97);
    }

    #[test]
    fn the_size_of_the_gradient_does_not_matter() {
        let matrix = gaussian(16, 40);
        let gap = orthogonalise(&matrix, 5).unwrap() - orthogonalise(&(&matrix * 1000), 5).unwrap();
        assert!(f64::try_from(gap.abs().max()).unwrap() < 1e-6);
    }

    #[test]
    fn tall_matrices_and_filters_are_scaled_by_the_root_of_their_aspect() {
        let tall = gaussian(40, 10);
        let plain = orthogonalise(&tall, 5).unwrap();
        assert!((direction(&tall, 5).unwrap() - plain * 2.0).abs().max().double_value(&[]) < 1e-6);
        let filters = gaussian(32, 8).view([32, 2, 2, 2]);
        let flat = orthogonalise(&filters.view([32, 8]), 5).unwrap() * 2.0;
        let gap = direction(&filters, 5).unwrap().view([32, 8]) - flat;
        assert!(gap.abs().max().double_value(&[]) < 1e-6);
    }

    /// Names of the parameters that an update with zero gradients moves: those whose rule decays
    /// weights, which here is Muon alone.
    fn moved_by_muon(settings: MuonSettings) -> Vec<String> {
        let network = Trial { examples: 3, epochs: 1, seed: 0 }.network().unwrap();
        let before = network.snapshot();
        let tensors: Vec<_> = before.iter().map(Tensor::zeros_like).collect();
        let active = (0..network.parameters.len()).collect();
        let now = StepInfo {
            step: 0,
            total_steps: 9,
            epoch: 0,
            total_epochs: 1,
            lr_factor: 1.0,
            pass: 0,
        };
        let settings = MuonSettings { weight_decay: 0.5, ..settings };
        let mut muon = Muon::new(settings, &network).unwrap();
        let gradients = Gradients { active, tensors };
        tch::no_grad(|| muon.update(&network.parameters, &gradients, &now)).unwrap();
        let pairs = network.parameters.iter().zip(&before);
        pairs.filter(|(now, old)| now.tensor != **old).map(|(now, _)| now.name.clone()).collect()
    }

    #[test]
    fn head_and_first_convolution_are_adamws_unless_set_otherwise() {
        let published = MuonSettings::default();
        assert_eq!(moved_by_muon(published.clone()), ["conv2.weight", "conv3.weight"]);
        let all = MuonSettings { head: MovedBy::Muon, first_conv: MovedBy::Muon, ..published };
        assert_eq!(
            moved_by_muon(all),
            ["conv1.weight", "conv2.weight", "conv3.weight", "head.weight"]
        );
    }

    /// Two steps by the rule as written, with other gradients in the second: swapping β and 1 − β, or
    /// the step along M and that along G + β(M − G), comes to other weights.
    fn two_steps_gap(nesterov: bool, by_hand_nesterov: bool, beta_by_hand: f64) -> f64 {
        let network = Trial { examples: 3, epochs: 1, seed: 0 }.network().unwrap();
        let at = network.parameters.iter().position(|one| one.name == "conv2.weight").unwrap();
        let weight = network.parameters[at].tensor.copy();
        let shape = weight.size();
        let settings = MuonSettings { momentum: 0.8, nesterov, lr: 0.1, ..MuonSettings::default() };
        let (lr, decay, steps) = (settings.lr, settings.weight_decay, settings.ns_steps);
        let mut muon = Muon::new(settings, &network).unwrap();
        let mut expected = weight;
        let mut momentum = Tensor::zeros_like(&expected);
        for step in 0..2 {
            let drawn =
                normal(&mut Streams::new([step as u8; 32]).generator("gradient"), expected.numel());
            let gradient = Tensor::from_slice(&drawn).view(shape.as_slice());
            let now = StepInfo {
                step,
                total_steps: 2,
                epoch: 0,
                total_epochs: 1,
                lr_factor: 1.0,
                pass: 0,
            };
            let given = Gradients { active: vec![at], tensors: vec![gradient.copy()] };
            tch::no_grad(|| muon.update(&network.parameters, &given, &now)).unwrap();
            momentum = &momentum + (&gradient - &momentum) * (1.0 - beta_by_hand);
            let along = if by_hand_nesterov {
                &gradient + (&momentum - &gradient) * beta_by_hand
            } else {
                momentum.copy()
            };
            expected = expected * (1.0 - lr * decay) - direction(&along, steps).unwrap() * lr;
        }
        (&network.parameters[at].tensor - expected).abs().max().double_value(&[])
    }

    #[test]
    fn two_steps_follow_the_rule_with_and_without_nesterov() {
        assert!(two_steps_gap(true, true, 0.8) < 1e-5);
        assert!(two_steps_gap(false, false, 0.8) < 1e-5);
        assert!(two_steps_gap(true, false, 0.8) > 1e-3);
        assert!(two_steps_gap(false, true, 0.8) > 1e-3);
        assert!(two_steps_gap(false, false, 0.2) > 1e-3);
    }

    #[test]
    fn the_loop_trains_with_it() {
        let trace = Trial { examples: 96, epochs: 8, seed: 1 }
            .run(&METHOD, &with([("batch_size", 16.into())]))
            .unwrap();
        assert_eq!(trace.order.ids.len(), 96 * 8);
        assert!(
            trace.network.snapshot().iter().all(|t| bool::try_from(t.isfinite().all()).unwrap())
        );
    }
}
