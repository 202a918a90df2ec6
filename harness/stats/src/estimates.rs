//! Order estimates: what other orders of a recorded run's steps would have given.
//!
//! [`orders`] says what an order is, draws and checks it; [`reduced`] predicts in k dimensions;
//! [`agreement`] compares predictions with true retraining, [`validity`] decides from held-out
//! pilots whether predictions may be believed, and [`cost`] when they pay; [`search`] looks for
//! better orders, [`curricula`] draws them by rules that people choose, [`curves`] and
//! [`attribution`] ask what the place of one item does. [`results`] holds the documents that reports
//! draw, [`settings`] what is asked for.
//!
//! Everything here is a pure function of numbers: nothing trains, reads a file or a clock.

pub mod agreement;
pub mod attribution;
pub mod cost;
pub mod curricula;
pub mod curves;
mod error;
mod moments;
pub mod orders;
pub mod reduced;
pub mod results;
pub mod search;
pub mod settings;
pub mod validity;

pub use error::EstimateError;
pub use orders::{ItemOrder, OrderError, OrdersSpec, Purpose, Window};
