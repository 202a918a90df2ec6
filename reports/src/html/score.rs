//! The section over all workloads: what the arms of each group come to.

use analysis::summary::Analysis;
use analysis::summary::score::GroupScore;

use super::Drawn;
use crate::figure::Figure;
use crate::score::{COLUMNS, headline, reasons, rows};
use crate::{Format, ReportError};

/// One group of arms.
pub(super) struct Scored {
    pub(super) headline: String,
    pub(super) columns: [&'static str; 7],
    pub(super) rows: Vec<[String; 7]>,
    pub(super) reasons: Vec<String>,
    pub(super) figures: Vec<Drawn>,
    pub(super) caption: String,
}

impl Scored {
    /// One entry per group, with its figures.
    pub(super) fn all(
        analysis: &Analysis,
        figures: &[Vec<Figure>],
        formats: &[Format],
    ) -> Result<Vec<Self>, ReportError> {
        let groups = analysis.score.groups.iter().zip(figures);
        let scored = |(group, figures): (&GroupScore, &Vec<Figure>)| {
            let drawn = figures.iter().map(|figure| Drawn::new(figure, formats));
            Ok(Self {
                headline: headline(group),
                columns: COLUMNS,
                rows: rows(group),
                reasons: reasons(group),
                figures: drawn.collect::<Result<_, ReportError>>()?,
                caption: format!(
                    "Suite {} · {} arms, {} workloads, {} seeds each",
                    analysis.suite,
                    group.arms.len(),
                    group.workloads.len(),
                    group.seeds
                ),
            })
        };
        groups.map(scored).collect()
    }
}
