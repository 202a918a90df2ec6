//! # house
//!
//! Two hundred tasks in a household of symbols, generated from a fixed seed: put two objects of a kind in a container, within 30
//! actions (go, take, put). Where objects are hangs on the scene, of which there are five; a task shows some words of its
//! scene. A hand holds one object at a time, and nobody says so.
//!
//! **An example is a task**; an epoch is an iteration over all of them. What a method leaves is its last plan for each task, and
//! a judge who knows the house carries it out: `success` is the share of the tasks that are done, `brought` the share of
//! the objects that are where they belong, `weighted` that of the tasks, each by the length of the shortest way over that of the
//! plan. Nothing is held out, since nothing is trained: validation and test agree.

use std::collections::BTreeMap;
use std::sync::Arc;

use data::house::{Action, House, LONGEST, SHORTEST, Task, WANTED};
use data::sequences::{Part, Parts};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings::{Values, refuse_unknown};
use tch::{Device, Kind, TchError, Tensor};

use crate::shared::generated;
use crate::shared::language::mean;
use lab::LabError;
use lab::network::{Body, Network, values};
use lab::offers;
use lab::side_info::SideInfo;
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("success", 0.0),
    MetricInfo::share("brought", 0.0),
    MetricInfo::share("weighted", 0.0),
];

/// Tasks; nothing is measured on held-out ones.
const SIZES: [u32; 3] = [200, 1, 1];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "tasks in a household of symbols, tried again and again",
    data: DataName::Generated,
    offers: &[offers::HOUSE],
    metrics: METRICS,
    metric: "success",
    target: 0.9,
    target_origin: "assumed",
    budget_epochs: 6.0,
    evaluate_every_epochs: 1.0,
    split_sizes: SIZES,
    load: |_, _, device| load(device),
    network: |values: &Values, _, _, device| {
        refuse_unknown(values, &[])?;
        let shape = [i64::from(SIZES[0]), LONGEST as i64];
        let plans = Tensor::f_zeros(shape, (Kind::Float, device))?;
        Ok(Network::new(Vec::new(), vec![plans], Body::Table))
    },
    ..Workload::BLANK
};

fn load(device: Device) -> Result<Ready, LabError> {
    let mut random = ledger::order::generator(&Digest::of(b"palimpsest/house/v1"));
    let count = SIZES.iter().map(|size| *size as usize).sum();
    let house = House::draw(count, &mut random);
    let part = |from: usize, count: u32| {
        let examples: Vec<Task> =
            house.tasks().iter().skip(from).take(count as usize).cloned().collect();
        Part { ids: examples.iter().map(Task::id).collect(), examples }
    };
    let [train, validation, test] = SIZES;
    let parts = Parts {
        train: part(0, train),
        probe: part(0, 0),
        validation: part(train as usize, validation),
        test: part((train + validation) as usize, test),
    };
    let place = |tasks: &[Task]| -> Result<Split, TchError> {
        let goals = tasks.iter().flat_map(|task| [task.goal.kind, task.goal.into]).map(f32::from);
        let goals: Vec<f32> = goals.collect();
        let stored = Tensor::f_from_slice(&goals)?.f_view([-1, 2])?.f_to_device(device)?;
        let labels = Tensor::f_zeros([tasks.len() as i64], (Kind::Int64, device))?;
        Ok(Split { stored, labels, groups: Vec::new() })
    };
    let (splits, identity) = generated::placed(&parts, place)?;
    let house = Arc::new(house);
    let side = SideInfo { house: Some(house.clone()), ..SideInfo::default() };
    Ok(Ready { splits, identity, side, judge: Box::new(Replayed(house)) })
}

/// Carries out the plans that a network's buffer holds, a row a task: numbers of actions from 1 on, 0 for none.
#[derive(Debug)]
struct Replayed(Arc<House>);

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of actions are whole and below 25"
)]
fn read(row: &[f32]) -> Vec<Action> {
    row.iter()
        .take_while(|code| **code >= 1.0)
        .filter_map(|code| Action::read(*code as u8 - 1))
        .collect()
}

impl Judge for Replayed {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let buffers = &request.model.network.buffers;
        let rows = buffers.first().map(values).transpose()?.unwrap_or_default();
        let found = rows.chunks_exact(LONGEST).enumerate().map(|(task, row)| {
            let plan = read(row);
            let (brought, done) = self.0.outcome(task, &plan);
            let done = f64::from(u8::from(done));
            let shorter = SHORTEST as f64 / plan.len().max(SHORTEST) as f64;
            [done, f64::from(brought.min(WANTED)) / f64::from(WANTED), done * shorter]
        });
        let found: Vec<[f64; 3]> = found.collect();
        let names = ["success", "brought", "weighted"];
        let each = (0..).zip(names).map(|(at, name): (usize, _)| {
            (name.to_owned(), mean(found.iter().map(|found| found[at])))
        });
        Ok(each.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use training::judge::{Judged, Model};

    #[test]
    fn only_what_the_house_says_is_done_counts() {
        let stage = crate::fixture("house", &Values::new()).unwrap();
        let network = stage.network(1).unwrap();
        let Ready { splits, judge, side, .. } = stage.ready();
        let metrics = || {
            let (model, split) = (Model::plain(&network), &splits.test);
            let request = EvaluationRequest { model, split, judged: Judged::Test, last: true };
            judge.metrics(&request).unwrap()
        };
        assert!(metrics().values().all(|value| *value == 0.0));
        // The first task by trying every container; nothing is said of where things are.
        let house = side.house.as_ref().unwrap();
        let goal = house.tasks()[0].goal;
        let plan = (0..8).find_map(|from| {
            let once = [
                Action::Go(from),
                Action::Take(goal.kind),
                Action::Go(goal.into),
                Action::Put(goal.kind),
            ];
            let plan = [once, once].concat();
            house.outcome(0, &plan).1.then_some(plan)
        });
        let codes: Vec<f32> =
            plan.unwrap().iter().map(|action| f32::from(action.code() + 1)).collect();
        network.buffers[0].get(0).narrow(0, 0, 8).copy_(&Tensor::from_slice(&codes));
        let all = metrics();
        assert!((all["success"] - 0.005).abs() < 1e-9 && (all["weighted"] - 0.005).abs() < 1e-9);
    }
}
