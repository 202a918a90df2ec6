//! A small U-shaped convolutional network that denoises grey images.
//!
//! Three levels: the image with `width` channels, half of its side with twice as many and a quarter
//! with four times as many. Residual blocks (group normalisation, SiLU, convolution, twice; the
//! noise level shifts what lies between) work on the two lower levels, where they cost little; the
//! upper level has one convolution in and one out.

use std::sync::Arc;

use ledger::streams::Streams;
use tch::{Device, TchError, Tensor};

use super::{Builder, NOISE_FEATURES, noise_features};
use crate::LabError;
use crate::network::{Body, Denoiser, Layer, Network};

/// What the side of an image is a multiple of: it is halved twice.
pub const MULTIPLE: u32 = 4;
/// Channels of a group of the normalisation.
const GROUP: usize = 8;

/// Weight and bias.
type Affine = [usize; 2];

#[derive(Debug)]
struct Block {
    channels: usize,
    norms: [Affine; 2],
    convolutions: [Affine; 2],
    noise: Affine,
}

#[derive(Debug)]
struct Images {
    width: usize,
    /// Index of the frequencies among the buffers.
    frequencies: usize,
    embedding: Affine,
    into: Affine,
    down: [Affine; 2],
    /// On the way down, at the bottom, on the way up.
    blocks: [Block; 3],
    up: [Affine; 2],
    norm: Affine,
    out: Affine,
}

/// A network for images of one channel whose side is a multiple of 4; `width` is a multiple of 8.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn unet_s(width: usize, streams: &Streams, device: Device) -> Result<Network, TchError> {
    let mut parts = Parts(Builder::new(streams, device), 4 * width);
    let frequencies = parts.0.frequencies()?;
    let body = Images {
        width,
        frequencies,
        embedding: parts.linear("embedding", NOISE_FEATURES, 4 * width)?,
        into: parts.conv("into", 1, width, 3)?,
        down: [
            parts.conv("down1", width, 2 * width, 3)?,
            parts.conv("down2", 2 * width, 4 * width, 3)?,
        ],
        blocks: [
            parts.block("left", 2 * width)?,
            parts.block("bottom", 4 * width)?,
            parts.block("right", 2 * width)?,
        ],
        up: [parts.conv("up2", 4 * width, 2 * width, 1)?, parts.conv("up1", 2 * width, width, 1)?],
        norm: parts.0.group_norm("out", width)?,
        out: parts.conv("out", width, 1, 3)?,
    };
    Ok(parts.0.finish_with(Body::Denoiser(Arc::new(body))))
}

/// A builder and the size of the embedding of the noise level.
struct Parts(Builder, usize);

impl Parts {
    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Affine, TchError> {
        affine(&self.0.linear(name, inputs, outputs)?)
    }

    fn conv(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        size: usize,
    ) -> Result<Affine, TchError> {
        affine(&self.0.conv(name, inputs, outputs, size)?)
    }

    fn block(&mut self, name: &str, channels: usize) -> Result<Block, TchError> {
        let part = |part: &str| format!("{name}.{part}");
        Ok(Block {
            channels,
            norms: [
                self.0.group_norm(&part("conv1"), channels)?,
                self.0.group_norm(&part("conv2"), channels)?,
            ],
            convolutions: [
                self.conv(&part("conv1"), channels, channels, 3)?,
                self.conv(&part("conv2"), channels, channels, 3)?,
            ],
            noise: self.linear(&part("noise"), self.1, channels)?,
        })
    }
}

fn affine(layer: &Layer) -> Result<Affine, TchError> {
    match layer {
        Layer::Linear { weight, bias } | Layer::Conv { weight, bias: Some(bias) } => {
            Ok([*weight, *bias])
        }
        other => Err(TchError::Kind(format!("{other:?} is not affine"))),
    }
}

