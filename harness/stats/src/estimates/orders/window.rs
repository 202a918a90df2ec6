//! The stretch of a run whose order is varied.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{ItemOrder, OrderError};

/// The last T steps of a run: what they consumed, and within which stretches items may change
/// places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    reference: ItemOrder,
    epochs: Vec<Range<usize>>,
    items: u32,
}

impl Window {
    /// The window that consumed `reference`, divided into epochs by step.
    ///
    /// # Errors
    /// For a window without items, an empty step, and epochs that do not follow each other from
    /// step 0 to the last.
    pub fn new(reference: ItemOrder, epochs: Vec<Range<usize>>) -> Result<Self, OrderError> {
        let largest = reference.steps.iter().flatten().copied().max();
        let Some(largest) = largest else { return Err(OrderError::EmptyWindow) };
        if reference.steps.iter().any(Vec::is_empty) {
            return Err(OrderError::EmptyWindow);
        }
        let steps = reference.len();
        let mut expected = 0;
        for (epoch, range) in epochs.iter().enumerate() {
            let (start, end) = (range.start, range.end);
            if start != expected || end <= start || end > steps {
                return Err(OrderError::Epochs { epoch, start, end, expected, steps });
            }
            expected = end;
        }
        if expected != steps {
            let (epoch, start) = (epochs.len(), steps);
            return Err(OrderError::Epochs { epoch, start, end: steps, expected, steps });
        }
        Ok(Self { reference, epochs, items: largest.saturating_add(1) })
    }

    /// The window of `steps` batches of one epoch, numbered in the order consumed.
    ///
    /// # Errors
    /// For no steps.
    pub fn batches(steps: u32) -> Result<Self, OrderError> {
        let numbers: Vec<u32> = (0..steps).collect();
        let whole = 0..numbers.len();
        Self::new(ItemOrder::batches(&numbers), vec![whole])
    }

    /// What the recorded run consumed.
    #[must_use]
    pub fn reference(&self) -> &ItemOrder {
        &self.reference
    }

    /// The stretches of steps within which items may change places.
    #[must_use]
    pub fn epochs(&self) -> &[Range<usize>] {
        &self.epochs
    }

    /// Number of items: item numbers are below it.
    #[must_use]
    pub fn items(&self) -> u32 {
        self.items
    }

