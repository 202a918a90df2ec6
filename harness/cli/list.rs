//! `palimpsest list`

use std::collections::BTreeSet;
use std::fmt;

use analysis::calendar::moment;
use analysis::suite_run::{Shelf, Shelved, SuiteRun};
use clap::ValueEnum;
use ledger::catalogue::listing::Listing;
use ledger::record::Store;
use serde::Serialize;
use serde_json::json;

use super::Rows;
use super::suite_options::Places;
use crate::exit::Exit;
use crate::library;
use crate::voice::{duration, print_json, print_table, printable, short_program, warn};

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
            let seeds = seeds(takes.seeds as usize);
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
        let seeds = seeds(self.seeds);
        write!(f, "{} for {seeds} here ({} runs)", duration(self.seconds), self.runs)
    }
}

fn seeds(count: usize) -> String {
    if count == 1 { "1 seed".to_owned() } else { format!("{count} seeds") }
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

fn runs(args: &Args) -> anyhow::Result<()> {
    let store = args.places.store();
    let mut rows = Vec::new();
    for cell in store.cells()? {
        let row = match store.record(&cell) {
            Ok(record) => {
                let time = record.time_to_target.and_then(|crossing| crossing.isotonic);
                let time = time.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.3} s"));
                let status = record.status.name().to_owned();
                let here = record.environment.code_digest
                    == library::cell_code(&record.method, &record.workload);
                let program = record.environment.program();
                let program =
                    program.as_deref().map_or_else(|| "no commit".to_owned(), short_program);
                let build = if here { "this".to_owned() } else { format!("another, {program}") };
                [
                    cell,
                    record.suite,
                    record.workload,
                    record.method,
                    record.seed.chars().take(12).collect(),
                    status,
                    time,
                    build,
                ]
            }
            Err(error) => [
                cell,
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                "damaged".into(),
                error.to_string(),
                String::new(),
            ],
        };
        rows.push(row);
    }
    let header =
        ["run", "suite", "workload", "method", "seed", "status", "time to target", "build"];
    if args.json {
        let keys =
            ["run", "suite", "workload", "method", "seed", "status", "time_to_target", "build"];
        let rows = rows
            .into_iter()
            .map(|row| keys.into_iter().zip(row).collect::<std::collections::BTreeMap<_, _>>());
        return print_json(&rows.collect::<Vec<_>>());
    }
    print_table(header, rows.into_iter())
}
