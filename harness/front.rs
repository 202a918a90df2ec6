//! Which verbs are answered here, without libtorch, and which by the engine.

mod engine;
mod listing;

use palimpsest::cli::doctor::{self, Finding};
use palimpsest::cli::provenance::Provenance;
use palimpsest::cli::provenance::text::{Text, partition};
use palimpsest::cli::{Training, Verb};
use palimpsest::exit::Exit;

/// Runs the verb, or becomes the engine.
pub fn dispatch(verb: Verb) -> anyhow::Result<Exit> {
    match verb {
        Verb::Reading(verb) => verb.run(&listing::listing, &engine::run),
        Verb::Provenance(Provenance::Reading(verb)) => verb.run(&engine::run),
        Verb::Provenance(Provenance::Text(Text::Partition(args))) => partition::run(&args),
        Verb::Training(Training::Doctor(args)) => doctor(&args),
        Verb::Training(_) | Verb::Provenance(_) | Verb::Estimate(_) => {
            match engine::hand_over()? {}
        }
    }
}

/// The engine looks at the machine; where it does not start, that is the finding.
fn doctor(args: &doctor::Args) -> anyhow::Result<Exit> {
    let Err(error) = engine::ask() else { match engine::hand_over()? {} };
    let engine = Finding {
        what: "engine",
        fine: false,
        found: error.problem.clone(),
        remedy: Some(error.remedy),
    };
    let rest = doctor::findings(&args.places);
    doctor::conclude(&[vec![engine], rest].concat(), args.json)
}
