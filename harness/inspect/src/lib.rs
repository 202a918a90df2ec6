//! What looks into finished runs with tensors: replays, probes, samples, order estimates.
//!
//! Change a line here and no cell runs again.

pub mod estimate;
pub mod probe;
pub mod replay;
pub mod sample;
pub mod stacked;
pub mod writing;
