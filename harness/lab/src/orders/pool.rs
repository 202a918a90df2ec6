//! Shuffled passes over a pool of examples that the objective puts together, and may put together anew while it trains.

use std::cell::RefCell;
use std::rc::Rc;

use ledger::order::{OrderLaw, shuffle};

use super::step_rounds;
use crate::LabError;
use crate::seat::{EpochPlan, Order, OrderSource};
use crate::state::State;

/// The examples to train on, shared by an objective and its order; until it is filled all of them, in the contract's
/// uniform passes.
#[derive(Debug, Clone, Default)]
pub struct Pool(Rc<RefCell<Contents>>);

#[derive(Debug, Clone, Default)]
struct Contents {
    ids: Vec<u32>,
    /// How often it was filled.
    filled: u32,
}

impl Pool {
    /// A pool of these examples.
    #[must_use]
    pub fn of(ids: impl IntoIterator<Item = u32>) -> Self {
        let pool = Self::default();
        pool.fill(ids);
        pool
    }

    /// Puts these examples in the place of those that are in it.
    pub fn fill(&self, ids: impl IntoIterator<Item = u32>) {
        let mut contents = self.0.borrow_mut();
        contents.ids = ids.into_iter().collect();
        contents.filled += 1;
    }
}

/// Shuffles of a pool, one after the other, begun anew when it is filled; a round per step. What is in the pool depends on
/// models, so that the law is [`OrderLaw::Adaptive`].
#[derive(Debug)]
pub struct FromPool {
    pool: Pool,
    batch: u32,
    filled: u32,
    /// Uniform passes over all examples so far, as long as the pool is empty.
    passes: u32,
    queue: Vec<u32>,
}

impl FromPool {
    /// Steps of `batch` examples.
    #[must_use]
    pub fn new(pool: &Pool, batch: u32) -> Self {
        Self { pool: pool.clone(), batch, filled: 0, passes: 0, queue: Vec::new() }
    }
}

impl Order for FromPool {
    fn law(&self) -> OrderLaw {
        OrderLaw::Adaptive
    }

    fn rounds(&self, _: u32, budget_samples: u64) -> Vec<u32> {
        step_rounds(self.batch, budget_samples)
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        let contents = self.pool.0.borrow();
        if contents.filled != self.filled {
            self.filled = contents.filled;
            self.queue.clear();
        }
        let wanted = self.batch as usize;
        let mut random = source.streams.keyed("pool", 0, epoch);
        while self.queue.len() < wanted && source.examples > 0 {
            if contents.ids.is_empty() {
                self.queue.extend(source.uniform(self.passes));
                self.passes += 1;
            } else {
                let mut pass = contents.ids.clone();
                shuffle(&mut random, &mut pass);
                self.queue.extend(pass);
            }
        }
        let rest = self.queue.split_off(wanted.min(self.queue.len()));
        EpochPlan { ids: std::mem::replace(&mut self.queue, rest), block: epoch }
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        let Self { pool, batch: _, filled: seen, passes, queue } = self;
        let Contents { ids, filled } = &mut *pool.0.borrow_mut();
        state.of("pool", ids)?;
        state.of("filled", filled)?;
        state.of("seen", seen)?;
        state.of("passes", passes)?;
        state.of("queue", queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp::mlp;
    use crate::trial::streams;
    use tch::Device;

    #[test]
    fn passes_are_shuffles_of_the_pool_until_it_is_filled_anew() {
        let (streams, effective_seed) = (streams(), [0; 32]);
        let (effective_seed, eligible) = (&effective_seed, None);
        let source = OrderSource { effective_seed, streams: &streams, examples: 9, eligible };
        let pool = Pool::default();
        let mut order = FromPool::new(&pool, 4);
        assert_eq!(order.rounds(9, 10), [4, 4, 2]);
        let steps = |order: &mut FromPool, from: u32, count: u32| {
            let of = |epoch| order.epoch(epoch, &source).ids;
            (from..from + count).map(of).collect::<Vec<_>>().concat()
        };
        let sorted = |ids: &[u32]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        let all = steps(&mut order, 0, 9);
        for pass in all.chunks(9) {
            assert_eq!(sorted(pass), (0..9).collect::<Vec<_>>());
        }
        pool.fill([2, 5, 7]);
        let few = steps(&mut order, 9, 3);
        for pass in few.chunks(3) {
            assert_eq!(sorted(pass), [2, 5, 7]);
        }
        pool.fill([1]);
        assert_eq!(steps(&mut order, 12, 1), [1; 4]);
    }

    #[test]
    fn what_goes_on_in_a_later_pass_draws_what_comes_next_there() {
        let (streams, effective_seed) = (streams(), [0; 32]);
        let (effective_seed, eligible) = (&effective_seed, None);
        let source = OrderSource { effective_seed, streams: &streams, examples: 9, eligible };
        let network = mlp(&[2, 2], &streams, Device::Cpu).unwrap();
        let mut whole = FromPool::new(&Pool::default(), 4);
        (0..6).for_each(|epoch| drop(whole.epoch(epoch, &source)));
        let mut state = State::writing(&network);
        whole.state(&mut state).unwrap();
        let kept = state.finish().unwrap();
        let mut again = FromPool::new(&Pool::default(), 4);
        let mut state = State::reading(&kept, &network);
        again.state(&mut state).unwrap();
        state.finish().unwrap();
        for epoch in 6..12 {
            assert_eq!(again.epoch(epoch, &source).ids, whole.epoch(epoch, &source).ids);
        }
    }
}
