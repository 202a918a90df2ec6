//! `palimpsest list`

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use analysis::calendar::moment;
use analysis::imported::{METHOD, is_imported};
use analysis::suite_run::{Shelf, Shelved, SuiteRun};
use clap::ValueEnum;
use ledger::catalogue::listing::Listing;
use ledger::record::Store;
use serde::Serialize;
use serde_json::{Value, json};

use super::Rows;
use super::suite_options::Places;
use crate::exit::Exit;
use crate::library;
use crate::voice::{counted, duration, print_json, print_table, printable, short_program, warn};

/// Options of `palimpsest list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to list
    #[arg(value_enum, default_value = "methods")]
    what: What,
    #[command(flatten)]
    places: Places,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    Methods,
    Workloads,
    Suites,
    SuiteRuns,
    Runs,
    Data,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args, rows: Rows<'_>) -> anyhow::Result<Exit> {
    match args.what {
        What::Methods => methods(&rows()?, args.json),
        What::Workloads => workloads(&rows()?, args.json),
        What::Suites => suites(args),
        What::SuiteRuns => suite_runs(args),
        What::Runs => runs(args),
        What::Data => return super::data::list(&args.places.sources(), args.json),
    }?;
    Ok(Exit::Fine)
}

fn methods(listing: &Listing, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let rows = listing.methods.iter().map(|method| {
            json!({
                "id": method.id, "family": method.family, "summary": method.summary, "paper": method.paper,
                "claim": method.claim, "baseline": method.baseline,
                "needs": method.needs, "settings": method.settings,
            })
        });
        return print_json(&rows.collect::<Vec<_>>());
    }
    let rows = listing.methods.iter().map(|method| {
        let paper = format!("{} ({})", method.paper.reference, method.paper.year);
        [method.id.clone(), method.family.clone(), method.summary.clone(), paper]
    });
    print_table(["method", "family", "what it does", "paper"], rows)
}

fn workloads(listing: &Listing, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let rows = listing.workloads.iter().map(|workload| {
            json!({
                "id": workload.id, "family": workload.family, "title": workload.title, "data": workload.data, "metric": workload.metric,
                "offers": workload.offers, "metrics": workload.metrics,
                "higher_is_better": workload.higher_is_better, "target": workload.target,
                "target_origin": workload.target_origin, "budget_epochs": workload.budget_epochs,
                "evaluate_every_epochs": workload.evaluate_every_epochs, "split_sizes": workload.split_sizes,
                "settings": workload.settings,
            })
        });
        return print_json(&rows.collect::<Vec<_>>());
    }
    let rows = listing.workloads.iter().map(|workload| {
        let goal =
            format!("{} {} in {} epochs", workload.metric, workload.target, workload.budget_epochs);
        [&workload.id, &workload.family, &workload.title, &goal, &workload.data].map(Clone::clone)
    });
    print_table(["workload", "family", "data and model", "default goal", "data set"], rows)
}

fn suites(args: &Args) -> anyhow::Result<()> {
    let (suites, store) = (library::suites(), args.places.store());
    if args.json {
        let rows = suites.iter().map(|(name, question)| {
            json!({
                "suite": name, "question": question,
                "takes": library::takes(name), "took_here": took_here(&store, name),
            })
        });
        return print_json(&rows.collect::<Vec<_>>());
    }
    let rows = suites.into_iter().map(|(name, question)| {
        let takes = took_here(&store, name).map(|took| took.to_string()).or_else(|| {
            let takes = library::takes(name)?;
            let seeds = counted(takes.seeds as usize, "seed");
            let length = duration(f64::from(takes.seconds));
            Some(format!("{length} for {seeds} on {}, {}", takes.machine, takes.date))
        });
        [name.to_owned(), takes.unwrap_or_else(|| "–".to_owned()), question]
    });
    print_table(["suite", "takes", "question"], rows)
}

/// What the suite's last run in the store took.
#[derive(Debug, Serialize)]
struct TookHere {
    /// Wall time of its runs and order estimates, one after another.
    seconds: f64,
    seeds: usize,
    runs: usize,
}

impl fmt::Display for TookHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seeds, runs) = (counted(self.seeds, "seed"), counted(self.runs, "run"));
        write!(f, "{} for {seeds} here ({runs})", duration(self.seconds))
    }
}

/// None where the suite has not run, or not every record of it is there.
fn took_here(store: &Store, suite: &str) -> Option<TookHere> {
    let run = SuiteRun::load(store, suite).ok().filter(|run| !run.cells.is_empty())?;
    let cells = run.cells.iter().map(|cell| Some(store.record(&cell.cell).ok()?.clocks.total));
    let estimates = run.estimated.iter().filter_map(|estimate| estimate.seconds);
    Some(TookHere {
        seconds: cells.sum::<Option<f64>>()? + estimates.sum::<f64>(),
        seeds: run.cells.iter().map(|cell| &cell.seed).collect::<BTreeSet<_>>().len(),
        runs: run.cells.len(),
    })
}

