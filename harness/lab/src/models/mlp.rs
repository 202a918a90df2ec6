//! Multi-layer perceptron with ReLU.

use ledger::streams::Streams;
use tch::{Device, TchError};

use super::Builder;
use crate::network::{Layer, Network};

/// `widths[0]` inputs, ReLU after every hidden layer, `widths[last]` logits.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn mlp(widths: &[usize], streams: &Streams, device: Device) -> Result<Network, TchError> {
    let mut builder = Builder::new(streams, device);
    let mut layers = vec![Layer::Flatten];
    for (index, pair) in widths.windows(2).enumerate() {
        if index > 0 {
            layers.push(Layer::Relu);
        }
        layers.push(builder.linear(&format!("fc{}", index + 1), pair[0], pair[1])?);
    }
    Ok(builder.finish(layers))
}
