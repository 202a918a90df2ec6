//! The vision transformer of Dosovitskiy et al. (arXiv:2010.11929) for images of one size.
//!
//! Patches of p × p pixels, all channels of one side by side, go through a linear layer; a learned class token stands
//! before them, learned positions are added. A block is `x + Attention(LN(x))`, then `x + MLP(LN(x))`, the MLP of
//! width 4d with GELU (by the error function); ε of the normalisations is 1e-6. A last normalisation and a linear head
//! on the class token give the outputs. No dropout.
//!
//! Initial values are those of DeiT (Touvron et al., arXiv:2012.12877; facebookresearch/deit): matrices, class token and
//! positions N(0, 0.02²), biases 0, scales 1, shifts 0; but for weight and bias of the patches' layer, a convolution
//! there, which stay as PyTorch draws them, U(±1/√fan-in). DeiT cuts its normals off at ±2, which is 100 deviations.

use std::any::Any;
use std::sync::Arc;

use ledger::streams::Streams;
use tch::{Device, Kind, TchError, Tensor};

use super::Builder;
use crate::LabError;
use crate::network::{Body, Forward, Network, Role};

/// ε of the normalisations.
const EPSILON: f64 = 1e-6;
/// Standard deviation of initial values, but for those of the patches' layer.
const DEVIATION: f64 = 0.02;
/// Name of the patches' layer.
const PATCH: &str = "patch";
/// Parameters before the blocks, and of each block.
const EMBEDDING: usize = 4;
const PER_BLOCK: usize = 12;

/// Sizes of a [`plain_vit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Channels, height and width of images; both sides are multiples of `patch`.
    pub image: [usize; 3],
    /// Height and width of a patch.
    pub patch: usize,
    /// Width of the residual stream, d; a multiple of `heads`.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Number of outputs.
    pub outputs: usize,
}

impl Shape {
    /// Patches of an image.
    #[must_use]
    pub fn patches(&self) -> usize {
        let [_, height, width] = self.image;
        (height / self.patch.max(1)) * (width / self.patch.max(1))
    }

    /// Sizes of all parameters, in their order.
    #[must_use]
    pub fn sizes(&self) -> Vec<Vec<usize>> {
        let Self { image: [channels, ..], patch, width: d, depth, outputs, .. } = *self;
        let pixels = channels * patch * patch;
        let block = [
            vec![d],
            vec![d],
            vec![3 * d, d],
            vec![3 * d],
            vec![d, d],
            vec![d],
            vec![d],
            vec![d],
            vec![4 * d, d],
            vec![4 * d],
            vec![d, 4 * d],
            vec![d],
        ];
        let before = [vec![d, pixels], vec![d], vec![d], vec![self.patches() + 1, d]];
        let blocks = (0..depth).flat_map(|_| block.clone());
        let behind = [vec![d], vec![d], vec![outputs, d], vec![outputs]];
        before.into_iter().chain(blocks).chain(behind).collect()
    }
}

/// The forward pass over the first parameters of a network; a method may append others of its own.
///
/// Layers: 0 patches, class token and positions, 1 to L the blocks, L + 1 the last normalisation and the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainVit {
    /// Sizes.
    pub shape: Shape,
}

/// Outputs N × `outputs` of images N × C × H × W.
///
/// # Errors
/// When patches or heads do not fit, or libtorch cannot allocate.
pub fn plain_vit(shape: Shape, streams: &Streams, device: Device) -> Result<Network, LabError> {
    let Shape { image: [channels, height, wide], patch, width, heads, .. } = shape;
    if patch == 0 || height % patch != 0 || wide % patch != 0 {
        let message =
            format!("images of {height} × {wide} have no whole patches of {patch} × {patch}");
        return Err(LabError::Network(message));
    }
    if heads == 0 || width % heads != 0 {
        let message = format!("width {width} is no multiple of {heads} heads");
        return Err(LabError::Network(message));
    }
    let mut builder = Builder::new(streams, device);
    let mut sizes = shape.sizes().into_iter();
    let options = (Kind::Float, device);
    let pixels = channels * patch * patch;
    let mut add = |builder: &mut Builder, name: &str, part: &str| -> Result<(), TchError> {
        let size = sizes.next().unwrap_or_default();
        if name == PATCH {
            let role = if part == "bias" { Role::Bias } else { Role::Weight };
            builder.drawn(name, part, role, &size, pixels)?;
            return Ok(());
        }
        let length = [i64::try_from(size[0]).unwrap_or(0)];
        let (role, values) = match part {
            "scale" => (Role::Norm, Tensor::f_ones(length, options)?),
            "shift" => (Role::Norm, Tensor::f_zeros(length, options)?),
            "bias" => (Role::Bias, Tensor::f_zeros(length, options)?),
            "token" | "positions" => (Role::Embedding, builder.normal(&size, DEVIATION)?),
            _ => (Role::Weight, builder.normal(&size, DEVIATION)?),
        };
        builder.push(name, part, role, values);
        Ok(())
    };
    let linear = ["weight", "bias"];
    let norm = ["scale", "shift"];
    let mut parts =
        vec![(0, PATCH.to_owned(), linear), (0, "class".to_owned(), ["token", "positions"])];
    for block in 1..=shape.depth {
        let named = [
            ("attention.norm", norm),
            ("attention.qkv", linear),
            ("attention.out", linear),
            ("mlp.norm", norm),
            ("mlp.up", linear),
            ("mlp.down", linear),
        ];
        parts.extend(named.map(|(name, pair)| (block, format!("block{block}.{name}"), pair)));
    }
    let last = shape.depth + 1;
    parts.extend([(last, "last.norm".to_owned(), norm), (last, "head".to_owned(), linear)]);
    for (layer, name, pair) in parts {
        builder.depth = layer;
        for part in pair {
            add(&mut builder, &name, part)?;
        }
    }
    Ok(builder.finish_with(Body::Own(Arc::new(PlainVit { shape }))))
}

