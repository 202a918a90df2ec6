//! `palimpsest report`

use std::path::PathBuf;

use analysis::suite_run::SuiteRun;
use analysis::summary::Analysis;
use reports::Format;

use super::suite_options::Places;
use crate::evidence::StoreEvidence;
use crate::exit::Exit;
use crate::voice::{print_json, print_score, print_text, warn_unjudged};

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
    let analysis = Analysis::of(&suite_run, &store, &StoreEvidence { store: &store })?;
    let out = args.out.clone().unwrap_or_else(|| store.root().join("reports").join(&name));
    let paths = reports::render(&analysis, &args.format, &out)?;
    warn_unjudged(&analysis.unjudged);
    if args.json {
        print_json(&paths)?;
    } else {
        print_score(&analysis.score)?;
        if let Some(first) = paths.first() {
            print_text(&format!("report: {}\n", first.display()))?;
        }
    }
    Ok(Exit::Fine)
}

/// The suite's own name: what its YAML says where the argument is a file, else the argument.
pub(super) fn suite_name(suite: &str) -> String {
    let text = crate::library::suite(suite).ok();
    let parsed = text.and_then(|found| analysis::suite::parse(&found.file, &found.text).ok());
    parsed.map_or_else(|| suite.to_owned(), |parsed| parsed.suite)
}
