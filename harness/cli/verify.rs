//! `palimpsest verify`

use ledger::record::verify::Verifier;

use super::Exit;
use super::suite_options::Places;
use crate::voice::{print_json, print_text};

/// Options of `palimpsest verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs, by id or unique prefix; all of the store when none is given
    runs: Vec<String>,
    #[command(flatten)]
    places: Places,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.places.store();
    let cells = if args.runs.is_empty() {
        store.cells()?
    } else {
        args.runs.iter().map(|run| store.find(run)).collect::<Result<_, _>>()?
    };
    if cells.is_empty() {
        anyhow::bail!("there are no runs in {}", store.root().display());
    }
    let verifier = Verifier::new(&store);
    let mut all = Vec::new();
    for cell in cells {
        let checks = verifier.verify(&cell);
        all.push((cell, checks));
    }
    let passed = all.iter().all(|(_, checks)| checks.iter().all(|check| check.passed));
    if args.json {
        let rows: Vec<_> = all
            .iter()
            .map(|(run, checks)| serde_json::json!({ "run": run, "checks": checks }))
            .collect();
        print_json(&rows)?;
    } else {
        for (cell, checks) in &all {
            let failed: Vec<_> = checks.iter().filter(|check| !check.passed).collect();
            if failed.is_empty() {
                let names: Vec<_> = checks.iter().map(|check| check.name.as_str()).collect();
                print_text(&format!("{cell}  verified: {}\n", names.join(", ")))?;
            }
            for check in failed {
                print_text(&format!("{cell}  MISMATCH {}: {}\n", check.name, check.detail))?;
            }
        }
    }
    Ok(if passed { Exit::Fine } else { Exit::CheckFailed })
}
