//! Whether a reference was trained on the order that is tested, from both lists of ids.
//!
//! A reference that met the order has it in its scores with the sign turned, and accuses the
//! innocent. Equality of the lists is not the question: one swap, a dropped tail, several epochs in
//! one list or a table of steps leave the dependence as it was. Two orders that were drawn apart
//! agree by chance only, so that dependence shows as agreement which chance does not give.

use std::collections::{HashMap, HashSet};

use super::query::FEWEST_EXAMPLES;
use super::{Query, Refusal};

/// Ids of which the same order twice is no chance: 10! = 3,628,800.
const TELLING: usize = 10;

/// log10 of the probability below which agreement is not chance; of all comparisons together.
const CHANCE: f64 = -6.0;

/// Refuses a reference whose own order depends on the order that is tested.
///
/// `audited` are the epochs (or blocks) of the tested order, `other` the lists of ids that
/// `reference` was trained on, each in the order consumed. `other` may hold an epoch a list, several
/// epochs in one list or a step a list.
///
/// # Errors
/// When an epoch of the order is a list of `other`; when the ids that an epoch shares with a stretch of `other`
/// have a rank correlation there that chance gives once in a million (either sign: a reversed order
/// depends as well); and when more neighbours are neighbours again than chance gives, which shows
/// shards in another order and a start from the middle.
pub fn require_other(
    audited: &[Vec<u64>],
    other: &[Vec<u64>],
    reference: &str,
) -> Result<(), Refusal> {
    match dependence(audited, other, 1) {
        None => Ok(()),
        Some(reason) => {
            Err(Refusal::DependentReference { reference: reference.to_owned(), reason })
        }
    }
}

/// How the order of `other` depends on `audited`, if it does; one of `tries` such questions.
pub(super) fn dependence(audited: &[Vec<u64>], other: &[Vec<u64>], tries: usize) -> Option<String> {
    // A block of few ids comes out the same by chance.
    let telling = |ids: &[u64]| ids.len() >= TELLING || (audited.len() == 1 && !ids.is_empty());
    if let Some(epoch) = audited.iter().position(|ids| telling(ids) && other.contains(ids)) {
        return Some(format!("it was trained on the same order as epoch {epoch}"));
    }
    let stretches = stretches(other);
    let chance = CHANCE - (tries as f64).log10();
    let least = chance - ((audited.len() * stretches.len()).max(1) as f64).log10();
    let mut all = Neighbours::default();
    for (epoch, ids) in audited.iter().enumerate() {
        // The last occurrence counts where an id comes back.
        let places: HashMap<u64, u64> = ids.iter().copied().zip(0..).collect();
        for stretch in &stretches {
            let common: Vec<u64> =
                stretch.iter().filter_map(|id| places.get(id).copied()).collect();
            if let Some(log10_p) = agreement(&common)
                && log10_p < least
            {
                return Some(format!(
                    "the {} ids that its order shares with epoch {epoch} stand in nearly the same \
                     order, or in reverse: log10 p {log10_p:.1}",
                    common.len()
                ));
            }
            let these = Neighbours::of(&common);
            if these.ln_chance() / std::f64::consts::LN_10 < least {
                return Some(format!(
                    "{} neighbours of epoch {epoch} are neighbours in its order too",
                    these.kept
                ));
            }
            all = all + these;
        }
    }
    // Many small blocks tell together what none of them tells alone.
    (all.ln_chance() / std::f64::consts::LN_10 < chance)
        .then(|| format!("{} neighbours of the order are neighbours in its too", all.kept))
}

/// The lists of `other` and all of them one after another, cut where an id comes back; and each such
/// list as a whole by the last occurrence of its ids.
fn stretches(other: &[Vec<u64>]) -> Vec<Vec<u64>> {
    let mut found: Vec<Vec<u64>> = Vec::new();
    let mut add = |list: Vec<u64>| {
        if !list.is_empty() && !found.contains(&list) {
            found.push(list);
        }
    };
    let joined = if other.len() > 1 { vec![other.concat()] } else { Vec::new() };
    for list in other.iter().chain(&joined) {
        let pieces = cut(list);
        if pieces.len() > 1 {
            let mut seen = HashSet::new();
            let mut last: Vec<u64> =
                list.iter().rev().copied().filter(|id| seen.insert(*id)).collect();
            last.reverse();
            add(last);
        }
        pieces.into_iter().for_each(&mut add);
    }
    found
}

