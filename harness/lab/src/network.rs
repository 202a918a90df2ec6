//! Networks as a list of layers over one list of named parameters.
//!
//! Convolutions keep their weights and activations in channels-last memory: the CPU kernels are
//! faster that way, and shapes stay N × C × H × W.

use crate::LabError;
use std::any::Any;
use std::sync::Arc;

use ledger::digest::Digest;
use sha2::{Digest as _, Sha256};
use tch::{Device, Kind, TchError, Tensor};

/// What a parameter is to its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Matrix of a linear layer or filter bank of a convolution.
    Weight,
    /// Bias of a layer.
    Bias,
    /// Scale or shift of a normalisation.
    Norm,
    /// Table of vectors, one per token or position.
    Embedding,
}

/// A trainable tensor.
#[derive(Debug)]
pub struct Parameter {
    /// Name, for example `fc1.weight`.
    pub name: String,
    /// Index of its layer among those with weights, from the input on.
    pub layer: usize,
    /// What it is to its layer.
    pub role: Role,
    /// The values.
    pub tensor: Tensor,
}

/// One step of the forward pass; numbers index [`Network::parameters`] or buffers.
#[derive(Debug, Clone)]
pub enum Layer {
    /// N × … → N × (product).
    Flatten,
    /// x Wᵀ + b.
    Linear {
        /// Index of W, out × in.
        weight: usize,
        /// Index of b.
        bias: usize,
    },
    /// x Wᵀ.
    Product {
        /// Index of W, out × in.
        weight: usize,
    },
    /// 2-D convolution, stride 1, padding that keeps the size.
    Conv {
        /// Index of the filters, out × in × k × k.
        weight: usize,
        /// Index of the bias, when there is no normalisation behind.
        bias: Option<usize>,
    },
    /// 2-D convolution without bias that halves height and width, rounded up: stride 2, padding k/2.
    HalvingConv {
        /// Index of the filters, out × in × k × k.
        weight: usize,
    },
    /// Batch normalisation over N, H, W; momentum 0.1, ε 1e-5.
    BatchNorm {
        /// Index of the scale.
        scale: usize,
        /// Index of the shift.
        shift: usize,
        /// Index of the running mean among the buffers; the running variance follows it.
        running: usize,
    },
    /// max(x, 0).
    Relu,
    /// tanh x.
    Tanh,
    /// GELU, x·Φ(x) by the error function.
    Gelu,
    /// 2 × 2 maximum, stride 2.
    MaxPool,
    /// Maximum over H and W, then flattened.
    GlobalMaxPool,
    /// Mean over H and W, then flattened.
    GlobalMeanPool,
    /// x + inner(x).
    Residual(Vec<Layer>),
    /// inner(x) plus every second row and column of x, with channels of 0 behind its own.
    HalvedResidual {
        /// Channels of 0 behind those of x.
        more: i64,
        /// What halves height and width, too.
        inner: Vec<Layer>,
    },
    /// N × C × H × W → N × H × (C·W): the rows of images as steps of a sequence.
    Rows,
    /// N × T × d → N × d: the last step.
    Last,
    /// x times a constant.
    Scale(f64),
    /// Tokens B × T (i64) → vectors B × T × (`length`·d): at each position those of the last
    /// `length` tokens, oldest first.
    Context {
        /// Index of the table; beyond a length of 1 its last row stands for what is before the
        /// first token.
        table: usize,
        /// Tokens at each position, itself included.
        length: i64,
    },
    /// Gated recurrent units over B × T × d from a state of 0, B × T × h.
    Gru {
        /// Index of the weights of inputs (3h × d); those of the state (3h × h) and the two biases
        /// (3h) follow. Parts are reset, update, new, as in PyTorch.
        first: usize,
    },
}

impl Layer {
    /// Index of the weight that inputs are multiplied with, of a linear layer or a convolution.
    fn product(&self) -> Option<usize> {
        match self {
            Self::Linear { weight, .. }
            | Self::Product { weight }
            | Self::Conv { weight, .. }
            | Self::HalvingConv { weight } => Some(*weight),
            _ => None,
        }
    }
}

/// How parameters make outputs.
#[derive(Debug, Clone)]
pub enum Body {
    /// One layer after another.
    Layers(Vec<Layer>),
    /// A forward pass of its own.
    Own(Arc<dyn Forward>),
    /// Takes a noise level beside its inputs.
    Denoiser(Arc<dyn Denoiser>),
    /// No forward pass: a table of numbers that a learner of its own keeps.
    Table,
}

