//! Weights that are evaluated in place of those trained.

pub mod ema;
pub mod ring;
pub mod swa;
