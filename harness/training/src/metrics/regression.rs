//! Metrics of one number per example, on one split.

use std::collections::BTreeMap;

use lab::LabError;
use lab::network::{Network, values};
use lab::split::Split;

/// Largest number of examples evaluated at once.
const CHUNK: i64 = 1_000;

/// How labels were standardised before they were trained on: y = (label − mean)/deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Mean of the labels.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
}

/// R² of `network` on `split`, in eval mode, with root-mean-square and mean absolute error in the labels' own units.
///
/// R² = 1 − Σ(f − y)²/Σ(y − ȳ)², ȳ the split's own mean; where all labels are one, 1 if nothing is wrong, else 0.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn evaluate(
    network: &Network,
    split: &Split,
    scale: Scale,
) -> Result<BTreeMap<String, f64>, LabError> {
    let (mut outputs, mut labels) = (Vec::new(), Vec::new());
    tch::no_grad(|| {
        let mut start = 0;
        while start < split.len() {
            let length = CHUNK.min(split.len() - start);
            let (inputs, numbers) = split.rows(start, length)?;
            outputs.extend(values(&network.forward(&inputs, false)?.f_view([-1])?)?);
            labels.extend(values(&numbers)?);
            start += length;
        }
        Ok::<_, LabError>(())
    })?;
    Ok(of(&outputs, &labels, scale))
}

fn of(outputs: &[f32], labels: &[f32], scale: Scale) -> BTreeMap<String, f64> {
    let n = labels.len().max(1) as f64;
    let mean = labels.iter().map(|&label| f64::from(label)).sum::<f64>() / n;
    let (mut squares, mut absolute, mut total) = (0.0, 0.0, 0.0);
    for (&output, &label) in outputs.iter().zip(labels) {
        let error = f64::from(output) - f64::from(label);
        squares += error * error;
        absolute += error.abs();
        total += (f64::from(label) - mean).powi(2);
    }
    let explained = match total {
        0.0 => f64::from(u8::from(squares == 0.0)),
        total => 1.0 - squares / total,
    };
    BTreeMap::from([
        ("r2".to_owned(), explained),
        ("rmse".to_owned(), (squares / n).sqrt() * scale.deviation),
        ("mae".to_owned(), absolute / n * scale.deviation),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_in_the_labels_units_and_the_mean_explains_nothing() {
        let scale = Scale { mean: 100.0, deviation: 10.0 };
        let metrics = of(&[1.0, 0.0, -1.0], &[1.0, 2.0, -3.0], scale);
        // Errors 0, 2, 2; around the mean 0 the labels have 1 + 4 + 9.
        assert!((metrics["r2"] - (1.0 - 8.0 / 14.0)).abs() < 1e-12);
        assert!((metrics["rmse"] - 10.0 * (8.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((metrics["mae"] - 10.0 * 4.0 / 3.0).abs() < 1e-12);
        assert_eq!(of(&[0.0; 3], &[1.0, 2.0, -3.0], scale)["r2"], 0.0);
        assert_eq!(of(&[2.0; 2], &[2.0; 2], scale)["r2"], 1.0);
        assert_eq!(of(&[1.0; 2], &[2.0; 2], scale)["r2"], 0.0);
    }
}
