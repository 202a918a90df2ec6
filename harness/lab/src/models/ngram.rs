//! Neural n-gram language model (Bengio et al. 2003): a perceptron over the vectors of the last
//! tokens.

use ledger::streams::Streams;
use tch::{Device, TchError};

use super::Builder;
use crate::network::{Layer, Network};

/// Sizes of an [`ngram`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Number of tokens, V.
    pub vocabulary: usize,
    /// Tokens that a prediction sees.
    pub length: usize,
    /// Width of a token's vector.
    pub vectors: usize,
    /// Width of the hidden layer.
    pub hidden: usize,
}

impl Shape {
    /// Six tokens of 24 numbers each: 46,136 parameters at V = 32 and 256 hidden units.
    #[must_use]
    pub fn six(vocabulary: usize, hidden: usize) -> Self {
        Self { vocabulary, length: 6, vectors: 24, hidden }
    }
}

/// Logits B × T × V of tokens B × T: the vectors of the last tokens side by side, a hidden layer of
/// ReLU and a linear one. One more vector stands for what is before the first token.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn ngram(shape: Shape, streams: &Streams, device: Device) -> Result<Network, TchError> {
    let Shape { vocabulary, length, vectors, hidden } = shape;
    let mut builder = Builder::new(streams, device);
    let table = builder.table("tokens", vocabulary + 1, vectors)?;
    let layers = vec![
        Layer::Context { table, length: i64::try_from(length).unwrap_or(1) },
        builder.linear("hidden", length * vectors, hidden)?,
        Layer::Relu,
        builder.linear("head", hidden, vocabulary)?,
    ];
    Ok(builder.finish(layers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial;
    use tch::{Kind, Tensor};

    #[test]
    fn six_tokens_and_256_units_are_46_136_parameters() {
        let network = ngram(Shape::six(32, 256), &trial::streams(), Device::Cpu).unwrap();
        let counts = network.parameters.iter().map(|p| p.tensor.numel());
        assert_eq!(counts.sum::<usize>(), 46_136);
    }

    #[test]
    fn a_position_sees_the_last_tokens_and_the_border_and_nothing_else() {
        let shape = Shape { vocabulary: 5, length: 3, vectors: 2, hidden: 4 };
        let network = ngram(shape, &trial::streams(), Device::Cpu).unwrap();
        let logits = |tokens: &[i64]| {
            let tokens = Tensor::from_slice(tokens).unsqueeze(0);
            network.forward(&tokens, true).unwrap().squeeze_dim(0)
        };
        let at = |logits: &Tensor, place: i64| values(&logits.select(0, place)).unwrap();
        let (long, other) = (logits(&[0, 1, 2, 3, 4]), logits(&[4, 1, 2, 3, 0]));
        // Place 3 sees 1, 2, 3 in both; places 0, 2 and 4 see what differs.
        assert_eq!(at(&long, 3), at(&other, 3));
        for place in [0, 2, 4] {
            assert_ne!(at(&long, place), at(&other, place), "{place}");
        }
        // By hand: place 1 sees the border, then 0, then 1.
        let p: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let seen = Tensor::from_slice(&[5_i64, 0, 1]);
        let hidden = p[0].index_select(0, &seen).view([1, 6]).linear(p[1], Some(p[2])).relu();
        let by_hand = hidden.linear(p[3], Some(p[4])).squeeze_dim(0);
        let distance = (by_hand - long.select(0, 1)).abs().max().double_value(&[]);
        assert!(distance < 1e-6, "{distance}");
    }

    #[test]
    fn every_parameter_gets_a_gradient() {
        let network = ngram(Shape::six(5, 8), &trial::streams(), Device::Cpu).unwrap();
        let tokens = Tensor::arange(20, (Kind::Int64, Device::Cpu)).remainder(5).view([2, 10]);
        let loss = network.forward(&tokens, true).unwrap().square().mean(None::<Kind>);
        let tensors: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        for gradient in Tensor::run_backward(&[loss], &tensors, false, false) {
            assert!(values(&gradient).unwrap().iter().any(|&g| g != 0.0));
        }
    }
}
