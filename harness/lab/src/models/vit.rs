//! A vision transformer for images of any size, beside a table of captions: two towers whose unit vectors are
//! compared.
//!
//! Images are rows of [`native`](crate::native). Their patches, however many each has, lie one after the other in
//! packs of at most [`PACK`] tokens; a mask keeps attention within an image, so that an image comes out the same
//! in any pack. A block is, as in MM-MVR/UniViTAR@88f4517c, `x + ls₁·Attention(RMS(x))`, then
//! `x + ls₂·FFN(RMS(x))`, with `FFN(x) = W₂·RMS(silu(W₁x) ⊙ W₃x)`. Queries and keys have no bias, are turned by
//! 2-D rotary positions (half of a head by row, half by column) and only then normalised, over all heads together.
//! The mean over an image's tokens goes through a linear head. A caption is a class and a paraphrase, its vector
//! the sum of theirs.
//!
//! Initial values are PyTorch's, LayerScale .1; the scale of similarities is log 10, their bias −10.

use std::any::Any;
use std::sync::Arc;

use ledger::streams::Streams;
use tch::{Device, Kind, TchError, Tensor};

use super::Builder;
use crate::LabError;
use crate::native;
use crate::network::{Body, Forward, Network, Role};

/// Tokens of a pack at most: four images of 24 × 24, sixteen of 12 × 12.
pub const PACK: usize = 144;
/// ε of the normalisations.
const EPSILON: f64 = 1e-6;
/// Largest wavelength of rotary positions over 2π.
const THETA: f64 = 1e4;
/// LayerScale at the start.
const LAYER_SCALE: f64 = 0.1;
/// Parameters before the blocks, and of each block.
const EMBEDDING: usize = 2;
const PER_BLOCK: usize = 16;

/// Shape of a [`Vit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Height and width of canvases: the largest image.
    pub side: usize,
    /// Height and width of a patch.
    pub patch: usize,
    /// Width of the residual stream; a multiple of four times `heads`.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Width of the feed-forward part before two thirds of it are taken.
    pub hidden: usize,
    /// Classes that captions name.
    pub classes: usize,
    /// Captions of a class.
    pub paraphrases: usize,
    /// Features of a teacher that image vectors are also mapped to.
    pub features: usize,
}

/// The forward pass: similarities of images with every caption, scaled and shifted, B × captions, those of a class
/// side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vit {
    /// Sizes.
    pub shape: Shape,
}

/// A network of this shape.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn vit(shape: Shape, streams: &Streams, device: Device) -> Result<Network, TchError> {
    let Shape { patch, width, depth, hidden, classes, paraphrases, features, .. } = shape;
    let inner = hidden * 2 / 3;
    let mut builder = Builder::new(streams, device);
    let full =
        |size: usize, value: f64| Tensor::f_full([size as i64], value, (Kind::Float, device));
    builder.linear("patch", patch * patch, width)?;
    for block in 1..=depth {
        let name = format!("block{block}");
        builder.push(&name, "norm1", Role::Norm, full(width, 1.0)?);
        builder.drawn(&name, "qkv.weight", Role::Weight, &[3 * width, width], width)?;
        builder.push(&name, "query_norm", Role::Norm, full(width, 1.0)?);
        builder.push(&name, "key_norm", Role::Norm, full(width, 1.0)?);
        builder.drawn(&name, "out.weight", Role::Weight, &[width, width], width)?;
        builder.drawn(&name, "out.bias", Role::Bias, &[width], width)?;
        builder.push(&name, "scale1", Role::Norm, full(width, LAYER_SCALE)?);
        builder.push(&name, "norm2", Role::Norm, full(width, 1.0)?);
        for gate in ["fc1", "fc3"] {
            let [weight, bias] = ["weight", "bias"].map(|part| format!("{gate}.{part}"));
            builder.drawn(&name, &weight, Role::Weight, &[inner, width], width)?;
            builder.drawn(&name, &bias, Role::Bias, &[inner], width)?;
        }
        builder.push(&name, "norm3", Role::Norm, full(inner, 1.0)?);
        builder.drawn(&name, "fc2.weight", Role::Weight, &[width, inner], inner)?;
        builder.drawn(&name, "fc2.bias", Role::Bias, &[width], inner)?;
        builder.push(&name, "scale2", Role::Norm, full(width, LAYER_SCALE)?);
        builder.depth += 1;
    }
    builder.linear("head", width, width)?;
    builder.linear("features", width, features)?;
    builder.table(&format!("{TEXT}.class"), classes, width)?;
    builder.table(&format!("{TEXT}.paraphrase"), paraphrases, width)?;
    builder.push("similarity", "scale", Role::Bias, full(1, 10_f64.ln())?);
    builder.push("similarity", "bias", Role::Bias, full(1, -10.0)?);
    Ok(builder.finish_with(Body::Own(Arc::new(Vit { shape }))))
}

