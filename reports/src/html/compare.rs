//! Two reports side by side on a page, with what changed first.

use std::collections::BTreeSet;

use analysis::summary::{
    Analysis, ArmAnalysis, ClaimOutcome, Estimate, ToTarget, WorkloadAnalysis,
};
use askama::Template;
use stats::interval::Interval;

use super::Look;
use super::script::Head;
use crate::ReportError;
use crate::text::{self, ABSENT, one_line};

/// The page of `a` and `b`, which are called by these names.
///
/// # Errors
/// When the template refuses.
pub fn page([a, b]: [&Analysis; 2], [left, right]: [&str; 2]) -> Result<String, ReportError> {
    let mut claims: Vec<ClaimRow> =
        pairs(&a.claims, &b.claims, |claim| (claim.id.clone(), claim.workload.clone()))
            .into_iter()
            .map(|(a, b)| ClaimRow::new(a, b))
            .collect();
    claims.sort_by_key(|row| !row.changed);
    let mut arms: Vec<ArmRow> = Vec::new();
    for (a, b) in pairs(&a.workloads, &b.workloads, |one| one.workload.clone()) {
        let Some(workload) = a.or(b) else { continue };
        let both = pairs(arms_of(a), arms_of(b), |arm| arm.label.clone());
        arms.extend(both.into_iter().map(|(a, b)| ArmRow::new(workload, a, b)));
    }
    // Beyond the intervals before within them, and of these the largest change first.
    arms.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let setting = setting(a, b);
    let changed = claims.iter().filter(|row| row.changed).count();
    let beyond = arms.iter().filter(|row| row.weight >= BEYOND).count();
    let page = ComparePage {
        left: one_line(left),
        right: one_line(right),
        question: one_line(&a.question),
        summary: format!(
            "{changed} of {} verdicts differ; {beyond} of {} arms differ by more than their intervals",
            claims.len(),
            arms.len()
        ),
        claims,
        arms,
        setting,
        head: Head::with_script(),
    };
    Ok(page.render()?)
}

fn arms_of(workload: Option<&WorkloadAnalysis>) -> &[ArmAnalysis] {
    workload.map_or(&[], |workload| &workload.arms)
}

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    left: String,
    right: String,
    question: String,
    summary: String,
    claims: Vec<ClaimRow>,
    arms: Vec<ArmRow>,
    setting: Vec<[String; 3]>,
    head: Head,
}

/// Rows of both sides by their key, in the order of the first; what only one side has stands alone.
fn pairs<'t, T, K: Ord + Clone>(
    a: &'t [T],
    b: &'t [T],
    key: impl Fn(&T) -> K,
) -> Vec<(Option<&'t T>, Option<&'t T>)> {
    let known: BTreeSet<K> = a.iter().map(&key).collect();
    let mut rows: Vec<(Option<&T>, Option<&T>)> = Vec::new();
    for one in a {
        let wanted = key(one);
        rows.push((Some(one), b.iter().find(|other| key(other) == wanted)));
    }
    rows.extend(
        b.iter().filter(|other| !known.contains(&key(other))).map(|other| (None, Some(other))),
    );
    rows
}

/// A verdict on one side.
struct Said {
    class: &'static str,
    symbol: &'static str,
    words: String,
    effect: String,
}

impl Said {
    fn new(claim: &ClaimOutcome) -> Self {
        let Look { class, symbol, .. } = Look::of(claim.verdict);
        Self { class, symbol, words: claim.verdict_words(), effect: text::effect(claim) }
    }
}

struct ClaimRow {
    changed: bool,
    statement: String,
    workload: String,
    sides: [Option<Said>; 2],
}

impl ClaimRow {
    fn new(a: Option<&ClaimOutcome>, b: Option<&ClaimOutcome>) -> Self {
        let of = |text: fn(&ClaimOutcome) -> &String| {
            a.or(b).map_or(String::new(), |c| one_line(text(c)))
        };
        Self {
            changed: a.map(|claim| claim.verdict) != b.map(|claim| claim.verdict),
            statement: of(|claim| &claim.statement),
            workload: of(|claim| &claim.workload),
            sides: [a.map(Said::new), b.map(Said::new)],
        }
    }
}

