//! A small GPT: pre-LN transformer decoder with learned positions and an untied head.
//!
//! Tokens and positions are embedded and added; each block adds causal multi-head attention and
//! an MLP of width 4d (or another), both behind a layer normalisation (ε 1e-5); GELU is GPT-2's tanh form; a
//! last normalisation and a linear head with bias give the logits. No dropout, no tied weights.
//!
//! Initial values follow GPT-2 (Radford et al. 2019; openai/gpt-2 and the code of its successors):
//! matrices and both tables are N(0, 0.02²), the two matrices of a block that end in the residual
//! stream N(0, 0.02²/2L) for L blocks, biases 0, scales 1, shifts 0. They are drawn from the `init`
//! stream in the order of the parameters.
//!
//! A row of several contexts' length is a pack: it is read context by context, each by itself, so
//! that nothing is attended to across its parts. Other rows longer than the context are refused.
//!
//! Rows of a batch are independent and the mask is causal, so that a shorter row is padded on its
//! right with any valid token: what stands before the padding does not depend on it.

use std::any::Any;
use std::sync::Arc;

use ledger::streams::{self, Streams};
use rand_pcg::Pcg64;
use tch::{Device, Kind, TchError, Tensor};

use crate::LabError;
use crate::kernels::gpt as fused;
use crate::network::{Body, Forward, Network, Parameter, Role};

/// ε of the layer normalisations.
pub const EPSILON: f64 = 1e-5;
/// Standard deviation of initial weights.
const DEVIATION: f64 = 0.02;
/// Parameters of a block.
const PER_BLOCK: usize = 12;

/// Sizes of a [`gpt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Number of tokens, V.
    pub vocabulary: usize,
    /// Largest number of positions.
    pub context: usize,
    /// Width of the residual stream, d; a multiple of `heads`.
    pub width: usize,
    /// Number of blocks, L.
    pub depth: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Width of the MLPs, 4d in GPT-2.
    pub hidden: usize,
}

impl Shape {
    /// d = 64, 2 blocks, 4 heads: 107,296 parameters at V = 32 and a context of 48.
    #[must_use]
    pub fn xs(vocabulary: usize, context: usize) -> Self {
        Self { vocabulary, context, width: 64, depth: 2, heads: 4, hidden: 256 }
    }

    /// d = 128, 2 blocks, 4 heads.
    #[must_use]
    pub fn s(vocabulary: usize, context: usize) -> Self {
        Self { vocabulary, context, width: 128, depth: 2, heads: 4, hidden: 512 }
    }

    /// d = 128, 4 blocks, 4 heads.
    #[must_use]
    pub fn m(vocabulary: usize, context: usize) -> Self {
        Self { vocabulary, context, width: 128, depth: 4, heads: 4, hidden: 512 }
    }
}

/// How attention and normalisations are computed.
#[derive(Debug, Clone, Copy)]
enum Operations<'a> {
    /// By libtorch's kernels. On the CPU attention has no second derivative; the third of a
    /// normalisation is wrong, for the second takes its mean and deviation for constants.
    Kernel,
    /// The same, where a token sees what this says, B × 1 × T × T.
    Masked(&'a Tensor),
    /// By libtorch's kernels, queries and keys turned by these cosines and sines, T × d / heads.
    Turned(&'a [Tensor; 2]),
    /// By products and means, whose derivatives of every order are right.
    Products,
}

/// Indices of a block's parameters in [`Network::parameters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Scale and shift of the normalisation before attention, each d.
    pub attention_norm: [usize; 2],
    /// Weight (3d × d; queries, keys, values, each by heads) and bias (3d).
    pub qkv: [usize; 2],
    /// Weight (d × d) and bias (d) behind the attention.
    pub out: [usize; 2],
    /// Scale and shift of the normalisation before the MLP, each d.
    pub mlp_norm: [usize; 2],
    /// Weight (hidden × d) and bias (hidden).
    pub up: [usize; 2],
    /// Weight (d × hidden) and bias (d).
    pub down: [usize; 2],
}

