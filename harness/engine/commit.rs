//! `palimpsest commit`

use palimpsest::cli::commit::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{print_json, print_table};
use serde_json::json;

use crate::catalogue::catalogue;
use crate::runner::{NamedSeed, Session};

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let plan = args.options.plan(&catalogue())?;
    args.options.hold_to_tuning(&plan)?;
    let places = &args.options.places;
    let mut session = Session::new(plan, places.store(), places.sources(), &args.device, false)?;
    let mut rows = Vec::new();
    for index in 0..session.plan.cells.len() {
        let cell = session.plan.cells[index];
        let seed = NamedSeed::integer(cell.seed, None);
        let id = session.cell_id(cell, &seed)?;
        // What a child commits to is known once its parents have run.
        let (epochs, digest) = if session.parents_left(cell, &seed)? {
            let found = session.with_setup(cell, &seed, |_, setup| Ok(setup.commitment()?))?;
            (found.epochs.to_string(), found.digest.to_string())
        } else {
            (String::new(), "once its parents have run".to_owned())
        };
        rows.push([
            id,
            session.plan.workloads[cell.workload].label.clone(),
            session.plan.arms[cell.arm].label.clone(),
            seed.name,
            epochs,
            digest,
        ]);
    }
    let header = ["cell", "workload", "arm", "seed", "epochs", "commitment"];
    if args.json {
        let rows = rows.iter().map(|row| {
            header
                .iter()
                .zip(row)
                .map(|(key, value)| (key.to_string(), json!(value)))
                .collect::<serde_json::Map<_, _>>()
        });
        print_json(&rows.collect::<Vec<_>>())?;
    } else {
        print_table(header, rows.into_iter())?;
    }
    Ok(Exit::Fine)
}
