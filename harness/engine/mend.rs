//! `palimpsest mend`: trains a run again whose files are damaged, and that run alone.
//!
//! The damaged folder need not say what it was of: the suite runs of the store do.

use analysis::suite_run::{RunCell, Shelf, SuiteRun};
use anyhow::{Context as _, bail};
use clap::Parser as _;
use ledger::record::store::is_cell_id;
use ledger::record::{Status, Store};
use palimpsest::cli::mend::Args;
use palimpsest::cli::{Cli, Training, Verb, run};
use palimpsest::exit::Exit;
use palimpsest::voice::{print_json, print_text};
use serde_json::json;

use crate::catalogue::catalogue;
use crate::run::seeds;
use crate::runner::{NamedSeed, Session};

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.places.store();
    let ids =
        args.runs.iter().map(|given| id(&store, given)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    let mut failed = false;
    for id in ids {
        let Some(fault) = store.fault(&id) else {
            let said = "whole: its files are those of its manifest; nothing to mend".to_owned();
            rows.push((id, said));
            continue;
        };
        let (status, aside) =
            mend(&store, &id, args).with_context(|| format!("run {id} ({fault})"))?;
        failed |= status == Status::Failed;
        let kept =
            aside.map_or_else(String::new, |aside| format!("; what was there is in {aside}"));
        rows.push((id, format!("trained again: {}{kept}", status.name())));
    }
    if args.json {
        let rows: Vec<_> =
            rows.iter().map(|(id, said)| json!({ "run": id, "said": said })).collect();
        print_json(&rows)?;
    } else {
        rows.iter().try_for_each(|(id, said)| print_text(&format!("{id}  {said}\n")))?;
    }
    Ok(if failed { Exit::CellsFailed } else { Exit::Fine })
}

/// A whole id need not be in the store any more.
fn id(store: &Store, given: &str) -> anyhow::Result<String> {
    if is_cell_id(given) { Ok(given.to_owned()) } else { Ok(store.find(given)?) }
}

fn mend(store: &Store, id: &str, args: &Args) -> anyhow::Result<(Status, Option<String>)> {
    // Before anything is trained.
    store.prepare()?;
    let (suite, cell) = named(store, id)?;
    if suite.is_imported() {
        bail!(
            "it was imported from logs, and nothing here can train it: the same `palimpsest import` writes it again"
        );
    }
    let command = command(&suite, args)?;
    let mut plan = command.options.plan(&catalogue())?;
    if !command.cells.is_empty() {
        plan = plan.only(&command.cells).map_err(anyhow::Error::msg)?;
    }
    let sources = args.places.sources();
    // Where the others of its suite run were trained, not where this machine would by itself.
    let mut records = suite.cells.iter().filter_map(|other| store.record(&other.cell).ok());
    let device = records.next().map_or(command.device.clone(), |record| record.environment.device);
    let mut session = Session::new(plan, store.clone(), sources, &device, false)?;
    session.argv.clone_from(&suite.argv);
    let (arm, workload) = (&suite.arms[cell.arm].label, &suite.workloads[cell.workload].label);
    let seeds = seeds(&session, &command)?;
    let labelled = |other: &analysis::plan::Cell| {
        session.plan.arms[other.arm].label == *arm
            && session.plan.workloads[other.workload].label == *workload
    };
    let cells = session.plan.cells.iter().zip(&seeds).filter(|(other, _)| labelled(other));
    let cells: Vec<_> = cells.map(|(other, seed)| (*other, seed.clone())).collect();
    let drawn = recorded_seed(store, &suite, &cell);
    let found = cells.iter().find(|(_, seed)| seed.name == cell.seed);
    let (planned, seed) = match (found, drawn, cells.first()) {
        (Some((planned, seed)), ..) => (*planned, seed.clone()),
        (None, Some(seed), Some((planned, _))) => (*planned, seed),
        (None, None, Some(_)) => bail!(
            "its seed {} was drawn for that run, and no other record of it holds what it was committed with",
            cell.seed
        ),
        (None, _, None) => {
            bail!("{} has no arm \"{arm}\" on \"{workload}\" any more", suite.source)
        }
    };
    let again = session.cell_id(planned, &seed)?;
    if again != id {
        bail!(
            "this build and these data would make run {again} of {arm} on {workload}, seed {}: suite, code or data have changed since; go back to what it was made with (its suite ran from {}), or let `palimpsest run` make the new one",
            cell.seed,
            suite.source
        );
    }
    let aside = store.set_aside(id)?;
    let report = session.run_cell(planned, &seed)?;
    Ok((report.status, aside.map(|path| path.display().to_string())))
}

/// The newest suite run that a cell belongs to.
fn named(store: &Store, id: &str) -> anyhow::Result<(SuiteRun, RunCell)> {
    let of = |run: SuiteRun| {
        let cell = run.cells.iter().find(|cell| cell.cell == id).cloned()?;
        Some((run, cell))
    };
    Shelf::all(store)?.runs.into_iter().find_map(|shelved| of(shelved.run)).with_context(|| {
        format!(
            "no suite run in {} names it, so that nobody knows what to train; `palimpsest run SUITE --force` trains a whole suite again",
            store.root().display()
        )
    })
}

/// The command that ran a suite, as it was typed, on the store that is given now.
fn command(suite: &SuiteRun, args: &Args) -> anyhow::Result<run::Args> {
    let told = || {
        format!("the suite was run by `{}`, which this build does not read", suite.argv.join(" "))
    };
    let cli = Cli::try_parse_from(&suite.argv).with_context(told)?;
    let Verb::Training(Training::Run(mut command)) = cli.verb else { bail!(told()) };
    command.options.places = args.places.clone();
    Ok(command)
}

/// The seed of a cell from the record of another cell that shares it.
fn recorded_seed(store: &Store, suite: &SuiteRun, cell: &RunCell) -> Option<NamedSeed> {
    let others =
        suite.cells.iter().filter(|other| other.seed == cell.seed && other.cell != cell.cell);
    let mut records = others.filter_map(|other| store.record(&other.cell).ok());
    records.find_map(|record| NamedSeed::recorded(&record).ok())
}
