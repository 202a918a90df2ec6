//! `palimpsest commit`

use analysis::evidence::Promise;
use ledger::digest::Digest;
use palimpsest::cli::commit::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{note, print_json, print_table};
use serde::Serialize;

use crate::catalogue::catalogue;
use crate::runner::{NamedSeed, Session};

/// What is promised of one cell; a commitment that is not known yet is absent.
#[derive(Debug, Serialize)]
struct Row {
    /// None where a beacon will be part of the id.
    cell: Option<String>,
    workload: String,
    arm: String,
    /// The suite's number of the seed.
    seed: u64,
    epochs: Option<u32>,
    commitment: Option<Digest>,
    beacon_source: Option<String>,
}

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let plan = args.options.plan(&catalogue())?;
    args.options.hold_to_tuning(&plan)?;
    let places = &args.options.places;
    let mut session = Session::new(plan, places.store(), places.sources(), &args.device, false)?;
    let mut seeds = Vec::new();
    for &number in &session.plan.seeds {
        let mut named = match args.attested {
            true => NamedSeed::attested(None)?,
            false => NamedSeed::integer(number, None),
        };
        named.seed.beacon_source.clone_from(&args.beacon_source);
        seeds.push((number, named));
    }
    let mut rows = Vec::new();
    for index in 0..session.plan.cells.len() {
        let cell = session.plan.cells[index];
        let Some((_, seed)) = seeds.iter().find(|(number, _)| *number == cell.seed) else {
            continue;
        };
        // What a child commits to is known once its parents have run; with a beacon to come, their ids
        // are not known either.
        let known = session.parents_left(cell, seed)?;
        let external = session.plan.arms[cell.arm].external.is_some();
        let found = match known {
            true if external => Some(session.program_commitment(cell, seed)?),
            true => Some(session.with_setup(cell, seed, |_, setup| Ok(setup.commitment()?))?),
            false => None,
        };
        let id = session.cell_id(cell, seed)?;
        rows.push(Row {
            cell: args.beacon_source.is_none().then_some(id),
            workload: session.plan.workloads[cell.workload].label.clone(),
            arm: session.plan.arms[cell.arm].label.clone(),
            seed: cell.seed,
            epochs: found.as_ref().map(|found| found.terms.epochs),
            commitment: found.as_ref().map(|found| found.digest()),
            beacon_source: args.beacon_source.clone(),
        });
    }
    if let Some(path) = &args.promise {
        let seeds: Vec<_> = seeds.into_iter().map(|(number, named)| (number, named.seed)).collect();
        Promise::of(&session.plan.suite, args.beacon_source.clone(), &seeds).write(path)?;
        note(&format!("seeds: {}; show it to nobody before the runs", path.display()));
    }
    if args.json {
        print_json(&rows)?;
    } else {
        let header = ["cell", "workload", "arm", "seed", "epochs", "commitment"];
        let rows = rows.into_iter().map(|row| {
            [
                row.cell.unwrap_or_else(|| "once the beacon is out".to_owned()),
                row.workload,
                row.arm,
                row.seed.to_string(),
                row.epochs.map_or_else(String::new, |epochs| epochs.to_string()),
                row.commitment.map_or_else(
                    || "once its parents have run".to_owned(),
                    |commitment| commitment.to_string(),
                ),
            ]
        });
        print_table(header, rows)?;
    }
    Ok(Exit::Fine)
}
