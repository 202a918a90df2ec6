//! Metrics, one file per kind of output.

pub mod classification;
