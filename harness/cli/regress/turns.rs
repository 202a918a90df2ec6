//! Two builds taking turns at the cells of a suite, or one build alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use analysis::regress::extract::{Context, Run, snapshot};
use analysis::regress::metric::CellName;
use analysis::regress::plan::{Side, interleave};
use analysis::regress::snapshot::Cell;
use analysis::regress::{RegressError, Snapshot};
use anyhow::bail;
use ledger::digest::Digest;
use ledger::external::METHOD;

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
    /// Whether its arm is a program of one's own, on a side that has it.
    #[must_use]
    pub fn is_program(&self) -> bool {
        let is = |side| {
            let cell = self.on(side).and_then(|(planned, place)| planned.cells.get(place));
            cell.is_some_and(|cell| cell.method == METHOD)
        };
        is(Side::Base) || is(Side::Head)
    }

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
    /// When the last run of what is not on trial began: of the base, where it took part.
    pub base_unix: u64,
}

/// A run of the head that left no record.
#[derive(Debug)]
struct Crash {
    cell: CellName,
    round: u32,
    message: String,
}

/// Measures the cells in `rounds` interleaved rounds, each run in a process and a store of its own.
///
/// A run of the head that crashes or exceeds its limit is a failed cell, and the last one of its arm:
/// the other arms are measured all the same.
///
/// # Errors
/// When the base does not leave a record, or the head not a single one, or the records do not make a
/// snapshot.
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
        ..context.clone()
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
    let (mut last_unix, mut base_unix) = (0, 0);
    let mut current = None;
    let mut crashes: Vec<Crash> = Vec::new();
    let mut error = None;
    for (turn, build, planned, place, seeds) in turns {
        if current.replace(turn.round).is_some_and(|before| before != turn.round) {
            clear(scratch);
        }
        let over = crashes.iter().any(|crash| {
            // The base's half of the pair shows what the head has lost.
            let pair =
                turn.side == Side::Base && (&crash.cell, crash.round) == (&turn.cell, turn.round);
            (&crash.cell.workload, &crash.cell.arm) == (&turn.cell.workload, &turn.cell.arm)
                && !pair
        });
        if over {
            steps.step();
            continue;
        }
        let store = scratch.path("stores").join(format!("{}-{}", build.name, turn.round));
        let left = match build.train(planned, place, seeds, &store) {
            Ok(left) => left,
            // Alone, a head that refuses what it is told is a mistake in the call.
            Err(crash) if turn.side == Side::Head && !(crash.refused && builds.base.is_none()) => {
                let (cell, round, message) = (turn.cell, turn.round, crash.said.clone());
                crashes.push(Crash { cell, round, message });
                error.get_or_insert(crash);
                steps.step();
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if turn.side == Side::Base || builds.base.is_none() {
            base_unix = base_unix.max(left.record.environment.started_unix);
        }
        last_unix = last_unix.max(left.record.environment.started_unix);
        let run = Run { cell: &left.cell, round: turn.round, record: &left.record };
        sides.entry(turn.side).or_default().push(snapshot(&left.suite, &[run], &context)?);
        steps.step();
    }
    clear(scratch);
    steps.finish();
    let base = sides.remove(&Side::Base).map(joined).transpose()?;
    let head = sides.remove(&Side::Head).map(joined).transpose()?;
    let head = match (head, &base, error) {
        (Some(head), base, _) => with_crashes(head, base.as_ref(), crashes)?,
        // Not a single record: suite and machine are those of the base, which ran beside it.
        (None, Some(base), Some(_)) => {
            let empty = Snapshot { cells: Vec::new(), commit: None, ..base.clone() };
            with_crashes(empty, Some(base), crashes)?
        }
        (None, None, Some(error)) => return Err(error.into()),
        (None, _, None) => bail!("the suite has no cells for the head: nothing can be judged"),
    };
    Ok(Measured { base, head, last_unix, base_unix })
}

/// The head with its crashed runs as failed cells. What the suite sets in them is what it sets in
/// the same cell elsewhere.
fn with_crashes(
    head: Snapshot,
    base: Option<&Snapshot>,
    crashes: Vec<Crash>,
) -> Result<Snapshot, RegressError> {
    let Snapshot { suite, machine, commit, session, mut cells, .. } = head;
    for Crash { cell, round, message } in crashes {
        let mut known = cells.iter().chain(base.iter().flat_map(|base| &base.cells));
        let config = known.find(|known| known.name() == cell).map(|known| known.config);
        cells.push(Cell {
            workload: cell.workload,
            arm: cell.arm,
            seed: cell.seed,
            round,
            config: config.unwrap_or_else(|| Digest::of(b"")),
            code: None,
            failed: Some(message),
            disturbed: false,
            metrics: Vec::new(),
        });
    }
    Snapshot::new(suite, machine, commit, session, cells)
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
        if !part.machine.is(&first.machine) {
            let (one, other) = (first.machine.fingerprint, part.machine.fingerprint);
            return Err(RegressError::TwoMachines { one, other });
        }
        first.machine.add_software(&part.machine);
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
