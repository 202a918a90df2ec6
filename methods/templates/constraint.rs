//! # @NAME@
//!
//! ## Mechanism
//! |θ| ≤ c after every update, to begin with: what parameters are restricted to, in words and symbols.
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
use lab::network::{Network, Parameter, Role};
use lab::offers;
use lab::optim::base::BaseSettings;
use lab::recipe::Recipe;
use lab::seat::{Batch, Constraint, Gradients, Optimizer, StepInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;
use ledger::streams::Streams;
use tch::no_grad;

settings! {
    /// Settings of `@NAME@`.
    pub struct Settings {
        /// c: largest absolute value of a weight.
        bound: f64 = 1.0, range Range::above(0.0), from "assumed";
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "assumed";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Cosine { floor: 0.0 }, from "assumed";
        use base: BaseSettings;
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
        let Settings { bound, batch_size, schedule, base } = Settings::read(values)?;
        let plain = Recipe::plain(batch_size, schedule, base.build(task.network)?, task)?;
        Ok(Recipe { constraint: Some(Box::new(Bounded { bound })), ..plain })
    },
};

/// What parameters are restricted to.
struct Bounded {
    bound: f64,
}

impl Bounded {
    fn restrict(&self, parameters: &[Parameter]) -> Result<(), LabError> {
        for parameter in parameters.iter().filter(|parameter| parameter.role == Role::Weight) {
            let _ = parameter.tensor.detach().f_clamp_(-self.bound, self.bound)?;
        }
        Ok(())
    }
}

impl Constraint for Bounded {
    fn prepare(&mut self, network: &mut Network, _: &Streams, _: &Batch) -> Result<(), LabError> {
        no_grad(|| self.restrict(&network.parameters))
    }

    fn hold(&self, parameters: &mut [Parameter]) -> Result<(), LabError> {
        self.restrict(parameters)
    }

    fn project(
        &mut self,
        parameters: &mut [Parameter],
        _: &Gradients,
        _: &mut dyn Optimizer,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        self.restrict(parameters)
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::trial::Trial;

    #[test]
    fn with_a_bound_out_of_reach_it_is_sgd_bit_for_bit() {
        let trial = Trial { examples: 96, epochs: 2, seed: 0 };
        let mut settings = with([("batch_size", 32.into())]);
        let sgd = trial.run(crate::find("sgd").unwrap().method, &settings).unwrap();
        let [free, tight] = [1e6, 0.05].map(|bound| {
            settings.insert("bound".to_owned(), bound.into());
            trial.run(&METHOD, &settings).unwrap()
        });
        assert_eq!((free.digest, free.order), (sgd.digest, sgd.order));
        assert_ne!(tight.digest, sgd.digest);
    }
}
