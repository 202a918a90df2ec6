//! Teachers: orders that propose tasks and learn from what the student earned on them.
//!
//! Tasks are points of the unit cube. So that every proposal is a training example with an id, the
//! examples of a workload are a fixed [`Lattice`], and the student gets the lattice point nearest
//! to what was proposed; the teacher itself remembers what it proposed. The last coordinates of a
//! proposal may be irrelevant: teachers see them like any other, and the lattice does not have them.

pub mod history;
pub mod mixtures;
pub mod regions;

use std::collections::VecDeque;

use ledger::catalogue::Schedule;
use ledger::order::OrderLaw;
use ledger::settings;
use ledger::settings::Range;
use ledger::streams::unit_f64;
use rand_pcg::Pcg64;

use crate::LabError;
use crate::recipe::Recipe;
use crate::seat::{EpochPlan, Facts, Feedback, Order, OrderSource, TaskInfo};
use crate::side_info::Points;
use crate::state::State;

settings! {
    /// Settings that all teachers share.
    pub struct TeachingSettings {
        /// Episodes per step of the student; the teacher sees each of them.
        batch_size: u32 = 10, range Range::of(1.0..), from "assumed";
    }
}

/// Proposes tasks.
pub trait Teacher {
    /// The next task, a point of the unit cube.
    fn propose(&mut self) -> Vec<f64>;

    /// Takes note of the student's reward on a task that was proposed.
    fn observe(&mut self, _task: &[f64], _reward: f64) {}

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }

    /// What steps change of it, as [`Order::state`] has it.
    ///
    /// # Errors
    /// When what is read does not fit.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError>;
}

/// Equally spaced points of the unit cube, the centres of `side`^n equal cells in the n coordinates
/// that count; the last of them moves fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lattice {
    /// Coordinates of a proposal.
    pub dimensions: usize,
    /// The last of them that say nothing of the task, so that points do without.
    pub irrelevant: usize,
    /// Points along each of the others.
    pub side: u32,
}

impl Lattice {
    /// The lattice that a workload's tasks form.
    ///
    /// # Errors
    /// When the workload has no tasks, or they are no lattice.
    pub fn of(task: &TaskInfo<'_>) -> Result<Self, LabError> {
        let unfit = || task.unfit("its examples are not a lattice of tasks");
        let points = task.side.points.as_ref().ok_or_else(unfit)?;
        let dimensions = u32::try_from(points.dimensions).map_err(|_| unfit())?;
        let sides = (1..=task.examples).take_while(|side| {
            side.checked_pow(dimensions).is_some_and(|count| count <= task.examples)
        });
        let side = sides.last().ok_or_else(unfit)?;
        let Points { dimensions, irrelevant, .. } = *points;
        let lattice = Self { dimensions: dimensions + irrelevant, irrelevant, side };
        if lattice.points() == *points { Ok(lattice) } else { Err(unfit()) }
    }

    /// Coordinates that count, the first of each proposal.
    #[must_use]
    pub fn relevant(&self) -> usize {
        self.dimensions.saturating_sub(self.irrelevant)
    }

    /// Its points, as many as there are training examples.
    #[must_use]
    pub fn points(&self) -> Points {
        let dimensions = self.relevant();
        let count = (self.side as usize).pow(u32::try_from(dimensions).unwrap_or(0));
        let mut coordinates = Vec::with_capacity(count * dimensions);
        for mut index in 0..count {
            let start = coordinates.len();
            for _ in 0..dimensions {
                let digit = index % self.side as usize;
                index /= self.side as usize;
                coordinates.push((digit as f64 + 0.5) / f64::from(self.side));
            }
            coordinates[start..].reverse();
        }
        Points { dimensions, irrelevant: self.irrelevant, coordinates }
    }

    /// The number of the point nearest to `task`, whatever its irrelevant coordinates.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the digits there are"
    )]
    pub fn nearest(&self, task: &[f64]) -> u32 {
        task.iter().take(self.relevant()).fold(0, |index, coordinate| {
            let cell = (coordinate * f64::from(self.side)).floor();
            index * self.side + cell.clamp(0.0, f64::from(self.side - 1)) as u32
        })
    }
}

/// Uniform draws from the unit cube, each from the stream `tasks`.
#[derive(Debug, Clone)]
pub struct Uniform {
    dimensions: usize,
    random: Pcg64,
}

impl Uniform {
    /// Draws over the tasks of `lattice`.
    #[must_use]
    pub fn new(lattice: Lattice, task: &TaskInfo<'_>) -> Self {
        Self { dimensions: lattice.dimensions, random: task.streams.generator("tasks") }
    }
}

