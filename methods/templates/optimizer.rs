//! # @NAME@
//!
//! ## Mechanism
//! θ ← θ − lr · factor · sign(g), to begin with: equations, in words and symbols.
//!
//! ## Claim
//! none yet: a testable sentence with its number.
//!
//! ## Sources
//! none yet: paper, and code with its commit.
//!
//! ## Differences
//! none yet: where paper, code and this file differ. Settings that the paper does not give are
//! `assumed`.

use lab::LabError;
use lab::method::Method;
use lab::network::Parameter;
use lab::offers;
use lab::recipe::Recipe;
use lab::seat::{Gradients, Optimizer, StepInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `@NAME@`.
    pub struct Settings {
        /// Step size.
        lr: f64 = 1e-3, range Range::above(0.0), from "assumed";
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "assumed";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Cosine { floor: 0.0 }, from "assumed";
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "what it does, in one line",
    paper: Paper {
        title: "title",
        authors: "authors",
        year: 2026,
        reference: "arXiv:0000.00000",
        code: "none found",
    },
    claim: PaperClaim { statement: "none yet", number: "none yet", source: "none yet" },
    baseline: Some("sgd"),
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { lr, batch_size, schedule } = Settings::read(values)?;
        Recipe::plain(batch_size, schedule, Box::new(Rule { lr }), task)
    },
};

/// The update rule; state per parameter goes here, one tensor each.
struct Rule {
    lr: f64,
}

impl Optimizer for Rule {
    fn update(
        &mut self,
        parameters: &[Parameter],
        gradients: &Gradients,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let Gradients { active, tensors } = gradients;
        for (parameter, gradient) in active.iter().zip(tensors) {
            let step = gradient.f_sign()?.f_mul_scalar(self.lr * now.lr_factor)?;
            let _ = parameters[*parameter].tensor.detach().f_sub_(&step)?;
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<(), LabError> {
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
    use training::trial::Trial;

    #[test]
    fn one_step_moves_every_weight_by_the_step_size() {
        let trial = Trial { examples: 32, epochs: 1, seed: 0 };
        let settings = with([("batch_size", 32.into()), ("schedule", "constant".into())]);
        let [before, after] =
            [trial.network().unwrap(), trial.run(&METHOD, &settings).unwrap().network];
        for (before, after) in before.parameters.iter().zip(&after.parameters) {
            let away = (&after.tensor - &before.tensor).abs();
            // A weight whose gradient is 0 stays.
            let gap = away.minimum(&(&away - 1e-3).abs());
            assert!(values(&gap).unwrap().iter().all(|gap| *gap < 1e-6), "{}", before.name);
        }
    }
}
