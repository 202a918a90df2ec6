//! # Rounding of weights to few bits
//!
//! ## Mechanism
//! `q = round(w/s)`, `w ← s·q` with the step `s = max|w| / (2^(b−1) − 1)` for b bits: symmetric, the
//! largest weight is kept, halves round to even. One step per tensor (`per: tensor`) or per row, that is
//! per output (`per: row`). Matrices, filters and tables of vectors are rounded; biases and
//! normalisations stay in single precision. No training step is taken. The network is rounded as it
//! stands at the start: with a parent in the suite, the parent's.
//!
//! ## Claim
//! None here: a derivative that tests of provenance must still find.
//!
//! ## Sources
//! Jacob et al., arXiv:1712.05877, section 2 (8 bits; the symmetric form, zero point 0); weights after
//! training only.
//!
//! ## Differences
//! Paper: activations too, and training that knows of the rounding. Here the rounded values are kept as
//! floats, so that every workload runs them.

use lab::LabError;
use lab::method::Method;
use lab::network::{Network, Parameter, Role};
use lab::offers;
use lab::recipe::Recipe;
use lab::seat::{Batch, Constraint, Facts, Gradients, Optimizer, StepInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings::Range;
use ledger::streams::Streams;
use ledger::{choice, settings};
use tch::{TchError, Tensor};

choice! {
    /// What shares a step.
    pub enum Per {
        /// A whole tensor.
        Tensor = "tensor",
        /// What makes one output.
        Row = "row",
    }
}

settings! {
    /// Settings of `quantise`.
    pub struct Settings {
        /// Bits of a weight, its sign included.
        bits: u32 = 8, range Range::of(2.0..=16.0), from "paper";
        /// What shares a step.
        per: Per = Per::Tensor, from "paper";
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "rounds weights to few bits; takes no step",
    paper: Paper {
        title: "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
        authors: "Jacob et al.",
        year: 2017,
        reference: "arXiv:1712.05877",
        code: "none used",
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
        let Settings { bits, per } = Settings::read(values)?;
        let constraint = Round { bits, per, error: 0.0 };
        Ok(Recipe { constraint: Some(Box::new(constraint)), ..Recipe::idle() })
    },
};

#[derive(Debug)]
struct Round {
    bits: u32,
    per: Per,
    /// Largest change of a weight.
    error: f64,
}

impl Round {
    /// The rounded values, in the tensor's shape.
    fn rounded(&self, weights: &Tensor) -> Result<Tensor, TchError> {
        let largest = match self.per {
            Per::Tensor => weights.f_abs()?.f_max()?,
            Per::Row => {
                let inner: Vec<i64> = (1..).take(weights.dim().saturating_sub(1)).collect();
                weights.f_abs()?.f_amax(inner.as_slice(), true)?
            }
        };
        let levels = f64::from((1_u32 << (self.bits - 1)) - 1);
        // A tensor of zeros has no step; any will do.
        let step = largest.f_div_scalar(levels)?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?;
        weights.f_div(&step)?.f_round()?.f_clamp(-levels, levels)?.f_mul(&step)
    }
}

impl Constraint for Round {
    fn prepare(&mut self, network: &mut Network, _: &Streams, _: &Batch) -> Result<(), LabError> {
        let _guard = tch::no_grad_guard();
        for Parameter { role, tensor, .. } in &mut network.parameters {
            if matches!(role, Role::Weight | Role::Embedding) {
                let rounded = self.rounded(tensor)?;
                let change = tensor.f_sub(&rounded)?.f_abs()?.f_max()?.f_double_value(&[])?;
                self.error = self.error.max(change);
                tensor.f_copy_(&rounded)?;
            }
        }
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
        Facts::from([("largest_rounding".to_owned(), self.error.into())])
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::values;
    use lab::trial::with;
    use std::collections::BTreeSet;
    use training::trial::Trial;

    fn rounded(weights: &[f32], bits: u32, per: Per) -> Vec<f32> {
        let weights = Tensor::from_slice(weights).view([2, -1]);
        values(&Round { bits, per, error: 0.0 }.rounded(&weights).unwrap()).unwrap()
    }

    #[test]
    fn weights_fall_on_the_steps_of_the_formula() {
        // Three bits: steps of a third of the largest; 2.5 steps round to 2, 1.5 to 2.
        let found = rounded(&[3.0, -2.5, 1.4, 1.5, 0.4, -3.0], 3, Per::Tensor);
        assert_eq!(found, [3.0, -2.0, 1.0, 2.0, 0.0, -3.0]);
        let found = rounded(&[3.0, -2.6, 0.1, 0.3, -0.16, 0.0], 3, Per::Row);
        for (found, expected) in found.iter().zip([3.0, -3.0, 0.0, 0.3, -0.2, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!(rounded(&[0.0; 4], 4, Per::Row), [0.0; 4]);
    }

    #[test]
    fn a_tensor_has_no_more_values_than_its_bits_tell_apart_and_no_step_is_taken() {
        let trial = Trial { examples: 24, epochs: 1, seed: 0 };
        let trace = trial.run(&METHOD, &with([("bits", 4.into())])).unwrap();
        assert!(trace.order.ids.is_empty());
        let before = trial.network().unwrap();
        for (old, new) in before.parameters.iter().zip(&trace.network.parameters) {
            let (old, new) =
                (values(&old.tensor).unwrap(), (values(&new.tensor).unwrap(), new.role));
            let (new, role) = new;
            if role == Role::Weight {
                let different: BTreeSet<u32> = new.iter().map(|w| (w + 0.0).to_bits()).collect();
                assert!(different.len() <= 15 && old != new);
            } else {
                assert_eq!(old, new);
            }
        }
        assert!(trace.facts["largest_rounding"].as_f64().unwrap() > 0.0);
    }

    #[test]
    fn rounding_twice_is_rounding_once() {
        let once = rounded(&[0.7, -0.31, 0.05, 0.22, 0.9, -0.01], 8, Per::Tensor);
        for (once, twice) in once.iter().zip(rounded(&once, 8, Per::Tensor)) {
            assert!((once - twice).abs() < 1e-7);
        }
    }
}
