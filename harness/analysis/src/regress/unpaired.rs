//! Two files of results that did not take turns: their values are repetitions, not pairs.
//!
//! Means are compared by Welch's t-test, of logarithms for times, and adjusted over all metrics as in
//! the gate. What repetitions within one file cannot show is how much a machine differs from one session
//! to the next: without a bound of it that somebody states (`drift`), times are shown and not judged. With
//! one, a change is an alarm where it is shown to be larger than the bound, not larger than 0.

mod results;

use std::collections::{BTreeMap, BTreeSet};

use stats::interval::Interval;
use stats::multiple::benjamini_hochberg;
use stats::verdict::Scale;
use stats::welch::Welch;

use super::RegressError;
use super::decide::{self, Decision, FloorAt};
use super::judge::scale_of_score;
use super::metric::{Class, MetricName, Value};
use super::report::{Effect, InfoRow, Report, Row, Verdict};
use super::rule::Rule;
use super::snapshot::{Cell, Snapshot};
use ledger::goal::Direction;
pub use results::{Results, Sample};

/// What is known of the machine that both files come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// By which share two sessions of one machine differ at most where nothing changed; none where
    /// nobody says that both files are of one machine.
    pub drift: Option<f64>,
}

/// A row that is tested, and its test.
struct Tested {
    row: usize,
    /// Of head less base, positive where the head is worse; of logarithms for times.
    worse: Welch,
    margin: f64,
    drift: f64,
}

/// Judges `head` against `base`, metric by metric.
///
/// # Errors
/// When they are of two suites, a metric has two units, classes or directions, the rule or the drift is
/// out of range, or a number leaves the range of f64.
pub fn judge(base: &Results, head: &Results, terms: Terms<'_>) -> Result<Report, RegressError> {
    if base.suite != head.suite {
        let (base, head) = (base.suite.clone(), head.suite.clone());
        return Err(RegressError::OtherSuite { base, head });
    }
    let (rows, info) = rows(base, head, terms)?;
    Ok(Report {
        base_commit: base.commit.clone(),
        head_commit: head.commit.clone(),
        rule: *terms.rule,
        rows,
        info,
        ..Report::blank(head.suite.clone())
    })
}

/// Judges two snapshots whose sides did not take turns: everything but times as against a kept reference, seed
/// by seed, and times as values of two sessions. The two families are adjusted each for itself.
///
/// # Errors
/// As [`judge`]; when a drift is stated of two machines.
pub fn two_sessions(
    base: &Snapshot,
    head: &Snapshot,
    terms: Terms<'_>,
) -> Result<Report, RegressError> {
    let elsewhere = (!base.machine.is(&head.machine))
        .then(|| base.machine.differences(&head.machine).join("; "));
    if let (Some(differences), Some(_)) = (&elsewhere, terms.drift) {
        let differences = differences.clone();
        return Err(RegressError::DriftOfTwo { differences });
    }
    let untimed = |side: &Snapshot| {
        let mut side = side.clone();
        for cell in &mut side.cells {
            cell.metrics.retain(|metric| metric.class != Class::Time);
        }
        side
    };
    let at = FloorAt { floor: None, now_unix: 0 };
    let mut report = match decide::decide(&untimed(base), &untimed(head), at, terms.rule)? {
        // Sides of two sessions have nothing that could be measured again.
        Decision::Final { report } | Decision::NeedsConfirmation { provisional: report, .. } => {
            *report
        }
    };
    let (base_times, head_times) = (Results::times_of(base), Results::times_of(head));
    let gaps = [("base", base_times.gaps(base)), ("head", head_times.gaps(head))];
    let configs: BTreeMap<_, _> =
        base.cells.iter().map(|cell| (cell.name(), cell.config)).collect();
    let changed =
        |cell: &&Cell| configs.get(&cell.name()).is_some_and(|config| *config != cell.config);
    let changed: BTreeSet<(&str, &str)> = head
        .cells
        .iter()
        .filter(changed)
        .map(|cell| (cell.workload.as_str(), cell.arm.as_str()))
        .collect();
    let withheld = |name: &MetricName| {
        if let Some(differences) = &elsewhere {
            let reason = format!("measured on another machine ({differences})");
            return Some((Verdict::EnvironmentChanged, reason));
        }
        if changed.contains(&(name.workload.as_str(), name.arm.as_str())) {
            return Some((Verdict::Inconclusive, "run with other settings in the base".to_owned()));
        }
        gaps.iter().find_map(|(side, gaps)| {
            let (lacking, runs) = gaps.get(name)?;
            // What is left would favour the side that only measures what goes well.
            let reason = format!("{lacking} of {runs} runs of the {side} have no value");
            Some((Verdict::Inconclusive, reason))
        })
    };
    let (times, _) = rows_unless(&base_times, &head_times, terms, &withheld)?;
    report.rows.extend(times);
    report.rows.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(report)
}

