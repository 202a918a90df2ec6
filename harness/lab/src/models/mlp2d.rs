//! A perceptron of three hidden layers of SiLU that denoises points.

use std::sync::Arc;

use ledger::streams::Streams;
use tch::{Device, TchError, Tensor};

use super::{Builder, NOISE_FEATURES, noise_features};
use crate::LabError;
use crate::network::{Body, Denoiser, Layer, Network};

#[derive(Debug)]
struct Points {
    /// Index of the frequencies among the buffers.
    frequencies: usize,
    /// Weight and bias: of inputs, of noise features, then of the layers behind their sum.
    layers: [[usize; 2]; 5],
}

/// `axes` inputs and [`NOISE_FEATURES`] features of the noise level, three hidden layers of
/// `width`, `axes` outputs.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn mlp2d(
    axes: usize,
    width: usize,
    streams: &Streams,
    device: Device,
) -> Result<Network, TchError> {
    let mut builder = Builder::new(streams, device);
    let frequencies = builder.frequencies()?;
    let mut linear = |name, inputs, outputs| match builder.linear(name, inputs, outputs)? {
        Layer::Linear { weight, bias } => Ok([weight, bias]),
        other => Err(TchError::Kind(format!("{other:?} is not linear"))),
    };
    let layers = [
        linear("inputs", axes, width)?,
        linear("noise", NOISE_FEATURES, width)?,
        linear("hidden2", width, width)?,
        linear("hidden3", width, width)?,
        linear("outputs", width, axes)?,
    ];
    Ok(builder.finish_with(Body::Denoiser(Arc::new(Points { frequencies, layers }))))
}

impl Denoiser for Points {
    fn run(&self, network: &Network, inputs: &Tensor, noise: &Tensor) -> Result<Tensor, LabError> {
        let linear = |place: usize, x: &Tensor| {
            let [weight, bias] = self.layers[place];
            x.f_linear(network.at(weight), Some(network.at(bias)))
        };
        let features = noise_features(&network.buffers[self.frequencies], noise)?;
        let hidden = linear(0, inputs)?.f_add(&linear(1, &features)?)?.f_silu()?;
        let hidden = linear(2, &hidden)?.f_silu()?;
        let hidden = linear(3, &hidden)?.f_silu()?;
        Ok(linear(4, &hidden)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial;

    #[test]
    fn it_has_thirty_seven_thousand_weights() {
        let network = mlp2d(2, 128, &trial::streams(), Device::Cpu).unwrap();
        assert_eq!(network.parameters.iter().map(|p| p.tensor.numel()).sum::<usize>(), 37_890);
    }

    #[test]
    fn one_noise_level_for_all_is_the_same_as_one_for_each() {
        let network = mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap();
        let inputs = Tensor::from_slice(&[0.1_f32, 0.2, -0.3, 0.4]).view([2, 2]);
        let with = |noise: &[f32]| {
            values(&network.denoise(&inputs, &Tensor::from_slice(noise)).unwrap()).unwrap()
        };
        let same = with(&[0.7]).into_iter().zip(with(&[0.7, 0.7]));
        assert!(same.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) < 1e-6);
        assert_ne!(with(&[0.7]), with(&[0.7, 0.6]));
        assert!(network.forward(&inputs, false).is_err());
    }
}
