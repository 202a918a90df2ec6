//! What is left of the scores when the difficulty of the examples is taken off by reference models.
//!
//! Valid for any reference that is independent of the order, because no position enters here.

use std::borrow::Cow;

use super::correlation::Pairing;
use super::{Adjust, Refusal};

/// Roundings of scores, reference, their mean and difference that may add up in one row.
const ROUNDINGS: f64 = 8.0;

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
    // A reference that is the scores plus a constant, or a line of them, leaves nothing but its own
    // rounding, in which the order of the rows may well show.
    let columns: Vec<&[f64]> = std::iter::once(scores).chain(references.iter().copied()).collect();
    let (what, noise) = match adjust {
        Adjust::Residual => ("the residual of the scores", relative_rounding(&columns)),
        _ => ("the difference of scores and reference", absolute_rounding(&columns)),
    };
    let (least, most) = range(&adjusted);
    if most - least <= noise {
        let value = if adjust == Adjust::Residual { 0.0 } else { adjusted[0] };
        return Err(Refusal::Constant { what: what.into(), value, hint: same_as_reference });
    }
    Ok(adjusted.into())
}

/// Smallest and largest value.
fn range(values: &[f64]) -> (f64, f64) {
    let start = (f64::INFINITY, f64::NEG_INFINITY);
    values.iter().fold(start, |(least, most), &value| (least.min(value), most.max(value)))
}

/// The relative rounding of numbers in the precision that they were stored in.
fn precision(columns: &[&[f64]]) -> f64 {
    let single = |value: &f64| f64::from(*value as f32) == *value;
    // One column in single precision has rounded, whatever the others are.
    if columns.iter().any(|column| column.iter().all(single)) {
        f64::from(f32::EPSILON)
    } else {
        f64::EPSILON
    }
}

/// The rounding that a difference of these columns may have, in their own unit.
fn absolute_rounding(columns: &[&[f64]]) -> f64 {
    let size = |column: &&[f64]| column.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    ROUNDINGS * precision(columns) * columns.iter().map(size).fold(0.0, f64::max)
}

/// The same for residuals of columns that are scaled to a spread near 1.
fn relative_rounding(columns: &[&[f64]]) -> f64 {
    let size = |column: &&[f64]| {
        let (least, most) = range(column);
        if most > least { least.abs().max(most.abs()) / (most - least) } else { 0.0 }
    };
    // The line itself is fitted in double precision.
    (ROUNDINGS * precision(columns) * columns.iter().map(size).sum::<f64>()).max(1e-13)
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