/// The rows of all metrics but `info`, and those.
///
/// # Errors
/// As [`judge`].
pub fn rows(
    base: &Results,
    head: &Results,
    terms: Terms<'_>,
) -> Result<(Vec<Row>, Vec<InfoRow>), RegressError> {
    rows_unless(base, head, terms, &|_| None)
}

/// The same, where `withheld` says of what both sides have why it is not judged: that is no part of any test.
fn rows_unless(
    base: &Results,
    head: &Results,
    terms: Terms<'_>,
    withheld: &dyn Fn(&MetricName) -> Option<(Verdict, String)>,
) -> Result<(Vec<Row>, Vec<InfoRow>), RegressError> {
    terms.rule.check()?;
    if let Some(value) = terms.drift.filter(|drift| !(*drift > 0.0 && *drift < 1.0)) {
        let wanted = "above 0 and below 1, such as 0.05";
        return Err(RegressError::Rule { name: "drift between sessions", value, wanted });
    }
    let mut sides: BTreeMap<&MetricName, (Option<&Sample>, Option<&Sample>)> = BTreeMap::new();
    for sample in &base.samples {
        sides.entry(&sample.name).or_default().0 = Some(sample);
    }
    for sample in &head.samples {
        sides.entry(&sample.name).or_default().1 = Some(sample);
    }
    let (mut rows, mut info, mut tested) = (Vec::new(), Vec::new(), Vec::new());
    for (name, (base, head)) in sides {
        let Some(any) = base.or(head) else { continue };
        if let (Some(base), Some(head)) = (base, head) {
            agree(base, head)?;
        }
        if any.class == Class::Info {
            let first = |side: Option<&Sample>| Some(Value::Number(*side?.values.first()?));
            let (base, head) = (first(base), first(head));
            info.push(InfoRow { name: name.clone(), unit: any.unit.clone(), base, head });
            continue;
        }
        let row = blank(any, base, head);
        rows.push(match (base, head, withheld(name)) {
            (Some(_), Some(_), Some((verdict, reason))) => Row { verdict, reason, ..row },
            (Some(base), Some(head), None) => {
                let (row, test) = measure(base, head, row, rows.len(), terms)?;
                tested.extend(test);
                row
            }
            (None, ..) => {
                Row { verdict: Verdict::New, judged: true, reason: "not in the base".into(), ..row }
            }
            (_, None, _) => Row {
                verdict: Verdict::Missing,
                reason: "in the base, not in the head".into(),
                ..row
            },
        });
    }
    settle(&mut rows, &tested, terms.rule)?;
    Ok((rows, info))
}

fn agree(base: &Sample, head: &Sample) -> Result<(), RegressError> {
    let shown = |direction: Option<Direction>| format!("{direction:?}");
    for (what, one, other) in [
        ("unit", base.unit.clone(), head.unit.clone()),
        ("class", base.class.name().to_owned(), head.class.name().to_owned()),
        ("direction", shown(base.direction), shown(head.direction)),
    ] {
        if one != other {
            let metric = base.name.to_string();
            return Err(RegressError::Mixed { metric, what, one, other });
        }
    }
    Ok(())
}

fn blank(any: &Sample, base: Option<&Sample>, head: Option<&Sample>) -> Row {
    let some = |side: &&Sample| !side.values.is_empty();
    let middle = |side: Option<&Sample>| Some(Value::Number(middle(side.filter(some)?)));
    Row {
        name: any.name.clone(),
        class: any.class,
        unit: any.unit.clone(),
        direction: any.direction,
        verdict: Verdict::Inconclusive,
        judged: false,
        reason: String::new(),
        base: middle(base),
        head: middle(head),
        effect: None,
        p: None,
        q: None,
        pairs: 0,
        threshold: None,
        floor: None,
        confirmation: None,
        excused: None,
    }
}

/// Mean of a sample: geometric for times.
fn middle(sample: &Sample) -> f64 {
    let n = sample.values.len() as f64;
    if sample.class == Class::Time {
        (sample.values.iter().map(|value| value.ln()).sum::<f64>() / n).exp()
    } else {
        sample.values.iter().map(|value| value / n).sum()
    }
}

