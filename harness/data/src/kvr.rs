//! Keyed retrieval: what is asked for has to be found by its keys among documents that share some of them.
//!
//! [`rank`] has queries and documents to rank, with a first stage of BM25; [`tasks`] small tasks told by cues, of which a few
//! solved examples are enough.

pub mod rank;
pub mod tasks;
