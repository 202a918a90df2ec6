//! A tap that rounds what enters products and the gradients of what leaves them.
//!
//! Values pass rounded and gradients as if they had not been (a straight-through estimator), so that what is
//! multiplied lies on the grid to the bit. The backward pass of a product then multiplies rounded gradients with rounded inputs and
//! weights, as low-precision hardware does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use ledger::choice;
use ledger::streams::{self, Streams};
use rand_pcg::Pcg64;
use tch::{TchError, Tensor};

use super::{Format, Quantiser, learned};
use crate::LabError;
use crate::kernels::{self, on_gradient};
use crate::network::Tap;
use crate::state::State;

/// `rounded` in value, `values` in gradient.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn straight_through(values: &Tensor, rounded: &Tensor) -> Result<Tensor, TchError> {
    if !values.requires_grad() {
        return Ok(rounded.shallow_clone());
    }
    kernels::straight_through(values, &rounded.f_detach()?)
}

/// Noise for stochastic rounding, of the shape of `values`.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn noise_like(generator: &mut Pcg64, values: &Tensor) -> Result<Tensor, TchError> {
    let drawn = streams::uniform(generator, values.numel(), 0.0, 1.0);
    let noise = Tensor::f_from_slice(&drawn)?.f_to_device(values.device())?;
    noise.f_view(values.size().as_slice())
}

/// Where noise comes from: nowhere for rounding to nearest.
pub type Noise = Option<Arc<Mutex<Pcg64>>>;

/// Keeps where the stream of noise is, if there is any.
///
/// # Errors
/// When what is read does not fit.
pub fn keep_noise(noise: &Noise, state: &mut State<'_>) -> Result<(), LabError> {
    let Some(generator) = noise else { return Ok(()) };
    let mut generator = generator.lock().unwrap_or_else(PoisonError::into_inner);
    state.of("noise", &mut *generator)
}

choice! {
    /// Which neighbour on the grid a value goes to.
    pub enum Rounding {
        /// The nearest; halves to even.
        Nearest = "nearest",
        /// The upper one with a probability of the distance to the lower one.
        Stochastic = "stochastic",
    }
}

impl Rounding {
    /// Where its noise comes from: the stream of that name.
    #[must_use]
    pub fn noise(self, streams: &Streams, name: &str) -> Noise {
        (self == Self::Stochastic).then(|| Arc::new(Mutex::new(streams.generator(name))))
    }
}

/// What a rounding of gradients needs at the moment of the backward pass.
#[derive(Debug, Clone)]
struct Gradients {
    quantiser: Quantiser,
    noise: Noise,
}

impl Gradients {
    fn round(&self, gradient: &Tensor) -> Result<Tensor, TchError> {
        let noise = match &self.noise {
            None => None,
            Some(generator) => {
                let mut generator = generator.lock().unwrap_or_else(PoisonError::into_inner);
                Some(noise_like(&mut generator, gradient)?)
            }
        };
        self.quantiser.round(gradient, noise.as_ref(), None)
    }
}

/// Largest magnitudes of the last steps at each product, for scales that lag behind (arXiv:2209.05433).
pub type History = Arc<Mutex<BTreeMap<usize, VecDeque<Tensor>>>>;

/// What enters products.
#[derive(Debug)]
pub enum Inputs {
    /// Rounded values.
    Rounded(Quantiser),
    /// Values clipped at a learned height, by the weight they are multiplied with, in steps of so many bits;
    /// others as they are.
    Clipped {
        /// The heights; behind a lock because a network may change threads.
        heights: Mutex<BTreeMap<usize, Tensor>>,
        /// Bits of a value.
        bits: u32,
    },
}

/// Rounds inputs of products by one format and gradients of their outputs by another.
#[derive(Debug)]
pub struct RoundingTap {
    inputs: Inputs,
    gradients: Option<Gradients>,
    /// How many largest magnitudes a scale is taken from, and those of the steps before.
    history: Option<(usize, History)>,
}

impl RoundingTap {
    /// Rounds inputs to nearest, and no gradients: what a judge sees.
    #[must_use]
    pub fn judged(inputs: Inputs) -> Self {
        Self { inputs, gradients: None, history: None }
    }

    /// Rounds gradients as well, stochastically where there is noise.
    #[must_use]
    pub fn with_gradients(self, quantiser: Quantiser, noise: Noise) -> Self {
        let gradients = (!quantiser.is_single()).then_some(Gradients { quantiser, noise });
        Self { gradients, ..self }
    }

    /// Scales inputs by the largest magnitude of the `length` steps before (of this one, at the first).
    #[must_use]
    pub fn with_history(self, length: usize, history: History) -> Self {
        let lags = match &self.inputs {
            Inputs::Rounded(quantiser) => {
                length > 0 && matches!(quantiser.format, Format::E4m3 | Format::E5m2)
            }
            Inputs::Clipped { .. } => false,
        };
        Self { history: lags.then_some((length, history)), ..self }
    }

