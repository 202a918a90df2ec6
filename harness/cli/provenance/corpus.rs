//! Options of `palimpsest provenance corpus`

use std::path::PathBuf;

use crate::cli::suite_options::Places;

/// Options of `palimpsest provenance corpus`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run, by id or unique prefix
    #[arg(long, value_name = "RUN")]
    pub run: String,
    /// Folder for corpus.npy (examples × tokens, u32) and order.npy (ids as consumed in the last
    /// epoch, u32)
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
}
