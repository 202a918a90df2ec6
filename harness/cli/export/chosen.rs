//! Which runs are exported, and what they are called.

use analysis::suite_run::{Found, SuiteRun};
use anyhow::bail;
use exports::{Batch, Run};
use ledger::record::Store;

use super::super::{list, report};
use crate::library;
use crate::voice::{counted, warn};

/// A run and the names that a suite gives it.
struct One {
    cell: String,
    /// Workload and arm.
    names: Option<(String, String)>,
}

/// The runs that are meant.
pub(super) struct Chosen {
    all: Vec<One>,
    /// The suite, where it is one and nothing else.
    suite: Option<SuiteRun>,
}

impl Chosen {
    /// Cell ids.
    pub(super) fn ids(&self) -> Vec<String> {
        self.all.iter().map(|one| one.cell.clone()).collect()
    }
}

/// The runs that `names` stand for, each once: of the store by their ids, or all of a suite that are there.
///
/// # Errors
/// When a name is of neither, or nothing of a suite is there.
pub(super) fn cells(store: &Store, names: &[String], run: Option<&str>) -> anyhow::Result<Chosen> {
    let mut all: Vec<One> = Vec::new();
    let mut suites = Vec::new();
    for name in names {
        match store.find(name) {
            Ok(cell) => all.push(One { cell, names: None }),
            Err(no_run) => {
                let found = match report::find(store, Some(name), run) {
                    Ok(found) => found,
                    // What is no suite anywhere was meant as a run.
                    Err(no_suite) if library::suite(name).is_ok() || run.is_some() => {
                        return Err(no_suite);
                    }
                    Err(_) => bail!("{no_run}, and no suite of this name has run"),
                };
                let Found { shelved, notes, .. } = found;
                notes.iter().for_each(|note| warn(note));
                all.extend(of_suite(store, &shelved.run)?);
                suites.push(shelved.run);
            }
        }
    }
    if run.is_some() && suites.is_empty() {
        bail!("--run picks a run of a suite, and no suite is named; leave it out");
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|one| seen.insert(one.cell.clone()));
    let suite = if names.len() == 1 { suites.pop() } else { None };
    Ok(Chosen { all, suite })
}

/// The runs of a suite that are in the store.
fn of_suite(store: &Store, suite: &SuiteRun) -> anyhow::Result<Vec<One>> {
    let (there, lacking): (Vec<_>, Vec<_>) =
        suite.cells.iter().partition(|cell| store.has(&cell.cell));
    if there.is_empty() {
        bail!(
            "none of the {} of suite \"{}\" is in {}; `palimpsest run {}` makes them",
            counted(suite.cells.len(), "run"),
            suite.suite,
            store.root().display(),
            suite.source
        );
    }
    if !lacking.is_empty() {
        warn(&format!(
            "{} of {} are not in the store and not exported",
            lacking.len(),
            counted(suite.cells.len(), "run")
        ));
    }
    let of = |cell: &analysis::suite_run::RunCell| One {
        cell: cell.cell.clone(),
        names: Some((
            suite.workloads[cell.workload].label.clone(),
            suite.arms[cell.arm].label.clone(),
        )),
    };
    Ok(there.into_iter().map(of).collect())
}

/// Reads the runs.
///
/// # Errors
/// When one cannot be read, or is not what its manifest says.
pub(super) fn batch(store: &Store, chosen: &Chosen) -> anyhow::Result<Batch> {
    let labels = list::labels(store)?;
    let mut runs = Vec::new();
    for One { cell, names } in &chosen.all {
        if let Some(fault) = store.fault(cell) {
            bail!("run {cell} is not exported: {fault}; `palimpsest verify {cell}` tells more");
        }
        let mut run = Run::read(store, cell)?;
        if let Some((workload, arm)) = names {
            (run.workload, run.arm) = (workload.clone(), arm.clone());
        } else if let Some(label) = labels.get(cell) {
            run.arm.clone_from(label);
        }
        runs.push(run);
    }
    let suite = chosen.suite.as_ref();
    Ok(Batch {
        name: suite.map_or_else(|| "runs".to_owned(), |suite| suite.suite.clone()),
        question: suite.map(|suite| suite.question.clone()),
        suite_digest: suite.map(|suite| suite.suite_digest.clone()),
        runs,
    })
}
