//! Recency curves: what the place of one item does.
//!
//! `curve[i][t]` is a loss after the order in which item i was moved to position t and the others
//! kept the reference's order among themselves. With the item's own loss it measures recency (how
//! much is forgotten), not whether the item was learnt at all; that is the absence curve's question.

use serde::{Deserialize, Serialize};

use super::EstimateError;
use super::agreement::spearman;
use super::error::{check_finite, check_length};
use super::moments::{mean, median, sd};

/// Spread of a curve below this share of its level is rounding.
const LEAST_OF_LEVEL: f64 = 1e-6;

/// Agreement of estimated with truly retrained curves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurveAgreement {
    /// R² over all items and positions, each curve centred by its own mean: levels of items differ
    /// by more than any order changes, and would hide what the position does.
    pub centred_r2: Option<f64>,
    /// Spearman correlation of each item's curve; `None` for flat curves.
    pub per_item: Vec<Option<f64>>,
    /// Median of them.
    pub median: Option<f64>,
    /// Smallest of them.
    pub min: Option<f64>,
    /// Items whose estimated or true curve is flat.
    pub flat: usize,
}

/// Which of the curves `[item][position]` vary by less than `noise` (a standard deviation, such as
/// that of the gate's residuals; 0 for rounding only).
#[must_use]
pub fn flat(curves: &[Vec<f64>], noise: f64) -> Vec<bool> {
    let is_flat = |curve: &Vec<f64>| {
        let spread = sd(curve);
        spread.is_nan() || spread <= noise.max(LEAST_OF_LEVEL * mean(curve).abs())
    };
    curves.iter().map(is_flat).collect()
}

/// Compares estimated curves `[item][position]` with truly retrained ones.
///
/// # Errors
/// For curves of different shapes and values that are not finite.
pub fn compare(
    estimated: &[Vec<f64>],
    retrained: &[Vec<f64>],
) -> Result<CurveAgreement, EstimateError> {
    check_length("estimated curves", estimated.len(), retrained.len())?;
    for (guess, truth) in estimated.iter().zip(retrained) {
        check_length("positions of an estimated curve", guess.len(), truth.len())?;
        check_finite("estimated loss at position", guess)?;
        check_finite("retrained loss at position", truth)?;
    }
    let (mut off, mut total) = (0.0, 0.0);
    for (guess, truth) in estimated.iter().zip(retrained) {
        let (middle_guess, middle_truth) = (mean(guess), mean(truth));
        for (guess, truth) in guess.iter().zip(truth) {
            let (guess, truth) = (guess - middle_guess, truth - middle_truth);
            off += (guess - truth).powi(2);
            total += truth.powi(2);
        }
    }
    let still: Vec<bool> = flat(estimated, 0.0)
        .into_iter()
        .zip(flat(retrained, 0.0))
        .map(|(guess, truth)| guess || truth)
        .collect();
    let mut per_item = Vec::with_capacity(retrained.len());
    for ((guess, truth), &still) in estimated.iter().zip(retrained).zip(&still) {
        per_item.push(if still { None } else { spearman(guess, truth)? });
    }
    let found: Vec<f64> = per_item.iter().flatten().copied().collect();
    Ok(CurveAgreement {
        centred_r2: (total > 0.0).then(|| 1.0 - off / total),
        median: (!found.is_empty()).then(|| median(&found)),
        min: found.iter().copied().reduce(f64::min),
        flat: per_item.iter().filter(|r| r.is_none()).count(),
        per_item,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn levels_of_items_do_not_count_as_agreement() {
        // Levels agree to a thousandth, what positions do not at all.
        let truth = [vec![10.0, 10.1, 10.2], vec![50.0, 50.1, 50.2]];
        let guess = [vec![10.2, 10.1, 10.0], vec![50.2, 50.1, 50.0]];
        let found = compare(&guess, &truth).unwrap();
        assert!((found.centred_r2.unwrap() + 3.0).abs() < 1e-9);
        assert_eq!((found.median, found.min), (Some(-1.0), Some(-1.0)));
    }

    #[test]
    fn flat_curves_are_counted_and_not_correlated() {
        let truth = [vec![1.0, 2.0, 3.0, 4.0], vec![5.0; 4]];
        let guess = [vec![1.5, 2.0, 3.0, 4.5], vec![5.0, 5.1, 5.2, 5.3]];
        let found = compare(&guess, &truth).unwrap();
        assert_eq!(found.per_item, [Some(1.0), None]);
        assert_eq!(found.flat, 1);
        assert_eq!(flat(&truth, 2.0), [true, true]);
        assert_eq!(flat(&truth, 1.0), [false, true]);
    }

    #[test]
    fn curves_of_other_shapes_are_refused() {
        let refused = compare(&[vec![1.0]], &[vec![1.0, 2.0]]).unwrap_err().to_string();
        assert_eq!(refused, "positions of an estimated curve: 1 values where 2 belong");
        let refused = compare(&[vec![f64::NAN]], &[vec![1.0]]).unwrap_err().to_string();
        assert_eq!(refused, "estimated loss at position 0 is NaN: it must be a finite number");
    }

    proptest! {
        #[test]
        fn a_shifted_curve_agrees_fully(
            curve in prop::collection::vec(-9.0_f64..9.0, 3..12), shift in -4.0_f64..4.0,
        ) {
            prop_assume!(sd(&curve) > 0.1);
            let shifted: Vec<f64> = curve.iter().map(|loss| loss + shift).collect();
            let found = compare(&[shifted], &[curve]).unwrap();
            prop_assert!(found.centred_r2.unwrap() > 1.0 - 1e-9);
            prop_assert!(found.median.unwrap() > 1.0 - 1e-9);
        }
    }
}
