//! `palimpsest estimate`: what would another order of the same data have given?
//!
//! Every verb builds tensors, so that all of them are the engine's.

pub mod drop;
pub mod files;
pub mod fit;
pub mod position;
pub mod predict;
pub mod search;
pub mod validate;

use clap::Subcommand;

/// Options of `palimpsest estimate`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Args {
    /// What to do; without a verb, orders of a run are estimated.
    #[command(subcommand)]
    pub verb: Option<Estimate>,
    #[command(flatten)]
    /// Orders of a run.
    pub orders: Option<predict::Args>,
}

/// Verbs of `palimpsest estimate`.
#[derive(Debug, Subcommand)]
pub enum Estimate {
    /// Hold an estimator to true runs of orders that it never saw
    Validate(Box<validate::Args>),
    /// Look for better orders among many, and train the best for true
    Search(Box<search::Args>),
    /// Draw what an item's own loss would be, had it come at another step, or not at all
    Position(Box<position::Args>),
    /// Rank the items by how much their places move the held-out loss
    Attribute(Box<position::Args>),
    /// Say what leaving items out would have done, and which do harm or help
    Drop(Box<drop::Args>),
    /// Say what other weights of the items would have done
    Weights(Box<drop::WeightsArgs>),
    /// List the estimators: what each is, needs and fits
    Estimators,
    /// Estimate final parameters of other orders from arrays of any framework
    Files(Box<files::Args>),
}
