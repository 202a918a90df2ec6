//! The sweeps behind a suite's arms: pictures of value over setting, a table, a CSV of all trials.

use std::path::{Path, PathBuf};

use analysis::summary::tuning::{SweptArm, TuningAnalysis, WithSweep};

use crate::{ReportError, output, paint, text};

mod panels;
mod table;

pub(crate) use panels::figures;
pub(crate) use table::csv;

/// Writes `trials.csv`, `tuning.json` and the pictures as SVG and PNG into `out`; returns the paths, those of
/// the pictures first.
///
/// # Errors
/// When a figure cannot be drawn or the disk refuses.
pub fn render(tuning: &TuningAnalysis, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let mut files = Vec::new();
    for figure in figures(tuning) {
        files.push((figure.file("png"), paint::png(&figure)?));
        files.push((figure.file("svg"), paint::svg(&figure)?.into_bytes()));
    }
    let mut json = serde_json::to_vec_pretty(tuning)?;
    json.push(b'\n');
    files.push((PathBuf::from("trials.csv"), csv(tuning).into_bytes()));
    files.push((PathBuf::from("tuning.json"), json));
    files.into_iter().map(|(name, bytes)| output::write(&out.join(name), &bytes)).collect()
}

/// Columns of the table of sweeps.
pub(crate) const COLUMNS: [&str; 8] = [
    "Arm",
    "Chosen settings",
    "Trials",
    "Best value",
    "Expected best of half as many",
    "Sweep, train time",
    "Time to target",
    "With the sweep",
];

/// One row of it.
pub(crate) struct Row {
    pub(crate) cells: [String; 8],
    pub(crate) edge: Option<String>,
}

impl Row {
    /// A row per arm.
    pub(crate) fn all(tuning: &TuningAnalysis) -> Vec<Self> {
        tuning.arms.iter().map(|arm| Self { cells: cells(arm), edge: arm.edge_words() }).collect()
    }
}

fn cells(arm: &SweptArm) -> [String; 8] {
    let absent = || text::ABSENT.to_owned();
    let number = |value: f64| text::significant(value, 4);
    let times = |of: &dyn Fn(&WithSweep) -> Option<f64>| {
        let times = arm.with_sweep.iter().map(|with| of(with).map_or_else(absent, text::time));
        let times: Vec<_> = times.collect();
        if times.is_empty() { absent() } else { times.join("; ") }
    };
    [
        text::one_line(&arm.arm),
        text::one_line(&arm.chosen_words()),
        arm.trials.len().to_string(),
        arm.value.map_or_else(absent, number),
        arm.half_the_sweep()
            .map_or_else(absent, |(half, best)| format!("{} of {half}", number(best))),
        text::time(arm.seconds),
        times(&|with| with.seconds),
        times(&|with| with.seconds_with_sweep),
    ]
}

#[cfg(test)]
pub(crate) mod tests;
