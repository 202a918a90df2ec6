//! Ends the seeds of a run once its claims are settled.

use analysis::suite_run::SuiteRun;
use analysis::summary::{read_cells, stopping};
use palimpsest::voice::note;

use crate::runner::cell::{CellReport, ids};
use crate::runner::{NamedSeed, Session};
use crate::suite_run::suite_run;

/// Whether no seed beyond the first `done` is needed. It looks at records alone, so that a run whose
/// cells are all there already stops at the same seed.
pub fn over(
    session: &Session,
    source: &str,
    seeds: &[NamedSeed],
    reports: &[CellReport],
    done: usize,
) -> anyhow::Result<bool> {
    let Some(settings) = session.plan.stopping.filter(|settings| done >= settings.least) else {
        return Ok(false);
    };
    let so_far = suite_run(session, source, seeds, &ids(reports), Vec::new());
    let cells = read_cells(&session.store, &so_far);
    let over = stopping::over(&so_far, &cells)?;
    if over && done < settings.most {
        let saved = settings.most - done;
        note(&format!(
            "every claim that can be settled is, after {done} seeds; {saved} do not run"
        ));
    }
    Ok(over)
}

/// Takes the seeds that did not run out of the plan, so that nothing later looks for their models.
pub fn keep_what_ran(session: &mut Session, reports: &[CellReport]) {
    let plan = &mut session.plan;
    plan.cells.truncate(reports.len());
    plan.seeds.retain(|seed| plan.cells.iter().any(|cell| cell.seed == *seed));
}

/// Says what the seeds that did not run would have taken.
pub fn tell_saved(session: &Session, left: &mut SuiteRun) {
    if let Some(settings) = session.plan.stopping {
        let cells = read_cells(&session.store, left);
        left.stopping = Some(stopping::saved(settings, session.plan.seeds.len(), &cells));
    }
}
