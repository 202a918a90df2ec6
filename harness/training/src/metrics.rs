//! Metrics: one file per kind of output, or per figure of samples.

pub mod classification;
pub mod features;
pub mod frechet;
pub mod mmd;
pub mod modes;
pub mod neighbours;
pub mod ranking;
pub mod regression;
pub mod shapes;
pub mod sliced_wasserstein;
