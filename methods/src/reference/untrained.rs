//! # The untrained network
//!
//! ## Mechanism
//! No step is taken and no example consumed: the network is judged as it was initialised (or as the
//! workload starts it). Where samples are judged they are drawn in one evaluation, `f(σ_max z, σ_max)`.
//!
//! ## Claim
//! None: the other end of the scale from what a perfect model gives.
//!
//! ## Sources
//! Good practice; no paper.
//!
//! ## Differences
//! None.

use lab::diffusion::Preconditioning;
use lab::method::Method;
use lab::recipe::Recipe;
use lab::samplers::SamplerKind;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;

settings! {
    /// No settings.
    pub struct Settings {}
}

/// The method.
pub static METHOD: Method = Method {
    summary: "the network as initialised; takes no step",
    paper: Paper { title: "none", authors: "none", year: 2026, reference: "none", code: "none" },
    claim: PaperClaim {
        statement: "a reference row, not a method",
        number: "none",
        source: "none",
    },
    baseline: None,
    needs: &[],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |_, task| {
        let sampler = task.side.generation.as_ref().map(|generation| {
            SamplerKind::OneStep.build(Preconditioning::Diffusion, generation.sigma_data, 1)
        });
        Ok(Recipe { sampler, ..Recipe::idle() })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::trial::Trial;

    #[test]
    fn it_leaves_the_network_as_initialised_and_consumes_nothing() {
        let trial = Trial { examples: 24, epochs: 2, seed: 0 };
        let trace = trial.run(&METHOD, &with([])).unwrap();
        assert_eq!(trace.digest, trial.network().unwrap().digest().unwrap());
        assert!(trace.order.ids.is_empty());
    }
}
