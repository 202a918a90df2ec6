//! `palimpsest provenance`: the verbs that build tensors.

mod calibrate;
mod corpus;
mod draw;
mod map;
mod parts;
pub mod recorded;
mod reshuffle;
mod sample;
mod scores;

use std::ffi::OsString;
use std::process::{Command, Stdio};

use palimpsest::cli::provenance::text::{Text, partition};
use palimpsest::cli::provenance::{Provenance, Training};
use palimpsest::exit::Exit;

/// Runs the verb.
pub fn run(verb: &Provenance) -> anyhow::Result<Exit> {
    match verb {
        Provenance::Reading(verb) => verb.run(&again),
        Provenance::Training(Training::Scores(args)) => scores::run(args),
        Provenance::Training(Training::Draw(args)) => draw::run(args),
        Provenance::Training(Training::Sample(args)) => sample::run(args),
        Provenance::Training(Training::Corpus(args)) => corpus::run(args),
        Provenance::Training(Training::Calibrate(args)) => calibrate::run(args),
        Provenance::Training(Training::Map(args)) => map::run(args),
        Provenance::Text(Text::Partition(args)) => partition::run(args),
        Provenance::Text(Text::Reshuffle(args)) => reshuffle::run(args),
    }
}

/// Asks another process of this program.
pub fn again(arguments: &[OsString]) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args(arguments).stderr(Stdio::inherit()).output()?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        anyhow::bail!("see the message above ({})", output.status)
    }
}
