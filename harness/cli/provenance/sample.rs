//! Options of `palimpsest provenance sample`

use std::path::PathBuf;

use crate::cli::suite_options::Places;

/// Options of `palimpsest provenance sample`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run whose model writes, by id or unique prefix
    #[arg(long, value_name = "RUN")]
    pub model: String,
    /// Tokens to sample, rounded up to whole documents
    #[arg(long, default_value_t = 128_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub tokens: u64,
    /// Divides the logits; 1 samples from the model as it is
    #[arg(long, default_value_t = 1.0, value_parser = temperature)]
    pub temperature: f64,
    /// Seed of the sampling
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where the text goes: documents × tokens, u32 (.npy)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if value > 0.0 && value <= 100.0 => Ok(value),
        _ => Err(format!("a temperature is above 0 and at most 100, as in 1.0; it is {text}")),
    }
}
