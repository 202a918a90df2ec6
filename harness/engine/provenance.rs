//! `palimpsest provenance`: the verbs that build tensors.

mod map;
mod recorded;
mod sample;
mod scores;

use palimpsest::cli::Exit;
use palimpsest::cli::provenance::text::Text;
use palimpsest::cli::provenance::{Provenance, Training};

/// Runs the verb.
pub fn run(verb: &Provenance) -> anyhow::Result<Exit> {
    match verb {
        Provenance::Reading(verb) => verb.run(),
        Provenance::Training(Training::Scores(args)) => scores::run(args),
        Provenance::Training(Training::Sample(args)) => sample::run(args),
        Provenance::Training(Training::Calibrate(_)) => anyhow::bail!("not built yet"),
        Provenance::Training(Training::Map(args)) => map::run(args),
        Provenance::Text(Text::Reshuffle(_)) => anyhow::bail!("not built yet"),
    }
}
