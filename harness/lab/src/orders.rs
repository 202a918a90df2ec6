//! Data orders, and what those over a share of the data have in common.

pub mod course;
pub mod episodes;
pub mod equal_tokens;
pub mod mixture;
pub mod paced;
pub mod pool;
pub mod replayed;
pub mod scored;
pub mod sessions;
pub mod skills;
pub mod uniform;

use ledger::order::{self, OrderLaw};
use ledger::streams;
use rand_pcg::Pcg64;

use crate::LabError;
use crate::seat::{EpochPlan, Order, OrderSource};
use crate::state::State;

/// r·N rounded to the nearest number, at least 1.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a ratio is in 0..=1, so the product is at most N"
)]
pub fn share(ratio: f64, examples: u32) -> u32 {
    ((ratio * f64::from(examples)).round() as u32).clamp(1, examples.max(1))
}

/// A round of `round` ids in place of every epoch that a budget starts: a run on a share of the
/// data keeps its number of rounds and consumes that share of the budget.
#[must_use]
pub fn short_rounds(round: u32, examples: u32, budget_samples: u64) -> Vec<u32> {
    let epochs = budget_samples.div_ceil(u64::from(examples.max(1)));
    vec![round; usize::try_from(epochs).unwrap_or(0)]
}

/// A round of `batch` ids for every step of a budget: for orders that decide anew at each step.
#[must_use]
pub fn step_rounds(batch: u32, budget_samples: u64) -> Vec<u32> {
    let whole = budget_samples / u64::from(batch.max(1));
    let rest = u32::try_from(budget_samples % u64::from(batch.max(1))).unwrap_or(0);
    let mut rounds = vec![batch; usize::try_from(whole).unwrap_or(0)];
    rounds.extend((rest > 0).then_some(rest));
    rounds
}

/// Examples by source: by group, or all as one where there are no groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    members: Vec<Vec<u32>>,
}

impl Sources {
    /// From the group of each example; empty without groups.
    #[must_use]
    pub fn new(groups: &[u32], examples: u32) -> Self {
        if groups.is_empty() {
            return Self { members: vec![(0..examples).collect()] };
        }
        let count = groups.iter().max().map_or(0, |last| *last as usize + 1);
        let mut members = vec![Vec::new(); count];
        for (id, group) in (0..).zip(groups) {
            members[*group as usize].push(id);
        }
        Self { members }
    }

    /// Number of sources.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Examples of every source.
    #[must_use]
    pub fn members(&self) -> &[Vec<u32>] {
        &self.members
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// `n` independent draws with replacement: a source by `weights`, then one of its examples,
    /// uniformly; two numbers of `random` for each.
    #[must_use]
    pub fn draw(&self, weights: &[f64], n: usize, random: &mut Pcg64) -> Vec<u32> {
        let total: f64 = weights.iter().sum();
        let mut ids = Vec::with_capacity(n);
        for _ in 0..n {
            let mut left = streams::unit_f64(random) * total;
            let chosen = weights.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            let last = self.members.len().saturating_sub(1);
            let members = &self.members[chosen.unwrap_or(last)];
            let place = order::bounded(random, members.len() as u64);
            ids.push(members[usize::try_from(place).unwrap_or(0)]);
        }
        ids
    }
}

/// Independent draws with replacement, every source as likely as any other; a round per step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Where examples come from.
    pub sources: Sources,
    /// Examples per step.
    pub batch: u32,
}

impl Order for Replacement {
    fn law(&self) -> OrderLaw {
        OrderLaw::Replacement
    }

    fn rounds(&self, _: u32, budget_samples: u64) -> Vec<u32> {
        step_rounds(self.batch, budget_samples)
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        let weights = vec![1.0; self.sources.len()];
        let mut random = source.streams.keyed("draws", 0, epoch);
        let ids = self.sources.draw(&weights, self.batch as usize, &mut random);
        EpochPlan { ids, block: epoch }
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// Shuffles of the examples that the objective can use, one after another until an epoch is full;
/// of all examples where it can use all, or none. Which these are depends on the model at the
/// start, so that the law is [`OrderLaw::Adaptive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eligible;

impl Order for Eligible {
    fn law(&self) -> OrderLaw {
        OrderLaw::Adaptive
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        let all: Vec<u32>;
        let eligible = match source.eligible {
            Some(eligible) if !eligible.is_empty() => eligible,
            _ => {
                all = (0..source.examples).collect();
                &all
            }
        };
        let mut random = source.streams.keyed("eligible", 0, epoch);
        let mut ids = Vec::with_capacity(source.examples as usize + eligible.len());
        while ids.len() < source.examples as usize {
            let start = ids.len();
            ids.extend_from_slice(eligible);
            order::shuffle(&mut random, &mut ids[start..]);
        }
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
    fn a_budget_is_cut_into_steps() {
        assert_eq!(step_rounds(16, 40), [16, 16, 8]);
        assert_eq!(step_rounds(16, 32), [16, 16]);
    }

    #[test]
    fn draws_come_from_sources_in_proportion_to_their_weights() {
        let sources = Sources::new(&[0, 0, 0, 1, 2, 2], 6);
        let mut random = trial::streams().generator("order");
        let ids = sources.draw(&[3.0, 1.0, 0.0], 4_000, &mut random);
        let share = |of: &[u32]| ids.iter().filter(|id| of.contains(id)).count() as f64 / 4_000.0;
        // Deviations of 0.007.
        assert!((share(&[0, 1, 2]) - 0.75).abs() < 0.03);
        assert!((share(&[1]) - 0.25).abs() < 0.03);
        assert_eq!(share(&[4, 5]), 0.0);
    }

    #[test]
    fn only_eligible_ids_are_shown_each_once_before_any_comes_back() {
        let streams = trial::streams();
        let effective_seed = [0; 32];
        let source = OrderSource {
            effective_seed: &effective_seed,
            streams: &streams,
            examples: 10,
            eligible: Some(&[1, 4, 8]),
        };
        let EpochPlan { ids, .. } = Eligible.epoch(0, &source);
        assert_eq!(ids.len(), 12);
        for round in ids.chunks(3) {
            let mut sorted = round.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [1, 4, 8]);
        }
        let none = OrderSource { eligible: Some(&[]), ..source };
        assert_eq!(Eligible.epoch(0, &none).ids.len(), 10);
    }
}
