//! From the list of ids in the order consumed to the position of each example.
//!
//! `order[t] = id` and `position[id] = t` are inverse permutations; confusing them destroys the
//! test without an error, so the conversion lives here and nowhere else.

use serde::{Deserialize, Serialize};

use super::Refusal;
use super::law::check_ids;
use ledger::order::OrderLaw;

/// What a position counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// Examples consumed before.
    Sample,
    /// Steps made before: examples of one step are tied.
    Step,
}

/// The position of each example of 0..examples in one epoch; `None` if it was not seen.
///
/// `steps` are the step sizes of the epoch, run-length encoded as in a transcript; needed for
/// [`Resolution::Step`] only.
///
/// # Errors
/// For ids outside the dataset; for an id that comes twice (but for [`padding`]) or a missing id
/// where the law forbids it; and for step sizes that do not add up to the order.
pub fn positions_of(
    order: &[u64],
    examples: u64,
    law: OrderLaw,
    resolution: Resolution,
    steps: &[(u32, u32)],
) -> Result<Vec<Option<u64>>, Refusal> {
    check_ids(order, examples)?;
    let step_of = match resolution {
        Resolution::Sample => Vec::new(),
        Resolution::Step => expand(steps, order.len() as u64, "step")?,
    };
    let mut place: Vec<Option<u64>> = vec![None; examples as usize];
    let padded = match law {
        OrderLaw::Uniform | OrderLaw::UniformSameEachEpoch | OrderLaw::UniformSubset => {
            padding(order)
        }
        _ => 0,
    };
    // Of an example that pads the end the first occurrence counts.
    for (t, &id) in order[..order.len() - padded].iter().enumerate() {
        let slot = &mut place[id as usize];
        if let Some(first) = *slot
            && law != OrderLaw::Replacement
        {
            return Err(Refusal::DuplicateId { index: t as u64, id, first });
        }
        // With replacement the last draw counts.
        *slot = Some(t as u64);
    }
    let whole = matches!(law, OrderLaw::Uniform | OrderLaw::UniformSameEachEpoch);
    let missing = examples - place.iter().flatten().count() as u64;
    // The tail of less than a batch that the trainer dropped is as random as the order itself and
    // is left out; one unseen example in ten is not a dropped tail.
    if whole
        && missing > examples / 10
        && let Some(id) = place.iter().position(Option::is_none)
    {
        let (id, found) = (id as u64, order.len() as u64);
        return Err(Refusal::MissingId { id, missing, found, examples });
    }
    if resolution == Resolution::Step {
        for slot in place.iter_mut().flatten() {
            *slot = step_of[*slot as usize];
        }
    }
    Ok(place)
}

/// How many ids at the end of an epoch repeat its beginning: a sampler's padding, up to a tenth of
/// the epoch, as PyTorch's `DistributedSampler` adds it so that all replicas get equally many. Any
/// other repeat is none; 0 then.
#[must_use]
pub fn padding(order: &[u64]) -> usize {
    let Some(&first) = order.first() else { return 0 };
    let again = order.iter().skip(1).position(|id| *id == first);
    let Some(whole) = again.map(|place| place + 1) else { return 0 };
    let padded = order.len() - whole;
    if 10 * padded <= whole && order[whole..] == order[..padded] { padded } else { 0 }
}

/// Positions under replacement for every example: never seen is 0, tied at the bottom, and the
/// others are 1 plus the position of their last draw.
#[must_use]
pub fn never_seen_first(positions: &[Option<u64>]) -> Vec<u64> {
    positions.iter().map(|position| position.map_or(0, |position| position + 1)).collect()
}

/// The rows that were seen: their ids and their positions.
#[must_use]
pub fn seen(positions: &[Option<u64>]) -> (Vec<u64>, Vec<u64>) {
    let rows = positions.iter().zip(0..).filter_map(|(position, id)| Some((id, (*position)?)));
    rows.unzip()
}

/// The block of each position of an order, from block sizes in order (blockwise law).
///
/// # Errors
/// When the sizes do not add up to `n`.
pub fn blocks_of(sizes: &[(u32, u32)], n: u64) -> Result<Vec<u64>, Refusal> {
    expand(sizes, n, "block")
}

