//! Records to numbers: the one place where they are computed.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::{differs, is_disturbed};
use super::context::{environment, warnings};
use super::curves::{
    Point, by_cost, by_samples, by_time, curve, hold, looks_by_samples, metrics_by_samples,
};
use super::estimates::{LEVEL, common_horizon, estimate, reach_rate, to_target};
use super::membership::{self, Evidence, by_cell};
use super::tuning::TuningAnalysis;
use super::{
    ANALYSIS_VERSION, Analysis, ArmAnalysis, CellLeft, CellRun, Cost, Outcomes, RunRow, SpeedUp,
    WorkloadAnalysis, claims, front, order_estimates, read_cells, score, stopping,
};
use crate::imported::{has_clock, is_imported};
use crate::suite_run::{RunWorkload, SuiteRun};
use ledger::goal::{Target, VALIDATION};
use ledger::record::format::{Event, RunRecord, Status};
use ledger::record::store::Store;
use stats::paired::{Pair, speed_up};
use stats::survival::Outcome;
use stats::t_test::{Alternative, t_test};

/// How facts begin that say how much networks were given in all, in records of before costs were kept along a run;
/// behind it stands one word, the unit.
const FORWARD: &str = "forward_";

/// What a run took beside time and samples, by what it counts.
fn taken(left: &CellLeft) -> BTreeMap<String, u64> {
    let mut looks = left.events.iter().rev().filter_map(|event| match event {
        Event::Evaluated(look) => Some(look),
        _ => None,
    });
    let last = looks.next().map(|look| &look.costs).into_iter().flatten();
    let last: BTreeMap<String, u64> = last
        .filter(|(name, _)| is_cost(name, true))
        .map(|(name, count)| (name.clone(), *count))
        .collect();
    if !last.is_empty() {
        return last;
    }
    let facts = left.record.facts.iter();
    let named = facts
        .filter(|(name, _)| name.strip_prefix(FORWARD).is_some_and(|unit| is_cost(unit, false)));
    named.filter_map(|(name, fact)| Some((name.clone(), fact.as_u64()?))).collect()
}

/// Whether a name is of small letters, in words where it may be: it becomes a part of file names.
fn is_cost(name: &str, words: bool) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || (words && byte == b'_');
    (1..=48).contains(&name.len()) && name.bytes().all(fits)
}