/// The forward pass of a GPT over the first [`Gpt::parameters`] parameters of a network; a method
/// may append others of its own.
///
/// Roles: matrices and the head are weights, the two tables [`Role::Embedding`] (which neither
/// pruning nor Muon touches). Layers: 0 the tables, 1 to L the blocks, L + 1 the last normalisation
/// and the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gpt {
    /// Sizes.
    pub shape: Shape,
    /// Whether a position sees only itself and those before it.
    pub causal: bool,
}

impl Forward for Gpt {
    fn forward(&self, network: &Network, tokens: &Tensor, _: bool) -> Result<Tensor, LabError> {
        Ok(self.forward(network, tokens)?)
    }
}

impl Gpt {
    /// Index of the table of tokens, V × d.
    pub const TOKENS: usize = 0;
    /// Index of the table of positions, context × d.
    pub const POSITIONS: usize = 1;

    /// The transformer of `network`, for what needs more of it than logits.
    ///
    /// # Errors
    /// When this is another network.
    pub fn of(network: &Network) -> Result<&Self, LabError> {
        let gpt = match &network.body {
            Body::Own(body) => (body.as_ref() as &dyn Any).downcast_ref(),
            _ => None,
        };
        gpt.ok_or_else(|| LabError::Network("the network is no transformer".to_owned()))
    }

