//! Training loops, one per file, each read in one sitting.

pub mod supervised;
