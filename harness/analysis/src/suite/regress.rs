//! How a suite wants its regression gate: how many pairs, and what its metrics are held to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Problem, Step, key};
use crate::regress::Rule;
use crate::regress::excuse::{Date, Quarantine};
use crate::regress::extract::{Exception, Treatment};
use crate::regress::metric::{Class, Tolerance};

/// Interleaved pairs of every cell, over all of its seeds, when the suite says nothing.
pub const PAIRS: u32 = 8;
/// With fewer pairs nothing is judged.
const LEAST_PAIRS: u32 = 3;
/// More pairs than these are a slip.
const MOST_PAIRS: u32 = 1000;

/// The `regress` part of a suite.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RegressUse {
    /// Pairs of times of each arm on each workload, over all seeds.
    #[serde(default)]
    pub pairs: Option<u32>,
    /// The smallest change that matters: of a time as a share of the base, of a score as a share of
    /// the base's distance to the best value.
    #[serde(default)]
    pub margin: Option<f64>,
    /// False discovery rate over all tested metrics.
    #[serde(default)]
    pub q: Option<f64>,
    /// How many noise floors a change must exceed.
    #[serde(default)]
    pub floor_multiple: Option<f64>,
    /// Class, tolerance and margin of metrics, where they are not those of the metric's kind.
    #[serde(default)]
    pub metrics: BTreeMap<String, MetricUse>,
    /// What is otherwise for some arms or workloads; where several fit, the last counts.
    #[serde(default)]
    pub exceptions: Vec<ExceptionUse>,
}

/// What is otherwise for an arm, a workload, or an arm on a workload.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExceptionUse {
    /// Label of the arm; every arm without one.
    #[serde(default)]
    pub arm: Option<String>,
    /// Label of the workload; every workload without one.
    #[serde(default)]
    pub workload: Option<String>,
    /// Class, tolerance and margin of metrics there.
    #[serde(default)]
    pub metrics: BTreeMap<String, MetricUse>,
    /// Verdicts there do not count for a while.
    #[serde(default)]
    pub quarantine: Option<QuarantineUse>,
}

/// Until when, and why, verdicts do not count.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineUse {
    /// The last day, in UTC.
    pub until: Date,
    /// Why.
    pub reason: String,
}

/// How one metric is compared.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MetricUse {
    /// The class.
    pub class: Class,
    /// Of class `ulp`: so many representable numbers apart are the same.
    #[serde(default)]
    pub ulps: Option<u64>,
    /// Of class `ulp`: values apart by this share of the larger are the same.
    #[serde(default)]
    pub relative: Option<f64>,
    /// Of class `time` (a share) or `quality` (in the metric's unit): the smallest change that
    /// matters.
    #[serde(default)]
    pub margin: Option<f64>,
}

impl MetricUse {
    /// The same, as the gate has it.
    #[must_use]
    pub fn treatment(&self) -> Treatment {
        let ulps = self.ulps.map(Tolerance::Ulps);
        let tolerance = ulps.or(self.relative.map(Tolerance::Relative));
        Treatment { class: self.class, tolerance, margin: self.margin }
    }

    fn problem(&self) -> Option<String> {
        let Self { class, ulps, relative, margin } = self;
        let name = class.name();
        if ulps.is_some() && relative.is_some() {
            return Some("both ulps and relative are given: give one".to_owned());
        }
        if (ulps.is_some() || relative.is_some()) && *class != Class::Ulp {
            return Some(format!("class {name} takes no tolerance: only ulp does"));
        }
        if let Some(share) = relative.filter(|share| !(0.0..1.0).contains(share)) {
            return Some(format!("relative is {share}: it must be from 0 to below 1"));
        }
        let tested = matches!(class, Class::Time | Class::Quality);
        let margin = (*margin)?;
        (!(tested && margin > 0.0 && margin.is_finite())).then(|| {
            format!("margin is {margin} of class {name}: time and quality take a positive number")
        })
    }
}

impl RegressUse {
    /// The rule with what the suite changes of it.
    #[must_use]
    pub fn rule(&self) -> Rule {
        let rule = Rule::default();
        Rule {
            q: self.q.unwrap_or(rule.q),
            margin: self.margin.unwrap_or(rule.margin),
            floor_multiple: self.floor_multiple.unwrap_or(rule.floor_multiple),
            ..rule
        }
    }

    /// Metrics that are compared otherwise in some arms or workloads.
    #[must_use]
    pub fn exceptions(&self) -> Vec<Exception> {
        let of = |one: &ExceptionUse| -> Vec<Exception> {
            let metrics = one.metrics.iter();
            let exception = |(metric, used): (&String, &MetricUse)| Exception {
                arm: one.arm.clone(),
                workload: one.workload.clone(),
                metric: metric.clone(),
                treatment: used.treatment(),
            };
            metrics.map(exception).collect()
        };
        self.exceptions.iter().flat_map(of).collect()
    }

    /// Arms and workloads in quarantine, those included whose time is over.
    #[must_use]
    pub fn quarantines(&self) -> Vec<Quarantine> {
        let of = |one: &ExceptionUse| {
            let QuarantineUse { until, reason } = one.quarantine.clone()?;
            Some(Quarantine { arm: one.arm.clone(), workload: one.workload.clone(), until, reason })
        };
        self.exceptions.iter().filter_map(of).collect()
    }

