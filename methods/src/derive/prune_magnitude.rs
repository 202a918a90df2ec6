//! # Magnitude pruning
//!
//! ## Mechanism
//! The given share of weights with the smallest |w| becomes 0, at once; no step is taken. Weights are
//! those of matrices and filters, ranked all together (`scope: global`) or in each layer on its own
//! (`scope: layer`); biases, normalisations and tables of vectors stay as they are. The network is
//! pruned as it stands at the start: with a parent in the suite, the parent's.
//!
//! ## Claim
//! None here: a derivative that tests of provenance must still find.
//!
//! ## Sources
//! Han, Pool, Tran & Dally, arXiv:1506.02626 (smallest magnitudes go), without their retraining.
//!
//! ## Differences
//! Paper: threshold per layer by a factor on the deviation, then retraining. Here: an exact share, ties by
//! place. Retraining is another arm that starts from this one.

use lab::LabError;
use lab::method::Method;
use lab::network::Parameter;
use lab::network::{Network, Role, values};
use lab::offers;
use lab::recipe::Recipe;
use lab::seat::{Batch, Constraint, Facts, Gradients, Optimizer, StepInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings::Range;
use ledger::streams::Streams;
use ledger::{choice, settings};
use tch::Tensor;

choice! {
    /// Among which weights magnitudes are ranked.
    pub enum Scope {
        /// All of the network.
        Global = "global",
        /// Those of the same layer.
        Layer = "layer",
    }
}

settings! {
    /// Settings of `prune-magnitude`.
    pub struct Settings {
        /// Share of weights that become 0.
        share: f64 = 0.5, range Range::of(0.0..=1.0), from "assumed";
        /// Among which weights magnitudes are ranked.
        scope: Scope = Scope::Global, from "assumed";
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "sets the smallest weights to 0; takes no step",
    paper: Paper {
        title: "Learning both weights and connections for efficient neural networks",
        authors: "Han, Pool, Tran, Dally",
        year: 2015,
        reference: "arXiv:1506.02626",
        code: "none found",
    },
    claim: PaperClaim {
        statement: "a derivative of another run, not a way to train",
        number: "none",
        source: "none",
    },
    baseline: None,
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, _| {
        let Settings { share, scope } = Settings::read(values)?;
        let constraint = Prune { share, scope, weights: 0, zeros: 0 };
        Ok(Recipe { constraint: Some(Box::new(constraint)), ..Recipe::idle() })
    },
};

#[derive(Debug)]
struct Prune {
    share: f64,
    scope: Scope,
    weights: usize,
    zeros: usize,
}

impl Constraint for Prune {
    fn prepare(&mut self, network: &mut Network, _: &Streams, _: &Batch) -> Result<(), LabError> {
        let tensors = network.parameters.iter().filter(|parameter| parameter.role == Role::Weight);
        let tensors: Vec<&Tensor> = tensors.map(|parameter| &parameter.tensor).collect();
        let mut all = tensors.iter().map(|tensor| values(tensor)).collect::<Result<Vec<_>, _>>()?;
        match self.scope {
            Scope::Global => zero_smallest(&mut all, self.share),
            Scope::Layer => all.chunks_mut(1).for_each(|own| zero_smallest(own, self.share)),
        }
        for (tensor, kept) in tensors.iter().zip(&all) {
            let kept = Tensor::f_from_slice(kept)?.f_view(tensor.size().as_slice())?;
            tch::no_grad(|| tensor.detach().f_copy_(&kept))?;
        }
        self.weights = all.iter().map(Vec::len).sum();
        self.zeros = all.iter().flatten().filter(|weight| **weight == 0.0).count();
        Ok(())
    }

    /// No step is taken.
    fn hold(&self, _: &mut [Parameter]) -> Result<(), LabError> {
        Ok(())
    }

    fn project(
        &mut self,
        _: &mut [Parameter],
        _: &Gradients,
        _: &mut dyn Optimizer,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        Ok(())
    }

    fn facts(&self) -> Facts {
        let density = 1.0 - self.zeros as f64 / self.weights.max(1) as f64;
        Facts::from([
            ("weights".to_owned(), self.weights.into()),
            ("density".to_owned(), density.into()),
        ])
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// Sets the `share` of smallest magnitude to 0; of equal ones, those that come first.
fn zero_smallest(weights: &mut [Vec<f32>], share: f64) {
    let sizes = weights.iter().map(Vec::as_slice).enumerate();
    let mut ranking: Vec<(f32, usize, usize)> = sizes
        .flat_map(|(tensor, own)| {
            own.iter().enumerate().map(move |(place, weight)| (weight.abs(), tensor, place))
        })
        .collect();
    ranking.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let count = (share * ranking.len() as f64).round() as usize;
    for &(_, tensor, place) in ranking.iter().take(count) {
        weights[tensor][place] = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::trial::Trial;

    const TRIAL: Trial = Trial { examples: 24, epochs: 2, seed: 0 };

    fn weights(network: &Network) -> Vec<Vec<f32>> {
        let weights = network.parameters.iter().filter(|p| p.role == Role::Weight);
        weights.map(|p| values(&p.tensor).unwrap()).collect()
    }

    #[test]
    fn exactly_the_share_of_smallest_weights_is_zero_and_all_else_is_as_it_was() {
        let before = TRIAL.network().unwrap();
        let trace = TRIAL.run(&METHOD, &with([("share", 0.3.into())])).unwrap();
        assert!(trace.order.ids.is_empty());
        let (old, new) = (weights(&before).concat(), weights(&trace.network).concat());
        let zeros = new.iter().filter(|weight| **weight == 0.0).count();
        assert_eq!(zeros, (0.3 * old.len() as f64).round() as usize);
        let pairs = || old.iter().zip(&new);
        let largest = pairs().filter(|(_, new)| **new == 0.0).map(|(old, _)| old.abs());
        let smallest = pairs().filter(|(_, new)| **new != 0.0).map(|(old, _)| old.abs());
        assert!(largest.fold(0.0, f32::max) <= smallest.fold(f32::MAX, f32::min));
        assert!(pairs().all(|(old, new)| *new == 0.0 || old == new));
        let others = |network: &Network| {
            let others = network.parameters.iter().filter(|p| p.role != Role::Weight);
            others.map(|p| values(&p.tensor).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(others(&before), others(&trace.network));
        let density = trace.facts["density"].as_f64().unwrap();
        // To the nearest of 372 weights.
        assert!((density - 0.7).abs() < 5e-3, "{density}");
    }

    #[test]
    fn by_layer_every_layer_loses_its_share() {
        let settings = with([("share", 0.5.into()), ("scope", "layer".into())]);
        let trace = TRIAL.run(&METHOD, &settings).unwrap();
        for layer in weights(&trace.network) {
            let zeros = layer.iter().filter(|weight| **weight == 0.0).count();
            assert_eq!(zeros, (layer.len() as f64 / 2.0).round() as usize);
        }
    }

    #[test]
    fn a_share_of_nothing_leaves_the_network_bit_for_bit() {
        let trace = TRIAL.run(&METHOD, &with([("share", 0.0.into())])).unwrap();
        assert_eq!(trace.digest, TRIAL.network().unwrap().digest().unwrap());
    }

    #[test]
    fn of_equal_magnitudes_the_first_go() {
        let mut weights = vec![vec![1.0, -1.0], vec![1.0, 2.0]];
        zero_smallest(&mut weights, 0.5);
        assert_eq!(weights, [[0.0, 0.0], [1.0, 2.0]]);
    }
}
