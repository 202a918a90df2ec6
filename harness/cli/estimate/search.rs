//! Options of `palimpsest estimate search`

use std::path::PathBuf;

use clap::ValueEnum;
use stats::estimates::OrdersSpec;

use super::fit::Fit;

/// What a search looks among.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Space {
    /// Permutations, by descent
    Orders,
    /// Sorting by a key in phases, groups one after another, mixtures that change from phase to phase
    Curricula,
}

/// Options of `palimpsest estimate search`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// Which run, and how.
    pub fit: Fit,
    /// What is searched: orders one by one, or the rules that people choose them by
    #[arg(long, value_enum, default_value_t = Space::Orders)]
    pub space: Space,
    /// Draws by which a rule is estimated, with --space curricula
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub draws: u32,
    /// Orders from which descents start, too, as --orders of `palimpsest estimate RUN` takes them
    #[arg(long, value_name = "N|FILE|reverse|sorted:KEY")]
    pub from: Vec<OrdersSpec>,
    /// Random orders to score
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(16..=10_000_000))]
    pub random: u32,
    /// Best orders (or rules) to retrain for true
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub keep: u32,
    /// Of those, how many start a descent by pair swaps
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub descents: u32,
    /// Random orders to retrain for true, which the best are held against
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=10_000))]
    pub against: u32,
    /// Folder for the best order, figures, tables and JSON; under the store's reports by default, named by run, window, verdict and settings
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
