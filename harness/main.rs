//! `palimpsest`: answers what needs no tensor, and becomes `palimpsest-engine` for the rest.

mod front;

use std::process::ExitCode;

fn main() -> ExitCode {
    palimpsest::start(front::dispatch)
}
