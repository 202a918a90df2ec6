//! `palimpsest estimate`: every verb of it builds tensors.

mod bench;
mod busy;
mod curricula;
mod drop;
mod effect;
mod estimator;
mod estimators;
mod files;
mod given;
mod position;
mod predict;
mod print;
mod search;
pub mod suite;
mod target;
mod validate;

use palimpsest::cli::estimate::{Args, Estimate};
use palimpsest::exit::Exit;

/// Runs the verb.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    match (&args.verb, &args.orders) {
        (Some(Estimate::Validate(args)), _) => validate::run(args),
        (Some(Estimate::Search(args)), _) => search::run(args),
        (Some(Estimate::Position(args)), _) => position::run(args),
        (Some(Estimate::Attribute(args)), _) => position::attribute(args),
        (Some(Estimate::Drop(args)), _) => drop::run(args),
        (Some(Estimate::Weights(args)), _) => drop::weights(args),
        (Some(Estimate::Estimators), _) => estimators::run(),
        (Some(Estimate::Files(args)), _) => files::run(args),
        (None, Some(args)) => predict::run(args),
        (None, None) => anyhow::bail!("name a run, or a verb: `palimpsest estimate --help`"),
    }
}
