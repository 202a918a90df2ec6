//! A transformer that watches a film in tokens and says of every frame what it shows.
//!
//! A film is a row of numbers of frames, each of a fixed set. A frame that is given n tokens is brought to 2k × 2k pixels, k = ⌊√n⌋, and
//! read in k × k patches of 2 × 2 pixels: a patch is a linear map of its values, plus a vector of its cell and one of the frame's
//! place in time. Behind the patches of all frames stand as many questions as there are frames, one for each place in time; all
//! see all ([`Gpt`]'s blocks, not causal), and what comes out at the questions are the logits.
//!
//! How many tokens a frame is given is the network's [`Encoding`], a part of its body: what trains does not hang on it.

use std::any::Any;
use std::f64::consts::{SQRT_2, TAU};
use std::sync::Arc;

use ledger::digest::Digest;
use ledger::order::{self, generator};
use ledger::streams::{self, Streams};
use tch::{Device, Kind, TchError, Tensor};

use super::gpt::{self, Gpt, gpt};
use crate::LabError;
use crate::adapters::same;
use crate::init::spread;
use crate::network::{Body, Forward, Network, Parameter, Role, values};
use crate::seat::{Parametrisation, StepInfo};
use crate::slow_fast::{Compared, Search, TokenBudget, slow_frames};
use crate::state::State;

/// Height and width of a patch, in pixels of the frame as it was brought to size.
const PATCH: usize = 2;
/// Values of a patch.
const VALUES: usize = 3 * PATCH * PATCH;

ledger::choice! {
    /// Which frames are read in detail.
    pub enum Policy {
        /// Some frames at equal distances in detail, the others not at all.
        UniformFew = "uniform-few",
        /// All frames alike, coarsely.
        UniformMany = "uniform-many",
        /// Those that differ from the last one in detail, the others coarsely.
        SlowFast = "slow-fast",
        /// As many in detail as there would be by difference, but at random places behind the first.
        RandomSlow = "random-slow",
    }
}

/// How frames become tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Encoding {
    /// Which frames are read in detail.
    pub policy: Policy,
    /// θ: the share of similar patches below which a frame is slow.
    pub theta: f64,
    /// Tokens of a film.
    pub budget: TokenBudget,
    /// How the tokens of a slow frame are searched for.
    pub search: Search,
    /// Tokens of a frame of `uniform-few`.
    pub detail: u64,
}

/// The frames there are.
#[derive(Debug)]
pub struct Film {
    /// As they are compared.
    compared: Vec<Compared>,
    /// Values of all patches of all frames at 1, 2, … patches along an axis, [`VALUES`] each.
    patches: Vec<f32>,
    /// Patches along an axis at most.
    across: usize,
}

impl Film {
    /// Of these square frames, `side` pixels along an axis, of RGB bytes; they are compared in patches of `patch` pixels.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn new(frames: &[Vec<u8>], side: usize, patch: usize) -> Result<Self, TchError> {
        let compared = frames.iter().map(|frame| Compared::of(frame, side, patch)).collect();
        let all = [frames.len(), side, side, 3].map(|size| size as i64);
        let images = Tensor::f_from_slice(&frames.concat())?.f_view(all)?.f_to_kind(Kind::Float)?;
        let images = images.f_div_scalar(255.0)?.f_permute([0, 3, 1, 2])?.f_contiguous()?;
        let across = side / PATCH;
        let size = PATCH as i64;
        let mut patches = Vec::new();
        for k in 1..=across as i64 {
            let small = images.f_adaptive_avg_pool2d([k * size, k * size])?;
            let rows = small.f_view([-1, 3, k, size, k, size])?.f_permute([0, 2, 4, 3, 5, 1])?;
            patches.extend(values(&rows)?);
        }
        Ok(Self { compared, patches, across })
    }

    /// Patches along an axis of a frame that has n tokens.
    fn grid(&self, n: u64) -> usize {
        (n as f64).sqrt().floor().min(self.across as f64) as usize
    }

    /// First row of a frame's patches at k along an axis, and the first cell of that size.
    fn rows(&self, frame: usize, k: usize) -> [usize; 2] {
        let cells = (1..k).map(|k| k * k).sum::<usize>();
        [cells * self.compared.len() + frame * k * k, cells]
    }
}