/// `[(size, count), …]` as the number of the run that each place belongs to.
fn expand(lengths: &[(u32, u32)], n: u64, what: &'static str) -> Result<Vec<u64>, Refusal> {
    let sum = lengths
        .iter()
        .fold(0_u64, |sum, &(size, count)| sum.saturating_add(u64::from(size) * u64::from(count)));
    if sum != n || lengths.contains(&(0, 0)) {
        return Err(Refusal::RunLengths { what, sum, n });
    }
    let mut numbers = Vec::with_capacity(n as usize);
    let mut number = 0;
    for &(size, count) in lengths.iter().filter(|(size, _)| *size > 0) {
        for _ in 0..count {
            numbers.extend(std::iter::repeat_n(number, size as usize));
            number += 1;
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_sample(order: &[u64], examples: u64, law: OrderLaw) -> Result<Vec<Option<u64>>, Refusal> {
        positions_of(order, examples, law, Resolution::Sample, &[])
    }

    #[test]
    fn an_order_that_is_not_its_own_inverse_gives_positions_and_not_itself() {
        let found = by_sample(&[1, 2, 0, 4, 3], 5, OrderLaw::Uniform).unwrap();
        assert_eq!(found, [2, 0, 1, 4, 3].map(Some));
    }

    #[test]
    fn steps_tie_the_examples_of_a_batch() {
        let steps = [(2, 2), (1, 1)];
        let found =
            positions_of(&[1, 2, 0, 4, 3], 5, OrderLaw::Uniform, Resolution::Step, &steps).unwrap();
        assert_eq!(found, [1, 0, 0, 2, 1].map(Some));
    }

    #[test]
    fn a_duplicate_is_named_with_both_its_places() {
        let refusal = by_sample(&[1, 2, 0, 2, 3], 5, OrderLaw::Uniform).unwrap_err();
        assert_eq!(refusal, Refusal::DuplicateId { index: 3, id: 2, first: 1 });
    }

    #[test]
    fn padding_repeats_the_beginning_at_the_end_and_the_first_occurrence_counts() {
        let order: Vec<u64> = (0..20).rev().chain([19, 18]).collect();
        assert_eq!(padding(&order), 2);
        let found = by_sample(&order, 20, OrderLaw::Uniform).unwrap();
        assert_eq!(found, by_sample(&order[..20], 20, OrderLaw::Uniform).unwrap());
        // More than a tenth, another id than the first ones, and the epoch once more.
        for extra in [vec![19, 18, 17], vec![19, 17], vec![18], (0..20).rev().collect()] {
            let order: Vec<u64> = (0..20).rev().chain(extra).collect();
            assert_eq!(padding(&order), 0);
            let refusal = by_sample(&order, 20, OrderLaw::Uniform).unwrap_err();
            assert!(matches!(refusal, Refusal::DuplicateId { index: 20, .. }), "{refusal}");
        }
        assert_eq!((padding(&[]), padding(&[3])), (0, 0));
    }

    #[test]
    fn an_id_beyond_the_dataset_is_named() {
        let refusal = by_sample(&[1, 5], 5, OrderLaw::UniformSubset).unwrap_err();
        assert_eq!(refusal, Refusal::NoSuchExample { index: 1, id: 5, examples: 5 });
    }

    #[test]
    fn half_an_order_is_refused_unless_it_is_declared_a_subset() {
        let refusal = by_sample(&[0, 3], 4, OrderLaw::Uniform).unwrap_err();
        assert_eq!(refusal, Refusal::MissingId { id: 1, missing: 2, found: 2, examples: 4 });
        let found = by_sample(&[0, 3], 4, OrderLaw::UniformSubset).unwrap();
        assert_eq!(seen(&found), (vec![0, 3], vec![0, 1]));
    }

    #[test]
    fn with_replacement_the_last_draw_counts_and_the_unseen_share_the_bottom() {
        let found = by_sample(&[2, 0, 2], 4, OrderLaw::Replacement).unwrap();
        assert_eq!(never_seen_first(&found), [2, 0, 3, 0]);
    }

    #[test]
    fn sizes_that_do_not_cover_the_order_are_refused() {
        assert_eq!(blocks_of(&[(2, 1), (1, 2)], 4), Ok(vec![0, 0, 1, 2]));
        let refusal = blocks_of(&[(2, 1)], 4).unwrap_err();
        assert_eq!(refusal, Refusal::RunLengths { what: "block", sum: 2, n: 4 });
        let huge = [(u32::MAX, u32::MAX); 3];
        assert!(matches!(blocks_of(&huge, 4), Err(Refusal::RunLengths { sum: u64::MAX, .. })));
    }

    proptest! {
        #[test]
        fn positions_invert_the_order(n in 1_u64..80, k: u64) {
            let seed = ledger::seed::Seed::from_integer(k).bytes;
            let order: Vec<u64> =
                ledger::order::uniform_order(&seed, 0, n as u32).into_iter().map(u64::from).collect();
            let found = by_sample(&order, n, OrderLaw::Uniform).unwrap();
            for (t, id) in order.iter().enumerate() {
                prop_assert_eq!(found[*id as usize], Some(t as u64));
            }
        }
    }
}
