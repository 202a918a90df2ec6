//! Palimpsest: a bench for training methods. Parses, dispatches, exits.

mod cli;
mod library;
mod machine;
mod runner;
mod voice;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = match cli::Cli::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return voice::usage(&error),
    };
    voice::prepare();
    match std::panic::catch_unwind(|| cli::dispatch(arguments)) {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(error)) => voice::refuse(&error),
        Err(_) => cli::Exit::Bug.into(),
    }
}