impl Encoding {
    /// Tokens of every frame, of a film of these.
    #[must_use]
    pub fn tokens(&self, film: &Film, frames: &[usize]) -> Vec<u64> {
        let length = frames.len();
        match self.policy {
            Policy::UniformMany => vec![self.budget.tokens / length.max(1) as u64; length],
            Policy::UniformFew => {
                let count =
                    ((self.budget.tokens / self.detail.max(1)) as usize).clamp(1, length.max(1));
                let mut tokens = vec![0; length];
                (0..count).for_each(|at| tokens[at * length / count] = self.detail);
                tokens
            }
            Policy::SlowFast | Policy::RandomSlow => {
                let compared: Vec<&Compared> =
                    frames.iter().map(|frame| &film.compared[*frame]).collect();
                let mut slow = slow_frames(&compared, self.theta);
                if self.policy == Policy::RandomSlow {
                    slow = elsewhere(&slow, frames);
                }
                let count = slow.iter().filter(|slow| **slow).count() as u64;
                let n = self.budget.n([count, length as u64 - count], self.search);
                slow.iter().map(|slow| if *slow { n } else { self.budget.fast(n) }).collect()
            }
        }
    }
}

/// As many slow frames at places that hang on nothing but which frames these are; the first stays.
fn elsewhere(slow: &[bool], frames: &[usize]) -> Vec<bool> {
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| (*frame as u32).to_le_bytes()).collect();
    let mut random = generator(&Digest::of_parts(&[b"palimpsest/random slow frames/v1", &bytes]));
    let mut rest = slow.to_vec();
    let mut places: Vec<u32> = (1..slow.len() as u32).collect();
    order::shuffle(&mut random, &mut places);
    for (at, place) in (1..).zip(places) {
        rest[place as usize] = slow[at];
    }
    rest
}

/// Sizes of a watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Frames of a film.
    pub frames: usize,
    /// What a frame may show.
    pub classes: usize,
    /// Width of the residual stream, a multiple of `heads`.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of attention heads.
    pub heads: usize,
}

/// The forward pass: logits B × frames × classes of films B × frames (i64).
#[derive(Debug, Clone)]
pub struct Watcher {
    shape: Shape,
    film: Arc<Film>,
    encoding: Encoding,
}

/// Rows of the table of tokens: what fills rows up, and what asks.
const FILLING: i64 = 0;
const QUESTION: i64 = 1;

impl Shape {
    fn gpt(&self) -> Gpt {
        let Self { frames, classes, width, depth, heads } = *self;
        let (vocabulary, context) = (classes, frames);
        let shape = gpt::Shape { vocabulary, context, width, depth, heads, hidden: 4 * width };
        Gpt { shape, causal: false }
    }
}

/// Where places in time begin: sines and cosines of wavelengths from 4 frames to four times the film's, of mean square 1.
fn times(frames: usize, width: usize) -> Result<Tensor, TchError> {
    let half = width.div_ceil(2);
    let wavelength = |pair: usize| 4.0 * (frames as f64).powf(pair as f64 / half as f64);
    let value = |time: usize, at: usize| {
        let angle = TAU * time as f64 / wavelength(at / 2);
        let wave = if at.is_multiple_of(2) { angle.sin() } else { angle.cos() };
        (SQRT_2 * wave) as f32
    };
    let values: Vec<f32> = (0..frames)
        .flat_map(|time| (0..width).map(move |at| (time, at)))
        .map(|(time, at)| value(time, at))
        .collect();
    Tensor::f_from_slice(&values)?.f_view([frames as i64, width as i64])
}

