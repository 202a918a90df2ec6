//! A transformer over pairs of a pointer and a code, in any order: what stands at a patch of two frames, given any others.
//!
//! A pointer names a patch: its kind (first frame, second frame, or a structure of the first), row and column, each with a vector of
//! its own, which are added. Slot i holds the pair before, (pointer, code), and the pointer that is asked for; what comes out is
//! the law of its code given all pairs before. So a sequence (pointer₁, code₁, pointer₂, code₂, …) takes one slot a pair: the
//! pointers are given, and only codes are predicted. No slot has a position of its own: what a pair is does not hang on when it is
//! told.
//!
//! Codes are the levels of pixels, a token that stands before the first pair and, once the vocabulary has grown, codes of
//! structures. A pointer of a pixel asks among levels, one of a structure among the codes of structures. Blocks, normalisation and
//! head are those of [`Gpt`].

use std::any::Any;
use std::sync::Arc;

use ledger::streams::{self, Streams};
use tch::{Device, Kind, TchError, Tensor};

use super::gpt::{self, Gpt, gpt};
use crate::LabError;
use crate::init::spread;
use crate::network::{Body, Forward, Network, Parameter, Role};
use crate::objectives::token_losses;

/// Kinds of pointers to pixels: of the first frame, and of the second.
const FRAMES: usize = 2;

/// Sizes of a network of pointers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Height and width of a frame, in patches.
    pub side: usize,
    /// Levels of a pixel.
    pub levels: usize,
    /// Codes of structures; 0 before the vocabulary has grown.
    pub codes: usize,
    /// Width of the residual stream, a multiple of `heads`.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of attention heads.
    pub heads: usize,
}

/// Pairs of B sequences in the order in which they are told, each B × T (i64).
#[derive(Debug)]
pub struct Pairs {
    /// Patches: of the first frame, then of the second, then of structures, each row by row.
    pub pointers: Tensor,
    /// Codes: a level, or [`Shape::structure`] of a structure's code.
    pub codes: Tensor,
}

/// The forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointers {
    /// Sizes.
    pub shape: Shape,
}

impl Shape {
    /// Patches of a frame.
    #[must_use]
    pub fn patches(&self) -> usize {
        self.side * self.side
    }

    /// The token of a structure's code.
    #[must_use]
    pub fn structure(&self, code: usize) -> i64 {
        size(self.levels + 1 + code)
    }

    /// The pointer of the structure at a patch of the first frame.
    #[must_use]
    pub fn pointer(&self, patch: usize) -> i64 {
        size(FRAMES * self.patches() + patch)
    }

    fn kinds(&self) -> usize {
        FRAMES + usize::from(self.codes > 0)
    }

    /// The transformer within: its tokens are codes, its positions the parts of pointers that are asked for.
    fn gpt(&self) -> Gpt {
        let Self { side, levels, codes, width, depth, heads } = *self;
        let (vocabulary, context) = (levels + 1 + codes, 2 * side + self.kinds());
        let shape = gpt::Shape { vocabulary, context, width, depth, heads, hidden: 4 * width };
        Gpt { shape, causal: true }
    }

    /// The vector of every pointer, then that of none, which is 0: those of its row, its column and its kind, added.
    fn vectors(&self, table: &Tensor) -> Result<Tensor, TchError> {
        let (side, patches, pointers) = (self.side, self.patches(), self.kinds() * self.patches());
        let last = 2 * side + self.kinds();
        let part = |of: &dyn Fn(usize) -> usize| {
            let each = (0..=pointers).map(|at| if at == pointers { last } else { of(at) });
            let rows: Vec<i64> = each.map(size).collect();
            Tensor::f_from_slice(&rows)?.f_to_device(table.device())
        };
        let parts = [
            part(&|at| at % patches / side)?,
            part(&|at| side + at % side)?,
            part(&|at| 2 * side + at / patches)?,
        ];
        let none = table.f_narrow(0, 0, 1)?.f_zeros_like()?;
        let all = Tensor::f_cat(&[table, &none], 0)?;
        let [row, column, kind] = parts.map(|part| all.f_index_select(0, &part));
        row?.f_add(&column?)?.f_add(&kind?)
    }
}

