//! Provenance: does a model derive from a run, judged by the run's order alone?
//!
//! Later training examples are remembered better than earlier ones. If the order was a uniform
//! shuffle, any association of a suspect's scores with it is evidence with an exact p-value,
//! whatever the data (Kuditipudi et al. 2025, arXiv:2510.19796). [`Query`] asks that question of
//! plain columns of numbers, and answers with a [`Finding`] or a [`Refusal`]; everything here is a
//! pure function of its arguments.
//!
//! [`order_list`] turns an order into positions, [`units`] averages scores within what was really
//! shuffled, [`law`] says which null an order has and refuses references that depend on it;
//! [`epochs`] and [`combine`] put several tests together; [`template`], [`reshuffle`], [`kruskal`]
//! and [`siblings`] are the companions of the query; [`calibration`] checks the p-values themselves.

mod adjust;
pub mod audit;
pub mod calibration;
pub mod combine;
mod correlation;
pub mod epochs;
mod exact;
mod exact_sum;
mod finding;
pub mod imprint;
pub mod index;
pub mod kruskal;
pub mod law;
mod monte_carlo;
pub mod order_list;
pub mod partition;
mod permutation;
mod pseudo_replication;
mod query;
pub(crate) mod ranks;
pub mod reference_order;
mod refusal;
pub mod reshuffle;
pub mod siblings;
pub mod tail;
pub mod template;
pub mod units;

pub use adjust::adjusted;
pub use exact::MOST_EXAMPLES;
pub use finding::{Adjust, Draws, Finding, Kind, Metric, Tail, UnknownName};
pub use monte_carlo::Null;
pub use query::{FEWEST_EXAMPLES, Query};
pub use refusal::Refusal;
