//! `palimpsest plan`

use palimpsest::cli::Exit;
use palimpsest::cli::plan::Args;
use palimpsest::voice::{cost, print_plan};

use crate::catalogue::catalogue;

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let plan = args.options.plan(&catalogue())?;
    let store = args.options.places.store();
    print_plan(&plan, &cost::estimate(&plan, &store), args.json)?;
    Ok(Exit::Fine)
}
