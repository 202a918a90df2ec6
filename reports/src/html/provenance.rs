//! The section of membership tests: a row for each, those without a bar under a fold, and one for
//! each seed under another.

use analysis::summary::Analysis;
use analysis::summary::membership::{MembershipAnalysis, MembershipSeed, TestOutcome};
use analysis::summary::power::curves;

use super::Drawn;
use crate::figure::Figure;
use crate::membership::{Test, VERDICTS, Verdict, signed};
use crate::{Format, ReportError, text};

/// What the page says of membership tests.
pub(super) struct Provenance<'a> {
    pub(super) tally: Vec<(&'static Verdict, usize)>,
    /// Those of which something was expected.
    pub(super) tests: Vec<Test<'a>>,
    pub(super) others: Vec<Test<'a>>,
    pub(super) simulation: bool,
    pub(super) rows: Vec<Row<'a>>,
    pub(super) figures: Vec<Drawn>,
    pub(super) caption: String,
    /// What has no place in a figure, and why.
    pub(super) left_out: Vec<String>,
}

/// One test under one seed.
pub(super) struct Row<'a> {
    pub(super) test: &'a str,
    pub(super) raw: &'a MembershipSeed,
    pub(super) found: Option<Found<'a>>,
    /// `refused` or `not made`, and why.
    pub(super) reason: Option<(&'static str, &'a str)>,
}

/// Numbers of a finding as text.
pub(super) struct Found<'a> {
    pub(super) statistic: String,
    pub(super) examples: String,
    pub(super) log10_p: String,
    pub(super) holm: String,
    pub(super) direction: &'a str,
    pub(super) how: String,
    pub(super) randomness: &'a str,
}

impl<'a> Provenance<'a> {
    /// Nothing where there are no tests.
    pub(super) fn new(
        analysis: &'a Analysis,
        power: &[Figure],
        formats: &[Format],
    ) -> Result<Option<Self>, ReportError> {
        if analysis.membership.is_empty() {
            return Ok(None);
        }
        let tests = Test::all(analysis);
        let count = |verdict| tests.iter().filter(|test| test.verdict == verdict).count();
        let tally: Vec<(&Verdict, usize)> = VERDICTS
            .iter()
            .map(|verdict| (verdict, count(verdict)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let rows =
            |test: &'a MembershipAnalysis| test.seeds.iter().map(|seed| Row::new(&test.id, seed));
        let simulation = tests.iter().any(|test| test.simulation);
        let (others, tests) = tests.into_iter().partition(|test| test.verdict.words == "no bar");
        let figures = power.iter().map(|figure| Drawn::new(figure, formats));
        Ok(Some(Self {
            tally,
            simulation,
            tests,
            others,
            rows: analysis.membership.iter().flat_map(rows).collect(),
            figures: figures.collect::<Result<_, _>>()?,
            caption: format!("Suite {}", text::one_line(&analysis.suite)),
            left_out: curves(&analysis.membership)
                .into_iter()
                .flat_map(|curve| curve.left_out)
                .collect(),
        }))
    }
}

impl<'a> Row<'a> {
    fn new(test: &'a str, raw: &'a MembershipSeed) -> Self {
        let (found, reason) = match &raw.outcome {
            TestOutcome::Refused(reason) => (None, Some(("refused", reason.as_str()))),
            TestOutcome::Missing(reason) => (None, Some(("not made", reason.as_str()))),
            TestOutcome::Found(finding) => {
                let how = match (&finding.monte_carlo, finding.exact) {
                    (Some(draws), _) => format!("{} draws, seed {}", draws.draws, draws.seed),
                    (None, true) => "exact".to_owned(),
                    (None, false) if finding.saddlepoint => "saddlepoint".to_owned(),
                    (None, false) => "closed form".to_owned(),
                };
                let found = Found {
                    statistic: signed(finding.statistic),
                    examples: text::fixed(finding.n as f64, 0),
                    log10_p: text::fixed(finding.log10_p, 2),
                    holm: raw
                        .holm_log10_p
                        .map_or(text::ABSENT.to_owned(), |value| text::fixed(value, 2)),
                    direction: &finding.direction,
                    how: format!("{}, {}, {how}", finding.metric, finding.tail),
                    randomness: &finding.randomness,
                };
                (Some(found), None)
            }
        };
        Self { test, raw, found, reason }
    }
}
