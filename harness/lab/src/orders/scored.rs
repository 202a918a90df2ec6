//! Orders by a score of each example: the curricula that learning-rate schedules are crossed with.

use ledger::choice;
use ledger::order::{OrderLaw, shuffle};

use crate::LabError;
use crate::seat::{EpochPlan, Order, OrderSource, TaskInfo};
use crate::state::State;

choice! {
    /// How scores order the examples of a pass.
    pub enum Arrangement {
        /// Not at all.
        Uniform = "uniform",
        /// From the lowest score to the highest, ties in random order.
        Ascend = "ascend",
        /// From the highest score to the lowest, ties in random order.
        Descend = "descend",
        /// In segments of equal size, each drawn at random and sorted from low to high.
        Folding = "folding",
        /// In buckets of equal size from low to high, each shuffled.
        Buckets = "buckets",
    }
}

choice! {
    /// Which scores.
    pub enum Scores {
        /// Those of the workload.
        Given = "given",
        /// The same numbers, dealt to the examples at random: a control that must do nothing.
        Shuffled = "shuffled",
    }
}

/// An order by score. In every pass each example comes once.
#[derive(Debug)]
pub struct ByScore {
    arrangement: Arrangement,
    /// Segments of folding, or buckets.
    parts: u32,
    scores: Vec<f64>,
}

impl ByScore {
    /// The order over the scores of `task`, shuffled by its stream `scores` where asked for.
    #[must_use]
    pub fn new(arrangement: Arrangement, parts: u32, which: Scores, task: &TaskInfo<'_>) -> Self {
        let mut scores = task.side.scores.clone();
        if which == Scores::Shuffled {
            let mut places: Vec<u32> = (0..).take(scores.len()).collect();
            shuffle(&mut task.streams.generator("scores"), &mut places);
            scores =
                places.iter().filter_map(|&place| scores.get(place as usize)).copied().collect();
        }
        Self { arrangement, parts: parts.max(1), scores }
    }

    /// The ids of a pass, from the pass's uniform order.
    fn arranged(&self, mut ids: Vec<u32>) -> Vec<u32> {
        let score = |id: &u32| self.scores.get(*id as usize).copied().unwrap_or(0.0);
        // Stable sorts leave ties in the uniform order.
        let ascend = |ids: &mut [u32]| ids.sort_by(|a, b| score(a).total_cmp(&score(b)));
        match self.arrangement {
            Arrangement::Uniform => {}
            Arrangement::Ascend => ascend(&mut ids),
            Arrangement::Descend => ids.sort_by(|a, b| score(b).total_cmp(&score(a))),
            Arrangement::Folding => {
                let parts = self.parts(ids.len());
                let mut rest = ids.as_mut_slice();
                for part in parts {
                    let (segment, others) = rest.split_at_mut(part);
                    ascend(segment);
                    rest = others;
                }
            }
            Arrangement::Buckets => {
                let mut places = vec![0_u32; ids.len()];
                for (place, &id) in (0..).zip(&ids) {
                    places[id as usize] = place;
                }
                let parts = self.parts(ids.len());
                ascend(&mut ids);
                let mut rest = ids.as_mut_slice();
                for part in parts {
                    let (bucket, others) = rest.split_at_mut(part);
                    bucket.sort_by_key(|id| places[*id as usize]);
                    rest = others;
                }
            }
        }
        ids
    }

    /// Sizes of the parts of a pass, which differ by at most one.
    fn parts(&self, examples: usize) -> Vec<usize> {
        let parts = (self.parts as usize).clamp(1, examples.max(1));
        (0..parts).map(|part| (part + 1) * examples / parts - part * examples / parts).collect()
    }
}

impl Order for ByScore {
    fn law(&self) -> OrderLaw {
        match self.arrangement {
            Arrangement::Uniform => OrderLaw::Uniform,
            Arrangement::Buckets if self.parts == 1 => OrderLaw::Uniform,
            Arrangement::Buckets => OrderLaw::Blockwise,
            Arrangement::Ascend | Arrangement::Descend | Arrangement::Folding => OrderLaw::Sorted,
        }
    }