/// A watcher of this shape; initial values have the deviations of PyTorch's layers, tables N(0, 1), but for the places in time, which
/// begin as sines and cosines.
///
/// # Errors
/// When the width is no multiple of the number of heads, or libtorch cannot allocate.
pub fn watcher(
    shape: Shape,
    film: Arc<Film>,
    encoding: Encoding,
    streams: &Streams,
    device: Device,
) -> Result<Network, LabError> {
    let mut network = gpt(shape.gpt().shape, streams, device)?;
    let cells = (1..=film.across).map(|k| k * k).sum::<usize>();
    let mut random = streams.generator("patches");
    for (name, role, rows, columns) in [
        ("patch.weight", Role::Weight, shape.width, VALUES),
        ("cells.weight", Role::Embedding, cells, shape.width),
    ] {
        let drawn = streams::normal(&mut random, rows * columns);
        let tensor = Tensor::f_from_slice(&drawn)?.f_view([rows as i64, columns as i64])?;
        let tensor = tensor.f_to_device(device)?.set_requires_grad(true);
        network.parameters.push(Parameter { name: name.to_owned(), layer: 0, role, tensor });
    }
    spread(&network)?;
    let times = times(shape.frames, shape.width)?.f_to_device(device)?;
    tch::no_grad(|| network.parameters[Gpt::POSITIONS].tensor.f_copy_(&times))?;
    network.body = Body::Own(Arc::new(Watcher { shape, film, encoding }));
    Ok(network)
}

impl Watcher {
    /// The watcher of `network`.
    ///
    /// # Errors
    /// When this is another network.
    pub fn of(network: &Network) -> Result<&Self, LabError> {
        let own = match &network.body {
            Body::Own(body) => (body.as_ref() as &dyn Any).downcast_ref(),
            _ => None,
        };
        own.ok_or_else(|| LabError::Network("the network watches no films".to_owned()))
    }

    /// Frames of a film.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.shape.frames
    }

    /// Tokens of each film, as they are read.
    ///
    /// # Errors
    /// When films cannot be copied to the host.
    pub fn read(&self, films: &Tensor) -> Result<Vec<u64>, TchError> {
        let rows = self.rows(films)?;
        let each = rows.iter().map(|frames| {
            let tokens = self.encoding.tokens(&self.film, frames);
            tokens.iter().map(|n| (self.film.grid(*n) as u64).pow(2)).sum()
        });
        Ok(each.collect())
    }

    fn rows(&self, films: &Tensor) -> Result<Vec<Vec<usize>>, TchError> {
        let numbers = Vec::<i64>::try_from(&films.f_to_device(Device::Cpu)?.f_reshape([-1])?)?;
        let frame =
            |number: &i64| usize::try_from(*number).unwrap_or(0).min(self.film.compared.len() - 1);
        Ok(numbers.chunks(self.shape.frames).map(|row| row.iter().map(frame).collect()).collect())
    }
}

