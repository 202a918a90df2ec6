//! Options of `palimpsest plan`

use super::suite_options::SuiteOptions;

/// Options of `palimpsest plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// The suite.
    pub options: SuiteOptions,
    /// Tell how many seeds and minutes each claim needs, from the spread of the suite's stored runs
    #[arg(long)]
    pub power: bool,
    /// The true effect to plan for, on each claim's scale; by default the measured one
    #[arg(long, requires = "power", value_name = "X", allow_negative_numbers = true)]
    pub effect: Option<f64>,
    /// How surely the effect is to be shown
    #[arg(
        long,
        requires = "power",
        value_name = "P",
        default_value_t = 0.8,
        allow_negative_numbers = true
    )]
    pub target_power: f64,
    /// Plan also for every arm's speed-up over the baseline
    #[arg(long, requires = "power")]
    pub arms: bool,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