/// A convolution whose padding keeps the size (at stride 1).
fn convolve(
    network: &Network,
    [weight, bias]: Affine,
    x: &Tensor,
    stride: i64,
) -> Result<Tensor, TchError> {
    let (weight, bias) = (network.at(weight), network.at(bias));
    let padding = weight.size().last().map_or(0, |size| size / 2);
    x.f_conv2d(weight, Some(bias), [stride; 2], [padding; 2], [1, 1], 1)
}

fn norm_silu(
    network: &Network,
    [scale, shift]: Affine,
    channels: usize,
    x: &Tensor,
) -> Result<Tensor, TchError> {
    let groups = (channels / GROUP).max(1) as i64;
    x.f_group_norm(groups, Some(network.at(scale)), Some(network.at(shift)), 1e-5, true)?.f_silu()
}

fn linear(network: &Network, [weight, bias]: Affine, x: &Tensor) -> Result<Tensor, TchError> {
    x.f_linear(network.at(weight), Some(network.at(bias)))
}

impl Block {
    fn run(&self, network: &Network, x: &Tensor, embedding: &Tensor) -> Result<Tensor, TchError> {
        let shift = linear(network, self.noise, embedding)?.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
        let inner = norm_silu(network, self.norms[0], self.channels, x)?;
        let inner = convolve(network, self.convolutions[0], &inner, 1)?.f_add(&shift)?;
        let inner = norm_silu(network, self.norms[1], self.channels, &inner)?;
        x.f_add(&convolve(network, self.convolutions[1], &inner, 1)?)
    }
}

impl Denoiser for Images {
    fn run(&self, network: &Network, inputs: &Tensor, noise: &Tensor) -> Result<Tensor, LabError> {
        if let [.., height, width] = inputs.size()[..]
            && [height, width].iter().any(|side| side % i64::from(MULTIPLE) != 0)
        {
            return Err(LabError::Network(format!(
                "an image of {height} × {width} for a network that halves its sides twice: take multiples of {MULTIPLE}"
            )));
        }
        let features = noise_features(&network.buffers[self.frequencies], noise)?;
        let embedding = linear(network, self.embedding, &features)?.f_silu()?;
        let top = convolve(network, self.into, inputs, 1)?;
        let half = convolve(network, self.down[0], &top, 2)?;
        let half = self.blocks[0].run(network, &half, &embedding)?;
        let quarter = convolve(network, self.down[1], &half, 2)?;
        let quarter = self.blocks[1].run(network, &quarter, &embedding)?;
        let rise = |affine: Affine, low: &Tensor, skip: &Tensor| {
            let size = skip.size();
            let narrow = convolve(network, affine, low, 1)?;
            narrow.f_upsample_nearest2d([size[2], size[3]], None, None)?.f_add(skip)
        };
        let half = rise(self.up[0], &quarter, &half)?;
        let half = self.blocks[2].run(network, &half, &embedding)?;
        let top = rise(self.up[1], &half, &top)?;
        let top = norm_silu(network, self.norm, self.width, &top)?;
        Ok(convolve(network, self.out, &top, 1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial;

    #[test]
    fn outputs_have_the_shape_of_inputs_at_every_size_that_is_used() {
        let network = unet_s(8, &trial::streams(), Device::Cpu).unwrap();
        for side in [8, 16, 28] {
            let inputs = Tensor::ones([2, 1, side, side], (tch::Kind::Float, Device::Cpu));
            let outputs = network.denoise(&inputs, &Tensor::from_slice(&[0.1_f32, 0.2])).unwrap();
            assert_eq!(outputs.size(), inputs.size());
            assert_ne!(outputs.get(0), outputs.get(1), "the noise level makes no difference");
        }
        let odd = Tensor::ones([1, 1, 16, 18], (tch::Kind::Float, Device::Cpu));
        let error = network.denoise(&odd, &Tensor::from_slice(&[0.1_f32])).unwrap_err();
        assert!(
            error.to_string().contains("16 × 18") && error.to_string().contains("multiples of 4")
        );
    }
}
