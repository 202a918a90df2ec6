//! A GPT's forward and backward pass, and its step by one token, as fused loops on the CPU.
//!
//! The loops (`gpt_loops.cpp`) keep what lies between the products of a block in the cache and use
//! the widest registers of the processor, chosen when the program runs. Every output is summed in
//! a fixed order, so that results repeat bit for bit and do not depend on what else is in a batch.

use std::ffi::{CStr, c_char};
use std::ops::Range;

use tch::{Device, Kind, TchError, Tensor};
use torch_sys::C_tensor;

use super::{check, handles};
use crate::models::gpt::{Gpt, Shape};

/// The smallest unit that widths are multiples of.
const LANES: usize = 16;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct RawShape {
    width: i64,
    heads: i64,
    depth: i64,
    vocabulary: i64,
    context: i64,
    causal: bool,
}

type Parameters = *const *const f32;

/// `GptLoops` of `gpt.h`. What only the C++ side calls is opaque here.
#[repr(C)]
struct RawLoops {
    name: *const c_char,
    packed_size: unsafe extern "C" fn(*const RawShape) -> i64,
    pack: unsafe extern "C" fn(*const RawShape, Parameters, *mut f32),
    training: [*const (); 4],
    cache_size: unsafe extern "C" fn(*const RawShape, i64, i64) -> i64,
    step_size: unsafe extern "C" fn(*const RawShape, i64, i64) -> i64,
    step: unsafe extern "C" fn(
        *const RawShape,
        Parameters,
        *const f32,
        *mut f32,
        i64,
        i64,
        *const i64,
        *const i64,
        *const i64,
        *const i64,
        i64,
        *mut f32,
        *mut f32,
    ),
}

#[expect(unsafe_code, reason = "declarations of the functions in gpt.cpp")]
unsafe extern "C" {
    fn palimpsest_gpt_loops(index: usize) -> *const RawLoops;
    fn palimpsest_gpt_forward(
        loops: *const RawLoops,
        shape: *const RawShape,
        head: bool,
        tokens: *const C_tensor,
        parameters: *const *mut C_tensor,
        count: usize,
        output: *mut *mut C_tensor,
    ) -> *mut c_char;
}

/// One set of loops, made for an instruction set that this processor has.
#[derive(Clone, Copy)]
pub struct Loops(&'static RawLoops);

impl Loops {
    /// The best ones for this processor.
    #[must_use]
    pub fn best() -> Self {
        // There is always the base set.
        Self::all().next().unwrap_or_else(|| unreachable!("the base loops run everywhere"))
    }

    /// All that run on this processor, best first.
    pub fn all() -> impl Iterator<Item = Self> {
        #[expect(unsafe_code, reason = "null, or the address of a constant of the program")]
        (0..).map_while(|index| unsafe { palimpsest_gpt_loops(index).as_ref() }.map(Self))
    }

    /// Name of the instruction set: `avx512`, `avx2` or `base`.
    #[must_use]
    pub fn name(self) -> String {
        #[expect(unsafe_code, reason = "a string constant of the C++ side")]
        unsafe { CStr::from_ptr(self.0.name) }.to_string_lossy().into_owned()
    }
}

impl std::fmt::Debug for Loops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Loops").field(&self.name()).finish()
    }
}

/// Whether the loops can take this network: f32 in plain order on the CPU, of the shape's sizes,
/// both d and d / heads multiples of 16, and an MLP of width 4d.
#[must_use]
pub fn fits(gpt: &Gpt, weights: &[&Tensor]) -> bool {
    let Shape { width, heads, hidden, .. } = gpt.shape;
    width % LANES == 0
        && hidden == 4 * width
        && heads > 0
        && (width / heads) % LANES == 0
        && weights.len() >= gpt.parameters()
        && weights.iter().zip(gpt.sizes()).all(|(weight, size)| {
            weight.device() == Device::Cpu
                && weight.kind() == Kind::Float
                && weight.is_contiguous()
                && weight.size() == size
        })
}

