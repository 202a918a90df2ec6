//! How membership tests read: the same words on the page, in tables and on the terminal.

use analysis::suite::membership::Access;
use analysis::summary::Analysis;
use analysis::summary::membership::{MembershipAnalysis, TestOutcome};
use stats::provenance::Finding;

use crate::text;

/// One test, ready to be shown.
#[derive(Debug)]
pub struct Test<'a> {
    /// The test.
    pub raw: &'a MembershipAnalysis,
    /// What came of it.
    pub verdict: &'static Verdict,
    /// What is known of the suspect.
    pub access: &'static str,
    /// log10 p: one seed's, or the smallest to the largest.
    pub log10_p: String,
    /// log10 p of all seeds together, where the suite asks for it.
    pub combined: Option<String>,
    /// The coefficient with its sign, smallest to largest.
    pub statistic: String,
    /// Name of the coefficient; empty without a finding.
    pub metric: &'static str,
    /// Examples tested, fewest to most.
    pub examples: String,
    /// The sign in words, where all seeds agree.
    pub direction: Option<&'a str>,
    /// Seeds, and those among them whose test was refused.
    pub seeds: usize,
    /// See `seeds`.
    pub refused: usize,
    /// Whether any order has a public seed.
    pub simulation: bool,
    /// The least log10 p that the seeds of the orders support, where a finding is below it.
    pub floor: Option<String>,
    /// Every reason why a seed has no p-value, once each, with how many seeds it holds for.
    pub reasons: Vec<(&'a str, usize)>,
}

/// What came of a test: never by colour alone.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// In words.
    pub words: &'static str,
    /// The class of its badge.
    pub class: &'static str,
    /// Its mark.
    pub symbol: &'static str,
}

/// Every verdict, in the order of a tally.
pub(crate) const VERDICTS: [Verdict; 4] = [
    Verdict { words: "met", class: "yes", symbol: "✓" },
    Verdict { words: "missed", class: "no", symbol: "✗" },
    Verdict { words: "not made", class: "open", symbol: "?" },
    Verdict { words: "no bar", class: "plain", symbol: "·" },
];

fn verdict(test: &MembershipAnalysis) -> &'static Verdict {
    let missing = test.seeds.is_empty()
        || test.seeds.iter().any(|seed| matches!(seed.outcome, TestOutcome::Missing(_)));
    let [met, missed, not_made, no_bar] = &VERDICTS;
    match test.met {
        Some(true) => met,
        Some(false) => missed,
        None if missing => not_made,
        None => no_bar,
    }
}

/// What is known of a suspect, in a word.
pub(crate) fn access(access: Access) -> &'static str {
    match access {
        Access::LogProbs => "log-probs",
        Access::TopOne => "top-one",
        Access::Sampled => "sampled",
    }
}

impl<'a> Test<'a> {
    /// Every test of a suite, in its order.
    #[must_use]
    pub fn all(analysis: &'a Analysis) -> Vec<Self> {
        analysis.membership.iter().map(Self::new).collect()
    }

    fn new(raw: &'a MembershipAnalysis) -> Self {
        let mut findings: Vec<&Finding> = Vec::new();
        let mut reasons: Vec<(&str, usize)> = Vec::new();
        let mut refused = 0;
        for seed in &raw.seeds {
            let reason = match &seed.outcome {
                TestOutcome::Found(finding) => {
                    findings.push(finding);
                    continue;
                }
                TestOutcome::Refused(reason) => {
                    refused += 1;
                    reason
                }
                TestOutcome::Missing(reason) => reason,
            };
            match reasons.iter_mut().find(|(other, _)| other == reason) {
                Some((_, count)) => *count += 1,
                None => reasons.push((reason, 1)),
            }
        }
        let range = |value: fn(&Finding) -> f64, show: fn(f64) -> String| {
            let values = findings.iter().map(|finding| value(finding));
            let ends = values.fold(None, |ends: Option<(f64, f64)>, value| {
                Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
            });
            ends.map_or(text::ABSENT.to_owned(), |(low, high)| {
                let (low, high) = (show(low), show(high));
                if low == high { low } else { format!("{low} … {high}") }
            })
        };
        let direction = findings.first().map(|finding| finding.direction.as_str());
        let floors = findings
            .iter()
            .filter_map(|finding| finding.floor_log10_p.filter(|floor| finding.log10_p < *floor));
        Self {
            raw,
            verdict: verdict(raw),
            access: access(raw.access),
            log10_p: range(|finding| finding.log10_p, |value| text::fixed(value, 2)),
            combined: raw.combined_log10_p.map(|value| text::fixed(value, 2)),
            statistic: range(|finding| finding.statistic, signed),
            metric: findings.first().map_or("", |finding| finding.metric.name()),
            examples: range(|finding| finding.n as f64, |value| text::fixed(value, 0)),
            direction: direction
                .filter(|first| findings.iter().all(|finding| finding.direction == *first)),
            seeds: raw.seeds.len(),
            refused,
            simulation: findings.iter().any(|finding| finding.simulation),
            floor: floors.reduce(f64::max).map(|floor| text::fixed(floor, 2)),
            reasons,
        }
    }

    /// The verdict in words, with the refusals.
    #[must_use]
    pub fn outcome(&self) -> String {
        let words = self.verdict.words;
        match self.refused {
            0 => words.to_owned(),
            n if n == self.seeds => format!("refused, {words}"),
            n => format!("{words}, {n}/{} refused", self.seeds),
        }
    }
}

/// `+0.1234`.
pub(crate) fn signed(value: f64) -> String {
    let shown = text::fixed(value, 4);
    if value > 0.0 { format!("+{shown}") } else { shown }
}
