//! `palimpsest provenance`: does a model, or a text, derive from a run?
//!
//! One subcommand with verbs of its own. Those of [`Reading`] need no tensor and answer here; those
//! of [`Training`] are the engine's.

pub mod calibrate;
pub mod corpus;
pub mod draw;
pub mod example_ids;
pub mod files;
pub mod given;
pub mod map;
pub mod order_table;
pub mod plan;
pub mod power;
pub mod promise;
pub mod query;
pub mod question;
pub mod runs;
pub mod sample;
pub mod scores;
pub mod siblings;
pub mod text;

use clap::Subcommand;

use super::Ask;
use crate::exit::Exit;
use text::Text;

/// All verbs of `palimpsest provenance`.
#[derive(Debug, Subcommand)]
pub enum Provenance {
    /// Those that build tensors.
    #[command(flatten)]
    Training(Training),
    /// Those that only read and compute.
    #[command(flatten)]
    Reading(Reading),
    /// Test whether a text derives from a run
    #[command(subcommand)]
    Text(Text),
}

/// Verbs of the engine.
#[derive(Debug, Subcommand)]
pub enum Training {
    /// Score a model of the store on every training example of a run
    Scores(scores::Args),
    /// Draw the orders of runs again from seed and method, without training, as JSON
    #[command(hide = true)]
    Draw(draw::Args),
    /// Sample text from a model of the store
    Sample(sample::Args),
    /// Write a run's examples and order as plain files, for the partition test
    Corpus(corpus::Args),
    /// Check in public that p-values are uniform where there is nothing to find; exit 1 if not
    Calibrate(calibrate::Args),
    /// Draw how each part of a run's data was learnt and forgotten, checkpoint by checkpoint
    Map(map::Args),
}

/// Verbs that need no tensor.
#[derive(Debug, Subcommand)]
pub enum Reading {
    /// Test whether a model derives from a run, by the order in which the run saw its examples
    Query(Box<query::Args>),
    /// Draw how deep the tests of a suite's last run go, over its own quantities and over the number of examples
    Power(power::Args),
    /// Fix an order of any framework before training with it, and print its commitment
    Promise(promise::Args),
    /// Test whether two models grew from the same initial weights
    Siblings(siblings::Args),
}

impl Reading {
    /// Runs the verb.
    ///
    /// # Errors
    /// With what was wrong and the way out.
    pub fn run(&self, ask: Ask<'_>) -> anyhow::Result<Exit> {
        match self {
            Self::Query(args) => query::run(args, ask),
            Self::Power(args) => power::run(args),
            Self::Promise(args) => promise::run(args),
            Self::Siblings(args) => siblings::run(args),
        }
    }
}

/// A share above 0, up to 1.
///
/// # Errors
/// When it is none.
pub(crate) fn share_of_run(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("\"{text}\" is not a number"))?;
    if share > 0.0 && share <= 1.0 {
        return Ok(share);
    }
    Err(format!("a share is above 0 and at most 1, as in 0.1; it is {text}"))
}
