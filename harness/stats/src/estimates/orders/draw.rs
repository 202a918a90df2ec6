//! Random orders: uniform within every epoch, a stream of its own for every purpose.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{ItemOrder, OrderError, Window};
use ledger::digest::Digest;
use ledger::order::{generator, shuffle};

/// What random orders are drawn for. Each purpose has its own stream, so that the orders of a test
/// never depend on how many pilots there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Training data of the estimator.
    Pilot,
    /// Held-out pilots that judge the estimator before it answers.
    Gate,
    /// Orders that validation truly retrains.
    Test,
    /// Candidates of a search.
    Search,
    /// Orders that a user asked to have estimated.
    Query,
}

impl Purpose {
    /// The name in records and in the seed of the stream.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pilot => "pilot",
            Self::Gate => "gate",
            Self::Test => "test",
            Self::Search => "search",
            Self::Query => "query",
        }
    }
}

/// Random order `number` of this purpose: uniform within every epoch, seeded by
/// SHA-256("palimpsest/estimates/v1" || seed u64 LE || number u64 LE || purpose).
#[must_use]
pub fn draw(window: &Window, seed: u64, purpose: Purpose, number: u64) -> ItemOrder {
    let mut rng = generator(&Digest::of_parts(&[
        b"palimpsest/estimates/v1",
        &seed.to_le_bytes(),
        &number.to_le_bytes(),
        purpose.name().as_bytes(),
    ]));
    let mut flat = window.reference().flat();
    for places in window.stretches() {
        shuffle(&mut rng, &mut flat[places]);
    }
    window.deal(&flat)
}

/// The first `count` random orders of this purpose that differ in effect from each other and from
/// those in `taken` ([`ItemOrder::effect_hash`]); they are added to it.
///
/// # Errors
/// When a short window has too few orders left.
pub fn draw_distinct(
    window: &Window,
    seed: u64,
    purpose: Purpose,
    count: usize,
    taken: &mut BTreeSet<Digest>,
) -> Result<Vec<ItemOrder>, OrderError> {
    // Where half of all orders are free, two draws an order do; the constant is for windows of a
    // few orders, where the last free one is hard to hit.
    let tries = (count as u64).saturating_mul(20).saturating_add(1000);
    let mut orders = Vec::new();
    for number in 0..tries {
        if orders.len() == count {
            break;
        }
        let order = draw(window, seed, purpose, number);
        if taken.insert(order.effect_hash()) {
            orders.push(order);
        }
    }
    if orders.len() == count {
        return Ok(orders);
    }
    Err(OrderError::TooFewOrders { found: orders.len(), wanted: count })
}

/// The reference order with `kept` of its items, drawn without replacement for this purpose: subset
/// `number`, seeded as [`draw`] is under a name of its own. Items keep their steps' order; a step left
/// empty is left out.
#[must_use]
pub fn draw_subset(
    window: &Window,
    seed: u64,
    purpose: Purpose,
    number: u64,
    kept: usize,
) -> ItemOrder {
    let mut rng = generator(&Digest::of_parts(&[
        b"palimpsest/estimates/subset/v1",
        &seed.to_le_bytes(),
        &number.to_le_bytes(),
        purpose.name().as_bytes(),
    ]));
    let mut items: Vec<u32> = (0..window.items()).collect();
    shuffle(&mut rng, &mut items);
    let left: BTreeSet<u32> = items.into_iter().skip(kept).collect();
    window.reference().without_all(&left)
}