/// Logits B × T × V, or with `head` off hidden states B × T × d, of tokens B × T (i64). Gradients
/// flow to the parameters, once: there are no second derivatives.
///
/// # Errors
/// When [`fits`] says no, T exceeds the context or a token the vocabulary.
pub fn forward(
    loops: Loops,
    gpt: &Gpt,
    weights: &[&Tensor],
    tokens: &Tensor,
    head: bool,
) -> Result<Tensor, TchError> {
    let Shape { vocabulary, context, .. } = gpt.shape;
    let (batch, length) = tokens.size2()?;
    let tokens = tokens.f_to_device(Device::Cpu)?.f_to_kind(Kind::Int64)?.f_contiguous()?;
    if !fits(gpt, weights) || batch == 0 || length == 0 || length > context as i64 {
        let (sizes, shape) = (tokens.size(), gpt.shape);
        return Err(TchError::Shape(format!("tokens {sizes:?} do not fit a GPT of {shape:?}")));
    }
    #[expect(unsafe_code, reason = "batch × length i64 values of a live, contiguous CPU tensor")]
    let ids = unsafe {
        std::slice::from_raw_parts(tokens.data_ptr().cast::<i64>(), (batch * length) as usize)
    };
    check_tokens(ids, vocabulary)?;
    let weights = &weights[..gpt.parameters()];
    let shape = raw_shape(gpt);
    let mut output = std::ptr::null_mut();
    #[expect(
        unsafe_code,
        reason = "sizes, kinds and tokens were checked above; a null message \
                                    means that the output is a new tensor, owned from here on"
    )]
    unsafe {
        check(palimpsest_gpt_forward(
            loops.0,
            &raw const shape,
            head,
            tokens.as_ptr(),
            handles(weights.iter().copied()).as_ptr(),
            weights.len(),
            &raw mut output,
        ))?;
        Ok(Tensor::from_ptr(output))
    }
}

fn check_tokens(ids: &[i64], vocabulary: usize) -> Result<(), TchError> {
    match ids.iter().find(|&&id| usize::try_from(id).map_or(true, |id| id >= vocabulary)) {
        Some(id) => Err(TchError::Shape(format!("token {id} is not among {vocabulary}"))),
        None => Ok(()),
    }
}

fn raw_shape(gpt: &Gpt) -> RawShape {
    let Shape { vocabulary, context, width, depth, heads, .. } = gpt.shape;
    let [vocabulary, context, width, depth, heads] =
        [vocabulary, context, width, depth, heads].map(|n| n as i64);
    RawShape { width, heads, depth, vocabulary, context, causal: gpt.causal }
}

/// Where a token is kept, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Row of the cache.
    pub row: usize,
    /// Slot of the row, behind all that it holds.
    pub slot: usize,
    /// Position, no further than the slot: nearer where some of what the token sees stands side by side.
    pub position: usize,
}

/// Keys and values of some rows, each as long as it is, and what a step needs beside them.
pub struct Decoder<'a> {
    loops: Loops,
    gpt: &'a Gpt,
    shape: RawShape,
    weights: Vec<*const f32>,
    packed: Vec<f32>,
    cache: Vec<f32>,
    scratch: Vec<f32>,
    rows: usize,
    capacity: usize,
    /// The weights' tensors, which stay unchanged as long.
    _borrow: std::marker::PhantomData<&'a Tensor>,
}

impl std::fmt::Debug for Decoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { gpt, rows, capacity, .. } = self;
        write!(f, "Decoder {{ {gpt:?}, rows: {rows}, capacity: {capacity} }}")
    }
}

