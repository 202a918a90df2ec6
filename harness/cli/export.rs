//! `palimpsest export`

mod chosen;

use std::path::{Path, PathBuf};

use analysis::evidence::SecretKey;
use analysis::evidence::statement::{Envelope, statement};
use analysis::imported::refusal;
use analysis::verify::Verifier;
use anyhow::{Context as _, bail};
use exports::citation::Source;
use exports::rocrate::About;
use exports::{Batch, ExportError, citation, folder, mlflow, rocrate, table, tensorboard};
use ledger::catalogue::listing::Listing;
use ledger::record::Store;
use ledger::record::writer::write_atomic;
use serde_json::Value;

use super::drawing::Drawing;
use super::suite_options::Places;
use super::{Ask, Rows};
use crate::exit::Exit;
use crate::voice::{print_json, print_text};

/// Options of `palimpsest export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs, by id or unique prefix; suites that were run, by name or YAML file
    #[arg(required = true, value_name = "RUN|SUITE")]
    names: Vec<String>,
    /// Form of the other tool
    #[arg(long, value_enum)]
    to: Form,
    /// A run of the suite by its id (see `list suite-runs`), or `last`; by default the newest of the suite as it is
    /// written
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// Sign each statement: puts it into a DSSE envelope
    #[arg(long, value_name = "KEY.pem")]
    key: Option<PathBuf>,
    /// Whose runs they are, for a crate or a citation; once for each
    #[arg(long, value_name = "NAME")]
    author: Vec<String>,
    /// SPDX identifier of the licence that a crate is given under, for example CC-BY-4.0
    #[arg(long, value_name = "SPDX")]
    licence: Option<String>,
    /// The organisation that publishes a crate
    #[arg(long, value_name = "NAME")]
    publisher: Option<String>,
    /// Folder to write, which must be new, empty or an export; statements are a file a run below it. A statement of
    /// one run and a citation are printed without
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
    /// Event files: scalars, settings, digests
    Tensorboard,
    /// A file store: params, metrics, tags, records as artifacts
    Mlflow,
    /// RO-Crate 1.1, Process Run Crate: all files of the runs, and what made them
    RoCrate,
    /// Tables of the runs and of their curves
    Csv,
    /// The same tables, typed
    Parquet,
    /// CITATION.cff of the runs with the papers of their methods
    Citation,
}

