//! Records to numbers: the one place where they are computed.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ANALYSIS_VERSION, Analysis, ArmAnalysis, CurvePoint, Estimate, Outcomes, RunRow, SpeedUp,
    ToTarget, WorkloadAnalysis, claims,
};
use crate::record::format::{DISTURBED, Environment, Event, RunRecord, Status};
use crate::record::suite_run::{RunCell, RunWorkload, SuiteRun};
use crate::stats::bootstrap::Resampling;
use crate::stats::interval;
use crate::stats::paired::{IntervalMethod, Pair, mean_effect, speed_up};
use crate::stats::sign_flip::sign_flip;
use crate::stats::survival::{Outcome, kaplan_meier};

/// Seed of every bootstrap; stored with the intervals it makes.
pub const BOOTSTRAP_SEED: u64 = 0;

/// Points of a curve over time.
const TIME_POINTS: u32 = 60;

/// One cell with its record, when there is one.
#[derive(Debug, Clone)]
pub struct CellRun {
    /// Which cell.
    pub cell: RunCell,
    /// What it left; absent when it has not run.
    pub left: Option<CellLeft>,
}

/// What a cell left.
#[derive(Debug, Clone)]
pub struct CellLeft {
    /// `record.json`.
    pub record: RunRecord,
    /// `events.jsonl`.
    pub events: Vec<Event>,
    /// Digest of the manifest.
    pub run_digest: String,
}

/// An evaluation on the target's metric.
#[derive(Debug, Clone, Copy)]
struct Point {
    samples: f64,
    seconds: f64,
    value: f64,
}

/// The runs of one arm on one workload, in seed order; failed and missing ones left out.
pub(super) struct ArmRuns<'a> {
    runs: Vec<(&'a str, &'a CellLeft)>,
}

impl<'a> ArmRuns<'a> {
    pub(super) fn of(cells: &'a [CellRun], workload: usize, arm: usize) -> Self {
        let mine = cells.iter().filter(|run| run.cell.workload == workload && run.cell.arm == arm);
        let left = mine.filter_map(|run| Some((run.cell.seed.as_str(), run.left.as_ref()?)));
        Self { runs: left.filter(|(_, left)| left.record.status != Status::Failed).collect() }
    }

    fn records(&self) -> impl Iterator<Item = &'a RunRecord> {
        self.runs.iter().map(|(_, left)| &left.record)
    }

    /// A number per seed, where the run has it.
    pub(super) fn by_seed(
        &self,
        number: impl Fn(&RunRecord) -> Option<f64>,
    ) -> BTreeMap<&'a str, f64> {
        self.runs.iter().filter_map(|(seed, left)| Some((*seed, number(&left.record)?))).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn disturbed(&self) -> usize {
        self.records().filter(|record| record.disturbed()).count()
    }

    pub(super) fn chance(&self) -> Option<f64> {
        self.records().next()?.data.as_ref().map(|data| 1.0 / f64::from(data.classes.max(1)))
    }
}

/// Train seconds to the target.
pub(super) fn seconds(record: &RunRecord) -> Option<f64> {
    (record.status == Status::Reached).then_some(record.time_to_target?.isotonic).flatten()
}

/// Samples to the target.
pub(super) fn samples(record: &RunRecord) -> Option<f64> {
    (record.status == Status::Reached).then_some(record.time_to_target?.samples).flatten()
}

/// Pairs of two arms' numbers, by seed.
pub(super) fn pairs(
    baseline: &BTreeMap<&str, f64>,
    treatment: &BTreeMap<&str, f64>,
) -> Vec<Pair<f64>> {
    let both =
        baseline.iter().filter_map(|(seed, &baseline)| Some((baseline, *treatment.get(seed)?)));
    both.map(|(baseline, treatment)| Pair { baseline, treatment }).collect()
}

