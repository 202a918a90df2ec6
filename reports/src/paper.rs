//! The tables of a report that go into a paper: what stands in them, drawn as LaTeX and as Markdown.

use analysis::summary::score::GroupScore;
use analysis::summary::tuning::TuningAnalysis;
use analysis::summary::{Analysis, ArmAnalysis, ClaimOutcome, WorkloadAnalysis};
use ledger::goal;

use crate::membership::Test;
use crate::order_estimates::Row as Estimated;
use crate::precision::Precision;
use crate::score;
use crate::text::{self, capital, slug};
use crate::tuning::{COLUMNS, Row};

/// How the cells of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Words: to the left, and on several lines where they must be.
    Words,
    /// Numbers: to the right, each on one line.
    Numbers,
}

/// A table. Its texts are those of people, of whatever letters: who draws it escapes them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PaperTable {
    /// What it can be referred to by: letters, digits, `-` and `.`; unique in the report.
    pub(crate) label: String,
    /// One sentence or two.
    pub(crate) caption: String,
    /// Headings.
    pub(crate) columns: Vec<(String, Kind)>,
    /// Cells, one for each heading.
    pub(crate) rows: Vec<Vec<String>>,
}

impl PaperTable {
    fn new(label: String, caption: String, columns: &[(&str, Kind)]) -> Self {
        let columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        Self { label, caption, columns, rows: Vec::new() }
    }
}

/// Every table of a report.
pub(crate) fn tables(analysis: &Analysis) -> Vec<PaperTable> {
    let mut all: Vec<PaperTable> = analysis.workloads.iter().map(arms).collect();
    all.extend(analysis.tuning.as_ref().map(sweeps));
    if !analysis.claims.is_empty() {
        all.push(claims(&analysis.claims));
    }
    all.extend(analysis.score.groups.iter().map(scores));
    if !analysis.membership.is_empty() {
        all.push(membership(&Test::all(analysis)));
    }
    if !analysis.order_estimates.is_empty() {
        all.push(estimates(&Estimated::all(analysis)));
    }
    let mut taken = std::collections::BTreeSet::new();
    for table in &mut all {
        let own = format!("{}-{}", slug(&analysis.suite), table.label).replace('_', "-");
        let mut label = own.clone();
        for again in 2_u32.. {
            if taken.insert(label.clone()) {
                break;
            }
            label = format!("{own}-{again}");
        }
        table.label = label;
    }
    all
}

fn arms(workload: &WorkloadAnalysis) -> PaperTable {
    let seeds = workload.arms.iter().map(|arm| arm.reach_rate.n).max().unwrap_or(0);
    let caption = format!(
        "{}: train time to {} {} {} and {} at the budget, up to {seeds} seeds; 95 % intervals.",
        workload.workload,
        workload.split,
        workload.target.metric,
        text::given(workload.target.value),
        workload.target.metric,
    );
    let shown = Shown::of(workload);
    let time = format!("Time to target ({})", shown.unit.0);
    let columns = [
        ("Arm", Kind::Words),
        ("Reached", Kind::Numbers),
        (&time, Kind::Numbers),
        ("Speed-up", Kind::Numbers),
        ("Validation", Kind::Numbers),
        ("Test", Kind::Numbers),
    ];
    let mut table =
        PaperTable::new(format!("arms-{}", slug(&workload.workload)), caption, &columns);
    table.rows = workload.arms.iter().map(|arm| shown.row(workload, arm)).collect();
    table
}

