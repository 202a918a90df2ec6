//! Three 3 × 3 convolutions and a linear head, pooled after the first two.

use ledger::streams::Streams;
use tch::{Device, TchError};

use super::Builder;
use crate::network::{Layer, Network};

/// Shape of a [`cnn`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Channels of the input.
    pub channels: usize,
    /// Height and width of the input; a multiple of 4.
    pub side: usize,
    /// Channels after each convolution.
    pub widths: [usize; 3],
    /// Number of classes.
    pub classes: usize,
    /// Batch normalisation behind each convolution (which then has no bias).
    pub norm: bool,
}

/// conv–ReLU–pool, conv–ReLU–pool, conv–ReLU, linear.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn cnn(shape: Shape, streams: &Streams, device: Device) -> Result<Network, TchError> {
    let mut builder = Builder::new(streams, device);
    let mut layers = Vec::new();
    let mut inputs = shape.channels;
    for (index, &outputs) in shape.widths.iter().enumerate() {
        let name = format!("conv{}", index + 1);
        if shape.norm {
            layers.extend(builder.conv_norm_relu(&name, inputs, outputs, 3)?);
        } else {
            layers.extend([builder.conv(&name, inputs, outputs, 3)?, Layer::Relu]);
        }
        if index < 2 {
            layers.push(Layer::MaxPool);
        }
        inputs = outputs;
    }
    let side = shape.side / 4;
    layers.extend([Layer::Flatten, builder.linear("head", inputs * side * side, shape.classes)?]);
    Ok(builder.finish(layers))
}