/// Every run of every suite that the store keeps, the newest first.
fn suite_runs(args: &Args) -> anyhow::Result<()> {
    let store = args.places.store();
    let shelf = Shelf::all(&store)?;
    for error in &shelf.damaged {
        warn(&error.to_string());
    }
    let there = |one: &Shelved| one.run.cells.iter().filter(|cell| store.has(&cell.cell)).count();
    if args.json {
        let rows = shelf.runs.iter().map(|one| {
            let SuiteRun { suite, source, suite_digest, cells, made, .. } = &one.run;
            json!({
                "id": one.id, "suite": suite, "source": source, "suite_digest": suite_digest,
                "started_unix": made.started_unix, "ended_unix": made.ended_unix,
                "options": made.options, "cells": cells.len(), "cells_here": there(one),
            })
        });
        return print_json(&rows.collect::<Vec<_>>());
    }
    let rows = shelf.runs.iter().map(|one| {
        let SuiteRun { suite, source, cells, made, .. } = &one.run;
        let (started, state) = match (made.id.is_empty(), made.ended_unix) {
            (true, _) => ("–".to_owned(), "kept by an earlier build"),
            (_, Some(_)) => (moment(made.started_unix), "ended"),
            (_, None) => (moment(made.started_unix), "interrupted, or running"),
        };
        let options = if made.options.is_empty() {
            "the whole suite".to_owned()
        } else {
            made.options.join(" ")
        };
        let cells = format!("{} of {}", there(one), cells.len());
        let names = [&one.id, suite, source, &options].map(|text| printable(text));
        let [id, suite, source, options] = names;
        [id, suite, started, state.to_owned(), cells, source, options]
    });
    print_table(["suite run", "suite", "started (UTC)", "state", "runs here", "from", "what"], rows)
}

/// A run of the store, for machines: numbers are numbers, what is not known is null.
#[derive(Debug, Serialize)]
struct Run {
    run: String,
    suite: Option<String>,
    workload: Option<String>,
    /// Label of its arm, where a suite run of the store has it.
    arm: Option<String>,
    method: Option<String>,
    /// Digest of the order that it was given, of which an arm may have several.
    given_order: Option<String>,
    /// An integer; the text of a seed that is none.
    seed: Option<Value>,
    status: &'static str,
    /// Seconds.
    time_to_target: Option<f64>,
    /// Whether this build made it.
    this_build: Option<bool>,
    /// The commit that made it.
    program: Option<String>,
    /// Why its record cannot be read.
    problem: Option<String>,
}

impl Run {
    fn of(cell: String, store: &Store, labels: &BTreeMap<String, String>) -> Self {
        let record = match store.record(&cell) {
            Ok(record) => record,
            Err(error) => return Self::damaged(cell, error.to_string()),
        };
        let arm = labels.get(&cell).cloned();
        let workload = Some(record.workload_name());
        let own = library::cell_code(&record.method, &record.workload);
        // Nothing of any build decided what a log says.
        let this_build = (!is_imported(&record)).then(|| record.environment.code_digest == own);
        Self {
            run: cell,
            arm,
            given_order: record.given_order.map(|order| order.to_string()),
            seed: Some(record.seed.parse::<u64>().map_or_else(|_| record.seed.into(), Value::from)),
            status: record.status.name(),
            time_to_target: record.time_to_target.and_then(|crossing| crossing.isotonic),
            this_build,
            program: record.environment.program(),
            workload,
            suite: Some(record.suite),
            method: Some(record.method),
            problem: None,
        }
    }

    fn damaged(run: String, problem: String) -> Self {
        Self {
            run,
            suite: None,
            workload: None,
            arm: None,
            method: None,
            given_order: None,
            seed: None,
            status: "damaged",
            time_to_target: None,
            this_build: None,
            program: None,
            problem: Some(problem),
        }
    }

    /// For people.
    fn row(self) -> [String; 9] {
        let shown = |text: Option<String>| text.unwrap_or_default();
        let is_imported = self.method.as_deref() == Some(METHOD);
        let seed = self.seed.map(|seed| seed.as_str().map_or(seed.to_string(), str::to_owned));
        let time = self.time_to_target.map_or("–".to_owned(), |time| format!("{time:.3} s"));
        // Of no suite run that the store has: no label.
        let arm = self.arm.unwrap_or_else(|| "–".to_owned());
        let arm = match &self.given_order {
            Some(order) => format!("{arm}, order {}", &order[..6]),
            None => arm,
        };
        let program = self.program.as_deref().map_or_else(|| "no commit".to_owned(), short_program);
        [
            self.run,
            shown(self.suite),
            shown(self.workload),
            arm,
            shown(self.method),
            shown(seed).chars().take(12).collect(),
            self.status.to_owned(),
            self.problem.unwrap_or(time),
            match self.this_build {
                None if is_imported => "none, imported".to_owned(),
                None => String::new(),
                Some(true) => "this".to_owned(),
                Some(false) => format!("another, {program}"),
            },
        ]
    }
}

/// The label of the arm that each run was last run as.
pub(super) fn labels(store: &Store) -> anyhow::Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for Shelved { run, .. } in Shelf::all(store)?.runs {
        for cell in run.cells {
            labels.entry(cell.cell).or_insert_with(|| run.arms[cell.arm].label.clone());
        }
    }
    Ok(labels)
}

fn runs(args: &Args) -> anyhow::Result<()> {
    let store = args.places.store();
    let labels = labels(&store)?;
    let runs: Vec<Run> =
        store.cells()?.into_iter().map(|cell| Run::of(cell, &store, &labels)).collect();
    if args.json {
        return print_json(&runs);
    }
    let header =
        ["run", "suite", "workload", "arm", "method", "seed", "status", "time to target", "build"];
    print_table(header, runs.into_iter().map(Run::row))
}
