//! `palimpsest estimate files`: estimates from arrays of any framework.

use palimpsest::cli::Exit;
use palimpsest::cli::estimate::files::Args;

/// Runs the verb.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    anyhow::bail!("{}: this build cannot estimate from files yet", args.out.display())
}
