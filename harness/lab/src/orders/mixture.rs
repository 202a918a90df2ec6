//! Rounds that mix groups of examples by weights which may change from round to round.

use ledger::order::{OrderLaw, shuffle};

use crate::LabError;
use crate::seat::{EpochPlan, Facts, Feedback, Order, OrderSource, TaskInfo};
use crate::state::State;

/// Where in the run a slice is, all from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its round.
    pub round: u32,
    /// Rounds of the run.
    pub rounds: u32,
    /// Its number within the round.
    pub slice: u32,
    /// Slices of a round.
    pub slices: u32,
}

/// Decides how groups are mixed.
pub trait Weights {
    /// The law of orders with these weights.
    fn law(&self) -> OrderLaw;

    /// Whether the losses on the probe split are wanted before a slice.
    fn wants_probe(&self, _place: Place) -> bool {
        false
    }

    /// Takes note of the loss of every group on the probe split.
    fn observe(&mut self, _group_losses: &[f64]) {}

    /// Weights of the groups in round `round`, of sum 1.
    fn weights(&mut self, round: u32) -> Vec<f64>;

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }

    /// What steps change of it, as [`Order::state`] has it.
    ///
    /// # Errors
    /// When what is read does not fit.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError>;
}

/// The same weights in every round.
#[derive(Debug, Clone)]
pub struct Fixed(pub Vec<f64>);

impl Weights for Fixed {
    fn law(&self) -> OrderLaw {
        OrderLaw::Blockwise
    }

    fn weights(&mut self, _: u32) -> Vec<f64> {
        self.0.clone()
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// How many of `n` examples each group gets: the share rounded down, and what is left over to the
/// last group.
#[must_use]
pub fn counts(weights: &[f64], n: u32) -> Vec<u32> {
    let mut counts: Vec<u32> =
        weights.iter().map(|weight| (weight * f64::from(n)).floor() as u32).collect();
    let given: u32 = counts.iter().sum();
    if let Some(last) = counts.last_mut() {
        *last += n.saturating_sub(given);
    }
    counts
}

/// One group's examples, in shuffled passes without end.
#[derive(Debug)]
struct Pool {
    ids: Vec<u32>,
    pass: u32,
    next: usize,
}

crate::kept!(Pool { ids, pass, next });

impl Pool {
    fn take(&mut self, group: u32, count: u32, source: &OrderSource<'_>) -> Vec<u32> {
        let mut taken = Vec::with_capacity(count as usize);
        while taken.len() < count as usize && !self.ids.is_empty() {
            if self.next == 0 {
                self.ids.sort_unstable();
                let mut random = source.streams.keyed("mixture", group, self.pass);
                shuffle(&mut random, &mut self.ids);
                self.pass += 1;
            }
            let wanted = count as usize - taken.len();
            let rest = &self.ids[self.next..];
            let part = &rest[..wanted.min(rest.len())];
            taken.extend(part);
            self.next = (self.next + part.len()) % self.ids.len();
        }
        taken
    }
}

/// An order of rounds, each a shuffled mixture of groups; a round can be cut into slices, between
/// which the weights may look at the probe split.
pub struct Mixture {
    weights: Box<dyn Weights>,
    pools: Vec<Pool>,
    rounds: u32,
    slices: u32,
    batch_size: u32,
    budget_samples: u64,
    /// Ids of the round in course.
    round: Vec<u32>,
    /// Weights of the rounds so far.
    used: Vec<Vec<f64>>,
}

impl std::fmt::Debug for Mixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mixture")
            .field("rounds", &self.rounds)
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

impl Mixture {
    /// `rounds` rounds of `slices` slices over the groups of `task`, all of about the same size,
    /// in whole batches but for the last; fewer where there are not as many batches.
    #[must_use]
    pub fn new(
        weights: Box<dyn Weights>,
        rounds: u32,
        slices: u32,
        batch_size: u32,
        task: &TaskInfo<'_>,
    ) -> Self {
        let groups = task.side.group_names.len();
        let mut pools: Vec<Pool> =
            (0..groups).map(|_| Pool { ids: Vec::new(), pass: 0, next: 0 }).collect();
        for (id, &group) in (0..).zip(&task.side.groups) {
            if let Some(pool) = pools.get_mut(group as usize) {
                pool.ids.push(id);
            }
        }
        let batches = task.budget_samples.div_ceil(u64::from(batch_size.max(1)));
        let batches = u32::try_from(batches).unwrap_or(u32::MAX);
        let rounds = rounds.min(batches).max(1);
        Self {
            weights,
            pools,
            rounds,
            slices: slices.min(batches / rounds).max(1),
            batch_size,
            budget_samples: task.budget_samples,
            round: Vec::new(),
            used: Vec::new(),
        }
    }

    /// Ids of each slice.
    fn sizes(&self) -> Vec<u32> {
        let slices = u64::from(self.rounds) * u64::from(self.slices);
        let batches = self.budget_samples.div_ceil(u64::from(self.batch_size.max(1)));
        let mut left = self.budget_samples;
        let sizes = (0..slices).map(|slice| {
            let share = (slice + 1) * batches / slices - slice * batches / slices;
            let size = left.min(share * u64::from(self.batch_size));
            left -= size;
            u32::try_from(size).unwrap_or(u32::MAX)
        });
        sizes.collect()
    }
}

impl Order for Mixture {
    fn law(&self) -> OrderLaw {
        self.weights.law()
    }

    fn rounds(&self, _: u32, _: u64) -> Vec<u32> {
        self.sizes()
    }

    fn wants_probe(&self, epoch: u32) -> bool {
        let Self { rounds, slices, .. } = *self;
        let (round, slice) = (epoch / slices, epoch % slices);
        self.weights.wants_probe(Place { round, rounds, slice, slices })
    }

    fn observe(&mut self, feedback: Feedback<'_>) {
        if let Feedback::Probe { group_losses } = feedback {
            self.weights.observe(group_losses);
        }
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        let (round, slice) = (epoch / self.slices, (epoch % self.slices) as usize);
        let sizes = self.sizes();
        let of_round = sizes.chunks(self.slices as usize).nth(round as usize).unwrap_or(&[]);
        if slice == 0 {
            let weights = self.weights.weights(round);
            let counts = counts(&weights, of_round.iter().sum());
            self.used.push(weights);
            self.round.clear();
            for ((group, pool), count) in (0..).zip(&mut self.pools).zip(counts) {
                self.round.extend(pool.take(group, count, source));
            }
            shuffle(&mut source.streams.keyed("round", round, 0), &mut self.round);
        }
        let start: u32 = of_round.iter().take(slice).sum();
        let length = of_round.get(slice).copied().unwrap_or(0);
        let ids = self.round.iter().skip(start as usize).take(length as usize);
        EpochPlan { ids: ids.copied().collect(), block: round }
    }

    fn facts(&self) -> Facts {
        let mut facts = self.weights.facts();
        facts.insert("mixture_by_round".to_owned(), serde_json::json!(self.used));
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.weights.state(state)?;
        state.of("pools", &mut self.pools)?;
        state.of("round", &mut self.round)?;
        state.of("used", &mut self.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_down_and_the_last_group_gets_the_rest() {
        assert_eq!(counts(&[0.5, 0.3, 0.2], 9), [4, 2, 3]);
        let lego = [0.163_479, 0.346_085, 0.163_479, 0.163_479, 0.163_479];
        let counts = counts(&lego, 32_000);
        assert_eq!((counts[1], counts.iter().sum::<u32>()), (11_074, 32_000));
    }
}
