//! Seats for methods and the mathematics they share: all that a method may name.
//!
//! Change a line here and the cells that use it run again. A method plugs in through the seats of
//! [`seat`]; what judges it lives in `training`, out of reach. Torch errors enter through `f_*`
//! calls and leave as [`LabError`].

pub mod advantage;
pub mod averaging;
pub mod branches;
pub mod budgets;
pub mod critic;
pub mod crowd;
pub mod cutoffs;
pub mod demonstrations;
pub mod device;
pub mod diffusion;
pub mod ensemble;
pub mod episodes;
pub mod error;
pub mod feedback;
pub mod flow;
pub mod formats;
pub mod generate;
pub mod gradients;
pub mod hybrid;
pub mod index;
pub mod init;
pub mod kernels;
pub mod linear;
pub mod low_bit;
pub mod messages;
pub mod method;
pub mod mid_training;
pub mod mixture;
pub mod models;
pub mod native;
pub mod network;
pub mod niw;
pub mod objectives;
pub mod offers;
pub mod optim;
pub mod orders;
pub mod pacing;
pub mod permutations;
pub mod planning;
pub mod policy;
pub mod post_training;
pub mod preferences;
pub mod prompt;
pub mod ratios;
pub mod recipe;
pub mod refinement;
pub mod reflection;
pub mod rendering;
pub mod reranker;
pub mod rollout;
pub mod samplers;
pub mod score;
pub mod seat;
pub mod self_made;
pub mod side_info;
pub mod sparsity;
pub mod split;
pub mod spsa;
pub mod stages;
pub mod state;
pub mod supervision;
pub mod tape;
pub mod teachers;
pub mod teaching;
pub mod thoughts;
pub mod trial;
pub mod workshop;
pub mod writing;

pub use data::{easiness, house, responses};
pub use error::LabError;
