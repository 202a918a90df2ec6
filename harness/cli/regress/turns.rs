//! Two builds taking turns at the cells of a suite, or one build alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use analysis::regress::extract::{Context, Run, snapshot};
use analysis::regress::metric::CellName;
use analysis::regress::plan::{Side, interleave};
use analysis::regress::{RegressError, Snapshot};
use anyhow::bail;

use super::build::{Build, BuildError, Planned};
use super::scratch::Scratch;
use crate::machine;
use crate::voice::Steps;

/// Who takes part: both sides, or the head alone.
#[derive(Debug, Clone)]
pub struct Builds {
    /// What is compared with.
    pub base: Option<Build>,
    /// What is judged.
    pub head: Build,
}

impl Builds {
    fn of(&self, side: Side) -> Option<&Build> {
        match side {
            Side::Base => self.base.as_ref(),
            Side::Head => Some(&self.head),
        }
    }
}

/// Cells of the suite under one list of seeds, as both sides plan them.
#[derive(Debug, Clone)]
pub struct Selection {
    seeds: Option<String>,
    base: Option<Planned>,
    head: Planned,
}

/// One cell to measure, and its place in the plan of each side that has it.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Which cell.
    pub name: CellName,
    selection: &'a Selection,
    base: Option<usize>,
    head: Option<usize>,
}

impl Selection {
    /// Asks both sides for their plans; `seeds` are the suite's own when not given.
    ///
    /// # Errors
    /// When a side refuses the suite.
    pub fn new(
        builds: &Builds,
        seeds: Option<&str>,
        scratch: &Scratch,
    ) -> Result<Self, BuildError> {
        let store = scratch.path("plan");
        let head = builds.head.plan(seeds, &store)?;
        let base = builds.base.as_ref().map(|base| base.plan(seeds, &store)).transpose()?;
        Ok(Self { seeds: seeds.map(str::to_owned), base, head })
    }

    /// Name of the suite.
    #[must_use]
    pub fn suite(&self) -> &str {
        &self.head.suite
    }

    /// The seeds of the head's plan, in order.
    #[must_use]
    pub fn seeds(&self) -> Vec<u64> {
        let mut seeds: Vec<u64> = self.head.cells.iter().map(|cell| cell.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    }

    /// Every cell that a side has: the head's in its order, then those of the base alone.
    #[must_use]
    pub fn cells(&self) -> Vec<Wanted<'_>> {
        let places = |planned: &Planned| -> BTreeMap<CellName, usize> {
            (0..).zip(&planned.cells).map(|(place, cell)| (cell.name(), place)).collect()
        };
        let base = self.base.as_ref().map(places).unwrap_or_default();
        let head = places(&self.head);
        let alone = self.base.iter().flat_map(|planned| &planned.cells);
        let alone = alone.map(|cell| cell.name()).filter(|name| !head.contains_key(name));
        let names = self.head.cells.iter().map(|cell| cell.name()).chain(alone);
        let wanted = names.map(|name| Wanted {
            selection: self,
            base: base.get(&name).copied(),
            head: head.get(&name).copied(),
            name,
        });
        wanted.collect()
    }
}

impl Wanted<'_> {
    fn on(&self, side: Side) -> Option<(&Planned, usize)> {
        match side {
            Side::Base => Some((self.selection.base.as_ref()?, self.base?)),
            Side::Head => Some((&self.selection.head, self.head?)),
        }
    }
}

/// What a session measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What is compared with, when it took part.
    pub base: Option<Snapshot>,
    /// What is judged.
    pub head: Snapshot,
    /// When its last run began, in seconds since 1970.
    pub last_unix: u64,
}

