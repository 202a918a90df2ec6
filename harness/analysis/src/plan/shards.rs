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
mod tests;
