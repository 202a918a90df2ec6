//! The default data order, and what orders over a share of the data have in common.

pub mod mixture;
pub mod scored;
pub mod skills;

use ledger::order::OrderLaw;

use crate::seat::{EpochPlan, Order, OrderSource};

/// A fresh uniform shuffle of all examples in every epoch (contract, section 5).
#[derive(Debug, Clone, Copy)]
pub struct Uniform;

impl Order for Uniform {
    fn law(&self) -> OrderLaw {
        OrderLaw::Uniform
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        EpochPlan { ids: source.uniform(epoch), block: epoch }
    }
}

/// Nothing at all: a run without a step.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

impl Order for Nothing {
    fn law(&self) -> OrderLaw {
        OrderLaw::Sorted
    }

    fn rounds(&self, _: u32, _: u64) -> Vec<u32> {
        Vec::new()
    }

    fn epoch(&mut self, epoch: u32, _: &OrderSource<'_>) -> EpochPlan {
        EpochPlan { ids: Vec::new(), block: epoch }
    }
}

/// r·N rounded to the nearest number, at least 1.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a ratio is in 0..=1, so the product is at most N"
)]
pub fn share(ratio: f64, examples: u32) -> u32 {
    ((ratio * f64::from(examples)).round() as u32).clamp(1, examples.max(1))
}

/// A round of `round` ids in place of every epoch that a budget starts: a run on a share of the
/// data keeps its number of rounds and consumes that share of the budget.
#[must_use]
pub fn short_rounds(round: u32, examples: u32, budget_samples: u64) -> Vec<u32> {
    let epochs = budget_samples.div_ceil(u64::from(examples.max(1)));
    vec![round; usize::try_from(epochs).unwrap_or(0)]
}
