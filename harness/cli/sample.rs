//! Options of `palimpsest sample`

use super::suite_options::Places;

/// Options of `palimpsest sample`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run of text-char, text-byte or tokens that kept its model, by id or unique prefix
    pub run: String,
    /// What the model goes on from; of 16-bit tokens their numbers, parted by blanks
    #[arg(long, value_name = "TEXT", value_parser = prompt, allow_hyphen_values = true)]
    pub prompt: String,
    /// Tokens to write
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub tokens: u32,
    /// Divides the logits: 1 writes as the model has it, less is surer, 0 takes the likeliest
    #[arg(long, default_value_t = 1.0, value_parser = temperature, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Draw from the likeliest tokens that have this share of the probability together
    #[arg(long, default_value_t = 1.0, value_parser = top_p, allow_negative_numbers = true)]
    pub top_p: f64,
    /// Seed of the writing: the same one gives the same text
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
    /// Print as JSON, with every character as it is
    #[arg(long)]
    pub json: bool,
}

fn prompt(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("a prompt has a character at least: a model goes on from something".to_owned());
    }
    Ok(text.to_owned())
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err(format!("a temperature is from 0 to 100, as in 0.8; it is {text}")),
    }
}

fn top_p(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err(format!("a share is above 0 and at most 1, as in 0.9; it is {text}")),
    }
}
