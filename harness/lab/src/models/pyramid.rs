//! A transformer over tokens in scales, coarse to fine, of which every scale may use a part of the layers.
//!
//! What stands at a token's place is the token of the scale before that covers its cell, at the first place a start; a place
//! sees all of its own scale and of coarser ones, so that one pass gives the distribution of every token given all
//! coarser scales, and the tokens of a scale are independent of each other given these. A scale of depth d goes through d of
//! D layers at equal distances, `I_d = { ⌊i(D − 1)/(d − 1)⌋ : i = 0..d − 1 }`; in the others its places stay what they are, and nobody
//! sees them there.

use std::any::Any;
use std::sync::Arc;

use ledger::streams::Streams;
use tch::{Device, Kind, TchError, Tensor};

use super::gpt::{Gpt, Shape, gpt};
use crate::LabError;
use crate::init::spread;
use crate::network::{Body, Forward, Network, Parameter};

/// The forward pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pyramid {
    /// The transformer; its vocabulary has the start behind the levels.
    gpt: Gpt,
    /// Cells of each scale along an axis.
    sides: Vec<u32>,
    /// Layers that each scale goes through.
    depths: Vec<usize>,
}

/// The layers, of `all`, that a part of depth `depth` uses: equally far from each other, the first and the last among them; of depth 1
/// the first.
#[must_use]
pub fn layers(all: usize, depth: usize) -> Vec<usize> {
    let steps = depth.saturating_sub(1).max(1);
    (0..depth).map(|place| place * all.saturating_sub(1) / steps).collect()
}

/// A network of `layers` layers for images of these scales and `levels` levels a token, at initial values of PyTorch's deviations.
///
/// # Errors
/// When the width is no multiple of the number of heads, or libtorch cannot allocate.
pub fn pyramid(
    sides: &[u32],
    levels: usize,
    [width, layers, heads]: [usize; 3],
    streams: &Streams,
    device: Device,
) -> Result<Network, LabError> {
    let context = sides.iter().map(|side| (side * side) as usize).sum();
    let shape =
        Shape { vocabulary: levels + 1, context, width, depth: layers, heads, hidden: 4 * width };
    let network = gpt(shape, streams, device)?;
    spread(&network)?;
    let gpt = Gpt { shape, causal: false };
    let pyramid = Pyramid { gpt, sides: sides.to_vec(), depths: vec![layers; sides.len()] };
    Ok(Network { body: pyramid.body(), ..network })
}

impl Pyramid {
    /// That of `network`.
    ///
    /// # Errors
    /// When this is another network.
    pub fn of(network: &Network) -> Result<&Self, LabError> {
        let own = match &network.body {
            Body::Own(body) => (body.as_ref() as &dyn Any).downcast_ref(),
            _ => None,
        };
        own.ok_or_else(|| LabError::Network("the network has no scales".to_owned()))
    }

    fn body(self) -> Body {
        Body::Own(Arc::new(self))
    }

    /// Layers of the whole network.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.gpt.shape.depth
    }

    /// Whether every scale goes through all layers.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.depths.iter().all(|depth| *depth == self.layers())
    }

    /// The parameters of a layer, by their indices in the network.
    #[must_use]
    pub fn parameters(&self, layer: usize) -> Vec<usize> {
        let block = self.gpt.block(layer);
        let [first, last] = [block.attention_norm[0], block.down[1]];
        (first..=last).collect()
    }

    /// Tokens of each scale.
    pub fn tokens(&self) -> impl Iterator<Item = usize> {
        self.sides.iter().map(|side| (side * side) as usize)
    }

    /// Tokens times the layers that they go through, of one example.
    #[must_use]
    pub fn passes(&self) -> u64 {
        self.tokens().zip(&self.depths).map(|(tokens, depth)| (tokens * depth) as u64).sum()
    }

    /// The same parameters with these depths of the scales.
    #[must_use]
    pub fn with_depths(network: &Network, own: &Self, depths: Vec<usize>) -> Network {
        let alike = network.parameters.iter().map(|one| Parameter {
            name: one.name.clone(),
            tensor: one.tensor.shallow_clone(),
            ..*one
        });
        let body = Self { depths, ..own.clone() }.body();
        Network { body, ..network.over(alike.collect()) }
    }

    /// The same parameters where scales from `bridge` on, counted from 0, have depth `depth` and those before all layers.
    ///
    /// # Errors
    /// When the network has no scales.
    pub fn part(network: &Network, bridge: usize, depth: usize) -> Result<Network, LabError> {
        let own = Self::of(network)?;
        let depths = (0..own.sides.len())
            .map(|scale| if scale < bridge { own.layers() } else { depth })
            .collect();
        Ok(Self::with_depths(network, own, depths))
    }

    /// The scale of every place.
    fn scales(&self) -> Vec<usize> {
        let each = self.tokens().enumerate();
        each.flat_map(|(scale, tokens)| std::iter::repeat_n(scale, tokens)).collect()
    }

    fn logits(&self, network: &Network, tokens: &Tensor) -> Result<Tensor, TchError> {
        let weights: Vec<&Tensor> = network.parameters.iter().map(|p| &p.tensor).collect();
        let (device, scales) = (tokens.device(), self.scales());
        let places = scales.len() as i64;
        let positions = Tensor::f_arange(places, (Kind::Int64, device))?.f_unsqueeze(0)?;
        let of: Vec<i64> = scales.iter().map(|scale| *scale as i64).collect();
        let of = Tensor::f_from_slice(&of)?.f_to_device(device)?;
        let seen = of.f_unsqueeze(1)?.f_ge_tensor(&of.f_unsqueeze(0)?)?;
        let used: Vec<Vec<usize>> =
            self.depths.iter().map(|depth| layers(self.layers(), *depth)).collect();
        let mut x = Gpt::vectors(&weights, tokens, &positions)?;
        for layer in 0..self.layers() {
            let active: Vec<i64> = (0..)
                .zip(&scales)
                .filter(|(_, scale)| used[**scale].contains(&layer))
                .map(|(place, _)| place)
                .collect();
            if active.len() == scales.len() {
                x = self.gpt.block_seeing(layer, &weights, &x, &seen.f_unsqueeze(0)?)?;
            } else if !active.is_empty() {
                let active = Tensor::f_from_slice(&active)?.f_to_device(device)?;
                let own = x.f_index_select(1, &active)?;
                let seen = seen.f_index_select(0, &active)?.f_index_select(1, &active)?;
                let own = self.gpt.block_seeing(layer, &weights, &own, &seen.f_unsqueeze(0)?)?;
                x = x.f_index_copy(1, &active, &own)?;
            }
        }
        let [weight, bias] = self.gpt.head();
        let logits =
            self.gpt.normed(&weights, &x)?.f_linear(weights[weight], Some(weights[bias]))?;
        // No token is the start.
        logits.f_narrow(-1, 0, self.gpt.shape.vocabulary as i64 - 1)
    }
}