/// What names of parameters of the text tower begin with.
pub const TEXT: &str = "text";

impl Forward for Vit {
    fn forward(&self, network: &Network, rows: &Tensor, _: bool) -> Result<Tensor, LabError> {
        Ok(self.similarities(network, &self.images(network, rows)?)?)
    }
}

impl Vit {
    /// The towers of `network`, for what needs more of them than similarities.
    ///
    /// # Errors
    /// When this is another network.
    pub fn of(network: &Network) -> Result<&Self, LabError> {
        let vit = match &network.body {
            Body::Own(body) => (body.as_ref() as &dyn Any).downcast_ref(),
            _ => None,
        };
        vit.ok_or_else(|| LabError::Network("the network has no towers".to_owned()))
    }

    /// Index of a parameter behind the blocks.
    fn behind(&self, place: usize) -> usize {
        EMBEDDING + PER_BLOCK * self.shape.depth + place
    }

    /// Image vectors before they are brought to length 1, B × width.
    ///
    /// # Errors
    /// When these are no rows of images, or one is no multiple of the patch.
    pub fn images(&self, network: &Network, rows: &Tensor) -> Result<Tensor, LabError> {
        let Shape { side, patch, width, .. } = self.shape;
        let packs = Packs::of(&native::sizes(rows)?, patch as i64)?;
        let (p, grid) = (patch as i64, (side / patch) as i64);
        let patches = native::canvases(rows)?
            .f_reshape([-1, grid, p, grid, p])?
            .f_permute([0, 1, 3, 2, 4])?
            .f_reshape([-1, p * p])?;
        let device = rows.device();
        let tokens = patches.f_index_select(0, &packs.sources(grid, device)?)?;
        let shape = [packs.count() as i64, packs.length as i64, -1];
        let mut x = linear(network, 0, &tokens)?.f_view(shape)?;
        let turns = packs.turns(self.shape.width / self.shape.heads, device)?;
        let mask = packs.mask(device)?;
        for block in 0..self.shape.depth {
            let first = EMBEDDING + PER_BLOCK * block;
            let inner = normalised(&x, network.at(first))?;
            let inner = self.attention(network, first + 1, &inner, &turns, &mask)?;
            x = x.f_add(&inner.f_mul(network.at(first + 6))?)?;
            let inner = normalised(&x, network.at(first + 7))?;
            let inner = feed_forward(network, first + 8, &inner)?;
            x = x.f_add(&inner.f_mul(network.at(first + 15))?)?;
        }
        let mean = packs.mean(&x.f_view([-1, width as i64])?)?;
        Ok(linear(network, self.behind(0), &mean)?)
    }

    /// Image vectors mapped to the features of a teacher, B × features.
    ///
    /// # Errors
    /// When the vectors are those of another network.
    pub fn features(&self, network: &Network, images: &Tensor) -> Result<Tensor, TchError> {
        linear(network, self.behind(2), images)
    }

    /// t·cos + b of image vectors with every caption, B × captions.
    ///
    /// # Errors
    /// When the vectors are those of another network.
    pub fn similarities(&self, network: &Network, images: &Tensor) -> Result<Tensor, TchError> {
        let [class, paraphrase, scale, bias] =
            [4, 5, 6, 7].map(|place| network.at(self.behind(place)));
        let captions = class.f_unsqueeze(1)?.f_add(&paraphrase.f_unsqueeze(0)?)?.f_flatten(0, 1)?;
        let cosines = unit(images)?.f_matmul(&unit(&captions)?.f_transpose(0, 1)?)?;
        cosines.f_mul(&scale.f_exp()?)?.f_add(bias)
    }