    /// Buckets are rounds of their own, so that each is a block within which ids may be permuted.
    fn rounds(&self, examples: u32, budget_samples: u64) -> Vec<u32> {
        let sizes = match self.arrangement {
            Arrangement::Buckets => self.parts(examples as usize),
            _ => vec![examples as usize],
        };
        let mut left = budget_samples;
        let endless = sizes.into_iter().filter(|size| *size > 0).cycle();
        let rounds = endless.map_while(|size| {
            let size = left.min(size as u64);
            left -= size;
            u32::try_from(size).ok().filter(|size| *size > 0)
        });
        if examples == 0 { Vec::new() } else { rounds.collect() }
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        if self.arrangement != Arrangement::Buckets {
            return EpochPlan { ids: self.arranged(source.uniform(epoch)), block: epoch };
        }
        let parts = self.parts(source.examples as usize);
        let (pass, bucket) = (epoch / parts.len() as u32, epoch as usize % parts.len());
        let start: usize = parts.iter().take(bucket).sum();
        let ids = self.arranged(source.uniform(pass));
        let ids = ids.into_iter().skip(start).take(parts[bucket]).collect();
        EpochPlan { ids, block: epoch }
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::seed::Seed;
    use ledger::streams::Streams;

    const N: u32 = 60;

    /// Scores with ties of three.
    fn order(arrangement: Arrangement, parts: u32) -> ByScore {
        let scores = (0..N).map(|id| f64::from(id * 7 % N / 3)).collect();
        ByScore { arrangement, parts, scores }
    }

    fn passes(mut order: ByScore, passes: u64) -> Vec<Vec<u32>> {
        let effective_seed = Seed::from_integer(3).bytes;
        let streams = Streams::new(effective_seed);
        let source = OrderSource {
            effective_seed: &effective_seed,
            streams: &streams,
            examples: N,
            eligible: None,
        };
        let rounds = order.rounds(N, passes * u64::from(N));
        let plans = (0..).zip(&rounds).map(|(epoch, n)| {
            let plan = order.epoch(epoch, &source);
            assert_eq!(plan.ids.len(), *n as usize);
            plan.ids
        });
        let ids = plans.collect::<Vec<_>>().concat();
        ids.chunks(N as usize).map(<[u32]>::to_vec).collect()
    }

    fn scores_of(ids: &[u32]) -> Vec<f64> {
        let order = order(Arrangement::Uniform, 1);
        ids.iter().map(|id| order.scores[*id as usize]).collect()
    }

    #[test]
    fn every_pass_of_every_arrangement_holds_every_id_once() {
        use Arrangement::{Ascend, Buckets, Descend, Folding, Uniform};
        for (arrangement, parts) in
            [(Uniform, 1), (Ascend, 1), (Descend, 1), (Folding, 7), (Buckets, 7)]
        {
            let passes = passes(order(arrangement, parts), 2);
            assert_eq!(passes.len(), 2);
            for mut pass in passes {
                pass.sort_unstable();
                assert!(pass.into_iter().eq(0..N), "{arrangement:?}");
            }
        }
    }

    #[test]
    fn ascending_scores_rise_and_descending_ones_fall_with_ties_at_random() {
        let ascending = passes(order(Arrangement::Ascend, 1), 2);
        for pass in &ascending {
            assert!(scores_of(pass).is_sorted());
        }
        // Another pass breaks ties in another way.
        assert_ne!(ascending[0], ascending[1]);
        let descending = &passes(order(Arrangement::Descend, 1), 1)[0];
        assert!(scores_of(descending).is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn one_bucket_is_uniform_as_many_as_examples_ascend_and_one_fold_ascends() {
        let uniform = passes(order(Arrangement::Uniform, 1), 2);
        assert_eq!(passes(order(Arrangement::Buckets, 1), 2), uniform);
        assert_eq!(order(Arrangement::Buckets, 1).law(), OrderLaw::Uniform);
        let ascending = passes(order(Arrangement::Ascend, 1), 2);
        assert_eq!(passes(order(Arrangement::Buckets, N), 2), ascending);
        assert_eq!(passes(order(Arrangement::Folding, 1), 2), ascending);
        assert_ne!(uniform, ascending);
    }

    #[test]
    fn folds_rise_within_and_start_over_and_buckets_only_rise_between() {
        let folded = &passes(order(Arrangement::Folding, 4), 1)[0];
        for fold in folded.chunks(15) {
            assert!(scores_of(fold).is_sorted());
        }
        assert!(!scores_of(folded).is_sorted());
        let buckets = &passes(order(Arrangement::Buckets, 4), 1)[0];
        let scores = scores_of(buckets);
        let bounds: Vec<_> = scores
            .chunks(15)
            .map(|s| s.iter().fold((f64::MAX, f64::MIN), |(lo, hi), x| (lo.min(*x), hi.max(*x))))
            .collect();
        assert!(bounds.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{bounds:?}");
        assert!(!scores.is_sorted());
    }

    #[test]
    fn a_budget_of_part_of_a_pass_ends_within_a_bucket() {
        assert_eq!(order(Arrangement::Buckets, 4).rounds(N, 80), [15, 15, 15, 15, 15, 5]);
        assert_eq!(order(Arrangement::Ascend, 4).rounds(N, 80), [60, 20]);
    }
}