/// Summarises a suite run.
#[must_use]
pub fn summarise(suite: &SuiteRun, cells: &[CellRun]) -> Analysis {
    let workloads: Vec<_> =
        (0..suite.workloads.len()).map(|index| workload(suite, cells, index)).collect();
    Analysis {
        version: ANALYSIS_VERSION,
        suite: suite.suite.clone(),
        question: suite.question.clone(),
        suite_digest: suite.suite_digest.clone(),
        claims: claims::judge_all(suite, cells),
        runs: cells.iter().map(|run| row(suite, run)).collect(),
        environment: environment(suite, cells),
        warnings: warnings(suite, cells, &workloads),
        workloads,
    }
}

fn workload(suite: &SuiteRun, cells: &[CellRun], index: usize) -> WorkloadAnalysis {
    let RunWorkload {
        label,
        title,
        metric,
        higher_is_better,
        target,
        target_origin,
        budget_samples,
        train_examples,
    } = suite.workloads[index].clone();
    let baseline = suite
        .baseline
        .as_ref()
        .and_then(|label| suite.arms.iter().position(|arm| arm.label == *label));
    let baseline_runs = baseline.map(|arm| ArmRuns::of(cells, index, arm));
    let horizon = |number: fn(&RunRecord) -> Option<f64>, end: fn(&RunRecord) -> f64| {
        common_horizon(
            (0..suite.arms.len()).map(|arm| outcomes(&ArmRuns::of(cells, index, arm), number, end)),
        )
    };
    let horizons = [horizon(seconds, end_seconds), horizon(samples, end_samples)];
    let dataset_root = cells
        .iter()
        .filter(|run| run.cell.workload == index)
        .find_map(|run| Some(run.left.as_ref()?.record.data.as_ref()?.train_root.to_string()));
    let arms = (0..suite.arms.len()).map(|arm| {
        let against = baseline_runs.as_ref().filter(|_| baseline != Some(arm));
        arm_analysis(suite, cells, index, arm, against, horizons)
    });
    WorkloadAnalysis {
        workload: label,
        title,
        split: "validation".to_owned(),
        metric,
        higher_is_better,
        target,
        target_origin,
        budget_samples,
        train_examples,
        dataset_root: dataset_root.unwrap_or_default(),
        baseline: suite.baseline.clone(),
        arms: arms.collect(),
    }
}

fn end_seconds(record: &RunRecord) -> f64 {
    record.clocks.train
}

#[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^52")]
fn end_samples(record: &RunRecord) -> f64 {
    record.samples as f64
}

fn outcomes(
    runs: &ArmRuns<'_>,
    number: fn(&RunRecord) -> Option<f64>,
    end: fn(&RunRecord) -> f64,
) -> Vec<Outcome> {
    let outcome = |record: &RunRecord| {
        number(record).map_or_else(|| Outcome::Censored(end(record)), Outcome::Reached)
    };
    // A run that reached the target before its first step, or diverged at once, has no time to speak of.
    runs.records()
        .map(outcome)
        .map(|outcome| match outcome {
            Outcome::Reached(time) => Outcome::Reached(time.max(f64::MIN_POSITIVE)),
            Outcome::Censored(time) => Outcome::Censored(time.max(f64::MIN_POSITIVE)),
        })
        .collect()
}

/// The longest horizon on which every arm's restricted mean is defined.
fn common_horizon(arms: impl Iterator<Item = Vec<Outcome>>) -> f64 {
    let (mut longest, mut shortest_censored) = (0.0_f64, f64::INFINITY);
    for arm in arms {
        let last = arm.iter().map(|outcome| outcome.time()).fold(0.0, f64::max);
        longest = longest.max(last);
        if arm.iter().any(|outcome| outcome.reached().is_none()) {
            shortest_censored = shortest_censored.min(last);
        }
    }
    longest.min(shortest_censored)
}

