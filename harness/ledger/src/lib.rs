//! The pure half of Palimpsest: suites, plans, data orders, records and their analysis.
//!
//! Nothing here links libtorch, reads a clock or prints; a report can be redrawn from records on
//! any machine that can read a folder.

pub mod analysis;
pub mod catalogue;
pub mod commitment;
pub mod digest;
pub mod estimates;
pub mod evidence;
pub mod given;
pub mod history;
pub mod lineage;
pub mod merkle;
pub mod order;
pub mod plan;
pub mod provenance;
pub mod record;
pub mod regress;
pub mod sample;
pub mod seed;
pub mod settings;
pub mod stats;
pub mod streams;
pub mod transcript;

pub mod suite;

// The sample run names this crate as benches do, from outside.
#[cfg(test)]
extern crate self as ledger;
