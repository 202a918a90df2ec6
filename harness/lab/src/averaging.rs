//! Weights that are evaluated in place of those trained.

pub mod ema;
