//! `palimpsest provenance siblings`

use crate::cli::Exit;
use crate::cli::suite_options::Places;

/// Options of `palimpsest provenance siblings`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run that kept its model, by id or unique prefix, or a .safetensors file
    pub first: String,
    /// The other one
    pub second: String,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(_args: &Args) -> anyhow::Result<Exit> {
    anyhow::bail!("not built yet")
}
