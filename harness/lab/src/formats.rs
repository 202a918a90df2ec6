//! Number formats of few bits, emulated: values are kept as f32 and rounded onto the format's grid.
//!
//! | name | values | scale |
//! | --- | --- | --- |
//! | `bf16` | 8 bits of exponent, 7 of mantissa | none |
//! | `fp8-e4m3`, `fp8-e5m2` | largest 448 and 57,344 | largest magnitude of the tensor (Micikevicius et al., arXiv:2209.05433) |
//! | `int8`, `int8-row` | −127 to 127 | the same, of the tensor or of each row |
//! | `fixed` | multiples of 2^−FL in a word of b bits | none (Gupta et al., arXiv:1502.02551) |
//! | `bfp8` | −128 to 127 | a power of two per block (SWALP, arXiv:1904.11943) |
//! | `mx…` | OCP Microscaling: `int8`, `fp8`, `fp6`, `fp4` elements | a power of two per block of 32 along the reduced dimension |
//!
//! Rounding is to nearest, halves to even, or stochastic: ⌊x/δ + u⌋·δ with u uniform in [0, 1).

pub mod learned;
pub mod places;
pub mod stored;
pub mod tap;

use ledger::choice;
use tch::{Kind, TchError, Tensor};

choice! {
    /// A number format.
    pub enum Format {
        /// Single precision.
        Single = "f32",
        /// Brain float.
        Bf16 = "bf16",
        /// Eight bits of float, four of exponent, scaled by tensor.
        E4m3 = "fp8-e4m3",
        /// Eight bits of float, five of exponent, scaled by tensor.
        E5m2 = "fp8-e5m2",
        /// Whole numbers, scaled by tensor.
        Int8 = "int8",
        /// Whole numbers, scaled by row.
        Int8Row = "int8-row",
        /// Fixed point.
        Fixed = "fixed",
        /// Block floating point of eight bits.
        Bfp8 = "bfp8",
        /// Microscaling, whole numbers.
        MxInt8 = "mxint8",
        /// Microscaling, four bits of exponent.
        MxE4m3 = "mxfp8-e4m3",
        /// Microscaling, five bits of exponent.
        MxE5m2 = "mxfp8-e5m2",
        /// Microscaling, six bits, three of exponent.
        MxE3m2 = "mxfp6-e3m2",
        /// Microscaling, six bits, two of exponent.
        MxE2m3 = "mxfp6-e2m3",
        /// Microscaling, four bits.
        MxE2m1 = "mxfp4",
    }
}

/// Values per shared scale of the `mx` formats.
const MX_BLOCK: i64 = 32;
/// Bits of an f32 that hold its exponent.
const EXPONENT_BITS: i64 = 0x7f80_0000;
/// Takes the place of a scale where all values are 0 (or as good as); its reciprocal is finite.
const TINY: f64 = 1e-30;

/// What a floating-point element can hold.
#[derive(Debug, Clone, Copy)]
struct Element {
    /// Bits of mantissa behind the leading one.
    mantissa: i32,
    /// Exponent of the smallest normal value.
    smallest: i32,
    /// Exponent of the largest value: `emax` of the Microscaling specification.
    exponent: i32,
    /// Largest value.
    largest: f64,
}

impl Element {
    const fn new(mantissa: i32, smallest: i32, exponent: i32, largest: f64) -> Self {
        Self { mantissa, smallest, exponent, largest }
    }

    const BF16: Self = Self::new(7, -126, 127, 3.389_531_389_251_535_5e38);
    const E4M3: Self = Self::new(3, -6, 8, 448.0);
    const E5M2: Self = Self::new(2, -14, 15, 57_344.0);
    const E3M2: Self = Self::new(2, -2, 4, 28.0);
    const E2M3: Self = Self::new(3, 0, 2, 7.5);
    const E2M1: Self = Self::new(1, 0, 2, 6.0);
    /// Steps of 1/64 throughout: a mantissa of six bits below 2, without smaller steps.
    const INT8: Self = Self::new(6, 0, 0, 127.0 / 64.0);