impl<'a> Decoder<'a> {
    /// An empty cache for `rows` rows of up to `capacity` positions.
    ///
    /// # Errors
    /// When [`fits`] says no, or the capacity exceeds the context.
    pub fn new(
        loops: Loops,
        gpt: &'a Gpt,
        weights: &'a [&'a Tensor],
        rows: usize,
        capacity: usize,
    ) -> Result<Self, TchError> {
        if !fits(gpt, weights) || !gpt.causal || capacity > gpt.shape.context {
            let shape = gpt.shape;
            let message = format!("{capacity} positions do not fit a causal GPT of {shape:?}");
            return Err(TchError::Shape(message));
        }
        let shape = raw_shape(gpt);
        let weights: Vec<_> = weights[..gpt.parameters()]
            .iter()
            .map(|weight| weight.data_ptr().cast_const().cast::<f32>())
            .collect();
        let raw = loops.0;
        let zeros = |count: i64| vec![0.0; usize::try_from(count).unwrap_or(0)];
        #[expect(unsafe_code, reason = "sizes were checked above, and pack fills what it sized")]
        let (packed, cache, scratch) = unsafe {
            let mut packed = zeros((raw.packed_size)(&raw const shape));
            (raw.pack)(&raw const shape, weights.as_ptr(), packed.as_mut_ptr());
            let cache = (raw.cache_size)(&raw const shape, rows as i64, capacity as i64);
            let scratch = (raw.step_size)(&raw const shape, rows as i64, capacity as i64);
            (packed, zeros(cache), zeros(scratch))
        };
        let _borrow = std::marker::PhantomData;
        Ok(Self { loops, gpt, shape, weights, packed, cache, scratch, rows, capacity, _borrow })
    }

    /// Feeds `tokens[i]` at `position` to row `rows[i]`, whose earlier positions were fed before;
    /// gives V logits per row, or none when they are not `wanted`.
    ///
    /// # Errors
    /// When a row, a token or the position is out of range, or the lengths differ.
    pub fn step(
        &mut self,
        rows: &[usize],
        tokens: &[i64],
        position: usize,
        wanted: bool,
    ) -> Result<Vec<f32>, TchError> {
        let places = rows.iter().map(|&row| Place { row, slot: position, position });
        self.step_at(&places.collect::<Vec<_>>(), tokens, wanted)
    }

    /// [`Decoder::step`] of tokens each in a place of its own.
    ///
    /// # Errors
    /// When a row, a token, a slot or a position is out of range, or the lengths differ.
    pub fn step_at(
        &mut self,
        places: &[Place],
        tokens: &[i64],
        wanted: bool,
    ) -> Result<Vec<f32>, TchError> {
        let Shape { vocabulary, .. } = self.gpt.shape;
        check_tokens(tokens, vocabulary)?;
        let within = |&Place { row, slot, position }: &Place| {
            row < self.rows && position <= slot && slot < self.capacity
        };
        if places.len() != tokens.len() || places.len() > self.rows || !places.iter().all(within) {
            let (count, size, capacity) = (tokens.len(), self.rows, self.capacity);
            return Err(TchError::Shape(format!(
                "{count} tokens at {places:?} of {size} × {capacity}"
            )));
        }
        let each = |part: fn(&Place) -> usize| -> Vec<i64> {
            places.iter().map(|place| part(place) as i64).collect()
        };
        let (rows, slots) = (each(|place| place.row), each(|place| place.slot));
        let positions = each(|place| place.position);
        let mut logits = vec![0.0; if wanted { rows.len() * vocabulary } else { 0 }];
        let output = if wanted { logits.as_mut_ptr() } else { std::ptr::null_mut() };
        #[expect(
            unsafe_code,
            reason = "all indices were checked above, the buffers have the sizes that the loops \
                      asked for, and the weights are borrowed for the life of the decoder"
        )]
        unsafe {
            (self.loops.0.step)(
                &raw const self.shape,
                self.weights.as_ptr(),
                self.packed.as_ptr(),
                self.cache.as_mut_ptr(),
                self.rows as i64,
                self.capacity as i64,
                rows.as_ptr(),
                slots.as_ptr(),
                positions.as_ptr(),
                tokens.as_ptr(),
                rows.len() as i64,
                self.scratch.as_mut_ptr(),
                output,
            );
        }
        Ok(logits)
    }

    /// Puts what row `from` holds in `slots` into row `to`, from its slot `at` on.
    ///
    /// # Errors
    /// When a row or a slot is out of range.
    pub fn append(
        &mut self,
        from: usize,
        slots: Range<usize>,
        to: usize,
        at: usize,
    ) -> Result<(), TchError> {
        let fits = slots.end <= self.capacity && at + slots.len() <= self.capacity;
        if from >= self.rows || to >= self.rows || !fits {
            let (size, capacity) = (self.rows, self.capacity);
            return Err(TchError::Shape(format!(
                "slots {slots:?} of row {from} do not fit row {to} at {at}, of {size} × {capacity}"
            )));
        }
        // Of each head keys, head width × padded capacity, then values, the other way round.
        let Shape { width, heads, depth, .. } = self.gpt.shape;
        let (wide, padded) = (width / heads, self.capacity.next_multiple_of(LANES));
        for part in (0..depth).flat_map(|layer| (0..heads).map(move |head| (layer, head))) {
            let start =
                |row: usize| ((part.0 * self.rows + row) * heads + part.1) * 2 * wide * padded;
            let (source, target) = (start(from), start(to));
            for channel in (0..wide).map(|channel| channel * padded) {
                let keys = source + channel + slots.start..source + channel + slots.end;
                self.cache.copy_within(keys, target + channel + at);
            }
            let values = wide * padded;
            let [first, last] = [slots.start, slots.end].map(|slot| source + values + slot * wide);
            self.cache.copy_within(first..last, target + values + at * wide);
        }
        Ok(())
    }

    /// Makes row `to` a copy of row `from`.
    pub fn copy_row(&mut self, from: usize, to: usize) {
        let row = 2 * self.gpt.shape.width * self.capacity.next_multiple_of(LANES);
        for layer in 0..self.gpt.shape.depth {
            let start = layer * self.rows * row;
            let source = start + from * row;
            self.cache.copy_within(source..source + row, start + to * row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gpt::{bidirectional, gpt};
    use crate::network::{Network, values};
    use crate::trial;

    /// Lengths around the 16 lanes, a vocabulary and head that are no multiples of them.
    const SHAPE: Shape =
        Shape { vocabulary: 21, context: 40, width: 48, depth: 2, heads: 3, hidden: 192 };

    fn tokens(batch: i64, length: i64) -> Tensor {
        let ids = Tensor::arange(batch * length, (Kind::Int64, Device::Cpu));
        (&ids * &ids * 5 + &ids * 3).remainder(21).view([batch, length])
    }

    /// With biases and scales away from 0 and 1, and larger weights.
    fn network(causal: bool) -> Network {
        let build = if causal { gpt } else { bidirectional };
        let network = build(SHAPE, &trial::streams(), Device::Cpu).unwrap();
        let mut stream = trial::streams().generator("test");
        for parameter in &network.parameters {
            let noise = ledger::streams::normal(&mut stream, parameter.tensor.numel());
            let noise = Tensor::from_slice(&noise).view_as(&parameter.tensor) * 0.1;
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().g_add_(&noise));
        }
        network
    }

    /// Output and gradients of a loss that weighs every output differently.
    fn trace(network: &Network, outputs: &Tensor) -> Vec<Vec<f32>> {
        let factors = Tensor::arange(outputs.numel() as i64, (Kind::Float, Device::Cpu)).sin();
        let loss = (outputs * factors.view_as(outputs)).sum(None::<Kind>);
        let used = if outputs.size()[2] == 21 { 30 } else { 28 };
        let tensors: Vec<_> = network.parameters[..used].iter().map(|p| &p.tensor).collect();
        let gradients = Tensor::run_backward(&[loss], &tensors, false, false);
        let all = std::iter::once(outputs).chain(&gradients);
        all.map(|tensor| values(tensor).unwrap()).collect()
    }

    fn plain(network: &Network, tokens: &Tensor, head: bool) -> Tensor {
        let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let gpt = Gpt::of(network).unwrap();
        let hidden = gpt.plain(&weights, tokens).unwrap();
        if head { gpt.logits(network, &hidden).unwrap() } else { hidden }
    }

    fn fused(network: &Network, tokens: &Tensor, head: bool, loops: Loops) -> Tensor {
        let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        forward(loops, Gpt::of(network).unwrap(), &weights, tokens, head).unwrap()
    }

    /// Largest difference over the largest value.
    fn error(a: &[f32], b: &[f32]) -> f32 {
        let largest = b.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        a.iter().zip(b).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / largest
    }

    #[test]
    fn values_and_gradients_are_those_of_plain_operations() {
        for (causal, batch, length, head) in
            [(true, 3, 33, true), (true, 9, 17, false), (false, 2, 16, true), (true, 150, 1, true)]
        {
            let network = network(causal);
            let tokens = tokens(batch, length);
            let expected = trace(&network, &plain(&network, &tokens, head));
            for loops in Loops::all() {
                let got = trace(&network, &fused(&network, &tokens, head, loops));
                for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
                    let error = error(got, expected);
                    assert!(error < 2e-5, "{loops:?}, {length}, tensor {index}: {error}");
                }
            }
        }
    }

    #[test]
    fn instruction_sets_with_fused_multiply_adds_agree_bit_for_bit() {
        let (network, tokens) = (network(true), tokens(4, 33));
        let trace = |loops| trace(&network, &fused(&network, &tokens, true, loops));
        let mut same = Loops::all().filter(|loops| loops.name() != "base").map(trace);
        if let Some(first) = same.next() {
            assert!(same.all(|other| other == first));
        }
    }

    #[test]
    fn a_row_is_the_same_bit_for_bit_in_every_batch_and_every_time() {
        let (network, tokens) = (network(true), tokens(9, 20));
        let run = |rows: &Tensor| fused(&network, rows, true, Loops::best());
        let all = run(&tokens);
        assert_eq!(all, run(&tokens));
        for row in 0..9 {
            assert_eq!(all.narrow(0, row, 1), run(&tokens.narrow(0, row, 1)));
        }
    }

    #[test]
    fn a_cache_gives_the_logits_of_the_forward_pass_bit_for_bit() {
        let (network, tokens) = (network(true), tokens(5, 40));
        let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let gpt = Gpt::of(&network).unwrap();
        for loops in Loops::all() {
            let expected = values(&fused(&network, &tokens, true, loops)).unwrap();
            let mut decoder = Decoder::new(loops, gpt, &weights, 6, 40).unwrap();
            // Rows in any order, in any place.
            let rows = [5, 0, 2, 4, 1];
            for position in 0..40 {
                let ids: Vec<i64> = tokens.select(1, position as i64).try_into().unwrap();
                let logits = decoder.step(&rows, &ids, position, true).unwrap();
                for (row, logits) in logits.chunks(21).enumerate() {
                    let start = (row * 40 + position) * 21;
                    assert_eq!(logits, &expected[start..start + 21], "{loops:?} {position}");
                }
            }
        }
    }

    /// Row r begins r steps after the first.
    #[test]
    fn rows_that_are_at_different_places_go_through_a_step_together_bit_for_bit() {
        let (network, tokens) = (network(true), tokens(5, 30));
        let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let gpt = Gpt::of(&network).unwrap();
        for loops in Loops::all() {
            let expected = values(&fused(&network, &tokens, true, loops)).unwrap();
            let mut decoder = Decoder::new(loops, gpt, &weights, 5, 30).unwrap();
            for step in 0..34_usize {
                let due = (0..5).filter(|row| (*row..row + 30).contains(&step));
                let places: Vec<Place> =
                    due.map(|row| Place { row, slot: step - row, position: step - row }).collect();
                let id = |place: &Place| tokens.int64_value(&[place.row as i64, place.slot as i64]);
                let ids: Vec<i64> = places.iter().map(id).collect();
                let logits = decoder.step_at(&places, &ids, true).unwrap();
                for (place, logits) in places.iter().zip(logits.chunks(21)) {
                    let start = (place.row * 30 + place.slot) * 21;
                    assert_eq!(logits, &expected[start..start + 21], "{loops:?} {place:?}");
                }
            }
        }
    }

    #[test]
    fn gradients_of_the_last_layers_alone_are_the_same() {
        let (network, tokens) = (network(true), tokens(4, 12));
        let gradients = |from: usize| {
            let tensors: Vec<_> = network.parameters[from..].iter().map(|p| &p.tensor).collect();
            let loss = network.forward(&tokens, true).unwrap().square().mean(None::<Kind>);
            Tensor::run_backward(&[loss], &tensors, false, false)
        };
        let all = gradients(0);
        for from in [2, 14, 20, 26, 29] {
            assert_eq!(all[from..], gradients(from), "from parameter {from}");
        }
    }

    #[test]
    fn second_derivatives_are_refused_not_wrong() {
        let (network, tokens) = (network(true), tokens(2, 4));
        let loss = network.forward(&tokens, true).unwrap().square().mean(None::<Kind>);
        let tensors: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let error = Tensor::f_run_backward(&[loss], &tensors, true, true).unwrap_err();
        assert!(error.to_string().contains("no second derivatives"), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let network = network(true);
        assert!(network.forward(&(tokens(2, 4) + 1).clamp_max(20), false).is_ok());
        assert!(network.forward(&(tokens(2, 4) + 20), false).is_err(), "a token outside");
        assert!(network.forward(&(tokens(2, 4) - 21), false).is_err(), "a negative token");
        assert!(network.forward(&tokens(2, 41), false).is_err(), "beyond the context");
        let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let gpt = Gpt::of(&network).unwrap();
        assert!(Decoder::new(Loops::best(), gpt, &weights, 2, 41).is_err());
        let mut decoder = Decoder::new(Loops::best(), gpt, &weights, 2, 8).unwrap();
        assert!(decoder.step(&[2], &[0], 0, true).is_err(), "a row outside");
        assert!(decoder.step(&[1], &[0], 8, true).is_err(), "a position outside");
        assert!(decoder.step(&[1], &[21], 0, true).is_err(), "a token outside");
        let beyond = Place { row: 1, slot: 2, position: 3 };
        assert!(decoder.step_at(&[beyond], &[0], true).is_err(), "a position beyond its slot");
        assert!(decoder.append(0, 0..9, 1, 0).is_err() && decoder.append(0, 0..2, 1, 7).is_err());
        assert!(decoder.append(0, 0..2, 2, 0).is_err(), "a row outside");
    }
}
