//! Orders of items: what an order is, the window that it permutes, and its moves.
//!
//! An item is what an order moves as one piece: a step's batch, or a single example. An order says
//! for every step of the window which items the step consumes.

mod draw;
mod error;
mod spec;
mod table;
mod window;

pub use draw::{Purpose, draw, draw_distinct, draw_subset, draw_subsets_distinct};
pub use error::OrderError;
pub use spec::{MOST_ORDERS, Numbers, OrdersSpec};
pub use table::{orders_of_rows, rows_of_text};
pub use window::Window;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use ledger::digest::Digest;
use ledger::order::order_hash;

/// The items that each step consumes: `steps[t]` are the items of step t of the window, one for
/// batches, `batch_size` for examples.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemOrder {
    /// Item numbers, from 0, by step.
    pub steps: Vec<Vec<u32>>,
}

impl ItemOrder {
    /// One item a step.
    #[must_use]
    pub fn batches(items: &[u32]) -> Self {
        Self { steps: items.iter().map(|&item| vec![item]).collect() }
    }

    /// The items `flat`, dealt to steps of these sizes; items beyond the sizes are left out, and
    /// steps beyond the items are empty.
    #[must_use]
    pub fn dealt(flat: &[u32], sizes: impl IntoIterator<Item = usize>) -> Self {
        let mut rest = flat;
        let steps = sizes.into_iter().map(|size| {
            let (step, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            step.to_vec()
        });
        Self { steps: steps.collect() }
    }

    /// The items in the order consumed.
    #[must_use]
    pub fn flat(&self) -> Vec<u32> {
        self.steps.concat()
    }

    /// Number of steps T.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is no step.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// SHA-256 of the items as u32 LE in the order consumed, as any order is hashed. Two orders of
    /// one window share it only if they are the same.
    #[must_use]
    pub fn hash(&self) -> Digest {
        order_hash(&self.flat())
    }

    /// [`ItemOrder::hash`] with the items of every step sorted: equal for orders that train alike,
    /// because a step takes the mean over its items.
    #[must_use]
    pub fn effect_hash(&self) -> Digest {
        let mut sorted = self.clone();
        for step in &mut sorted.steps {
            step.sort_unstable();
        }
        sorted.hash()
    }

    /// The first step that consumes `item`.
    #[must_use]
    pub fn step_of(&self, item: u32) -> Option<usize> {
        self.steps.iter().position(|step| step.contains(&item))
    }

    /// This order without `item`, the others keeping their steps. A step left empty is left out:
    /// an order of batches becomes one step shorter.
    #[must_use]
    pub fn without(&self, item: u32) -> Self {
        let mut left = self.clone();
        for step in &mut left.steps {
            step.retain(|&other| other != item);
        }
        left.steps.retain(|step| !step.is_empty());
        left
    }

    /// This order without any of `items`, as [`ItemOrder::without`] one of them.
    #[must_use]
    pub fn without_all(&self, items: &BTreeSet<u32>) -> Self {
        let step = |step: &Vec<u32>| -> Vec<u32> {
            step.iter().copied().filter(|item| !items.contains(item)).collect()
        };
        Self { steps: self.steps.iter().map(step).filter(|step| !step.is_empty()).collect() }
    }

    /// This order with the items at two places of [`ItemOrder::flat`] exchanged; unchanged if a
    /// place does not exist.
    #[must_use]
    pub fn swapped(&self, a: usize, b: usize) -> Self {
        let mut flat = self.flat();
        if a < flat.len() && b < flat.len() {
            flat.swap(a, b);
        }
        self.redealt(&flat)
    }

    /// This order with the item at place `from` of [`ItemOrder::flat`] moved to place `to`; the
    /// others keep their order among themselves. Unchanged if a place does not exist.
    #[must_use]
    pub fn moved(&self, from: usize, to: usize) -> Self {
        let mut flat = self.flat();
        if from < flat.len() && to < flat.len() {
            let item = flat.remove(from);
            flat.insert(to, item);
        }
        self.redealt(&flat)
    }

    fn redealt(&self, flat: &[u32]) -> Self {
        Self::dealt(flat, self.steps.iter().map(Vec::len))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moved_item_leaves_the_others_in_their_order() {
        let order = ItemOrder::batches(&[4, 2, 0, 1, 3]);
        assert_eq!(order.moved(0, 3), ItemOrder::batches(&[2, 0, 1, 4, 3]));
        assert_eq!(order.moved(4, 0), ItemOrder::batches(&[3, 4, 2, 0, 1]));
        assert_eq!(order.moved(7, 0), order);
    }

    #[test]
    fn dropping_a_batch_drops_its_step_and_dropping_an_example_does_not() {
        assert_eq!(ItemOrder::batches(&[1, 0, 2]).without(0), ItemOrder::batches(&[1, 2]));
        let examples = ItemOrder { steps: vec![vec![0, 1], vec![2, 3]] };
        assert_eq!(examples.without(3).steps, [vec![0, 1], vec![2]]);
        assert_eq!(examples.without_all(&BTreeSet::from([0, 1, 3])).steps, [vec![2]]);
        assert_eq!(examples.without_all(&BTreeSet::from([2])), examples.without(2));
    }

    #[test]
    fn orders_of_one_mean_share_the_hash_of_their_effect() {
        let one = ItemOrder { steps: vec![vec![0, 1], vec![2, 3]] };
        let two = ItemOrder { steps: vec![vec![1, 0], vec![3, 2]] };
        let other = ItemOrder { steps: vec![vec![2, 0], vec![3, 1]] };
        assert_ne!(one.hash(), two.hash());
        assert_eq!(one.effect_hash(), two.effect_hash());
        assert_ne!(one.effect_hash(), other.effect_hash());
        assert_eq!(one.hash(), order_hash(&[0, 1, 2, 3]));
    }

    proptest! {
        #[test]
        fn moving_back_restores_the_order(n in 1_usize..30, from: usize, to: usize) {
            let items: Vec<u32> = (0..n as u32).rev().collect();
            let order = ItemOrder::dealt(&items, [n / 2, n - n / 2]);
            let (from, to) = (from % n, to % n);
            prop_assert_eq!(order.moved(from, to).moved(to, from), order.clone());
            prop_assert_eq!(order.swapped(from, to).swapped(to, from), order);
        }
    }
}
