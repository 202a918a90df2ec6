//! Options of `palimpsest estimate files`.

use std::path::PathBuf;

use clap::ValueHint::FilePath;

/// What the command needs to be told about its arrays, below the options.
const AFTER: &str = "\
Arrays are .npy files: p parameters flattened into one vector, k directions, items numbered from 0
(an item is what one step consumes, as a rule a batch), M orders of T steps. float16, float32 and
integers are widened; all arithmetic is in float64.

At every step, with d = theta - centre, the update rule is given
    gradients[i]                             without --curvature (replay: constant gradients)
    gradients[i] + curvature[i] @ (Q.T @ d)  with --curvature and --basis
    gradients[i] + curvature[i] @ d          with --curvature [items, p, p] alone (Q = identity)
where i is the item of the step and Q the basis, whose columns are orthonormal.

The update rule is a YAML file; paths in it count from its folder:
    kind: sgd | adam | adamw | muon   with the meaning of torch.optim (muon: Keller Jordan's)
    lr: 0.1                           or a list of T numbers, or a .npy file of T numbers
    momentum, nesterov                sgd (0, false) and muon (0.95, true)
    betas: [0.9, 0.999], eps: 1e-8    adam and adamw
    weight_decay: 0                   adam: added to the gradient; adamw (0.01): decoupled
    clip: 1.0                         largest norm of the gradient; without it, none
    state: {momentum: buf.npy}        sgd and muon: the momentum buffer, shape [p]
    state: {m: m.npy, v: v.npy, step: N}   adam, adamw and the AdamW beside muon, shape [p] each
    shapes: [[64, 32], [64], ...]     muon: the parameters that make up p
    moved_by: [muon, adamw, ...]      muon: by default muon moves weights but the last one
    ns_steps: 5                       muon: Newton-Schulz iterations
    aux: {lr: 3e-4, betas: [0.9, 0.95], eps: 1e-10, weight_decay: 0}   muon: the AdamW beside it

docs/estimates_from_pytorch.py writes all these files for a PyTorch model.";

/// Options of `palimpsest estimate files`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub struct Args {
    /// Parameters from which every order starts, shape [p]
    #[arg(long, value_name = "NPY", value_hint = FilePath, help_heading = "Arrays")]
    pub theta0: PathBuf,
    /// Parameters around which gradients and curvature were taken, shape [p]
    #[arg(long, value_name = "NPY", value_hint = FilePath, help_heading = "Arrays")]
    pub centre: PathBuf,
    /// Gradient of each item's loss at the centre, shape [items, p]
    #[arg(long, value_name = "NPY", value_hint = FilePath, help_heading = "Arrays")]
    pub gradients: PathBuf,
    /// Hessian of each item's loss at the centre times the basis, shape [items, p, k]; without it
    /// the gradients are constant
    #[arg(long, value_name = "NPY", value_hint = FilePath, help_heading = "Arrays")]
    pub curvature: Option<PathBuf>,
    /// Directions along which the curvature is known, orthonormal columns, shape [p, k]; the
    /// identity by default, when the curvature has k = p
    #[arg(long, value_name = "NPY", value_hint = FilePath, help_heading = "Arrays")]
    pub basis: Option<PathBuf>,
    /// Orders to estimate, item numbers, shape [M, T]
    #[arg(long, value_name = "NPY", value_hint = FilePath, help_heading = "Arrays")]
    pub orders: PathBuf,
    /// Gradient of the loss to predict at the centre, shape [p]
    #[arg(long, value_name = "NPY", value_hint = FilePath, help_heading = "Loss to predict")]
    pub loss_grad: Option<PathBuf>,
    /// Hessian of the loss to predict at the centre times the basis, shape [p, k]
    #[arg(
        long,
        value_name = "NPY",
        value_hint = FilePath,
        requires = "loss_grad",
        help_heading = "Loss to predict"
    )]
    pub loss_curvature: Option<PathBuf>,
    /// The loss at the centre, for absolute numbers; without it, losses are differences from it
    #[arg(
        long,
        value_name = "X",
        requires = "loss_grad",
        allow_negative_numbers = true,
        help_heading = "Loss to predict"
    )]
    pub loss_at_centre: Option<f64>,
    /// Parameters around which the loss to predict was taken, shape [p]; the centre by default. Around the mean end of a few
    /// trainings the predicted losses are nearer
    #[arg(
        long,
        value_name = "NPY",
        value_hint = FilePath,
        requires = "loss_grad",
        help_heading = "Loss to predict"
    )]
    pub loss_centre: Option<PathBuf>,
    /// Orders that were truly trained, never used for the set-up, shape [C, T]: they decide whether the others may be
    /// believed
    #[arg(
        long,
        value_name = "NPY",
        value_hint = FilePath,
        requires = "check_ends",
        help_heading = "Gate"
    )]
    pub check_orders: Option<PathBuf>,
    /// Final parameters of those trainings, shape [C, p]
    #[arg(
        long,
        value_name = "NPY",
        value_hint = FilePath,
        requires = "check_orders",
        help_heading = "Gate"
    )]
    pub check_ends: Option<PathBuf>,
    /// Their losses, shape [C], as --loss-grad and --loss-at-centre predict them
    #[arg(
        long,
        value_name = "NPY",
        value_hint = FilePath,
        requires_all = ["check_orders", "loss_grad"],
        help_heading = "Gate"
    )]
    pub check_losses: Option<PathBuf>,
    /// Update rule, its settings and its state at the start (--help shows the keys)
    #[arg(long, value_name = "YAML", value_hint = FilePath)]
    pub optimizer: PathBuf,
    /// Take orders that repeat or miss items
    #[arg(long)]
    pub free_orders: bool,
    /// Memory that may be used; above it the curvature is read item by item at every step
    #[arg(long, value_name = "GB", value_parser = gigabytes)]
    pub memory_limit: Option<f64>,
    /// File to write: final parameters, float64, shape [M, p]
    #[arg(long, value_name = "NPY", value_hint = FilePath)]
    pub out: PathBuf,
    /// Overwrite the file
    #[arg(long)]
    pub force: bool,
    /// Print as JSON: settings, order hashes, predicted losses, ranking
    #[arg(long)]
    pub json: bool,
}

/// A positive number of gigabytes.
fn gigabytes(text: &str) -> Result<f64, String> {
    let size: f64 = text.parse().map_err(|_| format!("\"{text}\" is not a number"))?;
    if size > 0.0 && size.is_finite() {
        return Ok(size);
    }
    Err(format!("a limit is above 0, as in 0.5; it is {text}"))
}