/// The first `count` subsets of this purpose, of `kept(n)` items for the n-th found, that differ from
/// each other and from what is `taken`; they are added to it.
///
/// # Errors
/// When a short window has too few subsets left.
pub fn draw_subsets_distinct(
    window: &Window,
    seed: u64,
    purpose: Purpose,
    count: usize,
    kept: &dyn Fn(usize) -> usize,
    taken: &mut BTreeSet<Digest>,
) -> Result<Vec<ItemOrder>, OrderError> {
    let tries = (count as u64).saturating_mul(20).saturating_add(1000);
    let mut subsets = Vec::new();
    for number in 0..tries {
        if subsets.len() == count {
            break;
        }
        let subset = draw_subset(window, seed, purpose, number, kept(subsets.len()));
        if !subset.is_empty() && taken.insert(subset.effect_hash()) {
            subsets.push(subset);
        }
    }
    if subsets.len() == count {
        return Ok(subsets);
    }
    Err(OrderError::TooFewOrders { found: subsets.len(), wanted: count })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn purposes_draw_other_orders_and_the_same_purpose_the_same() {
        let window = Window::batches(16).unwrap();
        let purposes =
            [Purpose::Pilot, Purpose::Gate, Purpose::Test, Purpose::Search, Purpose::Query];
        let mut seen = BTreeSet::new();
        for purpose in purposes {
            for number in 0..50 {
                let order = draw(&window, 3, purpose, number);
                assert_eq!(order, draw(&window, 3, purpose, number));
                assert!(seen.insert(order.hash()), "{purpose:?} {number}");
            }
        }
    }

    #[test]
    fn a_test_never_gets_an_order_that_was_a_pilot() {
        let window = Window::batches(4).unwrap();
        let mut taken = BTreeSet::from([window.reference().effect_hash()]);
        let pilots = draw_distinct(&window, 0, Purpose::Pilot, 10, &mut taken).unwrap();
        let tests = draw_distinct(&window, 0, Purpose::Test, 13, &mut taken).unwrap();
        assert!(tests.iter().all(|test| !pilots.contains(test)));
        assert_eq!(taken.len(), 24);
        let more = draw_distinct(&window, 0, Purpose::Gate, 1, &mut taken).unwrap_err();
        assert_eq!(more, OrderError::TooFewOrders { found: 0, wanted: 1 });
    }

    #[test]
    fn every_order_of_a_short_window_is_equally_likely() {
        let window = Window::batches(3).unwrap();
        let mut counts = std::collections::BTreeMap::new();
        for number in 0..6000 {
            *counts.entry(draw(&window, 1, Purpose::Search, number)).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        let statistic: f64 =
            counts.values().map(|&count| (f64::from(count) - 1000.0).powi(2) / 1000.0).sum();
        // The 0.9999 quantile of chi-squared with 5 degrees of freedom.
        assert!(statistic < 25.75, "chi-squared {statistic}");
    }

    #[test]
    fn subsets_hold_so_many_items_in_the_order_of_the_run_and_no_two_are_alike() {
        let window = Window::batches(12).unwrap();
        let mut taken = BTreeSet::new();
        let kept = |number: usize| if number == 0 { 11 } else { 6 };
        let purpose = Purpose::Gate;
        let subsets = draw_subsets_distinct(&window, 4, purpose, 20, &kept, &mut taken).unwrap();
        assert_eq!(taken.len(), 20);
        for (number, subset) in subsets.iter().enumerate() {
            let flat = subset.flat();
            assert_eq!(flat.len(), kept(number));
            assert!(flat.is_sorted() && subset.steps.iter().all(|step| step.len() == 1));
        }
        let few = Window::batches(4).unwrap();
        let all = draw_subsets_distinct(&few, 4, purpose, 7, &|_| 2, &mut BTreeSet::new());
        assert_eq!(all, Err(OrderError::TooFewOrders { found: 6, wanted: 7 }));
    }

    proptest! {
        #[test]
        fn a_drawn_order_is_valid(sizes in prop::collection::vec(1_usize..4, 2..8), seed: u64) {
            let total: usize = sizes.iter().sum();
            let flat: Vec<u32> = (0..total as u32).collect();
            let steps = sizes.len();
            let reference = ItemOrder::dealt(&flat, sizes);
            let window = Window::new(reference, vec![0..steps / 2, steps / 2..steps]).unwrap();
            let order = draw(&window, seed, Purpose::Test, 0);
            prop_assert_eq!(window.check(0, &order), Ok(()));
        }
    }
}
