//! The section of sweeps: how the arms came to their settings.

use analysis::summary::Analysis;

use super::Drawn;
use crate::figure::Figure;
use crate::tuning::{COLUMNS, Row};
use crate::{Format, ReportError};

/// What the page says of tuned settings.
pub(super) struct Tuning<'a> {
    pub(super) effort: String,
    pub(super) columns: [&'static str; 8],
    pub(super) rows: Vec<Row>,
    pub(super) curves: Vec<String>,
    pub(super) notes: &'a [String],
    pub(super) figures: Vec<Drawn>,
    pub(super) caption: String,
}

impl<'a> Tuning<'a> {
    /// Nothing where the suite fixes all settings.
    pub(super) fn new(
        analysis: &'a Analysis,
        figures: &[Figure],
        formats: &[Format],
    ) -> Result<Option<Self>, ReportError> {
        let Some(tuning) = &analysis.tuning else { return Ok(None) };
        let drawn = figures.iter().map(|figure| Drawn::new(figure, formats));
        let seeds: Vec<_> = tuning.seeds.iter().map(u64::to_string).collect();
        let curves = tuning.arms.iter().filter(|arm| !arm.expected_best.is_empty()).map(|arm| {
            let best = arm.expected_best.iter().map(|value| crate::text::significant(*value, 3));
            format!("{}: {}", arm.arm, best.collect::<Vec<_>>().join(", "))
        });
        Ok(Some(Self {
            effort: tuning.effort(),
            columns: COLUMNS,
            rows: Row::all(tuning),
            curves: curves.collect(),
            notes: &tuning.notes,
            figures: drawn.collect::<Result<_, _>>()?,
            caption: format!(
                "Suite {} · all trials, seeds {} · frozen {}",
                tuning.suite,
                seeds.join(", "),
                tuning.date
            ),
        }))
    }
}
