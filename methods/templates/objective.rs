//! # @NAME@
//!
//! ## Mechanism
//! L = cross-entropy + λ · mean of the squared logits, to begin with: equations, in words and symbols.
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
use lab::objectives::CrossEntropy;
use lab::offers;
use lab::optim::base::BaseSettings;
use lab::recipe::{Recipe, Step};
use lab::seat::{Batch, Objective, StepInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;
use tch::{Kind, Tensor};

settings! {
    /// Settings of `@NAME@`.
    pub struct Settings {
        /// λ: weight of the penalty; 0 for plain cross-entropy.
        strength: f64 = 0.1, range Range::of(0.0..), from "assumed";
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
    needs: &[offers::CLASSES],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { strength, batch_size, schedule, base } = Settings::read(values)?;
        let objective = Box::new(Penalised { strength });
        let step = Step::Gradient { objective, optimizer: base.build(task.network)? };
        Ok(Recipe::of(batch_size, schedule, step))
    },
};

/// The loss, example by example.
struct Penalised {
    strength: f64,
}

impl Objective for Penalised {
    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let plain = CrossEntropy { smoothing: 0.0 }.losses(network, batch, now)?;
        if self.strength == 0.0 {
            return Ok(plain);
        }
        // A second forward pass, for the shortness of the template.
        let logits = network.forward(&batch.inputs, true)?;
        let squares = logits.f_square()?.f_mean_dim(-1_i64, false, Kind::Float)?;
        Ok(plain.f_add(&squares.f_mul_scalar(self.strength)?)?)
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
    fn without_the_penalty_it_is_sgd_bit_for_bit() {
        let trial = Trial { examples: 96, epochs: 2, seed: 0 };
        let mut settings = with([("batch_size", 32.into())]);
        let sgd = trial.run(crate::find("sgd").unwrap().method, &settings).unwrap();
        let moved = trial.run(&METHOD, &settings).unwrap();
        settings.insert("strength".to_owned(), 0.0.into());
        let neutral = trial.run(&METHOD, &settings).unwrap();
        assert_eq!((neutral.digest, neutral.order), (sgd.digest, sgd.order));
        assert_ne!(moved.digest, sgd.digest);
    }
}
