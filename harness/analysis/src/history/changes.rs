//! Where the metrics of a history changed, by how much, and whether it lasted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::divisive::mean;

use super::chain::History;
use super::entry::{Accepted, Better, Entry, Measured};
use super::error::HistoryError;
use super::segments::{self, Found};
use crate::regress::machine::differences;

/// Version of [`HistoryAnalysis`] that this build writes.
pub const CHANGES_VERSION: u32 = 1;
/// Commits at a new level that confirm it.
pub const CONFIRMED_BY: usize = 5;

/// How changes are searched for and judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Commits of a window.
    pub window: usize,
    /// Commits of the shortest level.
    pub minimum: usize,
    /// Chance of any false change in an unchanged metric's history, and of all metrics that are said
    /// to have changed the share that did not.
    pub false_alarms: f64,
    /// Windows of noise drawn per metric.
    pub draws: u32,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { window: 50, minimum: 3, false_alarms: 0.05, draws: 4000, seed: 0 }
    }
}

impl Options {
    fn check(&self) -> Result<(), HistoryError> {
        let refuse =
            |option, found: String, range| Err(HistoryError::Option { option, found, range });
        if !(3..=100).contains(&self.minimum) {
            return refuse("minimum", self.minimum.to_string(), "3 to 100 commits");
        }
        if self.window < 4 * self.minimum || self.window > 1000 {
            let range = "at least 4 minimum levels and at most 1000 commits";
            return refuse("window", self.window.to_string(), range);
        }
        if !(self.false_alarms > 0.0 && self.false_alarms <= 0.5) {
            let range = "a chance above 0 and at most 0.5, such as 0.05";
            return refuse("false alarms", self.false_alarms.to_string(), range);
        }
        if !(100..=1_000_000).contains(&self.draws) {
            return refuse("draws", self.draws.to_string(), "100 to 1000000");
        }
        Ok(())
    }
}

/// What was found in a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryAnalysis {
    /// [`CHANGES_VERSION`].
    pub version: u32,
    /// Name of the suite.
    pub suite: String,
    /// Fingerprint of the machine.
    pub machine: String,
    /// Measured commits, oldest first.
    pub commits: Vec<String>,
    /// How it was judged.
    pub options: Options,
    /// One per metric, by name.
    pub series: Vec<SeriesChanges>,
    /// What a reader must know: where libtorch changed, what is not in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesChanges {
    /// Its name.
    pub metric: String,
    /// Its unit.
    pub unit: String,
    /// Which way it improves.
    pub better: Better,
    /// Whether logarithms were compared: when all values are positive.
    pub logarithmic: bool,
    /// Index of the commit, and median of its values.
    pub points: Vec<(usize, f64)>,
    /// Levels, oldest first.
    pub levels: Vec<Level>,
    /// Changes between them, oldest first.
    pub changes: Vec<Change>,
    /// Changes that were left out because, over all metrics, too many would be false.
    pub withheld: usize,
}

/// Commits between two changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Index into `points` of the first.
    pub first: usize,
    /// Number of commits.
    pub points: usize,
    /// Mean of the medians.
    pub mean: f64,
}

/// Whether a change is for the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// For the worse.
    Regressed,
    /// For the better.
    Improved,
    /// The metric has no better way.
    Changed,
}

/// Whether a change lasted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Fewer than [`CONFIRMED_BY`] commits so far.
    Recent,
    /// It lasted for at least that many, or until another change.
    Confirmed,
    /// The next change took at least half of it back.
    Undone,
}

/// A change of level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Index into `points` of the first commit at the new level.
    pub at: usize,
    /// Last commit at the old level: what changed came after it.
    pub after: String,
    /// First commit at the new level: what changed is in it, or in commits before it that were not
    /// measured.
    pub commit: String,
    /// Mean of the old level.
    pub before_mean: f64,
    /// Mean of the new level.
    pub after_mean: f64,
    /// New over old mean, less 1; none when the old mean is 0 or the signs differ.
    pub relative: Option<f64>,
    /// Of the t-test between the two levels.
    pub p: f64,
    /// Bound on the chance that noise gives a change as clear anywhere in this metric's history.
    pub chance: f64,
    /// For better or worse.
    pub direction: Direction,
    /// Whether it lasted.
    pub standing: Standing,
    /// Commits at the new level so far, or until the next change.
    pub confirmations: usize,
    /// True when the suite's text changed between the two commits: perhaps not the code.
    pub suite_changed: bool,
    /// Software that changed between the two commits, as "libtorch: A, then B".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub software_changed: Vec<String>,
    /// Why it is accepted, when it is: no longer an alarm.
    pub accepted: Option<String>,
}

