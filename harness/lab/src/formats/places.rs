//! Formats at their places in a step: weights, what enters products, and gradients that come back to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ledger::streams::Streams;
use tch::{Kind, TchError, Tensor};

use super::tap::{History, Inputs, Noise, RoundingTap, keep_noise, straight_through};
use super::{Quantiser, learned};
use crate::network::{Network, Parameter, Role};
use crate::seat::{Gradients, Parametrisation, StepInfo};
use crate::state::State;
use crate::{LabError, sparsity};

/// α of PACT at the start.
const FIRST_HEIGHT: f64 = 10.0;

/// Which format is where.
#[derive(Debug, Clone)]
pub struct Places {
    /// Weights in products; rounded to nearest.
    pub weights: Quantiser,
    /// What enters products; rounded to nearest.
    pub activations: Quantiser,
    /// Gradients that enter products.
    pub gradients: Quantiser,
    /// Where gradients are rounded by.
    pub noise: Noise,
    /// Steps whose largest magnitudes scale fp8 inputs; 0 for the present one's own.
    pub amax_history: usize,
    /// Bits of weights with a learned step; 0 for none.
    pub lsq_bits: u32,
    /// Bits of activations with a learned height; 0 for none.
    pub pact_bits: u32,
    /// Times a height, what is added to its gradient.
    pub pact_decay: f64,
}

/// Weights and activations as products see them.
#[derive(Debug)]
pub struct Formats {
    places: Places,
    history: History,
    /// Number of the network's own parameters; those that are learned beside them follow.
    own: usize,
    /// By the weight that it belongs to, the place of its learned step, and of its learned height.
    learned: [BTreeMap<usize, usize>; 2],
}

impl Formats {
    /// Formats at their places, before anything is learned beside the weights.
    #[must_use]
    pub fn new(places: Places) -> Self {
        Self {
            places,
            history: History::default(),
            own: 0,
            learned: <[BTreeMap<usize, usize>; 2]>::default(),
        }
    }

    fn weight(&self, trained: &Network, index: usize) -> Result<Tensor, TchError> {
        let Parameter { role, tensor, .. } = &trained.parameters[index];
        let quantiser = self.places.weights;
        if let Some(step) = self.learned[0].get(&index) {
            return learned::lsq(tensor, trained.at(*step), self.places.lsq_bits);
        }
        if *role != Role::Weight || quantiser.is_single() {
            return Ok(tensor.shallow_clone());
        }
        let rounded = tch::no_grad(|| quantiser.round(tensor, None, None))?;
        straight_through(tensor, &rounded)
    }

    fn tap(&self, trained: &Network, now: Option<&StepInfo>) -> Option<RoundingTap> {
        let Places { activations, gradients, pact_bits: bits, .. } = self.places;
        if activations.is_single() && gradients.is_single() && bits == 0 {
            return None;
        }
        let heights =
            self.learned[1].iter().map(|(&at, &place)| (at, trained.at(place).shallow_clone()));
        let inputs = match bits {
            0 => Inputs::Rounded(activations),
            _ => Inputs::Clipped { heights: Mutex::new(heights.collect()), bits },
        };
        let tap = RoundingTap::judged(inputs);
        if now.is_none() {
            return Some(tap);
        }
        let tap = tap.with_gradients(gradients, self.places.noise.clone());
        Some(tap.with_history(self.places.amax_history, Arc::clone(&self.history)))
    }
}

impl Parametrisation for Formats {
    fn install(&mut self, network: &mut Network, _: &Streams) -> Result<(), LabError> {
        self.own = network.parameters.len();
        let weights: Vec<(usize, Tensor)> = sparsity::weights(&network.parameters)
            .map(|(index, parameter)| (index, parameter.tensor.detach()))
            .collect();
        let Places { lsq_bits, pact_bits, .. } = self.places;
        for (place, (at, weight)) in weights.iter().enumerate() {
            if lsq_bits > 0 {
                let step = learned::first_step(weight, lsq_bits)?;
                self.learned[0].insert(*at, beside(network, *at, "step", &step));
            }
            if pact_bits > 0 && place > 0 {
                let height = Tensor::f_full([1], FIRST_HEIGHT, (Kind::Float, weight.device()))?;
                self.learned[1].insert(*at, beside(network, *at, "height", &height));
            }
        }
        Ok(())
    }

    fn seen(&self, trained: &Network, now: Option<&StepInfo>) -> Result<Network, LabError> {
        let seen = (0..self.own).map(|index| {
            let Parameter { name, layer, role, .. } = &trained.parameters[index];
            let tensor = self.weight(trained, index)?;
            Ok(Parameter { name: name.clone(), layer: *layer, role: *role, tensor })
        });
        let seen = trained.over(seen.collect::<Result<_, TchError>>()?);
        Ok(Network { tap: self.tap(trained, now).map(|tap| Arc::new(tap) as _), ..seen })
    }

    fn amend(
        &mut self,
        trained: &Network,
        gradients: &mut Gradients,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        for place in self.learned[1].values() {
            if let Some(at) = gradients.active.iter().position(|active| active == place) {
                let decay = trained.at(*place).f_mul_scalar(self.places.pact_decay)?;
                gradients.tensors[at] = gradients.tensors[at].f_add(&decay)?;
            }
        }
        Ok(())
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        state.of("history", &mut *history)?;
        keep_noise(&self.places.noise, state)
    }
}

/// Adds what is learned beside the weight at `at`; returns its place.
fn beside(network: &mut Network, at: usize, what: &str, start: &Tensor) -> usize {
    let Parameter { name, layer, .. } = &network.parameters[at];
    let (name, layer) = (format!("{name}.{what}"), *layer);
    let tensor = start.copy().set_requires_grad(true);
    network.parameters.push(Parameter { name, layer, role: Role::Norm, tensor });
    network.parameters.len() - 1
}
