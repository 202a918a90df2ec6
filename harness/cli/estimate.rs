//! `palimpsest estimate`: what would another order of the same data have given?
//!
//! Every verb builds tensors, so that all of them are the engine's.

pub mod files;

use clap::Subcommand;

/// Options of `palimpsest estimate`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Estimate,
}

/// Verbs of `palimpsest estimate`.
#[derive(Debug, Subcommand)]
pub enum Estimate {
    /// Estimate final parameters of other orders from arrays of any framework
    Files(Box<files::Args>),
}
