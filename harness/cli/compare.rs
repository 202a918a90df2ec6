//! `palimpsest compare`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use analysis::suite_run::{Shelf, SuiteRun};
use analysis::summary::{Analysis, ArmAnalysis};
use anyhow::Context as _;
use ledger::record::format::Environment;
use ledger::record::{RunRecord, Store};
use serde_json::{Value, json};

use super::suite_options::Places;
use crate::evidence::StoreEvidence;
use crate::exit::Exit;
use crate::voice::{note, print_json, print_table, print_text};

/// Options of `palimpsest compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run, a suite of the store, the id of a suite run, or an analysis.json
    a: String,
    /// Another one of the same kind
    b: String,
    #[command(flatten)]
    places: Places,
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// Also write both side by side as a page, what changed first (suite runs and analyses)
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

enum Side {
    Run(Box<RunRecord>),
    Suite(Box<Analysis>),
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.places.store();
    match (side(&store, &args.a)?, side(&store, &args.b)?) {
        (Side::Run(_), Side::Run(_)) if args.html.is_some() => {
            anyhow::bail!(
                "--html takes two suite runs or analyses; {} and {} are runs",
                args.a,
                args.b
            )
        }
        (Side::Run(a), Side::Run(b)) => runs(&a, &b, args.json),
        (Side::Suite(a), Side::Suite(b)) => suites(&a, &b, args),
        _ => anyhow::bail!(
            "{} and {} are not of one kind: give two runs, or two suites or analyses",
            args.a,
            args.b
        ),
    }?;
    Ok(Exit::Fine)
}

fn side(store: &Store, name: &str) -> anyhow::Result<Side> {
    let path = Path::new(name);
    let file = if path.is_dir() { path.join("analysis.json") } else { path.to_owned() };
    if file.is_file() && file.extension().is_some_and(|extension| extension == "json") {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let analysis = serde_json::from_str(&text)
            .with_context(|| format!("{} is not an analysis", file.display()))?;
        return Ok(Side::Suite(Box::new(analysis)));
    }
    let of =
        |run: &SuiteRun| Side::Suite(Box::new(Analysis::of(run, store, &StoreEvidence { store })));
    let shelf = Shelf::of(store, name)?;
    if !shelf.runs.is_empty() || !shelf.damaged.is_empty() {
        return Ok(of(&shelf.standing(None, None)?.shelved.run));
    }
    let cell = match store.find(name) {
        Ok(cell) => cell,
        Err(error) => match Shelf::all(store)?.find(name, None) {
            Ok(found) => return Ok(of(&found.shelved.run)),
            Err(_) => return Err(error.into()),
        },
    };
    Ok(Side::Run(Box::new(store.record(&cell)?)))
}

/// In what two machines differ of that which can change the last bits of a sum, or a time.
#[must_use]
pub fn machines(a: &Environment, b: &Environment) -> Vec<String> {
    let none = || "none".to_owned();
    let parts = [
        ("CPU", a.cpu.clone(), b.cpu.clone()),
        ("device", a.device.clone(), b.device.clone()),
        ("GPU", a.gpu.clone().unwrap_or_else(none), b.gpu.clone().unwrap_or_else(none)),
        ("number of torch threads", a.threads.to_string(), b.threads.to_string()),
        ("libtorch", a.libtorch.clone(), b.libtorch.clone()),
    ];
    let known = a.instructions.clone().zip(b.instructions.clone());
    let instructions = known.map(|(a, b)| ("instruction set", a, b));
    let differing = parts.into_iter().chain(instructions).filter(|(_, a, b)| a != b);
    differing.map(|(what, a, b)| format!("{what}: {a}, here {b}")).collect()
}

/// Every field of two records in which they differ.
fn runs(a: &RunRecord, b: &RunRecord, as_json: bool) -> anyhow::Result<()> {
    let (left, right) = (serde_json::to_value(a)?, serde_json::to_value(b)?);
    let mut rows = Vec::new();
    differences("", &left, &right, &mut rows);
    if as_json {
        let rows: Vec<_> =
            rows.iter().map(|[field, a, b]| json!({ "field": field, "a": a, "b": b })).collect();
        return print_json(&rows);
    }
    for what in machines(&a.environment, &b.environment) {
        note(&format!("note: they were made with another {}", what.replace(", here ", " and ")));
    }
    if rows.is_empty() {
        return print_text("the two records are the same\n");
    }
    print_table(["field", &a.cell, &b.cell], rows.into_iter())
}

fn differences(path: &str, a: &Value, b: &Value, rows: &mut Vec<[String; 3]>) {
    match (a, b) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let absent = Value::Null;
                differences(
                    &path,
                    left.get(key).unwrap_or(&absent),
                    right.get(key).unwrap_or(&absent),
                    rows,
                );
            }
        }
        _ if a != b => {
            let shown = |value: &Value| value.to_string().chars().take(60).collect::<String>();
            rows.push([path.to_owned(), shown(a), shown(b)]);
        }
        _ => {}
    }
}

/// Arms of two suite runs side by side, matched by workload and label.
fn suites(a: &Analysis, b: &Analysis, args: &Args) -> anyhow::Result<()> {
    if let Some(path) = &args.html {
        let page = reports::side_by_side([a, b], [&args.a, &args.b])?;
        reports::write_page(path, &page)?;
        note(&format!("page: {}", path.display()));
    }
    let mut rows = Vec::new();
    for workload in &a.workloads {
        let Some(other) = b.workloads.iter().find(|other| other.workload == workload.workload)
        else {
            continue;
        };
        for arm in &workload.arms {
            let matching = other.arms.iter().find(|other| other.label == arm.label);
            let time = |arm: &ArmAnalysis| {
                let time = arm.time_to_target.geometric_mean.or(arm.time_to_target.median);
                match time {
                    Some(seconds) => format!("{seconds:.3} s"),
                    None if reports::without_clock(arm) => "no clock".to_owned(),
                    None => "not reached".to_owned(),
                }
            };
            // Scripts that recorded themselves have no test split.
            let test = workload.target.test_key();
            let tested = |arm: &ArmAnalysis| arm.at_budget.contains_key(&test);
            let (key, split) = if tested(arm) || matching.is_some_and(tested) {
                (test.clone(), "")
            } else {
                (workload.target.validation_key(), " (validation)")
            };
            let metric = |arm: &ArmAnalysis| {
                let value = arm.at_budget.get(&key);
                value.map_or_else(
                    || "–".to_owned(),
                    |estimate| format!("{:.4}{split}", estimate.value),
                )
            };
            let absent = || "–".to_owned();
            rows.push([
                workload.workload.clone(),
                arm.label.clone(),
                time(arm),
                matching.map_or_else(absent, time),
                metric(arm),
                matching.map_or_else(absent, metric),
            ]);
        }
    }
    if args.json {
        let keys = ["workload", "arm", "time_to_target_a", "time_to_target_b", "test_a", "test_b"];
        let rows = rows
            .into_iter()
            .map(|row| keys.into_iter().zip(row).collect::<std::collections::BTreeMap<_, _>>());
        return print_json(&rows.collect::<Vec<_>>());
    }
    let header =
        ["workload", "arm", "time to target A", "time to target B", "metric A", "metric B"];
    print_table(header, rows.into_iter())
}
