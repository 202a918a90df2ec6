//! The training loop: one for every method of every family.

pub mod training;