    /// Number of parameter tensors.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.norm()[1] + 3
    }

    /// Indices of block `index`, from 0.
    #[must_use]
    pub fn block(&self, index: usize) -> Block {
        let start = 2 + PER_BLOCK * index;
        let pair = |offset: usize| [start + offset, start + offset + 1];
        Block {
            attention_norm: pair(0),
            qkv: pair(2),
            out: pair(4),
            mlp_norm: pair(6),
            up: pair(8),
            down: pair(10),
        }
    }

    /// Indices of the scale and shift of the last normalisation.
    #[must_use]
    pub fn norm(&self) -> [usize; 2] {
        let start = 2 + PER_BLOCK * self.shape.depth;
        [start, start + 1]
    }

    /// Indices of the head's weight (V × d) and bias (V).
    #[must_use]
    pub fn head(&self) -> [usize; 2] {
        let [_, shift] = self.norm();
        [shift + 1, shift + 2]
    }

    /// Sizes of all parameters, in their order.
    pub fn sizes(&self) -> impl Iterator<Item = Vec<i64>> {
        let Shape { vocabulary, context, width, depth, hidden, .. } = self.shape;
        let [v, c, d, h] = [vocabulary, context, width, hidden].map(size);
        let block = [
            vec![d],
            vec![d],
            vec![3 * d, d],
            vec![3 * d],
            vec![d, d],
            vec![d],
            vec![d],
            vec![d],
            vec![h, d],
            vec![h],
            vec![d, h],
            vec![d],
        ];
        [vec![v, d], vec![c, d]]
            .into_iter()
            .chain((0..depth).flat_map(move |_| block.clone()))
            .chain([vec![d], vec![d], vec![v, d], vec![v]])
    }

    /// Logits B × T × V of tokens B × T (i64).
    ///
    /// On the CPU, widths that are multiples of 16 go through the fused loops of
    /// [`kernels::gpt`](crate::kernels::gpt), which have first derivatives only; everything else,
    /// and [`Gpt::plain`], through libtorch's operations.
    ///
    /// # Errors
    /// When T exceeds the context or a token the vocabulary.
    pub fn forward(&self, network: &Network, tokens: &Tensor) -> Result<Tensor, TchError> {
        let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        self.forward_with(&weights, tokens)
    }

    /// [`Gpt::forward`] with other values in place of the parameters, one per parameter in their
    /// order, for example adapted or averaged ones.
    ///
    /// # Errors
    /// When T exceeds the context or a token the vocabulary.
    pub fn forward_with(&self, weights: &[&Tensor], tokens: &Tensor) -> Result<Tensor, TchError> {
        let parts = self.parts(tokens)?;
        let logits = if fused::fits(self, weights) {
            fused::forward(fused::Loops::best(), self, weights, &parts, true)?
        } else {
            let [weight, bias] = self.head();
            self.of_parts(weights, &parts, Operations::Kernel)?
                .f_linear(weights[weight], Some(weights[bias]))?
        };
        joined(logits, tokens)
    }

    /// Hidden states B × T × d behind the last normalisation, for tokens B × T (i64): the inputs of
    /// the head, and of a value head.
    ///
    /// # Errors
    /// When T exceeds the context or a token the vocabulary.
    pub fn hidden(&self, network: &Network, tokens: &Tensor) -> Result<Tensor, TchError> {
        let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        self.hidden_with(&weights, tokens)
    }

    /// [`Gpt::hidden`] with other values in place of the parameters.
    ///
    /// # Errors
    /// When T exceeds the context or a token the vocabulary.
    pub fn hidden_with(&self, weights: &[&Tensor], tokens: &Tensor) -> Result<Tensor, TchError> {
        if fused::fits(self, weights) {
            let parts = self.parts(tokens)?;
            let hidden = fused::forward(fused::Loops::best(), self, weights, &parts, false)?;
            return joined(hidden, tokens);
        }
        self.plain(weights, tokens)
    }

    /// [`Gpt::hidden_with`] by libtorch's operations on any device: what the fused loops are checked
    /// against. First derivatives only, on the CPU: its attention kernel has no second ones there.
    ///
    /// # Errors
    /// When T exceeds the context or a token the vocabulary.
    pub fn plain(&self, weights: &[&Tensor], tokens: &Tensor) -> Result<Tensor, TchError> {
        joined(self.of_parts(weights, &self.parts(tokens)?, Operations::Kernel)?, tokens)
    }

    /// [`Gpt::plain`] with derivatives of every order; the last bits may differ.
    ///
    /// # Errors
    /// When T exceeds the context or a token the vocabulary.
    pub fn smooth(&self, weights: &[&Tensor], tokens: &Tensor) -> Result<Tensor, TchError> {
        joined(self.of_parts(weights, &self.parts(tokens)?, Operations::Products)?, tokens)
    }

    /// Hidden states B × T × d of tokens B × T (i64) that stand at `positions`, B × T (i64), and see what `seen` says, B × T
    /// × T (boolean; each at least itself): [`Gpt::plain`] is that of positions in turn, each of which sees itself and
    /// those before.
    ///
    /// # Errors
    /// When a position exceeds the context or a token the vocabulary.
    pub fn arranged(
        &self,
        weights: &[&Tensor],
        tokens: &Tensor,
        positions: &Tensor,
        seen: &Tensor,
    ) -> Result<Tensor, TchError> {
        self.embedded(weights, Self::vectors(weights, tokens, positions)?, Some(seen))
    }

    /// Vectors B × T × d of tokens at positions, both B × T (i64); positions may be of one row for all.
    ///
    /// # Errors
    /// When a position exceeds the context or a token the vocabulary.
    pub fn vectors(
        weights: &[&Tensor],
        tokens: &Tensor,
        positions: &Tensor,
    ) -> Result<Tensor, TchError> {
        let rows =
            |table: usize, of: &Tensor| Tensor::f_embedding(weights[table], of, -1, false, false);
        rows(Self::TOKENS, tokens)?.f_add(&rows(Self::POSITIONS, positions)?)
    }

    /// Hidden states B × T × d of vectors B × T × d in place of those of tokens and positions, which see what `seen` says, B × T
    /// × T, or else themselves and those before.
    ///
    /// # Errors
    /// When the vectors are not of this width.
    pub fn embedded(
        &self,
        weights: &[&Tensor],
        mut x: Tensor,
        seen: Option<&Tensor>,
    ) -> Result<Tensor, TchError> {
        let seen = seen.map(|seen| seen.f_unsqueeze(1)).transpose()?;
        let operations = seen.as_ref().map_or(Operations::Kernel, Operations::Masked);
        for index in 0..self.shape.depth {
            x = self.apply_block(self.block(index), weights, &x, operations)?;
        }
        self.normalise(self.norm(), weights, &x, operations)
    }

    /// Hidden states B × T × d of tokens B × T (i64) without positions of their own, whose queries and keys are turned by
    /// these cosines and sines instead, T × d / heads each.
    ///
    /// # Errors
    /// When a token exceeds the vocabulary, or the turns are not of this shape.
    pub fn turned(
        &self,
        weights: &[&Tensor],
        tokens: &Tensor,
        turns: &[Tensor; 2],
    ) -> Result<Tensor, TchError> {
        let mut x = Tensor::f_embedding(weights[Self::TOKENS], tokens, -1, false, false)?;
        for index in 0..self.shape.depth {
            x = self.apply_block(self.block(index), weights, &x, Operations::Turned(turns))?;
        }
        self.normalise(self.norm(), weights, &x, Operations::Turned(turns))
    }

    /// One block on hidden states B × T × d, of which each sees what `seen` says, B × T × T or one for all (boolean; each at
    /// least itself).
    ///
    /// # Errors
    /// When the states are not of this width.
    pub fn block_seeing(
        &self,
        index: usize,
        weights: &[&Tensor],
        x: &Tensor,
        seen: &Tensor,
    ) -> Result<Tensor, TchError> {
        let seen = seen.f_unsqueeze(1)?;
        self.apply_block(self.block(index), weights, x, Operations::Masked(&seen))
    }

    /// The last normalisation of hidden states … × d.
    ///
    /// # Errors
    /// When the states are not of this width.
    pub fn normed(&self, weights: &[&Tensor], x: &Tensor) -> Result<Tensor, TchError> {
        self.normalise(self.norm(), weights, x, Operations::Kernel)
    }

    /// Rows of several contexts' length as rows of one; others as they are.
    fn parts(&self, tokens: &Tensor) -> Result<Tensor, TchError> {
        let context = size(self.shape.context).max(1);
        let length = tokens.size().last().copied().unwrap_or(0);
        if length > context && length % context == 0 {
            tokens.f_reshape([-1, context])
        } else {
            Ok(tokens.shallow_clone())
        }
    }

    /// [`Gpt::plain`] of rows within the context.
    fn of_parts(
        &self,
        weights: &[&Tensor],
        tokens: &Tensor,
        operations: Operations<'_>,
    ) -> Result<Tensor, TchError> {
        let length = tokens.size().last().copied().unwrap_or(0);
        let mut x = Tensor::f_embedding(weights[Self::TOKENS], tokens, -1, false, false)?
            .f_add(&weights[Self::POSITIONS].f_narrow(0, 0, length)?)?;
        for index in 0..self.shape.depth {
            x = self.apply_block(self.block(index), weights, &x, operations)?;
        }
        self.normalise(self.norm(), weights, &x, operations)
    }

    /// Logits … × V of hidden states … × d: of all positions, or of those selected.
    ///
    /// # Errors
    /// When the states are not of this width.
    pub fn logits(&self, network: &Network, hidden: &Tensor) -> Result<Tensor, TchError> {
        let [weight, bias] = self.head().map(|index| network.at(index));
        hidden.f_linear(weight, Some(bias))
    }

    fn normalise(
        &self,
        [scale, shift]: [usize; 2],
        weights: &[&Tensor],
        x: &Tensor,
        operations: Operations<'_>,
    ) -> Result<Tensor, TchError> {
        let (scale, shift) = (weights[scale], weights[shift]);
        match operations {
            Operations::Kernel | Operations::Masked(_) | Operations::Turned(_) => {
                let width = [size(self.shape.width)];
                x.f_layer_norm(width, Some(scale), Some(shift), EPSILON, false)
            }
            Operations::Products => {
                let last = [-1].as_slice();
                let away = x.f_sub(&x.f_mean_dim(last, true, x.kind())?)?;
                let variance = away.f_square()?.f_mean_dim(last, true, x.kind())?;
                let unit = away.f_mul(&variance.f_add_scalar(EPSILON)?.f_rsqrt()?)?;
                unit.f_mul(scale)?.f_add(shift)
            }
        }
    }

    /// x + attention(norm(x)), then the same with the MLP.
    fn apply_block(
        &self,
        block: Block,
        weights: &[&Tensor],
        x: &Tensor,
        operations: Operations<'_>,
    ) -> Result<Tensor, TchError> {
        let linear = |x: &Tensor, [w, b]: [usize; 2]| x.f_linear(weights[w], Some(weights[b]));
        let qkv =
            linear(&self.normalise(block.attention_norm, weights, x, operations)?, block.qkv)?;
        let x = x.f_add(&linear(&self.attend(&qkv, operations)?, block.out)?)?;
        let up = linear(&self.normalise(block.mlp_norm, weights, &x, operations)?, block.up)?;
        x.f_add(&linear(&up.f_gelu("tanh")?, block.down)?)
    }

    /// B × T × 3d → B × T × d.
    fn attend(&self, qkv: &Tensor, operations: Operations<'_>) -> Result<Tensor, TchError> {
        let (batch, length, _) = qkv.size3()?;
        let (heads, width) = (size(self.shape.heads), size(self.shape.width));
        let parts =
            qkv.f_view([batch, length, 3, heads, width / heads])?.f_permute([2, 0, 3, 1, 4])?;
        let [q, k, v] = [0, 1, 2].map(|part| parts.f_select(0, part));
        let none = None::<Tensor>;
        let (q, k, v, causal) = (q?, k?, v?, self.causal);
        let heads = match operations {
            Operations::Kernel => {
                Tensor::f_scaled_dot_product_attention(&q, &k, &v, none, 0.0, causal, None, false)?
            }
            Operations::Turned(turns) => {
                let [q, k] = [turned(&q, turns)?, turned(&k, turns)?];
                Tensor::f_scaled_dot_product_attention(&q, &k, &v, none, 0.0, causal, None, false)?
            }
            Operations::Masked(seen) => {
                let seen = Some(seen);
                Tensor::f_scaled_dot_product_attention(&q, &k, &v, seen, 0.0, false, None, false)?
            }
            Operations::Products => {
                let (none, mask) = (None::<Tensor>, None::<Tensor>);
                Tensor::f_internal_scaled_dot_product_attention_math(
                    &q, &k, &v, none, 0.0, causal, mask, None, false,
                )?
                .0
            }
        };
        heads.f_transpose(1, 2)?.f_reshape([batch, length, width])
    }
}