fn arm_analysis(
    suite: &SuiteRun,
    cells: &[CellRun],
    workload: usize,
    arm: usize,
    baseline: Option<&ArmRuns<'_>>,
    [time_horizon, sample_horizon]: [f64; 2],
) -> ArmAnalysis {
    let planned = &suite.arms[arm];
    let runs = ArmRuns::of(cells, workload, arm);
    let mine = cells.iter().filter(|run| run.cell.workload == workload && run.cell.arm == arm);
    let count = |status| {
        let with = mine
            .clone()
            .filter(|run| run.left.as_ref().is_some_and(|left| left.record.status == status));
        u32::try_from(with.count()).unwrap_or(u32::MAX)
    };
    let counted = Outcomes {
        reached: count(Status::Reached),
        censored: count(Status::Censored),
        diverged: count(Status::Diverged),
        failed: count(Status::Failed),
    };
    let metrics: Vec<String> = runs
        .records()
        .flat_map(|record| record.last.keys().cloned())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let at_budget = metrics.into_iter().map(|metric| {
        let values =
            runs.records().filter_map(|record| record.last.get(&metric).copied()).collect();
        (metric, estimate(values))
    });
    let accuracy = format!("test/{}", suite.workloads[workload].metric);
    let at_target: Vec<f64> =
        runs.records().filter_map(|record| record.at_target.get(&accuracy).copied()).collect();
    #[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^52")]
    let steps = runs
        .records()
        .filter(|record| record.steps > 0)
        .map(|r| 1e3 * r.clocks.train / r.steps as f64);
    let steps: Vec<f64> = steps.collect();
    let curves: Vec<Vec<Point>> = runs
        .runs
        .iter()
        .map(|(_, left)| curve(&left.events, &suite.workloads[workload].metric))
        .collect();
    let laws: BTreeSet<String> = runs.records().filter_map(|record| law_name(record)).collect();
    ArmAnalysis {
        label: planned.label.clone(),
        method: planned.method.clone(),
        settings: planned.settings.clone(),
        outcomes: counted,
        reach_rate: reach_rate(counted),
        time_to_target: to_target(&outcomes(&runs, seconds, end_seconds), time_horizon),
        samples_to_target: to_target(&outcomes(&runs, samples, end_samples), sample_horizon),
        at_budget: at_budget.collect(),
        test_at_crossing: (!at_target.is_empty()).then(|| estimate(at_target)),
        step_milliseconds: (!steps.is_empty()).then(|| estimate(steps)),
        speed_up: baseline.and_then(|baseline| arm_speed_up(baseline, &runs)),
        by_samples: by_samples(&curves),
        by_time: by_time(&curves),
        order_law: laws.into_iter().collect::<Vec<_>>().join(", "),
        order_paired: baseline.map(|baseline| same_first_order(baseline, &runs)),
    }
}

fn law_name(record: &RunRecord) -> Option<String> {
    let law = serde_json::to_value(record.order.as_ref()?.law).ok()?;
    law.as_str().map(str::to_owned)
}

/// Share of cells that reached the target; failed cells are no trials.
fn reach_rate(counted: Outcomes) -> Estimate {
    let trials = counted.reached + counted.censored + counted.diverged;
    match interval::wilson(u64::from(counted.reached), u64::from(trials), 0.95) {
        Ok(rate) => Estimate {
            value: rate.value,
            interval: Some(rate.interval),
            method: "wilson".to_owned(),
            n: trials,
            values: Vec::new(),
        },
        Err(_) => Estimate {
            value: 0.0,
            interval: None,
            method: "no cells".to_owned(),
            n: 0,
            values: Vec::new(),
        },
    }
}

/// Mean with its interval: Student's t below 10 values, BCa from 10 on.
fn estimate(values: Vec<f64>) -> Estimate {
    let n = u32::try_from(values.len()).unwrap_or(u32::MAX);
    #[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
    let mean = values.iter().sum::<f64>() / (values.len().max(1) as f64);
    match mean_effect(&values, Resampling::seeded(BOOTSTRAP_SEED)) {
        Ok(found) => Estimate {
            value: mean,
            interval: Some(found.estimate.interval),
            method: method_name(found.method),
            n,
            values,
        },
        Err(_) => {
            Estimate { value: mean, interval: None, method: "one value".to_owned(), n, values }
        }
    }
}

fn method_name(method: IntervalMethod) -> String {
    match method {
        IntervalMethod::StudentT => "student-t".to_owned(),
        IntervalMethod::Bca(how) => format!("bca, {} resamples, seed {}", how.resamples, how.seed),
    }
}

