//! # stumps
//!
//! A hopper runs over a course of stumps and must leap over them or onto them (physics: `shared/stumps/course.rs`). A
//! task is the height of the stumps, 0 to `height`, and the gap between them, 0 to 6. No leap passes a stump above
//! 2.4: with `height` 3, 4 and 5, the boxes of the paper, 20, 40 and 52 % of the box cannot be solved by anyone. Each
//! of the `irrelevant` coordinates that teachers propose besides changes nothing.
//!
//! **What this is not**: the walker of Stump Tracks. A point on a parabola has no legs, no contact and no joints, and
//! learns in a hundredth of the steps; how high it can leap was chosen, not found. What it shares with it is what a
//! teacher meets: a continuous box whose difficulty is smooth, noise of placement, one policy for all tasks, which
//! transfers, interferes and forgets, a share that nobody can solve, falls that cost little time, a test set that
//! stays when the box grows, and a budget of environment steps. (`task-grid` is the authors' toy, a table without a
//! policy.)
//!
//! **The student** is one policy, two hidden layers of 64 with tanh (and as many for values), that sees 9 numbers and
//! learns by PPO (`shared/stumps/student.rs`): γ 0.99, λ 0.95, clip 0.2, entropy weighed 0.01 (arXiv:1707.06347, table
//! 5), normal noise whose deviation is learned from e^−0.5 on, Adam at 1e-3, 4 passes of 2 parts over the decisions of
//! a lesson. All these are `assumed`: usual values. Chosen by looking, under seeds 100 and 101: where the first stump
//! stands, how often is decided, the weight of entropy, and that a fall costs 50 points and not the walker's 100, for
//! which tasks drawn uniformly taught the policy to stop in front of the first stump.
//!
//! **An example is a task's share of a lesson**: 50 environment steps. The ten tasks of a batch (a teacher's
//! `batch_size`) are practised in turn, in lockstep, until ten times 50 steps are lived through, so that a run of n
//! examples is one of exactly 50·n environment steps, two epochs one of 10⁶, and a fall costs only the steps before
//! it. The teacher is told the points of the first episode on a task, −150 to 350 as 0 to 1. In the paper a teacher
//! proposes anew after every episode; here a task that ends early is practised several times before that. The facts of
//! a run tell its steps and episodes.
//!
//! Training examples are a 100 × 100 lattice of tasks; where stumps stand is drawn anew for every episode. Validation
//! (50) and test (50) tasks are fixed, courses included, lie in the smallest box (heights to 3) whatever `height` is,
//! and 40 of each can be solved; they are run without noise. `mastered` is the share of tasks that earn more than 230
//! points, `earned` the mean of points, −150 to 350 as 0 to 1.
//!
//! Sources: Portelas et al., arXiv:1910.07224, and flowersteam/teachDeepRL@747cda2 for boxes (`run.py`: heights to 3,
//! 4, 5, spacing to 6), points (`bipedal_walker_continuous.py`: 300 for the way), the scale of rewards
//! (`teacher_controller.py`) and the fixed test set (`test_utils.py`); 230 is `oracle_teacher.py`'s. Everything else is
//! this bench's (`assumed`).

use std::collections::BTreeMap;

use ledger::catalogue::{DataName, MetricInfo};
use ledger::seed::Seed;
use ledger::settings;
use ledger::settings::Range;
use ledger::streams::{Streams, unit_f64};
use rand_pcg::Pcg64;

use crate::shared::stumps::course::{Course, rescaled};
use crate::shared::stumps::student::{Proximal, earned, network};
use crate::shared::tasks::{self, Tasks};
use lab::LabError;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::Step;
use lab::teaching::Lattice;
use training::judge::{EvaluationRequest, Judge};
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Height of the highest stumps that are trained on; tests go to 3 whatever it is.
        height: f64 = 3.0, range Range::of(0.0..=10.0), from "run.py: 3, 4 and 5 in the paper";
        /// Coordinates of a proposal that change nothing.
        irrelevant: u32 = 0, range Range::of(0.0..=20.0), from "assumed; the paper adds some to its toy";
    }
}

/// Seed of the fixed tasks that the student is judged on.
const JUDGED_SEED: u64 = 9;
/// Number of them, in each split.
const JUDGED: u32 = 50;
/// Height of the highest of them.
const JUDGED_HEIGHT: f64 = 3.0;
/// Largest gap between stumps.
const SPACING: f64 = 6.0;
/// Points above which a task is mastered.
const MASTERED: f64 = 230.0;
/// Learning rate.
const LR: f64 = 1e-3;

const METRICS: &[MetricInfo] = &[
    // One in five of the tasks cannot be solved.
    MetricInfo { best: Some(0.8), ..MetricInfo::share("mastered", 0.0) },
    MetricInfo { chance: None, ..MetricInfo::share("earned", 0.0) },
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "hopper over stumps of given height and spacing, one policy by PPO, 50 steps an example",
    data: DataName::GeneratedAs("stumps"),
    metrics: METRICS,
    target: 0.3,
    budget_epochs: 2.0,
    evaluate_every_epochs: 0.1,
    split_sizes: [10_000, JUDGED, JUDGED],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| {
        let Settings { height, irrelevant } = Settings::read(values)?;
        let mut random = Streams::new(Seed::from_integer(JUDGED_SEED).bytes).generator("judged");
        let (validation, on_validation) = judged(&mut random);
        let (test, on_test) = judged(&mut random);
        let irrelevant = irrelevant as usize;
        let tasks = Tasks {
            id: "stumps",
            lattice: Lattice { dimensions: 2 + irrelevant, irrelevant, side: 100 },
            extent: vec![height, SPACING],
            validation,
            test,
            student: |task| {
                let adam = AdamwSettings { lr: LR, weight_decay: 0.0, ..Default::default() };
                Ok(Step::Gradient {
                    objective: Box::new(Proximal::new(task.streams)),
                    optimizer: Box::new(Adamw::new(adam, task.network, |_, _| true)?),
                })
            },
        };
        tasks.ready(Runs { on_validation, on_test }, device)
    },
    network: |values, _, streams, device| {
        Settings::read(values)?;
        Ok(network(streams, device)?)
    },
    ..tasks::WORKLOAD
};

/// Tasks of the smallest box and a course of each; heights are stratified, so that exactly four in five can be
/// solved.
fn judged(random: &mut Pcg64) -> (Vec<f64>, Vec<Course>) {
    let task = |index: u32, random: &mut Pcg64| {
        let height = JUDGED_HEIGHT * (f64::from(index) + unit_f64(random)) / f64::from(JUDGED);
        [height, SPACING * unit_f64(random)]
    };
    let tasks: Vec<_> = (0..JUDGED).map(|index| task(index, random)).collect();
    let courses = tasks.iter().map(|task| Course::of(*task, random)).collect();
    (tasks.concat(), courses)
}

/// Judges the policy, without noise, on fixed courses.
#[derive(Debug)]
struct Runs {
    on_validation: Vec<Course>,
    on_test: Vec<Course>,
}

impl Judge for Runs {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let courses = request.judged.pick(&self.on_validation, &self.on_test);
        let points = earned(request.model.network, courses)?;
        let mean = |worth: fn(f64) -> f64| {
            points.iter().map(|points| worth(*points)).sum::<f64>() / points.len() as f64
        };
        Ok(BTreeMap::from([
            ("mastered".to_owned(), mean(|points| if points > MASTERED { 1.0 } else { 0.0 })),
            ("earned".to_owned(), mean(rescaled)),
        ]))
    }
}

#[cfg(test)]
#[path = "stumps/tests.rs"]
mod tests;
