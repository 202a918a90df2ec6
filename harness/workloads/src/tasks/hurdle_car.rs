//! # hurdle-car
//!
//! A car drives past five walls and must steer through the gap in each (physics: `shared/hurdles/track.rs`). A task
//! is a point of the unit square: the first coordinate sets the width of the gaps, the second how
//! close the walls stand. Below one half the gap is narrower than the car: half of the tasks cannot
//! be solved, by anyone, and their reward is always 0.
//!
//! The student is a policy a = tanh(w·s + b) of three senses, 4 parameters, all 0 at first. It
//! explores with normal noise of deviation 0.5 and learns by REINFORCE (Williams 1992): the loss of
//! an episode is −Σ_t log π(a_t | s_t)·(rewards from t on), without a baseline, and Adam (lr 0.02)
//! minimises the mean over a batch. The reward of an episode is the share of walls passed. The
//! learning rate (0.01 to 0.05 were tried) is the best for tasks drawn uniformly, not for a teacher.
//!
//! Training examples are a 50 × 50 lattice of tasks; where the gaps are is drawn anew for every
//! episode. Validation (200) and test (400) tasks are fixed, gaps included, and half of each are
//! solvable; they are driven without noise. `mastered` is the share of tasks on which all walls are
//! passed, `passed` the mean share of walls. The default budget is 3,000 episodes.
//!
//! The environment is this bench's own: the paper's walker needs a physics engine.

use std::collections::BTreeMap;

use ledger::catalogue::{DataName, MetricInfo};
use ledger::seed::Seed;
use ledger::streams::{Streams, unit_f64};
use rand_pcg::Pcg64;
use tch::{Kind, TchError, Tensor};

use crate::shared::hurdles::student::{Reinforce, policy};
use crate::shared::hurdles::track::{HURDLES, SENSES, Track, drive, passed};
use crate::shared::tasks::{self, Tasks};
use lab::LabError;
use lab::network::{Body, Layer, Network, Parameter, Role};
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::Step;
use lab::teaching::Lattice;
use training::judge::{EvaluationRequest, Judge};
use training::workload::Workload;

/// Seed of the fixed tasks that the student is judged on.
const JUDGED_SEED: u64 = 7;

const METRICS: &[MetricInfo] = &[
    // Half of the tasks cannot be solved.
    MetricInfo { best: Some(0.5), ..MetricInfo::share("mastered", 0.0) },
    MetricInfo::share("passed", 0.0),
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "car through gaps of given width and distance, linear-tanh policy by REINFORCE",
    data: DataName::GeneratedAs("hurdle-car"),
    metrics: METRICS,
    target: 0.35,
    budget_epochs: 1.2,
    evaluate_every_epochs: 0.1,
    split_sizes: [2_500, 200, 400],
    load: |_, _, device| {
        let mut random = Streams::new(Seed::from_integer(JUDGED_SEED).bytes).generator("judged");
        let (validation, on_validation) = judged_tasks(200, &mut random);
        let (test, on_test) = judged_tasks(400, &mut random);
        let tasks = Tasks {
            id: "hurdle-car",
            lattice: Lattice { dimensions: 2, irrelevant: 0, side: 50 },
            extent: vec![1.0; 2],
            validation,
            test,
            student: |task| {
                let adam = AdamwSettings { lr: 0.02, weight_decay: 0.0, ..Default::default() };
                Ok(Step::Gradient {
                    objective: Box::new(Reinforce::new(task.streams)),
                    optimizer: Box::new(Adamw::new(adam, task.network, |_, _| true)?),
                })
            },
        };
        tasks.ready(Drives { on_validation, on_test }, device)
    },
    network: |_, _, _, device| {
        let parameter = |name: &str, role, shape: &[i64]| {
            let tensor = Tensor::f_zeros(shape, (Kind::Float, device))?.set_requires_grad(true);
            let name = name.to_owned();
            Ok::<_, TchError>(Parameter { name, layer: 0, role, tensor })
        };
        let weight = parameter("policy.weight", Role::Weight, &[1, SENSES as i64])?;
        let bias = parameter("policy.bias", Role::Bias, &[1])?;
        let body = Body::Layers(vec![Layer::Linear { weight: 0, bias: 1 }]);
        Ok(Network::new(vec![weight, bias], Vec::new(), body))
    },
    ..tasks::WORKLOAD
};

/// `count` tasks and a track of each; the first coordinate is stratified, so that exactly half of
/// the tasks are solvable.
fn judged_tasks(count: u32, random: &mut Pcg64) -> (Vec<f64>, Vec<Track>) {
    let task = |index| [(f64::from(index) + unit_f64(random)) / f64::from(count), unit_f64(random)];
    let tasks: Vec<_> = (0..count).map(task).collect();
    let tracks = tasks.iter().map(|task| Track::of(*task, random)).collect();
    (tasks.concat(), tracks)
}

/// Judges the policy, without noise, on fixed tracks.
#[derive(Debug)]
struct Drives {
    on_validation: Vec<Track>,
    on_test: Vec<Track>,
}

impl Judge for Drives {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let tracks = request.judged.pick(&self.on_validation, &self.on_test);
        let policy = policy(request.model.network)?;
        let (mut mastered, mut share) = (0.0, 0.0);
        for track in tracks {
            let walls = passed(&drive(track, &policy, None));
            share += walls;
            // Half a wall short of all: sums of fifths are not exact.
            if walls > 1.0 - 0.5 / HURDLES as f64 {
                mastered += 1.0;
            }
        }
        let mean = |sum: f64| sum / tracks.len() as f64;
        Ok(BTreeMap::from([
            ("mastered".to_owned(), mean(mastered)),
            ("passed".to_owned(), mean(share)),
        ]))
    }
}

#[cfg(test)]
#[path = "hurdle_car/tests.rs"]
mod tests;
