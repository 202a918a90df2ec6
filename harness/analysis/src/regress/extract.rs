//! A snapshot from run records.

use std::collections::BTreeMap;

use serde_json::json;

use super::RegressError;
use super::machine::Machine;
use super::metric::{CellName, Class, Metric, Tolerance, Value};
use super::snapshot::{Cell, Snapshot};
use crate::imported::is_imported;
use crate::suite_run::{RunCell, SuiteRun};
use ledger::digest::Digest;
use ledger::goal::{Direction, Goal, Target};
use ledger::record::format::{OrderSection, RunRecord, Status};

/// Metrics of every run beside its workload's own; some only where a run reached its target, or ran on
/// one thread of a CPU.
pub const OWN_METRICS: [&str; 14] = [
    "order",
    "data",
    "steps",
    "samples",
    "parameters",
    "reached",
    "diverged",
    "samples-to-target",
    "time-to-target",
    "train-seconds",
    "eval-seconds",
    "io-seconds",
    "total-seconds",
    "peak-memory",
];

/// One run of one cell of a suite.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The cell.
    pub cell: &'a RunCell,
    /// Which interleaved round, from 0.
    pub round: u32,
    /// What it left.
    pub record: &'a RunRecord,
}

/// How a suite wants a metric compared, in place of the default of its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Treatment {
    /// The class.
    pub class: Class,
    /// Of class `ulp`.
    pub tolerance: Option<Tolerance>,
    /// Of class `time` (a share) or `quality` (in the metric's unit).
    pub margin: Option<f64>,
}

/// How a metric of some arms or workloads is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Exception {
    /// Label of the arm; every arm without one.
    pub arm: Option<String>,
    /// Label of the workload; every workload without one.
    pub workload: Option<String>,
    /// Name of the metric.
    pub metric: String,
    /// How.
    pub treatment: Treatment,
}

impl Exception {
    fn fits(&self, name: &CellName, metric: &str) -> bool {
        self.metric == metric
            && self.arm.as_ref().is_none_or(|arm| *arm == name.arm)
            && self.workload.as_ref().is_none_or(|workload| *workload == name.workload)
    }
}

/// What records do not tell.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Shared by two sides that took turns.
    pub session: Option<String>,
    /// By name of the metric.
    pub treatments: BTreeMap<String, Treatment>,
    /// Of some arms or workloads only: the last that fits counts, before `treatments`.
    pub exceptions: Vec<Exception>,
    /// More parts of the machine's fingerprint: `governor`, `memory`, `flags`, …
    pub machine: BTreeMap<String, String>,
}

