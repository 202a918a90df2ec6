//! Options of `palimpsest provenance scores`

use crate::cli::suite_options::Places;

/// Options of `palimpsest provenance scores`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run whose model is scored, by id or unique prefix
    #[arg(long, value_name = "RUN")]
    pub model: String,
    /// The run on whose training examples it is scored, by id or unique prefix
    #[arg(long, value_name = "RUN")]
    pub on: String,
    /// Compute device: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Score again what is there already
    #[arg(long)]
    pub force: bool,
    /// Score again and compare with what is there, which is left alone; exit 1 where it differs
    #[arg(long, conflicts_with = "force")]
    pub check: bool,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
