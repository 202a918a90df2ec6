//! One test per independent epoch order, and their combination with more weight on later epochs.
//!
//! Fresh orders in E epochs are E independent randomisations, so that under the null the E tests of
//! one suspect are independent given its scores. The signal sits in the last epochs. If every epoch
//! repeats the same order there is one randomisation and one test: use [`Query::run`].

use std::f64::consts::LN_10;

use serde::{Deserialize, Serialize};

use super::permutation::Method;
use super::reference_order::dependence;
use super::{Draws, Finding, Query, Refusal, Tail, combine};

/// The recency factor where none is given: each epoch back counts half.
pub const DEFAULT_GAMMA: f64 = 0.5;

/// The test against one epoch's order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRow {
    /// Number of the epoch, from 0.
    pub epoch: u32,
    /// Examples that were seen in it.
    pub n: u64,
    /// The coefficient.
    pub statistic: f64,
    /// Its weight in the combination: γ^(epochs back)·sqrt(n/largest n).
    pub weight: f64,
    /// p of the query's alternative; may underflow to 0.
    pub p: f64,
    /// log10 of it.
    pub log10_p: f64,
    /// Exact under the null.
    pub exact: bool,
}

/// The tests of all epochs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochTable {
    /// Recency factor γ in (0, 1].
    pub gamma: f64,
    /// One row per epoch, or per block where blocks were shuffled, first to last.
    pub rows: Vec<EpochRow>,
}

/// An epoch, or a block of one, as a part of a combination.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// Its number.
    pub epoch: u32,
    /// Epochs after the one it belongs to; blocks of one epoch have the same.
    pub back: u32,
    /// Ids in the order consumed.
    pub ids: &'a [u64],
    /// The positions in this order of the rows that it saw, all else as in the other parts.
    pub query: Query<'a>,
}

