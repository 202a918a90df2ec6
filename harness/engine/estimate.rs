//! `palimpsest estimate`: every verb of it builds tensors.

mod files;

use palimpsest::cli::Exit;
use palimpsest::cli::estimate::{Args, Estimate};

/// Runs the verb.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.verb {
        Estimate::Files(args) => files::run(args),
    }
}
