//! The last steps of a recorded run: what they consumed, and where they started from.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use stats::estimates::ItemOrder;
use stats::estimates::results::Items;
use tch::Tensor;

use super::{Course, TrainedProblem};
use crate::replay::{Replay, StepState};
use lab::LabError;
use lab::orders::replayed::Replayed;
use lab::seat::StepInfo;
use lab::split::Split;

/// The last steps of a run, and the run at their start.
#[derive(Debug)]
pub struct Window {
    /// Steps before it.
    pub first: u64,
    /// Ids of every item, numbered as the run consumed them.
    pub items: Vec<Vec<u32>>,
    /// What the run itself did, as item numbers by step, and the epochs that items stay within.
    pub orders: stats::estimates::Window,
    moments: Vec<StepInfo>,
    consumed: Replayed,
    batch_size: u32,
    start: StepState,
    theta: Tensor,
}

impl Window {
    /// Trains the cell of `replay`, which is at its first step, up to the last `last` steps of the
    /// order it `consumed`.
    ///
    /// # Errors
    /// When the method does more than gradient steps on the workload's own loss, or keeps state that
    /// cannot be told.
    pub fn open(
        replay: &mut Replay<'_>,
        consumed: Replayed,
        last: u64,
        items: Items,
    ) -> Result<Self, LabError> {
        let refuse = |reason: String| Err(LabError::Order(reason));
        if let Some(part) = replay.beyond_gradients() {
            return refuse(format!(
                "the method has {part}, so that a step is more than the gradient of a batch; \
                 estimates cover plain gradient steps"
            ));
        }
        let total = replay.steps();
        if last == 0 || last > total {
            return refuse(format!("a window of the last {last} steps, but the run has {total}"));
        }
        let first = total - last;
        replay.reorder(consumed.clone());
        replay.train(0..first, None)?;
        let Some(start) = replay.step_state() else {
            return refuse("the method's state state two steps cannot be told".to_owned());
        };
        let steps = replay.moments(&consumed);
        let (mut numbered, mut reference, mut moments) = (Vec::new(), Vec::new(), Vec::new());
        let mut epochs: Vec<(u32, Range<usize>)> = Vec::new();
        for (now, ids) in steps.into_iter().filter(|(now, _)| now.step >= first) {
            let step = reference.len();
            // A step that takes fewer examples stays where it is: were it moved, the loop would cut
            // all batches behind it elsewhere.
            let whole = ids.len() == replay.batch_size() as usize || items == Items::Examples;
            match epochs.last_mut() {
                Some((epoch, range)) if *epoch == now.epoch && whole => range.end = step + 1,
                _ => epochs.push((now.epoch, step..step + 1)),
            }
            let next = u32::try_from(numbered.len()).unwrap_or(u32::MAX);
            match items {
                Items::Batches => {
                    numbered.push(ids);
                    reference.push(vec![next]);
                }
                Items::Examples => {
                    reference.push((next..).take(ids.len()).collect());
                    numbered.extend(ids.into_iter().map(|id| vec![id]));
                }
            }
            moments.push(now);
        }
        let epochs = epochs.into_iter().map(|(_, range)| range).collect();
        Ok(Self {
            first,
            items: numbered,
            orders: stats::estimates::Window::new(ItemOrder { steps: reference }, epochs)
                .map_err(|error| LabError::Order(error.to_string()))?,
            moments,
            consumed,
            batch_size: replay.batch_size(),
            theta: TrainedProblem::flat(replay.network())?,
            start,
        })
    }

