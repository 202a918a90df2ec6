//! A language model of gated recurrent units (Cho et al. 2014).

use ledger::streams::Streams;
use tch::{Device, TchError};

use super::Builder;
use crate::network::{Layer, Network};

/// Logits B × T × V of tokens B × T: vectors of `vectors` numbers, one layer of `width` units from a
/// state of 0, a linear head.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn gru(
    vocabulary: usize,
    vectors: usize,
    width: usize,
    streams: &Streams,
    device: Device,
) -> Result<Network, TchError> {
    let mut builder = Builder::new(streams, device);
    let table = builder.table("tokens", vocabulary, vectors)?;
    let layers = vec![
        Layer::Context { table, length: 1 },
        builder.gru("gru", vectors, width)?,
        builder.linear("head", width, vocabulary)?,
    ];
    Ok(builder.finish(layers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial;
    use tch::Tensor;

    #[test]
    fn the_units_follow_the_published_equations() {
        let (width, tokens) = (3, [1_i64, 4, 0, 2]);
        let network = gru(5, 2, 3, &trial::streams(), Device::Cpu).unwrap();
        let p: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let found = network.forward(&Tensor::from_slice(&tokens).unsqueeze(0), true).unwrap();
        let mut state = Tensor::zeros([width], (tch::Kind::Float, Device::Cpu));
        for (place, token) in (0..).zip(tokens) {
            let a = p[1].mv(&p[0].select(0, token)) + p[3];
            let b = p[2].mv(&state) + p[4];
            let part = |of: &Tensor, index: i64| of.narrow(0, index * width, width);
            let reset = (part(&a, 0) + part(&b, 0)).sigmoid();
            let update = (part(&a, 1) + part(&b, 1)).sigmoid();
            let new = (part(&a, 2) + reset * part(&b, 2)).tanh();
            state = (update.ones_like() - &update) * new + update * state;
            let by_hand = p[5].mv(&state) + p[6];
            let distance = (by_hand - found.select(0, 0).select(0, place)).abs().max();
            assert!(distance.double_value(&[]) < 1e-6);
        }
    }
}
