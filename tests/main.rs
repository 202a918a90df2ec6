//! Integration tests: the program as a user meets it. What every method and workload must keep to is in
//! `methods/tests`.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod budget;
mod builds;
mod cli;
mod cluster;
mod determinism;
mod docs;
mod estimates;
mod external;
mod faults;
mod given_order;
mod gpu_check;
mod lineage;
mod messages;
mod provenance_chain;
mod provenance_engine;
mod record;
mod style;
mod support;
