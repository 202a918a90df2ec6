//! What is computed on finished runs: intervals and verdicts ([`paired`] and its neighbours),
//! membership tests ([`provenance`]) and the arithmetic of order estimates ([`estimates`]).
//!
//! Change a line here and no cell runs again: only what is said of them changes.
//!
//! A curve becomes a time (`ledger::crossing`), times of several seeds become a curve of who has reached
//! the target ([`survival`]), pairs of arms under the same seeds become an effect with an interval
//! ([`paired`], [`interval`], [`bootstrap`]) and an exact p-value ([`sign_flip`], [`wilcoxon`]), an
//! effect becomes a [`verdict`], and several workloads become one number ([`across`]).
//!
//! Before the runs: how many pairs an effect needs ([`power`]). During them: when to stop
//! ([`sequential`]). For many comparisons at once: [`t_test`], [`equivalence`] and [`multiple`]; of
//! samples that are no pairs: [`welch`]. Where a series changed: [`divisive`]. What size a loss asks for: [`scaling`]. For unequal tuning: [`best_of`]; which settings to try: [`sobol`]. `docs/statistics.md` has the measured coverage of every interval.
//!
//! Everything here is a pure function of its arguments: the only randomness is drawn from a seed
//! that the caller states and the result repeats. Nothing reads records or knows what a run is.

pub mod across;
pub mod best_of;
pub mod betting;
pub mod bootstrap;
pub mod distribution;
pub mod divisive;
pub mod draws;
pub mod equivalence;
mod error;
pub mod estimates;
pub mod improvement;
pub mod interval;
pub mod iqm;
pub mod multiple;
pub mod paired;
pub mod power;
pub mod profile;
pub mod provenance;
pub mod scaling;
pub mod sequential;
pub mod sign_flip;
pub mod sobol;
pub mod stratified;
pub mod survival;
pub mod t_test;
pub mod verdict;
pub mod welch;
pub mod wilcoxon;

pub use error::StatsError;
