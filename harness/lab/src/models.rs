//! Network shapes: one file each, built by [`Builder`].

pub mod clips;
pub mod cnn;
pub mod elastic;
pub mod given;
pub mod gpt;
pub mod gru;
pub mod knrm;
pub mod mlp;
pub mod mlp2d;
pub mod ngram;
pub mod plain_vit;
pub mod pointers;
pub mod pyramid;
pub mod resnet;
pub mod resnet9;
pub mod rotary;
pub mod script;
pub mod unet_s;
pub mod vit;
pub mod watcher;

use ledger::streams::{self, Streams};
use rand_pcg::Pcg64;
use tch::{Device, Kind, TchError, Tensor};

use crate::init;
use crate::network::{Body, Layer, Network, Parameter, Role, channels_last};

/// Features of a noise level: a sine and a cosine at each of 16 frequencies.
pub const NOISE_FEATURES: usize = 32;

/// Lowest and highest angular frequency of them. A noise level σ enters as ln(σ)/4, so the highest
/// turns once while σ grows by a factor of 4.8; finer ones make consistency training unstable
/// (arXiv:2310.14189, section 3.1).
const FREQUENCIES: [f64; 2] = [0.25, 16.0];

/// sin and cos of a noise level at each frequency, shape B × [`NOISE_FEATURES`].
///
/// # Errors
/// When libtorch refuses an operation.
pub fn noise_features(frequencies: &Tensor, noise: &Tensor) -> Result<Tensor, TchError> {
    let angles = noise.f_unsqueeze(1)?.f_mul(frequencies)?;
    Tensor::f_cat(&[angles.f_sin()?, angles.f_cos()?], 1)
}

/// Collects parameters and layers of a network, drawing initial values from the `init` stream.
#[derive(Debug)]
pub struct Builder {
    stream: Pcg64,
    device: Device,
    depth: usize,
    parameters: Vec<Parameter>,
    buffers: Vec<Tensor>,
}

impl Builder {
    /// Starts with no layers.
    #[must_use]
    pub fn new(streams: &Streams, device: Device) -> Self {
        let stream = streams.generator("init");
        Self { stream, device, depth: 0, parameters: Vec::new(), buffers: Vec::new() }
    }

