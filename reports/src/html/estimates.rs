//! The section of order estimates: a row per entry, seed and estimator, and a figure per entry and
//! seed under a fold.

use analysis::summary::Analysis;

use super::Drawn;
use crate::figure::Figure;
use crate::order_estimates::{COLUMNS, Row, counts};
use crate::{Format, ReportError};

/// What the page says of order estimates.
pub(super) struct Estimates<'a> {
    pub(super) columns: [&'static str; 11],
    pub(super) rows: Vec<Row<'a>>,
    pub(super) counts: String,
    pub(super) figures: Vec<Drawn>,
}

impl<'a> Estimates<'a> {
    /// Nothing where there are none.
    pub(super) fn new(
        analysis: &'a Analysis,
        figures: &[Figure],
        formats: &[Format],
    ) -> Result<Option<Self>, ReportError> {
        if analysis.order_estimates.is_empty() {
            return Ok(None);
        }
        let rows = Row::all(analysis);
        let counts = counts(&rows);
        let figures = figures.iter().map(|figure| Drawn::new(figure, formats));
        let figures = figures.collect::<Result<_, _>>()?;
        Ok(Some(Self { columns: COLUMNS, rows, counts, figures }))
    }
}
