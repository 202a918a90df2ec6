//! Which source files decide a result, and their digest.
//!
//! A run's result depends on the files that its code names, on the files those name, and so on: the
//! [closure](Tree::closure) of a few roots. Its digest is taken over tokens, without comments and
//! without tests, so that prose, formatting and a file that nothing names keep every stored result.
//!
//! The danger is an edge that is missed: a stale result would be kept. So names are over-approximated
//! (all scopes of a file are one, every meaning of a name counts), and what could bring code in
//! without naming it (a `#[path]`, a computed `include!`, a path through a macro variable) is
//! refused, not guessed. What is not seen: names that a macro builds from pieces, values of `env!`,
//! features and compiler flags of manifests, headers of installed libraries.
//!
//! - [`cells`]: the digests that cell ids hold.
//! - [`Tree`]: source texts of the workspace's members, from disk or from memory.
//! - `tokens`, `native`: the text that counts of a Rust file and of its C++ companions.
//! - `facts`: what a file says: paths, imports, definitions, macros, impl blocks.
//! - `names`: what a path means. `graph`: edges, and impl blocks found without being named.
//! - [`Closure`]: the files, their digest, and [why](Closure::why) each is among them.

pub mod cells;
mod closure;
mod error;
mod facts;
mod graph;
mod lock;
mod manifest;
mod names;
mod native;
mod tokens;
mod tree;

pub use closure::Closure;
pub use error::Error;
pub use lock::versions;
pub use tree::Tree;