fn to_target(outcomes: &[Outcome], horizon: f64) -> ToTarget {
    let values: Vec<Option<f64>> = outcomes.iter().map(|outcome| outcome.reached()).collect();
    let reached: Vec<f64> = values.iter().copied().flatten().collect();
    let curve = kaplan_meier(outcomes).ok();
    let median = curve.as_ref().and_then(|curve| curve.median());
    let restricted =
        curve.as_ref().and_then(|curve| curve.restricted_mean(horizon).ok()).map(|mean| mean.mean);
    let logs: Vec<f64> = reached.iter().map(|time| time.ln()).collect();
    let all_reached = reached.len() == values.len() && !values.is_empty();
    let (geometric_mean, interval, interval_method) = if all_reached {
        #[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
        let mean = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
        match mean_effect(&logs, Resampling::seeded(BOOTSTRAP_SEED)) {
            Ok(found) => {
                let interval = Some(found.estimate.interval.map(f64::exp));
                let method = format!("{} on logarithms", method_name(found.method));
                (Some(mean), interval, method)
            }
            Err(_) => (Some(mean), None, "one value".to_owned()),
        }
    } else {
        let bounds = interval::median(outcomes, 0.95).ok().filter(|_| median.is_some());
        let closed = bounds.and_then(|bounds| {
            Some((
                interval::Interval { low: bounds.low, high: bounds.high?, level: bounds.coverage },
                bounds.coverage,
            ))
        });
        match closed {
            Some((interval, coverage)) => (
                None,
                Some(interval),
                format!("order statistics of the median, coverage {:.1} %", 100.0 * coverage),
            ),
            None => (None, None, "censored".to_owned()),
        }
    };
    ToTarget {
        median,
        geometric_mean,
        interval,
        interval_method,
        restricted_mean: restricted,
        horizon,
        values,
    }
}

/// Speed-up where every pair reached the target and no clock was disturbed.
fn arm_speed_up(baseline: &ArmRuns<'_>, arm: &ArmRuns<'_>) -> Option<SpeedUp> {
    let (ours, theirs) = (arm.by_seed(seconds), baseline.by_seed(seconds));
    let pairs = pairs(&theirs, &ours);
    if pairs.is_empty() || pairs.len() != arm.len() || pairs.len() != baseline.len() {
        return None;
    }
    if arm.disturbed() + baseline.disturbed() > 0 {
        return None;
    }
    let effects = crate::stats::paired::log_ratios(&pairs).ok()?;
    let p = sign_flip(&effects, BOOTSTRAP_SEED).ok()?.p;
    let n = u32::try_from(pairs.len()).unwrap_or(u32::MAX);
    let (ratio, interval) = match speed_up(&pairs, Resampling::seeded(BOOTSTRAP_SEED)) {
        Ok(found) => (found.estimate.value, Some(found.estimate.interval)),
        Err(_) => (effects.first()?.exp(), None),
    };
    Some(SpeedUp { ratio, interval, p_sign_flip: p, n })
}

/// True when every seed's first epoch has the same digest in both arms.
fn same_first_order(baseline: &ArmRuns<'_>, arm: &ArmRuns<'_>) -> bool {
    let first = |runs: &ArmRuns<'_>| -> BTreeMap<String, Option<String>> {
        runs.runs
            .iter()
            .map(|(seed, left)| ((*seed).to_owned(), first_order(&left.record)))
            .collect()
    };
    let (ours, theirs) = (first(arm), first(baseline));
    !ours.is_empty()
        && ours.iter().all(|(seed, hash)| hash.is_some() && theirs.get(seed) == Some(hash))
}

fn first_order(record: &RunRecord) -> Option<String> {
    Some(record.order.as_ref()?.epochs.first()?.order_hash.to_string())
}

#[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^52")]
fn curve(events: &[Event], metric: &str) -> Vec<Point> {
    let name = format!("validation/{metric}");
    let point = |event: &Event| match event {
        Event::Evaluated { samples, clocks, metrics, .. } => Some(Point {
            samples: *samples as f64,
            seconds: clocks.train,
            value: *metrics.get(&name)?,
        }),
        _ => None,
    };
    events.iter().filter_map(point).collect()
}