    /// `values` on this element's grid, what is beyond the largest held to it.
    fn round(self, values: &Tensor, noise: Option<&Tensor>) -> Result<Tensor, TchError> {
        // The power of two below a value is its exponent's bits alone, so that all of this is exact.
        let power = values.f_view_dtype(Kind::Int)?.f_bitwise_and(EXPONENT_BITS)?;
        let power = power.f_view_dtype(Kind::Float)?.f_clamp_min(2f64.powi(self.smallest))?;
        let step = power.f_mul_scalar(2f64.powi(-self.mantissa))?;
        let mut whole = to_whole(values.f_div(&step)?, noise)?;
        let _ = whole.f_mul_(&step)?.f_clamp_(-self.largest, self.largest)?;
        Ok(whole)
    }
}

/// A format with what it leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantiser {
    /// The format.
    pub format: Format,
    /// Bits of a word of `fixed`, its sign included.
    pub word_bits: u32,
    /// Of these, bits behind the point: FL.
    pub fraction_bits: u32,
    /// Values per shared exponent of `bfp8`; 0 for a whole row.
    pub block: u32,
}

impl Quantiser {
    /// Whether values pass as they are.
    #[must_use]
    pub fn is_single(self) -> bool {
        self.format == Format::Single
    }

    /// `values` rounded onto the grid, to nearest, or stochastically with `noise`, uniform in [0, 1) and of their
    /// shape. `scale` takes the place of the largest magnitude in formats that are scaled by tensor.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn round(
        self,
        values: &Tensor,
        noise: Option<&Tensor>,
        scale: Option<&Tensor>,
    ) -> Result<Tensor, TchError> {
        let scaled = |element: Element| {
            let largest = match scale {
                Some(scale) => scale.shallow_clone(),
                None => largest_of(values)?,
            };
            let scale = largest.f_clamp_min(TINY)?.f_reciprocal()?.f_mul_scalar(element.largest)?;
            let mut rounded = element.round(&values.f_mul(&scale)?, noise)?;
            let _ = rounded.f_div_(&scale)?;
            Ok(rounded)
        };
        match self.format {
            Format::Single => Ok(values.shallow_clone()),
            Format::Bf16 if noise.is_none() => {
                values.f_to_kind(Kind::BFloat16)?.f_to_kind(Kind::Float)
            }
            Format::Bf16 => Element::BF16.round(values, noise),
            Format::E4m3 => scaled(Element::E4M3),
            Format::E5m2 => scaled(Element::E5M2),
            Format::Int8 => {
                let largest = match scale {
                    Some(scale) => scale.shallow_clone(),
                    None => largest_of(values)?,
                };
                whole_numbers(values, &largest, noise)
            }
            Format::Int8Row => {
                let inner: Vec<i64> = (1..).take(values.dim().saturating_sub(1)).collect();
                let largest = values.f_abs()?.f_amax(inner.as_slice(), true)?;
                whole_numbers(values, &largest, noise)
            }
            Format::Fixed => {
                let step = 2f64.powi(-(self.fraction_bits as i32));
                let most = 2f64.powi(self.word_bits as i32 - 1);
                let whole = to_whole(values.f_mul_scalar(step.recip())?, noise)?;
                whole.f_clamp(-most, most - 1.0)?.f_mul_scalar(step)
            }
            Format::Bfp8 => in_blocks(values, i64::from(self.block), noise, |values, noise| {
                let step = power_of_largest(values)?.f_mul_scalar(2f64.powi(-6))?;
                to_whole(values.f_div(&step)?, noise)?.f_clamp(-128.0, 127.0)?.f_mul(&step)
            }),
            Format::MxInt8 => microscaled(values, Element::INT8, noise),
            Format::MxE4m3 => microscaled(values, Element::E4M3, noise),
            Format::MxE5m2 => microscaled(values, Element::E5M2, noise),
            Format::MxE3m2 => microscaled(values, Element::E3M2, noise),
            Format::MxE2m3 => microscaled(values, Element::E2M3, noise),
            Format::MxE2m1 => microscaled(values, Element::E2M1, noise),
        }
    }
}

