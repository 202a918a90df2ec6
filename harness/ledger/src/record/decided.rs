//! What the steps and evaluations of a run decide of its record: whoever writes the record and
//! whoever verifies it compute it here.

use std::collections::BTreeMap;

use crate::crossing::{Crossing, crossing};
use crate::goal::{self, Target};
use crate::record::format::{Evaluation, Status};
use crate::transcript::EpochOrder;

/// What evaluations decide.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// Crossing of the target; none where the clock did not advance between two evaluations.
    pub time_to_target: Option<Crossing>,
    /// Metrics at the end.
    pub last: BTreeMap<String, f64>,
    /// Test metrics at the first evaluation at the target.
    pub at_target: BTreeMap<String, f64>,
    /// Samples seen at the last evaluation.
    pub samples: u64,
}

impl Decided {
    /// Reads it off the evaluations, oldest first.
    #[must_use]
    pub fn of(evaluations: &[Evaluation], target: &Target) -> Self {
        let metric = target.validation_key();
        let points: Vec<_> =
            evaluations.iter().map(|evaluation| evaluation.point(&metric)).collect();
        // The first look at the test split is at the target; the last look is at the end.
        let tested =
            |evaluation: &&Evaluation| evaluation.metrics.keys().any(|name| goal::is_test(name));
        let met = |evaluation: &&Evaluation| {
            evaluation.metrics.get(&metric).is_some_and(|value| target.is_met(*value))
        };
        let first = evaluations.iter().find(tested).filter(met);
        let last = evaluations.last();
        Self {
            time_to_target: crossing(&points, target.value, target.direction).ok(),
            last: last.map(|last| last.metrics.clone()).unwrap_or_default(),
            at_target: first.map(|first| first.metrics.clone()).unwrap_or_default(),
            samples: last.map_or(0, |last| last.samples),
        }
    }

    /// How a run that trained ended.
    #[must_use]
    pub fn status(&self, diverged: bool) -> Status {
        match self.time_to_target.and_then(|crossing| crossing.isotonic) {
            _ if diverged => Status::Diverged,
            Some(_) => Status::Reached,
            None => Status::Censored,
        }
    }
}

/// Samples and steps at which a run of these epochs is evaluated: at its start, at the step with which
/// a multiple of `every` samples is reached, and at its end. A run that took no step is looked at once.
pub fn grid(epochs: &[EpochOrder], every: u64) -> impl Iterator<Item = (u64, u64)> {
    let every = every.max(1);
    let runs = epochs.iter().flat_map(|epoch| &epoch.steps);
    let runs: Vec<(u64, u64)> =
        runs.map(|&(size, count)| (u64::from(size).max(1), u64::from(count))).collect();
    let end = runs.iter().fold((0_u64, 0_u64), |(samples, steps), (size, count)| {
        (samples.saturating_add(size.saturating_mul(*count)), steps.saturating_add(*count))
    });
    let mut start = (0_u64, 0_u64);
    // Steps of one size are passed over at once: their number is the record's word.
    let looks = runs.into_iter().flat_map(move |(size, count)| {
        let (samples, steps) = start;
        start = (samples.saturating_add(size.saturating_mul(count)), steps.saturating_add(count));
        let mut taken = 0_u64;
        std::iter::from_fn(move || {
            let now = samples.saturating_add(size.saturating_mul(taken));
            let next = (now / every + 1).saturating_mul(every);
            taken = taken.saturating_add((next - now).div_ceil(size).max(1));
            (taken <= count).then(|| {
                (samples.saturating_add(size.saturating_mul(taken)), steps.saturating_add(taken))
            })
        })
    });
    let inside = looks.take_while(move |look| *look != end);
    std::iter::once((0, 0)).chain(inside).chain((end.1 > 0).then_some(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn epoch(steps: &[(u32, u32)]) -> EpochOrder {
        EpochOrder {
            epoch: 0,
            n: 0,
            offset: 0,
            block: 0,
            order_hash: Digest::of(b""),
            order_root: Digest::of(b""),
            steps: steps.to_vec(),
        }
    }

    /// The loop's own rule, step by step.
    fn stepwise(epochs: &[EpochOrder], every: u64) -> Vec<(u64, u64)> {
        let sizes = epochs.iter().flat_map(|epoch| &epoch.steps);
        let sizes: Vec<u64> = sizes
            .flat_map(|&(size, count)| std::iter::repeat_n(u64::from(size), count as usize))
            .collect();
        let (mut samples, mut steps) = (0, 0);
        let mut looks = vec![(0, 0)];
        for size in &sizes {
            let cell = samples / every;
            steps += 1;
            samples += size;
            if samples / every > cell || steps == sizes.len() as u64 {
                looks.push((samples, steps));
            }
        }
        looks
    }

    proptest::proptest! {
        #[test]
        fn the_grid_is_that_of_a_loop_over_steps(
            steps in proptest::collection::vec(proptest::collection::vec((1_u32..40, 0_u32..9), 0..4), 0..4),
            every in 1_u64..90,
        ) {
            let epochs: Vec<_> = steps.iter().map(|steps| epoch(steps)).collect();
            let found: Vec<_> = grid(&epochs, every).collect();
            proptest::prop_assert_eq!(found, stepwise(&epochs, every));
        }
    }

    #[test]
    fn the_grid_of_a_record_that_lies_about_its_steps_costs_nothing_until_it_is_read() {
        let epochs = vec![epoch(&[(u32::MAX, u32::MAX); 9]); 9];
        assert_eq!(grid(&epochs, 1).nth(3), Some((3 * u64::from(u32::MAX), 3)));
    }
}