    /// What cannot be, and where.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        if let Some(pairs) = self.pairs.filter(|pairs| !(LEAST_PAIRS..=MOST_PAIRS).contains(pairs))
        {
            let message = format!(
                "pairs is {pairs}: it must be from {LEAST_PAIRS} to {MOST_PAIRS}, such as 8"
            );
            return Some(Problem::at("pairs", message));
        }
        let rule = Rule::default();
        for (field, alone) in [
            ("margin", Rule { margin: self.margin.unwrap_or(rule.margin), ..rule }),
            ("q", Rule { q: self.q.unwrap_or(rule.q), ..rule }),
            ("floor_multiple", {
                Rule { floor_multiple: self.floor_multiple.unwrap_or(rule.floor_multiple), ..rule }
            }),
        ] {
            if let Err(error) = alone.check() {
                return Some(Problem::at(field, error.to_string()));
            }
        }
        let in_metrics = |metrics: &BTreeMap<String, MetricUse>| {
            metrics.iter().find_map(|(name, treatment)| {
                let message = treatment.problem()?;
                Some(Problem::at(name, message).below([key("metrics")]))
            })
        };
        in_metrics(&self.metrics).or_else(|| {
            self.exceptions.iter().enumerate().find_map(|(place, one)| {
                let problem = in_metrics(&one.metrics).or_else(|| one.problem())?;
                Some(problem.below([key("exceptions"), Step::Index(place)]))
            })
        })
    }
}

impl ExceptionUse {
    fn problem(&self) -> Option<Problem> {
        let Self { arm, workload, metrics, quarantine } = self;
        let message = if arm.is_none() && workload.is_none() {
            "an exception is of an arm, a workload or both: name one"
        } else if metrics.is_empty() && quarantine.is_none() {
            "an exception has metrics, a quarantine or both"
        } else if quarantine.as_ref().is_some_and(|held| held.reason.trim().is_empty()) {
            "a quarantine has a reason"
        } else {
            return None;
        };
        Some(Problem(Vec::new(), message.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::regress::metric::{Class, Tolerance};

    fn section(text: &str) -> RegressUse {
        let suite = format!(
            "suite: s\nquestion: q\nworkloads: [w]\narms: [a]\nregress:\n{}",
            text.lines().map(|line| format!("  {line}\n")).collect::<String>()
        );
        parse("s.yaml", &suite).unwrap().regress
    }

    #[test]
    fn a_suite_changes_the_rule_and_the_metrics_that_it_names() {
        let used = section(
            "pairs: 12\nmargin: 0.05\nmetrics:\n  loss: { class: ulp, ulps: 4 }\n  time: { class: time, margin: 0.1 }",
        );
        assert_eq!((used.pairs, used.rule().margin, used.rule().q), (Some(12), 0.05, 0.05));
        assert_eq!(used.metrics["loss"].class, Class::Ulp);
        assert_eq!(used.metrics["loss"].treatment().tolerance, Some(Tolerance::Ulps(4)));
        assert_eq!(used.problem(), None);
    }

    #[test]
    fn an_arm_may_have_margins_of_its_own_and_be_in_quarantine_until_a_day() {
        let used = section(
            "exceptions:\n  - { arm: a, workload: w, metrics: { t: { class: time, margin: 0.2 }, l: { class: info } } }\n  - { arm: b, quarantine: { until: 2026-12-31, reason: unstable } }",
        );
        assert_eq!(used.problem(), None);
        let exceptions = used.exceptions();
        assert_eq!(exceptions.len(), 2);
        assert_eq!(exceptions[1].arm.as_deref(), Some("a"));
        assert_eq!(exceptions[1].treatment.margin, Some(0.2));
        let quarantines = used.quarantines();
        assert_eq!((quarantines.len(), quarantines[0].until.to_string()), (1, "2026-12-31".into()));
    }

    #[test]
    fn numbers_without_meaning_are_refused_with_their_place() {
        for (text, place) in [
            ("pairs: 2", "pairs"),
            ("margin: 2", "margin"),
            ("q: 0", "q"),
            ("floor_multiple: -1", "floor_multiple"),
            ("metrics:\n  m: { class: exact, margin: 0.1 }", "metrics"),
            ("metrics:\n  m: { class: time, ulps: 1 }", "metrics"),
            ("metrics:\n  m: { class: ulp, relative: 2 }", "metrics"),
            ("exceptions:\n  - { arm: a, metrics: { m: { class: time, ulps: 1 } } }", "exceptions"),
            ("exceptions:\n  - { arm: a }", "exceptions"),
            ("exceptions:\n  - { metrics: { m: { class: info } } }", "exceptions"),
            (
                "exceptions:\n  - { arm: a, quarantine: { until: 2026-12-31, reason: ' ' } }",
                "exceptions",
            ),
        ] {
            let Problem(path, message) = section(text).problem().unwrap();
            assert_eq!(path[0], Step::Key(place.to_owned()), "{text}: {message}");
        }
    }
}
