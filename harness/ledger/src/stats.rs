//! Statistics: one estimator, interval or test per file, on `statrs` distributions.

pub mod interval;
