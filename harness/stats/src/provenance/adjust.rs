//! What is left of the scores when the difficulty of the examples is taken off by reference models.
//!
//! Valid for any reference that is independent of the order, because no position enters here.

use std::borrow::Cow;

use super::correlation::Pairing;
use super::{Adjust, Refusal};

/// Below this share of the scores' spread, residuals are rounding noise.
const NOISE: f64 = 1e-13;

/// The scores after adjustment; borrowed where there is none.
///
/// Several references are averaged row by row. The residual is that of the least-squares line of
/// scores on the reference, up to a factor that no correlation sees.
///
/// # Errors
/// For scores or references that are not finite, constant or of other lengths, and when references
/// and adjustment do not fit together.
pub fn adjusted<'a>(
    adjust: Adjust,
    scores: &'a [f64],
    references: &[&[f64]],
) -> Result<Cow<'a, [f64]>, Refusal> {
    check_finite("scores", scores)?;
    if let Some(value) = only_value(scores) {
        return Err(Refusal::Constant { what: "scores".into(), value, hint: "" });
    }
    for (number, reference) in references.iter().enumerate() {
        let what = || format!("reference {number}");
        if reference.len() != scores.len() {
            let (expected, found) = (scores.len() as u64, reference.len() as u64);
            return Err(Refusal::Length { what: what(), expected, found });
        }
        check_finite(&what(), reference)?;
    }
    let (name, expects) = match adjust {
        Adjust::None => ("none", false),
        Adjust::Difference => ("difference", true),
        Adjust::Residual => ("residual", true),
    };
    if !expects && !references.is_empty() {
        return Err(Refusal::UnusedReference { references: references.len() as u64 });
    }
    if expects && references.is_empty() {
        return Err(Refusal::NoReference { adjust: name });
    }
    let adjusted: Vec<f64> = match adjust {
        Adjust::None => return Ok(scores.into()),
        Adjust::Difference => scores
            .iter()
            .zip(mean_reference(references))
            .map(|(score, mean)| score - mean)
            .collect(),
        Adjust::Residual => {
            let reference: Vec<f64> = mean_reference(references).collect();
            check_finite("the mean of the references", &reference)?;
            if let Some(value) = only_value(&reference) {
                return Err(Refusal::Constant {
                    what: "the mean of the references".into(),
                    value,
                    hint: "; adjust by difference or not at all",
                });
            }
            Pairing::of(&reference, scores).residuals()
        }
    };
    check_finite("the adjusted scores", &adjusted)?;
    let same_as_reference = "; they may be the reference's own";
    if let Some(value) = only_value(&adjusted) {
        let what = "the adjusted scores".into();
        return Err(Refusal::Constant { what, value, hint: same_as_reference });
    }
    if adjust == Adjust::Residual && adjusted.iter().all(|value| value.abs() < NOISE) {
        let what = "the residual of the scores".into();
        return Err(Refusal::Constant { what, value: 0.0, hint: same_as_reference });
    }
    Ok(adjusted.into())
}

fn mean_reference<'a>(references: &'a [&[f64]]) -> impl Iterator<Item = f64> + 'a {
    let rows = references.first().map_or(0, |reference| reference.len());
    (0..rows).map(|row| {
        let sum: f64 = references.iter().map(|reference| reference[row]).sum();
        sum / references.len() as f64
    })
}

/// Refuses a NaN or an infinity by its row.
pub(super) fn check_finite(what: &str, values: &[f64]) -> Result<(), Refusal> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => {
            Err(Refusal::NotFinite { what: what.into(), index: index as u64, value: values[index] })
        }
    }
}

/// The value that all entries share, if they do.
pub(super) fn only_value(values: &[f64]) -> Option<f64> {
    let (first, rest) = values.split_first()?;
    rest.iter().all(|value| value == first).then_some(*first)
}
