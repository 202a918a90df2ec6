//! Schedulers that run the parts of a suite: what is handed to them, and what comes back.
//!
//! A suite goes in parts ([`analysis::plan::shards`]), each with a store of its own, so that no two
//! machines ever write to one: file systems without locks are as good as others. Palimpsest hands them
//! in, watches, hands in again what the scheduler ended, and brings the stores together. It never
//! decides when or where a part runs.

pub mod job;
pub mod kubernetes;
pub mod slurm;

use std::path::PathBuf;

use analysis::plan::shards::Shard;

use crate::voice::quoted;

/// What every part runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program.
    pub program: PathBuf,
    /// `run`, the suite and the options, each as a shell takes it.
    pub arguments: Vec<String>,
    /// The folder that paths start from.
    pub folder: PathBuf,
}

impl Command {
    /// The line of one part; `shard` and `store` are words as a shell takes them.
    #[must_use]
    pub fn line(&self, shard: &str, store: &str) -> String {
        let program = quoted(&self.program.to_string_lossy());
        format!("{program} {} --shard {shard} --store {store}", self.arguments.join(" "))
    }

    /// The line of a known part.
    #[must_use]
    pub fn of(&self, shard: Shard, store: &str) -> String {
        self.line(&shard.to_string(), &quoted(store))
    }
}
