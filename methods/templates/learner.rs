//! # @NAME@
//!
//! ## Mechanism
//! θ ← θ − lr · g by its own hand, to begin with: the whole step, in words and symbols. Take another seat
//! where one fits: what only some seats get (a constraint, clipping) passes a learner by.
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
use lab::network::Network;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::recipe::{Recipe, Step};
use lab::seat::{Batch, Learner, Objective, StepInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;
use tch::{Tensor, no_grad};

settings! {
    /// Settings of `@NAME@`.
    pub struct Settings {
        /// Step size.
        lr: f64 = 0.05, range Range::above(0.0), from "assumed";
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
        let unfit = || task.unfit("the workload has no loss of its own");
        let loss = task.side.loss.ok_or_else(unfit)?;
        Ok(Recipe::of(batch_size, schedule, Step::Learner(Box::new(Own { lr, loss }))))
    },
};

/// The whole step.
struct Own {
    lr: f64,
    loss: DefaultLoss,
}

impl Learner for Own {
    fn step(
        &mut self,
        network: &mut Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Option<f64>, LabError> {
        let loss = self.loss.loss(network, batch, now)?;
        let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let gradients = Tensor::f_run_backward(&[&loss], &leaves, false, false)?;
        no_grad(|| {
            for (parameter, gradient) in network.parameters.iter().zip(&gradients) {
                let step = gradient.f_mul_scalar(self.lr * now.lr_factor)?;
                let _ = parameter.tensor.detach().f_sub_(&step)?;
            }
            Ok(Some(loss.f_double_value(&[])?))
        })
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
    fn it_takes_the_steps_of_sgd_without_momentum() {
        let trial = Trial { examples: 96, epochs: 2, seed: 0 };
        let mut settings = with([("batch_size", 32.into()), ("lr", 0.05.into())]);
        let own = trial.run(&METHOD, &settings).unwrap();
        settings.insert("momentum".to_owned(), 0.0.into());
        settings.insert("weight_decay".to_owned(), 0.0.into());
        let sgd = trial.run(crate::find("sgd").unwrap().method, &settings).unwrap();
        for (own, sgd) in own.network.parameters.iter().zip(&sgd.network.parameters) {
            let gap = values(&(&own.tensor - &sgd.tensor).abs().max()).unwrap()[0];
            assert!(gap < 1e-5, "{}: {gap}", sgd.name);
        }
    }
}
