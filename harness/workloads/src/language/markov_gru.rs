//! # markov-gru
//!
//! The text of `markov-mlp` and a language model of gated recurrent units: vectors of 24 numbers, one
//! layer of 128 units, a linear head; 64,032 parameters.

use ledger::settings;
use ledger::settings::Range;

use crate::shared::markov::{self, SYMBOLS, Text};
use lab::models::gru::gru;
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Units.
        width: u32 = 128, range Range::of(1.0..=4_096.0), from "assumed";
        use text: Text;
    }
}

/// Width of a symbol's vector.
const VECTORS: usize = 24;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "order-2 Markov text, gated recurrent units",
    settings: Settings::table,
    resolve: Settings::resolve,
    network: |values, _, streams, device| {
        let Settings { width, text } = Settings::read(values)?;
        let streams = text.initial.streams(streams);
        Ok(gru(SYMBOLS, VECTORS, width as usize, &streams, device)?)
    },
    ..markov::WORKLOAD
};
