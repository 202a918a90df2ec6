//! # markov-gpt
//!
//! The text of `markov-mlp` and a transformer of one block: width 64, four heads, 56,288 parameters.
//! Initial values have the deviations of PyTorch's layers, tables N(0, 1): with GPT-2's the network
//! has hardly left the even guess after the 250 steps of an epoch.

use ledger::settings;
use ledger::settings::{Range, SettingError};

use crate::shared::language::spread;
use crate::shared::markov::{self, Text};
use lab::models::gpt::{Shape, gpt};
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Width of the residual stream, a multiple of 4.
        width: u32 = 64, range Range::of(4.0..=2_048.0), from "assumed";
        /// Blocks.
        depth: u32 = 1, range Range::of(1.0..=64.0), from "assumed";
        use text: Text;
    }
}

/// Attention heads.
const HEADS: u32 = 4;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "order-2 Markov text, transformer of one block",
    settings: Settings::table,
    resolve: |values| {
        let resolved = Settings::resolve(values)?;
        let Settings { width, .. } = Settings::read(&resolved)?;
        if width % HEADS != 0 {
            let expected = format!("a multiple of its {HEADS} attention heads");
            let (key, value) = ("width".to_owned(), width.to_string());
            return Err(SettingError::Invalid { key, value, expected });
        }
        Ok(resolved)
    },
    network: |values, side, streams, device| {
        let Settings { width, depth, text } = Settings::read(values)?;
        let (vocabulary, context) = (side.vocabulary(), side.context());
        let [width, depth, heads] = [width, depth, HEADS].map(|size| size as usize);
        let shape = Shape { vocabulary, context, width, depth, heads, hidden: 4 * width };
        let network = gpt(shape, &text.initial.streams(streams), device)?;
        spread(&network)?;
        Ok(network)
    },
    ..markov::WORKLOAD
};
