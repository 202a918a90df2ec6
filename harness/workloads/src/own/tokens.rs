//! # tokens
//!
//! Text or tokens of your own (`file`, from the suite's folder on), and a small language model that predicts the next one:
//! a text (prose, source code, logs: `unit: character`, or `byte`), documents in JSON lines (`.jsonl`; `field` names the
//! one that holds them), or a file of 16-bit numbers, low byte first (`.bin`; `vocabulary` says how many there are).
//!
//! ```yaml
//! workloads:
//!   - { workload: tokens, as: code, with: { file: main.rs, context: 64 } }
//!   - { workload: tokens, as: notes, with: { file: notes.jsonl, field: body } }
//!   - { workload: tokens, as: web, with: { file: train.bin, vocabulary: 50257, context: 128 } }
//! ```
//!
//! A text, and a file of numbers, is cut into 256 to 511 blocks (less where it is short). Blocks, or documents, are split
//! by a hash of their tokens: `validation` and `test` are shares, those that are alike stay together. An example is a window
//! of `context` tokens and the next one of each; windows follow each other, so that each token but the first of a block or
//! document is predicted once. A held-out window that is also trained on is left out, and the record says how many were.
//!
//! `nll` is the loss of a token in nats, `bits_per_byte` that over the bytes which the tokens are written with (not of
//! numbers). `network: { gpt: { width: 128, depth: 2, heads: 4 } }` is the transformer of `text-char`, `{ gru: { width: 128, depth: 1 } }`
//! layers of gated units; `{ torchscript: net.pt }` a module of yours, which is given N × `context` tokens (int64) and has to make
//! N × `context` × vocabulary of them.
//! `palimpsest sample RUN --prompt TEXT` writes with what was kept.

use ledger::catalogue::{DataName, MetricInfo};

use crate::shared::own::TokensSettings;
use lab::offers;
use training::workload::Workload;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "text or tokens of your own, a network by name or a module of yours",
    data: DataName::Own,
    offers: &[offers::LOSS, offers::TOKENS],
    metrics: &[
        MetricInfo::error("nll"),
        MetricInfo::error("bits_per_byte"),
        MetricInfo::share("accuracy", 0.0),
    ],
    metric: "nll",
    target: 2.0,
    target_origin: "assumed",
    budget_epochs: 2.0,
    evaluate_every_epochs: 0.25,
    count: Some(TokensSettings::count),
    settings: TokensSettings::table,
    resolve: TokensSettings::checked,
    load: |values, _, device| TokensSettings::ready(values, device),
    network: TokensSettings::network,
    ..Workload::BLANK
};
