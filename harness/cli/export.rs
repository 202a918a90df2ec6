//! `palimpsest export`

use std::path::PathBuf;

use analysis::evidence::SecretKey;
use analysis::evidence::statement::{Envelope, statement};
use analysis::imported::refusal;
use analysis::verify::Verifier;
use anyhow::Context as _;
use ledger::record::Store;
use ledger::record::writer::write_atomic;
use serde_json::Value;

use super::Ask;
use super::drawing::Drawing;
use super::suite_options::Places;
use crate::exit::Exit;
use crate::voice::{print_json, print_text};

/// Options of `palimpsest export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs, by id or unique prefix
    #[arg(required = true)]
    runs: Vec<String>,
    /// Form of the other tool
    #[arg(long, value_enum)]
    to: Form,
    /// Sign each statement: puts it into a DSSE envelope
    #[arg(long, value_name = "KEY.pem")]
    key: Option<PathBuf>,
    /// Folder for one file a run; without it one run is printed
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
}

/// Forms that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// In-toto Statement v1 about the run's files and its order
    InToto,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args, ask: Ask<'_>) -> anyhow::Result<Exit> {
    let Form::InToto = args.to;
    let key = args.key.as_deref().map(SecretKey::read).transpose()?;
    let store = args.places.store();
    let cells = args.runs.iter().map(|run| store.find(run)).collect::<Result<Vec<_>, _>>()?;
    let drawing = Drawing::of(ask, &args.places, &cells);
    let draw = |cell: &str| drawing.draw(cell);
    let verifier = Verifier::new(&store).drawing(&draw);
    let document = |cell: &str| document(&store, &verifier, cell, key.as_ref());
    let Some(out) = &args.out else {
        let [cell] = cells.as_slice() else {
            anyhow::bail!("{} runs are written to files: give a folder with --out", cells.len());
        };
        print_json(&document(cell)?)?;
        return Ok(Exit::Fine);
    };
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    for cell in cells {
        let ending = if key.is_some() { "intoto.dsse.json" } else { "intoto.json" };
        let path = out.join(format!("{cell}.{ending}"));
        let document = document(&cell)?;
        write_atomic(&path, &serde_json::to_vec_pretty(&document)?)?;
        print_text(&format!("{}\n", path.display()))?;
    }
    Ok(Exit::Fine)
}

/// The statement of a run that verifies, in an envelope where there is a key.
fn document(
    store: &Store,
    verifier: &Verifier<'_>,
    cell: &str,
    key: Option<&SecretKey>,
) -> anyhow::Result<Value> {
    if let Some(failed) = verifier.verify(cell).checks.iter().find(|check| !check.passed) {
        anyhow::bail!(
            "{cell} does not verify and is not exported: {}: {}",
            failed.name,
            failed.detail
        );
    }
    if let Some(refusal) =
        refusal(&store.record(cell)?, "it has no order that a statement could be about")
    {
        anyhow::bail!(refusal);
    }
    let (manifest, digest) = store.manifest(cell)?;
    let statement = statement(&store.record(cell)?, &manifest, &digest);
    Ok(match key {
        None => statement,
        Some(key) => serde_json::to_value(Envelope::sign(&statement, key)?)?,
    })
}