/// Turns each pair (i, i + half) of a head.
fn turned(x: &Tensor, [cos, sin]: &[Tensor; 2]) -> Result<Tensor, TchError> {
    let halves = x.f_chunk(2, -1)?;
    let across = Tensor::f_cat(&[&halves[1].f_neg()?, &halves[0]], -1)?;
    x.f_mul(cos)?.f_add(&across.f_mul(sin)?)
}

/// What was made of [`Gpt::parts`] of `tokens`, B × T, as rows of theirs: B × T × ….
fn joined(outputs: Tensor, tokens: &Tensor) -> Result<Tensor, TchError> {
    let (rows, length) = tokens.size2()?;
    if outputs.size().get(1) == Some(&length) {
        return Ok(outputs);
    }
    outputs.f_reshape([rows, length, -1])
}

/// A GPT whose positions see themselves and those before.
///
/// # Errors
/// When the width is no multiple of the number of heads, or libtorch cannot allocate.
pub fn gpt(shape: Shape, streams: &Streams, device: Device) -> Result<Network, LabError> {
    build(Gpt { shape, causal: true }, streams, device)
}

/// The same network with attention over all positions in both directions.
///
/// # Errors
/// When the width is no multiple of the number of heads, or libtorch cannot allocate.
pub fn bidirectional(shape: Shape, streams: &Streams, device: Device) -> Result<Network, LabError> {
    build(Gpt { shape, causal: false }, streams, device)
}

