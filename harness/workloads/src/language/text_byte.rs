//! # text-byte
//!
//! A text of the user's (prose, source code, logs), or Tiny Shakespeare, as windows of 64 tokens, and a small
//! transformer that predicts the next byte. The text is cut into 256 blocks that are ranked by a hash of their
//! content: 240 train, 8 validate, 8 test, so that no two splits share a stretch of text. Every block gives 64 windows,
//! spread evenly: 15,360 to train on, 512 to validate, 512 to test, for every text. Held-out windows that are trained
//! on, too, for the text repeats itself, are left out; the record says how many.
//!
//! `bits_per_byte` compares characters with bytes: the loss over the bytes that the predicted
//! tokens are written with.
//!
//! `palimpsest sample RUN --prompt TEXT` writes with what was kept.

use data::text::windows::Unit;

use crate::shared::text;
use training::workload::Workload;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "bytes of a text, small transformer",
    load: |values, sources, device| text::load(values, Unit::Byte, sources, device),
    ..text::WORKLOAD
};