    /// Steps of the window, T.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.moments.len()
    }

    /// Parameters at its start, shape p.
    pub fn start(&self) -> &Tensor {
        &self.theta
    }

    /// The update rule from the window's start on.
    ///
    /// # Errors
    /// When the method has no update rule that can tell its state.
    pub fn course(&self, replay: Replay<'_>) -> Result<Course, LabError> {
        let mut replay = replay;
        replay.install()?;
        replay.resume(&self.start)?;
        replay.into_course(self.moments.clone())
    }

    /// The problem whose items these are.
    ///
    /// # Errors
    /// When the network keeps statistics over batches.
    pub fn problem<'s>(
        &self,
        replay: &Replay<'s>,
        held_out: &'s Split,
    ) -> Result<TrainedProblem<'s>, LabError> {
        let ready = replay.ready();
        let loss = ready.side.loss.ok_or_else(|| {
            LabError::Order("the workload has no loss of its own to take gradients of".to_owned())
        })?;
        let train = &ready.splits.train;
        let problem = TrainedProblem::new(replay.network(), loss, train, &self.items, held_out)?;
        Ok(problem.seen_through(replay.again()?.into_parametrisation()?))
    }

    /// The whole run with its window in another order: ids, epoch by epoch.
    #[must_use]
    pub fn whole(&self, order: &ItemOrder) -> Replayed {
        let mut ids: Vec<u32> = self.consumed.epochs().concat();
        let rest: Vec<u32> = order
            .steps
            .iter()
            .flatten()
            .flat_map(|item| self.items[*item as usize].iter().copied())
            .collect();
        let start = ids.len().saturating_sub(rest.len());
        ids.truncate(start);
        ids.extend(rest);
        let mut left = ids.as_slice();
        let epochs = self.consumed.epochs().iter().map(|epoch| {
            let (own, rest) = left.split_at(epoch.len().min(left.len()));
            left = rest;
            own.to_vec()
        });
        self.consumed.with_epochs(epochs.collect())
    }

    /// The ids of the whole run without what `order` leaves out of the window, as `run --without` takes
    /// them.
    ///
    /// # Errors
    /// With the reason, where the loop would train something else than such an order: it cuts epochs
    /// and batches by their length.
    pub fn shortened(&self, order: &ItemOrder) -> Result<Vec<u32>, &'static str> {
        let sizes: Vec<usize> =
            self.orders.reference().steps.iter().map(|step| self.examples(step)).collect();
        let kept: BTreeSet<u32> = order.steps.iter().flatten().copied().collect();
        let last = self.moments.last().map_or(0, |now| now.epoch);
        for (now, step) in self.moments.iter().zip(&self.orders.reference().steps) {
            let left = step.iter().filter(|item| kept.contains(item)).count();
            if left < step.len() && now.epoch < last {
                return Err(
                    "something is left out of an epoch before the last, and a run cuts epochs by \
                            their length: take a window (--last) within the last epoch",
                );
            }
            if left > 0 && left < step.len() {
                return Err(
                    "a batch is left out in part, and a run would fill it up with what follows: \
                            leave out whole batches (--items batches)",
                );
            }
        }
        let mut ids: Vec<u32> = self.consumed.epochs().concat();
        ids.truncate(ids.len().saturating_sub(sizes.iter().sum()));
        for item in order.steps.iter().flatten() {
            ids.extend(&self.items[*item as usize]);
        }
        Ok(ids)
    }

    /// Examples of a step.
    fn examples(&self, step: &[u32]) -> usize {
        step.iter().map(|item| self.items[*item as usize].len()).sum()
    }

    /// The order of the window that the ids of a whole run mean, as [`Window::whole`] gives them;
    /// `None` where they are not as many as the run consumed.
    ///
    /// # Errors
    /// When the steps before the window are others than the run's, or a step holds other examples
    /// than any item of its epoch.
    pub fn of_whole(&self, ids: &[u32]) -> Result<Option<ItemOrder>, LabError> {
        let recorded: Vec<u32> = self.consumed.epochs().concat();
        if ids.len() != recorded.len() {
            return Ok(None);
        }
        let reference = self.orders.reference();
        let within: usize =
            reference.steps.iter().flatten().map(|item| self.items[*item as usize].len()).sum();
        let before = recorded.len().saturating_sub(within);
        if let Some(at) = (0..before).find(|at| ids[*at] != recorded[*at]) {
            return Err(LabError::Order(format!(
                "value {at} (counted from 0) is example {}, where the run took {} before its last \
                 {} steps: a whole order agrees with the run up to the window; take a larger --last",
                ids[at],
                recorded[at],
                self.steps()
            )));
        }
        let mut left = &ids[before..];
        let mut steps = Vec::with_capacity(reference.steps.len());
        for epoch in self.orders.epochs() {
            let mut there: BTreeMap<Vec<u32>, Vec<u32>> = BTreeMap::new();
            for item in reference.steps[epoch.clone()].iter().flatten().rev() {
                let mut of_item = self.items[*item as usize].clone();
                of_item.sort_unstable();
                there.entry(of_item).or_default().push(*item);
            }
            for step in &reference.steps[epoch.clone()] {
                let mut found = Vec::with_capacity(step.len());
                for item in step {
                    let (own, rest) =
                        left.split_at(self.items[*item as usize].len().min(left.len()));
                    left = rest;
                    let mut own = own.to_vec();
                    own.sort_unstable();
                    let item = there.get_mut(&own).and_then(Vec::pop).ok_or_else(|| {
                        LabError::Order(format!(
                            "step {} of the window takes the examples {own:?}, which are no item of \
                             its epoch: batches that were put together anew are orders of examples \
                             (--items examples)",
                            steps.len()
                        ))
                    })?;
                    found.push(item);
                }
                steps.push(found);
            }
        }
        Ok(Some(ItemOrder { steps }))
    }

    /// Truly trains the window in `order`, by the loop that made the run; the parameters at its end.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn retrain(&self, replay: &mut Replay<'_>, order: &ItemOrder) -> Result<Tensor, LabError> {
        if self.first == 0 && replay.is_parametrised() {
            // The first step of a run is where parts are put in place of weights.
            *replay = replay.again()?;
        } else {
            replay.resume(&self.start)?;
        }
        replay.reorder(self.whole(order));
        replay.train(self.first..u64::MAX, None)?;
        Ok(TrainedProblem::flat(replay.network())?)
    }

    /// Examples per step.
    #[must_use]
    pub fn batch_size(&self) -> u32 {
        self.batch_size
    }
}