/// The snapshot of these runs of `suite`.
///
/// | class | metrics |
/// | --- | --- |
/// | exact | `order`, `data`, `steps`, `samples`; `parameters` of one thread on the CPU |
/// | ulp | `reached`, `diverged` (0 or 1) |
/// | quality | what the workload's metrics list, at the end; `samples-to-target` |
/// | time | `time-to-target`, `train-seconds` |
/// | info | metrics without a known direction, other clocks, memory; `told/NAME`, the facts that a program told |
///
/// A value that is not finite is left out: `diverged` says so, and a metric that then lacks a value
/// is not judged.
///
/// # Errors
/// When there is no run, a cell of the run is none of the suite's, the records come from two
/// machines, or a check of [`Snapshot::new`] fails.
pub fn snapshot(
    suite: &SuiteRun,
    runs: &[Run<'_>],
    context: &Context,
) -> Result<Snapshot, RegressError> {
    let origin = || "the suite run".to_owned();
    let Some(first) = runs.first() else {
        return Err(RegressError::Empty { origin: origin(), what: "runs" });
    };
    let mut machine = Machine::of(&first.record.environment, &context.machine);
    let mut cells = Vec::with_capacity(runs.len());
    for run in runs {
        let mut here = Machine::of(&run.record.environment, &context.machine);
        for (name, version) in run.record.external.iter().flat_map(|told| &told.versions) {
            here.software.entry(name.clone()).or_insert_with(|| version.clone());
        }
        if !here.is(&machine) {
            let (one, other) = (machine.fingerprint, here.fingerprint);
            return Err(RegressError::TwoMachines { one, other });
        }
        machine.add_software(&here);
        let (Some(workload), Some(arm)) =
            (suite.workloads.get(run.cell.workload), suite.arms.get(run.cell.arm))
        else {
            let what = "workload or arm of one of its cells";
            return Err(RegressError::Empty { origin: origin(), what });
        };
        let mut scores: BTreeMap<&str, Score> = workload
            .metrics
            .iter()
            .map(|metric| (metric.name.as_str(), (metric.direction(), metric.best)))
            .collect();
        let Target { metric, direction, .. } = &workload.target;
        scores.entry(metric).or_insert((*direction, None));
        let record = run.record;
        let name = CellName {
            workload: workload.label.clone(),
            arm: arm.label.clone(),
            seed: run.cell.seed.clone(),
        };
        let failed = (record.status == Status::Failed)
            .then(|| record.error.clone().unwrap_or_else(|| "no message".to_owned()));
        let metrics = if failed.is_some() { Vec::new() } else { metrics(record, &scores) };
        let treated = metrics.into_iter().map(|metric| treated(metric, &name, context)).collect();
        cells.push(Cell {
            config: config(record, &name)?,
            code: code(record, &name)?,
            workload: name.workload,
            arm: name.arm,
            seed: name.seed,
            round: run.round,
            failed,
            // Times of other machines are none of this one's.
            disturbed: record.disturbed() || is_imported(record),
            metrics: treated,
        });
    }
    let commit = first.record.environment.program();
    Snapshot::new(suite.suite.clone(), machine, commit, context.session.clone(), cells)
}

/// What the suite sets in this cell but its seed, which its name has. Code, data and machine are not
/// part of it: what they change is what the gate looks for.
fn config(record: &RunRecord, name: &CellName) -> Result<Digest, RegressError> {
    let Goal { target, budget } = &record.goal;
    let set = json!({
        "workload": record.workload,
        "workload_settings": record.workload_settings,
        "method": record.method,
        "settings": record.settings,
        "metric": target.metric,
        "target": target.value,
        "budget_samples": budget.samples,
        "evaluate_every_samples": budget.evaluate_every,
    });
    Digest::of_json(&set).map_err(|error| RegressError::Form {
        origin: name.to_string(),
        what: "cell with settings that can be written",
        reason: error.to_string(),
    })
}

/// Digest of the code that decides a cell: ours, and where the arm is a program, that as well: its
/// command, its files and what runs them. None where the record does not tell.
fn code(record: &RunRecord, name: &CellName) -> Result<Option<String>, RegressError> {
    let own = &record.environment.code_digest;
    let Some(told) = &record.external else {
        return Ok(Some(own.clone()).filter(|own| !own.is_empty()));
    };
    let of_json = Digest::of_json(&json!({ "harness": own, "program": told.arm }));
    let digest = of_json.map_err(|error| RegressError::Form {
        origin: name.to_string(),
        what: "cell with a program that can be written",
        reason: error.to_string(),
    })?;
    Ok(Some(digest.to_string()))
}

fn treated(metric: Metric, name: &CellName, context: &Context) -> Metric {
    let exception = context.exceptions.iter().rev().find(|one| one.fits(name, &metric.name));
    let exception = exception.map(|exception| &exception.treatment);
    match exception.or_else(|| context.treatments.get(&metric.name)) {
        Some(&Treatment { class, tolerance, margin }) => {
            let best = metric.best.filter(|_| class == Class::Quality);
            Metric { class, tolerance, margin, best, ..metric }
        }
        None => metric,
    }
}

/// Which way a score improves, and the value that it cannot pass.
type Score = (Direction, Option<f64>);

fn metrics(record: &RunRecord, scores: &BTreeMap<&str, Score>) -> Vec<Metric> {
    use Direction::{HigherIsBetter, LowerIsBetter};
    let mut all = Vec::new();
    let mut put = |name: &str, class, unit: &str, direction, value: Option<Value>| {
        all.extend(value.map(|value| Metric {
            name: name.to_owned(),
            class,
            unit: unit.to_owned(),
            direction,
            tolerance: None,
            margin: None,
            best: None,
            value,
        }));
    };
    let digest = |digest: Digest| Some(Value::Text(digest.to_string()));
    let number = |number: f64| number.is_finite().then_some(Value::Number(number));
    let seconds = |seconds: f64| number(seconds).filter(|_| seconds > 0.0);
    put("order", Class::Exact, "sha256", None, record.order.as_ref().map(order));
    if let Some(data) = &record.data {
        let roots = [data.train_root, data.validation_root, data.test_root];
        let bytes: Vec<&[u8]> = roots.iter().map(|root| root.as_bytes().as_slice()).collect();
        put("data", Class::Exact, "sha256", None, digest(Digest::of_parts(&bytes)));
    }
    put("steps", Class::Exact, "steps", None, Some(Value::Count(record.steps)));
    put("samples", Class::Exact, "samples", None, Some(Value::Count(record.samples)));
    let environment = &record.environment;
    if environment.threads == 1 && environment.device == "cpu" {
        let parameters = record.parameters_sha256.and_then(digest);
        put("parameters", Class::Exact, "sha256", None, parameters);
    }
    let flag = |yes: bool| Some(Value::Number(f64::from(u8::from(yes))));
    let reached = flag(record.status == Status::Reached);
    put("reached", Class::Ulp, "share", Some(HigherIsBetter), reached);
    let diverged = flag(record.status == Status::Diverged);
    put("diverged", Class::Ulp, "share", Some(LowerIsBetter), diverged);
    let score = |name: &str| {
        let bare = name.rsplit_once('/').map_or(name, |(_, bare)| bare);
        scores.get(bare).copied()
    };
    for (name, value) in &record.last {
        let direction = score(name).map(|(direction, _)| direction);
        let class = if direction.is_some() { Class::Quality } else { Class::Info };
        put(name, class, "score", direction, number(*value));
    }
    let crossing = record.time_to_target.as_ref();
    let samples = crossing.and_then(|crossing| crossing.samples).and_then(number);
    put("samples-to-target", Class::Quality, "samples", Some(LowerIsBetter), samples);
    let time = crossing.and_then(|crossing| crossing.isotonic).and_then(seconds);
    put("time-to-target", Class::Time, "s", Some(LowerIsBetter), time);
    let clocks = &record.clocks;
    put("train-seconds", Class::Time, "s", Some(LowerIsBetter), seconds(clocks.train));
    for (name, clock) in
        [("eval-seconds", clocks.eval), ("io-seconds", clocks.io), ("total-seconds", clocks.total)]
    {
        put(name, Class::Info, "s", Some(LowerIsBetter), number(clock));
    }
    let memory = environment.peak_memory_bytes.map(Value::Count);
    put("peak-memory", Class::Info, "bytes", Some(LowerIsBetter), memory);
    for (name, fact) in told_facts(record) {
        put(&format!("told/{name}"), Class::Info, "fact", None, fact_value(fact));
    }
    for metric in all.iter_mut().filter(|metric| metric.class == Class::Quality) {
        metric.best = score(&metric.name).and_then(|(_, best)| best);
    }
    all
}

/// What a program that is an arm told of its run, by name.
fn told_facts(record: &RunRecord) -> impl Iterator<Item = (&String, &serde_json::Value)> {
    let told = record.external.as_ref().and_then(|_| record.facts.get("told"));
    told.and_then(serde_json::Value::as_object).into_iter().flatten()
}

/// A fact as a value: a number or a text; lists and tables are none.
fn fact_value(fact: &serde_json::Value) -> Option<Value> {
    use serde_json::Value as Json;
    match fact {
        Json::Number(number) => match number.as_u64() {
            Some(count) => Some(Value::Count(count)),
            None => number.as_f64().filter(|number| number.is_finite()).map(Value::Number),
        },
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Bool(yes) => Some(Value::Text(yes.to_string())),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// One digest over the order hashes of all epochs.
fn order(order: &OrderSection) -> Value {
    let hashes: Vec<&[u8]> =
        order.epochs.iter().map(|epoch| epoch.order_hash.as_bytes().as_slice()).collect();
    Value::Text(Digest::of_parts(&hashes).to_string())
}

#[cfg(test)]
mod tests;
