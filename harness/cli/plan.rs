//! `palimpsest plan`

use super::Exit;
use super::suite_options::SuiteOptions;
use crate::voice::{cost, print_plan};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    options: SuiteOptions,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let plan = args.options.plan()?;
    let store = args.options.places.store();
    print_plan(&plan, &cost::estimate(&plan, &store), args.json)?;
    Ok(Exit::Fine)
}