/// A forward pass that is no list of layers. Which one it is, is for its module to ask ([`Any`]).
pub trait Forward: Any + std::fmt::Debug + Send + Sync {
    /// Outputs of a batch, as [`Network::forward`] gives them.
    ///
    /// # Errors
    /// When the inputs do not fit.
    fn forward(&self, network: &Network, inputs: &Tensor, train: bool) -> Result<Tensor, LabError>;
}

/// The forward pass of a network that takes a noise level.
pub trait Denoiser: std::fmt::Debug + Send + Sync {
    /// Outputs of the inputs' shape, B × …; `noise` is a number per example, shape B, or one for
    /// all, shape 1.
    ///
    /// # Errors
    /// When the inputs do not fit.
    fn run(&self, network: &Network, inputs: &Tensor, noise: &Tensor) -> Result<Tensor, LabError>;
}

/// Sits on the products of a network of [`Body::Layers`]: on what enters one and on what leaves it.
pub trait Tap: std::fmt::Debug + Send + Sync {
    /// What enters the product with the parameter at `weight` in place of `input`, of its shape.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn input(&self, weight: usize, input: &Tensor) -> Result<Tensor, TchError>;

    /// What leaves it in place of `output`: as a rule the same values with another gradient.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn output(&self, weight: usize, output: Tensor) -> Result<Tensor, TchError>;
}

/// A network: parameters, buffers and the body that uses them.
#[derive(Debug)]
pub struct Network {
    /// Trainable tensors, from the input on.
    pub parameters: Vec<Parameter>,
    /// Running statistics.
    pub buffers: Vec<Tensor>,
    /// The forward pass.
    pub body: Body,
    /// What sits on its products, if anything.
    pub tap: Option<Arc<dyn Tap>>,
}

impl Network {
    /// A network without a tap.
    #[must_use]
    pub fn new(parameters: Vec<Parameter>, buffers: Vec<Tensor>, body: Body) -> Self {
        Self { parameters, buffers, body, tap: None }
    }

    /// The same body over other parameters; it shares the buffers, so that running statistics reach both.
    #[must_use]
    pub fn over(&self, parameters: Vec<Parameter>) -> Self {
        let buffers = self.buffers.iter().map(Tensor::shallow_clone).collect();
        Self { parameters, buffers, body: self.body.clone(), tap: self.tap.clone() }
    }

