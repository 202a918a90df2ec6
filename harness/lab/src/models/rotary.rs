//! A decoder whose positions are turns of queries and keys (RoPE, Su et al., arXiv:2104.09864): pair i of a head of size h is turned by
//! `t·base^(−2i/h)` at position t, so that what attention sees of two positions hangs on their distance alone.
//!
//! Base and context are parts of the body and no weights: a run may change both between two steps ([`crate::context`]). A row
//! of several contexts' length is read context by context. Blocks, normalisation and head are those of [`Gpt`], whose table of
//! positions has one row that nothing reads.

use std::any::Any;
use std::sync::Arc;

use ledger::streams::Streams;
use tch::{Device, TchError, Tensor};

use super::gpt::{self, Gpt, gpt};
use crate::LabError;
use crate::init::spread;
use crate::network::{Body, Forward, Network};

/// The forward pass: logits B × T × V of tokens B × T (i64).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rotary {
    /// The transformer within.
    pub gpt: Gpt,
    /// The base of the turns.
    pub base: f64,
    /// Tokens that are read together.
    pub context: usize,
}

/// A decoder of this shape, whose context is that of a row; initial values have the deviations of PyTorch's layers, the table of
/// tokens N(0, 1).
///
/// # Errors
/// When the width is no multiple of twice the number of heads, or libtorch cannot allocate.
pub fn rotary(
    shape: gpt::Shape,
    base: f64,
    streams: &Streams,
    device: Device,
) -> Result<Network, LabError> {
    if shape.heads == 0 || !shape.width.is_multiple_of(2 * shape.heads) {
        let message =
            format!("width {} is no multiple of twice {} heads", shape.width, shape.heads);
        return Err(LabError::Network(message));
    }
    let context = shape.context;
    let gpt_shape = gpt::Shape { context: 1, ..shape };
    let mut network = gpt(gpt_shape, streams, device)?;
    spread(&network)?;
    let gpt = Gpt { shape: gpt_shape, causal: true };
    network.body = Rotary { gpt, base, context }.body();
    Ok(network)
}

impl Rotary {
    /// The decoder of `network`.
    ///
    /// # Errors
    /// When this is another network.
    pub fn of(network: &Network) -> Result<&Self, LabError> {
        let own = match &network.body {
            Body::Own(body) => (body.as_ref() as &dyn Any).downcast_ref(),
            _ => None,
        };
        own.ok_or_else(|| LabError::Network("the network has no rotary positions".to_owned()))
    }

    /// As the body of a network.
    #[must_use]
    pub fn body(self) -> Body {
        Body::Own(Arc::new(self))
    }

    /// Operations of a forward and a backward pass for each token of a row that is read in contexts of `length`: six for each weight
    /// of a product, and twelve times the width for each token seen, of which there are half as many as the context has.
    #[must_use]
    pub fn operations(&self, length: usize) -> u64 {
        let gpt::Shape { vocabulary, width, depth, hidden, .. } = self.gpt.shape;
        let weights = depth * (4 * width * width + 2 * width * hidden) + vocabulary * width;
        (6 * weights + 6 * depth * width * length) as u64
    }

    /// Cosines and sines of the turns of `length` positions, length × head.
    fn turns(&self, length: usize, device: Device) -> Result<[Tensor; 2], TchError> {
        let head = self.gpt.shape.width / self.gpt.shape.heads.max(1);
        let half = head / 2;
        let angle = |position: usize, pair: usize| {
            position as f64 * self.base.powf(-2.0 * pair as f64 / head as f64)
        };
        let angles: Vec<f64> =
            (0..length).flat_map(|t| (0..head).map(move |at| angle(t, at % half.max(1)))).collect();
        let table = |of: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|angle| of(*angle) as f32).collect();
            Tensor::f_from_slice(&values)?.f_view([length as i64, head as i64])?.f_to_device(device)
        };
        Ok([table(f64::cos)?, table(f64::sin)?])
    }
}

