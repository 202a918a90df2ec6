//! `palimpsest provenance promise`: fixes an order of any framework before training with it.

use std::path::{Path, PathBuf};

use analysis::evidence::OrderPromise;
use anyhow::Context as _;
use ledger::digest::{Digest, of_reader};
use ledger::order::{OrderLaw, Unit};
use ledger::plain;
use ledger::record::writer::write_new;
use serde_json::json;

use super::query::parse;
use crate::exit::Exit;
use crate::machine;
use crate::voice::{note, print_json, print_text};

/// Options of `palimpsest provenance promise`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The files that `provenance query --order` (or `--positions`) will be given, in that order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How the order was drawn
    #[arg(long, value_name = "LAW", default_value = "uniform", value_parser = parse::<OrderLaw>)]
    law: OrderLaw,
    /// What the order moves as one piece: sample, pack or step
    #[arg(long, value_name = "UNIT", default_value = "sample", value_parser = parse::<Unit>)]
    unit: Unit,
    /// Where the promise is kept, for `provenance query --promise FILE`; nobody else needs it before then
    #[arg(long, value_name = "FILE")]
    promise: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let files =
        args.files.iter().map(|path| digest_of(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut nonce = [0; 32];
    machine::os_random(&mut nonce).context("the operating system gives no random numbers")?;
    let promise = OrderPromise::of(Digest(nonce), args.law, args.unit, files);
    let shown = args.promise.display();
    write_new(&args.promise, &serde_json::to_vec_pretty(&promise)?, 0o600)
        .with_context(|| format!("cannot write {shown}"))?;
    note(&format!("kept in {shown}; publish the commitment before training"));
    if args.json {
        print_json(&[json!({ "commitment": promise.commitment })])?;
    } else {
        print_text(&format!("{}\n", promise.commitment))?;
    }
    Ok(Exit::Fine)
}

fn digest_of(path: &Path) -> anyhow::Result<Digest> {
    let read = || of_reader(&mut std::fs::File::open(path)?);
    let (_, digest) = read().with_context(|| format!("cannot read {}", path.display()))?;
    Ok(digest)
}

/// Reads a promise that was kept.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn read(path: &Path) -> anyhow::Result<OrderPromise> {
    let shown = path.display();
    let text = plain::read(path).with_context(|| format!("cannot read {shown}"))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{shown} is not a promise, as `provenance promise` writes it"))
}
