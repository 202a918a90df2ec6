//! # SGD with momentum
//!
//! ## Mechanism
//! `g = ∇f(w) + λw`; `buf ← μ·buf + g` (first step: `buf = g`); `w ← w − γ(g + μ·buf)` with
//! Nesterov's form, else `w ← w − γ·buf`. The rate γ follows the schedule, per step.
//!
//! ## Claim
//! None: this is the baseline that other methods are compared with.
//!
//! ## Sources
//! Sutskever et al. 2013 (ICML) for the Nesterov form; PyTorch 2.11's `torch.optim.SGD` for the
//! exact update, whose fused kernel this calls. `tests/cli/estimate_files.rs` holds the rule to the
//! optimiser in f64, to 1e-12.
//!
//! ## Differences
//! None known.

use lab::method::Method;
use lab::offers;
use lab::optim::sgd::{Sgd, SgdSettings};
use lab::recipe::Recipe;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `sgd`.
    pub struct Settings {
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "the repositories of PS-KD, Random Pruning, GraNet and RS2";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Cosine { floor: 0.0 }, from "cosine to 0, as usual; the RS2 repository ends at 1e-3";
        use sgd: SgdSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "SGD with (Nesterov) momentum: the baseline",
    paper: Paper {
        title: "On the importance of initialization and momentum in deep learning",
        authors: "Sutskever, Martens, Dahl, Hinton",
        year: 2013,
        reference: "ICML 2013",
        code: "torch.optim.SGD (PyTorch 2.11)",
    },
    claim: PaperClaim { statement: "baseline", number: "none", source: "none" },
    baseline: None,
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { batch_size, schedule, sgd } = Settings::read(values)?;
        Recipe::plain(batch_size, schedule, Box::new(Sgd::new(sgd, task.network)), task)
    },
};
