//! Which cells of a plan descend from which: parents are checked, kept in the plan, and run first.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cell, Plan};
use crate::suite::{MembershipUse, Problem, Step, key};
use ledger::catalogue::hint;
use ledger::lineage::{CellName, Origin, Parents};
use ledger::record::planned::{PlannedArm, PlannedWorkload};

/// A parent of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parent {
    /// A cell of the plan, of the same seed.
    Cell(Cell),
    /// A run of the store, by id or unique prefix.
    Run(String),
}

/// Indices of a workload and an arm that runs on it.
pub(super) type Pair = (usize, usize);

/// The pairs of a suite and how many generations lie before each.
pub(super) struct Family<'a> {
    workloads: &'a [PlannedWorkload],
    arms: &'a [PlannedArm],
    depths: BTreeMap<Pair, usize>,
}

impl<'a> Family<'a> {
    /// Checks every parent that is named.
    pub(super) fn new(
        workloads: &'a [PlannedWorkload],
        arms: &'a [PlannedArm],
    ) -> Result<Self, Problem> {
        let mut family = Self { workloads, arms, depths: BTreeMap::new() };
        let mut depths = BTreeMap::new();
        for (workload, planned) in workloads.iter().enumerate() {
            let on = |arm: &usize| arms[*arm].runs_on(&planned.label);
            for arm in (0..arms.len()).filter(on) {
                family.measure((workload, arm), &mut depths)?;
            }
        }
        family.depths =
            depths.into_iter().filter_map(|(pair, depth)| Some((pair, depth?))).collect();
        Ok(family)
    }

    /// Puts the generations before a pair, and before all that it descends from, into `depths`, where
    /// those that are being looked at have none yet.
    fn measure(
        &self,
        pair: Pair,
        depths: &mut BTreeMap<Pair, Option<usize>>,
    ) -> Result<(), Problem> {
        let mut open = vec![pair];
        while let Some(&at) = open.last() {
            let parents = self.parents_of(at)?;
            let unknown = |parent: &&Pair| depths.get(*parent).copied().flatten().is_none();
            if let Some(parent) = parents.iter().find(unknown) {
                depths.insert(at, None);
                if depths.contains_key(parent) {
                    let path = vec![key("arms"), Step::Index(pair.1)];
                    let label = &self.arms[pair.1].label;
                    return Err(Problem(path, format!("arm \"{label}\" descends from itself")));
                }
                open.push(*parent);
                continue;
            }
            let before = parents.iter().filter_map(|parent| depths.get(parent).copied().flatten());
            let depth = before.max().map_or(0, |depth| depth + 1);
            depths.insert(at, Some(depth));
            open.pop();
        }
        Ok(())
    }

    fn parents_of(&self, (workload, arm): Pair) -> Result<Vec<Pair>, Problem> {
        let parents = &self.arms[arm].parents;
        let named = [("from", &parents.from), ("teacher", &parents.teacher)];
        let mut pairs = Vec::new();
        for (field, origin) in named {
            let Some(Origin::Cell(name)) = origin else { continue };
            let path = vec![key("arms"), Step::Index(arm), key(field)];
            if name.seeds_ahead > 0 {
                let message =
                    format!("{name}: a parent has the seed of its child; leave out the +");
                return Err(Problem(path, message));
            }
            let found = find(self.workloads, self.arms, workload, name);
            pairs.push(found.map_err(|message| Problem(path, message))?);
        }
        Ok(pairs)
    }

    /// The wanted pairs and all that they descend from: workload by workload, arm by arm.
    pub(super) fn with_parents(
        &self,
        wanted: impl Fn(usize, usize) -> bool,
    ) -> Result<Vec<Pair>, Problem> {
        let all = self.depths.keys().copied();
        let mut kept: Vec<Pair> = all.filter(|(workload, arm)| wanted(*workload, *arm)).collect();
        let mut seen: BTreeSet<Pair> = kept.iter().copied().collect();
        let mut looked_at = 0;
        while looked_at < kept.len() {
            for parent in self.parents_of(kept[looked_at])? {
                if seen.insert(parent) {
                    kept.push(parent);
                }
            }
            looked_at += 1;
        }
        kept.sort_unstable();
        Ok(kept)
    }

    /// Generations before a pair.
    pub(super) fn depth(&self, pair: Pair) -> usize {
        self.depths.get(&pair).copied().unwrap_or(0)
    }
}

/// The pair that `name` means where `workload` is looked at.
pub(super) fn find(
    workloads: &[PlannedWorkload],
    arms: &[PlannedArm],
    workload: usize,
    name: &CellName,
) -> Result<Pair, String> {
    let labels = || workloads.iter().map(|workload| workload.label.as_str()).collect::<Vec<_>>();
    let workload = match &name.workload {
        None => workload,
        Some(label) => workloads
            .iter()
            .position(|workload| workload.label == *label)
            .ok_or_else(|| format!("unknown workload \"{label}\"{}", hint(label, labels())))?,
    };
    let label = &workloads[workload].label;
    let here: Vec<_> = arms.iter().filter(|arm| arm.runs_on(label)).collect();
    let arm = arms.iter().position(|arm| arm.label == name.arm && arm.runs_on(label));
    let arm = arm.ok_or_else(|| {
        let names: Vec<&str> = here.iter().map(|arm| arm.label.as_str()).collect();
        format!("no arm \"{}\" runs on {label}{}", name.arm, hint(&name.arm, names))
    })?;
    Ok((workload, arm))
}

impl Plan {
    /// The parents of a cell.
    ///
    /// # Errors
    /// When an arm names a cell that the plan does not have; a plan from a suite has all.
    pub fn parents(&self, cell: Cell) -> Result<Parents<Parent>, String> {
        self.arms[cell.arm].parents.try_map(|origin| match origin {
            Origin::Run(id) => Ok(Parent::Run(id.clone())),
            Origin::Cell(name) => {
                let (workload, arm) = find(&self.workloads, &self.arms, cell.workload, name)?;
                Ok(Parent::Cell(Cell { workload, arm, seed: cell.seed }))
            }
        })
    }

    /// The cell that a test means by `name` when it looks at the run of the seed at `place` in the
    /// suite's list.
    ///
    /// # Errors
    /// When the plan has no such cell; the tests of a plan from a suite name cells that it has.
    pub fn tested(&self, name: &CellName, place: usize) -> Result<Cell, String> {
        let (workload, arm) = find(&self.workloads, &self.arms, 0, name)?;
        let ahead = (place + name.seeds_ahead) % self.seeds.len().max(1);
        let seed = self.seeds.get(ahead).copied();
        Ok(Cell { workload, arm, seed: seed.ok_or("the plan has no seeds")? })
    }

    /// Whether a cell leaves its final weights: all do, another cell descends from it, or a test
    /// looks at it.
    #[must_use]
    pub fn keeps_model(&self, cell: Cell) -> bool {
        let parent = Parent::Cell(cell);
        let descends = |child: &Cell| {
            self.parents(*child).is_ok_and(|parents| parents.iter().any(|other| *other == parent))
        };
        let tested = |test: &MembershipUse| {
            test.cells().any(|name| {
                find(&self.workloads, &self.arms, cell.workload, name)
                    .is_ok_and(|pair| pair == (cell.workload, cell.arm))
            })
        };
        self.keep_models
            || self.sections.provenance.iter().any(tested)
            || self.cells.iter().any(descends)
    }
}