/// The row with its measured change, and its test; or with why it has none.
fn measure(
    base: &Sample,
    head: &Sample,
    row: Row,
    place: usize,
    terms: Terms<'_>,
) -> Result<(Row, Option<Tested>), RegressError> {
    let Terms { rule, drift } = terms;
    let time = base.class == Class::Time;
    let (n, m) = (base.values.len(), head.values.len());
    if n.min(m) < rule.least_pairs.max(2) {
        let least = rule.least_pairs.max(2);
        let reason = format!(
            "{n} values beside {m} are too few, {least} on either side are needed (those of a busy machine do not count)"
        );
        return Ok((Row { reason, ..row }, None));
    }
    let lower = base.direction != Some(Direction::HigherIsBetter);
    let oriented = |side: &Sample| -> Vec<f64> {
        let values = side.values.iter();
        let values = values.map(|value| if time { value.ln() } else { *value });
        values.map(|value| if lower { value } else { 0.0 - value }).collect()
    };
    let failed = |source| RegressError::Stats { metric: base.name.to_string(), source };
    let worse = Welch::of(&oriented(base), &oriented(head)).map_err(failed)?;
    let interval = worse.interval(rule.resampling.level).map_err(failed)?;
    let row = Row { effect: Some(effect(&worse, interval, time, lower)), ..row };
    let Some(drift) = drift.or((!time).then_some(0.0)) else {
        let reason = "times of two sessions are not judged: nobody knows what the machine was like; let both sides \
                      take turns, or state by what share sessions of this one machine differ (--drift 0.05)";
        return Ok((Row { reason: reason.to_owned(), ..row }, None));
    };
    let drift = if time { drift.ln_1p() } else { 0.0 };
    let share = base.margin.unwrap_or(rule.margin);
    let margin = match (time, base.margin) {
        (true, _) => share.ln_1p(),
        (false, Some(margin)) => margin,
        (false, None) => share * scale_of_score(base.best, middle(base), middle(head)),
    };
    if margin == 0.0 {
        let reason = "the base is 0, so that a share of it is no margin: state one in the file";
        return Ok((Row { reason: reason.to_owned(), ..row }, None));
    }
    let threshold = margin.max(drift);
    let threshold = Some(if time { threshold.exp_m1() } else { threshold });
    let tested = Tested { row: place, worse, margin, drift };
    Ok((Row { judged: true, threshold, ..row }, Some(tested)))
}

/// The change as a reader sees it: head / base, or head - base, whichever way is better.
fn effect(worse: &Welch, interval: Interval, time: bool, lower: bool) -> Effect {
    let Interval { low, high, level } = interval;
    let value = worse.difference;
    let (value, low, high) = if lower { (value, low, high) } else { (-value, -high, -low) };
    let (scale, value, low, high) = if time {
        (Scale::LogRatio, value.exp(), low.exp(), high.exp())
    } else {
        (Scale::Difference, value, low, high)
    };
    Effect { scale, value, interval: Interval { low, high, level } }
}

fn settle(rows: &mut [Row], tested: &[Tested], rule: &Rule) -> Result<(), RegressError> {
    let p_worse: Vec<f64> = tested.iter().map(|test| test.worse.p_above(test.drift)).collect();
    let p_better: Vec<f64> = tested.iter().map(|test| test.worse.p_below(-test.drift)).collect();
    let not_p = |source| RegressError::Stats { metric: "all metrics".to_owned(), source };
    let q_worse = benjamini_hochberg(&p_worse).map_err(not_p)?;
    let q_better = benjamini_hochberg(&p_better).map_err(not_p)?;
    for (index, Tested { row, worse, margin, drift }) in tested.iter().enumerate() {
        let row = &mut rows[*row];
        let (p, q, verdict) = if worse.difference >= 0.0 {
            (p_worse[index], q_worse[index], Verdict::Regressed)
        } else {
            (p_better[index], q_better[index], Verdict::Improved)
        };
        (row.p, row.q) = (Some(p), Some(q));
        let within = margin.max(*drift);
        let (significant, beyond) = (q <= rule.q, worse.difference.abs() > within);
        let same = worse.p_above(-within).max(worse.p_below(within)) < rule.equivalence_alpha;
        let (verdict, reason) = if significant && beyond {
            let side = if verdict == Verdict::Regressed { "worse" } else { "better" };
            let than = if *drift > 0.0 { " than sessions of this machine differ" } else { "" };
            (verdict, format!("{side}{than}, by Welch's test and the margin"))
        } else if same || (worse.standard_error == 0.0 && worse.difference == 0.0) {
            let what = if *drift > *margin { "the stated drift" } else { "the margin" };
            (Verdict::Same, format!("shown to be within {what}"))
        } else {
            let lacking = match (significant, beyond) {
                (false, true) => "no change is significant over all metrics",
                (true, false) => "the change is not beyond the margin",
                _ => "no change is significant, nor beyond the margin",
            };
            (Verdict::Inconclusive, format!("{lacking}; equivalence is not shown"))
        };
        let (n, m) = worse.counts;
        (row.verdict, row.reason) = (verdict, format!("{n} values beside {m}: {reason}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