/// A network of this shape, its vocabulary without structures; initial values have the deviations of PyTorch's layers, tables
/// N(0, 1).
///
/// # Errors
/// When the width is no multiple of the number of heads, or libtorch cannot allocate.
pub fn pointers(shape: Shape, streams: &Streams, device: Device) -> Result<Network, LabError> {
    let shape = Shape { codes: 0, ..shape };
    let inner = shape.gpt();
    let mut network = gpt(inner.shape, streams, device)?;
    let rows = [inner.shape.context, shape.width].map(size);
    let values = streams::normal(&mut streams.generator("told"), inner.shape.context * shape.width);
    let tensor = Tensor::f_from_slice(&values)?.f_view(rows)?.f_to_device(device)?;
    let tensor = tensor.set_requires_grad(true);
    let name = "told.weight".to_owned();
    network.parameters.push(Parameter { name, layer: 0, role: Role::Embedding, tensor });
    spread(&network)?;
    network.body = Body::Own(Arc::new(Pointers { shape }));
    Ok(network)
}

impl Forward for Pointers {
    /// Logits of the levels of both frames' pixels, told row by row, from these levels.
    fn forward(&self, network: &Network, frames: &Tensor, _: bool) -> Result<Tensor, LabError> {
        let places = Tensor::f_arange(frames.size2()?.1, (Kind::Int64, frames.device()))?;
        let pointers = places.f_unsqueeze(0)?.f_expand_as(frames)?;
        let pairs = Pairs { pointers, codes: frames.shallow_clone() };
        Ok(self.logits(network, &pairs)?.f_narrow(-1, 0, size(self.shape.levels))?)
    }
}

impl Pointers {
    /// The transformer of `network`.
    ///
    /// # Errors
    /// When this is another network.
    pub fn of(network: &Network) -> Result<&Self, LabError> {
        let own = match &network.body {
            Body::Own(body) => (body.as_ref() as &dyn Any).downcast_ref(),
            _ => None,
        };
        own.ok_or_else(|| LabError::Network("the network has no pointers".to_owned()))
    }

    /// Logits of every code, B × T × vocabulary, each given the pairs before it and its own pointer.
    ///
    /// # Errors
    /// When a pointer or a code is none of this network.
    pub fn logits(&self, network: &Network, pairs: &Pairs) -> Result<Tensor, TchError> {
        let Pairs { pointers, codes } = pairs;
        let length = codes.size2()?.1;
        let before = |of: &Tensor, first: usize| -> Result<Tensor, TchError> {
            begun(of, first)?.f_narrow(1, 0, length)
        };
        let told = [before(pointers, self.none())?, before(codes, self.shape.levels)?];
        self.run(network, told, pointers, None)
    }

    /// −ln of the probability of every code among those of its kind, B × T.
    ///
    /// # Errors
    /// When a pointer or a code is none of this network.
    pub fn losses(&self, network: &Network, pairs: &Pairs) -> Result<Tensor, TchError> {
        let logits = self.logits(network, pairs)?;
        let Shape { levels, codes, .. } = self.shape;
        if codes == 0 {
            return token_losses(&logits.f_narrow(-1, 0, size(levels))?, &pairs.codes)?
                .f_contiguous();
        }
        let first = self.shape.pointer(0);
        let structure = pairs.pointers.f_ge(first)?.f_unsqueeze(-1)?;
        let tokens = Tensor::f_arange(size(levels + 1 + codes), (Kind::Int64, logits.device()))?;
        let of_pixels = tokens.f_lt(size(levels))?.f_logical_and(&structure.f_logical_not()?)?;
        let of_structures = tokens.f_gt(size(levels))?.f_logical_and(&structure)?;
        let others = of_pixels.f_logical_or(&of_structures)?.f_logical_not()?;
        token_losses(&logits.f_masked_fill(&others, f64::NEG_INFINITY)?, &pairs.codes)
    }

