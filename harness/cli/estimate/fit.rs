//! Options that every verb of `palimpsest estimate` on a recorded run takes.

use clap::ValueEnum;
use stats::estimates::settings::{self, FitSettings, Target};

use crate::cli::suite_options::Places;

/// Which run, which part of it, and how the estimator is fitted.
#[derive(Debug, Clone, clap::Args)]
pub struct Fit {
    /// A run, by id or unique prefix
    pub run: String,
    /// Steps at the end of the run whose order is varied; all of them by default
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(2..))]
    pub last: Option<u64>,
    /// What an order moves as one piece
    #[arg(long, value_enum, default_value_t = Items::Batches)]
    pub items: Items,
    /// How orders are estimated: `palimpsest estimate estimators` lists them
    #[arg(long, value_name = "NAME", default_value = "surrogate")]
    pub estimator: String,
    /// Directions of the basis, k; twice the number of steps by default, 128 at most
    #[arg(short = 'k', long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub directions: Option<u32>,
    /// True runs that centre and basis are made from
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub pilots: u32,
    /// True runs kept aside, on which every answer is checked
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(8..=1000))]
    pub gate: u32,
    /// With 2, the basis is made again from orders that the first surrogate followed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    pub passes: u32,
    /// Centres along the window, each with a basis and curvature of its own: for whole runs, cold starts and epochs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub centres: u32,
    /// Draws pilots, gate and test orders, each from a stream of its own
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Split whose loss is predicted
    #[arg(long, value_enum, default_value_t = HeldOut::Validation)]
    pub held_out: HeldOut,
    /// Predict another loss than the split's mean: that of a group (`domain:NAME`), or of training examples by id
    /// (`examples:5,9`), as what is remembered of them
    #[arg(long, value_name = "domain:NAME|examples:IDS")]
    pub target: Option<Target>,
    /// Refuse a set-up that needs more memory than this
    #[arg(long, value_name = "GB", value_parser = positive)]
    pub memory_limit: Option<f64>,
    /// Make the set-up again, even where it is kept
    #[arg(long)]
    pub fresh: bool,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
}

/// What an order moves as one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Items {
    /// The batches that the run took, whole
    Batches,
    /// Single examples
    Examples,
}

/// Split whose loss is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HeldOut {
    /// The validation split
    Validation,
    /// The test split
    Test,
}

impl Fit {
    /// What is asked of the estimator.
    #[must_use]
    pub fn settings(&self) -> FitSettings {
        FitSettings {
            last: self.last,
            items: match self.items {
                Items::Batches => settings::Items::Batches,
                Items::Examples => settings::Items::Examples,
            },
            estimator: self.estimator.clone(),
            directions: self.directions,
            pilots: self.pilots,
            gate: self.gate,
            passes: self.passes,
            centres: self.centres,
            seed: self.seed,
            held_out: match self.held_out {
                HeldOut::Validation => settings::HeldOut::Validation,
                HeldOut::Test => settings::HeldOut::Test,
            },
            target: self.target.clone().unwrap_or_default(),
        }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("\"{text}\" is not a number"))?;
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err("give a number above 0".into()) }
}