/// Measures the cells in `rounds` interleaved rounds, each run in a process and a store of its own.
///
/// # Errors
/// When a build does not leave a record, or the records do not make a snapshot.
pub fn session(
    builds: &Builds,
    wanted: &[Wanted<'_>],
    rounds: u32,
    context: &Context,
    scratch: &Scratch,
) -> anyhow::Result<Measured> {
    let context = Context {
        session: Some(session_id()?),
        machine: machine::speed_parts(),
        treatments: context.treatments.clone(),
    };
    let names: Vec<CellName> = wanted.iter().map(|wanted| wanted.name.clone()).collect();
    let by_name: BTreeMap<&CellName, &Wanted<'_>> =
        wanted.iter().map(|wanted| (&wanted.name, wanted)).collect();
    let turns: Vec<_> = interleave(&names, rounds)
        .into_iter()
        .filter_map(|turn| {
            let build = builds.of(turn.side)?;
            let wanted = by_name.get(&turn.cell)?;
            let (planned, place) = wanted.on(turn.side)?;
            let seeds = wanted.selection.seeds.as_deref();
            Some((turn, build, planned, place, seeds))
        })
        .collect();
    let mut steps = Steps::start("runs", turns.len());
    let mut sides: BTreeMap<Side, Vec<Snapshot>> = BTreeMap::new();
    let mut last_unix = 0;
    let mut current = None;
    for (turn, build, planned, place, seeds) in turns {
        if current.replace(turn.round).is_some_and(|before| before != turn.round) {
            clear(scratch);
        }
        let store = scratch.path("stores").join(format!("{}-{}", build.name, turn.round));
        let left = build.train(planned, place, seeds, &store)?;
        last_unix = last_unix.max(left.record.environment.started_unix);
        let run = Run { cell: &left.cell, round: turn.round, record: &left.record };
        sides.entry(turn.side).or_default().push(snapshot(&left.suite, &[run], &context)?);
        steps.step();
    }
    clear(scratch);
    steps.finish();
    let base = sides.remove(&Side::Base).map(joined).transpose()?;
    match sides.remove(&Side::Head) {
        Some(head) => Ok(Measured { base, head: joined(head)?, last_unix }),
        None => bail!("the suite has no cells for the head: nothing can be judged"),
    }
}

/// Rounds are over one by one, and so are their stores.
fn clear(scratch: &Scratch) {
    let _ = fs::remove_dir_all(scratch.path("stores"));
}

/// One snapshot of several that were measured on one machine.
fn joined(parts: Vec<Snapshot>) -> Result<Snapshot, RegressError> {
    let mut parts = parts.into_iter();
    let Some(mut first) = parts.next() else {
        return Err(RegressError::Empty { origin: "the session".to_owned(), what: "runs" });
    };
    for part in parts {
        if part.machine != first.machine {
            let (one, other) = (first.machine.fingerprint, part.machine.fingerprint);
            return Err(RegressError::TwoMachines { one, other });
        }
        first.cells.extend(part.cells);
    }
    let Snapshot { suite, machine, commit, session, cells, .. } = first;
    Snapshot::new(suite, machine, commit, session, cells)
}

/// A name that no other session has.
fn session_id() -> anyhow::Result<String> {
    let mut bytes = [0; 8];
    machine::os_random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Rounds that give every arm at least `pairs` pairs over `seeds` seeds, each side going first as
/// often as the other.
#[must_use]
pub fn rounds_for(pairs: u32, seeds: usize) -> u32 {
    let seeds = u32::try_from(seeds.max(1)).unwrap_or(u32::MAX);
    let rounds = pairs.div_ceil(seeds);
    // With an even number of seeds, or of rounds, going first balances.
    rounds + u32::from(rounds % 2 == 1 && seeds % 2 == 1)
}

/// The suite as the builds are to be told: a file by its whole path, so that they may run elsewhere.
///
/// # Errors
/// When the path cannot be resolved.
pub fn told(suite_file: &str, name: &str) -> anyhow::Result<String> {
    let path = Path::new(suite_file);
    Ok(if path.is_file() {
        std::path::absolute(path)?.display().to_string()
    } else {
        name.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::rounds_for;

    #[test]
    fn rounds_give_the_pairs_asked_for_and_balance() {
        for (pairs, seeds, rounds) in [
            (8, 4, 2),
            (8, 5, 2),
            (8, 8, 1),
            (8, 3, 4),
            (8, 1, 8),
            (2, 1, 2),
            (8, 16, 1),
            (6, 2, 3),
        ] {
            assert_eq!(rounds_for(pairs, seeds), rounds, "{pairs} pairs, {seeds} seeds");
        }
    }
}