    /// Log-probabilities of the levels of pixels at the pointers `asked` (A of them), each given the pairs told and none of the
    /// others asked for: B × A × levels.
    ///
    /// # Errors
    /// When a pointer or a code is none of this network.
    pub fn predict(
        &self,
        network: &Network,
        told: &Pairs,
        asked: &Tensor,
    ) -> Result<Tensor, TchError> {
        let (rows, length) = told.codes.size2()?;
        let count = asked.size1()?;
        let before = |of: &Tensor, first: usize| -> Result<Tensor, TchError> {
            let all = begun(of, first)?;
            let last = all.f_narrow(1, length, 1)?.f_expand([rows, count], false)?;
            Tensor::f_cat(&[&all.f_narrow(1, 0, length)?, &last], 1)
        };
        let pairs = [before(&told.pointers, self.none())?, before(&told.codes, self.shape.levels)?];
        let asked = asked.f_unsqueeze(0)?.f_expand([rows, count], false)?;
        let asked = Tensor::f_cat(&[&told.pointers, &asked], 1)?;
        // What is told is seen from there on; what is asked for, by itself alone.
        let all = length + count;
        let options = (Kind::Bool, asked.device());
        let seen = Tensor::f_ones([all, all], options)?.f_tril(0)?;
        seen.f_narrow(0, length, count)?
            .f_narrow(1, length, count)?
            .f_copy_(&Tensor::f_eye(count, options)?)?;
        let logits = self.run(network, pairs, &asked, Some(&seen.f_unsqueeze(0)?))?;
        let own = logits.f_narrow(1, length, count)?;
        own.f_narrow(-1, 0, size(self.shape.levels))?.f_log_softmax(-1, Kind::Float)
    }

    /// The same network with `codes` codes of structures: rows for them, and for their pointers, behind those there are. Logits
    /// of what was there before stay as they are; those of the new codes begin at 0.
    ///
    /// # Errors
    /// When it has grown already, or libtorch cannot allocate.
    pub fn grown(network: &Network, codes: usize, streams: &Streams) -> Result<Network, LabError> {
        let Self { shape } = *Self::of(network)?;
        if shape.codes > 0 {
            return Err(LabError::Network("the vocabulary has grown already".to_owned()));
        }
        let mut grown = network.duplicate();
        let mut random = streams.generator("structures");
        let [weight, bias] = shape.gpt().head();
        let more = [(Gpt::TOKENS, codes), (Gpt::POSITIONS, 1), (shape.told(), 1)];
        for (index, rows) in more {
            let drawn = streams::normal(&mut random, rows * shape.width);
            let drawn = Tensor::f_from_slice(&drawn)?.f_view([size(rows), size(shape.width)])?;
            append(&mut grown.parameters[index], &drawn)?;
        }
        for (index, tail) in
            [(weight, vec![size(codes), size(shape.width)]), (bias, vec![size(codes)])]
        {
            append(
                &mut grown.parameters[index],
                &Tensor::f_zeros(&tail, (Kind::Float, Device::Cpu))?,
            )?;
        }
        grown.body = Body::Own(Arc::new(Self { shape: Shape { codes, ..shape } }));
        Ok(grown)
    }

    /// What stands for no pointer.
    fn none(&self) -> usize {
        self.shape.kinds() * self.shape.patches()
    }

