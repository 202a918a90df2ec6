//! Update rules that more than one method builds on.

pub mod adam;
pub mod adamw;
pub mod base;
pub mod lm;
pub mod muon;
pub mod radam;
pub mod sgd;
