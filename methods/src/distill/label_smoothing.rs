//! # Label smoothing
//!
//! ## Mechanism
//! The target of an example of class `y` is `(1−ε)·onehot(y) + ε/K` over `K` classes; loss
//! `−Σ_c ỹ_c log softmax(z)_c`. At `ε = 0` it is cross-entropy.
//!
//! ## Claim
//! About 0.2 % absolute less top-1 and top-5 error on ImageNet for Inception-v3 (Szegedy et al., section 7).
//! In PS-KD's table it explains most of that method's gain in top-1 error for one network (PreAct
//! ResNet-18 on CIFAR-100: 24.18 → 20.94, PS-KD 20.82 %), from none to most for others, a third of its
//! gain in NLL and a tenth in calibration (README). An arm that softer targets should beat.
//!
//! ## Sources
//! Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, arXiv:1512.00567 (CVPR 2016); PyTorch 2.11's
//! `cross_entropy` with `label_smoothing`, whose kernels this calls; lgcnsai/PS-KD-Pytorch@9aa0828d for
//! batch size, schedule and rate.
//!
//! ## Differences
//! None in the loss. The paper trains Inception-v3 by RMSProp; the base here is that of PS-KD's
//! repository, so that both can be compared at the same settings.

use lab::method::Method;
use lab::objectives::CrossEntropy;
use lab::offers;
use lab::optim::base::BaseSettings;
use lab::recipe::{Recipe, Step};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `label-smoothing`.
    pub struct Settings {
        /// ε: share of the target spread evenly over all classes.
        smoothing: f64 = 0.1, range Range::of(0.0..=1.0), from "Szegedy et al., section 7";
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "PS-KD main.py";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Step { at: vec![0.5, 0.75], factor: 0.1 }, from "PS-KD main.py";
        use base: BaseSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "cross-entropy against labels mixed with the uniform distribution",
    paper: Paper {
        title: "Rethinking the Inception architecture for computer vision",
        authors: "Szegedy, Vanhoucke, Ioffe, Shlens, Wojna",
        year: 2016,
        reference: "arXiv:1512.00567",
        code: "torch.nn.functional.cross_entropy (PyTorch 2.11)",
    },
    claim: PaperClaim {
        statement: "lower top-1 and top-5 error on ImageNet",
        number: "about 0.2 % absolute",
        source: "section 7",
    },
    baseline: Some("sgd"),
    needs: &[offers::CLASSES],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { smoothing, batch_size, schedule, base } = Settings::read(values)?;
        let objective = Box::new(CrossEntropy { smoothing });
        let step = Step::Gradient { objective, optimizer: base.build(task.network)? };
        Ok(Recipe::of(batch_size, schedule, step))
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::mlp::mlp;
    use lab::network::values;
    use lab::seat::Objective as _;
    use lab::trial::{self, with};
    use serde_json::json;
    use tch::{Device, Kind};
    use training::trial::Trial;

    #[test]
    fn the_loss_is_the_cross_entropy_against_the_smoothed_label() {
        let network = mlp(&[6, 3], &trial::streams(), Device::Cpu).unwrap();
        let mut batch = trial::batch(&[6]).unwrap();
        batch.labels = batch.labels.fmod(3);
        let logits = network.forward(&batch.inputs, false).unwrap();
        let targets = (batch.labels.one_hot(3) * 0.9) + 0.1 / 3.0;
        let expected = -(targets * logits.log_softmax(-1, Kind::Double)).sum_dim_intlist(
            -1,
            false,
            Kind::Double,
        );
        let now = trial::step_info(0, 1);
        let losses = CrossEntropy { smoothing: 0.1 }.losses(&network, &batch, &now).unwrap();
        let (losses, expected) = (values(&losses).unwrap(), values(&expected).unwrap());
        for (loss, expected) in losses.iter().zip(&expected) {
            assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
        }
    }

    #[test]
    fn without_smoothing_it_is_sgd_bit_for_bit() {
        let trial = Trial { examples: 90, epochs: 3, seed: 4 };
        let mut with = with([("batch_size", 16.into()), ("schedule", json!("linear"))]);
        let sgd = trial.run(crate::find("sgd").unwrap().method, &with).unwrap();
        let smooth = trial.run(&METHOD, &with).unwrap();
        with.insert("smoothing".to_owned(), 0.0.into());
        let neutral = trial.run(&METHOD, &with).unwrap();
        assert_eq!((sgd.digest, sgd.order), (neutral.digest, neutral.order));
        assert_ne!(sgd.digest, smooth.digest);
    }
}
