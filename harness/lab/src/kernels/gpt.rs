//! A GPT's forward and backward pass, and its step by one token, as fused loops on the CPU.
//!
//! The loops (`gpt_loops.cpp`) keep what lies between the products of a block in the cache and use
//! the widest registers of the processor, chosen when the program runs. Every output is summed in
//! a fixed order, so that results repeat bit for bit and do not depend on what else is in a batch.

use std::ffi::{CStr, c_char};

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
        i64,
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
/// and both d and d / heads multiples of 16.
#[must_use]
pub fn fits(gpt: &Gpt, weights: &[&Tensor]) -> bool {
    let Shape { width, heads, .. } = gpt.shape;
    width % LANES == 0
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
    let mut output = std::ptr::null_mut();
    #[expect(
        unsafe_code,
        reason = "sizes, kinds and tokens were checked above; a null message \
                                    means that the output is a new tensor, owned from here on"
    )]
    unsafe {
        check(palimpsest_gpt_forward(
            loops.0,
            &raw const *&raw_shape(gpt),
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
    let Shape { vocabulary, context, width, depth, heads } = gpt.shape;
    let [vocabulary, context, width, depth, heads] =
        [vocabulary, context, width, depth, heads].map(|n| n as i64);
    RawShape { width, heads, depth, vocabulary, context, causal: gpt.causal }
}

/// Keys and values of some rows, all at the same position, and what a step needs beside them.
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
    /// `logits`, when there are any, receive V values per row.
    ///
    /// # Errors
    /// When a row, a token or the position is out of range, or the lengths differ.
    pub fn step(
        &mut self,
        rows: &[i64],
        tokens: &[i64],
        position: usize,
        logits: Option<&mut [f32]>,
    ) -> Result<(), TchError> {
        let vocabulary = self.gpt.shape.vocabulary;
        check_tokens(tokens, vocabulary)?;
        let valid = rows.iter().all(|&row| usize::try_from(row).is_ok_and(|row| row < self.rows));
        let fits = logits.as_ref().is_none_or(|logits| logits.len() == rows.len() * vocabulary);
        if !valid || !fits || rows.len() != tokens.len() || rows.len() > self.rows {
            return Err(TchError::Shape(format!("{} tokens for rows {rows:?}", tokens.len())));
        }
        if position >= self.capacity {
            let capacity = self.capacity;
            return Err(TchError::Shape(format!("position {position} of a cache of {capacity}")));
        }
        #[expect(
            unsafe_code,
            reason = "all indices were checked above, and the buffers are of \
                                        the sizes that the loops asked for; the weights are \
                                        borrowed for the life of the decoder"
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
                tokens.as_ptr(),
                rows.len() as i64,
                position as i64,
                self.scratch.as_mut_ptr(),
                logits.map_or(std::ptr::null_mut(), <[f32]>::as_mut_ptr),
            );
        }
        Ok(())
    }

    /// Makes row `to` a copy of row `from` over the positions below `length`.
    pub fn copy_row(&mut self, from: usize, to: usize) {
        let row = 2 * self.gpt.shape.width * self.capacity.next_multiple_of(LANES);
        for layer in 0..self.gpt.shape.depth {
            let start = layer * self.rows * row;
            let source = start + from * row;
            self.cache.copy_within(source..source + row, start + to * row);
        }
    }
}