/// How the numbers of a workload's arms are shown.
struct Shown {
    /// Name and length in seconds.
    unit: (&'static str, f64),
    time: Precision,
    speed: Precision,
    /// On the validation and the test split.
    metrics: [Precision; 2],
}

const SPLITS: [&str; 2] = [goal::VALIDATION, goal::TEST];

impl Shown {
    fn of(workload: &WorkloadAnalysis) -> Self {
        let arms = || workload.arms.iter();
        let mut centres: Vec<f64> =
            arms().filter_map(|arm| Some(text::centre(&arm.time_to_target)?.0)).collect();
        centres.sort_by(f64::total_cmp);
        let unit = text::time_unit(centres.get(centres.len() / 2).copied().unwrap_or(1.0));
        // Ends in that unit, for as long as they are looked at.
        let scaled: Vec<_> = arms()
            .filter_map(|arm| {
                let (value, _) = text::centre(&arm.time_to_target)?;
                let ends = arm.time_to_target.interval.map(|ends| stats::interval::Interval {
                    low: ends.low / unit.1,
                    high: ends.high / unit.1,
                    ..ends
                });
                Some((value / unit.1, ends))
            })
            .collect();
        let speeds = arms().filter_map(|arm| arm.speed_up.as_ref());
        let metrics = SPLITS.map(|split| {
            let key = workload.target.key(split);
            let found: Vec<_> = arms().filter_map(|arm| arm.at_budget.get(&key)).collect();
            Precision::of(found.iter().map(|it| (it.value, it.interval.as_ref())))
        });
        Self {
            unit,
            time: Precision::of(scaled.iter().map(|(value, ends)| (*value, ends.as_ref()))),
            speed: Precision::of(speeds.map(|speed| (speed.ratio, speed.interval.as_ref()))),
            metrics,
        }
    }

    fn row(&self, workload: &WorkloadAnalysis, arm: &ArmAnalysis) -> Vec<String> {
        let outcomes = &arm.outcomes;
        let ran = outcomes.reached + outcomes.censored + outcomes.diverged;
        let length = self.unit.1;
        let time = match text::centre(&arm.time_to_target) {
            None if arm.idle || text::without_clock(arm) => text::ABSENT.to_owned(),
            None => text::at_start(&arm.time_to_target).unwrap_or_else(|| "not reached".to_owned()),
            Some((value, _)) => {
                let ends = arm.time_to_target.interval.map(|ends| stats::interval::Interval {
                    low: ends.low / length,
                    high: ends.high / length,
                    ..ends
                });
                self.time.with_ends(value / length, ends.as_ref())
            }
        };
        let speed = arm.speed_up.as_ref().map(|speed| {
            let shown = self.speed.with_ends(speed.ratio, speed.interval.as_ref());
            // The sign stands right after the number.
            match shown.split_once(' ') {
                Some((ratio, ends)) => format!("{ratio}× {ends}"),
                None => format!("{shown}×"),
            }
        });
        let is_baseline = workload.baseline.as_ref() == Some(&arm.label);
        let without = if is_baseline { "baseline" } else { text::ABSENT };
        let mut row = vec![
            arm.label.clone(),
            format!("{}/{ran}", outcomes.reached),
            time,
            speed.unwrap_or_else(|| without.to_owned()),
        ];
        row.extend(SPLITS.iter().zip(self.metrics).map(|(split, precision)| {
            let found = arm.at_budget.get(&workload.target.key(split));
            found.map_or_else(
                || text::ABSENT.to_owned(),
                |estimate| precision.estimate(estimate.value, estimate.interval.as_ref()),
            )
        }));
        row
    }
}

/// The sweep behind each arm.
fn sweeps(tuning: &TuningAnalysis) -> PaperTable {
    let mut columns = COLUMNS.map(|name| (name, Kind::Numbers));
    (columns[0].1, columns[1].1) = (Kind::Words, Kind::Words);
    let caption = format!("Settings: {}.", tuning.effort());
    let mut table = PaperTable::new("settings".to_owned(), caption, &columns);
    table.rows = Row::all(tuning).into_iter().map(|row| row.cells.to_vec()).collect();
    table
}

fn claims(claims: &[ClaimOutcome]) -> PaperTable {
    let columns = [
        ("Claim", Kind::Words),
        ("Paper", Kind::Words),
        ("Here", Kind::Numbers),
        ("n", Kind::Numbers),
        ("Verdict", Kind::Words),
    ];
    let caption = "Claims and verdicts; effects with 95 % intervals.".to_owned();
    let mut table = PaperTable::new("claims".to_owned(), caption, &columns);
    table.rows = claims
        .iter()
        .map(|claim| {
            vec![
                claim.statement.clone(),
                claim.paper_number.clone(),
                text::effect(claim),
                claim.n.to_string(),
                claim.verdict_words(),
            ]
        })
        .collect();
    table
}

/// What the arms of a group come to over its workloads.
fn scores(group: &GroupScore) -> PaperTable {
    let reasons = score::reasons(group).into_iter().map(|reason| format!(" {}.", capital(&reason)));
    let caption = format!(
        "Over {}: {} seeds each; 95 % intervals by resampled seeds.{}",
        group.workloads.join(", "),
        group.seeds,
        reasons.collect::<String>()
    );
    let names = score::COLUMNS.map(capital);
    let columns: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(place, name)| (name.as_str(), if place == 0 { Kind::Words } else { Kind::Numbers }))
        .collect();
    let mut table = PaperTable::new("scores".to_owned(), caption, &columns);
    table.rows = score::rows(group).into_iter().map(|cells| cells.to_vec()).collect();
    table
}