/// Tests each part's query and combines the tests by weighted Stouffer.
///
/// The weight is γ^back·sqrt(n/N), where n are the examples of the part and N those of the largest:
/// deviates of one association grow with sqrt(n), so that a cut epoch and a small block count by
/// what they can tell. The finding's statistic is the weighted mean of the parts' and its p-value
/// that of the combination; n are the examples of the last epoch, over all of its blocks, and so are
/// the ties.
///
/// # Errors
/// As [`Query::run`], for each part; for fewer than two parts, for two epochs that have the same
/// order up to few edits, and for a γ outside (0, 1].
pub fn by_epoch(parts: &[Part], gamma: f64) -> Result<Finding, Refusal> {
    let weights = checked_weights(parts, gamma)?;
    let (mut rows, mut tests) = (Vec::new(), Vec::new());
    let (mut ties, mut warnings, mut saddlepoint) = (0, Vec::new(), false);
    for (part, weight) in parts.iter().zip(weights) {
        let measured = part.query.measure()?;
        let ln_p = part.query.tail.of(&measured.tails);
        let exact = measured.method == Method::Exact;
        rows.push(row(part, measured.correlation.r, weight, ln_p, exact));
        saddlepoint |= measured.method == Method::Saddlepoint;
        tests.push((measured.tails, weight));
        ties += if part.back == 0 { measured.correlation.ties } else { 0 };
        for warning in measured.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    let tails = combine::stouffer(&tests)?;
    let query = &parts[0].query;
    let mut finding = combined(parts, rows, gamma, ties, query.tail.of(&tails));
    finding.saddlepoint = saddlepoint;
    finding.warnings.splice(0..0, warnings);
    Ok(finding)
}

/// The combination by drawn orders: every draw gives every part a fresh order of its own.
///
/// What is compared is Z = Σ w z / sqrt(Σ w²), where z is the part's coefficient divided by its
/// standard deviation over all orders (r·sqrt(n-1) for Spearman and Pearson) and w the weights of
/// [`by_epoch`]; two-sided |Z|. That is Stouffer's sum with z in place of the deviate of p, from
/// which it differs far out in the tail only, where draws do not reach. p = (b+1)/(T+1) holds for any
/// statistic.
///
/// # Errors
/// As [`by_epoch`], and for 0 draws.
pub(super) fn by_epoch_drawn(parts: &[Part], gamma: f64, draws: Draws) -> Result<Finding, Refusal> {
    let weights = checked_weights(parts, gamma)?;
    let queries: Vec<&Query> = parts.iter().map(|part| &part.query).collect();
    let drawn = super::monte_carlo::of_parts(&queries, &weights, draws)?;
    let rows = parts.iter().zip(weights).zip(&drawn.parts);
    let rows = rows.map(|((part, weight), (found, ln_p))| row(part, found.r, weight, *ln_p, false));
    let rows: Vec<EpochRow> = rows.collect();
    let last = parts.iter().zip(&drawn.parts).filter(|(part, _)| part.back == 0);
    let ties = last.map(|(_, (found, _))| found.ties).sum();
    let mut finding = combined(parts, rows, gamma, ties, drawn.ln_p);
    finding.monte_carlo = Some(draws);
    finding.warnings.splice(0..0, drawn.warning);
    Ok(finding)
}

fn row(part: &Part, statistic: f64, weight: f64, ln_p: f64, exact: bool) -> EpochRow {
    EpochRow {
        epoch: part.epoch,
        n: part.query.positions.len() as u64,
        statistic,
        weight,
        p: ln_p.exp(),
        log10_p: ln_p / LN_10,
        exact,
    }
}

fn combined(parts: &[Part], rows: Vec<EpochRow>, gamma: f64, ties: u64, ln_p: f64) -> Finding {
    let query = &parts[0].query;
    let weights: f64 = rows.iter().map(|row| row.weight).sum();
    let mean = rows.iter().map(|row| row.weight * row.statistic).sum::<f64>() / weights;
    let found = super::correlation::Correlation { r: mean, complement: 1.0 - mean * mean, ties };
    let mut finding = query.finding(&found, ln_p);
    let last = parts.iter().zip(&rows).filter(|(part, _)| part.back == 0);
    finding.n = last.map(|(_, row)| row.n).sum();
    // A block is no epoch: chance alone turns the sign of some of many small ones.
    let blocks = parts.windows(2).any(|pair| pair[0].back == pair[1].back);
    if query.tail == Tail::TwoSided && !blocks && rows.iter().any(|row| row.statistic * mean < 0.0)
    {
        finding
            .warnings
            .push("the epochs do not all have the same sign; opposite signs cancel".into());
    }
    finding.epochs = Some(EpochTable { gamma, rows });
    finding
}

/// The weight of each part, after the checks that all combinations share.
fn checked_weights(parts: &[Part], gamma: f64) -> Result<Vec<f64>, Refusal> {
    if !(gamma > 0.0 && gamma <= 1.0) {
        let range = "above 0 and at most 1";
        return Err(Refusal::OutOfRange { what: "gamma", value: gamma, range });
    }
    if parts.len() < 2 {
        return Err(Refusal::TooFewOf {
            what: "a combination over epochs",
            needed: 2,
            of: "epochs",
            found: parts.len() as u64,
        });
    }
    refuse_repeats(parts)?;
    let sizes: Vec<f64> = parts.iter().map(|part| part.query.positions.len() as f64).collect();
    let largest = sizes.iter().copied().fold(1.0, f64::max);
    let weight =
        |(part, size): (&Part, &f64)| gamma.powi(part.back as i32) * (size / largest).sqrt();
    Ok(parts.iter().zip(&sizes).map(weight).collect())
}

/// Ids of an epoch that are compared with those of the others; many more tell no more.
const COMPARED: usize = 4096;

/// Two epochs of one order are one randomisation; combining them would count it twice. A sampler
/// that is not told of the epoch repeats its order, and the last time perhaps not to the end.
fn refuse_repeats(parts: &[Part]) -> Result<(), Refusal> {
    let longest = parts.iter().map(|part| part.ids.len()).max().unwrap_or(0);
    // The same ids of every epoch: by a hash, so that they are no stretch of the data.
    let share = u64::MAX / longest.div_ceil(COMPARED).max(1) as u64;
    let kept = |id: &u64| id.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) <= share;
    let epochs: Vec<(usize, Vec<Vec<u64>>)> = parts
        .chunk_by(|a, b| a.back == b.back)
        .scan(0, |next, blocks| {
            let first = *next;
            *next += blocks.len();
            let thin = |part: &Part| part.ids.iter().copied().filter(kept).collect();
            Some((first, blocks.iter().map(thin).collect()))
        })
        .collect();
    let tries = (epochs.len() * epochs.len() / 2).max(1);
    for (later, (second, order)) in epochs.iter().enumerate() {
        for (first, earlier) in &epochs[..later] {
            if dependence(earlier, order, tries).is_some() {
                let (first, second) = (*first as u64, *second as u64);
                return Err(Refusal::RepeatedOrder { first, second });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::order::uniform_order;
    use ledger::seed::Seed;

    fn order(epoch: u32, n: u32) -> Vec<u64> {
        uniform_order(&Seed::from_integer(3).bytes, epoch, n).into_iter().map(u64::from).collect()
    }

    fn parts<'a>(orders: &'a [Vec<u64>], queries: Vec<Query<'a>>) -> Vec<Part<'a>> {
        let last = orders.len() as u32 - 1;
        let parts = (0..).zip(orders).zip(queries);
        parts.map(|((epoch, ids), query)| Part { epoch, back: last - epoch, ids, query }).collect()
    }

    /// Position by id.
    fn inverse(ids: &[u64]) -> Vec<u64> {
        let mut positions = vec![0; ids.len()];
        (0..).zip(ids).for_each(|(place, id)| positions[*id as usize] = place);
        positions
    }

    #[test]
    fn a_signal_in_the_last_epoch_is_found_and_later_epochs_weigh_more() {
        let orders: Vec<Vec<u64>> = (0..3).map(|epoch| order(epoch, 400)).collect();
        let positions: Vec<Vec<u64>> = orders.iter().map(|ids| inverse(ids)).collect();
        let noise = order(9, 400);
        let scores: Vec<f64> =
            positions[2].iter().zip(&noise).map(|(p, z)| *z as f64 - 0.5 * *p as f64).collect();
        let queries = positions.iter().map(|places| Query::new(places, &scores)).collect();
        let parts = parts(&orders, queries);
        let recent = by_epoch(&parts, 0.3).unwrap();
        let even = by_epoch(&parts, 1.0).unwrap();
        let table = recent.epochs.as_ref().unwrap();
        assert_eq!(table.rows.iter().map(|row| row.epoch).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(table.rows.iter().map(|row| row.weight).collect::<Vec<_>>(), [0.09, 0.3, 1.0]);
        assert!(table.rows[0].p > 0.01 && table.rows[1].p > 0.01, "{table:?}");
        assert!(table.rows[2].log10_p < -10.0);
        assert!(recent.log10_p < even.log10_p && even.log10_p < -4.0, "{recent:?} {even:?}");
        assert!(recent.direction.starts_with("negative"));
    }

    #[test]
    fn the_same_order_twice_is_one_randomisation_and_refused() {
        let (one, two) = (order(0, 50), order(1, 50));
        let scores: Vec<f64> = order(2, 50).into_iter().map(|score| score as f64).collect();
        let mut edited = one.clone();
        edited.swap(4, 40);
        for (what, third) in
            [("again", one.clone()), ("cut short", one[..30].to_vec()), ("one swap", edited)]
        {
            let orders = [one.clone(), two.clone(), third];
            let queries = orders.iter().map(|ids| Query::new(ids, &scores[..ids.len()])).collect();
            let refusal = by_epoch(&parts(&orders, queries), 0.5).unwrap_err();
            assert_eq!(refusal, Refusal::RepeatedOrder { first: 0, second: 2 }, "{what}");
        }
        let orders = [one, two];
        let queries: Vec<Query> = orders.iter().map(|ids| Query::new(ids, &scores)).collect();
        let parts = parts(&orders, queries);
        assert!(matches!(by_epoch(&parts[..1], 0.5), Err(Refusal::TooFewOf { .. })));
        for gamma in [0.0, 1.5, f64::NAN] {
            let refusal = by_epoch(&parts, gamma);
            assert!(matches!(refusal, Err(Refusal::OutOfRange { what: "gamma", .. })));
        }
    }

    #[test]
    fn a_part_weighs_by_the_root_of_its_size() {
        let orders = [order(0, 100), order(1, 100)[..25].to_vec()];
        let scores: Vec<f64> = order(2, 100).into_iter().map(|score| score as f64).collect();
        let queries = orders.iter().map(|ids| Query::new(ids, &scores[..ids.len()])).collect();
        let found = by_epoch(&parts(&orders, queries), 1.0).unwrap();
        let weights: Vec<f64> = found.epochs.unwrap().rows.iter().map(|row| row.weight).collect();
        assert_eq!((weights, found.n), (vec![1.0, 0.5], 25));
    }
}
