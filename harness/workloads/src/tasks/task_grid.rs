//! # task-grid
//!
//! The authors' own toy, of teachDeepRL, and not the walker that the paper's figures are of (`stumps` is nearer to
//! that): the unit square in 10 × 10 cells, and a student that is a table of 100
//! competences. An episode on a task adds 1 to the competence of its cell, up to 100, if the cell
//! is the origin or one of its lower neighbours (left, below, or both) has at least 75; otherwise
//! the cell is locked and nothing is learnt. The reward is the cell's competence over 100. A cell is
//! mastered above 75, so that cells open in a wave from the origin.
//!
//! Training examples are the 100 × 100 lattice of tasks, 100 in each cell. Validation and test
//! tasks, one per cell at places of their own, read the same table: their metrics agree, and tell
//! what share of the cells is mastered and how competent the student is on average.
//!
//! A second implementation in Python, with scikit-learn's mixtures, mastered 34 % of the cells with
//! ALP-GMM and 67 % with Covar-GMM in 20,000 episodes (two seeds each); this one 34 and 65 % (ten).
//!
//! Sources: Portelas et al., arXiv:1910.07224; flowersteam/teachDeepRL `toy_env/toy_env.py`
//! (20,000 episodes, scored every 1,000).

use std::collections::BTreeMap;

use ledger::catalogue::{DataName, MetricInfo};
use tch::{Kind, TchError, Tensor};

use crate::shared::tasks::{self, Tasks};
use lab::LabError;
use lab::network::{Body, Network, values};
use lab::recipe::Step;
use lab::seat::{Batch, Learner, StepInfo};
use lab::state::State;
use lab::teaching::Lattice;
use training::judge::{EvaluationRequest, Judge};
use training::workload::Workload;

/// Cells along each side.
const SIDE: usize = 10;
/// Highest competence of a cell.
const HIGHEST: f32 = 100.0;
/// Competence that opens the neighbours; above it a cell is mastered.
const MASTERED: f32 = 75.0;

const METRICS: &[MetricInfo] =
    &[MetricInfo::share("mastered", 0.0), MetricInfo::share("competence", 0.0)];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "task space of 10 × 10 cells that open one after another, table of competences",
    data: DataName::GeneratedAs("task-grid"),
    metrics: METRICS,
    target: 0.2,
    budget_epochs: 2.0,
    evaluate_every_epochs: 0.1,
    split_sizes: [10_000, 100, 100],
    load: |_, _, device| {
        let tasks = Tasks {
            id: "task-grid",
            lattice: Lattice { dimensions: 2, irrelevant: 0, side: 100 },
            extent: vec![1.0; 2],
            // Training tasks lie at odd multiples of 0.005, these at even ones.
            validation: one_per_cell(0.05),
            test: one_per_cell(0.02),
            student: |_| Ok(Step::Learner(Box::new(Table::default()))),
        };
        tasks.ready(Cells, device)
    },
    network: |_, _, _, device| {
        let table = Tensor::f_zeros([SIDE as i64, SIDE as i64], (Kind::Float, device))?;
        Ok(Network::new(Vec::new(), vec![table], Body::Table))
    },
    ..tasks::WORKLOAD
};

/// Coordinates of one task per cell, `offset` from the cell's corner.
fn one_per_cell(offset: f64) -> Vec<f64> {
    let place = |cell: usize| cell as f64 / SIDE as f64 + offset;
    (0..SIDE * SIDE).flat_map(|cell| [place(cell / SIDE), place(cell % SIDE)]).collect()
}

/// The cell of each task, row by row, from tasks N × 2.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tasks are within the unit square"
)]
fn cells(tasks: &Tensor) -> Result<Vec<usize>, TchError> {
    let cell = |coordinate: f32| ((coordinate * SIDE as f32) as usize).min(SIDE - 1);
    Ok(values(tasks)?.chunks_exact(2).map(|task| cell(task[0]) * SIDE + cell(task[1])).collect())
}

/// The student: the table that the network's only buffer holds.
#[derive(Debug, Default)]
struct Table {
    rewards: Vec<f64>,
}

