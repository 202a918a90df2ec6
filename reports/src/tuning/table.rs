//! All trials as RFC 4180 CSV.

use analysis::suite::shown;
use analysis::summary::tuning::TuningAnalysis;

use crate::csv::Table;

const COLUMNS: [&str; 12] = [
    "arm",
    "trial",
    "round",
    "settings",
    "chosen",
    "share_of_budget",
    "value",
    "runs_with_a_value",
    "runs",
    "end_of_budget",
    "samples",
    "train_seconds",
];

/// One row per trial.
pub(crate) fn csv(tuning: &TuningAnalysis) -> String {
    let mut table = Table::new(&COLUMNS);
    for arm in &tuning.arms {
        for (index, trial) in arm.trials.iter().enumerate() {
            let settings: Vec<_> = trial
                .settings
                .iter()
                .map(|(name, value)| format!("{name}={}", shown(value)))
                .collect();
            table.text(&arm.arm);
            table.number(Some((index + 1) as f64));
            table.number(Some(trial.round as f64));
            table.text(&settings.join("; "));
            table.flag(Some(index == arm.best));
            table.number(Some(trial.share));
            table.number(trial.value);
            table.number(Some(trial.values.iter().flatten().count() as f64));
            table.number(Some(trial.values.len() as f64));
            table.number(trial.last);
            table.number(Some(trial.samples as f64));
            table.number(Some(trial.seconds));
            table.end_row();
        }
    }
    table.finished
}
