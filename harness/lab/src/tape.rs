//! Rows of tokens that go forward and back, each by itself: a cache of keys and values that can be cut to what is kept.
//!
//! What is fed behind a cut takes the place of what was there, so that a row's logits are those of its tokens alone,
//! whatever was fed and cut before and whatever other rows hold.

use tch::{TchError, Tensor};

use crate::kernels::gpt::{Decoder, Loops, Place, fits};
use crate::models::gpt::Gpt;
use crate::network::values;

/// The rows.
#[derive(Debug)]
pub struct Tape<'a> {
    gpt: &'a Gpt,
    weights: &'a [&'a Tensor],
    /// None where the fused loops do not run: then every look is a forward pass over all tokens of a row.
    cache: Option<Decoder<'a>>,
    rows: Vec<Vec<i64>>,
}

impl<'a> Tape<'a> {
    /// Empty rows of up to `capacity` tokens, read by a transformer with these weights.
    ///
    /// # Errors
    /// When the capacity exceeds the context.
    pub fn new(
        gpt: &'a Gpt,
        weights: &'a [&'a Tensor],
        rows: usize,
        capacity: usize,
    ) -> Result<Self, TchError> {
        if capacity > gpt.shape.context {
            let context = gpt.shape.context;
            return Err(TchError::Shape(format!("{capacity} tokens in a context of {context}")));
        }
        let cache = match fits(gpt, weights) {
            true => Some(Decoder::new(Loops::best(), gpt, weights, rows, capacity)?),
            false => None,
        };
        Ok(Self { gpt, weights, cache, rows: vec![Vec::new(); rows] })
    }

    /// Tokens of a row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[i64] {
        &self.rows[row]
    }

    /// Feeds a token to each of some rows; gives V logits behind each, row by row.
    ///
    /// # Errors
    /// When a row is full, or a token is none of the vocabulary.
    pub fn feed(&mut self, rows: &[usize], tokens: &[i64]) -> Result<Vec<f32>, TchError> {
        self.step(rows, tokens, true)
    }

    /// The same where nobody asks what comes behind.
    ///
    /// # Errors
    /// As [`Tape::feed`].
    pub fn read(&mut self, rows: &[usize], tokens: &[i64]) -> Result<(), TchError> {
        self.step(rows, tokens, false).map(|_| ())
    }

    fn step(&mut self, rows: &[usize], tokens: &[i64], wanted: bool) -> Result<Vec<f32>, TchError> {
        let logits = match &mut self.cache {
            Some(decoder) => {
                let places = rows.iter().map(|&row| {
                    let position = self.rows[row].len();
                    Place { row, slot: position, position }
                });
                decoder.step_at(&places.collect::<Vec<_>>(), tokens, wanted)?
            }
            None if !wanted => Vec::new(),
            None => {
                let mut all = Vec::with_capacity(rows.len() * self.gpt.shape.vocabulary);
                for (&row, &token) in rows.iter().zip(tokens) {
                    let seen = [self.rows[row].as_slice(), &[token]].concat();
                    all.extend(self.behind(&seen)?);
                }
                all
            }
        };
        for (&row, &token) in rows.iter().zip(tokens) {
            self.rows[row].push(token);
        }
        Ok(logits)
    }

    /// Cuts a row to its first `length` tokens.
    pub fn roll_back(&mut self, row: usize, length: usize) {
        self.rows[row].truncate(length);
    }

    fn behind(&self, seen: &[i64]) -> Result<Vec<f32>, TchError> {
        let [weight, bias] = self.gpt.head();
        let device = self.weights[0].device();
        let fed = Tensor::f_from_slice(seen)?.f_unsqueeze(0)?.f_to_device(device)?;
        values(&tch::no_grad(|| {
            let hidden = self.gpt.plain(self.weights, &fed)?.f_select(1, -1)?;
            hidden.f_linear(self.weights[weight], Some(self.weights[bias]))
        })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gpt::{Shape, gpt};
    use crate::trial::streams;
    use tch::Device;

    /// By the fused loops (heads 16 wide), or without them.
    fn rolled_back(width: usize) {
        let shape =
            Shape { vocabulary: 11, context: 12, width, depth: 2, heads: 2, hidden: 4 * width };
        let network = gpt(shape, &streams(), Device::Cpu).unwrap();
        for parameter in &network.parameters {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().g_mul_scalar_(4.0));
        }
        let weights: Vec<&Tensor> = network.parameters.iter().map(|p| &p.tensor).collect();
        let gpt = Gpt::of(&network).unwrap();
        let feed = |tape: &mut Tape<'_>, row: usize, tokens: &[i64]| {
            let mut last = Vec::new();
            tokens.iter().for_each(|token| last = tape.feed(&[row], &[*token]).unwrap());
            last
        };
        let mut tape = Tape::new(gpt, &weights, 2, 12).unwrap();
        feed(&mut tape, 0, &[1, 2, 3]);
        feed(&mut tape, 1, &[4]);
        // A stretch of other tokens, cut, and another one in its place.
        feed(&mut tape, 0, &[9, 9, 9, 9]);
        tape.roll_back(0, 3);
        let behind = feed(&mut tape, 0, &[5, 6]);
        assert_eq!((tape.row(0), tape.row(1)), (&[1, 2, 3, 5, 6][..], &[4][..]));
        let fresh = feed(&mut Tape::new(gpt, &weights, 1, 12).unwrap(), 0, &[1, 2, 3, 5, 6]);
        for (found, expected) in behind.iter().zip(&fresh) {
            assert!((found - expected).abs() < 1e-4, "{found} instead of {expected}");
        }
        let whole = network.forward(&Tensor::from_slice(&[1_i64, 2, 3, 5, 6]).unsqueeze(0), false);
        let whole = values(&whole.unwrap().select(1, -1)).unwrap();
        for (found, expected) in behind.iter().zip(&whole) {
            assert!((found - expected).abs() < 1e-3, "{found} instead of {expected}");
        }
    }

    #[test]
    fn what_was_cut_leaves_no_trace_in_a_cache() {
        rolled_back(32);
    }

    #[test]
    fn what_was_cut_leaves_no_trace_without_a_cache() {
        rolled_back(12);
    }

    #[test]
    fn more_tokens_than_the_context_has_are_refused() {
        let shape = Shape { vocabulary: 5, context: 4, width: 16, depth: 1, heads: 1, hidden: 64 };
        let network = gpt(shape, &streams(), Device::Cpu).unwrap();
        let weights: Vec<&Tensor> = network.parameters.iter().map(|p| &p.tensor).collect();
        let refused =
            Tape::new(Gpt::of(&network).unwrap(), &weights, 1, 5).unwrap_err().to_string();
        assert!(refused.contains("5 tokens in a context of 4"), "{refused}");
    }
}