/// What the runs of an arm count, as far as any took some.
fn costs(runs: &ArmRuns<'_>, target: &Target) -> BTreeMap<String, Cost> {
    let sound = || runs.runs.iter().filter(|(_, left)| left.record.status != Status::Diverged);
    let all: Vec<BTreeMap<String, u64>> = sound().map(|(_, left)| taken(left)).collect();
    let names: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    let cost = |name: &String| {
        #[expect(clippy::cast_precision_loss, reason = "what a run takes stays far below 2^52")]
        let counts = all.iter().filter_map(|taken| Some(*taken.get(name)? as f64));
        let counts: Vec<f64> = counts.collect();
        let in_all = counts.iter().any(|count| *count > 0.0).then(|| estimate(counts))?;
        let events = sound().map(|(_, left)| left.events.as_slice());
        Some((name.clone(), Cost { in_all, curve: by_cost(events, target, name) }))
    };
    names.into_iter().filter_map(cost).collect()
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

    /// A number per seed from record and events, where the run has it.
    pub(super) fn by_seed_left(
        &self,
        number: impl Fn(&CellLeft) -> Option<f64>,
    ) -> BTreeMap<&'a str, f64> {
        self.runs.iter().filter_map(|(seed, left)| Some((*seed, number(left)?))).collect()
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

    /// Those that have times.
    fn clocked(&self) -> Self {
        let clocked = self.runs.iter().filter(|(_, left)| has_clock(&left.record));
        Self { runs: clocked.copied().collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn disturbed(&self) -> usize {
        self.records().filter(|record| is_disturbed(record)).count()
    }
}

/// Train seconds to the target; none of a run that met it before its first step.
pub(super) fn seconds(record: &RunRecord) -> Option<f64> {
    trained_to_target(record).then_some(record.time_to_target?.isotonic).flatten()
}

/// Samples to the target; none of a run that met it before its first step.
pub(crate) fn samples(record: &RunRecord) -> Option<f64> {
    trained_to_target(record).then_some(record.time_to_target?.samples).flatten()
}

fn trained_to_target(record: &RunRecord) -> bool {
    record.status == Status::Reached && !idle(record) && !met_at_start(record)
}

/// Whether a run that trains was at the target before its first step.
pub(crate) fn met_at_start(record: &RunRecord) -> bool {
    let crossed = record.time_to_target.and_then(|crossing| crossing.samples);
    record.status == Status::Reached && !idle(record) && crossed.is_some_and(|at| at <= 0.0)
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

impl Analysis {
    /// Reads the records of a suite run and says what they say; `evidence` is for its membership
    /// tests. What cannot be read is missing, and a warning says so.
    #[must_use]
    pub fn of(suite: &SuiteRun, store: &Store, evidence: &dyn Evidence) -> Self {
        let cells = read_cells(store, suite);
        let records = cells.iter().filter_map(|run| Some(&run.left.as_ref()?.record));
        let mut analysis = Self {
            membership: membership::judge(suite, &by_cell(records), evidence),
            order_estimates: order_estimates::judge(suite, &mut |file| {
                order_estimates::read(store, file)
            }),
            ..summarise(suite, &cells)
        };
        analysis.take_pictures(store);
        analysis.take_noise_floors(store, &cells);
        analysis
    }
}

/// What the records alone say: all but the tests and the estimates, which read more.
pub(super) fn summarise(suite: &SuiteRun, cells: &[CellRun]) -> Analysis {
    let mut workloads: Vec<_> =
        (0..suite.workloads.len()).map(|index| workload(suite, cells, index)).collect();
    hold(&mut workloads);
    let tuning = suite.tuned.as_ref().map(|tuned| TuningAnalysis::of(tuned, &workloads));
    let mut warnings = warnings(suite, cells, &workloads);
    warnings.extend(tuning.iter().flat_map(|tuning| tuning.notes.clone()));
    Analysis {
        version: ANALYSIS_VERSION,
        suite: suite.suite.clone(),
        question: suite.question.clone(),
        suite_digest: suite.suite_digest.clone(),
        membership: Vec::new(),
        order_estimates: Vec::new(),
        stopping: suite.stopping.as_ref().map(stopping::analysis),
        claims: claims::judge_all(suite, cells),
        unjudged: suite.unjudged.clone(),
        score: score::of(suite, cells),
        tuning,
        runs: cells.iter().map(|run| row(suite, run)).collect(),
        environment: environment(suite, cells),
        warnings,
        workloads,
    }
}

fn workload(suite: &SuiteRun, cells: &[CellRun], index: usize) -> WorkloadAnalysis {
    let RunWorkload { label, title, metrics, target, budget_samples, train_examples } =
        suite.workloads[index].clone();
    let baseline = suite
        .baseline
        .as_ref()
        .and_then(|label| suite.arms.iter().position(|arm| arm.label == *label));
    let baseline_runs = baseline.map(|arm| ArmRuns::of(cells, index, arm));
    let of_arms = || (0..suite.arms.len()).map(|arm| ArmRuns::of(cells, index, arm));
    let horizons = [
        common_horizon(of_arms().map(|runs| outcomes(&runs.clocked(), seconds, end_seconds))),
        common_horizon(of_arms().map(|runs| outcomes(&runs, samples, end_samples))),
    ];
    let dataset_root = cells
        .iter()
        .filter(|run| run.cell.workload == index)
        .find_map(|run| Some(run.left.as_ref()?.record.data.as_ref()?.train_root.to_string()));
    let planned =
        |arm: &usize| cells.iter().any(|run| run.cell.workload == index && run.cell.arm == *arm);
    let arms = (0..suite.arms.len()).filter(planned).map(|arm| {
        let against = baseline_runs.as_ref().filter(|_| baseline != Some(arm));
        arm_analysis(suite, cells, index, arm, against, horizons)
    });
    let mut arms: Vec<ArmAnalysis> = arms.collect();
    front::mark(&mut arms, &target);
    WorkloadAnalysis {
        workload: label,
        title,
        split: VALIDATION.to_owned(),
        best: metrics.iter().find(|row| row.name == target.metric).and_then(|row| row.best),
        metrics,
        target,
        budget_samples,
        train_examples,
        dataset_root: dataset_root.unwrap_or_default(),
        baseline: suite.baseline.clone(),
        arms,
    }
}

pub(super) fn end_seconds(record: &RunRecord) -> f64 {
    record.clocks.train
}

#[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^52")]
pub(super) fn end_samples(record: &RunRecord) -> f64 {
    record.samples as f64
}

fn outcomes(
    runs: &ArmRuns<'_>,
    number: fn(&RunRecord) -> Option<f64>,
    end: fn(&RunRecord) -> f64,
) -> Vec<Outcome> {
    // A run that met the target before its first step has no time to speak of.
    runs.records()
        .filter(|record| !idle(record) && !met_at_start(record))
        .map(|record| outcome(record, number, end))
        .collect()
}

/// When a run reached the target, or where it ended without.
pub(super) fn outcome(
    record: &RunRecord,
    number: fn(&RunRecord) -> Option<f64>,
    end: fn(&RunRecord) -> f64,
) -> Outcome {
    // One that diverged at once has hardly any time.
    let censored = || Outcome::Censored(end(record).max(f64::MIN_POSITIVE));
    number(record).map_or_else(censored, Outcome::Reached)
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
    // A network that is no number any more still answers: its accuracy is the share of one class.
    let sound = || runs.records().filter(|record| record.status != Status::Diverged);
    let metrics: Vec<String> = sound()
        .flat_map(|record| record.last.keys().cloned())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let at_budget = metrics.into_iter().map(|metric| {
        let values = sound().filter_map(|record| record.last.get(&metric).copied()).collect();
        (metric, estimate(values))
    });
    let target = &suite.workloads[workload].target;
    let tested = target.test_key();
    let at_target: Vec<f64> =
        runs.records().filter_map(|record| record.at_target.get(&tested).copied()).collect();
    #[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^52")]
    let steps = runs
        .records()
        .filter(|record| record.steps > 0 && has_clock(record))
        .map(|r| 1e3 * r.clocks.train / r.steps as f64);
    let steps: Vec<f64> = steps.collect();
    let trained: Vec<f64> = runs
        .records()
        .filter(|record| !idle(record) && has_clock(record) && record.status != Status::Diverged)
        .map(end_seconds)
        .collect();
    let curves: Vec<Vec<Point>> =
        runs.runs.iter().map(|(_, left)| curve(&left.events, target)).collect();
    let laws: BTreeSet<String> = runs.records().filter_map(law_name).collect();
    let at_start = runs.records().filter(|record| met_at_start(record)).count();
    let at_start = u32::try_from(at_start).unwrap_or(u32::MAX);
    ArmAnalysis {
        label: planned.label.clone(),
        method: planned.method.clone(),
        settings: planned.settings.clone(),
        idle: runs.len() > 0 && runs.records().all(idle),
        outcomes: counted,
        reach_rate: reach_rate(counted),
        time_to_target: to_target(
            &outcomes(&runs.clocked(), seconds, end_seconds),
            at_start,
            time_horizon,
        ),
        samples_to_target: to_target(
            &outcomes(&runs, samples, end_samples),
            at_start,
            sample_horizon,
        ),
        at_budget: at_budget.collect(),
        test_at_crossing: (!at_target.is_empty()).then(|| estimate(at_target)),
        step_milliseconds: (!steps.is_empty()).then(|| estimate(steps)),
        speed_up: baseline.and_then(|baseline| arm_speed_up(baseline, &runs)),
        fewer_samples: baseline.and_then(|baseline| ratio(baseline, &runs, samples)),
        noise_floor: None,
        train_seconds: (!trained.is_empty()).then(|| estimate(trained)),
        costs: costs(&runs, target),
        undominated: None,
        by_samples: by_samples(&curves),
        by_time: by_time(&curves),
        pictures: None,
        looks_by_samples: looks_by_samples(
            runs.runs.iter().map(|(_, left)| left.events.as_slice()),
            target,
        ),
        metrics_by_samples: metrics_by_samples(
            runs.runs.iter().map(|(_, left)| left.events.as_slice()),
            target,
        ),
        order_law: laws.into_iter().collect::<Vec<_>>().join(", "),
        order_paired: baseline
            .filter(|_| !runs.records().all(|record| idle(record) || is_imported(record)))
            .map(|baseline| same_first_order(baseline, &runs)),
    }
}

/// Whether a run was over before it began: it consumed nothing and has no time to speak of.
pub(super) fn idle(record: &RunRecord) -> bool {
    record.samples == 0 && record.status != Status::Diverged
}

fn law_name(record: &RunRecord) -> Option<String> {
    if is_imported(record) {
        return Some("none (imported)".to_owned());
    }
    let law = record.order.as_ref()?.law.name();
    // What a program of one's own consumed is its word.
    Some(if record.external.is_some() { format!("{law} (told)") } else { law.to_owned() })
}

/// Speed-up where every pair reached the target and no clock was disturbed.
fn arm_speed_up(baseline: &ArmRuns<'_>, arm: &ArmRuns<'_>) -> Option<SpeedUp> {
    if arm.disturbed() + baseline.disturbed() > 0 {
        return None;
    }
    // Whose machine it was, and how busy, no log says.
    if arm.records().chain(baseline.records()).any(is_imported) {
        return None;
    }
    let other: BTreeMap<_, _> = baseline.runs.iter().copied().collect();
    let elsewhere = |(seed, left): &(&str, &CellLeft)| {
        let there = &other.get(seed)?.record.environment;
        differs(&left.record.environment, there)
    };
    if arm.runs.iter().any(|run| elsewhere(run).is_some()) {
        return None;
    }
    ratio(baseline, arm, seconds)
}

/// The baseline's number over the arm's, paired by seed, where every pair has both.
fn ratio(
    baseline: &ArmRuns<'_>,
    arm: &ArmRuns<'_>,
    number: fn(&RunRecord) -> Option<f64>,
) -> Option<SpeedUp> {
    let (ours, theirs) = (arm.by_seed(number), baseline.by_seed(number));
    let pairs = pairs(&theirs, &ours);
    if pairs.is_empty() || pairs.len() != arm.len() || pairs.len() != baseline.len() {
        return None;
    }
    let effects = stats::paired::log_ratios(&pairs).ok()?;
    let n = u32::try_from(pairs.len()).unwrap_or(u32::MAX);
    let (ratio, interval) = match speed_up(&pairs, LEVEL) {
        Ok(found) => (found.value, Some(found.interval)),
        Err(_) => (effects.first()?.exp(), None),
    };
    let p = t_test(&effects, 0.0, Alternative::TwoSided).ok().map(|test| test.p);
    Some(SpeedUp { ratio, interval, p, n })
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

fn row(suite: &SuiteRun, run: &CellRun) -> RunRow {
    let left = run.left.as_ref();
    let record = left.map(|left| &left.record);
    let workload = &suite.workloads[run.cell.workload];
    let metric = workload.target.validation_key();
    let order = record.and_then(|record| record.order.as_ref());
    RunRow {
        cell: run.cell.cell.clone(),
        workload: workload.label.clone(),
        arm: suite.arms[run.cell.arm].label.clone(),
        seed: run.cell.seed.clone(),
        status: record.map(|record| record.status),
        time_to_target: record.and_then(seconds),
        at_budget: record.and_then(|record| record.last.get(&metric).copied()),
        train_seconds: record.filter(|record| has_clock(record)).map(|record| record.clocks.train),
        first_order_hash: record.and_then(first_order),
        chain: order.and_then(|order| order.chain.last()).map(|point| point.chain.to_string()),
        parameters: record
            .and_then(|record| record.parameters_sha256)
            .map(|digest| digest.to_string()),
        run_digest: left.map(|left| left.run_digest.clone()),
        samples: record.map(|record| record.samples),
        steps: record.map(|record| record.steps),
        total_seconds: record.filter(|record| has_clock(record)).map(|record| record.clocks.total),
        train_loss: left.and_then(|left| {
            let mut looks = left.events.iter().rev().filter_map(|event| match event {
                Event::Evaluated(evaluation) => Some(evaluation),
                _ => None,
            });
            looks.next()?.train_loss
        }),
        metrics: record.map(|record| record.last.clone()).unwrap_or_default(),
        at_target: record.map(|record| record.at_target.clone()).unwrap_or_default(),
        costs: left.map(taken).unwrap_or_default(),
    }
}