    /// A linear layer `inputs → outputs` with bias.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Layer, TchError> {
        let weight = self.drawn(name, "weight", Role::Weight, &[outputs, inputs], inputs)?;
        let bias = self.drawn(name, "bias", Role::Bias, &[outputs], inputs)?;
        self.depth += 1;
        Ok(Layer::Linear { weight, bias })
    }

    /// A linear layer `inputs → outputs` without bias whose weights are 0.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn zeros(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Layer, TchError> {
        let shape = [outputs, inputs].map(|size| i64::try_from(size).unwrap_or(0));
        let zeros = Tensor::f_zeros(shape, (Kind::Float, self.device))?;
        let weight = self.push(name, "weight", Role::Weight, zeros);
        self.depth += 1;
        Ok(Layer::Product { weight })
    }

    /// A `size × size` convolution with bias.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn conv(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        size: usize,
    ) -> Result<Layer, TchError> {
        let fan_in = inputs * size * size;
        let weight =
            self.drawn(name, "weight", Role::Weight, &[outputs, inputs, size, size], fan_in)?;
        let bias = self.drawn(name, "bias", Role::Bias, &[outputs], fan_in)?;
        self.depth += 1;
        Ok(Layer::Conv { weight, bias: Some(bias) })
    }

    /// A `size × size` convolution without bias, batch normalisation and ReLU.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn conv_norm_relu(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        size: usize,
    ) -> Result<[Layer; 3], TchError> {
        let fan_in = inputs * size * size;
        let weight =
            self.drawn(name, "weight", Role::Weight, &[outputs, inputs, size, size], fan_in)?;
        let width = i64::try_from(outputs).unwrap_or(0);
        let options = (Kind::Float, self.device);
        let scale = self.push(name, "norm.scale", Role::Norm, Tensor::f_ones([width], options)?);
        let shift = self.push(name, "norm.shift", Role::Norm, Tensor::f_zeros([width], options)?);
        let running = self.buffers.len();
        self.buffers.push(Tensor::f_zeros([width], options)?);
        self.buffers.push(Tensor::f_ones([width], options)?);
        self.depth += 1;
        Ok([
            Layer::Conv { weight, bias: None },
            Layer::BatchNorm { scale, shift, running },
            Layer::Relu,
        ])
    }

    /// A table of `rows` vectors of `width`, N(0, 1) as in PyTorch; its index.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn table(&mut self, name: &str, rows: usize, width: usize) -> Result<usize, TchError> {
        let shape = [rows, width].map(|size| i64::try_from(size).unwrap_or(0));
        let values = Tensor::f_from_slice(&streams::normal(&mut self.stream, rows * width))?;
        let tensor = values.f_view(shape)?.f_to_device(self.device)?;
        let table = self.push(name, "weight", Role::Embedding, tensor);
        self.depth += 1;
        Ok(table)
    }

    /// Gated recurrent units, `inputs` → `width`; all values U(−1/√width, 1/√width) as in PyTorch.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn gru(&mut self, name: &str, inputs: usize, width: usize) -> Result<Layer, TchError> {
        let rows = 3 * width;
        let first = self.drawn(name, "inputs.weight", Role::Weight, &[rows, inputs], width)?;
        self.drawn(name, "state.weight", Role::Weight, &[rows, width], width)?;
        self.drawn(name, "inputs.bias", Role::Bias, &[rows], width)?;
        self.drawn(name, "state.bias", Role::Bias, &[rows], width)?;
        self.depth += 1;
        Ok(Layer::Gru { first })
    }

    /// Group normalisation's scale and shift of `channels`, which belong to the coming layer.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn group_norm(&mut self, name: &str, channels: usize) -> Result<[usize; 2], TchError> {
        let (width, options) = (i64::try_from(channels).unwrap_or(0), (Kind::Float, self.device));
        let scale = Tensor::f_ones([width], options)?;
        let shift = Tensor::f_zeros([width], options)?;
        Ok([
            self.push(name, "norm.scale", Role::Norm, scale),
            self.push(name, "norm.shift", Role::Norm, shift),
        ])
    }

    /// Angular frequencies of [`NOISE_FEATURES`] features of a noise level, as a buffer; its index.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn frequencies(&mut self) -> Result<usize, TchError> {
        let half = NOISE_FEATURES / 2;
        let [low, high] = FREQUENCIES;
        let ratio = |place: usize| place as f64 / (half - 1) as f64;
        let each: Vec<f32> =
            (0..half).map(|place| (low * (high / low).powf(ratio(place))) as f32).collect();
        self.buffers.push(Tensor::f_from_slice(&each)?.f_to_device(self.device)?);
        Ok(self.buffers.len() - 1)
    }

    /// The network of `layers`.
    #[must_use]
    pub fn finish(self, layers: Vec<Layer>) -> Network {
        self.finish_with(Body::Layers(layers))
    }

    /// The network with this body.
    #[must_use]
    pub fn finish_with(self, body: Body) -> Network {
        Network::new(self.parameters, self.buffers, body)
    }

    fn drawn(
        &mut self,
        layer: &str,
        part: &str,
        role: Role,
        shape: &[usize],
        fan_in: usize,
    ) -> Result<usize, TchError> {
        let shape: Vec<i64> = shape.iter().map(|&size| i64::try_from(size).unwrap_or(0)).collect();
        let values = init::kaiming_uniform(&mut self.stream, &shape, fan_in)?;
        let tensor = channels_last(&values.f_to_device(self.device)?)?;
        Ok(self.push(layer, part, role, tensor))
    }

    /// Values of the same size, N(0, `deviation`²).
    fn normal(&mut self, shape: &[usize], deviation: f64) -> Result<Tensor, TchError> {
        let values = streams::normal(&mut self.stream, shape.iter().product());
        let shape: Vec<i64> = shape.iter().map(|&size| i64::try_from(size).unwrap_or(0)).collect();
        let values = Tensor::f_from_slice(&values)?.f_mul_scalar(deviation)?;
        values.f_reshape(&shape)?.f_to_device(self.device)
    }

    fn push(&mut self, layer: &str, part: &str, role: Role, tensor: Tensor) -> usize {
        let tensor = tensor.set_requires_grad(true);
        self.parameters.push(Parameter {
            name: format!("{layer}.{part}"),
            layer: self.depth,
            role,
            tensor,
        });
        self.parameters.len() - 1
    }
}

#[cfg(test)]
mod tests;
