//! # @NAME@
//!
//! ## Mechanism
//! Every epoch the contract's shuffle, read backwards, to begin with: which ids come next, in words and
//! symbols.
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
use lab::offers;
use lab::optim::base::BaseSettings;
use lab::recipe::Recipe;
use lab::seat::{EpochPlan, Order, OrderSource};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::order::OrderLaw;
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `@NAME@`.
    pub struct Settings {
        /// Whether the shuffle is read from its end.
        reversed: bool = true, from "assumed";
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
        let Settings { reversed, batch_size, schedule, base } = Settings::read(values)?;
        let plain = Recipe::plain(batch_size, schedule, base.build(task.network)?, task)?;
        Ok(Recipe { order: Box::new(Shuffled { reversed }), ..plain })
    },
};

/// Which ids come next.
struct Shuffled {
    reversed: bool,
}

impl Order for Shuffled {
    /// What analyses take their null from: say another law where ids are not exchangeable within
    /// the blocks of [`EpochPlan`].
    fn law(&self) -> OrderLaw {
        OrderLaw::Uniform
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        let mut ids = source.uniform(epoch);
        if self.reversed {
            ids.reverse();
        }
        EpochPlan { ids, block: epoch }
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
    fn read_from_its_start_it_is_sgd_bit_for_bit() {
        let trial = Trial { examples: 96, epochs: 2, seed: 0 };
        let mut settings = with([("batch_size", 32.into())]);
        let sgd = trial.run(crate::find("sgd").unwrap().method, &settings).unwrap();
        let moved = trial.run(&METHOD, &settings).unwrap();
        settings.insert("reversed".to_owned(), false.into());
        let neutral = trial.run(&METHOD, &settings).unwrap();
        assert_eq!((neutral.digest, neutral.order), (sgd.digest, sgd.order));
        assert_ne!(moved.digest, sgd.digest);
    }
}