impl Forward for Watcher {
    fn forward(&self, network: &Network, films: &Tensor, _: bool) -> Result<Tensor, LabError> {
        let gpt = self.shape.gpt();
        let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let (patch, cell) = (weights[gpt.parameters()], weights[gpt.parameters() + 1]);
        // Of every token its patch, its cell and its time.
        let mut read: Vec<Vec<[i64; 3]>> = Vec::new();
        for frames in self.rows(films)? {
            let tokens = self.encoding.tokens(&self.film, &frames);
            let mut row = Vec::new();
            for (time, (frame, n)) in frames.iter().zip(tokens).enumerate() {
                let k = self.film.grid(n);
                let [first, cells] = self.film.rows(*frame, k);
                row.extend((0..k * k).map(|at| [first + at, cells + at, time].map(|x| x as i64)));
            }
            read.push(row);
        }
        let device = films.device();
        let (rows, length) = (read.len(), read.iter().map(Vec::len).max().unwrap_or(0));
        let table = |values: &[i64]| -> Result<Tensor, TchError> {
            Tensor::f_from_slice(values)?.f_view([rows as i64, -1])?.f_to_device(device)
        };
        let column = |which: usize| {
            let each = read.iter().flat_map(|row| {
                row.iter()
                    .map(move |token| token[which])
                    .chain(std::iter::repeat_n(0, length - row.len()))
            });
            table(&each.collect::<Vec<_>>())
        };
        let lookup = |table: &Tensor, of: &Tensor| Tensor::f_embedding(table, of, -1, false, false);
        let mut patches = vec![0.0; rows * length * VALUES];
        for (own, row) in patches.chunks_mut((length * VALUES).max(1)).zip(&read) {
            for (own, [at, ..]) in own.chunks_mut(VALUES).zip(row) {
                let first = *at as usize * VALUES;
                own.copy_from_slice(&self.film.patches[first..first + VALUES]);
            }
        }
        let patches = Tensor::f_from_slice(&patches)?.f_to_device(device)?;
        let tokens = patches
            .f_view([rows as i64, length as i64, VALUES as i64])?
            .f_linear::<Tensor>(patch, None)?
            .f_add(&lookup(cell, &column(1)?)?)?
            .f_add(&lookup(weights[Gpt::POSITIONS], &column(2)?)?)?;
        // Rows of fewer tokens are filled up.
        let filled: Vec<i64> =
            read.iter().flat_map(|row| (0..length).map(|at| i64::from(at >= row.len()))).collect();
        let filled = table(&filled)?.f_to_kind(Kind::Bool)?.f_unsqueeze(-1)?;
        let named = |row: i64| weights[Gpt::TOKENS].f_select(0, row);
        let tokens = named(FILLING)?.f_where_self(&filled, &tokens)?;
        let times = Tensor::f_arange(self.shape.frames as i64, (Kind::Int64, device))?;
        let questions = lookup(weights[Gpt::POSITIONS], &times)?.f_add(&named(QUESTION)?)?;
        let questions = questions.f_unsqueeze(0)?.f_expand([rows as i64, -1, -1], false)?;
        let hidden = gpt.embedded(&weights, Tensor::f_cat(&[&tokens, &questions], 1)?, None)?;
        let asked = hidden.f_narrow(1, length as i64, self.shape.frames as i64)?;
        Ok(gpt.logits(network, &asked)?)
    }
}

/// A run in which films are read by an encoding.
#[derive(Debug)]
pub struct Reading(pub Encoding);

impl Parametrisation for Reading {
    fn install(&mut self, network: &mut Network, _: &Streams) -> Result<(), LabError> {
        let watcher = Watcher { encoding: self.0, ..Watcher::of(network)?.clone() };
        network.body = Body::Own(Arc::new(watcher));
        Ok(())
    }

    fn seen(&self, trained: &Network, _: Option<&StepInfo>) -> Result<Network, LabError> {
        Ok(same(trained))
    }

