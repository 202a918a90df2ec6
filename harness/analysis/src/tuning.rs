//! Settings that a suite does not fix but has chosen by trials: what is tried, what came of it, and the
//! frozen file beside the suite that says so.
//!
//! Every arm gets the same number of trials, under seeds that no claim is judged on, from a quasi-random
//! sequence that is the same for all arms: arms with equal spaces are tried at equal settings. An arm's
//! present or default setting is no trial of its own: only some arms have one that somebody chose with
//! care, and these would be tried once more than the others.

mod rounds;
mod search;
mod trials;
mod tuned;

pub use crate::calendar::day;
pub use search::{Search, SearchTrial};
pub use trials::{draw, union};
pub use tuned::{Edge, Trial, Tuned, TunedArm, TunedError};