impl Form {
    const fn name(self) -> &'static str {
        match self {
            Self::InToto => "in-toto",
            Self::Tensorboard => "tensorboard",
            Self::Mlflow => "mlflow",
            Self::RoCrate => "ro-crate",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Citation => "citation",
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args, rows: Rows<'_>, ask: Ask<'_>) -> anyhow::Result<Exit> {
    hold_to_form(args)?;
    let store = args.places.store();
    let chosen = chosen::cells(&store, &args.names, args.run.as_deref())?;
    if args.to == Form::InToto {
        return statements(args, &store, &chosen.ids(), ask);
    }
    let batch = chosen::batch(&store, &chosen)?;
    let put = |fill: &Fill<'_>| put(args, &batch, fill);
    match args.to {
        Form::InToto => Ok(Exit::Fine),
        Form::Tensorboard => put(&|folder| tensorboard::fill(folder, &batch)),
        Form::Mlflow => {
            let place = folder::place(args.out.as_deref().unwrap_or(Path::new("")))?;
            put(&|folder| mlflow::fill(folder, &place, &batch))
        }
        Form::RoCrate => {
            let about = About {
                authors: args.author.clone(),
                licence: args.licence.clone().unwrap_or_default(),
                publisher: args.publisher.clone(),
            };
            put(&|folder| rocrate::fill(folder, &batch, &about))
        }
        Form::Csv => put(&|folder| {
            for table in table::all(&batch) {
                let file = folder.join(format!("{}.csv", table.name));
                folder::write(&file, table::csv::csv(&table).as_bytes())?;
            }
            Ok(())
        }),
        #[cfg(feature = "parquet")]
        Form::Parquet => put(&|folder| {
            for table in table::all(&batch) {
                let file = folder.join(format!("{}.parquet", table.name));
                folder::write(&file, &table::parquet::parquet(&table, &batch)?)?;
            }
            Ok(())
        }),
        #[cfg(not(feature = "parquet"))]
        Form::Parquet => bail!(
            "this build writes no Parquet; build with `--features parquet`, as `just install` does, or take --to csv"
        ),
        Form::Citation => {
            let text = citation::citation(&batch, &args.author, &papers(&batch, &rows()?));
            if args.out.is_none() {
                print_text(&text)?;
                return Ok(Exit::Fine);
            }
            put(&|folder| folder::write(&folder.join("CITATION.cff"), text.as_bytes()))
        }
    }
}

/// Refuses options that the form has no use for, and asks for those without which it would have to invent.
fn hold_to_form(args: &Args) -> anyhow::Result<()> {
    let form = args.to.name();
    if args.key.is_some() && args.to != Form::InToto {
        bail!(
            "--key signs statements, and --to {form} writes none; take --to in-toto, or leave it out"
        );
    }
    let crate_or_citation = matches!(args.to, Form::RoCrate | Form::Citation);
    if !args.author.is_empty() && !crate_or_citation {
        bail!("--to {form} names no author; leave --author out");
    }
    if crate_or_citation && args.author.iter().all(|name| name.trim().is_empty()) {
        bail!("--to {form} says whose runs they are, which no record knows: give --author NAME");
    }
    if args.to == Form::RoCrate {
        let licence = args.licence.as_deref().unwrap_or_default();
        let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        if licence.is_empty() || !licence.chars().all(is_id) {
            bail!(
                "a crate says under which licence it is given: give --licence with an SPDX identifier, for example CC-BY-4.0 or CC0-1.0"
            );
        }
    } else if args.licence.is_some() || args.publisher.is_some() {
        bail!("--licence and --publisher are of a crate; leave them out, or take --to ro-crate");
    }
    let printed = matches!(args.to, Form::InToto | Form::Citation);
    if args.out.is_none() && !printed {
        bail!("--to {form} writes a folder: give one with --out");
    }
    Ok(())
}

/// What fills a folder.
type Fill<'a> = dyn Fn(&Path) -> Result<(), ExportError> + 'a;

/// Fills the folder and says where it is.
fn put(args: &Args, batch: &Batch, fill: &Fill<'_>) -> anyhow::Result<Exit> {
    let Some(out) = &args.out else { bail!("give a folder with --out") };
    folder::put(out, args.to.name(), batch, fill)?;
    print_text(&format!("{}\n", out.display()))?;
    Ok(Exit::Fine)
}

/// The papers of the methods that ran, in the order of their first run.
fn papers(batch: &Batch, listing: &Listing) -> Vec<Source> {
    let mut papers: Vec<Source> = Vec::new();
    for run in &batch.runs {
        let Some(method) = listing.method(&run.record.method) else { continue };
        let place = papers.iter().position(|source| source.paper == method.paper);
        let source = match place {
            Some(place) => &mut papers[place],
            None => {
                papers.push(Source { paper: method.paper.clone(), methods: Vec::new() });
                let last = papers.len() - 1;
                &mut papers[last]
            }
        };
        if !source.methods.contains(&method.id) {
            source.methods.push(method.id.clone());
        }
    }
    papers
}

/// Writes or prints the statements.
fn statements(args: &Args, store: &Store, cells: &[String], ask: Ask<'_>) -> anyhow::Result<Exit> {
    let key = args.key.as_deref().map(SecretKey::read).transpose()?;
    let drawing = Drawing::of(ask, &args.places, cells);
    let draw = |cell: &str| drawing.draw(cell);
    let verifier = Verifier::new(store).drawing(&draw);
    let document = |cell: &str| document(store, &verifier, cell, key.as_ref());
    let Some(out) = &args.out else {
        let [cell] = cells else {
            bail!("{} runs are written to files: give a folder with --out", cells.len());
        };
        print_json(&document(cell)?)?;
        return Ok(Exit::Fine);
    };
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    for cell in cells {
        let ending = if key.is_some() { "intoto.dsse.json" } else { "intoto.json" };
        let path = out.join(format!("{cell}.{ending}"));
        let document = document(cell)?;
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
        bail!("{cell} does not verify and is not exported: {}: {}", failed.name, failed.detail);
    }
    if let Some(refusal) =
        refusal(&store.record(cell)?, "it has no order that a statement could be about")
    {
        bail!(refusal);
    }
    let (manifest, digest) = store.manifest(cell)?;
    let statement = statement(&store.record(cell)?, &manifest, &digest);
    Ok(match key {
        None => statement,
        Some(key) => serde_json::to_value(Envelope::sign(&statement, key)?)?,
    })
}
