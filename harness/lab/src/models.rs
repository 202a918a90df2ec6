//! Network shapes: one file each, built by [`Builder`].

pub mod cnn;
pub mod gpt;
pub mod mlp;
pub mod resnet9;

use ledger::streams::Streams;
use rand_pcg::Pcg64;
use tch::{Device, Kind, TchError, Tensor};

use crate::init;
use crate::network::{Body, Layer, Network, Parameter, Role, channels_last};

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

    /// The network of `layers`.
    #[must_use]
    pub fn finish(self, layers: Vec<Layer>) -> Network {
        Network { parameters: self.parameters, buffers: self.buffers, body: Body::Layers(layers) }
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