/// Mean over seeds at each evaluation of the common grid.
fn by_samples(curves: &[Vec<Point>]) -> Vec<CurvePoint> {
    let longest = curves.iter().map(Vec::len).max().unwrap_or(0);
    let at = |index: usize| {
        let points: Vec<Point> =
            curves.iter().filter_map(|curve| curve.get(index).copied()).collect();
        let x = points.first().map_or(0.0, |point| point.samples);
        curve_point(x, &points.iter().map(|point| point.value).collect::<Vec<_>>())
    };
    (0..longest).map(at).collect()
}

/// Mean over seeds at equal times, up to the shortest run, by linear interpolation.
fn by_time(curves: &[Vec<Point>]) -> Vec<CurvePoint> {
    let ends = curves.iter().filter_map(|curve| curve.last()).map(|point| point.seconds);
    let end = ends.fold(f64::INFINITY, f64::min);
    if !end.is_finite() || end <= 0.0 {
        return Vec::new();
    }
    let at = |index: u32| {
        let x = end * f64::from(index) / f64::from(TIME_POINTS);
        let values: Vec<f64> = curves.iter().filter_map(|curve| interpolate(curve, x)).collect();
        curve_point(x, &values)
    };
    (0..=TIME_POINTS).map(at).collect()
}

fn interpolate(curve: &[Point], x: f64) -> Option<f64> {
    let after = curve.iter().position(|point| point.seconds >= x)?;
    let right = curve[after];
    let Some(left) = after.checked_sub(1).map(|before| curve[before]) else {
        return Some(right.value);
    };
    let share = (x - left.seconds) / (right.seconds - left.seconds).max(f64::MIN_POSITIVE);
    Some(left.value + share * (right.value - left.value))
}

fn curve_point(x: f64, values: &[f64]) -> CurvePoint {
    #[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
    let mean = values.iter().sum::<f64>() / (values.len().max(1) as f64);
    let interval = interval::mean(values, 0.95).ok().map(|found| found.interval);
    let n = u32::try_from(values.len()).unwrap_or(u32::MAX);
    CurvePoint {
        x,
        mean,
        low: interval.map_or(mean, |i| i.low),
        high: interval.map_or(mean, |i| i.high),
        n,
    }
}

fn row(suite: &SuiteRun, run: &CellRun) -> RunRow {
    let left = run.left.as_ref();
    let record = left.map(|left| &left.record);
    let workload = &suite.workloads[run.cell.workload];
    let metric = format!("validation/{}", workload.metric);
    let order = record.and_then(|record| record.order.as_ref());
    RunRow {
        cell: run.cell.cell.clone(),
        workload: workload.label.clone(),
        arm: suite.arms[run.cell.arm].label.clone(),
        seed: run.cell.seed.clone(),
        status: record.map_or("missing", |record| status_name(record.status)).to_owned(),
        time_to_target: record.and_then(seconds),
        at_budget: record.and_then(|record| record.last.get(&metric).copied()),
        train_seconds: record.map(|record| record.clocks.train),
        first_order_hash: record.and_then(first_order),
        chain: order.and_then(|order| order.chain.last()).map(|point| point.chain.to_string()),
        parameters: record
            .and_then(|record| record.parameters_sha256)
            .map(|digest| digest.to_string()),
        run_digest: left.map(|left| left.run_digest.clone()),
    }
}

/// A status as people read it.
#[must_use]
pub fn status_name(status: Status) -> &'static str {
    match status {
        Status::Reached => "reached",
        Status::Censored => "censored",
        Status::Diverged => "diverged",
        Status::Failed => "failed",
    }
}

