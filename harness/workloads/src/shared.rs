//! What several workloads have in common.

pub mod asked;
pub mod classification;
pub mod generated;
pub mod generative;
pub mod grammar;
pub mod hurdles;
pub mod idx;
pub mod initial;
pub mod language;
pub mod markov;
pub mod own;
pub mod puzzles;
pub mod settings;
pub mod skills;
pub mod stumps;
pub mod tasks;
pub mod templates;
pub mod text;
pub mod traces;