    fn attention(
        &self,
        network: &Network,
        first: usize,
        x: &Tensor,
        turns: &[Tensor; 2],
        mask: &Tensor,
    ) -> Result<Tensor, TchError> {
        let width = self.shape.width as i64;
        let qkv = x.f_linear::<Tensor>(network.at(first), None)?.f_split(width, -1)?;
        let norms = [network.at(first + 1), network.at(first + 2)];
        let logits = self.logits([&qkv[0], &qkv[1]], norms, turns)?;
        let weights = logits.f_add(mask)?.f_softmax(-1, Kind::Float)?;
        let mixed = weights.f_matmul(&self.by_heads(&qkv[2])?)?;
        linear(network, first + 3, &mixed.f_transpose(1, 2)?.f_flatten(2, 3)?)
    }

    /// Attention logits, packs × heads × T × T, of queries and keys packs × T × width.
    fn logits(
        &self,
        queries_and_keys: [&Tensor; 2],
        norms: [&Tensor; 2],
        turns: &[Tensor; 2],
    ) -> Result<Tensor, TchError> {
        let turned = |which: usize| {
            let x = turned(&self.by_heads(queries_and_keys[which])?, turns)?;
            let all = x.f_transpose(1, 2)?.f_flatten(2, 3)?;
            self.by_heads(&normalised(&all, norms[which])?)
        };
        let (queries, keys) = (turned(0)?, turned(1)?);
        let size = (self.shape.width / self.shape.heads) as f64;
        queries.f_mul_scalar(size.powf(-0.5))?.f_matmul(&keys.f_transpose(2, 3)?)
    }

    /// packs × T × width as packs × heads × T × head.
    fn by_heads(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (packs, length, _) = x.size3()?;
        x.f_reshape([packs, length, self.shape.heads as i64, -1])?.f_transpose(1, 2)
    }
}

fn linear(network: &Network, weight: usize, x: &Tensor) -> Result<Tensor, TchError> {
    x.f_linear(network.at(weight), Some(network.at(weight + 1)))
}

fn feed_forward(network: &Network, first: usize, x: &Tensor) -> Result<Tensor, TchError> {
    let gated = linear(network, first, x)?.f_silu()?.f_mul(&linear(network, first + 2, x)?)?;
    linear(network, first + 5, &normalised(&gated, network.at(first + 4))?)
}

/// x over the root of its mean square, times `scale`.
fn normalised(x: &Tensor, scale: &Tensor) -> Result<Tensor, TchError> {
    let mean = x.f_square()?.f_mean_dim([-1].as_slice(), true, x.kind())?;
    x.f_mul(&mean.f_add_scalar(EPSILON)?.f_rsqrt()?)?.f_mul(scale)
}

/// Rows at length 1.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn unit(x: &Tensor) -> Result<Tensor, TchError> {
    let length = x.f_square()?.f_sum_dim_intlist([-1].as_slice(), true, x.kind())?.f_sqrt()?;
    x.f_div(&length.f_clamp_min(1e-12)?)
}

/// Turns each pair (i, i + half) of a head.
fn turned(x: &Tensor, [cos, sin]: &[Tensor; 2]) -> Result<Tensor, TchError> {
    let halves = x.f_chunk(2, -1)?;
    let across = Tensor::f_cat(&[&halves[1].f_neg()?, &halves[0]], -1)?;
    x.f_mul(cos)?.f_add(&across.f_mul(sin)?)
}

/// A place in a pack: of which image it is, and at which row and column of its patches; of none behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    image: i64,
    at: [i64; 2],
}

/// Where the patches of a batch lie.
#[derive(Debug, Clone, PartialEq)]
struct Packs {
    /// Places of all packs, one pack after the other.
    places: Vec<Place>,
    /// Places of a pack.
    length: usize,
    /// Patches of every image.
    counts: Vec<f32>,
}

