//! What decides a run without libtorch: orders, transcripts, commitments, records, settings.
//!
//! Change a line here and the cells that use it run again. Nothing reads a clock or prints; what is
//! read out of records afterwards lives in `stats` and `analysis`.

pub mod catalogue;
pub mod commitment;
pub mod crossing;
pub mod digest;
pub mod external;
pub mod given;
pub mod goal;
pub mod layout;
pub mod lineage;
pub mod merkle;
pub mod order;
pub mod plain;
pub mod record;
pub mod sample;
pub mod seed;
pub mod settings;
pub mod streams;
pub mod transcript;
