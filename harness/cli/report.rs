//! `palimpsest report`

use std::path::PathBuf;

use analysis::suite_run::SuiteRun;
use analysis::summary::Analysis;
use analysis::summary::membership::judge;
use analysis::summary::order_estimates;
use analysis::summary::summarise::{CellLeft, CellRun, summarise};
use anyhow::Context as _;
use ledger::record::Store;
use reports::Format;

use super::provenance::runs::{StoreEvidence, by_cell};
use super::suite_options::Places;
use crate::exit::Exit;
use crate::voice::{print_json, print_text};

/// Options of `palimpsest report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of a suite that was run, or its YAML file
    suite: String,
    #[command(flatten)]
    places: Places,
    /// Folder to write to; by default <store>/reports/<suite>
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What to write
    #[arg(long, value_delimiter = ',', default_value = "html,png,svg,tex,csv,json")]
    format: Vec<Format>,
    /// Print the paths as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.places.store();
    let name = suite_name(&args.suite);
    let suite_run = SuiteRun::load(&store, &name)?;
    let analysis = analyse(&store, &suite_run)?;
    let out = args.out.clone().unwrap_or_else(|| store.root().join("reports").join(&name));
    let paths = reports::render(&analysis, &args.format, &out)?;
    if args.json {
        print_json(&paths)?;
    } else if let Some(first) = paths.first() {
        print_text(&format!("report: {}\n", first.display()))?;
    }
    Ok(Exit::Fine)
}

/// The suite's own name: what its YAML says where the argument is a file, else the argument.
pub(super) fn suite_name(suite: &str) -> String {
    let text = crate::library::suite(suite).ok();
    let parsed = text.and_then(|found| analysis::suite::parse(&found.file, &found.text).ok());
    parsed.map_or_else(|| suite.to_owned(), |parsed| parsed.suite)
}

/// Reads what the cells of a suite run left.
///
/// # Errors
/// When a record is there but cannot be read.
pub fn read_cells(store: &Store, suite_run: &SuiteRun) -> anyhow::Result<Vec<CellRun>> {
    let mut cells = Vec::with_capacity(suite_run.cells.len());
    for cell in &suite_run.cells {
        let left = if store.has(&cell.cell) {
            let record = store.record(&cell.cell).context("a record cannot be read; `palimpsest run` makes it again after the folder is removed")?;
            let (_, digest) = store.manifest(&cell.cell)?;
            Some(CellLeft {
                record,
                events: store.events(&cell.cell)?,
                run_digest: digest.to_string(),
            })
        } else {
            None
        };
        cells.push(CellRun { cell: cell.clone(), left });
    }
    Ok(cells)
}

/// Reads the records of a suite run and summarises them.
///
/// # Errors
/// When a record is there but cannot be read.
pub fn analyse(store: &Store, suite_run: &SuiteRun) -> anyhow::Result<Analysis> {
    let cells = read_cells(store, suite_run)?;
    let mut analysis = summarise(suite_run, &cells);
    let records = cells.iter().filter_map(|run| Some(&run.left.as_ref()?.record));
    analysis.membership = judge(suite_run, &by_cell(records), &StoreEvidence { store });
    analysis.order_estimates = order_estimates::judge(suite_run, &mut |file| {
        let path = store.root().join(file);
        let again = "`palimpsest run` of the suite makes it again";
        let bytes = std::fs::read(&path)
            .map_err(|error| format!("cannot read {}: {error}; {again}", path.display()))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| format!("{} is damaged: {error}; {again}", path.display()))
    });
    Ok(analysis)
}