impl Packs {
    /// Packs of images of these sizes: those with the most patches first, one behind the other, a new pack where one
    /// has no room. So that packs hold images of one size, and are full, as far as that goes.
    fn of(sizes: &[[i64; 2]], patch: i64) -> Result<Self, LabError> {
        // A row of zeros, as warm-ups have, is read as one patch.
        let grid = |size: &[i64; 2]| size.map(|pixels| (pixels / patch).max(1));
        let grids: Vec<_> = sizes.iter().map(grid).collect();
        let fits = |size: &&[i64; 2]| size.iter().all(|&pixels| pixels >= 0 && pixels % patch == 0);
        if let Some(size) = sizes.iter().find(|size| !fits(size)) {
            let [height, width] = size;
            return Err(LabError::Network(format!(
                "an image of {height} × {width} pixels has no whole patches of {patch} × {patch}"
            )));
        }
        let mut order: Vec<usize> = (0..grids.len()).collect();
        order.sort_by_key(|&image| -grids[image][0] * grids[image][1]);
        let mut packs: Vec<Vec<Place>> = Vec::new();
        for image in order {
            let [rows, columns] = grids[image];
            let tokens = (rows * columns) as usize;
            if packs.last().is_none_or(|pack| pack.len() + tokens > PACK) {
                packs.push(Vec::new());
            }
            let places = (0..rows).flat_map(|row| (0..columns).map(move |column| [row, column]));
            let places = places.map(|at| Place { image: image as i64, at });
            packs.last_mut().into_iter().for_each(|pack| pack.extend(places.clone()));
        }
        let length = packs.iter().map(Vec::len).max().unwrap_or(0);
        let none = Place { image: -1, at: [0, 0] };
        packs.iter_mut().for_each(|pack| pack.resize(length, none));
        let counts = grids.iter().map(|[rows, columns]| (rows * columns) as f32).collect();
        Ok(Self { places: packs.concat(), length, counts })
    }

    fn count(&self) -> usize {
        self.places.len() / self.length.max(1)
    }

    /// Which patch of all canvases, each of grid × grid, lies at every place; any where none does.
    fn sources(&self, grid: i64, device: Device) -> Result<Tensor, TchError> {
        let of = |Place { image, at: [row, column] }: &Place| {
            image.max(&0) * grid * grid + row * grid + column
        };
        let sources: Vec<i64> = self.places.iter().map(of).collect();
        Tensor::f_from_slice(&sources)?.f_to_device(device)
    }

    /// Image of every place, as a row per pack.
    fn images(&self, device: Device) -> Result<Tensor, TchError> {
        let images: Vec<i64> = self.places.iter().map(|place| place.image).collect();
        let shape = [self.count() as i64, self.length as i64];
        Tensor::f_from_slice(&images)?.f_view(shape)?.f_to_device(device)
    }

    /// 0 between places of one image, −∞ between others; packs × 1 × T × T.
    fn mask(&self, device: Device) -> Result<Tensor, TchError> {
        let images = self.images(device)?;
        let apart = images.f_unsqueeze(1)?.f_ne_tensor(&images.f_unsqueeze(2)?)?.f_unsqueeze(1)?;
        let mask = Tensor::f_zeros(apart.size(), (Kind::Float, device))?;
        mask.f_masked_fill(&apart, f64::NEG_INFINITY)
    }

    /// Cosines and sines of every place's angles, packs × 1 × T × head.
    fn turns(&self, head: usize, device: Device) -> Result<[Tensor; 2], TchError> {
        let shape = [self.count() as i64, 1, self.length as i64, head as i64];
        let places = self.places.iter().map(|place| place.at);
        let turns = angles(places, head)?.f_view(shape)?.f_to_device(device)?;
        Ok([turns.f_cos()?, turns.f_sin()?])
    }

    /// Mean over the tokens of every image.
    fn mean(&self, tokens: &Tensor) -> Result<Tensor, TchError> {
        let (device, kind) = (tokens.device(), tokens.kind());
        let (images, width) = (self.counts.len() as i64, tokens.size2()?.1);
        let places: Vec<i64> = self
            .places
            .iter()
            .map(|place| if place.image < 0 { images } else { place.image })
            .collect();
        let places = Tensor::f_from_slice(&places)?.f_to_device(device)?;
        let sums = Tensor::f_zeros([images + 1, width], (kind, device))?;
        let sums = sums.f_index_add(0, &places, tokens)?.f_narrow(0, 0, images)?;
        let counts = Tensor::f_from_slice(&self.counts)?.f_view([-1, 1])?.f_to_device(device)?;
        sums.f_div(&counts)
    }
}

/// Angles of a head's dimensions at places (row, column): a quarter of them by row, a quarter by column, and the
/// same again.
fn angles(places: impl Iterator<Item = [i64; 2]>, head: usize) -> Result<Tensor, TchError> {
    let axis = head / 2;
    let frequency = |k: usize| THETA.powf(-((2 * k) as f64) / axis as f64);
    let angles = places.flat_map(|at| {
        let half = at.into_iter().flat_map(move |position| {
            (0..axis / 2).map(move |k| (position as f64 * frequency(k)) as f32)
        });
        half.clone().chain(half).collect::<Vec<_>>()
    });
    Tensor::f_from_slice(&angles.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