/// A list cut before every id that the current piece has already: epoch by epoch, up to a tail that
/// was dropped.
fn cut(list: &[u64]) -> Vec<Vec<u64>> {
    let mut pieces = vec![Vec::new()];
    let mut seen = HashSet::new();
    for &id in list {
        if !seen.insert(id) {
            seen.clear();
            seen.insert(id);
            pieces.push(Vec::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(id);
        }
    }
    pieces
}

/// log10 of the two-sided p of places that stand in another order; `None` for too few.
fn agreement(places: &[u64]) -> Option<f64> {
    if (places.len() as u64) < FEWEST_EXAMPLES {
        return None;
    }
    let here: Vec<f64> = (0..places.len()).map(|place| place as f64).collect();
    Some(Query::new(places, &here).run().ok()?.log10_p)
}

/// Neighbours that stayed neighbours.
#[derive(Debug, Clone, Copy, Default)]
struct Neighbours {
    kept: u64,
    /// Most that are to be expected of independent orders: of k ids one in k follows its
    /// predecessor.
    expected: f64,
}

impl Neighbours {
    fn of(places: &[u64]) -> Self {
        let kept = places.windows(2).filter(|pair| pair[0] + 1 == pair[1]).count() as u64;
        Self { kept, expected: 1.0 - 1.0 / places.len().max(1) as f64 }
    }

    /// Chernoff's bound on the ln probability that a Poisson variable is as large.
    fn ln_chance(self) -> f64 {
        let kept = self.kept as f64;
        if kept <= self.expected {
            return 0.0;
        }
        kept - self.expected - kept * (kept / self.expected).ln()
    }
}

impl std::ops::Add for Neighbours {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { kept: self.kept + other.kept, expected: self.expected + other.expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::order::uniform_order;
    use ledger::seed::Seed;

    fn order(k: u64, n: u32) -> Vec<u64> {
        uniform_order(&Seed::from_integer(k).bytes, 0, n).into_iter().map(u64::from).collect()
    }

    fn refused(audited: &[Vec<u64>], other: &[Vec<u64>]) -> bool {
        let outcome = require_other(audited, other, "r");
        assert!(matches!(outcome, Ok(()) | Err(Refusal::DependentReference { .. })));
        outcome.is_err()
    }

    #[test]
    fn orders_that_were_drawn_apart_are_other_orders() {
        for k in 0..200 {
            let audited: Vec<Vec<u64>> = (0..3).map(|e| order(10 * k + e, 60)).collect();
            let other: Vec<Vec<u64>> = (3..7).map(|e| order(10 * k + e, 60)).collect();
            assert_eq!(require_other(&audited, &other, "r"), Ok(()), "{k}");
            // One list, and a table of steps.
            assert_eq!(require_other(&audited, &[other.concat()], "r"), Ok(()), "{k}");
            let steps: Vec<Vec<u64>> = other[0].chunks(4).map(<[u64]>::to_vec).collect();
            assert_eq!(require_other(&audited, &steps, "r"), Ok(()), "{k}");
        }
    }

    #[test]
    fn an_epoch_up_to_few_edits_is_the_same_order() {
        let (own, next) = (order(1, 400), order(2, 400));
        let mut swapped = own.clone();
        swapped.swap(3, 300);
        let mut reversed = own.clone();
        reversed.reverse();
        let mut within_steps = own.clone();
        within_steps.chunks_mut(16).for_each(<[u64]>::reverse);
        let mut rotated = own.clone();
        // By this share the rank correlation is 0.
        rotated.rotate_left(85);
        let shards: Vec<u64> =
            [3, 0, 2, 1].into_iter().flat_map(|k| own[100 * k..100 * k + 100].to_vec()).collect();
        let steps: Vec<Vec<u64>> = own.chunks(4).map(<[u64]>::to_vec).collect();
        let interleaved: Vec<Vec<u64>> = own.iter().zip(&next).map(|(a, b)| vec![*a, *b]).collect();
        for (what, other) in [
            ("itself", vec![own.clone()]),
            ("one swap", vec![swapped]),
            ("a dropped tail", vec![own[..370].to_vec()]),
            ("a dropped head", vec![own[30..].to_vec()]),
            ("reversed", vec![reversed]),
            ("shuffled within steps", vec![within_steps]),
            ("started from the middle", vec![rotated]),
            ("shards in another order", vec![shards]),
            ("two epochs in one list", vec![[next.clone(), own.clone()].concat()]),
            ("two cut epochs in one list", vec![[&next[..390], &own[..390]].concat()]),
            ("a list a step", steps),
            ("a column an epoch", interleaved),
        ] {
            assert!(refused(std::slice::from_ref(&own), &other), "{what}");
            assert!(refused(&[order(3, 400), own.clone()], &other), "{what}, second epoch");
            assert!(!refused(&[order(3, 400)], &other), "{what}, another order");
        }
    }

    #[test]
    fn small_blocks_tell_together_that_the_reference_met_them() {
        // 40 blocks of 5 ids in a fixed order, shuffled each within itself.
        let blocks = |k: u64| -> Vec<Vec<u64>> {
            (0..40)
                .map(|block| order(100 * k + block, 5).iter().map(|id| 5 * block + id).collect())
                .collect()
        };
        let (own, other) = (blocks(1), blocks(2));
        // An edit in every block, so that no block is the same.
        let edited: Vec<u64> = own
            .iter()
            .flat_map(|block| [block[1], block[2], block[3], block[4], block[0]])
            .collect();
        assert!(refused(&own, &[edited]));
        assert!(!refused(&own, &[other.concat()]));
        assert!(!refused(&own, &other));
        // Some of 40 blocks of 5 have the same order by chance.
        let twin = (2..20).find(|k| blocks(*k).iter().any(|block| own.contains(block)));
        assert!(!refused(&own, &blocks(twin.unwrap())));
        assert!(refused(&own, &own));
    }

    #[test]
    fn ids_that_are_not_shared_say_nothing() {
        let own = order(1, 50);
        let elsewhere: Vec<u64> = own.iter().map(|id| id + 1000).collect();
        assert!(!refused(std::slice::from_ref(&own), &[elsewhere]));
        assert!(!refused(&[own], &[vec![], vec![3]]));
        assert!(!refused(&[], &[vec![]]));
    }
}
