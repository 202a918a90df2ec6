//! `palimpsest record`: the run of a script that runs by itself and has started this program.
//!
//! The protocol is that of arms, on standard input and output, and so is all that becomes of a run; after
//! `bye` comes one more line, `recorded`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::parent_id;

use analysis::plan::{Overrides, plan};
use analysis::suite_run::{Made, RunCell, Shelf, Shelved, SuiteRun};
use anyhow::{Context as _, anyhow, bail};
use ledger::external::ProgramFile;
use ledger::record::format::RecordError;
use ledger::record::{RunRecord, Status, Store};
use palimpsest::cli::record::Args;
use palimpsest::cli::suite_options::programs;
use palimpsest::exit::Exit;
use serde_json::{Value, json};
use training::clock::unix_seconds;

use crate::catalogue::catalogue;
use crate::runner::cell::CellReport;
use crate::runner::{NamedSeed, Session};
use crate::suite_run::suite_run;

/// Where the suite of such runs comes from.
const SOURCE: &str = "palimpsest record";

/// Name of the lock under which a run is put beside those of other scripts; no cell has it.
const GATHERING: &str = "recorded";

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let recorded = record(args).inspect_err(|error| {
        // The script waits for an answer; its reader may see no standard error.
        let _ = tell(&json!({ "error": { "reason": format!("{error:#}") } }));
    })?;
    tell(&json!({ "recorded": {
        "run": recorded.cell,
        "status": recorded.status,
        "error": recorded.error,
        "store": args.places.store,
    } }))?;
    Ok(if recorded.status == Status::Failed { Exit::CellsFailed } else { Exit::Fine })
}

/// Says a line to the script, which may be gone.
fn tell(message: &Value) -> anyhow::Result<()> {
    let mut output = std::fs::File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    match output.write_all(format!("{message}\n").as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn record(args: &Args) -> anyhow::Result<CellReport> {
    // Before all that takes time: another one later means that the script has ended.
    let parent = parent_id();
    let text = args.suite();
    let overrides = Overrides { folder: args.folder.clone(), ..Overrides::default() };
    // Lines and columns would be those of a text that nobody wrote.
    let mut plan = plan(SOURCE, &text, &catalogue(), &overrides)
        .map_err(|error| anyhow!("{}", error.message))?;
    programs::find(&args.folder, &mut plan)?;
    let store = args.places.store();
    store.prepare()?;
    let cell = *plan.cells.first().context("there is nothing to record")?;
    let mut session = Session::new(plan, store, args.places.sources(), "cpu", args.again)?;
    let seed = match args.attested {
        true => NamedSeed::attested(None)?,
        false => NamedSeed::integer(cell.seed, None),
    };
    let id = session.cell_id(cell, &seed)?;
    let root = args.places.store.display();
    let Some(lock) = session.store.try_lock(&id)? else {
        bail!("another process is recording run {id} in {root}; take another seed");
    };
    if session.store.has(&id) {
        let failed = match session.store.record(&id) {
            // What this build cannot read it does not replace, asked or not.
            Err(newer @ RecordError::Newer { .. }) => return Err(newer.into()),
            found => found.is_ok_and(|record| record.status == Status::Failed),
        };
        if !failed && !args.again {
            bail!(
                "run {id} is in {root} already: the same script, settings and seed; take another seed, or --again, which replaces it"
            );
        }
    }
    let report = session.record_script(cell, &seed, &id, &lock, parent)?;
    shelve(suite_run(&session, SOURCE, &[seed], &[id], Vec::new()), &session.store)?;
    Ok(report)
}

/// Puts the run into the store's suite runs, with what other scripts have recorded of the same task.
fn shelve(mut left: SuiteRun, store: &Store) -> Result<(), RecordError> {
    // Scripts overlap: the next looks when this one has written.
    let _lock = store.lock(GATHERING)?;
    let shelf = Shelf::of(store, &left.suite)?;
    let earlier = of_the_task(&left, &shelf);
    gather(&mut left, &earlier, store)?;
    // The one that ends last has gathered all and stands for it, whichever script started last.
    let now = unix_seconds();
    left.made = Made { started_unix: now, ended_unix: Some(now), ..Made::default() };
    left.take_place(store)?;
    left.save(store)?;
    // Those that it holds all of say nothing more, and the next script need not read them.
    let cells: BTreeSet<&str> = left.cells.iter().map(|cell| cell.cell.as_str()).collect();
    let held = |run: &SuiteRun| run.cells.iter().all(|cell| cells.contains(cell.cell.as_str()));
    let _writing = store.lock_suites()?;
    for one in earlier.iter().filter(|one| one.id != left.made.id && held(&one.run)) {
        let _ =
            std::fs::remove_file(store.suite_folder(&left.suite).join(format!("{}.json", one.id)));
    }
    Ok(())
}

/// Suite runs of scripts whose task has the same name, metric, target and size, the newest first.
fn of_the_task<'a>(left: &SuiteRun, shelf: &'a Shelf) -> Vec<&'a Shelved> {
    let same = |run: &SuiteRun| run.source == SOURCE && run.workloads == left.workloads;
    shelf.runs.iter().filter(|one| same(&one.run)).collect()
}

/// The files of the program behind a run, with their digests.
fn files(record: &RunRecord) -> Option<&[ProgramFile]> {
    Some(&record.external.as_ref()?.arm.files)
}

/// Takes in what `earlier` suite runs have of the same task, so that its report shows all of it: the
/// newest run of each arm and seed. Runs on other data, of another budget or grid, or of other files under
/// an arm's name are nobody's partners: they stay in the suite runs that have them.
fn gather(left: &mut SuiteRun, earlier: &[&Shelved], store: &Store) -> Result<(), RecordError> {
    let Some(first) = left.cells.first() else { return Ok(()) };
    let own = store.record(&first.cell)?;
    let is_same = |other: &RunRecord| {
        other.workload_settings == own.workload_settings && other.goal == own.goal
    };
    // A record of each arm of `left`.
    let mut known = vec![own.clone()];
    for Shelved { run, .. } in earlier {
        for (index, arm) in run.arms.iter().enumerate() {
            let cells: Vec<&RunCell> = run.cells.iter().filter(|cell| cell.arm == index).collect();
            // A suite run has one program under each name, which any of its records tells.
            let record = cells.iter().find_map(|cell| store.record(&cell.cell).ok());
            let Some(record) = record.filter(is_same) else { continue };
            let place = left.arms.iter().position(|one| one.label == arm.label);
            let place = match place {
                Some(place) => {
                    let meant = left.arms[place].settings == arm.settings;
                    if !meant || files(&known[place]) != files(&record) {
                        continue;
                    }
                    place
                }
                None => {
                    left.arms.push(arm.clone());
                    known.push(record);
                    left.arms.len() - 1
                }
            };
            for cell in cells {
                let taken = |one: &RunCell| one.arm == place && one.seed == cell.seed;
                if !left.cells.iter().any(taken) {
                    left.cells.push(RunCell { arm: place, ..cell.clone() });
                }
            }
        }
    }
    let number = |seed: &str| seed.parse::<u64>().unwrap_or(u64::MAX);
    left.cells
        .sort_by(|a, b| (number(&a.seed), &a.seed, a.arm).cmp(&(number(&b.seed), &b.seed, b.arm)));
    Ok(())
}
