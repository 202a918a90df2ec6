//! The car of `hurdle-car`: its physics, and the policy gradient that it learns by.

pub mod student;
pub mod track;
