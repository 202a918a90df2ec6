//! Figures and tables of order estimates: predicted against retrained losses, the growth of the
//! error, the best orders of a search, recency curves, and the examples that help and harm.

pub mod curves;
mod examples;
mod influence;
mod ranking;
pub mod scatter;
pub mod strip;

use std::path::{Path, PathBuf};

use crate::ReportError;
use crate::figure::{Colour, Figure};
use stats::estimates::results::{
    Attribution, CurriculaResult, Dropped, Prediction, RecencyCurves, SearchResult, Validation,
};
use stats::estimates::search::Verified;

/// Predicted losses of orders: `estimate-prediction` as PNG, SVG, CSV and JSON.
///
/// # Errors
/// When a figure cannot be drawn or a file cannot be written.
pub fn prediction(found: &Prediction, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let verdict = found.source.validity.verdict;
    let mut table =
        "rank,order,validity,held_out,corrected,low,high,better_than_reference,items\n".to_owned();
    for (rank, row) in found.ranking().into_iter().enumerate() {
        let row = &found.rows[row];
        let (low, high) = (row.interval.map(|at| at.low), row.interval.map(|at| at.high));
        let numbers = [row.held_out, row.corrected, low, high, row.better_than_reference];
        let numbers = numbers.map(cell).join(",");
        let items: Vec<String> = row.order.flat().iter().map(u32::to_string).collect();
        table += &format!("{},{},{verdict},{numbers},{}\n", rank + 1, row.hash, items.join(" "));
    }
    crate::provenance::write(&ranking::figure(found), table, found, out)
}

/// Estimators held to true runs, the first with its figure.
///
/// # Errors
/// When a figure cannot be drawn or a file cannot be written.
pub fn validations(all: &[Validation], out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let mut paths = Vec::new();
    for found in all {
        paths
            .extend(scatter::render(found, &out.join(crate::text::slug(&found.source.estimator)))?);
    }
    Ok(paths)
}

/// The best orders of a search.
///
/// # Errors
/// When a figure cannot be drawn or a file cannot be written.
pub fn search(found: &SearchResult, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    strip::render(found, out)
}

/// Rules that orders are chosen by: `estimate-curricula` as CSV and JSON.
///
/// # Errors
/// When a file cannot be written.
pub fn curricula(found: &CurriculaResult, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let mut table =
        "rule,estimate,sd,trained,searched_in_sd,searched_low,searched_high,elsewhere_in_sd,\
         elsewhere_low,elsewhere_high\n"
            .to_owned();
    let of = |verified: Option<&Verified>| {
        let at = verified.and_then(Verified::interval_in_sd);
        let numbers =
            [verified.map(|one| one.difference_in_sd), at.map(|at| at.low), at.map(|at| at.high)];
        numbers.map(cell).join(",")
    };
    for rule in &found.rules {
        let trained = rule.searched.as_ref().map_or(0, |one| one.best.len());
        let (searched, elsewhere) = (of(rule.searched.as_ref()), of(rule.elsewhere.as_ref()));
        table += &format!(
            "\"{}\",{},{},{trained},{searched},{elsewhere}\n",
            rule.name, rule.estimate, rule.sd
        );
    }
    table_and_json("estimate-curricula", table, found, out)
}

/// Losses by the place of an item.
///
/// # Errors
/// When a figure cannot be drawn or a file cannot be written.
pub fn recency(found: &RecencyCurves, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    curves::render(found, out)
}

/// Items by what leaving them out does: `estimate-drop` as PNG, SVG, CSV and JSON.
///
/// # Errors
/// When a figure cannot be drawn or a file cannot be written.
pub fn dropped(found: &Dropped, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let mut table = "item,change,low,high,ids\n".to_owned();
    for one in &found.alone {
        let ids: Vec<String> = one.ids.iter().map(u32::to_string).collect();
        let (low, high) = (one.interval.map(|at| at.low), one.interval.map(|at| at.high));
        let numbers = [one.change, low, high].map(cell).join(",");
        table += &format!("{},{numbers},{}\n", one.item, ids.join(" "));
    }
    crate::provenance::write(&examples::figure(found), table, found, out)
}

fn table_and_json(
    name: &str,
    table: String,
    found: &impl serde::Serialize,
    out: &Path,
) -> Result<Vec<PathBuf>, ReportError> {
    let mut json = serde_json::to_vec_pretty(found)?;
    json.push(b'\n');
    [("csv", table.into_bytes()), ("json", json)]
        .into_iter()
        .map(|(extension, bytes)| {
            crate::output::write(&out.join(format!("{name}.{extension}")), &bytes)
        })
        .collect()
}

/// Items by what their places do: `estimate-attribution` as PNG, SVG, CSV and JSON.
///
/// # Errors
/// When a figure cannot be drawn or a file cannot be written.
pub fn attribution(found: &Attribution, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let mut table = "item,range,sd,slope,low,high,best_position,p,flat\n".to_owned();
    for one in &found.ranked {
        table += &format!(
            "{},{},{},{},{},{},{},{},{}\n",
            one.item,
            one.range,
            one.sd,
            one.slope,
            one.slope_interval.low,
            one.slope_interval.high,
            one.best_position,
            one.p,
            one.flat
        );
    }
    crate::provenance::write(&influence::figure(found), table, found, out)
}

/// A filled rectangle from its left, top, right and bottom.
fn rectangle(figure: &mut Figure, [left, top, right, bottom]: [f64; 4], colour: Colour) {
    let corners = vec![(left, top), (right, top), (right, bottom), (left, bottom)];
    figure.area(corners, colour, 1.0);
}

/// From one colour (0) to another (1).
pub(crate) fn mix(from: Colour, to: Colour, share: f64) -> Colour {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let byte = |from: u8, to: u8| {
        let mixed = f64::from(from) + (f64::from(to) - f64::from(from)) * share;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between two bytes"
        )]
        let byte = mixed.round() as u8;
        byte
    };
    (byte(from.0, to.0), byte(from.1, to.1), byte(from.2, to.2))
}

/// A number for a table, or nothing where there is none.
fn cell(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

#[cfg(test)]
mod tests;