    /// Number of steps T.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.reference.len()
    }

    /// Number of items of each step.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        self.reference.steps.iter().map(Vec::len)
    }

    /// The places of [`ItemOrder::flat`] that each epoch covers.
    #[must_use]
    pub fn stretches(&self) -> Vec<Range<usize>> {
        let mut start = 0;
        let places = |range: &Range<usize>| {
            let steps = self.reference.steps.get(range.clone()).unwrap_or_default();
            let end = start + steps.iter().map(Vec::len).sum::<usize>();
            std::mem::replace(&mut start, end)..end
        };
        self.epochs.iter().map(places).collect()
    }

    /// An order of this window with the items `flat`, dealt to its steps; not checked.
    #[must_use]
    pub(super) fn deal(&self, flat: &[u32]) -> ItemOrder {
        ItemOrder::dealt(flat, self.sizes())
    }

    /// The order with these items in the order consumed, checked; `row` is named in errors.
    ///
    /// # Errors
    /// When it is not a permutation of the window's items within each epoch.
    pub fn order(&self, row: usize, flat: &[i64]) -> Result<ItemOrder, OrderError> {
        let reference = self.reference.flat();
        let (found, expected) = (flat.len(), reference.len());
        if found != expected {
            return Err(OrderError::Length { row, found, expected });
        }
        let last = self.items - 1;
        let number = |(position, &value): (usize, &i64)| {
            let known = u32::try_from(value).ok().filter(|&item| item <= last);
            known.ok_or(OrderError::Unknown { row, position, value, last })
        };
        let items: Vec<u32> = flat.iter().enumerate().map(number).collect::<Result<_, _>>()?;
        for (epoch, places) in self.stretches().into_iter().enumerate() {
            check_stretch(row, epoch, places, &reference, &items)?;
        }
        Ok(self.deal(&items))
    }

    /// Checks an order that was made elsewhere; `row` is named in errors.
    ///
    /// # Errors
    /// As [`Window::order`], and for steps of other sizes than the window's.
    pub fn check(&self, row: usize, order: &ItemOrder) -> Result<(), OrderError> {
        let flat: Vec<i64> = order.flat().into_iter().map(i64::from).collect();
        self.order(row, &flat)?;
        if order.len() != self.steps() {
            return Err(OrderError::Length { row, found: order.len(), expected: self.steps() });
        }
        for (step, (found, expected)) in
            order.steps.iter().map(Vec::len).zip(self.sizes()).enumerate()
        {
            if found != expected {
                return Err(OrderError::StepSize { row, step, found, expected });
            }
        }
        Ok(())
    }

    /// The reference order backwards within each epoch.
    #[must_use]
    pub fn reverse(&self) -> ItemOrder {
        let mut flat = self.reference.flat();
        for places in self.stretches() {
            flat[places].reverse();
        }
        self.deal(&flat)
    }

    /// The items by their scores within each epoch, lowest first, or highest first if
    /// `descending`; equal scores keep the reference's order. `scores` holds one number an item.
    ///
    /// # Errors
    /// For another number of scores than items, and scores that are not finite.
    pub fn sorted(&self, scores: &[f64], descending: bool) -> Result<ItemOrder, OrderError> {
        if scores.len() != self.items as usize {
            return Err(OrderError::Scores { found: scores.len(), items: self.items as usize });
        }
        if let Some(item) = scores.iter().position(|score| !score.is_finite()) {
            return Err(OrderError::Score { item, value: scores[item].to_string() });
        }
        let mut flat = self.reference.flat();
        for places in self.stretches() {
            flat[places].sort_by(|&a, &b| {
                // + 0.0: both zeros are one value.
                let (a, b) = (scores[a as usize] + 0.0, scores[b as usize] + 0.0);
                if descending { b.total_cmp(&a) } else { a.total_cmp(&b) }
            });
        }
        Ok(self.deal(&flat))
    }

    /// `order` with `item` moved to the start of step `step`, within the epoch of that step; the
    /// others keep their order among themselves.
    ///
    /// # Errors
    /// For a step beyond the window, and an item that the step's epoch does not hold.
    pub fn moved(
        &self,
        order: &ItemOrder,
        item: u32,
        step: usize,
    ) -> Result<ItemOrder, OrderError> {
        let Some(epoch) = self.epochs.iter().position(|range| range.contains(&step)) else {
            return Err(OrderError::Step { step, last: self.steps() - 1 });
        };
        let places = self.stretches()[epoch].clone();
        let flat = order.flat();
        let there = flat.get(places.clone()).and_then(|s| s.iter().position(|&one| one == item));
        let Some(place) = there else { return Err(OrderError::NotThere { item, step }) };
        let to: usize = self.sizes().take(step).sum();
        Ok(order.moved(places.start + place, to))
    }
}