fn estimates(rows: &[Estimated<'_>]) -> PaperTable {
    let columns = [
        ("Estimate", Kind::Words),
        ("Seed", Kind::Words),
        ("Estimator", Kind::Words),
        ("Validity", Kind::Words),
        ("ρ", Kind::Words),
        ("Per item", Kind::Numbers),
        ("Rel. error", Kind::Numbers),
        ("MAE/sd", Kind::Numbers),
        ("Null", Kind::Numbers),
        ("Faster", Kind::Numbers),
        ("Set-up", Kind::Numbers),
        ("Even after", Kind::Numbers),
    ];
    let caption = "Estimates of orders against true retraining.".to_owned();
    let mut table = PaperTable::new("estimates".to_owned(), caption, &columns);
    table.rows = rows
        .iter()
        .map(|row| {
            let cells = [
                row.entry.name.as_str(),
                &row.seed.seed,
                &row.estimator,
                &row.validity,
                &row.held_out,
                &row.per_item,
                &row.relative_error,
                &row.mae_over_sd,
                &row.null,
                &row.speed_up,
                &row.set_up,
                &row.break_even,
            ];
            cells.map(str::to_owned).to_vec()
        })
        .collect();
    table
}

fn membership(tests: &[Test<'_>]) -> PaperTable {
    let simulated = if tests.iter().any(|test| test.simulation) {
        " Orders of public seeds: simulations, which show power and prove nothing."
    } else {
        ""
    };
    let caption = format!("Membership tests; smallest to largest of the seeds.{simulated}");
    let columns = [
        ("Test", Kind::Words),
        ("Access", Kind::Words),
        ("n", Kind::Numbers),
        ("Statistic", Kind::Numbers),
        ("log10 p", Kind::Numbers),
        ("Expected", Kind::Words),
        ("Outcome", Kind::Words),
    ];
    let mut table = PaperTable::new("membership".to_owned(), caption, &columns);
    table.rows = tests
        .iter()
        .map(|test| {
            vec![
                test.raw.statement.clone(),
                test.access.to_owned(),
                test.examples.clone(),
                test.statistic.clone(),
                test.log10_p.clone(),
                test.raw.expected.clone(),
                test.outcome(),
            ]
        })
        .collect();
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn every_row_has_a_cell_for_each_heading_and_every_label_is_its_own() {
        for analysis in [sample::full(), sample::several(), sample::provenance(), sample::extreme()]
        {
            let all = tables(&analysis);
            let labels: std::collections::BTreeSet<_> = all.iter().map(|it| &it.label).collect();
            assert_eq!(labels.len(), all.len());
            for table in &all {
                let fits = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
                assert!(table.label.chars().all(fits), "{}", table.label);
                assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
            }
        }
    }

    #[test]
    fn times_of_a_column_are_in_one_unit_which_its_heading_says() {
        let table = arms(&sample::full().workloads[0]);
        assert_eq!(table.columns[2].0, "Time to target (s)");
        let times = table.rows.iter().map(|row| row[2].as_str());
        let numbers: Vec<_> =
            times.filter(|time| time.starts_with(|c: char| c.is_ascii_digit())).collect();
        assert!(numbers.len() > 2);
        let decimals = |text: &str| {
            let number = text.split(' ').next().unwrap_or_default();
            number.split_once('.').map_or(0, |(_, decimals)| decimals.len())
        };
        let first = decimals(numbers[0]);
        assert!(numbers.iter().all(|time| decimals(time) == first), "{numbers:?}");
        assert!(numbers.iter().all(|time| !time.ends_with('s')), "{numbers:?}");
    }
}