/// Weight from which a change is one beyond the intervals.
const BEYOND: f64 = 1e6;

/// A value on both sides.
struct Two {
    shown: [String; 2],
    change: String,
    /// How the change reads: `beyond` both intervals, `within`, or nothing where there is none.
    class: &'static str,
}

struct ArmRow {
    workload: String,
    label: String,
    time: Two,
    metric: Two,
    key: String,
    weight: f64,
}

impl ArmRow {
    fn new(workload: &WorkloadAnalysis, a: Option<&ArmAnalysis>, b: Option<&ArmAnalysis>) -> Self {
        let keys = [workload.target.test_key(), workload.target.validation_key()];
        let has =
            |key: &&String| a.into_iter().chain(b).any(|arm| arm.at_budget.contains_key(*key));
        // Scripts that recorded themselves have no test split.
        let key = keys.iter().find(has).unwrap_or(&keys[1]);
        let of = |arm: Option<&ArmAnalysis>| arm.and_then(|arm| arm.at_budget.get(key)).cloned();
        let (time, by_time) = times(a, b);
        let (metric, by_metric) = metrics(of(a), of(b));
        let alone = a.is_some() != b.is_some();
        Self {
            workload: one_line(&workload.workload),
            label: a.or(b).map_or(String::new(), |arm| one_line(&arm.label)),
            time,
            metric,
            key: key.clone(),
            weight: if alone { 2.0 * BEYOND } else { by_time.max(by_metric) },
        }
    }
}

/// The times to the target as a ratio, and how much it weighs.
fn times(a: Option<&ArmAnalysis>, b: Option<&ArmAnalysis>) -> (Two, f64) {
    let shown =
        |arm: Option<&ArmAnalysis>| match arm.map(|arm| (arm, text::centre(&arm.time_to_target))) {
            None => "not there".to_owned(),
            Some((_, Some((seconds, _)))) => text::time(seconds),
            Some((arm, None)) if arm.idle => ABSENT.to_owned(),
            Some((arm, None)) if text::without_clock(arm) => "no clock".to_owned(),
            Some((_, None)) => "not reached".to_owned(),
        };
    let value = |arm: Option<&ArmAnalysis>| {
        arm.and_then(|arm| text::centre(&arm.time_to_target)).map(|(value, _)| value)
    };
    let interval = |arm: Option<&ArmAnalysis>| arm.and_then(|arm| ends(&arm.time_to_target));
    let shown = [shown(a), shown(b)];
    match (value(a), value(b)) {
        (Some(before), Some(after)) if before > 0.0 && after > 0.0 => {
            let ratio = after / before;
            two(shown, text::ratio(ratio), ratio.ln().abs(), [interval(a), interval(b)])
        }
        (None, None) => two(shown, String::new(), 0.0, [None, None]),
        _ => (Two { shown, change: "reached on one side".to_owned(), class: "beyond" }, BEYOND),
    }
}

fn ends(time: &ToTarget) -> Option<Interval> {
    time.interval
}

/// The metric at the budget as a difference, and how much it weighs.
fn metrics(a: Option<Estimate>, b: Option<Estimate>) -> (Two, f64) {
    let shown = |one: &Option<Estimate>| {
        one.as_ref().map_or(ABSENT.to_owned(), |one| {
            let (value, spread) = text::estimate(one);
            format!("{value} {spread}")
        })
    };
    let both = [shown(&a), shown(&b)];
    let (Some(a), Some(b)) = (a, b) else { return two(both, String::new(), 0.0, [None, None]) };
    let change = b.value - a.value;
    let sign = if change > 0.0 { "+" } else { "" };
    let size = a.value.abs().max(b.value.abs()).max(f64::MIN_POSITIVE);
    let words = format!("{sign}{}", text::significant(change, 2));
    two(both, words, change.abs() / size, [a.interval, b.interval])
}

