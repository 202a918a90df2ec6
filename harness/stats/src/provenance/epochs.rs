//! One test per independent epoch order, and their combination with more weight on later epochs.
//!
//! Fresh orders in E epochs are E independent randomisations, so that under the null the E tests of
//! one suspect are independent given its scores. The signal sits in the last epochs. If every epoch
//! repeats the same order there is one randomisation and one test: use [`Query::run`].

use std::f64::consts::LN_10;

use serde::{Deserialize, Serialize};

use super::{Finding, Query, Refusal, Tail, combine, ranks};

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
    /// Its weight in the combination, γ^(E-1-epoch).
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
    /// One row per epoch, first to last.
    pub rows: Vec<EpochRow>,
}

/// Tests each epoch's query and combines the tests by weighted Stouffer.
///
/// `epochs` are the number of an epoch and its query: the positions in its own order of the rows
/// that it saw, all else as in the other epochs. The finding's statistic is the weighted mean of the epochs' and its p-value that of the combination;
/// its ties are those of the last epoch.
///
/// # Errors
/// As [`Query::run`], for each epoch; for fewer than two epochs, for two that are the same order,
/// and for a γ outside (0, 1].
pub fn by_epoch(epochs: &[(u32, Query)], gamma: f64) -> Result<Finding, Refusal> {
    if !(gamma > 0.0 && gamma <= 1.0) {
        let range = "above 0 and at most 1";
        return Err(Refusal::OutOfRange { what: "gamma", value: gamma, range });
    }
    let [(_, query), _, ..] = epochs else {
        return Err(Refusal::TooFewOf {
            what: "a combination over epochs",
            needed: 2,
            of: "epochs",
            found: epochs.len() as u64,
        });
    };
    refuse_repeats(epochs)?;
    let (mut rows, mut tests) = (Vec::new(), Vec::new());
    let (mut ties, mut warnings) = (0, Vec::new());
    for (place, (epoch, query)) in epochs.iter().enumerate() {
        let measured = query.measure()?;
        let back = (epochs.len() - 1 - place) as i32;
        let weight = gamma.powi(back);
        let ln_p = query.tail.of(&measured.tails);
        rows.push(EpochRow {
            epoch: *epoch,
            n: query.positions.len() as u64,
            statistic: measured.correlation.r,
            weight,
            p: ln_p.exp(),
            log10_p: ln_p / LN_10,
            exact: measured.exact,
        });
        tests.push((measured.tails, weight));
        ties = measured.correlation.ties;
        for warning in measured.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    let tails = combine::stouffer(&tests)?;
    let weights: f64 = rows.iter().map(|row| row.weight).sum();
    let mean = rows.iter().map(|row| row.weight * row.statistic).sum::<f64>() / weights;
    if query.tail == Tail::TwoSided && rows.iter().any(|row| row.statistic * mean < 0.0) {
        warnings.push("the epochs do not all have the same sign; opposite signs cancel".into());
    }
    let found = super::correlation::Correlation { r: mean, complement: 1.0 - mean * mean, ties };
    let mut finding = query.finding(&found, query.tail.of(&tails));
    finding.n = rows.last().map_or(0, |row| row.n);
    finding.warnings = warnings;
    finding.epochs = Some(EpochTable { gamma, rows });
    Ok(finding)
}

/// Two epochs of one order are one randomisation; combining them would count it twice.
fn refuse_repeats(epochs: &[(u32, Query)]) -> Result<(), Refusal> {
    let ranks = |(_, query): &(u32, Query)| ranks::of_positions(query.positions);
    let ranked: Vec<Vec<i64>> = epochs.iter().map(ranks).collect();
    for (second, order) in ranked.iter().enumerate() {
        if let Some(first) = ranked[..second].iter().position(|other| other == order) {
            return Err(Refusal::RepeatedOrder { first: first as u64, second: second as u64 });
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

    #[test]
    fn a_signal_in_the_last_epoch_is_found_and_later_epochs_weigh_more() {
        let epochs: Vec<Vec<u64>> = (0..3).map(|epoch| order(epoch, 400)).collect();
        let noise = order(9, 400);
        let scores: Vec<f64> =
            epochs[2].iter().zip(&noise).map(|(p, z)| *z as f64 - 0.5 * *p as f64).collect();
        let columns: Vec<(u32, Query)> =
            (0..).zip(epochs.iter().map(|order| Query::new(order, &scores))).collect();
        let recent = by_epoch(&columns, 0.3).unwrap();
        let even = by_epoch(&columns, 1.0).unwrap();
        let table = recent.epochs.as_ref().unwrap();
        assert_eq!(table.rows.iter().map(|row| row.epoch).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(table.rows[0].p > 0.01 && table.rows[1].p > 0.01, "{table:?}");
        assert!(table.rows[2].log10_p < -10.0);
        assert!(recent.log10_p < even.log10_p && even.log10_p < -4.0, "{recent:?} {even:?}");
        assert!(recent.direction.starts_with("negative"));
    }

    #[test]
    fn the_same_order_twice_is_one_randomisation_and_refused() {
        let (one, two) = (order(0, 50), order(1, 50));
        let scores: Vec<f64> = order(2, 50).into_iter().map(|score| score as f64).collect();
        let [one, two] = [&one, &two].map(|order| Query::new(order, &scores));
        let refusal =
            by_epoch(&[(0, one.clone()), (1, two.clone()), (2, one.clone())], 0.5).unwrap_err();
        assert_eq!(refusal, Refusal::RepeatedOrder { first: 0, second: 2 });
        assert!(matches!(by_epoch(&[(0, one.clone())], 0.5), Err(Refusal::TooFewOf { .. })));
        for gamma in [0.0, 1.5, f64::NAN] {
            let refusal = by_epoch(&[(0, one.clone()), (1, two.clone())], gamma);
            assert!(matches!(refusal, Err(Refusal::OutOfRange { what: "gamma", .. })));
        }
    }
}
