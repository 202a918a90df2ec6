//! Order estimates: what other orders of a recorded run's steps would have given.
//!
//! Everything here is a pure function of numbers: [`orders`] says what an order is, draws and
//! checks it. Nothing here trains, reads a file or a clock.

pub mod orders;

pub use orders::{ItemOrder, OrderError, OrdersSpec, Purpose, Window};
