//! The C++ half of `torch-sys`, compiled once for all profiles, and the libraries of libtorch.
//!
//! `torch-sys` compiles its two C++ files separately, each of which spends half a minute on reading
//! libtorch's headers, and cargo does so again for every profile. Its feature `doc-only` leaves them
//! out; `build.rs` compiles them here as one file, and keeps the archive in the target folder.
//! docs/performance.md, "Builds", says what that saves.

use torch_sys as _;