/// Checks that `items[places]` holds what `reference[places]` does, as often.
fn check_stretch(
    row: usize,
    epoch: usize,
    places: Range<usize>,
    reference: &[u32],
    items: &[u32],
) -> Result<(), OrderError> {
    let mut left: BTreeMap<u32, usize> = BTreeMap::new();
    for &item in &reference[places.clone()] {
        *left.entry(item).or_default() += 1;
    }
    for position in places.clone() {
        let value = items[position];
        match left.get_mut(&value) {
            None => return Err(OrderError::OtherEpoch { row, position, value, epoch }),
            Some(0) => {
                let seen = |&place: &usize| items[place] == value;
                let first = places.clone().find(seen).unwrap_or(position);
                for item in &items[position..places.end] {
                    if let Some(count) = left.get_mut(item) {
                        *count = count.saturating_sub(1);
                    }
                }
                let open = left.iter().find(|(_, count)| **count > 0);
                let missing = open.map_or(value, |(&item, _)| item);
                return Err(OrderError::Repeated { row, position, value, first, missing });
            }
            Some(count) => *count -= 1,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_epochs() -> Window {
        let reference = ItemOrder { steps: vec![vec![0, 1], vec![2, 3], vec![3, 1], vec![2, 0]] };
        Window::new(reference, vec![0..2, 2..4]).unwrap()
    }

    #[test]
    fn reverse_and_sorted_stay_within_their_epochs() {
        let window = two_epochs();
        assert_eq!(window.reverse().flat(), [3, 2, 1, 0, 0, 2, 1, 3]);
        let scores = [0.5, -1.0, 2.0, 0.5];
        assert_eq!(window.sorted(&scores, false).unwrap().flat(), [1, 0, 3, 2, 1, 3, 0, 2]);
        assert_eq!(window.sorted(&scores, true).unwrap().flat(), [2, 0, 3, 1, 2, 3, 0, 1]);
    }

    #[test]
    fn scores_that_do_not_sort_are_refused_with_their_item() {
        let window = two_epochs();
        let refused = window.sorted(&[0.0, f64::NAN, 1.0, 2.0], false).unwrap_err().to_string();
        assert_eq!(refused, "the score of item 1 is NaN: sorting needs finite numbers");
        let few = window.sorted(&[0.0], false).unwrap_err().to_string();
        assert_eq!(few, "1 scores for 4 items: sorting needs one score an item");
    }

    #[test]
    fn an_item_moves_within_the_epoch_of_its_new_step() {
        let window = two_epochs();
        let moved = window.moved(window.reference(), 0, 2).unwrap();
        assert_eq!(moved.steps, [vec![0, 1], vec![2, 3], vec![0, 3], vec![1, 2]]);
        let nowhere = window.moved(window.reference(), 9, 1).unwrap_err();
        assert_eq!(nowhere, OrderError::NotThere { item: 9, step: 1 });
        let beyond = window.moved(window.reference(), 0, 4).unwrap_err();
        assert_eq!(beyond.to_string(), "step 4 does not exist: the window has the steps 0 to 3");
    }

    #[test]
    fn orders_that_are_no_permutation_are_refused_with_row_position_and_value() {
        let window = Window::batches(4).unwrap();
        let refused = |flat: &[i64]| window.order(2, flat).unwrap_err().to_string();
        insta::assert_snapshot!(refused(&[0, 1, 2]), @"order 2 has 3 items, the window consumed 4: an order is a permutation of the window's items, one row an order");
        insta::assert_snapshot!(refused(&[1, 2, 3, 4]), @"order 2, position 3: item 4 does not exist: items count from 0 to 3");
        insta::assert_snapshot!(refused(&[0, -1, 2, 3]), @"order 2, position 1: item -1 does not exist: items count from 0 to 3");
        insta::assert_snapshot!(refused(&[0, 3, 0, 2]), @"order 2, position 2: item 0 came before, at position 0, and item 1 never comes: an order holds every item of an epoch as often as the run did");
    }

    #[test]
    fn an_item_of_another_epoch_is_refused() {
        let reference = ItemOrder::batches(&[0, 1, 2, 3]);
        let window = Window::new(reference, vec![0..2, 2..4]).unwrap();
        let refused = window.order(0, &[0, 2, 1, 3]).unwrap_err();
        assert_eq!(refused, OrderError::OtherEpoch { row: 0, position: 1, value: 2, epoch: 0 });
        assert_eq!(window.order(0, &[1, 0, 3, 2]).unwrap(), ItemOrder::batches(&[1, 0, 3, 2]));
    }

    #[test]
    fn steps_of_other_sizes_are_refused_with_their_step() {
        let window = two_epochs();
        assert_eq!(window.check(0, window.reference()), Ok(()));
        let uneven = ItemOrder { steps: vec![vec![0], vec![1, 2, 3], vec![3, 1], vec![2, 0]] };
        let refused = window.check(5, &uneven).unwrap_err().to_string();
        assert_eq!(refused, "order 5, step 0: 1 items, the window's step has 2");
    }

    #[test]
    fn windows_without_items_and_epochs_with_gaps_are_refused() {
        assert_eq!(Window::batches(0), Err(OrderError::EmptyWindow));
        let order = || ItemOrder::batches(&[0, 1, 2]);
        let one = |range: Range<usize>| Window::new(order(), vec![range]);
        for refused in [Window::new(order(), vec![]), one(0..2), one(1..3), one(0..4), one(0..0)] {
            assert!(matches!(refused, Err(OrderError::Epochs { .. })));
        }
        let gap = Window::new(order(), vec![0..1, 2..3]);
        assert!(matches!(gap, Err(OrderError::Epochs { epoch: 1, expected: 1, .. })));
    }
}
