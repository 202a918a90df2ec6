//! `palimpsest completions`

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Exit;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell to complete for
    shell: Shell,
}

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    clap_complete::generate(
        args.shell,
        &mut super::Cli::command(),
        "palimpsest",
        &mut std::io::stdout(),
    );
    Ok(Exit::Fine)
}
