//! # AdamW for language models
//!
//! ## Mechanism
//! AdamW with β = (0.9, 0.95), decoupled weight decay 0.1 on matrices and tables and none on vectors
//! (biases, scales, shifts), gradients scaled down to a joint norm of 1, a warm-up and half a cosine to
//! a tenth of the peak rate.
//!
//! ## Claim
//! None here: this is the baseline of the language family.
//!
//! ## Sources
//! Brown et al., arXiv:2005.14165, appendix B (β, decay, clipping, cosine to a tenth); karpathy/nanoGPT
//! `model.py` `configure_optimizers` (what decays).
//!
//! ## Differences
//! GPT-3 warms up over the first 375 million tokens, which is longer than a run here: a share of the
//! run. Assumed: peak rate, batch size, length of the warm-up. A run whose first step has the factor 0
//! moves nothing in that step, as Hugging Face's schedulers do.

use lab::method::Method;
use lab::offers;
use lab::optim::lm::LmSettings;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;

settings! {
    /// Settings of `lm-adamw`.
    pub struct Settings {
        use lm: LmSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "AdamW as language models are trained with it: the baseline of the family",
    paper: Paper {
        title: "Language models are few-shot learners",
        authors: "Brown et al.",
        year: 2020,
        reference: "arXiv:2005.14165",
        code: "karpathy/nanoGPT",
    },
    claim: PaperClaim { statement: "baseline", number: "none", source: "none" },
    baseline: None,
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| Settings::read(values)?.lm.recipe(task),
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::{Network, values};
    use lab::seat::{Gradients, Optimizer as _};
    use lab::trial::{self, with};
    use serde_json::json;
    use training::trial::Trial;

    /// Weight and bias of the head after one update without gradient.
    fn after_a_still_step(weight_decay: f64) -> [(Vec<f32>, Vec<f32>); 2] {
        let network = Trial { examples: 3, epochs: 1, seed: 0 }.network().unwrap();
        let of = |network: &Network| {
            let [.., weight, bias] = network.parameters.as_slice() else { panic!() };
            [&weight.tensor, &bias.tensor].map(|tensor| values(tensor).unwrap())
        };
        let [weight, bias] = of(&network);
        let settings = LmSettings { lr: 0.1, weight_decay, ..LmSettings::default() };
        let mut rule = settings.optimizer(&network).unwrap();
        let tensors = network.parameters.iter().map(|p| p.tensor.detach().zeros_like()).collect();
        let gradients = Gradients { active: (0..network.parameters.len()).collect(), tensors };
        tch::no_grad(|| rule.update(&network.parameters, &gradients, &trial::step_info(0, 2)))
            .unwrap();
        let [weight_after, bias_after] = of(&network);
        [(weight, weight_after), (bias, bias_after)]
    }

    #[test]
    fn matrices_decay_and_vectors_do_not() {
        let [(weight, decayed), (bias, still)] = after_a_still_step(0.5);
        // The trial's moment is at a tenth of the rate: 1 − 0.1·0.1·0.5.
        for (before, after) in weight.iter().zip(decayed) {
            assert!((before * 0.995 - after).abs() < 1e-7);
        }
        assert_eq!(bias, still);
        let [(weight, kept), _] = after_a_still_step(0.0);
        assert_eq!(weight, kept);
    }

    #[test]
    fn a_bound_on_the_gradient_is_without_effect_where_the_gradient_is_small() {
        let trial = Trial { examples: 48, epochs: 1, seed: 1 };
        let run = |clip: f64| {
            let settings = with([("clip", clip.into()), ("batch_size", 16.into())]);
            trial.run(&METHOD, &settings).unwrap().digest
        };
        assert_eq!(run(0.0), run(1e6));
        assert_ne!(run(0.0), run(1e-3));
    }

    #[test]
    fn without_warm_up_and_decay_of_vectors_apart_it_is_adamw() {
        let trial = Trial { examples: 48, epochs: 2, seed: 1 };
        let shared = [
            ("batch_size", json!(16)),
            ("schedule", json!("constant")),
            ("lr", json!(0.01)),
            ("beta2", json!(0.95)),
            ("weight_decay", json!(0.0)),
        ];
        let adamw = trial.run(crate::find("adamw").unwrap().method, &with(shared.clone())).unwrap();
        let mut settings = with(shared);
        settings.insert("clip".to_owned(), json!(0.0));
        assert_eq!(trial.run(&METHOD, &settings).unwrap().digest, adamw.digest);
    }
}
