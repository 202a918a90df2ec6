//! The default data order.

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
