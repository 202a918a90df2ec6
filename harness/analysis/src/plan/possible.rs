//! Targets and effects that no run can come to: refused before anything runs.

use super::{RATIOS, is_share};
use crate::suite::{ClaimUse, CompareBy, Problem};
use ledger::catalogue::{MetricInfo, row};
use ledger::record::planned::PlannedWorkload;

/// What is wrong with a target on a metric.
pub(super) fn target<S: AsRef<str>>(metric: &MetricInfo<S>, value: f64) -> Option<String> {
    let best = metric.best?;
    let name = metric.name.as_ref();
    let beyond = if metric.higher_is_better { value > best } else { value < best };
    if beyond {
        let side = if metric.higher_is_better { "at most" } else { "at least" };
        let hint = hundredth(is_share(metric), value, best);
        return Some(format!("target is {value}, but {name} is {side} {best}{hint}"));
    }
    (is_share(metric) && value < 0.0)
        .then(|| format!("target is {value}, but {name} is at least 0, which every run reaches"))
}

/// What is wrong with the effect that a claim asks for.
pub(super) fn effect(claim: &ClaimUse, workloads: &[PlannedWorkload]) -> Option<Problem> {
    if RATIOS.contains(&claim.compare.as_str()) || claim.by == CompareBy::Ratio {
        return None;
    }
    let (_, name) = claim.compare.split_once('/')?;
    let named = |label: &String| claim.workloads.is_empty() || claim.workloads.contains(label);
    let mut judged = workloads.iter().filter(|workload| named(&workload.label));
    let metric = judged.find_map(|workload| row(&workload.metrics, name))?;
    let best = metric.best.filter(|_| is_share(metric))?;
    // An effect less another one can be as large as two.
    let most = if claim.minus.is_some() || claim.grows_from.is_some() { 2.0 * best } else { best };
    (claim.at_least > most).then(|| {
        let hint = hundredth(true, claim.at_least, most);
        let message =
            format!("at_least is {}, but {name} differs by at most {most}{hint}", claim.at_least);
        Problem::at("at_least", message)
    })
}

/// A share written as a percentage.
fn hundredth(is_share: bool, value: f64, most: f64) -> String {
    let meant = value / 100.0;
    if is_share && meant <= most { format!("; did you mean {meant}?") } else { String::new() }
}
