//! `palimpsest completions`

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::exit::Exit;
use crate::voice::print_text;

/// Options of `palimpsest completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell to complete for
    shell: Shell,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    // Into memory first: writing to a closed pipe would panic inside the generator.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "palimpsest", &mut script);
    print_text(&String::from_utf8(script)?)?;
    Ok(Exit::Fine)
}