    /// The scale that lags behind, and this step's magnitude noted for those to come.
    fn scale(&self, weight: usize, input: &Tensor) -> Result<Option<Tensor>, TchError> {
        let Some((length, history)) = &self.history else { return Ok(None) };
        let now = input.f_detach()?.f_abs()?.f_max()?;
        let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = history.entry(weight).or_default();
        let scale = match seen.is_empty() {
            true => now.shallow_clone(),
            false => Tensor::f_stack(&seen.iter().collect::<Vec<_>>(), 0)?.f_max()?,
        };
        seen.push_back(now);
        if seen.len() > *length {
            seen.pop_front();
        }
        Ok(Some(scale))
    }
}

impl Tap for RoundingTap {
    fn input(&self, weight: usize, input: &Tensor) -> Result<Tensor, TchError> {
        match &self.inputs {
            Inputs::Rounded(quantiser) if quantiser.is_single() => Ok(input.shallow_clone()),
            Inputs::Rounded(quantiser) => {
                let scale = self.scale(weight, input)?;
                let rounded = tch::no_grad(|| quantiser.round(input, None, scale.as_ref()))?;
                straight_through(input, &rounded)
            }
            Inputs::Clipped { heights, bits } => {
                let heights = heights.lock().unwrap_or_else(PoisonError::into_inner);
                match heights.get(&weight) {
                    Some(height) => learned::pact(input, height, *bits),
                    None => Ok(input.shallow_clone()),
                }
            }
        }
    }

    fn output(&self, _: usize, output: Tensor) -> Result<Tensor, TchError> {
        if let Some(gradients) = &self.gradients
            && output.requires_grad()
        {
            let gradients = gradients.clone();
            on_gradient(&output, move |gradient| gradients.round(gradient))?;
        }
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp::mlp;
    use crate::network::{Network, values};
    use crate::trial;
    use tch::{Device, Kind};

    fn quantiser(format: Format) -> Quantiser {
        Quantiser { format, word_bits: 8, fraction_bits: 4, block: 0 }
    }

    fn rounded(format: Format) -> RoundingTap {
        RoundingTap::judged(Inputs::Rounded(quantiser(format)))
    }

    fn tapped(tap: RoundingTap) -> Network {
        let network = mlp(&[6, 5, 4], &trial::streams(), Device::Cpu).unwrap();
        Network { tap: Some(Arc::new(tap)), ..network }
    }

    fn gradients(network: &Network) -> (Vec<f32>, Vec<Vec<f32>>) {
        let batch = trial::batch(&[6]).unwrap();
        let logits = network.forward(&batch.inputs, true).unwrap();
        let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let loss = logits.square().mean(None);
        let found = Tensor::run_backward(&[loss], &leaves, false, false);
        (values(&logits).unwrap(), found.iter().map(|g| values(g).unwrap()).collect())
    }

    #[test]
    fn a_tap_in_single_precision_changes_no_bit() {
        let plain = mlp(&[6, 5, 4], &trial::streams(), Device::Cpu).unwrap();
        let single = rounded(Format::Single).with_gradients(quantiser(Format::Single), None);
        assert_eq!(gradients(&tapped(single)), gradients(&plain));
    }

    #[test]
    fn products_see_rounded_inputs_and_their_backward_pass_rounded_gradients() {
        let tap = rounded(Format::Fixed).with_gradients(quantiser(Format::E5m2), None);
        let network = tapped(tap);
        let batch = trial::batch(&[6]).unwrap();
        // The same by hand, layer by layer, with the derivatives written out.
        let round = |x: &Tensor, format| quantiser(format).round(x, None, None).unwrap();
        let [w1, b1, w2, b2] = [0, 1, 2, 3].map(|i| network.at(i).detach());
        let x = round(&batch.inputs, Format::Fixed);
        let hidden = x.linear(&w1, Some(&b1)).relu();
        let entering = round(&hidden, Format::Fixed);
        let logits = entering.linear(&w2, Some(&b2));
        let at_logits = round(&(&logits * (2.0 / logits.numel() as f64)), Format::E5m2);
        let at_hidden = at_logits.matmul(&w2) * hidden.gt(0.0).to_kind(Kind::Float);
        let at_first = round(&at_hidden, Format::E5m2);
        let expected = [
            at_first.tr().matmul(&x),
            at_first.sum_dim_intlist(0, false, Kind::Float),
            at_logits.tr().matmul(&entering),
            at_logits.sum_dim_intlist(0, false, Kind::Float),
        ];
        let (found, all) = gradients(&network);
        assert_eq!(found, values(&logits).unwrap());
        for (found, expected) in all.iter().zip(&expected) {
            for (found, expected) in found.iter().zip(values(expected).unwrap()) {
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
    }

    #[test]
    fn a_scale_that_lags_is_that_of_the_steps_before_and_holds_what_is_beyond() {
        let history = History::default();
        let tap = |history: &History| rounded(Format::E4m3).with_history(2, Arc::clone(history));
        let largest = |x: f64| {
            let x = Tensor::from_slice(&[x as f32, 0.1]);
            tap(&history).input(0, &x).unwrap().abs().max().double_value(&[])
        };
        // The first step has only itself; then 1 holds 3, then 3 of two steps ago does not hold 2.
        assert_eq!(largest(1.0), 1.0);
        assert_eq!(largest(3.0), 1.0);
        assert!((largest(2.0) - 2.0).abs() < 0.1);
        assert!((largest(0.5) - 0.5).abs() < 0.03);
        // Only 2 and 0.5 are remembered now.
        assert_eq!(largest(9.0), 2.0);
    }
}
