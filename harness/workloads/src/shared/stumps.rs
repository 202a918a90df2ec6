//! The hopper of `stumps`: its physics, and the clipped policy gradient that it learns by.

pub mod course;
pub mod student;