impl HistoryAnalysis {
    /// Changes that were neither accepted nor undone, the clearest first, with their metric.
    #[must_use]
    pub fn open(&self) -> Vec<(&SeriesChanges, &Change)> {
        let all =
            self.series.iter().flat_map(|series| series.changes.iter().map(move |c| (series, c)));
        let open =
            |change: &Change| change.accepted.is_none() && change.standing != Standing::Undone;
        let mut open: Vec<_> = all.filter(|(_, change)| open(change)).collect();
        open.sort_by(|(a, one), (b, two)| {
            one.chance
                .total_cmp(&two.chance)
                .then(one.p.total_cmp(&two.p))
                .then(a.metric.cmp(&b.metric))
        });
        open
    }
}

/// Finds the changes of every metric in the order in which they were recorded: see [`analyse_in`].
///
/// # Errors
/// When an option is out of range.
pub fn analyse(history: &History, options: &Options) -> Result<HistoryAnalysis, HistoryError> {
    analyse_in(None, history, options)
}

/// Finds the changes of every metric, commits taken in this `order`, or as they were recorded;
/// commits that an order lacks are left out, with a note. Pure: the same history and options give the same result.
///
/// Per metric, the medians of the commits are compared on a logarithmic scale where all are
/// positive. Commits that did not measure a metric are passed over, never filled in. Over metrics,
/// those that changed are selected by Benjamini and Hochberg's procedure at `false_alarms`.
///
/// # Errors
/// When an option is out of range.
pub fn analyse_in(
    order: Option<&[String]>,
    history: &History,
    options: &Options,
) -> Result<HistoryAnalysis, HistoryError> {
    options.check()?;
    let context = Context::of(history, order, options.minimum);
    let mut found: Vec<(Vec<Found>, SeriesChanges)> = Vec::new();
    for (metric, unit, better) in history.metrics() {
        let points = context.points(metric);
        let logarithmic = points.iter().all(|(_, value)| *value > 0.0);
        let scaled = |(_, value): &(usize, f64)| if logarithmic { value.ln() } else { *value };
        let values: Vec<f64> = points.iter().map(scaled).collect();
        let levels = segments::levels(&values, options, metric);
        let series = SeriesChanges {
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            better,
            logarithmic,
            points,
            levels: Vec::new(),
            changes: Vec::new(),
            withheld: 0,
        };
        found.push((levels.found, series));
    }
    let threshold = threshold(&found, options.false_alarms);
    let series = found.into_iter().map(|(found, mut series)| {
        if clearest(&found) <= threshold {
            context.describe(&mut series, &found);
        } else {
            series.withheld = found.len();
            context.describe(&mut series, &[]);
        }
        series
    });
    Ok(HistoryAnalysis {
        version: CHANGES_VERSION,
        suite: history.suite.clone(),
        machine: history.machine.clone(),
        options: *options,
        series: series.collect(),
        notes: context.notes(history.measured().count()),
        commits: context.commits.iter().map(|measured| measured.commit.clone()).collect(),
    })
}

/// The smallest chance among the changes of a metric; 1 without any.
fn clearest(found: &[Found]) -> f64 {
    found.iter().map(|found| found.chance).fold(1.0, f64::min)
}

/// The largest chance that Benjamini and Hochberg's procedure at `rate` lets pass; below 0 when it
/// lets none pass.
fn threshold(found: &[(Vec<Found>, SeriesChanges)], rate: f64) -> f64 {
    let mut chances: Vec<f64> = found.iter().map(|(found, _)| clearest(found)).collect();
    chances.sort_by(f64::total_cmp);
    let metrics = chances.len() as f64;
    let passing = chances.iter().enumerate().rev();
    let mut passing =
        passing.filter(|(rank, chance)| **chance <= rate * (*rank as f64 + 1.0) / metrics);
    passing.next().map_or(-1.0, |(_, chance)| *chance)
}

/// Commits and acceptances of a history.
struct Context<'a> {
    commits: Vec<&'a Measured>,
    /// Index of the commit, and what was accepted.
    accepted: Vec<(usize, &'a Accepted)>,
    /// How far from an accepted commit a change is still that one: as more commits come in, noise
    /// may move it.
    slack: usize,
}

