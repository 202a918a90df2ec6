//! A small ResNet-9: two residual blocks between four convolutions, batch-normalised.

use ledger::streams::Streams;
use tch::{Device, TchError};

use super::Builder;
use crate::network::{Layer, Network};

/// Widths w, 2w, 4w, 8w (64 … 512 in the common full-size form); 3-channel inputs of side 32.
///
/// prep – (conv, pool) – residual – (conv, pool) – (conv, pool) – residual – global max – linear,
/// logits times 0.125, as the speed-run nets do.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn resnet9(
    width: usize,
    classes: usize,
    streams: &Streams,
    device: Device,
) -> Result<Network, TchError> {
    let mut builder = Builder::new(streams, device);
    let mut layers = Vec::new();
    layers.extend(builder.conv_norm_relu("prep", 3, width, 3)?);
    let mut inputs = width;
    for (stage, residual) in [(1, true), (2, false), (3, true)] {
        let outputs = 2 * inputs;
        layers.extend(builder.conv_norm_relu(&format!("stage{stage}.conv"), inputs, outputs, 3)?);
        layers.push(Layer::MaxPool);
        if residual {
            let mut inner = Vec::new();
            for block in ["a", "b"] {
                inner.extend(builder.conv_norm_relu(
                    &format!("stage{stage}.residual.{block}"),
                    outputs,
                    outputs,
                    3,
                )?);
            }
            layers.push(Layer::Residual(inner));
        }
        inputs = outputs;
    }
    layers.extend([
        Layer::GlobalMaxPool,
        builder.linear("head", inputs, classes)?,
        Layer::Scale(0.125),
    ]);
    Ok(builder.finish(layers))
}
