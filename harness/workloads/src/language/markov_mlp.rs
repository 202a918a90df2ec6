//! # markov-mlp
//!
//! Text of an order-2 Markov chain over 32 symbols whose rows are draws of Dirichlet(0.15), in
//! documents of 32 symbols (4,000 train, 512 validation, 1,024 test; no download), and a neural
//! n-gram model: the vectors of the last six symbols (24 numbers each, with one vector more for what
//! is before the first symbol), 256 hidden units with ReLU, a linear head; 46,136 parameters. The
//! first two symbols of a document are given.
//!
//! The workload of the provenance suite: one epoch of plain Adam (batch 16, rate 3e-3, constant) is
//! 250 steps and leaves a clear trace of the order in the losses of the training examples. `source`
//! and `sample` give other chains and fresh examples, `init` fixes the initial values, and `pack`
//! makes examples of several documents that share a difficulty: then the example is the unit that is
//! shuffled, and no document is exchangeable with one of another example.
//!
//! `excess` is the loss beyond that of the truth on the same text, in nats per symbol.

use ledger::settings;
use ledger::settings::Range;

use crate::shared::markov::{self, SYMBOLS, Text};
use lab::models::ngram::{Shape, ngram};
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Hidden units.
        hidden: u32 = 256, range Range::of(1.0..=8_192.0), from "assumed";
        use text: Text;
    }
}

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "order-2 Markov text, neural 6-gram model",
    settings: Settings::table,
    resolve: Settings::resolve,
    network: |values, _, streams, device| {
        let Settings { hidden, text } = Settings::read(values)?;
        let shape = Shape::six(SYMBOLS, hidden as usize);
        Ok(ngram(shape, &text.initial.streams(streams), device)?)
    },
    ..markov::WORKLOAD
};