impl<'a> Context<'a> {
    fn of(history: &'a History, order: Option<&[String]>, minimum: usize) -> Self {
        let mut commits: Vec<&Measured> = history.measured().collect();
        if let Some(order) = order {
            let by_name: BTreeMap<&str, &Measured> =
                commits.iter().map(|measured| (measured.commit.as_str(), *measured)).collect();
            commits = order.iter().filter_map(|name| by_name.get(name.as_str()).copied()).collect();
        }
        let place: BTreeMap<&str, usize> =
            commits.iter().enumerate().map(|(i, measured)| (measured.commit.as_str(), i)).collect();
        let accepted = history.lines.iter().filter_map(|line| match &line.entry {
            Entry::Accepted(accepted) => {
                Some((place.get(accepted.commit.as_str()).copied()?, accepted))
            }
            Entry::Measured(_) => None,
        });
        Self { accepted: accepted.collect(), commits, slack: minimum - 1 }
    }

    /// Where libtorch changed, and how many of the `recorded` commits have no place.
    fn notes(&self, recorded: usize) -> Vec<String> {
        let mut notes = Vec::new();
        for pair in self.commits.windows(2) {
            let versions = [pair[0], pair[1]].map(|measured| measured.software.get("libtorch"));
            if let [Some(one), Some(other)] = versions
                && one != other
            {
                let commit = &pair[1].commit;
                notes.push(format!("libtorch {one} until commit {commit}, {other} from there on"));
            }
        }
        let lacking = recorded - self.commits.len();
        if lacking > 0 {
            notes.push(format!(
                "{lacking} recorded commits are not in this repository and left out: fetch it with its whole history"
            ));
        }
        notes
    }

    fn points(&self, metric: &str) -> Vec<(usize, f64)> {
        let commits = self.commits.iter().enumerate();
        commits
            .filter_map(|(i, measured)| Some((i, median(&measured.metrics.get(metric)?.values)?)))
            .collect()
    }

    /// Fills in levels and changes.
    fn describe(&self, series: &mut SeriesChanges, found: &[Found]) {
        let starts: Vec<usize> =
            [0].into_iter().chain(found.iter().map(|found| found.at)).collect();
        let ends = starts.iter().copied().skip(1).chain([series.points.len()]);
        series.levels = starts
            .iter()
            .zip(ends)
            .map(|(&first, end)| {
                let values: Vec<f64> =
                    series.points[first..end].iter().map(|point| point.1).collect();
                Level { first, points: end - first, mean: mean(&values) }
            })
            .collect();
        series.changes = found
            .iter()
            .zip(series.levels.windows(2))
            .enumerate()
            .map(|(place, (found, pair))| {
                self.change(series, found, (&pair[0], &pair[1]), series.levels.get(place + 2))
            })
            .collect();
    }

    fn change(
        &self,
        series: &SeriesChanges,
        found: &Found,
        (old, new): (&Level, &Level),
        next: Option<&Level>,
    ) -> Change {
        let (last, first) = (series.points[found.at - 1].0, series.points[found.at].0);
        let direction = match series.better {
            Better::Neither => Direction::Changed,
            Better::Lower if new.mean > old.mean => Direction::Regressed,
            Better::Higher if new.mean < old.mean => Direction::Regressed,
            Better::Lower | Better::Higher => Direction::Improved,
        };
        let taken_back =
            |next: &Level| (next.mean - old.mean).abs() <= (next.mean - new.mean).abs();
        let standing = match next {
            Some(next) if taken_back(next) => Standing::Undone,
            None if new.points < CONFIRMED_BY => Standing::Recent,
            Some(_) | None => Standing::Confirmed,
        };
        let relative = new.mean / old.mean - 1.0;
        Change {
            at: found.at,
            after: self.commits[last].commit.clone(),
            commit: self.commits[first].commit.clone(),
            before_mean: old.mean,
            after_mean: new.mean,
            relative: Some(relative).filter(|r| r.is_finite() && *r >= -1.0),
            p: found.p,
            chance: found.chance,
            direction,
            standing,
            confirmations: new.points,
            suite_changed: self.commits[last].suite_digest != self.commits[first].suite_digest,
            software_changed: differences(
                &self.commits[last].software,
                &self.commits[first].software,
                "then",
            ),
            accepted: self.reason(&series.metric, last, first),
        }
    }

    /// The reason of the last acceptance of a change of `metric` between commits `last` and `first`.
    fn reason(&self, metric: &str, last: usize, first: usize) -> Option<String> {
        let near = |commit: usize| commit + self.slack > last && commit <= first + self.slack;
        let about = |accepted: &Accepted| {
            accepted.metrics.is_empty() || accepted.metrics.iter().any(|name| name == metric)
        };
        let mut matching = self.accepted.iter().rev();
        let found = matching.find(|(commit, accepted)| near(*commit) && about(accepted));
        found.map(|(_, accepted)| accepted.reason.clone())
    }
}

/// Median; `None` of nothing.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(lower + (upper - lower) / 2.0)
}

#[cfg(test)]
mod tests;