fn build(gpt: Gpt, streams: &Streams, device: Device) -> Result<Network, LabError> {
    let Shape { vocabulary, context, width, depth, heads, hidden } = gpt.shape;
    if heads == 0 || width % heads != 0 {
        let message = format!("width {width} is no multiple of {heads} heads");
        return Err(LabError::Network(message));
    }
    let mut parameters =
        Parameters { stream: streams.generator("init"), device, layer: 0, list: Vec::new() };
    let residual = DEVIATION / (2.0 * depth as f64).sqrt();
    parameters.normal("tokens.weight", Role::Embedding, [vocabulary, width], DEVIATION)?;
    parameters.normal("positions.weight", Role::Embedding, [context, width], DEVIATION)?;
    for index in 0..depth {
        parameters.layer += 1;
        let name = |part: &str| format!("block{}.{part}", index + 1);
        parameters.norm(&name("attention.norm"), width)?;
        parameters.linear(&name("attention.qkv"), width, 3 * width, DEVIATION)?;
        parameters.linear(&name("attention.out"), width, width, residual)?;
        parameters.norm(&name("mlp.norm"), width)?;
        parameters.linear(&name("mlp.up"), width, hidden, DEVIATION)?;
        parameters.linear(&name("mlp.down"), hidden, width, residual)?;
    }
    parameters.layer += 1;
    parameters.norm("norm", width)?;
    parameters.linear("head", width, vocabulary, DEVIATION)?;
    Ok(Network::new(parameters.list, Vec::new(), Body::Own(Arc::new(gpt))))
}

