//! Passes over the examples that are not too hard yet, in rounds of a batch each.
//!
//! A pass takes the pass's uniform order, leaves out what is not selected, and what is more than whole batches of the rest: so
//! passes may be of any size, which nobody knows when the run begins, and an example is left out by chance alone.

use std::collections::VecDeque;

use ledger::order::OrderLaw;

use crate::LabError;
use crate::seat::{EpochPlan, Facts, Order, OrderSource};
use crate::state::State;

/// Says what a pass is made of.
pub trait Selection {
    /// The law of orders with this selection.
    fn law(&self) -> OrderLaw;

    /// The ids of pass `pass`, at least a batch of them, from its uniform order; called when the last one is over.
    fn pass(&mut self, pass: u32, uniform: Vec<u32>) -> Vec<u32>;

    /// How passes of whole batches are ordered, when not as they are.
    fn arrange(&self, _ids: &mut [u32]) {}

    /// Takes note that the batch which is handed out is the last of its pass.
    fn ends(&mut self) {}

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }

    /// What steps change of it, as [`Order::state`] has it.
    ///
    /// # Errors
    /// When what is read does not fit.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError>;
}

/// The order.
#[derive(Debug)]
pub struct Paced<S> {
    selection: S,
    batch_size: u32,
    next: u32,
    queue: VecDeque<u32>,
}

impl<S> Paced<S> {
    /// In batches of `batch_size`, at least 1.
    #[must_use]
    pub fn new(selection: S, batch_size: u32) -> Self {
        Self { selection, batch_size: batch_size.max(1), next: 0, queue: VecDeque::new() }
    }
}

impl<S: Selection> Order for Paced<S> {
    fn law(&self) -> OrderLaw {
        self.selection.law()
    }

    fn rounds(&self, _: u32, budget_samples: u64) -> Vec<u32> {
        super::step_rounds(self.batch_size, budget_samples)
    }

    fn epoch(&mut self, _: u32, source: &OrderSource<'_>) -> EpochPlan {
        let batch = self.batch_size as usize;
        if self.queue.is_empty() {
            let mut ids = self.selection.pass(self.next, source.uniform(self.next));
            ids.truncate((ids.len() / batch).max(1) * batch);
            self.selection.arrange(&mut ids);
            self.queue = ids.into();
            self.next += 1;
        }
        let taken = batch.min(self.queue.len());
        let ids = self.queue.drain(..taken).collect();
        if self.queue.is_empty() {
            self.selection.ends();
        }
        EpochPlan { ids, block: self.next.saturating_sub(1) }
    }

    fn facts(&self) -> Facts {
        self.selection.facts()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.selection.state(state)?;
        state.of("next", &mut self.next)?;
        state.of("queue", &mut self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::seed::Seed;
    use ledger::streams::Streams;

    /// Ids below a bound that grows by pass.
    struct Growing {
        bounds: Vec<u32>,
        ended: u32,
        sorted: bool,
    }

    impl Selection for Growing {
        fn law(&self) -> OrderLaw {
            OrderLaw::Adaptive
        }

        fn pass(&mut self, pass: u32, mut uniform: Vec<u32>) -> Vec<u32> {
            assert_eq!(self.ended, pass);
            uniform.retain(|id| *id < self.bounds[pass as usize]);
            uniform
        }

        fn arrange(&self, ids: &mut [u32]) {
            if self.sorted {
                ids.sort_unstable();
            }
        }

        fn ends(&mut self) {
            self.ended += 1;
        }

        fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
            Ok(())
        }
    }

    fn rounds(bounds: &[u32], sorted: bool, budget: u64) -> Vec<EpochPlan> {
        let effective_seed = Seed::from_integer(3).bytes;
        let streams = Streams::new(effective_seed);
        let source = OrderSource {
            effective_seed: &effective_seed,
            streams: &streams,
            examples: 12,
            eligible: None,
        };
        let mut order = Paced::new(Growing { bounds: bounds.to_vec(), ended: 0, sorted }, 4);
        let sizes = order.rounds(12, budget);
        assert_eq!(sizes.iter().copied().map(u64::from).sum::<u64>(), budget);
        (0..).zip(sizes).map(|(round, _)| order.epoch(round, &source)).collect()
    }

    #[test]
    fn a_pass_of_all_examples_is_the_uniform_order_batch_by_batch() {
        let found = rounds(&[12, 12], false, 24);
        let effective_seed = Seed::from_integer(3).bytes;
        let expected = [0, 1].map(|epoch| ledger::order::uniform_order(&effective_seed, epoch, 12));
        let ids: Vec<u32> = found.iter().flat_map(|plan| plan.ids.clone()).collect();
        assert_eq!(ids, expected.concat());
        assert_eq!(found.iter().map(|plan| plan.block).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1]);
    }

    #[test]
    fn passes_hold_what_is_selected_in_whole_batches_and_end_when_they_are_over() {
        let found = rounds(&[6, 10, 12], false, 22);
        let blocks: Vec<u32> = found.iter().map(|plan| plan.block).collect();
        // 6 of 12 make one batch, 10 make two; the rest is half a pass, and part of a batch.
        assert_eq!(blocks, [0, 1, 1, 2, 2, 2]);
        assert!(found[0].ids.iter().all(|id| *id < 6) && found[1].ids.iter().all(|id| *id < 10));
        let sorted = rounds(&[10], true, 8);
        let ids: Vec<u32> = sorted.iter().flat_map(|plan| plan.ids.clone()).collect();
        assert!(ids.is_sorted() && ids.len() == 8);
    }
}
