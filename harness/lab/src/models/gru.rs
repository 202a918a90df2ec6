//! Networks of gated recurrent units (Cho et al. 2014): a language model, and one that reads sequences to their end.

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

/// Layers of units on top of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Units {
    /// Units of a layer.
    pub width: usize,
    /// Number of layers.
    pub depth: usize,
}

/// Logits B × T × V of tokens B × T: vectors as wide as the layers of units, a linear head.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn of_tokens(
    vocabulary: usize,
    units: Units,
    streams: &Streams,
    device: Device,
) -> Result<Network, TchError> {
    let mut builder = Builder::new(streams, device);
    let table = builder.table("tokens", vocabulary, units.width)?;
    let mut layers = vec![Layer::Context { table, length: 1 }];
    layers.extend(stacked(&mut builder, units.width, units)?);
    layers.push(builder.linear("head", units.width, vocabulary)?);
    Ok(builder.finish(layers))
}

/// Outputs N × `outputs` of images N × C × H × W, whose rows are read one after the other, `features` = C·W numbers
/// each: a linear head on the state behind the last.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn of_rows(
    features: usize,
    units: Units,
    outputs: usize,
    streams: &Streams,
    device: Device,
) -> Result<Network, TchError> {
    let mut builder = Builder::new(streams, device);
    let mut layers = vec![Layer::Rows];
    layers.extend(stacked(&mut builder, features, units)?);
    layers.extend([Layer::Last, builder.linear("head", units.width, outputs)?]);
    Ok(builder.finish(layers))
}

fn stacked(builder: &mut Builder, inputs: usize, units: Units) -> Result<Vec<Layer>, TchError> {
    let Units { width, depth } = units;
    let entering = |layer| if layer == 0 { inputs } else { width };
    (0..depth).map(|at| builder.gru(&format!("gru{}", at + 1), entering(at), width)).collect()
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
