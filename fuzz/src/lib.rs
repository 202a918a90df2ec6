//! What the fuzz targets do with the bytes they are given. The tests of the crates do the same with
//! the committed corpus (`harness/*/tests/strangers.rs`), so that what was found once stays found.

pub mod columns;
pub mod evidence;
pub mod logs;