    /// Number of layers with weights.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.layer + 1).max().unwrap_or(0)
    }

    /// Where it lives.
    #[must_use]
    pub fn device(&self) -> Device {
        let first = self.parameters.first().map(|parameter| &parameter.tensor);
        first.or(self.buffers.first()).map_or(Device::Cpu, Tensor::device)
    }

    /// A copy of values and body whose parameters are leaves of their own.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let parameters = self.parameters.iter().map(|parameter| {
            let tensor = tch::no_grad(|| parameter.tensor.detach().copy());
            Parameter {
                name: parameter.name.clone(),
                tensor: tensor.set_requires_grad(true),
                ..*parameter
            }
        });
        Self {
            parameters: parameters.collect(),
            buffers: self.buffers.iter().map(Tensor::copy).collect(),
            body: self.body.clone(),
            tap: self.tap.clone(),
        }
    }

    /// Outputs of a batch: logits N × classes, or N × T × V for tokens.
    ///
    /// # Errors
    /// When the input does not fit the first layer, or the body asks for more than inputs.
    pub fn forward(&self, inputs: &Tensor, train: bool) -> Result<Tensor, LabError> {
        match &self.body {
            Body::Layers(layers) => Ok(self.run(layers, inputs, train)?),
            Body::Own(body) => body.forward(self, inputs, train),
            Body::Denoiser(_) => Err(LabError::Network(
                "a denoiser takes a noise level beside its inputs".to_owned(),
            )),
            Body::Table => Err(LabError::Network("a table has no forward pass".to_owned())),
        }
    }

    /// Outputs of the inputs' shape, B × …, given a number per example (shape B, or 1 for all) that
    /// tells how noisy they are. Such networks have no statistics over a batch: training and
    /// evaluation are alike.
    ///
    /// # Errors
    /// When the inputs do not fit, or the network takes no noise level.
    pub fn denoise(&self, inputs: &Tensor, noise: &Tensor) -> Result<Tensor, LabError> {
        match &self.body {
            Body::Denoiser(body) => body.run(self, inputs, noise),
            _ => Err(LabError::Network("the network takes no noise level".to_owned())),
        }
    }

    /// Outputs of some layers of this network.
    pub fn run(&self, layers: &[Layer], inputs: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let mut hidden: Option<Tensor> = None;
        // Whether the backward pass of the layer before does without its output.
        let mut free = false;
        for layer in layers {
            if let (Layer::Relu, true, Some(x)) = (layer, free, &mut hidden) {
                let _ = x.f_relu_()?;
                free = false;
                continue;
            }
            free = matches!(
                layer,
                Layer::Linear { .. }
                    | Layer::Conv { .. }
                    | Layer::HalvingConv { .. }
                    | Layer::BatchNorm { .. }
            );
            let x = hidden.as_ref().unwrap_or(inputs);
            if let Some((tap, weight)) = self.tap.as_ref().zip(layer.product()) {
                let entering = tap.input(weight, x)?;
                hidden = Some(tap.output(weight, self.multiply(layer, &entering)?)?);
                free = false;
                continue;
            }
            hidden = Some(match layer {
                Layer::Flatten => x.f_flatten(1, -1)?,
                Layer::Product { .. }
                | Layer::Linear { .. }
                | Layer::Conv { .. }
                | Layer::HalvingConv { .. } => self.multiply(layer, x)?,
                Layer::BatchNorm { scale, shift, running } => x.f_batch_norm(
                    Some(self.at(*scale)),
                    Some(self.at(*shift)),
                    Some(&self.buffers[*running]),
                    Some(&self.buffers[*running + 1]),
                    train,
                    0.1,
                    1e-5,
                    true,
                )?,
                Layer::Relu => x.f_relu()?,
                Layer::Tanh => x.f_tanh()?,
                Layer::Gelu => x.f_gelu("none")?,
                Layer::MaxPool => x.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?,
                Layer::GlobalMaxPool => x.f_amax([2, 3], false)?,
                Layer::GlobalMeanPool => x.f_mean_dim([2, 3].as_slice(), false, x.kind())?,
                Layer::Residual(inner) => x.f_add(&self.run(inner, x, train)?)?,
                Layer::HalvedResidual { more, inner } => {
                    halved(x, *more)?.f_add(&self.run(inner, x, train)?)?
                }
                Layer::Rows => x.f_permute([0, 2, 1, 3])?.f_flatten(2, 3)?,
                Layer::Last => x.f_select(1, -1)?,
                Layer::Scale(factor) => x.f_mul_scalar(*factor)?,
                Layer::Context { table, length } => context(self.at(*table), *length, x)?,
                Layer::Gru { first } => {
                    let weights: Vec<_> = (*first..first + 4).map(|index| self.at(index)).collect();
                    let width = weights[1].size().last().copied().unwrap_or(0);
                    let batch = x.size().first().copied().unwrap_or(0);
                    let state = Tensor::f_zeros([1, batch, width], (x.kind(), x.device()))?;
                    x.f_gru(&state, &weights, true, 1, 0.0, train, false, true)?.0
                }
            });
        }
        Ok(hidden.unwrap_or_else(|| inputs.shallow_clone()))
    }

    /// Output of a layer that is a product; other layers return their input.
    fn multiply(&self, layer: &Layer, x: &Tensor) -> Result<Tensor, TchError> {
        match layer {
            Layer::Product { weight } => x.f_linear::<Tensor>(self.at(*weight), None),
            Layer::Linear { weight, bias } => x.f_linear(self.at(*weight), Some(self.at(*bias))),
            Layer::Conv { weight, bias } => {
                let weight = self.at(*weight);
                let padding = weight.size().last().map_or(0, |width| width / 2);
                let bias = bias.map(|bias| self.at(bias));
                x.f_conv2d(weight, bias, [1, 1], [padding, padding], [1, 1], 1)
            }
            Layer::HalvingConv { weight } => {
                let weight = self.at(*weight);
                let padding = weight.size().last().map_or(0, |width| width / 2);
                x.f_conv2d::<Tensor>(weight, None, [2, 2], [padding, padding], [1, 1], 1)
            }
            _ => Ok(x.shallow_clone()),
        }
    }

    /// Values of the parameter at `index`.
    pub fn at(&self, index: usize) -> &Tensor {
        &self.parameters[index].tensor
    }

    /// SHA-256 over the values of parameters, then buffers, as f32 little-endian in logical order. Values of other
    /// kinds, in buffers, are rounded to f32 first: whole numbers beyond 2^24, and doubles, may differ and digest alike.
    ///
    /// # Errors
    /// When values cannot be copied to the host.
    pub fn digest(&self) -> Result<Digest, TchError> {
        let mut hasher = Sha256::new();
        let tensors = self.parameters.iter().map(|parameter| &parameter.tensor);
        for tensor in tensors.chain(&self.buffers) {
            for value in values(tensor)? {
                hasher.update(value.to_le_bytes());
            }
        }
        Ok(Digest(hasher.finalize().into()))
    }

    /// Copies of all parameters and buffers.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Tensor> {
        let tensors = self.parameters.iter().map(|parameter| &parameter.tensor);
        tch::no_grad(|| tensors.chain(&self.buffers).map(|tensor| tensor.detach().copy()).collect())
    }

    /// Puts `weights`, one per parameter, in place of the parameters' values; returns these.
    ///
    /// # Errors
    /// When the shapes are those of another network.
    pub fn exchange(&mut self, weights: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
        tch::no_grad(|| {
            let mut before = Vec::with_capacity(weights.len());
            for (parameter, weight) in self.parameters.iter_mut().zip(weights) {
                before.push(parameter.tensor.detach().copy());
                parameter.tensor.f_copy_(weight)?;
            }
            Ok(before)
        })
    }

    /// Puts a [`Network::snapshot`] back, bit for bit.
    ///
    /// # Errors
    /// When the snapshot is of another network.
    pub fn restore(&mut self, snapshot: &[Tensor]) -> Result<(), TchError> {
        let tensors = self.parameters.iter_mut().map(|parameter| &mut parameter.tensor);
        tch::no_grad(|| {
            for (tensor, saved) in tensors.chain(&mut self.buffers).zip(snapshot) {
                tensor.f_copy_(saved)?;
            }
            Ok(())
        })
    }
}

