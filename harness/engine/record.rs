//! `palimpsest record`: the run of a script that runs by itself and has started this program.
//!
//! The protocol is that of arms, on standard input and output, and so is all that becomes of a run; after
//! `bye` comes one more line, `recorded`.

use std::io::Write as _;
use std::os::fd::AsFd as _;

use analysis::plan::{Overrides, plan};
use analysis::suite_run::{Made, Shelf, SuiteRun};
use anyhow::{Context as _, anyhow, bail};
use ledger::record::Status;
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
    let there = session.store.has(&id) && !args.again;
    if there && !session.store.record(&id).is_ok_and(|record| record.status == Status::Failed) {
        bail!(
            "run {id} is in {root} already: the same script, settings and seed; take another seed, or --again, which replaces it"
        );
    }
    let started = unix_seconds();
    let report = session.record_script(cell, &seed, &id, &lock)?;
    let mut left = suite_run(&session, SOURCE, &[seed], &[id], Vec::new());
    left.made = Made { started_unix: started, ended_unix: Some(unix_seconds()), ..Made::default() };
    let shelf = Shelf::of(&session.store, &left.suite)?;
    gather(&mut left, &shelf);
    left.take_place(&session.store)?;
    left.save(&session.store)?;
    Ok(report)
}

/// Takes in what other scripts have recorded of the same task, so that its report shows all of it: the
/// newest run of each arm and seed.
fn gather(left: &mut SuiteRun, shelf: &Shelf) {
    let same = |run: &&SuiteRun| run.source == SOURCE && run.workloads == left.workloads;
    let earlier: Vec<&SuiteRun> = shelf.runs.iter().map(|one| &one.run).filter(same).collect();
    for run in earlier {
        for cell in &run.cells {
            let arm = &run.arms[cell.arm];
            let known = left.arms.iter().position(|known| known.label == arm.label);
            let taken = known.is_some_and(|known| {
                let meant = left.arms[known].settings == arm.settings;
                !meant || left.cells.iter().any(|one| one.arm == known && one.seed == cell.seed)
            });
            if taken {
                continue;
            }
            let index = known.unwrap_or_else(|| {
                left.arms.push(arm.clone());
                left.arms.len() - 1
            });
            let mut cell = cell.clone();
            cell.arm = index;
            left.cells.push(cell);
        }
    }
    let number = |seed: &str| seed.parse::<u64>().unwrap_or(u64::MAX);
    left.cells
        .sort_by(|a, b| (number(&a.seed), &a.seed, a.arm).cmp(&(number(&b.seed), &b.seed, b.arm)));
}