    fn is_fixed(&self) -> bool {
        true
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial;

    const BUDGET: TokenBudget = TokenBudget { tokens: 40, ratio: 0.3, least: 1, most: 16 };
    const ENCODING: Encoding = Encoding {
        policy: Policy::SlowFast,
        theta: 0.9,
        budget: BUDGET,
        search: Search::Fixed,
        detail: 16,
    };

    /// Three frames of 8 × 8: a red and a green sprite at places of their own, and black.
    fn film() -> Film {
        let frame = |at: usize, colour: usize| {
            let mut pixels = vec![0; 8 * 8 * 3];
            (0..16).for_each(|p| pixels[((p / 4 + at) * 8 + p % 4 + at) * 3 + colour] = 255);
            pixels
        };
        Film::new(&[frame(0, 0), frame(4, 1), vec![0; 192]], 8, 4).unwrap()
    }

    fn tokens(policy: Policy, frames: &[usize]) -> Vec<u64> {
        Encoding { policy, ..ENCODING }.tokens(&film(), frames)
    }

    #[test]
    fn places_in_time_begin_near_those_beside_them() {
        let table = times(32, 16).unwrap();
        let apart = |a: i64, b: i64| {
            (table.get(a) - table.get(b)).square().sum(Kind::Float).double_value(&[])
        };
        assert!(apart(10, 11) < 0.5 * apart(10, 20) && apart(10, 12) < apart(10, 25));
        assert!((table.square().mean(Kind::Float).double_value(&[]) - 1.0).abs() < 0.1);
    }

    #[test]
    fn every_policy_keeps_to_the_budget_in_its_own_way() {
        let frames = [0, 0, 0, 1, 1, 1, 1, 0];
        assert_eq!(tokens(Policy::UniformMany, &frames), [5; 8]);
        assert_eq!(tokens(Policy::UniformFew, &frames), [16, 0, 0, 0, 16, 0, 0, 0]);
        // Three slow frames of n and five fast ones of ⌊0.3n⌋: 3·9 + 5·2 = 37, 3·10 + 5·3 = 45.
        assert_eq!(tokens(Policy::SlowFast, &frames), [9, 2, 2, 9, 2, 2, 2, 9]);
        let random = tokens(Policy::RandomSlow, &frames);
        assert_eq!((random[0], random.iter().filter(|n| **n == 9).count()), (9, 3));
        assert_eq!(random, tokens(Policy::RandomSlow, &frames));
        let published = Encoding { search: Search::Published, ..ENCODING };
        assert_eq!(published.tokens(&film(), &frames).iter().sum::<u64>(), 45);
    }

    #[test]
    fn a_frame_of_more_tokens_is_read_in_finer_patches() {
        let film = film();
        assert_eq!([1, 3, 4, 8, 9, 15, 16, 99].map(|n| film.grid(n)), [1, 1, 2, 2, 3, 3, 4, 4]);
        // One patch of the red frame: 2 × 2 pixels, of which the first is lit.
        let at = |k: usize, cell: usize| {
            let [first, _] = film.rows(0, k);
            film.patches[(first + cell) * VALUES..][..VALUES].to_vec()
        };
        assert_eq!(at(1, 0)[..4], [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(at(4, 0), [1.0, 0.0, 0.0].repeat(4));
        assert_eq!(at(4, 3), [0.0; 12]);
        let cells: usize = (1..=4).map(|k| k * k).sum();
        assert_eq!(film.patches.len(), 3 * cells * 12);
    }

    #[test]
    fn what_a_film_shows_is_asked_of_every_frame_and_filling_up_is_told_apart() {
        let shape = Shape { frames: 8, classes: 5, width: 16, depth: 1, heads: 2 };
        let network =
            watcher(shape, Arc::new(film()), ENCODING, &trial::streams(), Device::Cpu).unwrap();
        let films =
            Tensor::from_slice(&[0_i64, 0, 0, 1, 1, 1, 1, 0, 2, 2, 2, 2, 2, 2, 2, 2]).view([2, 8]);
        let logits = network.forward(&films, false).unwrap();
        assert_eq!(logits.size(), [2, 8, 5]);
        // 3·9 + 5·1 tokens; one slow frame of 13, read as 9, and seven of 3, read as 1.
        assert_eq!(Watcher::of(&network).unwrap().read(&films).unwrap(), [32, 9 + 7]);
        let alone = network.forward(&films.narrow(0, 0, 1), false).unwrap();
        let apart = (&alone - logits.narrow(0, 0, 1)).abs().max().double_value(&[]);
        assert!(apart < 1e-5, "{apart}");
        // Another encoding is another body over the same weights.
        let mut other = network.duplicate();
        let many = Encoding { policy: Policy::UniformMany, ..ENCODING };
        Reading(many).install(&mut other, &trial::streams()).unwrap();
        assert_eq!(other.digest().unwrap(), network.digest().unwrap());
        assert_ne!(
            values(&other.forward(&films, false).unwrap()).unwrap(),
            values(&logits).unwrap()
        );
    }
}
