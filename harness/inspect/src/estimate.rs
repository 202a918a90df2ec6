//! What another order of the same data would have given, without training again.
//!
//! An estimator is an [`Oracle`]: it says what the gradients would have been, and the *real* update
//! rule with its real state does the rest ([`Course::drive`]). Nothing here knows SGD from Adam or
//! Muon. What an order is made of is a [`Problem`]: items with gradients, and losses to predict.
//!
//! Vectors are flat: all parameters of a network one after another, shape p; a row per order or
//! per copy where there are several, shape M × p.

pub mod brought;
pub mod closed;
pub mod course;
pub mod examples;
pub mod fitted;
pub mod fitting;
pub mod influence;
pub mod oracle;
pub mod pieces;
pub mod problem;
pub mod read_out;
pub mod reference;
pub mod registry;
pub mod rule;
pub mod set_up;
pub mod trained;
pub mod window;

pub use course::Course;
pub use oracle::{Exact, Oracle};
pub use problem::Problem;
pub use reference::Reference;
pub use stats::estimates::results::Items;
pub use trained::TrainedProblem;
pub use window::Window;

#[cfg(test)]
mod tests;
