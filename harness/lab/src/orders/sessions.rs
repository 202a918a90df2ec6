//! Sessions one after the other: every round is one pass over the examples of a session.

use ledger::order::{self, OrderLaw};

use crate::LabError;
use crate::models::clips::Clips;
use crate::seat::{EpochPlan, Order, OrderSource};
use crate::state::State;

/// The frames of one clip after the other, each clip's for an equal part of the rounds, shuffled in every round; a
/// round is a block within which they could as well have come in any other order.
#[derive(Debug, Clone, Copy)]
pub struct InSessions {
    clips: Clips,
    /// Rounds of the run.
    total: u32,
}

impl InSessions {
    /// The order of these clips in a run of so many samples.
    #[must_use]
    pub fn new(clips: Clips, budget_samples: u64) -> Self {
        let rounds = budget_samples.div_ceil(u64::from(clips.frames.max(1)));
        Self { clips, total: u32::try_from(rounds).unwrap_or(u32::MAX) }
    }
}

impl Order for InSessions {
    fn law(&self) -> OrderLaw {
        OrderLaw::Blockwise
    }

    fn rounds(&self, _: u32, budget_samples: u64) -> Vec<u32> {
        let frames = self.clips.frames.max(1);
        let whole = usize::try_from(budget_samples / u64::from(frames)).unwrap_or(0);
        let rest = u32::try_from(budget_samples % u64::from(frames)).unwrap_or(0);
        let mut rounds = vec![frames; whole];
        rounds.extend((rest > 0).then_some(rest));
        rounds
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        let first = self.clips.session(epoch, self.total) * self.clips.frames;
        let mut ids: Vec<u32> = (first..first + self.clips.frames).collect();
        order::shuffle(&mut source.streams.keyed("order", 0, epoch), &mut ids);
        EpochPlan { ids, block: epoch }
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial;

    #[test]
    fn rounds_are_passes_over_one_clip_after_the_other_each_in_an_order_of_its_own() {
        let clips = Clips { sessions: 3, frames: 4 };
        let mut order = InSessions::new(clips, 50);
        assert_eq!(order.rounds(12, 50), [[4; 12].as_slice(), &[2]].concat());
        let streams = trial::streams();
        let source = OrderSource {
            effective_seed: &[0; 32],
            streams: &streams,
            examples: 12,
            eligible: None,
        };
        let rounds: Vec<EpochPlan> = (0..13).map(|epoch| order.epoch(epoch, &source)).collect();
        for (epoch, plan) in (0..).zip(&rounds) {
            let first = 4 * clips.session(epoch, 13);
            let mut ids = plan.ids.clone();
            ids.sort_unstable();
            assert_eq!((ids, plan.block), ((first..first + 4).collect(), epoch));
        }
        assert!(rounds.windows(2).any(|pair| pair[0].ids != pair[1].ids));
        let sessions = [0, 4, 5, 8, 9, 12].map(|epoch| rounds[epoch].ids.iter().min().unwrap() / 4);
        assert_eq!(sessions, [0, 0, 1, 1, 2, 2]);
    }
}
