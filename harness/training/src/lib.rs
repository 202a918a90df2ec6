//! How a cell is trained: the loop, the judge, the clocks, and what a workload has to bring.
//!
//! Change a line here and every cell runs again. It stands above `lab`, so that a method, which may
//! name `lab` alone, cannot see an evaluation.

pub mod artefacts;
pub mod calibrate;
pub mod cell;
pub mod checkpoint;
pub mod clock;
pub mod external;
pub mod judge;
pub mod keeping;
pub mod metrics;
pub mod run;
pub mod splits;
pub mod trial;
pub mod tutor;
pub mod workload;
