//! Parts of a plan that several machines run, each alone: together they make every cell once.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::descent::Parent;
use super::{Cell, Plan};
use crate::suite::Sections;

/// One part of several, counted from 1: `2/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 1 to `of`.
    pub index: u32,
    /// How many parts there are.
    pub of: u32,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let parts = parts.and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((index, of)) if index >= 1 && index <= of => Ok(Self { index, of }),
            _ => Err(format!("\"{text}\" is no part: write I/N with I from 1 to N, such as 2/8")),
        }
    }
}

impl Plan {
    /// The places of the cells of each of `count` parts, in the order of the plan.
    ///
    /// All arms of a workload under a seed stay together, so that what claims compare is timed on one
    /// machine; where there are more parts than such groups, only cells that descend from one another
    /// do. The dearest groups are dealt out first, each to the part that has least to do: what a group
    /// costs is its budget in samples, which every machine knows alike.
    ///
    /// # Errors
    /// When there are more parts than cells can be parted into, or seeds end early, which takes a look
    /// at all of them.
    pub fn parts(&self, count: u32) -> Result<Vec<Vec<usize>>, String> {
        if self.stopping.is_some() {
            return Err(
                "seeds that end once the claims are settled cannot be parted: each waits for those before it; leave out --stop-early, or `stopping` of the suite"
                    .to_owned(),
            );
        }
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        let mut groups = self.groups(|cell| (cell.workload, cell.seed))?;
        if groups.len() < wanted {
            groups = self.groups(whole)?;
        }
        if groups.len() < wanted {
            return Err(format!(
                "{count} parts are more than the {} that these cells can be parted into",
                groups.len()
            ));
        }
        let cost = |group: &Vec<usize>| -> u64 {
            let samples =
                group.iter().map(|&place| self.workload(self.cells[place]).goal.budget.samples);
            samples.fold(0, u64::saturating_add)
        };
        groups.sort_by_key(|group| (std::cmp::Reverse(cost(group)), group[0]));
        let mut parts = vec![(0_u64, Vec::new()); wanted];
        for group in groups {
            let least = parts.iter_mut().min_by_key(|(cost, _)| *cost);
            let Some((sum, part)) = least else { break };
            *sum = sum.saturating_add(cost(&group));
            part.extend(group);
        }
        let parts = parts.into_iter().map(|(_, mut part)| {
            part.sort_unstable();
            part
        });
        Ok(parts.collect())
    }

    /// One part of the plan. Claims, tests and estimates are left to who has all of them; what these
    /// will look at is kept.
    ///
    /// # Errors
    /// As [`parts`](Self::parts).
    pub fn shard(self, shard: Shard) -> Result<Self, String> {
        let parts = self.parts(shard.of).map_err(|why| format!("--shard {shard}: {why}"))?;
        let part = &parts[shard.index as usize - 1];
        let cells = part.iter().map(|&place| self.cells[place]).collect();
        let keep_models = self.keep_models || !self.sections.provenance.is_empty();
        let (sections, unjudged) = (Sections::default(), Vec::new());
        Ok(Self { cells, sections, unjudged, keep_models, ..self })
    }

    /// Places of cells that stay together: those of one key, and all that descend from one another. In
    /// the order of their first.
    fn groups<K: Ord>(&self, key: impl Fn(&Cell) -> K) -> Result<Vec<Vec<usize>>, String> {
        let place_of: BTreeMap<(usize, usize, u64), usize> =
            (0..).zip(&self.cells).map(|(place, cell)| (whole(cell), place)).collect();
        let mut roots: Vec<usize> = (0..self.cells.len()).collect();
        let mut first: BTreeMap<K, usize> = BTreeMap::new();
        for (place, cell) in self.cells.iter().enumerate() {
            let with = *first.entry(key(cell)).or_insert(place);
            join(&mut roots, with, place);
            for parent in self.parents(*cell)?.iter() {
                if let Parent::Cell(parent) = parent
                    && let Some(&parent) = place_of.get(&whole(parent))
                {
                    join(&mut roots, parent, place);
                }
            }
        }
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for place in 0..roots.len() {
            groups.entry(root(&mut roots, place)).or_default().push(place);
        }
        Ok(groups.into_values().collect())
    }
}

