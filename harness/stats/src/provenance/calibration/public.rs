//! The calibration that anybody can repeat: independent models against orders they never saw, many
//! fresh orders against one model, and every order of seven examples.

use serde::{Deserialize, Serialize};

use super::{Calibration, Enumeration, calibrate, enumerate_orders};
use crate::provenance::{Adjust, Metric, Query, Refusal};
use ledger::order::shuffle;
use ledger::seed::Seed;
use ledger::streams::Streams;

/// Kolmogorov-Smirnov p below which p-values do not count as uniform.
const KS_BAR: f64 = 0.01;

/// Examples that one model is tested on against many fresh orders; all of them as the last.
const SAMPLES: [usize; 2] = [50, 500];

/// Examples of which every order is visited.
const ENUMERATED: usize = 7;

/// Everything that was checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicCalibration {
    /// Workload that the models were trained on.
    pub workload: String,
    /// How they were trained.
    pub method: String,
    /// Training examples.
    pub examples: u64,
    /// Uniformity of p-values.
    pub checks: Vec<UniformityCheck>,
    /// Every order of seven examples, by coefficient.
    pub enumerations: Vec<EnumerationCheck>,
    /// All of them are as they must be.
    pub passed: bool,
}

/// p-values that must be uniform, and whether they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UniformityCheck {
    /// Whether each p is of a model of its own; else all are of one model.
    pub models: bool,
    /// Examples per test.
    pub examples: u64,
    /// Whether a reference was taken off.
    pub reference: bool,
    /// The comparison with U(0, 1).
    pub found: Calibration,
    /// KS p above 0.01 and both tail fractions within their bands.
    pub passed: bool,
    /// The p-values, as drawn.
    pub ps: Vec<f64>,
}

/// Every order of seven examples under one coefficient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnumerationCheck {
    /// The coefficient.
    pub metric: Metric,
    /// What was found.
    #[serde(flatten)]
    pub found: Enumeration,
}

/// Checks the query test on the losses of independently trained models, a row per model.
///
/// Model i is tested against a fresh uniform order of its own, without reference and with model
/// i + 1 (around the end) as the reference. The orders come from stream `calibration` of the
/// integer seed 0, keyed by the model; no training draws from it. Given all losses the p-values of
/// either kind are independent, because the orders are.
///
/// # Errors
/// For fewer than two models, rows of other lengths, or losses that no test can be made of.
pub fn public_calibration(
    workload: &str,
    method: &str,
    losses: &[Vec<f64>],
    permutations: u32,
) -> Result<PublicCalibration, Refusal> {
    let (Some(first), Some(second)) = (losses.first(), losses.get(1)) else {
        let (what, of, found) = ("a calibration", "models", losses.len() as u64);
        return Err(Refusal::TooFewOf { what, needed: 2, of, found });
    };
    let mut checks = Vec::new();
    for reference in [true, false] {
        let ps = models(losses, reference)?;
        checks.push(UniformityCheck::of(true, first.len(), reference, ps)?);
    }
    let sizes = SAMPLES.into_iter().filter(|size| *size < first.len()).chain([first.len()]);
    for size in sizes {
        let (scores, others) = (prefix(first, size), prefix(second, size));
        let positions: Vec<u64> = (0..size as u64).collect();
        let query = Query {
            references: vec![others],
            adjust: Adjust::Difference,
            ..Query::new(&positions, scores)
        };
        let found = super::fresh_permutations(&query, permutations, size as u64)?;
        let ps = found.into_iter().map(|finding| finding.p).collect();
        checks.push(UniformityCheck::of(false, size, true, ps)?);
    }
    let enumerations: Vec<EnumerationCheck> = Metric::ALL
        .iter()
        .map(|&metric| {
            let found = enumerate_orders(metric, prefix(first, ENUMERATED))?;
            Ok(EnumerationCheck { metric, found })
        })
        .collect::<Result<_, Refusal>>()?;
    let passed = checks.iter().all(|check| check.passed)
        && enumerations.iter().all(|check| check.found.valid);
    Ok(PublicCalibration {
        workload: workload.to_owned(),
        method: method.to_owned(),
        examples: first.len() as u64,
        checks,
        enumerations,
        passed,
    })
}

/// One p per model, each against an order of its own.
fn models(losses: &[Vec<f64>], reference: bool) -> Result<Vec<f64>, Refusal> {
    let streams = Streams::new(Seed::from_integer(0).bytes);
    let mut ps = Vec::with_capacity(losses.len());
    for (number, scores) in (0_u32..).zip(losses) {
        let mut order: Vec<u32> = (0..).take(scores.len()).collect();
        shuffle(&mut streams.keyed("calibration", number, 0), &mut order);
        let positions: Vec<u64> = order.into_iter().map(u64::from).collect();
        let mut query = Query::new(&positions, scores);
        if reference {
            let next = (number as usize + 1) % losses.len();
            query = Query { references: vec![&losses[next]], adjust: Adjust::Difference, ..query };
        }
        ps.push(query.run()?.p);
    }
    Ok(ps)
}

fn prefix(values: &[f64], size: usize) -> &[f64] {
    values.get(..size).unwrap_or(values)
}

impl UniformityCheck {
    fn of(models: bool, examples: usize, reference: bool, ps: Vec<f64>) -> Result<Self, Refusal> {
        let found = calibrate(&ps)?;
        let passed = found.ks_p > KS_BAR && found.tails.iter().all(|tail| tail.inside);
        Ok(Self { models, examples: examples as u64, reference, found, passed, ps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::streams::normal_f64;

    /// Losses of models that find the same examples hard.
    fn losses(models: u32) -> Vec<Vec<f64>> {
        let streams = Streams::new(Seed::from_integer(3).bytes);
        let mut shared = streams.generator("difficulty");
        let difficulty: Vec<f64> = (0..120).map(|_| normal_f64(&mut shared)).collect();
        let model = |number| {
            let mut own = streams.keyed("model", number, 0);
            difficulty.iter().map(|hard| hard + 0.1 * normal_f64(&mut own)).collect()
        };
        (0..models).map(model).collect()
    }

    #[test]
    fn independent_models_pass_every_check() {
        let found = public_calibration("w", "m", &losses(100), 300).unwrap();
        assert!(found.passed, "{:?}", found.checks.iter().map(|c| &c.found).collect::<Vec<_>>());
        let sizes: Vec<u64> = found.checks.iter().map(|check| check.examples).collect();
        assert_eq!(sizes, [120, 120, 50, 120]);
        assert_eq!(found.enumerations.len(), 3);
        assert!(found.enumerations.iter().all(|check| check.found.orders == 5040));
    }

    #[test]
    fn one_order_for_all_models_would_fail() {
        // What the check must not do: the models share what this order happens to correlate with.
        let losses = losses(100);
        let positions: Vec<u64> = (0..120).collect();
        let ps = losses.iter().map(|scores| Query::new(&positions, scores).run().unwrap().p);
        let check = UniformityCheck::of(true, 120, false, ps.collect()).unwrap();
        assert!(!check.passed && check.found.ks_p < 1e-6);
    }

    #[test]
    fn one_model_is_no_calibration() {
        assert!(public_calibration("w", "m", &losses(1), 100).is_err());
    }
}
