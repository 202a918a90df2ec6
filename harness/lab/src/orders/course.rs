//! Orders of a course: by level, concept and subject of each example.

use ledger::choice;
use ledger::order::{OrderLaw, shuffle};

use crate::LabError;
use crate::seat::{EpochPlan, Order, OrderSource, TaskInfo};
use crate::state::State;

/// Where in a course an example stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its subject.
    pub subject: u32,
    /// Its concept: a place in the list of its subject's.
    pub concept: u32,
    /// What is asked of the learner: more at higher levels.
    pub level: u32,
}

choice! {
    /// How a course goes.
    pub enum Curriculum {
        /// Level by level; within one concept by concept, all subjects side by side.
        Interleave = "interleave",
        /// Subject by subject; within one concept by concept, each at all levels.
        Block = "block",
        /// As interleaved, from its end.
        Reverse = "reverse",
        /// In no order.
        Random = "random",
        /// As interleaved, with the places of the course dealt out to the examples at random: a control.
        Shuffled = "shuffled",
    }
}

/// Examples cell by cell, shuffled within each; a cell is a round and a block.
#[derive(Debug)]
pub struct ByCourse {
    curriculum: Curriculum,
    /// Cells that hold examples, in order.
    cells: Vec<Vec<u32>>,
}

impl ByCourse {
    /// The order of a task whose examples stand in a course.
    ///
    /// # Errors
    /// When they stand in none.
    pub fn new(curriculum: Curriculum, task: &TaskInfo<'_>) -> Result<Self, LabError> {
        let mut standings = match &task.side.course {
            Some(standings) if !standings.is_empty() => standings.as_ref().clone(),
            _ => return Err(task.unfit("its examples stand in no course")),
        };
        if curriculum == Curriculum::Shuffled {
            let mut places: Vec<u32> = (0..).take(standings.len()).collect();
            shuffle(&mut task.streams.generator("course"), &mut places);
            let dealt = places.iter().map(|place| standings[*place as usize]);
            standings = dealt.collect();
        }
        Ok(Self { curriculum, cells: cells(curriculum, &standings) })
    }
}

/// The examples of each cell, ascending, in the order in which cells come.
fn cells(curriculum: Curriculum, standings: &[Standing]) -> Vec<Vec<u32>> {
    let key = |standing: &Standing| {
        let Standing { subject, concept, level } = *standing;
        match curriculum {
            Curriculum::Block => [subject, concept, level],
            _ => [level, concept, subject],
        }
    };
    let mut ids: Vec<u32> = (0..).take(standings.len()).collect();
    ids.sort_by_key(|id| key(&standings[*id as usize]));
    let same = |a: &u32, b: &u32| standings[*a as usize] == standings[*b as usize];
    let mut cells: Vec<Vec<u32>> = ids.chunk_by(same).map(<[u32]>::to_vec).collect();
    if curriculum == Curriculum::Reverse {
        cells.reverse();
    }
    cells
}

impl Order for ByCourse {
    fn law(&self) -> OrderLaw {
        match self.curriculum {
            Curriculum::Random => OrderLaw::Uniform,
            _ => OrderLaw::Blockwise,
        }
    }

