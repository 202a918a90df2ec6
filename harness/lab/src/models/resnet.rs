//! The residual networks of He et al. (arXiv:1512.03385, section 4.2) for small images.
//!
//! A 3 × 3 convolution; stages of basic blocks, two 3 × 3 convolutions each with a ReLU between and behind their sum
//! with x; every stage but the first halves height and width; the mean over them; a linear head. Batch normalisation
//! behind every convolution, none of which has a bias. Shortcuts have no parameters (option A): where a stage
//! halves, every second row and column of x, with channels of 0 behind its own.
//!
//! Initial values: filters N(0, 2/fan-in) (He et al. 2015, arXiv:1502.01852), the head as PyTorch draws it, scales 1,
//! shifts 0.

use ledger::streams::Streams;
use tch::{Device, Kind, TchError, Tensor};

use super::Builder;
use crate::init;
use crate::network::{Layer, Network, Role, channels_last};

/// Shape of a [`resnet`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Channels of the input.
    pub channels: usize,
    /// Channels of each stage, none fewer than those before it; 16, 32 and 64 in the paper.
    pub widths: Vec<usize>,
    /// Blocks of a stage: n of the paper, whose networks have 6n + 2 layers.
    pub blocks: usize,
    /// Number of outputs.
    pub outputs: usize,
}

/// Outputs N × `outputs` of images N × C × H × W of any size.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn resnet(shape: &Shape, streams: &Streams, device: Device) -> Result<Network, TchError> {
    let mut builder = Builder::new(streams, device);
    let mut inputs = shape.widths.first().copied().unwrap_or(0);
    let mut layers = filtered(&mut builder, "conv", shape.channels, inputs, false)?.to_vec();
    layers.push(Layer::Relu);
    for (stage, &outputs) in shape.widths.iter().enumerate() {
        for block in 0..shape.blocks {
            let halves = stage > 0 && block == 0;
            let name = |part: &str| format!("stage{}.block{}.{part}", stage + 1, block + 1);
            let mut inner = filtered(&mut builder, &name("a"), inputs, outputs, halves)?.to_vec();
            inner.push(Layer::Relu);
            inner.extend(filtered(&mut builder, &name("b"), outputs, outputs, false)?);
            let more = i64::try_from(outputs.saturating_sub(inputs)).unwrap_or(0);
            layers.push(match halves {
                true => Layer::HalvedResidual { more, inner },
                false => Layer::Residual(inner),
            });
            layers.push(Layer::Relu);
            inputs = outputs;
        }
    }
    layers.extend([Layer::GlobalMeanPool, builder.linear("head", inputs, shape.outputs)?]);
    Ok(builder.finish(layers))
}

/// A 3 × 3 convolution and its normalisation.
fn filtered(
    builder: &mut Builder,
    name: &str,
    inputs: usize,
    outputs: usize,
    halves: bool,
) -> Result<[Layer; 2], TchError> {
    let shape = [outputs, inputs, 3, 3].map(|size| i64::try_from(size).unwrap_or(0));
    let filters = init::he_normal(&mut builder.stream, &shape)?;
    let filters = channels_last(&filters.f_to_device(builder.device)?)?;
    let weight = builder.push(name, "weight", Role::Weight, filters);
    let ([width, ..], options) = (shape, (Kind::Float, builder.device));
    let [ones, zeros] = [Tensor::f_ones([width], options)?, Tensor::f_zeros([width], options)?];
    let running = builder.buffers.len();
    builder.buffers.extend([zeros.copy(), ones.copy()]);
    let scale = builder.push(name, "norm.scale", Role::Norm, ones);
    let shift = builder.push(name, "norm.shift", Role::Norm, zeros);
    builder.depth += 1;
    let filtered = match halves {
        true => Layer::HalvingConv { weight },
        false => Layer::Conv { weight, bias: None },
    };
    Ok([filtered, Layer::BatchNorm { scale, shift, running }])
}
