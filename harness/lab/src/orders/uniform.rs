//! The default data order.

use ledger::order::OrderLaw;

use crate::LabError;
use crate::seat::{EpochPlan, Order, OrderSource};
use crate::state::State;

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

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}
