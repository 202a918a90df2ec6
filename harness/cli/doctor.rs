//! `palimpsest doctor`: what can be looked at without libtorch

use std::fs;
use std::path::Path;

use ::data::status::{self, State};
use serde::Serialize;

use super::suite_options::Places;
use crate::exit::Exit;
use crate::machine;
use crate::voice::{counted, print_json, print_text};

/// Options of `palimpsest doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// One thing looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The thing.
    pub what: &'static str,
    /// Whether runs can rely on it.
    pub fine: bool,
    /// What was seen.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<&'static str>,
}

/// Data, store and load.
#[must_use]
pub fn findings(places: &Places) -> Vec<Finding> {
    vec![digits(places), store(places), load()]
}

/// Prints what was found; exit 1 when anything is not fine.
///
/// # Errors
/// When standard output cannot be written.
pub fn conclude(findings: &[Finding], json: bool) -> anyhow::Result<Exit> {
    if json {
        print_json(&findings)?;
    } else {
        for Finding { what, fine, found, remedy } in findings {
            let mark = if *fine { "ok     " } else { "missing" };
            print_text(&format!("{mark}  {what:<9} {found}\n"))?;
            if let Some(remedy) = remedy {
                print_text(&format!("                   {remedy}\n"))?;
            }
        }
    }
    Ok(if findings.iter().all(|finding| finding.fine) { Exit::Fine } else { Exit::CheckFailed })
}

fn digits(places: &Places) -> Finding {
    let sources = places.sources();
    let sets = status::list(&sources);
    let here: Vec<_> = sets
        .iter()
        .filter(|set| !matches!(set.state, State::Absent | State::Corrupt))
        .map(|set| set.name.to_string())
        .collect();
    let fine = here.iter().any(|name| name == "digits");
    let found = format!("{} (data folder {})", here.join(", "), sources.data_dir.display());
    Finding {
        what: "data",
        fine,
        found,
        remedy: (!fine).then_some("the quick suite needs digits: just setup"),
    }
}

fn store(places: &Places) -> Finding {
    let store = places.store();
    let prepared = if store.root().exists() {
        store.prepare().map_err(|error| error.to_string())
    } else {
        can_be_made(store.root())
    };
    match prepared {
        Ok(()) => {
            let runs = store.cells().map_or(0, |cells| cells.len());
            Finding {
                what: "store",
                fine: true,
                found: format!("{} with {}", store.root().display(), counted(runs, "run")),
                remedy: None,
            }
        }
        Err(error) => Finding {
            what: "store",
            fine: false,
            found: error,
            remedy: Some("choose a folder that can be written: --store DIR or PALIMPSEST_STORE"),
        },
    }
}

/// Whether a folder that is not there could be made; it is not, for whoever only looks.
fn can_be_made(root: &Path) -> Result<(), String> {
    let mut missing = root;
    while let Some(parent) =
        missing.parent().filter(|at| !at.as_os_str().is_empty() && !at.exists())
    {
        missing = parent;
    }
    let made = fs::create_dir(missing).and_then(|()| fs::remove_dir(missing));
    made.map_err(|error| format!("cannot create {}: {error}", missing.display()))
}

fn load() -> Finding {
    let load = machine::load();
    let busy = load.is_some_and(|load| load > f64::from(machine::cpus()));
    let found =
        load.map_or_else(|| "unknown".to_owned(), |load| format!("{load:.2} (one-minute average)"));
    Finding {
        what: "load",
        fine: true,
        found,
        remedy: busy.then_some("busier than its cores: timed verdicts would be withheld"),
    }
}
