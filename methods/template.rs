//! # @NAME@
//!
//! ## Mechanism
//! Equations, in words and symbols.
//!
//! ## Claim
//! A testable sentence with its number and where the number stands.
//!
//! ## Sources
//! Paper, code with its commit.
//!
//! ## Differences
//! Where paper, code and this file differ; settings that the paper does not give are `assumed`.

use lab::method::Method;
use lab::optim::base::BaseSettings;
use lab::recipe::Recipe;
use lab::offers;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `@NAME@`.
    pub struct Settings {
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
    paper: Paper { title: "title", authors: "authors", year: 2026, reference: "arXiv:0000.00000", code: "none found" },
    claim: PaperClaim { statement: "what it claims", number: "its number", source: "where it stands" },
    baseline: Some("sgd"),
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { batch_size, schedule, base } = Settings::read(values)?;
        // Take a seat: order, view, step (objective and optimizer, or a learner), adapter,
        // averaging or sampler.
        Recipe::plain(batch_size, schedule, base.build(task.network)?, task)
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use training::trial::Trial;
    use lab::trial::with;

    #[test]
    fn neutral_settings_reproduce_sgd_bit_for_bit() {
        let trial = Trial { examples: 96, epochs: 2, seed: 0 };
        let settings = with([("batch_size", 32.into())]);
        let sgd = trial.run(crate::find("sgd").unwrap().method, &settings).unwrap();
        assert_eq!(trial.run(&METHOD, &settings).unwrap().digest, sgd.digest);
    }
}