impl Teacher for Uniform {
    fn propose(&mut self) -> Vec<f64> {
        (0..self.dimensions).map(|_| unit_f64(&mut self.random)).collect()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("random", &mut self.random)
    }
}

/// The order of what a teacher proposes, `round` tasks at a time: it sees the rewards of a round
/// before it proposes the next, so that tasks are exchangeable within a round.
#[derive(Debug)]
struct Lessons<T> {
    teacher: T,
    lattice: Lattice,
    round: u32,
    law: OrderLaw,
    /// Proposals whose reward is not known yet.
    pending: VecDeque<Vec<f64>>,
}

impl<T: Teacher> Order for Lessons<T> {
    fn law(&self) -> OrderLaw {
        self.law
    }

    fn rounds(&self, _examples: u32, budget_samples: u64) -> Vec<u32> {
        let rounds = budget_samples.div_ceil(u64::from(self.round));
        vec![self.round; usize::try_from(rounds).unwrap_or(0)]
    }

    fn observe(&mut self, feedback: Feedback<'_>) {
        let Feedback::Step { scores, .. } = feedback else { return };
        for &reward in scores {
            if let Some(task) = self.pending.pop_front() {
                self.teacher.observe(&task, reward);
            }
        }
    }

    fn epoch(&mut self, epoch: u32, _source: &OrderSource<'_>) -> EpochPlan {
        self.pending = (0..self.round).map(|_| self.teacher.propose()).collect();
        let ids = self.pending.iter().map(|task| self.lattice.nearest(task));
        EpochPlan { ids: ids.collect(), block: epoch }
    }

    fn facts(&self) -> Facts {
        self.teacher.facts()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.teacher.state(state)?;
        state.of("pending", &mut self.pending)
    }
}

/// The workload's own student under `teacher`, who proposes `round` tasks at a time.
///
/// # Errors
/// When the workload has no student of its own.
pub fn recipe<T: Teacher + 'static>(
    settings: &TeachingSettings,
    task: &TaskInfo<'_>,
    lattice: Lattice,
    round: u32,
    law: OrderLaw,
    teacher: T,
) -> Result<Recipe, LabError> {
    let student =
        task.side.student.ok_or_else(|| task.unfit("the workload has no student of its own"))?;
    let order = Box::new(Lessons { teacher, lattice, round, law, pending: VecDeque::new() });
    let plain = Recipe::of(settings.batch_size, Schedule::Constant, student(task)?);
    Ok(Recipe { order, ..plain })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lattice_has_its_points_at_the_centres_of_equal_cells() {
        let points = Lattice { dimensions: 2, irrelevant: 0, side: 2 }.points();
        assert_eq!(points.coordinates, [0.25, 0.25, 0.25, 0.75, 0.75, 0.25, 0.75, 0.75]);
    }

    proptest! {
        #[test]
        fn the_nearest_point_is_the_nearest_of_all(
            x in 0.0_f64..=1.0, y in 0.0_f64..=1.0, side in 1_u32..20,
        ) {
            let lattice = Lattice { dimensions: 2, irrelevant: 0, side };
            let points = lattice.points();
            let distance = |index: usize| {
                let point = &points.coordinates[2 * index..][..2];
                (point[0] - x).hypot(point[1] - y)
            };
            let found = distance(lattice.nearest(&[x, y]) as usize);
            let all = (0..points.coordinates.len() / 2).map(distance);
            prop_assert!(found <= all.fold(f64::INFINITY, f64::min) + 1e-12);
        }

        #[test]
        fn irrelevant_coordinates_change_neither_points_nor_which_is_nearest(
            task in proptest::collection::vec(0.0_f64..=1.0, 7), side in 1_u32..20,
        ) {
            let plain = Lattice { dimensions: 2, irrelevant: 0, side };
            let wide = Lattice { dimensions: 7, irrelevant: 5, side };
            prop_assert_eq!(plain.points().coordinates, wide.points().coordinates);
            prop_assert_eq!(plain.nearest(&task[..2]), wide.nearest(&task));
        }

        #[test]
        fn a_point_of_the_lattice_is_nearest_to_itself(side in 1_u32..12, dimensions in 1_usize..4) {
            let lattice = Lattice { dimensions, irrelevant: 0, side };
            let points = lattice.points();
            for (index, point) in (0..).zip(points.coordinates.chunks_exact(dimensions)) {
                prop_assert_eq!(lattice.nearest(point), index);
            }
        }
    }
}
