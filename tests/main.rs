//! Integration tests: the program as a user meets it, and what every method must keep to.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod builds;
mod cli;
mod conformance;
mod determinism;
mod estimates;
mod faults;
mod given_order;
mod lineage;
mod provenance_chain;
mod provenance_engine;
mod style;
mod support;
mod templates;

// What the templates name in their own crates.
use methods::find;
use workloads::shared;