/// Largest magnitude, of no shape: in one pass where magnitudes would take two.
fn largest_of(values: &Tensor) -> Result<Tensor, TchError> {
    let (least, most) = values.f_aminmax(None::<i64>, false)?;
    most.f_maximum(&least.f_neg()?)
}

/// The whole number next to each value, or one of its two neighbours by `noise`; in place.
fn to_whole(mut values: Tensor, noise: Option<&Tensor>) -> Result<Tensor, TchError> {
    let _ = match noise {
        None => values.f_round_()?,
        Some(noise) => values.f_add_(noise)?.f_floor_()?,
    };
    Ok(values)
}

fn whole_numbers(
    values: &Tensor,
    largest: &Tensor,
    noise: Option<&Tensor>,
) -> Result<Tensor, TchError> {
    let scale = largest.f_clamp_min(TINY)?.f_reciprocal()?.f_mul_scalar(127.0)?;
    let mut whole = to_whole(values.f_mul(&scale)?, noise)?;
    let _ = whole.f_clamp_(-127.0, 127.0)?.f_div_(&scale)?;
    Ok(whole)
}

/// 2 to the exponent of the largest magnitude of each block, blocks × 1.
fn power_of_largest(blocks: &Tensor) -> Result<Tensor, TchError> {
    let largest = blocks.f_abs()?.f_amax([-1_i64].as_slice(), true)?.f_clamp_min(TINY)?;
    largest.f_view_dtype(Kind::Int)?.f_bitwise_and(EXPONENT_BITS)?.f_view_dtype(Kind::Float)
}

fn microscaled(
    values: &Tensor,
    element: Element,
    noise: Option<&Tensor>,
) -> Result<Tensor, TchError> {
    in_blocks(values, MX_BLOCK, noise, |values, noise| {
        let scale = power_of_largest(values)?.f_mul_scalar(2f64.powi(-element.exponent))?;
        element.round(&values.f_div(&scale)?, noise)?.f_mul(&scale)
    })
}

/// Applies `round` to blocks × `block` values along the dimension that products reduce: channels of N × C × H × W
/// and of out × in × k × k, else the last. The end of a row is filled with zeros; 0 makes one block of it.
fn in_blocks(
    values: &Tensor,
    block: i64,
    noise: Option<&Tensor>,
    round: impl Fn(&Tensor, Option<&Tensor>) -> Result<Tensor, TchError>,
) -> Result<Tensor, TchError> {
    let last = |tensor: &Tensor| match tensor.dim() {
        4 => tensor.f_permute([0, 2, 3, 1]),
        0 => tensor.f_view([1]),
        _ => Ok(tensor.shallow_clone()),
    };
    let rows = last(values)?;
    let shape = rows.size();
    let width = shape.last().copied().unwrap_or(1).max(1);
    let block = if block == 0 { width } else { block.min(width) };
    let missing = (block - width % block) % block;
    let cut = |tensor: &Tensor| {
        let flat = last(tensor)?.f_reshape([-1, width])?;
        flat.f_constant_pad_nd([0, missing])?.f_reshape([-1, block])
    };
    let noise = noise.map(cut).transpose()?;
    let rounded = round(&cut(values)?, noise.as_ref())?;
    let rows = rounded.f_view([-1, width + missing])?.f_narrow(1, 0, width)?;
    let rows = rows.f_reshape(&shape)?;
    if values.dim() == 4 { rows.f_permute([0, 3, 1, 2]) } else { rows.f_view_as(values) }
}

#[cfg(test)]
mod tests;