fn whole(cell: &Cell) -> (usize, usize, u64) {
    (cell.workload, cell.arm, cell.seed)
}

/// The smallest place of a group.
fn root(roots: &mut [usize], mut place: usize) -> usize {
    while roots[place] != place {
        roots[place] = roots[roots[place]];
        place = roots[place];
    }
    place
}

fn join(roots: &mut [usize], one: usize, other: usize) {
    let (one, other) = (root(roots, one), root(roots, other));
    roots[one.max(other)] = one.min(other);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::catalogue;
    use crate::plan::{Overrides, plan};
    use proptest::prelude::*;

    const SUITE: &str = "\
suite: x
question: q
seeds: 3
workloads:
  - { workload: digits-mlp, as: long, epochs: 8 }
  - { workload: digits-mlp, as: short, epochs: 1 }
arms:
  - { method: sgd, as: parent }
  - { method: muon, as: child, from: parent }
  - { method: muon, as: alone }
";

    fn planned(text: &str) -> Plan {
        plan("x.yaml", text, &catalogue(), &Overrides::default()).unwrap()
    }

    proptest! {
        #[test]
        fn parts_are_disjoint_and_together_the_plan_and_no_child_leaves_its_parent(
            count in 1_u32..=12, seeds in 1_u32..6,
        ) {
            let plan = planned(&SUITE.replace("seeds: 3", &format!("seeds: {seeds}")));
            let most = 4 * seeds;
            let parts = plan.parts(count);
            prop_assert_eq!(parts.is_ok(), count <= most);
            let Ok(parts) = parts else { return Ok(()) };
            let mut all: Vec<usize> = parts.iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..plan.cells.len()).collect::<Vec<_>>());
            for part in parts {
                prop_assert!(!part.is_empty());
                let cells: Vec<Cell> = part.iter().map(|&place| plan.cells[place]).collect();
                for (at, cell) in cells.iter().enumerate() {
                    for parent in plan.parents(*cell).unwrap().iter() {
                        let Parent::Cell(parent) = parent else { continue };
                        prop_assert!(cells[..at].contains(parent), "a parent runs before its child");
                    }
                }
            }
        }
    }

    #[test]
    fn arms_of_a_seed_share_a_machine_and_the_dearest_go_apart() {
        let plan = planned(SUITE);
        // Three dear groups and three cheap ones, an eighth as long: one of each a part.
        for part in plan.parts(3).unwrap() {
            let cells: Vec<Cell> = part.iter().map(|&place| plan.cells[place]).collect();
            let of = |workload: usize| {
                let seeds = cells.iter().filter(|cell| cell.workload == workload);
                seeds.map(|cell| cell.seed).collect::<Vec<_>>()
            };
            for workload in [0, 1] {
                let seeds = of(workload);
                assert_eq!(seeds.len(), 3, "three arms");
                assert!(seeds.iter().all(|seed| *seed == seeds[0]), "of one seed");
            }
        }
        // With two parts the third dear group goes where the fewest samples are, and all that is cheap
        // to the other.
        let sizes: Vec<usize> = plan.parts(2).unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [6, 12]);
    }

    #[test]
    fn a_part_is_asked_nothing_and_keeps_the_models_that_tests_will_look_at() {
        let test = "provenance:\n  - { id: t, statement: s, run: long/parent, suspect: long/parent, expect: { nothing: true } }\n";
        let whole = planned(SUITE);
        assert!(!whole.clone().shard("1/2".parse().unwrap()).unwrap().keep_models);
        let tested = planned(&format!("{SUITE}{test}")).shard("2/2".parse().unwrap()).unwrap();
        assert!(tested.keep_models && tested.sections.provenance.is_empty());
        let problem = whole.shard("1/13".parse().unwrap()).unwrap_err();
        assert!(problem.contains("13 parts are more than the 12"), "{problem}");
    }

    #[test]
    fn a_part_is_written_as_one_of_several() {
        assert_eq!("2/8".parse::<Shard>().unwrap().to_string(), "2/8");
        for wrong in ["0/8", "9/8", "2", "2/", "-1/8", "a/b", "1/0", ""] {
            assert!(wrong.parse::<Shard>().unwrap_err().contains("I/N"), "{wrong}");
        }
    }
}
