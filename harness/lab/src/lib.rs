//! The libtorch half of Palimpsest: devices, clocks, networks, seats for methods, training loops
//! and workloads.
//!
//! Methods plug in through the seats of [`seat`]; everything a run leaves is plain data of
//! `ledger`. Torch errors enter through `f_*` calls and leave as [`LabError`].

pub mod advantage;
pub mod artefacts;
pub mod averaging;
pub mod cell;
pub mod checkpoint;
pub mod clock;
pub mod critic;
pub mod device;
pub mod diffusion;
pub mod error;
pub mod estimate;
pub mod generate;
pub mod init;
pub mod kernels;
pub mod loops;
pub mod method;
pub mod metrics;
pub mod mixture;
pub mod models;
pub mod network;
pub mod objectives;
pub mod optim;
pub mod orders;
pub mod policy;
pub mod probe;
pub mod replay;
pub mod rollout;
pub mod sample;
pub mod samplers;
pub mod seat;
pub mod sparsity;
pub mod stacked;
pub mod teaching;
pub mod trial;
pub mod workloads;

pub use error::LabError;