    /// Logits B × T × vocabulary of slots that hold these pairs and ask for these pointers.
    fn run(
        &self,
        network: &Network,
        [pointers, codes]: [Tensor; 2],
        asked: &Tensor,
        seen: Option<&Tensor>,
    ) -> Result<Tensor, TchError> {
        let gpt = self.shape.gpt();
        let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let rows = |table: &Tensor, of: &Tensor| Tensor::f_embedding(table, of, -1, false, false);
        let vectors = |table: usize| self.shape.vectors(weights[table]);
        let x = rows(weights[Gpt::TOKENS], &codes)?
            .f_add(&rows(&vectors(self.shape.told())?, &pointers)?)?
            .f_add(&rows(&vectors(Gpt::POSITIONS)?, asked)?)?;
        let hidden = gpt.embedded(&weights, x, seen)?;
        let [weight, bias] = gpt.head().map(|index| weights[index]);
        // Old codes by themselves: what comes behind them moves none of their bits.
        let logits = |from: usize, count: usize| {
            let [weight, bias] =
                [weight, bias].map(|part| part.f_narrow(0, size(from), size(count)));
            hidden.f_linear(&weight?, Some(&bias?))
        };
        let Shape { levels, codes, .. } = self.shape;
        let old = logits(0, levels + 1)?;
        if codes == 0 {
            return Ok(old);
        }
        Tensor::f_cat(&[&old, &logits(levels + 1, codes)?], -1)
    }
}

impl Shape {
    /// Index of the table of the parts of pointers that were told.
    fn told(&self) -> usize {
        self.gpt().parameters()
    }
}

/// B × T as B × (T + 1), with `first` before it.
fn begun(of: &Tensor, first: usize) -> Result<Tensor, TchError> {
    let rows = of.size2()?.0;
    Tensor::f_cat(&[&Tensor::f_full([rows, 1], size(first), (Kind::Int64, of.device()))?, of], 1)
}

fn append(parameter: &mut Parameter, rows: &Tensor) -> Result<(), TchError> {
    let old = &parameter.tensor;
    let all =
        tch::no_grad(|| Tensor::f_cat(&[&old.f_detach()?, &rows.f_to_device(old.device())?], 0))?;
    parameter.tensor = all.set_requires_grad(true);
    Ok(())
}