impl Forward for Pyramid {
    fn forward(&self, network: &Network, tokens: &Tensor, _: bool) -> Result<Tensor, LabError> {
        Ok(self.logits(network, tokens)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial;

    const SIDES: [u32; 3] = [1, 2, 4];

    fn network() -> Network {
        pyramid(&SIDES, 5, [16, 4, 2], &trial::streams(), Device::Cpu).unwrap()
    }

    fn tokens() -> Tensor {
        let ids = Tensor::arange(2 * 21, (Kind::Int64, Device::Cpu));
        (&ids * &ids * 3 + &ids).remainder(5).view([2, 21])
    }

    #[test]
    fn parts_are_layers_at_equal_distances() {
        let odd: Vec<usize> = (0..16).map(|i| 29 * i / 15).collect();
        assert_eq!(layers(30, 16), odd);
        assert_eq!(odd, [0, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29]);
        assert_eq!(layers(30, 8), [0, 4, 8, 12, 16, 20, 24, 29]);
        assert_eq!((layers(30, 4), layers(30, 2)), (vec![0, 9, 19, 29], vec![0, 29]));
        assert_eq!((layers(8, 4), layers(8, 2)), (vec![0, 2, 4, 7], vec![0, 7]));
        assert_eq!(layers(8, 8), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn of_30_layers_only_the_part_of_two_lies_within_all_others_and_of_8_parts_are_nested() {
        let within = |all, small, large| {
            layers(all, small).iter().all(|layer| layers(all, large).contains(layer))
        };
        assert!([4, 8, 16].into_iter().all(|large| within(30, 2, large)));
        assert!(!within(30, 4, 8) && !within(30, 8, 16));
        assert!(within(30, 4, 16));
        assert!(within(8, 2, 4) && within(8, 4, 8));
    }

    #[test]
    fn a_scale_sees_all_of_itself_and_of_coarser_ones_and_nothing_finer() {
        let network = network();
        let whole = network.forward(&tokens(), false).unwrap();
        let changed = |place: i64| {
            let other = tokens();
            let _ = other.narrow(1, place, 1).fill_(4 - tokens().int64_value(&[0, place]));
            let moved = network.forward(&other, false).unwrap() - &whole;
            let moved = values(&moved.abs().amax([0, 2].as_slice(), false)).unwrap();
            moved.iter().position(|by| *by > 1e-6)
        };
        // Of a scale every place sees every place.
        assert_eq!([changed(0), changed(3), changed(20)], [Some(0), Some(1), Some(5)]);
    }

    #[test]
    fn a_part_of_all_layers_is_the_whole_bit_for_bit_and_a_smaller_one_is_not() {
        let network = network();
        let whole = values(&network.forward(&tokens(), false).unwrap()).unwrap();
        let part = |bridge, depth| {
            let part = Pyramid::part(&network, bridge, depth).unwrap();
            values(&part.forward(&tokens(), false).unwrap()).unwrap()
        };
        assert_eq!(part(1, 4), whole);
        assert_eq!(part(3, 2), whole);
        let half = part(1, 2);
        // 5 levels a place; the bridge is what it was.
        assert!(half[..5].iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!(half[5..105].iter().zip(&whole[5..]).any(|(a, b)| (a - b).abs() > 1e-3));
    }

    #[test]
    fn what_goes_through_a_layer_is_counted_by_token() {
        let network = network();
        assert_eq!(Pyramid::of(&network).unwrap().passes(), 21 * 4);
        let part = Pyramid::part(&network, 1, 2).unwrap();
        assert_eq!(Pyramid::of(&part).unwrap().passes(), 4 + 20 * 2);
        assert!(!Pyramid::of(&part).unwrap().is_whole());
    }
}
