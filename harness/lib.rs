//! What `palimpsest` and `palimpsest-engine` share: the command line, the verbs that need no
//! tensor, and everything a person reads.
//!
//! Nothing here names `lab`, `methods` or `tch`: loading libtorch takes a quarter of a second,
//! which `palimpsest list` need not wait for.

pub mod cli;
pub mod evidence;
pub mod executor;
pub mod exit;
pub mod git;
pub mod library;
pub mod limit;
pub mod machine;
pub mod voice;

use std::process::ExitCode;

use clap::Parser as _;

/// Parses the command line and dispatches; says how the process ends.
pub fn start(dispatch: fn(cli::Verb) -> anyhow::Result<exit::Exit>) -> ExitCode {
    voice::prepare();
    let outcome = std::panic::catch_unwind(|| match cli::Cli::try_parse() {
        Ok(cli) => {
            if cli.wide {
                voice::widen();
            }
            dispatch(cli.verb).map_or_else(|error| voice::refuse(&error), Into::into)
        }
        Err(error) => voice::usage(&error),
    });
    outcome.unwrap_or_else(|_| exit::Exit::Bug.into())
}
