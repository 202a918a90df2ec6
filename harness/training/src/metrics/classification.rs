//! Metrics of a classifier on one split, from its logits.

use std::collections::BTreeMap;

use tch::Kind;

use lab::LabError;
use lab::network::{Network, values};
use lab::split::Split;

/// Largest number of examples evaluated at once.
const CHUNK: i64 = 1_000;

/// Bins of the expected calibration error: (lo, hi], equal width.
const BINS: usize = 10;

/// Accuracy, NLL, ECE and AURC of `network` on `split`, in eval mode.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn evaluate(network: &Network, split: &Split) -> Result<BTreeMap<String, f64>, LabError> {
    tch::no_grad(|| {
        let count = split.len();
        let (mut confidences, mut correct, mut nll) = (Vec::new(), Vec::new(), 0.0);
        let mut start = 0;
        while start < count {
            let length = CHUNK.min(count - start);
            let (inputs, labels) = split.rows(start, length)?;
            let log_probabilities =
                network.forward(&inputs, false)?.f_log_softmax(-1, Kind::Float)?;
            let (top, classes) = log_probabilities.f_max_dim(-1, false)?;
            let own = log_probabilities.f_gather(1, &labels.f_unsqueeze(1)?, false)?;
            nll -= values(&own)?.iter().map(|&value| f64::from(value)).sum::<f64>();
            confidences.extend(values(&top.f_exp()?)?);
            correct.extend(values(&classes.f_eq_tensor(&labels)?)?.iter().map(|&hit| hit > 0.5));
            start += length;
        }
        #[expect(clippy::cast_precision_loss, reason = "split sizes are far below 2^52")]
        let n = count as f64;
        let hits = correct.iter().filter(|hit| **hit).count();
        #[expect(clippy::cast_precision_loss, reason = "split sizes are far below 2^52")]
        let accuracy = hits as f64 / n;
        Ok(BTreeMap::from([
            ("accuracy".to_owned(), accuracy),
            ("nll".to_owned(), nll / n),
            ("ece".to_owned(), expected_calibration_error(&confidences, &correct)),
            ("aurc".to_owned(), area_under_risk_coverage(&confidences, &correct)),
        ]))
    })
}

/// Σ_b |acc(b) − conf(b)|·n_b/n over equal bins (lo, hi] of the top probability.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "confidence lies in 0..=1"
)]
pub fn expected_calibration_error(confidences: &[f32], correct: &[bool]) -> f64 {
    let mut bins = [(0.0, 0.0); BINS];
    for (&confidence, &hit) in confidences.iter().zip(correct) {
        let confidence = f64::from(confidence);
        let bin = ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        bins[bin].0 += confidence;
        bins[bin].1 += f64::from(u8::from(hit));
    }
    bins.iter().map(|(confidence, hits)| (confidence - hits).abs()).sum::<f64>()
        / confidences.len() as f64
}

/// Area under the risk–coverage curve: mean over k of the error rate among the k most confident.
/// Ties keep dataset order.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn area_under_risk_coverage(confidences: &[f32], correct: &[bool]) -> f64 {
    let mut ranked: Vec<usize> = (0..confidences.len()).collect();
    ranked.sort_by(|&a, &b| confidences[b].total_cmp(&confidences[a]));
    let (mut errors, mut area) = (0.0, 0.0);
    for (taken, &index) in ranked.iter().enumerate() {
        errors += f64::from(u8::from(!correct[index]));
        area += errors / (taken + 1) as f64;
    }
    area / confidences.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfectly_calibrated_bin_has_no_error() {
        let ece = expected_calibration_error(&[0.75; 4], &[true, true, true, false]);
        assert!(ece.abs() < 1e-12);
    }

    #[test]
    fn calibration_error_weights_bins_by_their_size() {
        // Bin (0.9, 1]: 2 at 1.0, one wrong: |2 − 1|; bin (0.5, 0.6]: 2 at 0.6, none right: 1.2.
        let ece = expected_calibration_error(&[1.0, 1.0, 0.6, 0.6], &[true, false, false, false]);
        assert!((ece - (1.0 + 1.2) / 4.0).abs() < 1e-6, "{ece}");
    }

    #[test]
    fn ranking_errors_last_gives_the_smallest_area() {
        let area = |correct: &[bool]| area_under_risk_coverage(&[0.9, 0.8, 0.7, 0.6], correct);
        assert!((area(&[true, true, true, false]) - 0.25 / 4.0).abs() < 1e-12);
        let worst = area(&[false, true, true, true]);
        assert!((worst - (1.0 + 0.5 + 1.0 / 3.0 + 0.25) / 4.0).abs() < 1e-12);
    }
}
