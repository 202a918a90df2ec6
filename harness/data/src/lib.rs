//! The data sets: where their files live, how they are fetched and checked, and how they load.
//!
//! Pure Rust, no libtorch: a [`Loaded`] is plain vectors, from which `lab` makes tensors.
//! Nothing here prints or reads a clock; what a person should see comes back as values.

pub mod addition;
pub mod attr;
pub mod bags;
pub mod blobs;
pub mod blobvid;
pub mod bm25;
pub mod catalogue;
pub mod cifar;
pub mod clips;
pub mod clusters;
pub mod columns;
pub mod crops;
pub mod digits;
pub mod domains;
pub mod easiness;
pub mod error;
pub mod fetch;
mod files;
pub mod house;
pub mod idx;
pub mod images;
pub mod kvr;
pub mod linear_mdp;
pub mod load;
pub mod loaded;
pub mod markov;
pub mod own;
pub mod planar;
pub mod puzzles;
pub mod pyramids;
pub mod quad;
pub mod raw;
pub mod recall;
pub mod responses;
pub mod scenes;
pub mod sequences;
pub mod shapes;
pub mod skills;
pub mod slp;
pub mod sources;
pub mod split;
pub mod status;
pub mod sum_lines;
pub mod templates;
pub mod text;
pub mod tokens;
pub mod weights;

pub use error::DataError;
pub use load::load;
pub use loaded::{Loaded, Origin, OwnFile, Samples};
pub use raw::{Floats, Images};
pub use sources::Sources;
pub use split::Split;