/// What a reader needs to rerun; where cells differ, all values are named.
fn environment(suite: &SuiteRun, cells: &[CellRun]) -> Vec<(String, String)> {
    let records = || cells.iter().filter_map(|run| run.left.as_ref()).map(|left| &left.record);
    let all = |value: &dyn Fn(&Environment) -> Option<String>| {
        let values: BTreeSet<String> =
            records().filter_map(|record| value(&record.environment)).collect();
        values.into_iter().collect::<Vec<_>>().join("; ")
    };
    let loads: Vec<f64> = records().filter_map(|record| record.environment.load_at_start).collect();
    let load = loads.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let rows: Vec<(&str, String)> = vec![
        ("command", suite.argv.join(" ")),
        (
            "commit",
            all(&|e| {
                let dirty =
                    if e.git_dirty == Some(true) { " with uncommitted changes" } else { "" };
                e.git_commit.as_ref().map(|commit| format!("{commit}{dirty}"))
            }),
        ),
        ("palimpsest", all(&|e| Some(e.palimpsest.clone()))),
        ("code digest", all(&|e| Some(e.code_digest.clone()))),
        ("Cargo.lock digest", all(&|e| Some(e.cargo_lock_digest.clone()))),
        ("libtorch", all(&|e| Some(e.libtorch.clone()))),
        ("device", all(&|e| Some(e.device.clone()))),
        ("CPU", all(&|e| Some(format!("{} ({} logical)", e.cpu, e.cpus)))),
        ("GPU", all(&|e| e.gpu.clone())),
        ("driver", all(&|e| e.driver.clone())),
        ("system", all(&|e| Some(e.os.clone()))),
        ("torch threads", all(&|e| Some(e.threads.to_string()))),
        (
            "highest load at start",
            if load.is_finite() { format!("{load:.2}") } else { String::new() },
        ),
    ];
    rows.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn warnings(suite: &SuiteRun, cells: &[CellRun], workloads: &[WorkloadAnalysis]) -> Vec<String> {
    let mut warnings = Vec::new();
    let records: Vec<_> =
        cells.iter().filter_map(|run| run.left.as_ref()).map(|left| &left.record).collect();
    let missing = cells.len() - records.len();
    if missing > 0 {
        warnings.push(format!(
            "{missing} of {} cells have not run; `palimpsest run {}` continues",
            cells.len(),
            suite.source
        ));
    }
    let count = |status| records.iter().filter(|record| record.status == status).count();
    for (status, remedy) in [
        (Status::Failed, "their messages are in record.json, and the next run tries them again"),
        (Status::Diverged, "they count as censored; lower the learning rate"),
    ] {
        let n = count(status);
        if n > 0 {
            warnings.push(format!(
                "{n} of {} cells {}: {remedy}",
                cells.len(),
                status_name(status)
            ));
        }
    }
    for workload in workloads {
        let short: Vec<String> = workload
            .arms
            .iter()
            .filter(|arm| arm.outcomes.censored > 0)
            .map(|arm| format!("{} ({} of {})", arm.label, arm.outcomes.reached, arm.reach_rate.n))
            .collect();
        if !short.is_empty() {
            warnings.push(format!(
                "{}: not every run reached the target {} within the budget: {}; raise `epochs` or lower the target",
                workload.workload,
                workload.target,
                short.join(", ")
            ));
        }
        if workload.target_origin == "assumed" {
            warnings.push(format!(
                "{}: the target is assumed, not derived from tuned baseline runs",
                workload.workload
            ));
        }
    }
    let disturbed = records.iter().filter(|record| record.disturbed()).count();
    if disturbed > 0 {
        warnings.push(format!(
            "{disturbed} of {} cells ran while the machine was busier than its cores: timed verdicts are withheld; run them again with --force on a quiet machine",
            cells.len()
        ));
    }
    if suite.cells.iter().map(|cell| &cell.seed).collect::<BTreeSet<_>>().len() < 3 {
        warnings.push("fewer than 3 seeds: no verdict is given on any claim".to_owned());
    }
    let modified = records
        .iter()
        .filter_map(|record| record.data.as_ref())
        .find(|data| data.origin == "modified");
    if let Some(data) = modified {
        warnings.push(format!("the files of {} are not the published ones: compare arms, but not with published numbers", data.name));
    }
    let own: BTreeSet<&String> = records.iter().flat_map(|record| &record.warnings).collect();
    warnings.extend(own.into_iter().filter(|warning| *warning != DISTURBED).cloned());
    warnings
}
