//! `palimpsest provenance text`: tests that have nothing but a text.

pub mod partition;
pub mod reshuffle;

use clap::Subcommand;

/// Tests of a text.
#[derive(Debug, Subcommand)]
pub enum Text {
    /// Ask whether the text overlaps more with what the run consumed late than with what came early
    Partition(partition::Args),
    /// Train the end of the run again in other orders, and ask which model likes the text best
    Reshuffle(reshuffle::Args),
}
