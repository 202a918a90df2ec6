//! The A/A noise floor: what a machine shows when the same binary is compared with itself.
//!
//! Each round is a whole interleaved comparison of the base with itself. Of a metric's |mean log
//! ratio| over the rounds the median and the 99th percentile are kept; the percentile is the floor
//! that a change must exceed. It belongs to one machine and grows old.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::RegressError;
use super::align::align;
use super::judge::{Floor, rows};
use super::machine::Machine;
use super::metric::{Class, MetricName};
use super::report::{FloorSummary, Verdict};
use super::rule::Rule;
use super::snapshot::{Snapshot, check_version};
use ledger::digest::Digest;
use stats::bootstrap::quantile;

/// Version that this build writes and reads.
pub const FLOOR_VERSION: u32 = 2;
const WHAT: &str = "noise floor";
/// Rounds below which a 99th percentile means nothing.
const LEAST_ROUNDS: usize = 5;
const DAY: u64 = 24 * 60 * 60;

/// The floor of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricFloor {
    /// Which metric.
    pub name: MetricName,
    /// Digest of what the suite set in its cells: edited cells have no floor.
    pub config: Digest,
    /// Median over rounds of |mean log ratio|.
    pub median: f64,
    /// 99th percentile of it.
    pub p99: f64,
    /// Pairs in each round, at the fewest.
    pub pairs: usize,
}

/// The floors of a suite on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseFloor {
    /// [`FLOOR_VERSION`].
    pub version: u32,
    /// The suite.
    pub suite: String,
    /// The machine.
    pub machine: Machine,
    /// Seconds since 1970 at the end of the measurement.
    pub measured_unix: u64,
    /// Comparisons of the base with itself.
    pub rounds: usize,
    /// Tests made in all of them.
    pub comparisons: u64,
    /// Tests that the rule would have called regressed or improved: false alarms, all of them.
    pub alarms: u64,
    /// One entry per time metric, sorted by name.
    pub metrics: Vec<MetricFloor>,
}

impl NoiseFloor {
    /// The floor from rounds of the same binary on both sides.
    ///
    /// # Errors
    /// When there are fewer than 5 rounds, a round is not of one interleaved session, two rounds
    /// share a session, suites or machines differ, or there is no time to measure.
    pub fn measure(
        rounds: &[(Snapshot, Snapshot)],
        rule: &Rule,
        measured_unix: u64,
    ) -> Result<Self, RegressError> {
        rule.check()?;
        check_rounds(rounds)?;
        let mut seen: BTreeMap<MetricName, (Digest, Vec<f64>, usize)> = BTreeMap::new();
        let (mut comparisons, mut alarms) = (0, 0);
        for (one, other) in rounds {
            let aligned = align(one, other)?;
            let configs: BTreeMap<&MetricName, Digest> =
                aligned.iter().map(|aligned| (&aligned.name, aligned.config)).collect();
            let judged = rows(&aligned, one, other, Floor::BeingMeasured, rule)?;
            for row in judged.into_iter().filter(|row| row.class == Class::Time) {
                let Some(&config) = configs.get(&row.name) else { continue };
                let entry = seen.entry(row.name).or_insert((config, Vec::new(), usize::MAX));
                if entry.0 != config {
                    let reason = "the suite was edited between them".to_owned();
                    return Err(RegressError::Floor { reason });
                }
                if row.judged {
                    comparisons += 1;
                    let alarm = matches!(row.verdict, Verdict::Regressed | Verdict::Improved);
                    alarms += u64::from(alarm);
                }
                // A rule that asks for more pairs than a round has still lets it be measured.
                if row.judged || row.effect.is_some() {
                    entry.1.push(row.effect.map_or(0.0, |effect| effect.value.ln().abs()));
                    entry.2 = entry.2.min(row.pairs);
                }
            }
        }
        let metrics: Vec<MetricFloor> = seen
            .into_iter()
            .filter(|(_, (_, sizes, _))| sizes.len() >= LEAST_ROUNDS)
            .map(|(name, (config, mut sizes, pairs))| {
                sizes.sort_by(f64::total_cmp);
                let (median, p99) = (quantile(&sizes, 0.5), quantile(&sizes, 0.99));
                MetricFloor { name, config, median, p99, pairs }
            })
            .collect();
        let Some((first, _)) = rounds.first().filter(|_| !metrics.is_empty()) else {
            let reason = "no time was measured in 5 of them".to_owned();
            return Err(RegressError::Floor { reason });
        };
        Ok(Self {
            version: FLOOR_VERSION,
            suite: first.suite.clone(),
            machine: first.machine.clone(),
            measured_unix,
            rounds: rounds.len(),
            comparisons,
            alarms,
            metrics,
        })
    }