fn size(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial;

    pub(crate) const SHAPE: Shape =
        Shape { side: 4, levels: 4, codes: 0, width: 16, depth: 2, heads: 2 };

    fn network() -> Network {
        pointers(SHAPE, &trial::streams(), Device::Cpu).unwrap()
    }

    /// Three sequences of ten pairs.
    fn pairs() -> Pairs {
        let ids = Tensor::arange(30, (Kind::Int64, Device::Cpu)).view([3, 10]);
        Pairs { pointers: (&ids * 7 + 3).remainder(32), codes: (&ids * &ids).remainder(4) }
    }

    fn distance(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn a_code_hangs_on_the_pairs_before_it_and_on_its_pointer_alone() {
        let network = network();
        let model = *Pointers::of(&network).unwrap();
        let before = model.logits(&network, &pairs()).unwrap();
        assert_eq!(before.size(), [3, 10, 5]);
        let other = |of: &Tensor| {
            let changed = of.copy();
            let seventh = changed.narrow(1, 6, 1);
            seventh.shallow_clone().copy_(&(&seventh + 1).remainder(4));
            changed
        };
        let Pairs { pointers, codes } = pairs();
        let of = |pointers: Tensor, codes: Tensor| {
            model.logits(&network, &Pairs { pointers, codes }).unwrap()
        };
        let told = of(pointers.copy(), other(&codes));
        assert!(distance(&before.narrow(1, 0, 7), &told.narrow(1, 0, 7)) < 1e-6);
        assert!(distance(&before.narrow(1, 7, 3), &told.narrow(1, 7, 3)) > 1e-4);
        let asked = of(other(&pointers), codes);
        assert!(distance(&before.narrow(1, 0, 6), &asked.narrow(1, 0, 6)) < 1e-6);
        assert!(distance(&before.narrow(1, 6, 1), &asked.narrow(1, 6, 1)) > 1e-4);
    }

    #[test]
    fn what_is_asked_beside_others_is_what_is_asked_alone_behind_the_same_pairs() {
        let network = network();
        let model = *Pointers::of(&network).unwrap();
        let (all, asked) = (pairs(), Tensor::from_slice(&[1_i64, 30, 17]));
        let beside = model.predict(&network, &all, &asked).unwrap();
        assert_eq!(beside.size(), [3, 3, 4]);
        for place in 0..3 {
            let pointer = asked.narrow(0, place, 1).expand([3, 1], false);
            let longer = Pairs {
                pointers: Tensor::cat(&[&all.pointers, &pointer], 1),
                codes: Tensor::cat(
                    &[&all.codes, &Tensor::zeros([3, 1], (Kind::Int64, Device::Cpu))],
                    1,
                ),
            };
            let alone = model.logits(&network, &longer).unwrap().narrow(1, 10, 1).narrow(-1, 0, 4);
            let alone = alone.log_softmax(-1, Kind::Float).squeeze_dim(1);
            assert!(distance(&alone, &beside.select(1, place)) < 1e-5);
        }
        // Nothing told.
        let none =
            Pairs { pointers: all.pointers.narrow(1, 0, 0), codes: all.codes.narrow(1, 0, 0) };
        let rows = model.predict(&network, &none, &asked).unwrap();
        assert!(distance(&rows.get(0), &rows.get(2)) < 1e-6);
    }

    #[test]
    fn a_vocabulary_that_grows_leaves_the_logits_of_old_codes_bit_for_bit() {
        let network = network();
        let grown = Pointers::grown(&network, 9, &trial::streams()).unwrap();
        let [old, new] = [&network, &grown].map(|network| *Pointers::of(network).unwrap());
        let [before, behind] = [(old, &network), (new, &grown)]
            .map(|(model, network)| model.logits(network, &pairs()).unwrap());
        assert_eq!(behind.size(), [3, 10, 14]);
        assert_eq!(values(&before).unwrap(), values(&behind.narrow(-1, 0, 5)).unwrap());
        assert_eq!(behind.narrow(-1, 5, 9).abs().max().double_value(&[]), 0.0);
        let [before, behind] = [(old, &network), (new, &grown)]
            .map(|(model, network)| model.losses(network, &pairs()).unwrap());
        assert_eq!(values(&before).unwrap(), values(&behind).unwrap());
        // Of nine codes none is likelier at first, and a structure that was told is seen.
        let with = |code: usize| {
            let Pairs { pointers, codes } = pairs();
            let _ = pointers.narrow(1, 2, 1).fill_(new.shape.pointer(5));
            let _ = codes.narrow(1, 2, 1).fill_(new.shape.structure(code));
            new.losses(&grown, &Pairs { pointers, codes }).unwrap()
        };
        let (one, other) = (with(0), with(8));
        assert!((one.double_value(&[0, 2]) - 9_f64.ln()).abs() < 1e-6);
        assert!(distance(&one.narrow(1, 3, 7), &other.narrow(1, 3, 7)) > 1e-4);
        assert!(Pointers::grown(&grown, 9, &trial::streams()).is_err());
    }

    #[test]
    fn a_plain_forward_pass_tells_both_frames_row_by_row() {
        let network = network();
        let frames = Tensor::arange(64, (Kind::Int64, Device::Cpu)).view([2, 32]).remainder(4);
        let places = Tensor::arange(32, (Kind::Int64, Device::Cpu)).expand([2, 32], false);
        let pairs = Pairs { pointers: places, codes: frames.copy() };
        let own = Pointers::of(&network).unwrap().logits(&network, &pairs).unwrap();
        let plain = network.forward(&frames, false).unwrap();
        assert_eq!(values(&own.narrow(-1, 0, 4)).unwrap(), values(&plain).unwrap());
    }
}
