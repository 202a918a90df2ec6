//! Averages over the last checkpoints.

use std::collections::VecDeque;

use ledger::choice;
use tch::Tensor;

use crate::LabError;
use crate::network::Parameter;
use crate::seat::{Averaging, StepInfo};
use crate::state::State;

choice! {
    /// How the last checkpoints become one.
    pub enum Blend {
        /// The last one alone.
        None = "none",
        /// Their mean.
        Sma = "sma",
        /// m ← α·θ + (1 − α)·m from the oldest on, which starts as m.
        Ema = "ema",
    }
}

/// Weight of each of `count` checkpoints, oldest first; their sum is 1. An average that starts at
/// the oldest gives that one (1 − α)^(count − 1), which can be the largest weight of all.
#[must_use]
pub fn coefficients(blend: Blend, alpha: f64, count: usize) -> Vec<f64> {
    let mut weights = vec![0.0; count];
    match blend {
        Blend::None => weights.iter_mut().rev().take(1).for_each(|weight| *weight = 1.0),
        Blend::Sma => weights.fill(1.0 / count as f64),
        Blend::Ema => {
            for newest in 0..count {
                let share = if newest == 0 { 1.0 } else { alpha };
                weights.iter_mut().for_each(|weight| *weight *= 1.0 - share);
                weights[newest] = share;
            }
        }
    }
    weights
}

/// The last checkpoints, taken at even distances and at the end of the run.
#[derive(Debug)]
pub struct Ring {
    blend: Blend,
    alpha: f64,
    /// Number of checkpoints.
    last: usize,
    /// Distance between two, as a share of the run.
    every: f64,
    /// Checkpoints with the step behind which they were taken, oldest first.
    kept: VecDeque<(u64, Vec<Tensor>)>,
}

impl Ring {
    /// The seat, or nobody where the weights stand for themselves.
    #[must_use]
    pub fn seat(blend: Blend, alpha: f64, last: usize, every: f64) -> Option<Box<dyn Averaging>> {
        let ring = Self { blend, alpha, last, every, kept: VecDeque::new() };
        (blend != Blend::None).then(|| Box::new(ring) as Box<dyn Averaging>)
    }

    fn is_due(&self, now: &StepInfo) -> bool {
        let taken = now.step + 1;
        let distance = ((self.every * now.total_steps as f64).round() as u64).max(1);
        taken.is_multiple_of(distance) || taken == now.total_steps
    }
}

impl Averaging for Ring {
    fn after_update(&mut self, parameters: &[Parameter], now: &StepInfo) -> Result<(), LabError> {
        if !self.is_due(now) {
            return Ok(());
        }
        // A later pass of the same step takes the place of the one before.
        self.kept.retain(|(step, _)| *step != now.step);
        if self.kept.len() == self.last {
            self.kept.pop_front();
        }
        let copies = parameters.iter().map(|parameter| parameter.tensor.detach().copy());
        self.kept.push_back((now.step, copies.collect()));
        Ok(())
    }

    fn weights(&self) -> Result<Option<Vec<Tensor>>, LabError> {
        let Some((_, oldest)) = self.kept.front() else { return Ok(None) };
        let shares = coefficients(self.blend, self.alpha, self.kept.len());
        let mut average = oldest.iter().map(Tensor::f_zeros_like).collect::<Result<Vec<_>, _>>()?;
        for ((_, checkpoint), share) in self.kept.iter().zip(shares) {
            for (sum, tensor) in average.iter_mut().zip(checkpoint) {
                let _ = sum.f_add_(&tensor.f_mul_scalar(share)?)?;
            }
        }
        Ok(Some(average))
    }

    fn reset(&mut self, _: &[Parameter]) -> Result<(), LabError> {
        self.kept.clear();
        Ok(())
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("kept", &mut self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp::mlp;
    use crate::network::Network;
    use crate::trial;
    use tch::Device;

    #[test]
    fn six_checkpoints_weigh_what_the_card_says() {
        let weights = coefficients(Blend::Ema, 0.2, 6);
        let expected = [0.327_68, 0.081_92, 0.1024, 0.128, 0.16, 0.2];
        for (found, expected) in weights.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{weights:?}");
        }
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(coefficients(Blend::Sma, 0.2, 4), [0.25; 4]);
        assert_eq!(coefficients(Blend::None, 0.2, 3), [0.0, 0.0, 1.0]);
    }

    fn filled(network: &Network, value: f64) {
        for parameter in &network.parameters {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().fill_(value));
        }
    }

    /// The average after 20 updates whose weights are the number of the update.
    fn average(blend: Blend, last: usize, every: f64) -> f64 {
        let network = mlp(&[2, 3], &trial::streams(), Device::Cpu).unwrap();
        let mut seat = Ring::seat(blend, 0.5, last, every).unwrap();
        assert!(seat.weights().unwrap().is_none());
        for step in 0..20 {
            filled(&network, step as f64 + 1.0);
            seat.after_update(&network.parameters, &trial::step_info(step, 20)).unwrap();
        }
        let weights = seat.weights().unwrap().unwrap();
        assert_eq!(weights.len(), network.parameters.len());
        weights[0].double_value(&[0, 0])
    }

    #[test]
    fn the_last_checkpoints_are_blended_and_the_end_is_always_one() {
        // Every fifth: 10, 15, 20.
        assert!((average(Blend::Sma, 3, 0.25) - 15.0).abs() < 1e-5);
        // 10 → 12.5 → 16.25.
        assert!((average(Blend::Ema, 3, 0.25) - 16.25).abs() < 1e-5);
        // Every sixth and the end: 12, 18, 20.
        assert!((average(Blend::Sma, 3, 0.3) - 50.0 / 3.0).abs() < 1e-5);
        assert!((average(Blend::Sma, 1, 0.3) - 20.0).abs() < 1e-5);
    }

    #[test]
    fn without_a_blend_nobody_sits_there() {
        assert!(Ring::seat(Blend::None, 0.2, 6, 0.1).is_none());
    }
}