/// Parameters under construction.
struct Parameters {
    stream: Pcg64,
    device: Device,
    layer: usize,
    list: Vec<Parameter>,
}

impl Parameters {
    fn linear(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        deviation: f64,
    ) -> Result<(), TchError> {
        self.normal(&format!("{name}.weight"), Role::Weight, [outputs, inputs], deviation)?;
        let bias = Tensor::f_zeros([size(outputs)], (Kind::Float, self.device))?;
        self.push(format!("{name}.bias"), Role::Bias, bias);
        Ok(())
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<(), TchError> {
        let options = (Kind::Float, self.device);
        let (ones, zeros) =
            (Tensor::f_ones([size(width)], options)?, Tensor::f_zeros([size(width)], options)?);
        self.push(format!("{name}.scale"), Role::Norm, ones);
        self.push(format!("{name}.shift"), Role::Norm, zeros);
        Ok(())
    }

    fn normal(
        &mut self,
        name: &str,
        role: Role,
        [rows, columns]: [usize; 2],
        deviation: f64,
    ) -> Result<(), TchError> {
        let values = streams::normal(&mut self.stream, rows * columns);
        let tensor = Tensor::f_from_slice(&values)?
            .f_mul_scalar(deviation)?
            .f_reshape([size(rows), size(columns)])?
            .f_to_device(self.device)?;
        self.push(name.to_owned(), role, tensor);
        Ok(())
    }

    fn push(&mut self, name: String, role: Role, tensor: Tensor) {
        let tensor = tensor.set_requires_grad(true);
        self.list.push(Parameter { name, layer: self.layer, role, tensor });
    }
}

fn size(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial;

    const SHAPE: Shape =
        Shape { vocabulary: 11, context: 9, width: 16, depth: 2, heads: 4, hidden: 64 };

    fn tokens(batch: i64, length: i64) -> Tensor {
        let ids = Tensor::arange(batch * length, (Kind::Int64, Device::Cpu));
        (&ids * &ids * 7 + &ids * 3).remainder(11).view([batch, length])
    }

    fn network() -> Network {
        gpt(SHAPE, &trial::streams(), Device::Cpu).unwrap()
    }

    fn distance(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn the_small_size_has_107_296_parameters() {
        let network = gpt(Shape::xs(32, 48), &trial::streams(), Device::Cpu).unwrap();
        let counts = network.parameters.iter().map(|p| p.tensor.numel());
        assert_eq!(counts.sum::<usize>(), 107_296);
    }

    #[test]
    fn names_roles_and_layers_follow_the_indices() {
        let network = network();
        let gpt = *Gpt::of(&network).unwrap();
        assert_eq!(network.parameters.len(), gpt.parameters());
        assert_eq!(network.depth(), 4);
        let named = |index: usize| {
            let Parameter { name, role, layer, tensor } = &network.parameters[index];
            (name.as_str(), *role, *layer, tensor.size())
        };
        let block = gpt.block(1);
        assert_eq!(named(Gpt::TOKENS), ("tokens.weight", Role::Embedding, 0, vec![11, 16]));
        assert_eq!(named(Gpt::POSITIONS), ("positions.weight", Role::Embedding, 0, vec![9, 16]));
        assert_eq!(
            named(block.attention_norm[1]),
            ("block2.attention.norm.shift", Role::Norm, 2, vec![16])
        );
        assert_eq!(
            named(block.qkv[0]),
            ("block2.attention.qkv.weight", Role::Weight, 2, vec![48, 16])
        );
        assert_eq!(named(block.out[1]), ("block2.attention.out.bias", Role::Bias, 2, vec![16]));
        assert_eq!(named(block.mlp_norm[0]), ("block2.mlp.norm.scale", Role::Norm, 2, vec![16]));
        assert_eq!(named(block.up[0]), ("block2.mlp.up.weight", Role::Weight, 2, vec![64, 16]));
        assert_eq!(named(block.down[0]), ("block2.mlp.down.weight", Role::Weight, 2, vec![16, 64]));
        assert_eq!(named(gpt.norm()[0]), ("norm.scale", Role::Norm, 3, vec![16]));
        assert_eq!(named(gpt.head()[0]), ("head.weight", Role::Weight, 3, vec![11, 16]));
        assert_eq!(named(gpt.head()[1]), ("head.bias", Role::Bias, 3, vec![11]));
    }

    #[test]
    fn initial_values_have_the_deviations_of_gpt_2() {
        let network = gpt(Shape::m(32, 48), &trial::streams(), Device::Cpu).unwrap();
        let gpt = *Gpt::of(&network).unwrap();
        let deviation = |index: usize| network.at(index).std(true).double_value(&[]);
        for index in [Gpt::TOKENS, gpt.block(3).qkv[0], gpt.block(0).up[0], gpt.head()[0]] {
            assert!((deviation(index) / 0.02 - 1.0).abs() < 0.05, "{index}");
        }
        for index in [gpt.block(3).out[0], gpt.block(0).down[0]] {
            assert!((deviation(index) / (0.02 / 8_f64.sqrt()) - 1.0).abs() < 0.05, "{index}");
        }
        assert_eq!(network.at(gpt.block(2).up[1]).abs().max().double_value(&[]), 0.0);
        assert_eq!(network.at(gpt.norm()[0]).min().double_value(&[]), 1.0);
    }

    #[test]
    fn a_fresh_network_predicts_almost_uniformly() {
        let logits = network().forward(&tokens(3, 9), true).unwrap();
        assert_eq!(logits.size(), [3, 9, 11]);
        let loss = logits.view([-1, 11]).cross_entropy_for_logits(&tokens(3, 9).view([-1]));
        assert!((loss.double_value(&[]) - 11_f64.ln()).abs() < 0.08);
    }

    #[test]
    fn a_position_sees_none_that_comes_after_it() {
        let network = network();
        let (all, part) = (tokens(2, 9), tokens(2, 9).narrow(1, 0, 5));
        let whole = network.forward(&all, false).unwrap().narrow(1, 0, 5);
        assert!(distance(&whole, &network.forward(&part, false).unwrap()) < 1e-6);
        let changed = all.copy();
        let _ = changed.narrow(1, 5, 4).fill_(1);
        let changed = network.forward(&changed, false).unwrap().narrow(1, 0, 5);
        assert!(distance(&whole, &changed) < 1e-6);
    }

    #[test]
    fn a_row_of_two_contexts_is_two_rows_and_any_other_longer_one_is_refused() {
        let network = network();
        let pack = tokens(2, 18);
        let apart = network.forward(&pack.view([4, 9]), true).unwrap();
        let packed = network.forward(&pack, true).unwrap();
        assert_eq!(packed.size(), [2, 18, 11]);
        assert_eq!(values(&packed).unwrap(), values(&apart).unwrap());
        let gpt = Gpt::of(&network).unwrap();
        let hidden = gpt.hidden(&network, &pack).unwrap();
        assert_eq!(distance(&gpt.logits(&network, &hidden).unwrap(), &packed), 0.0);
        for length in [10, 17, 19] {
            assert!(network.forward(&tokens(1, length), true).is_err(), "{length}");
        }
    }

    #[test]
    fn both_directions_are_seen_when_asked_for() {
        let network = bidirectional(SHAPE, &trial::streams(), Device::Cpu).unwrap();
        let all = tokens(2, 9);
        let changed = all.copy();
        let _ = changed.narrow(1, 8, 1).fill_(1);
        let [a, b] = [all, changed].map(|t| network.forward(&t, false).unwrap().narrow(1, 0, 1));
        assert!(distance(&a, &b) > 1e-5);
    }

    #[test]
    fn logits_of_selected_states_are_those_of_the_whole_batch() {
        let network = network();
        let gpt = *Gpt::of(&network).unwrap();
        let hidden = gpt.hidden(&network, &tokens(2, 6)).unwrap();
        let some = gpt.logits(&network, &hidden.select(1, 4)).unwrap();
        let all = network.forward(&tokens(2, 6), false).unwrap();
        assert!(distance(&some, &all.select(1, 4)) < 1e-6);
    }

    #[test]
    fn forward_is_the_textbook_transformer() {
        // Written out with softmax and means, in double precision.
        let network = network();
        let p: Vec<_> = network.parameters.iter().map(|p| p.tensor.to_kind(Kind::Double)).collect();
        let norm = |x: &Tensor, g: usize| {
            let centred = x - x.mean_dim(-1, true, None::<Kind>);
            let variance = centred.square().mean_dim(-1, true, None::<Kind>);
            centred / (variance + 1e-5).sqrt() * &p[g] + &p[g + 1]
        };
        let linear = |x: &Tensor, w: usize| x.matmul(&p[w].tr()) + &p[w + 1];
        let gelu = |x: &Tensor| {
            let inner =
                (x + x.pow_tensor_scalar(3) * 0.044_715) * (2.0 / std::f64::consts::PI).sqrt();
            x * 0.5 * (inner.tanh() + 1.0)
        };
        let ids = tokens(1, 9);
        let mut x = p[0].index_select(0, &ids.view([-1])) + &p[1];
        let mask = Tensor::ones([9, 9], (Kind::Bool, Device::Cpu)).triu(1);
        for start in [2, 14] {
            let qkv = linear(&norm(&x, start), start + 2);
            let heads: Vec<_> = (0..4)
                .map(|head| {
                    let part = |i: i64| qkv.narrow(1, 16 * i + 4 * head, 4);
                    let scores = part(0).matmul(&part(1).tr()) / 2.0;
                    let scores = scores.masked_fill(&mask, f64::NEG_INFINITY);
                    scores.softmax(-1, None::<Kind>).matmul(&part(2))
                })
                .collect();
            x = &x + linear(&Tensor::cat(&heads, 1), start + 4);
            x = &x + linear(&gelu(&linear(&norm(&x, start + 6), start + 8)), start + 10);
        }
        let expected = linear(&norm(&x, 26), 28);
        let logits = network.forward(&ids, false).unwrap().squeeze_dim(0);
        assert!(distance(&logits.to_kind(Kind::Double), &expected) < 1e-6);
    }

    #[test]
    fn every_parameter_gets_a_gradient() {
        let network = network();
        let loss = network.forward(&tokens(2, 9), true).unwrap().square().mean(None::<Kind>);
        let tensors: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        for (gradient, p) in
            Tensor::run_backward(&[loss], &tensors, false, false).iter().zip(&network.parameters)
        {
            assert!(values(gradient).unwrap().iter().any(|&g| g != 0.0), "{}", p.name);
        }
    }
}
