//! # Soup of a network and its fine-tune
//!
//! ## Mechanism
//! The network is trained on with AdamW; after the last step its weights become
//! `w ← (1 − α)·w₀ + α·w`, where w₀ are the weights it started from (with a parent in the suite, the
//! parent's) and α is `weight`. Running statistics stay those of the trained network.
//!
//! ## Claim
//! None here: a derivative that tests of provenance must still find.
//!
//! ## Sources
//! Wortsman et al., arXiv:2203.05482 (mean of fine-tunes) and arXiv:2109.01903 (a network and its
//! fine-tune, α = 0.5).
//!
//! ## Differences
//! Paper: several fine-tunes with other settings, chosen on held-out data. Here two members, always both.

use lab::LabError;
use lab::method::Method;
use lab::network::{Network, Parameter};
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::Recipe;
use lab::seat::{Batch, Constraint, Gradients, Optimizer, StepInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;
use ledger::streams::Streams;
use tch::Tensor;

settings! {
    /// Settings of `soup`.
    pub struct Settings {
        /// α: weight of the fine-tune.
        weight: f64 = 0.5, range Range::of(0.0..=1.0), from "arXiv:2109.01903";
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "assumed: as adamw";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Cosine { floor: 0.0 }, from "assumed: as adamw";
        use adamw: AdamwSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "AdamW, then the mean of the weights it ended and started with",
    paper: Paper {
        title: "Model soups: averaging weights of multiple fine-tuned models",
        authors: "Wortsman et al.",
        year: 2022,
        reference: "arXiv:2203.05482",
        code: "none used",
    },
    claim: PaperClaim {
        statement: "a derivative of another run, not a way to train",
        number: "none",
        source: "none",
    },
    baseline: None,
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { weight, batch_size, schedule, adamw } = Settings::read(values)?;
        let rule = Adamw::new(adamw, task.network, |_, _| true)?;
        let plain = Recipe::plain(batch_size, schedule, Box::new(rule), task)?;
        let constraint = Mix { weight, start: Vec::new() };
        Ok(Recipe { constraint: Some(Box::new(constraint)), ..plain })
    },
};

#[derive(Debug)]
struct Mix {
    weight: f64,
    /// The weights at the start.
    start: Vec<Tensor>,
}

impl Constraint for Mix {
    fn prepare(&mut self, network: &mut Network, _: &Streams, _: &Batch) -> Result<(), LabError> {
        let copies = network.parameters.iter().map(|parameter| parameter.tensor.detach().copy());
        self.start = copies.collect();
        Ok(())
    }

    /// Only the end is restricted.
    fn hold(&self, _: &mut [Parameter]) -> Result<(), LabError> {
        Ok(())
    }

    fn project(
        &mut self,
        parameters: &mut [Parameter],
        _: &Gradients,
        _: &mut dyn Optimizer,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let is_last = now.step + 1 == now.total_steps;
        // x + 1·(y − x) need not be y to the last bit.
        if !is_last || self.weight >= 1.0 {
            return Ok(());
        }
        for (parameter, start) in parameters.iter_mut().zip(&self.start) {
            let mixed = start.f_lerp(&parameter.tensor, self.weight)?;
            parameter.tensor.f_copy_(&mixed)?;
        }
        Ok(())
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::values;
    use lab::trial::with;
    use training::trial::{Trace, Trial};

    const TRIAL: Trial = Trial { examples: 48, epochs: 2, seed: 1 };

    fn soup(weight: f64) -> Trace {
        let settings = with([("weight", weight.into()), ("batch_size", 16.into())]);
        TRIAL.run(&METHOD, &settings).unwrap()
    }

    #[test]
    fn with_all_weight_on_the_fine_tune_it_is_adamw_bit_for_bit() {
        let settings = with([("batch_size", 16.into())]);
        let adamw = TRIAL.run(crate::find("adamw").unwrap().method, &settings).unwrap();
        assert_eq!(soup(1.0).digest, adamw.digest);
    }

    #[test]
    fn with_no_weight_on_the_fine_tune_it_is_the_start_bit_for_bit() {
        assert_eq!(soup(0.0).digest, TRIAL.network().unwrap().digest().unwrap());
    }

    #[test]
    fn in_between_it_is_the_weighted_mean() {
        let (start, end) = (TRIAL.network().unwrap(), soup(1.0).network);
        let mixed = soup(0.25).network;
        for ((start, end), mixed) in
            start.parameters.iter().zip(&end.parameters).zip(&mixed.parameters)
        {
            let [start, end, mixed] = [start, end, mixed].map(|p| values(&p.tensor).unwrap());
            for ((start, end), mixed) in start.iter().zip(&end).zip(&mixed) {
                assert!((0.75 * start + 0.25 * end - mixed).abs() < 1e-6);
            }
        }
    }
}