    fn rounds(&self, examples: u32, budget_samples: u64) -> Vec<u32> {
        let sizes: Vec<usize> = match self.curriculum {
            Curriculum::Random => vec![examples as usize],
            _ => self.cells.iter().map(Vec::len).collect(),
        };
        let mut left = budget_samples;
        let endless = sizes.into_iter().filter(|size| *size > 0).cycle();
        let rounds = endless.map_while(|size| {
            let size = left.min(size as u64);
            left -= size;
            u32::try_from(size).ok().filter(|size| *size > 0)
        });
        if examples == 0 { Vec::new() } else { rounds.collect() }
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        if self.curriculum == Curriculum::Random {
            return EpochPlan { ids: source.uniform(epoch), block: epoch };
        }
        let cell = epoch as usize % self.cells.len().max(1);
        let mut ids = self.cells.get(cell).cloned().unwrap_or_default();
        shuffle(&mut source.streams.keyed("cell", 0, epoch), &mut ids);
        EpochPlan { ids, block: epoch }
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::streams;
    use ledger::streams::Streams;

    /// Three examples of each cell: subjects A and B, concepts 1 and 2, levels r, u and p; dealt out crosswise.
    fn standings() -> Vec<Standing> {
        let cell = |n: u32| Standing { subject: n % 2, concept: n / 2 % 2, level: n / 4 % 3 };
        (0..36).map(|id| cell(id * 5 % 12)).collect()
    }

    fn passes(curriculum: Curriculum, streams: &Streams) -> Vec<u32> {
        let mut order = ByCourse { curriculum, cells: cells(curriculum, &standings()) };
        let (effective_seed, eligible) = (&[3; 32], None);
        let source = OrderSource { effective_seed, streams, examples: 36, eligible };
        let rounds = order.rounds(36, 36);
        let plans = (0..).zip(&rounds).map(|(epoch, n)| {
            let ids = order.epoch(epoch, &source).ids;
            assert_eq!(ids.len(), *n as usize);
            ids
        });
        plans.collect::<Vec<_>>().concat()
    }

    /// Names of the cells in order, once each: level, subject, concept.
    fn names(curriculum: Curriculum) -> String {
        let ids = passes(curriculum, &streams());
        let name = |id: &u32| {
            let Standing { subject, concept, level } = standings()[*id as usize];
            let [level, subject] = [["r", "u", "p"][level as usize], ["a", "b"][subject as usize]];
            format!("{level}:{subject}{}", concept + 1)
        };
        let mut names: Vec<_> = ids.iter().map(name).collect();
        names.dedup();
        names.join(" ")
    }

    fn drops(curriculum: Curriculum) -> usize {
        let ids = passes(curriculum, &streams());
        let levels: Vec<_> = ids.iter().map(|id| standings()[*id as usize].level).collect();
        levels.windows(2).filter(|pair| pair[1] < pair[0]).count()
    }

    #[test]
    fn interleaved_subjects_stand_side_by_side_and_blocks_one_after_the_other() {
        assert_eq!(
            names(Curriculum::Interleave),
            "r:a1 r:b1 r:a2 r:b2 u:a1 u:b1 u:a2 u:b2 p:a1 p:b1 p:a2 p:b2"
        );
        assert_eq!(
            names(Curriculum::Block),
            "r:a1 u:a1 p:a1 r:a2 u:a2 p:a2 r:b1 u:b1 p:b1 r:b2 u:b2 p:b2"
        );
        let from_the_end = "p:b2 p:a2 p:b1 p:a1 u:b2 u:a2 u:b1 u:a1 r:b2 r:a2 r:b1 r:a1";
        assert_eq!(names(Curriculum::Reverse), from_the_end);
    }

    #[test]
    fn the_level_never_drops_where_subjects_interleave_and_once_a_concept_in_blocks() {
        assert_eq!([Curriculum::Interleave, Curriculum::Block].map(drops), [0, 3]);
    }

    #[test]
    fn every_order_holds_every_example_once_and_cells_are_shuffled_by_the_seed() {
        let all = [Curriculum::Interleave, Curriculum::Block, Curriculum::Reverse];
        let mut seen = Vec::new();
        for curriculum in all.into_iter().chain([Curriculum::Random]) {
            let ids = passes(curriculum, &streams());
            let mut sorted = ids.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..36), "{curriculum:?}");
            assert!(!seen.contains(&ids));
            seen.push(ids);
        }
        let other = passes(Curriculum::Interleave, &Streams::new([9; 32]));
        assert_ne!(other, seen[0]);
        // The same cells in the same order.
        for (cell, own) in other.chunks(3).zip(seen[0].chunks(3)) {
            assert_eq!(standings()[cell[0] as usize], standings()[own[0] as usize]);
        }
    }
}
