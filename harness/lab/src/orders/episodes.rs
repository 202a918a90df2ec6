//! The order of tasks: a fresh uniform shuffle of whole episodes in every epoch.

use ledger::layout::Layout;
use ledger::order::{OrderLaw, uniform_units};

use crate::LabError;
use crate::seat::{EpochPlan, Order, OrderSource};
use crate::state::State;

/// Episodes, each the examples of one unit of the layout, shuffled as the contract shuffles examples. A budget
/// is cut to whole episodes.
#[derive(Debug, Clone)]
pub struct Episodes(pub Layout);

impl Order for Episodes {
    fn law(&self) -> OrderLaw {
        OrderLaw::Uniform
    }

    fn layout(&self) -> Option<Layout> {
        Some(self.0.clone())
    }

    fn rounds(&self, examples: u32, budget_samples: u64) -> Vec<u32> {
        let (examples, budget) = (self.0.whole(examples.into()), self.0.whole(budget_samples));
        let whole = u32::try_from(examples).unwrap_or(0);
        let mut rounds = vec![whole; usize::try_from(budget / examples.max(1)).unwrap_or(0)];
        let rest = u32::try_from(budget % examples.max(1)).unwrap_or(0);
        rounds.extend((rest > 0).then_some(rest));
        rounds
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        let ids = uniform_units(source.effective_seed, epoch, source.examples, &self.0);
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

    fn order() -> Episodes {
        Episodes(Layout::new(vec![("support".to_owned(), 1), ("query".to_owned(), 2)]).unwrap())
    }

    #[test]
    fn an_epoch_holds_every_episode_once_and_whole() {
        let streams = trial::streams();
        let source = OrderSource {
            effective_seed: &[3; 32],
            streams: &streams,
            examples: 30,
            eligible: None,
        };
        let EpochPlan { ids, .. } = order().epoch(1, &source);
        let units: Vec<u32> = ids.chunks(3).map(|unit| unit[0] / 3).collect();
        assert!(
            ids.chunks(3).all(|unit| unit[0] % 3 == 0 && unit[1..] == [unit[0] + 1, unit[0] + 2])
        );
        assert_eq!(units, ledger::order::uniform_order(&[3; 32], 1, 10));
    }

    #[test]
    fn a_budget_is_cut_to_whole_episodes() {
        assert_eq!(order().rounds(30, 70), [30, 30, 9]);
        assert!(order().rounds(30, 2).is_empty());
    }
}
