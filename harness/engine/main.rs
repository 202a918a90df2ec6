//! `palimpsest-engine`: the verbs that load libtorch. `palimpsest` becomes it; nobody need call it.

mod catalogue;
mod commit;
mod devices;
mod doctor;
mod environment;
mod estimate;
mod forecast;
mod interrupt;
mod inventory;
mod mend;
mod plan;
mod progress;
mod provenance;
mod record;
mod reproduce;
mod run;
mod runner;
mod sample;
mod stopping;
mod submit;
mod suite_run;
mod tune;

use std::process::ExitCode;

use ledger::catalogue::listing::Listing;
use palimpsest::cli::{Training, Verb};
use palimpsest::exit::Exit;

fn main() -> ExitCode {
    palimpsest::start(dispatch)
}

fn dispatch(verb: Verb) -> anyhow::Result<Exit> {
    catalogue::check_front()?;
    match verb {
        Verb::Reading(verb) => {
            verb.run(&|| Ok(Listing::from(&catalogue::catalogue())), &provenance::again)
        }
        Verb::Training(Training::Run(args)) => run::run(&args),
        Verb::Training(Training::Mend(args)) => mend::run(&args),
        Verb::Training(Training::Tune(args)) => tune::run(&args),
        Verb::Training(Training::Plan(args)) => plan::run(&args),
        Verb::Training(Training::Commit(args)) => commit::run(&args),
        Verb::Training(Training::Record(args)) => record::run(&args),
        Verb::Training(Training::Reproduce(args)) => reproduce::run(&args),
        Verb::Training(Training::Sample(args)) => sample::run(&args),
        Verb::Training(Training::Doctor(args)) => doctor::run(&args),
        Verb::Training(Training::Catalogue) => catalogue::run(),
        Verb::Training(Training::Worker) => runner::company::serve(),
        Verb::Provenance(verb) => provenance::run(&verb),
        Verb::Estimate(args) => estimate::run(&args),
    }
}
