//! The posterior over tasks as parameters of a network, and the posterior of one task by Langevin descent.

use ledger::streams::{Streams, normal};
use rand_pcg::Pcg64;
use tch::{Kind, Tensor};

use super::{Local, Niw, Spread};
use crate::LabError;
use crate::episodes::{Back, Inner, start};
use crate::network::{Network, Parameter, Role};
use crate::seat::{Adapter, Parametrisation, Shown, StepInfo};
use crate::state::State;

/// Puts ln V₀ and ln(n₀ − d − 1) behind the network's parameters, which are m₀; they are trained, seen and kept with
/// them.
#[derive(Debug, Clone, Copy)]
pub struct Beside {
    /// Λ₀ at the start.
    pub precision: f64,
    /// n₀ − d − 1 at the start.
    pub surplus: f64,
}

impl Parametrisation for Beside {
    fn install(&mut self, network: &mut Network, _: &Streams) -> Result<(), LabError> {
        let (device, layer) = (network.device(), network.depth().saturating_sub(1));
        let d = network.parameters.iter().map(|p| p.tensor.numel() as i64).sum::<i64>();
        let scale = (self.surplus + d as f64 + 1.0) / self.precision;
        for (name, count, value) in
            [("niw.log_scale", d, scale.ln()), ("niw.log_surplus", 1, self.surplus.ln())]
        {
            let tensor = Tensor::f_full([count], value, (Kind::Float, device))?;
            let (name, tensor) = (name.to_owned(), tensor.set_requires_grad(true));
            network.parameters.push(Parameter { name, layer, role: Role::Norm, tensor });
        }
        Ok(())
    }

    fn seen(&self, trained: &Network, _: Option<&StepInfo>) -> Result<Network, LabError> {
        start(trained, Back::First)
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

impl Niw {
    /// m₀, V₀ and n₀ of a network that has them.
    ///
    /// # Errors
    /// When it has not.
    pub fn of(network: &Network) -> Result<Self, LabError> {
        let [weights @ .., scale, surplus] = network.parameters.as_slice() else {
            return Err(LabError::Network("it has no V₀ and n₀ behind its weights".to_owned()));
        };
        Ok(Self {
            mean: flat(weights)?,
            log_scale: scale.tensor.shallow_clone(),
            log_surplus: surplus.tensor.shallow_clone(),
        })
    }
}

fn flat(weights: &[Parameter]) -> Result<Tensor, LabError> {
    let each = weights.iter().map(|weight| weight.tensor.f_reshape([-1]));
    Ok(Tensor::f_cat(&each.collect::<Result<Vec<_>, _>>()?, 0)?)
}

/// The same network with these weights, one after another, in place of m₀.
///
/// # Errors
/// When there are fewer.
pub fn with_weights(network: &Network, flat: &Tensor) -> Result<Network, LabError> {
    let mut placed = start(network, Back::First)?;
    let mut from = 0;
    let count = placed.parameters.len().saturating_sub(2);
    for Parameter { tensor, .. } in placed.parameters.iter_mut().take(count) {
        let length = tensor.numel() as i64;
        *tensor = flat.f_narrow(0, from, length)?.f_view(tensor.size().as_slice())?;
        from += length;
    }
    Ok(placed)
}

/// Standard normal numbers of the shape of `like`, a vector.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn drawn(random: &mut Pcg64, like: &Tensor) -> Result<Tensor, LabError> {
    Ok(Tensor::f_from_slice(&normal(random, like.numel()))?.f_to_device(like.device())?)
}

/// Langevin descent from m₀, by which the posterior of a task is found; nothing of it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Langevin {
    /// The descent, from which no gradient finds back.
    pub inner: Inner,
    /// Iterates that are passed over.
    pub burnin: u32,
    /// Largest curvature.
    pub cap: f64,
    /// Variance of the noise, over that of Langevin's steps on −log p = n·loss/σ²; 0 for plain descent.
    pub temperature: f64,
    /// σ.
    pub sigma: f64,
}

impl Langevin {
    /// N(m*, V*) from what is shown of a task.
    ///
    /// # Errors
    /// When no iterate is left behind the burn-in.
    pub fn posterior(
        &self,
        network: &Network,
        shown: Shown<'_>,
        random: &mut Pcg64,
    ) -> Result<Local, LabError> {
        let points = shown.labels.size().first().copied().unwrap_or(1) as f64;
        let noise = (2.0 * self.inner.lr * self.temperature / points).sqrt() * self.sigma;
        let (mut iterate, mut spread) = (start(network, Back::None)?, Spread::default());
        let count = network.parameters.len().saturating_sub(2);
        for step in 0..self.inner.steps {
            self.inner.step(&mut iterate, shown)?;
            let _guard = tch::no_grad_guard();
            if noise > 0.0 {
                for Parameter { tensor, .. } in iterate.parameters.iter_mut().take(count) {
                    let numbers = drawn(random, tensor)?.f_mul_scalar(noise)?;
                    let _ = tensor.f_add_(&numbers.f_view(tensor.size().as_slice())?)?;
                }
            }
            if step >= self.burnin {
                spread.see(&flat(&iterate.parameters[..count])?)?;
            }
        }
        let none = || LabError::Method("no iterate is left behind the burn-in".to_owned());
        Ok(Niw::of(network)?.local(&spread.fit(self.cap)?.ok_or_else(none)?)?)
    }
}

/// How a new task is answered.
#[derive(Debug, Clone, Copy)]
pub struct Answers {
    /// How its posterior is found.
    pub langevin: Langevin,
    /// Draws from it that answers are the mean of; 0 for those of m* itself.
    pub samples: u32,
}

impl Adapter for Answers {
    fn adapt(
        &self,
        network: &Network,
        support: Shown<'_>,
        random: &mut Pcg64,
    ) -> Result<Vec<Network>, LabError> {
        let local = self.langevin.posterior(network, support, random)?;
        if self.samples == 0 {
            return Ok(vec![with_weights(network, &local.mean)?]);
        }
        let draw = |_| {
            let noise = drawn(random, &local.mean)?;
            with_weights(network, &local.draw(&noise)?)
        };
        (0..self.samples).map(draw).collect()
    }
}

#[cfg(test)]
#[path = "network/tests.rs"]
mod tests;