impl Forward for Rotary {
    fn forward(&self, network: &Network, tokens: &Tensor, _: bool) -> Result<Tensor, LabError> {
        let (rows, length) = tokens.size2()?;
        let context = self.context.max(1) as i64;
        if length > context && !length.unsigned_abs().is_multiple_of(context.unsigned_abs()) {
            return Err(LabError::Network(format!(
                "a row of {length} tokens is of no whole contexts of {context}"
            )));
        }
        let own = tokens.f_reshape([-1, length.min(context)])?;
        let turns = self.turns(length.min(context) as usize, tokens.device())?;
        let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let logits = self.gpt.logits(network, &self.gpt.turned(&weights, &own, &turns)?)?;
        Ok(logits.f_view([rows, length, -1])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial;
    use tch::Kind;

    const SHAPE: gpt::Shape =
        gpt::Shape { vocabulary: 11, context: 8, width: 16, depth: 2, heads: 2, hidden: 64 };

    fn network(base: f64) -> Network {
        rotary(SHAPE, base, &trial::streams(), Device::Cpu).unwrap()
    }

    fn tokens() -> Tensor {
        let ids = Tensor::arange(16, (Kind::Int64, Device::Cpu));
        (&ids * &ids * 7 + &ids * 3).remainder(11).view([2, 8])
    }

    fn distance(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn the_first_pair_turns_by_the_position_and_the_last_by_what_the_base_says() {
        let of = |base| Rotary::of(&network(base)).unwrap().turns(8, Device::Cpu).unwrap();
        let at = |tables: &[Tensor; 2], pair: i64| tables[1].double_value(&[5, pair]);
        let (small, large) = (of(1e4), of(8e6));
        // A head of 8: pairs 0 to 3, and 0 to 3 again.
        assert!(
            (at(&small, 0) - 5_f64.sin()).abs() < 1e-6
                && (at(&large, 4) - 5_f64.sin()).abs() < 1e-6
        );
        assert!((at(&small, 3) - (5.0 * 1e4_f64.powf(-0.75)).sin()).abs() < 1e-6);
        assert!((at(&large, 7) - (5.0 * 8e6_f64.powf(-0.75)).sin()).abs() < 1e-6);
    }

    #[test]
    fn what_is_seen_hangs_on_distances_alone_and_on_nothing_that_comes_later() {
        let network = network(1e4);
        // Turned by the positions of four places further on.
        let decoder = *Rotary::of(&network).unwrap();
        let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let turns = decoder.turns(12, Device::Cpu).unwrap();
        let part = |from: i64| {
            let own = [0, 1].map(|which: usize| turns[which].narrow(0, from, 8));
            decoder.gpt.turned(&weights, &tokens(), &own).unwrap()
        };
        assert!(distance(&part(0), &part(4)) < 1e-4);
        let all = network.forward(&tokens(), false).unwrap();
        let few = network.forward(&tokens().narrow(1, 0, 5), false).unwrap();
        assert!(distance(&all.narrow(1, 0, 5), &few) < 1e-5);
        assert!(distance(&all, &self::network(8e6).forward(&tokens(), false).unwrap()) > 1e-4);
    }

    #[test]
    fn a_row_of_several_contexts_is_read_context_by_context() {
        let mut network = network(1e4);
        let apart = network.forward(&tokens().view([4, 4]), false).unwrap();
        network.body = Rotary { context: 4, ..*Rotary::of(&network).unwrap() }.body();
        let packed = network.forward(&tokens(), false).unwrap();
        assert_eq!(values(&packed).unwrap(), values(&apart).unwrap());
        network.body = Rotary { context: 3, ..*Rotary::of(&network).unwrap() }.body();
        let error = network.forward(&tokens(), false).unwrap_err().to_string();
        assert!(error.contains("no whole contexts of 3"), "{error}");
    }

    #[test]
    fn operations_are_six_for_a_weight_and_grow_with_the_context() {
        let network = network(1e4);
        let decoder = Rotary::of(&network).unwrap();
        let weights = 2 * (4 * 256 + 2 * 16 * 64) + 11 * 16;
        assert_eq!(decoder.operations(0), 6 * weights);
        assert_eq!(decoder.operations(8) - decoder.operations(4), 6 * 2 * 16 * 4);
    }
}