impl Forward for PlainVit {
    fn forward(&self, network: &Network, images: &Tensor, _: bool) -> Result<Tensor, LabError> {
        Ok(self.outputs(network, images)?)
    }
}

impl PlainVit {
    /// The transformer of `network`.
    ///
    /// # Errors
    /// When this is another network.
    pub fn of(network: &Network) -> Result<&Self, LabError> {
        let vit = match &network.body {
            Body::Own(body) => (body.as_ref() as &dyn Any).downcast_ref(),
            _ => None,
        };
        vit.ok_or_else(|| LabError::Network("the network is no vision transformer".to_owned()))
    }

    fn outputs(&self, network: &Network, images: &Tensor) -> Result<Tensor, TchError> {
        let Shape { width, depth, .. } = self.shape;
        let (n, _, _, _) = images.size4()?;
        let patches = linear(network, 0, &self.patches(images)?)?;
        let token = network.at(2).f_expand([n, 1, width as i64], false)?;
        let mut x = Tensor::f_cat(&[&token, &patches], 1)?.f_add(network.at(3))?;
        for block in 0..depth {
            let first = EMBEDDING + PER_BLOCK * block;
            let inner = self.attention(network, first + 2, &normalised(network, first, &x)?)?;
            x = x.f_add(&inner)?;
            let inner = linear(network, first + 8, &normalised(network, first + 6, &x)?)?;
            x = x.f_add(&linear(network, first + 10, &inner.f_gelu("none")?)?)?;
        }
        let last = EMBEDDING + PER_BLOCK * depth;
        let class = x.f_select(1, 0)?;
        linear(network, last + 2, &normalised(network, last, &class)?)
    }

    /// N × C × H × W → N × patches × (C·p·p), row by row.
    fn patches(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let Shape { image, patch, .. } = self.shape;
        let ([channels, height, width], p) = (image.map(|size| size as i64), patch as i64);
        images
            .f_reshape([-1, channels, height / p, p, width / p, p])?
            .f_permute([0, 2, 4, 1, 3, 5])?
            .f_reshape([-1, self.shape.patches() as i64, channels * p * p])
    }

    fn attention(&self, network: &Network, first: usize, x: &Tensor) -> Result<Tensor, TchError> {
        let (n, length, width) = x.size3()?;
        let heads = self.shape.heads as i64;
        let size = width / heads;
        let parts = linear(network, first, x)?
            .f_view([n, length, 3, heads, size])?
            .f_permute([2, 0, 3, 1, 4])?;
        let [queries, keys, values] = [0, 1, 2].map(|part| parts.f_select(0, part));
        let scaled = queries?.f_mul_scalar((size as f64).powf(-0.5))?;
        let weights = scaled.f_matmul(&keys?.f_transpose(2, 3)?)?.f_softmax(-1, x.kind())?;
        let mixed = weights.f_matmul(&values?)?.f_transpose(1, 2)?;
        linear(network, first + 2, &mixed.f_reshape([n, length, width])?)
    }
}

fn linear(network: &Network, weight: usize, x: &Tensor) -> Result<Tensor, TchError> {
    x.f_linear(network.at(weight), Some(network.at(weight + 1)))
}

fn normalised(network: &Network, scale: usize, x: &Tensor) -> Result<Tensor, TchError> {
    let (scale, shift) = (network.at(scale), network.at(scale + 1));
    x.f_layer_norm(scale.size(), Some(scale), Some(shift), EPSILON, false)
}
