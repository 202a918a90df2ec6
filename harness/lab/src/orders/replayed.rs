//! An order that is known before the run: that of a recorded run, as it was or with its last part
//! shuffled afresh, or one from a file.

use ledger::digest::Digest;
use ledger::order::{self, OrderLaw};

use crate::LabError;
use crate::seat::{EpochPlan, Order, OrderSource};
use crate::state::State;

/// The ids that a run consumed, epoch by epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    law: OrderLaw,
    epochs: Vec<Vec<u32>>,
}

impl Replayed {
    /// These ids, epoch by epoch.
    #[must_use]
    pub fn new(law: OrderLaw, epochs: Vec<Vec<u32>>) -> Self {
        Self { law, epochs }
    }

    /// The same up to step `first`, in steps of `batch` ids; behind it the ids of each epoch in a
    /// fresh uniform order, drawn from SHA-256("palimpsest/reshuffle/v1" || `seed` || replay u32 LE
    /// || epoch u32 LE). Under an order that is uniform in every epoch all of these were equally
    /// likely, given what came before `first`.
    #[must_use]
    pub fn reshuffled(&self, first: u64, batch: u32, seed: u64, replay: u32) -> Self {
        let mut epochs = self.epochs.clone();
        let mut before = 0;
        for (epoch, ids) in (0_u32..).zip(&mut epochs) {
            let kept = first.saturating_sub(before).saturating_mul(u64::from(batch));
            let kept = usize::try_from(kept).unwrap_or(usize::MAX).min(ids.len());
            let digest = Digest::of_parts(&[
                b"palimpsest/reshuffle/v1",
                &seed.to_le_bytes(),
                &replay.to_le_bytes(),
                &epoch.to_le_bytes(),
            ]);
            order::shuffle(&mut order::generator(&digest), &mut ids[kept..]);
            before += (ids.len() as u64).div_ceil(u64::from(batch.max(1)));
        }
        Self { law: self.law, epochs }
    }

    /// The same run with other ids, epoch by epoch.
    #[must_use]
    pub fn with_epochs(&self, epochs: Vec<Vec<u32>>) -> Self {
        Self { law: self.law, epochs }
    }

    /// The ids, epoch by epoch.
    #[must_use]
    pub fn epochs(&self) -> &[Vec<u32>] {
        &self.epochs
    }
}

impl Order for Replayed {
    fn law(&self) -> OrderLaw {
        self.law
    }

    fn rounds(&self, _: u32, _: u64) -> Vec<u32> {
        let lengths = self.epochs.iter().map(|ids| u32::try_from(ids.len()).unwrap_or(u32::MAX));
        lengths.collect()
    }

    fn epoch(&mut self, epoch: u32, _: &OrderSource<'_>) -> EpochPlan {
        let ids = self.epochs.get(epoch as usize).cloned().unwrap_or_default();
        EpochPlan { ids, block: epoch }
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_behind_the_step_is_shuffled_and_only_within_its_epoch() {
        let epochs = vec![(0..10).collect::<Vec<u32>>(), (10..20).rev().collect()];
        let recorded = Replayed::new(OrderLaw::Uniform, epochs.clone());
        // Steps of 4, 4, 2 and 4, 4, 2 ids.
        let fresh = recorded.reshuffled(2, 4, 7, 0);
        assert_eq!(fresh.epochs()[0][..8], epochs[0][..8]);
        let sorted = |ids: &[u32]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        assert_eq!(sorted(&fresh.epochs()[0]), sorted(&epochs[0]));
        assert_eq!(sorted(&fresh.epochs()[1]), sorted(&epochs[1]));
        assert_ne!(fresh.epochs()[1], epochs[1]);
        let late = recorded.reshuffled(4, 4, 7, 0);
        assert_eq!(late.epochs()[0], epochs[0]);
        assert_eq!(late.epochs()[1][..4], epochs[1][..4]);
        assert_eq!(recorded.reshuffled(6, 4, 7, 0), recorded);
    }

    #[test]
    fn each_replay_has_an_order_of_its_own_and_the_same_one_again() {
        let recorded = Replayed::new(OrderLaw::Uniform, vec![(0..50).collect()]);
        let fresh = |seed, replay| recorded.reshuffled(0, 5, seed, replay);
        assert_eq!(fresh(1, 2), fresh(1, 2));
        assert_ne!(fresh(1, 2), fresh(1, 3));
        assert_ne!(fresh(1, 2), fresh(2, 2));
    }
}
