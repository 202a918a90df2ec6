//! Steps of equally many tokens, whether images are shown at one size or at their own.
//!
//! A step at a fixed size holds `fixed` images, whichever come next in a shuffle of all. A native step holds
//! `native` images of every size, the next ones in a shuffle of those of that size: so it has as many tokens as any
//! other, known before a single id is drawn. A round is a step; within it ids are in uniform order, and that is the
//! block. Shuffles go on from step to step of a stage; what is left of one that does not fill a step is passed over.

use ledger::order::{self, OrderLaw};

use crate::LabError;
use crate::orders::Sources;
use crate::seat::{EpochPlan, Order, OrderSource};
use crate::stages::Shares;
use crate::state::State;

/// Images of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// At the fixed size.
    pub fixed: u32,
    /// At their own, of each size.
    pub native: u32,
    /// Tokens of either.
    pub tokens: u32,
}

impl Counts {
    /// The smallest steps that have equally many tokens, `times` over, where an image has `fixed` tokens at the fixed
    /// size and `sizes` at its own.
    #[must_use]
    pub fn of(fixed: u32, sizes: &[u32], times: u32) -> Self {
        let all: u32 = sizes.iter().sum();
        let shared = common(all, fixed).max(1);
        let (fixed, native) = (times * (all / shared), times * (fixed / shared));
        Self { fixed, native, tokens: native * all }
    }
}

/// Largest common divisor.
fn common(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common(b, a % b) }
}

/// The order: in some stages images are shown at a fixed size, in others at their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EqualTokens {
    /// Images of a step.
    pub counts: Counts,
    /// Examples by size.
    pub sizes: Sources,
    /// Where stages begin.
    pub shares: Shares,
    /// Of each stage, whether images are shown at their own size.
    pub native: Vec<bool>,
    /// Samples that the run may consume.
    pub budget_samples: u64,
}

impl EqualTokens {
    /// Largest number of images of a step.
    #[must_use]
    pub fn largest(&self) -> u32 {
        self.counts.fixed.max(self.native())
    }

    /// Images of a native step.
    fn native(&self) -> u32 {
        self.counts.native * u32::try_from(self.sizes.len()).unwrap_or(0)
    }

    /// As many as the budget has for the larger ones: equally many in every mode.
    fn steps(&self) -> u64 {
        self.budget_samples / u64::from(self.largest().max(1))
    }

    /// The stage of a step, whether it is native, and how many steps of it came before.
    fn at(&self, step: u64) -> (usize, bool, u64) {
        let (stage, first, _) = self.shares.at(step, self.steps());
        (stage, self.native.get(stage).copied().unwrap_or(false), step - first)
    }
}

impl Order for EqualTokens {
    fn law(&self) -> OrderLaw {
        OrderLaw::Blockwise
    }

    fn rounds(&self, _: u32, _: u64) -> Vec<u32> {
        let of = |step| if self.at(step).1 { self.native() } else { self.counts.fixed };
        (0..self.steps()).map(of).collect()
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        let (stage, native, place) = self.at(u64::from(epoch));
        let name = format!("stage{stage}");
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let mut ids = Vec::new();
        if native {
            for (size, members) in (0..).zip(self.sizes.members()) {
                ids.extend(dealt(members, self.counts.native, place, |pass| {
                    source.streams.keyed(&name, size, pass)
                }));
            }
            order::shuffle(&mut source.streams.keyed("step", 0, epoch), &mut ids);
        } else {
            let all: Vec<u32> = (0..source.examples).collect();
            ids =
                dealt(&all, self.counts.fixed, place, |pass| source.streams.keyed(&name, 0, pass));
        }
        EpochPlan { ids, block: epoch }
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// Hand number `place` of `count` ids, out of one shuffle after the other.
fn dealt(
    ids: &[u32],
    count: u32,
    place: u32,
    random: impl FnOnce(u32) -> rand_pcg::Pcg64,
) -> Vec<u32> {
    let hands = (u32::try_from(ids.len()).unwrap_or(0) / count.max(1)).max(1);
    let mut ids = ids.to_vec();
    order::shuffle(&mut random(place / hands), &mut ids);
    ids.into_iter().skip((place % hands * count) as usize).take(count as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::streams;

    /// 64 examples of four sizes, in two stages.
    fn order(native: [bool; 2], budget_samples: u64) -> EqualTokens {
        let groups: Vec<u32> = (0..64).map(|id| id % 4).collect();
        EqualTokens {
            counts: Counts::of(2, &[1, 2, 2, 4], 1),
            sizes: Sources::new(&groups, 64),
            shares: Shares::new([1, 1]),
            native: native.to_vec(),
            budget_samples,
        }
    }

    fn drawn(order: &mut EqualTokens) -> Vec<Vec<u32>> {
        let streams = streams();
        let source = OrderSource {
            effective_seed: &[0; 32],
            streams: &streams,
            examples: 64,
            eligible: None,
        };
        let rounds = order.rounds(64, 0);
        let each = (0..).zip(rounds).map(|(epoch, n)| {
            let EpochPlan { ids, block } = order.epoch(epoch, &source);
            assert_eq!((ids.len(), block), (n as usize, epoch));
            ids
        });
        each.collect()
    }

    #[test]
    fn the_smallest_steps_of_equal_tokens_are_found() {
        // 16 sizes of 9 to 36 tokens make 324; at 16 tokens an image that is 81 for four of each.
        let sides = [3_u32, 4, 5, 6];
        let sizes: Vec<u32> = sides.iter().flat_map(|h| sides.map(|w| h * w)).collect();
        assert_eq!(Counts::of(16, &sizes, 1), Counts { fixed: 81, native: 4, tokens: 1296 });
        assert_eq!(Counts::of(9, &sizes, 2), Counts { fixed: 72, native: 2, tokens: 648 });
        assert_eq!(Counts::of(2, &[1, 2, 2, 4], 1), Counts { fixed: 9, native: 2, tokens: 18 });
    }

    #[test]
    fn whatever_the_stages_steps_and_tokens_are_as_many() {
        let tokens = |native: [bool; 2]| {
            let mut order = order(native, 100);
            let steps = drawn(&mut order);
            let of = |id: &u32| [1, 2, 2, 4][(id % 4) as usize];
            let each: Vec<u32> = (0..)
                .zip(&steps)
                .map(|(step, ids)| match order.at(step).1 {
                    true => ids.iter().map(of).sum(),
                    false => 2 * ids.len() as u32,
                })
                .collect();
            each
        };
        for native in [[false, false], [false, true], [true, true]] {
            assert_eq!(tokens(native), [18; 11], "{native:?}");
        }
        let lengths =
            |native| drawn(&mut order(native, 100)).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths([false, true]), [9, 9, 9, 9, 9, 9, 8, 8, 8, 8, 8]);
    }

    #[test]
    fn a_pass_shows_every_image_once_and_the_next_one_in_another_order() {
        let native = drawn(&mut order([true, true], 9 * 16));
        // Two of each of four sizes a step: eight steps a pass.
        let mut sorted = native[..8].concat();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..64));
        assert_ne!(native[..8], native[8..16]);
        let fixed = drawn(&mut order([false, false], 9 * 16));
        let mut once = fixed[..7].concat();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), 63, "one of 64 is passed over");
        // Within a step sizes are in no order.
        assert!(!native.iter().all(|ids| ids.iter().map(|id| id % 4).is_sorted()));
    }
}
