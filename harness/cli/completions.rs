//! `palimpsest completions`

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Exit;

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
    clap_complete::generate(
        args.shell,
        &mut super::Cli::command(),
        "palimpsest",
        &mut std::io::stdout(),
    );
    Ok(Exit::Fine)
}
