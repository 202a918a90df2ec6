//! Options of `palimpsest estimate RUN`

use std::path::PathBuf;

use stats::estimates::OrdersSpec;

use super::fit::Fit;

/// Options of `palimpsest estimate RUN`.
#[derive(Debug, clap::Args)]
// A group with flattened options in it is empty unless told what makes it present.
#[group(id = "orders-of-a-run", arg = "run")]
pub struct Args {
    #[command(flatten)]
    /// Which run, and how.
    pub fit: Fit,
    /// N random orders, `reverse`, `sorted:loss[:desc]`, `sorted:score[:desc]`, or a file: item numbers or the ids of the
    /// whole run (`best-order.npy`), .npy, or text with an order a line
    #[arg(long, value_name = "N|FILE|reverse|sorted:KEY", required = true)]
    pub orders: Vec<OrdersSpec>,
    /// Rows to print; all are in the files
    #[arg(long, default_value_t = 20)]
    pub top: usize,
    /// Evaluate every item's own loss at every order's end too
    #[arg(long)]
    pub own: bool,
    /// Folder for orders, tables and JSON; under the store's reports by default, named by run, window, verdict and settings
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