/// Whether two intervals share no value decides how a change reads.
fn two(
    shown: [String; 2],
    change: String,
    size: f64,
    intervals: [Option<Interval>; 2],
) -> (Two, f64) {
    let apart = match intervals {
        [Some(a), Some(b)] => a.high < b.low || b.high < a.low,
        _ => false,
    };
    let size = if size.is_finite() { size.min(BEYOND / 2.0) } else { 0.0 };
    let (class, weight) = match (apart, size > 0.0) {
        (true, _) => ("beyond", BEYOND + size),
        (false, true) => ("within", size),
        (false, false) => ("", 0.0),
    };
    let change = if size > 0.0 || apart { change } else { "=".to_owned() };
    (Two { shown, change, class }, weight)
}

/// What differs in how the runs were made.
fn setting(a: &Analysis, b: &Analysis) -> Vec<[String; 3]> {
    let own = |one: &Analysis| {
        let mut rows = vec![
            ("suite".to_owned(), one.suite.clone()),
            ("suite digest".to_owned(), one.suite_digest.clone()),
            ("cells".to_owned(), one.runs.len().to_string()),
        ];
        rows.extend(one.environment.iter().cloned());
        rows
    };
    let (a, b) = (own(a), own(b));
    let rows = pairs(&a, &b, |(name, _)| name.clone()).into_iter().filter_map(|(a, b)| {
        let (name, _) = a.or(b)?;
        let value = |one: Option<&(String, String)>| {
            one.map_or(ABSENT.to_owned(), |(_, value)| one_line(value))
        };
        let (before, after) = (value(a), value(b));
        (before != after).then(|| [one_line(name), before, after])
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use stats::verdict::Verdict;

    use super::*;
    use crate::sample;

    fn rows<'p>(page: &'p str, class: &str) -> Vec<&'p str> {
        let table = page.split(&format!("<table class=\"{class}\">")).nth(1).unwrap();
        table.split("</table>").next().unwrap().split("<tr").skip(2).collect()
    }

    #[test]
    fn a_report_beside_itself_has_no_change() {
        let analysis = sample::full();
        let page = page([&analysis, &analysis], ["a", "b"]).unwrap();
        assert!(
            page.contains(
                "0 of 3 verdicts differ; 0 of 12 arms differ by more than their intervals"
            )
        );
        assert!(!page.contains("class=\"beyond\"") && !page.contains("class=\"within\""));
        assert!(page.contains("made alike"));
    }

    #[test]
    fn what_changed_beyond_the_intervals_comes_first_and_then_the_larger_change() {
        let before = sample::full();
        let mut after = before.clone();
        after.claims[2].verdict = Verdict::Reproduced;
        after.environment[1].1 = "another commit".to_owned();
        let arms = &mut after.workloads[0].arms;
        // muon ten times slower, its interval far from before; sgd hardly.
        for (place, factor) in [(0, 1.001), (2, 10.0)] {
            let time = &mut arms[place].time_to_target;
            time.geometric_mean = time.geometric_mean.map(|value| value * factor);
            time.interval =
                time.interval.map(|i| Interval { low: i.low * factor, high: i.high * factor, ..i });
        }
        arms.truncate(11);
        let page = page([&before, &after], ["first", "second"]).unwrap();
        let claims = rows(&page, "claims");
        assert!(claims[0].contains("rs2 reaches") && claims[0].contains("changed"));
        assert!(!claims[1].contains("changed"));
        let arms = rows(&page, "arms");
        assert_eq!(arms.len(), 12, "one is only on the left");
        assert!(arms[0].contains("alert(1)") && arms[0].contains("not there"));
        assert!(
            arms[1].contains("muon") && arms[1].contains("10.0×") && arms[1].contains("beyond")
        );
        assert!(arms[2].contains("sgd") && arms[2].contains("within"));
        assert!(page.contains("1 of 3 verdicts differ; 2 of 12 arms"));
        assert!(page.contains("another commit"));
    }
}