    /// Reads a floor; `origin` names it in errors.
    ///
    /// # Errors
    /// When it is not JSON of this form and version, its fingerprint does not fit, a metric is there
    /// twice, or a floor is negative or not finite.
    pub fn parse(text: &str, origin: &str) -> Result<Self, RegressError> {
        check_version(text, origin, WHAT, FLOOR_VERSION)?;
        let form =
            |reason: String| RegressError::Form { origin: origin.to_owned(), what: WHAT, reason };
        let floor: Self = serde_json::from_str(text).map_err(|error| form(error.to_string()))?;
        floor.machine.check(origin)?;
        let good = |value: f64| value.is_finite() && value >= 0.0;
        for metric in &floor.metrics {
            if !good(metric.median) || !good(metric.p99) || metric.pairs == 0 {
                return Err(form(format!("{} has a floor that is none", metric.name)));
            }
        }
        if let Some(pair) = floor.metrics.windows(2).find(|pair| pair[0].name >= pair[1].name) {
            return Err(form(format!("{} is given twice or out of order", pair[1].name)));
        }
        if floor.rounds < LEAST_ROUNDS {
            return Err(form(format!("{} rounds are too few for a floor", floor.rounds)));
        }
        Ok(floor)
    }

    /// Why this floor cannot judge `head` at `now_unix`; `None` where it can.
    #[must_use]
    pub fn obstacle(&self, head: &Snapshot, now_unix: u64, rule: &Rule) -> Option<String> {
        let again = "measure it again (regress aa)";
        if self.suite != head.suite {
            return Some(format!("the noise floor is of suite {:?}: {again}", self.suite));
        }
        if !self.machine.is(&head.machine) {
            let theirs = &self.machine.fingerprint;
            return Some(format!("the noise floor is of another machine, {theirs}: {again}"));
        }
        let Some(age) = now_unix.checked_sub(self.measured_unix) else {
            return Some(format!("the noise floor was measured in the future: {again}"));
        };
        (age > u64::from(rule.floor_days) * DAY).then(|| {
            let (days, most) = (age / DAY, rule.floor_days);
            format!("the noise floor is {days} days old, at most {most} are allowed: {again}")
        })
    }

    /// The floor of a metric whose cells have this `config`, as a share, wider for fewer pairs than
    /// it was measured with.
    ///
    /// # Errors
    /// With why there is none, in words.
    pub fn of(&self, name: &MetricName, config: Digest, pairs: usize) -> Result<f64, String> {
        let found = self.metrics.binary_search_by(|metric| metric.name.cmp(name));
        let Some(metric) = found.ok().and_then(|index| self.metrics.get(index)) else {
            return Err("the noise floor has no such metric: measure it again (regress aa)".into());
        };
        if metric.config != config {
            return Err(
                "the noise floor is of other settings: measure it again (regress aa)".to_owned()
            );
        }
        let wider = (metric.pairs as f64 / pairs as f64).sqrt().max(1.0);
        Ok((metric.p99 * wider).exp_m1())
    }

    /// What a report says of it.
    #[must_use]
    pub fn summary(&self) -> FloorSummary {
        let mut floors: Vec<f64> = self.metrics.iter().map(|metric| metric.p99.exp_m1()).collect();
        floors.sort_by(f64::total_cmp);
        FloorSummary {
            median: quantile(&floors, 0.5),
            alarms: self.alarms,
            comparisons: self.comparisons,
        }
    }
}

fn check_rounds(rounds: &[(Snapshot, Snapshot)]) -> Result<(), RegressError> {
    let refuse = |reason: String| Err(RegressError::Floor { reason });
    if rounds.len() < LEAST_ROUNDS {
        return refuse(format!("{} are too few, {LEAST_ROUNDS} are needed", rounds.len()));
    }
    let mut sessions = std::collections::BTreeSet::new();
    for (one, other) in rounds {
        let Some(session) = one.session.as_ref().filter(|_| one.session == other.session) else {
            return refuse("the two sides of a round did not take turns in one session".to_owned());
        };
        if !sessions.insert(session) {
            return refuse(format!("session {session:?} is given twice"));
        }
        let first = &rounds[0].0.machine;
        if !one.machine.is(first) || !other.machine.is(first) {
            return refuse("they come from two machines".to_owned());
        }
        if one.suite != rounds[0].0.suite {
            return refuse("they are of two suites".to_owned());
        }
    }
    Ok(())
}
