//! Several centres along a window: a surrogate of its own for each stretch of steps.
//!
//! One centre is right where all orders stay near it. Over whole runs they do not: they start far from
//! where they end, and gradients bend on the way more than one expansion follows. Each stretch of
//! steps then has the centre and the basis of what the pilots passed through there, and the gradient
//! and curvature of those items that an order may bring there.

use std::collections::BTreeSet;
use std::ops::Range;

use stats::estimates::Window;
use tch::Tensor;

use super::Oracle;
use super::oracle::surrogate::{Quadratics, Surrogate};
use super::set_up::Basis;
use lab::LabError;

/// A stretch of steps with the items that may come there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Steps of the window.
    pub steps: Range<usize>,
    /// Items, in the order of their numbers.
    pub items: Vec<usize>,
}

/// The window in `centres` stretches of nearly equal length. Orders keep items within their epochs, so
/// that a stretch needs only those of the epochs that it touches; of `subsets`, in which items come
/// earlier than they did, it needs all.
#[must_use]
pub fn cuts(window: &Window, centres: usize, subsets: bool) -> Vec<Cut> {
    let (steps, reference) = (window.steps(), window.reference());
    let centres = centres.clamp(1, steps.max(1));
    let of = |number: usize| {
        let stretch = number * steps / centres..(number + 1) * steps / centres;
        let touches = |epoch: &&Range<usize>| {
            subsets || (epoch.start < stretch.end && stretch.start < epoch.end)
        };
        let items: BTreeSet<usize> = window
            .epochs()
            .iter()
            .filter(touches)
            .flat_map(|epoch| reference.steps.get(epoch.clone()).unwrap_or_default())
            .flatten()
            .map(|item| *item as usize)
            .collect();
        Cut { steps: stretch, items: items.into_iter().collect() }
    };
    (0..centres).map(of).collect()
}

/// The surrogate of a stretch.
#[derive(Debug)]
pub struct Piece {
    /// Where it holds.
    pub cut: Cut,
    /// Its centre and directions.
    pub basis: Basis,
    /// Its items around that centre, in the order of [`Cut::items`].
    pub quadratics: Quadratics,
}

/// The surrogate of a piece, which is asked by the numbers that items have in the window.
#[derive(Debug)]
pub struct Local<'a>(&'a Piece);

impl Oracle for Local<'_> {
    fn gradients(
        &mut self,
        step: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        let Piece { cut, quadratics, .. } = self.0;
        let place = |item: &u32| {
            let place = cut.items.binary_search(&(*item as usize)).ok();
            place.and_then(|place| u32::try_from(place).ok()).ok_or_else(|| {
                LabError::Order(format!(
                    "item {item} comes at step {step}, where the surrogate of the steps {} to {} does not \
                     know it",
                    cut.steps.start, cut.steps.end
                ))
            })
        };
        let places: Vec<Vec<u32>> = items
            .iter()
            .map(|row| row.iter().map(place).collect())
            .collect::<Result<_, LabError>>()?;
        let rows: Vec<&[u32]> = places.iter().map(Vec::as_slice).collect();
        Surrogate(quadratics).gradients(step, &rows, theta)
    }
}

/// One oracle for each stretch of steps.
#[derive(Debug)]
pub struct ByStretch<O>(Vec<(Range<usize>, O)>);

impl<O> ByStretch<O> {
    /// Of oracles and the steps that each answers for; the last one answers beyond them, too.
    #[must_use]
    pub fn new(parts: Vec<(Range<usize>, O)>) -> Self {
        Self(parts)
    }
}

impl<'a> ByStretch<Local<'a>> {
    /// The surrogates of `pieces`.
    #[must_use]
    pub fn of(pieces: &'a [Piece]) -> Self {
        Self(pieces.iter().map(|piece| (piece.cut.steps.clone(), Local(piece))).collect())
    }
}

impl<O: Oracle> Oracle for ByStretch<O> {
    fn gradients(
        &mut self,
        step: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        let place = self.0.iter().position(|(steps, _)| step < steps.end);
        let place = place.unwrap_or_else(|| self.0.len().saturating_sub(1));
        match self.0.get_mut(place) {
            Some((_, oracle)) => oracle.gradients(step, items, theta),
            None => Err(LabError::Order("a surrogate without a centre".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use stats::estimates::ItemOrder;

    use super::*;

    /// Two epochs of four batches, items numbered in the order consumed.
    fn window() -> Window {
        let items: Vec<u32> = (0..8).collect();
        Window::new(ItemOrder::batches(&items), vec![0..4, 4..8]).unwrap()
    }

    #[test]
    fn stretches_cover_the_window_and_hold_the_items_of_the_epochs_that_they_touch() {
        let three = cuts(&window(), 3, false);
        let steps: Vec<Range<usize>> = three.iter().map(|cut| cut.steps.clone()).collect();
        assert_eq!(steps, [0..2, 2..5, 5..8]);
        let items: Vec<&[usize]> = three.iter().map(|cut| cut.items.as_slice()).collect();
        assert_eq!(items, [&[0, 1, 2, 3][..], &[0, 1, 2, 3, 4, 5, 6, 7], &[4, 5, 6, 7]]);
        // In subsets an item of the second epoch may come at any step.
        assert!(cuts(&window(), 2, true).iter().all(|cut| cut.items.len() == 8));
        let whole = Cut { steps: 0..8, items: (0..8).collect() };
        assert_eq!(cuts(&window(), 1, false), [whole]);
        assert_eq!(cuts(&window(), 100, false).len(), 8);
    }
}
