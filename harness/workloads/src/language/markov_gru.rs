//! # markov-gru
//!
//! The text of `markov-mlp` and a language model of gated recurrent units: vectors of 24 numbers, one
//! layer of 128 units, a linear head; 64,032 parameters.

use ledger::settings;
use ledger::settings::Range;

use crate::shared::markov::{SYMBOLS, Text, info, load};
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
    info: || {
        let title = "order-2 Markov text, gated recurrent units";
        let (table, card) = (Settings::table(), include_str!("markov_gru.rs"));
        info("markov-gru", title, table, Settings::resolve, card)
    },
    load: |values, _, device| load(values, device),
    network: |values, _, streams, device| {
        let Settings { width, text } = Settings::read(values).unwrap_or_default();
        Ok(gru(SYMBOLS, VECTORS, width as usize, &text.initial.streams(streams), device)?)
    },
    start: None,
};
