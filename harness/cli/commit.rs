//! `palimpsest commit`

use serde_json::json;

use super::Exit;
use super::suite_options::SuiteOptions;
use crate::runner::{NamedSeed, Session};
use crate::voice::{print_json, print_table};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    options: SuiteOptions,
    /// Device the runs will use: it is part of what is committed to
    #[arg(long, default_value = "auto")]
    device: String,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let plan = args.options.plan()?;
    let places = &args.options.places;
    let mut session = Session::new(plan, places.store(), places.sources(), &args.device, false)?;
    let mut rows = Vec::new();
    for index in 0..session.plan.cells.len() {
        let cell = session.plan.cells[index];
        let seed = NamedSeed::integer(cell.seed, None);
        let id = session.cell_id(cell, &seed)?;
        let commitment = session.with_setup(cell, &seed, |_, setup| Ok(setup.commitment()?))?;
        rows.push([
            id,
            session.plan.workloads[cell.workload].label.clone(),
            session.plan.arms[cell.arm].label.clone(),
            seed.name,
            commitment.epochs.to_string(),
            commitment.digest.to_string(),
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