/// Every second row and column of images N × C × H × W, with `more` channels of 0 behind theirs.
fn halved(x: &Tensor, more: i64) -> Result<Tensor, TchError> {
    let half = x.f_slice(2, None, None, 2)?.f_slice(3, None, None, 2)?;
    half.f_constant_pad_nd([0, 0, 0, 0, 0, more])
}

/// Vectors of the last `length` tokens at each position, side by side.
fn context(table: &Tensor, length: i64, tokens: &Tensor) -> Result<Tensor, TchError> {
    let gather = |tokens: &Tensor| Tensor::f_embedding(table, tokens, -1, false, false);
    if length == 1 {
        return gather(tokens);
    }
    let (batch, positions) = tokens.size2()?;
    let (rows, _) = table.size2()?;
    let border = Tensor::f_full([batch, length - 1], rows - 1, (Kind::Int64, tokens.device()))?;
    let seen = Tensor::f_cat(&[&border, tokens], 1)?.f_unfold(1, length, 1)?;
    gather(&seen)?.f_reshape([batch, positions, -1])
}

/// Values of a tensor in logical order, on the host.
///
/// # Errors
/// When they cannot be copied.
pub fn values(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    let flat = tensor.detach().f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    Vec::<f32>::try_from(&flat.f_view([-1])?)
}

/// The same values in channels-last memory; other than 4-D tensors are returned as they are.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn channels_last(tensor: &Tensor) -> Result<Tensor, TchError> {
    if tensor.dim() == 4 {
        tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
    } else {
        Ok(tensor.shallow_clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp::mlp;
    use crate::trial;

    fn inputs() -> Tensor {
        (Tensor::arange(12, (Kind::Float, Device::Cpu)).reshape([3, 4]) * 0.7).sin()
    }

    #[test]
    fn relu_in_place_leaves_logits_and_gradients_bit_for_bit() {
        let network = mlp(&[4, 5, 6, 3], &trial::streams(), Device::Cpu).unwrap();
        let tensors: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let plain = |x: &Tensor| {
            let x = x.linear(tensors[0], Some(tensors[1])).relu();
            let x = x.linear(tensors[2], Some(tensors[3])).relu();
            x.linear(tensors[4], Some(tensors[5]))
        };
        let trace = |logits: Tensor| {
            let gradients =
                Tensor::run_backward(&[logits.square().sum(None)], &tensors, false, false);
            let all = gradients.iter().map(|gradient| values(gradient).unwrap());
            (values(&logits).unwrap(), all.collect::<Vec<_>>())
        };
        let ours = network.forward(&inputs(), true).unwrap();
        assert_eq!(trace(ours), trace(plain(&inputs())));
    }

    #[test]
    fn forward_leaves_its_inputs_as_they_are() {
        let layers = vec![Layer::Flatten, Layer::Relu];
        let body = Body::Layers(layers);
        let network = Network::new(vec![], vec![], body);
        let inputs = inputs();
        let outputs = network.forward(&inputs, true).unwrap();
        assert!(outputs.min().double_value(&[]) >= 0.0);
        assert!(inputs.min().double_value(&[]) < 0.0);
    }
}