impl Learner for Table {
    fn step(
        &mut self,
        network: &mut Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<Option<f64>, LabError> {
        let mut table = values(&network.buffers[0])?;
        self.rewards.clear();
        for cell in cells(&batch.inputs)? {
            if is_open(&table, cell) {
                table[cell] = (table[cell] + 1.0).min(HIGHEST);
            }
            self.rewards.push(f64::from(table[cell] / HIGHEST));
        }
        let table = Tensor::f_from_slice(&table)?.f_view([SIDE as i64, SIDE as i64])?;
        network.buffers[0].f_copy_(&table)?;
        Ok(None)
    }

    fn scores(&self) -> Option<&[f64]> {
        Some(&self.rewards)
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// Whether an episode in `cell` teaches anything.
fn is_open(table: &[f32], cell: usize) -> bool {
    let (row, column) = (cell / SIDE, cell % SIDE);
    let below = |index: usize| [index, index.saturating_sub(1)];
    let lower = below(row).into_iter().flat_map(|row| below(column).map(|column| (row, column)));
    cell == 0
        || lower
            .map(|(row, column)| row * SIDE + column)
            .any(|neighbour| neighbour != cell && table[neighbour] >= MASTERED)
}

/// Judges the table on the cells of a split's tasks.
#[derive(Debug)]
struct Cells;

impl Judge for Cells {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let table = values(&request.model.network.buffers[0])?;
        let judged: Vec<f32> =
            cells(&request.split.stored)?.into_iter().map(|cell| table[cell]).collect();
        let mean = |value: fn(f32) -> f64| {
            judged.iter().map(|competence| value(*competence)).sum::<f64>() / judged.len() as f64
        };
        Ok(BTreeMap::from([
            ("mastered".to_owned(), mean(|it| if it > MASTERED { 1.0 } else { 0.0 })),
            ("competence".to_owned(), mean(|it| f64::from(it / HIGHEST))),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial;
    use tch::Device;

    /// Rewards of `episodes` on the task at (x, y), and the table after them.
    fn practise(network: &mut Network, x: f32, y: f32, episodes: usize) -> Vec<f64> {
        let mut student = Table::default();
        let inputs = Tensor::from_slice(&[x, y]).repeat([episodes as i64, 1]);
        let labels = Tensor::zeros([episodes as i64], (Kind::Int64, Device::Cpu));
        let ids = vec![0; episodes];
        let batch = Batch { ids, sample_ids: labels.shallow_clone(), inputs, labels };
        student.step(network, &batch, &trial::step_info(0, 1)).unwrap();
        student.rewards
    }

    fn network() -> Network {
        let table = Tensor::zeros([10, 10], (Kind::Float, Device::Cpu));
        Network::new(vec![], vec![table], Body::Table)
    }

    #[test]
    fn the_origin_learns_at_once_and_no_other_cell_before_it_has_75() {
        let mut network = network();
        assert_eq!(practise(&mut network, 0.15, 0.05, 3), [0.0; 3]);
        assert_eq!(practise(&mut network, 0.05, 0.05, 74).last(), Some(&f64::from(0.74_f32)));
        assert_eq!(practise(&mut network, 0.15, 0.05, 1), [0.0]);
        practise(&mut network, 0.05, 0.05, 1);
        // At 75 the neighbours open, the diagonal one included, and the next but one does not.
        for (x, y) in [(0.15, 0.05), (0.05, 0.15), (0.15, 0.15)] {
            assert_eq!(practise(&mut network, x, y, 1), [f64::from(0.01_f32)]);
        }
        assert_eq!(practise(&mut network, 0.25, 0.05, 1), [0.0]);
    }

    #[test]
    fn competence_stops_at_one_hundred_and_mastery_begins_above_75() {
        let mut network = network();
        let splits = trial::split(&[2]).unwrap();
        let stored = Tensor::from_slice(&[0.05_f32, 0.05, 0.95, 0.95]).view([2, 2]);
        let split = lab::split::Split { stored, ..splits };
        let judge = |network: &Network| {
            let model = training::judge::Model::plain(network);
            let judged = training::judge::Judged::Test;
            Cells.metrics(&EvaluationRequest { model, split: &split, judged, last: true }).unwrap()
        };
        practise(&mut network, 0.05, 0.05, 75);
        assert_eq!(judge(&network)["mastered"], 0.0);
        practise(&mut network, 0.05, 0.05, 1);
        assert_eq!(judge(&network)["mastered"], 0.5);
        assert_eq!(practise(&mut network, 0.05, 0.05, 50).last(), Some(&1.0));
        assert_eq!(judge(&network)["competence"], 0.5);
    }

    #[test]
    fn no_task_is_in_two_splits_and_every_cell_has_one_hundred_training_tasks() {
        let lattice = Lattice { dimensions: 2, irrelevant: 0, side: 100 };
        let points = lattice.points().coordinates;
        let exact = |tasks: &[f64]| {
            tasks.chunks(2).map(|t| (t[0].to_bits(), t[1].to_bits())).collect::<Vec<_>>()
        };
        let (train, validation, test) =
            (exact(&points), exact(&one_per_cell(0.05)), exact(&one_per_cell(0.02)));
        assert!(validation.iter().chain(&test).all(|task| !train.contains(task)));
        assert!(validation.iter().all(|task| !test.contains(task)));
        let tensor = Tensor::from_slice(&points).to_kind(Kind::Float).view([-1, 2]);
        let mut counts = [0; SIDE * SIDE];
        for cell in cells(&tensor).unwrap() {
            counts[cell] += 1;
        }
        assert_eq!(counts, [100; SIDE * SIDE]);
    }
}
