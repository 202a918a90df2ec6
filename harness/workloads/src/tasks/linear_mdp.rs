//! # linear-mdp
//!
//! Acting in a world whose rewards nobody sees: 4 states, 3 actions, episodes of 3 steps, which is a linear
//! Markov decision process with 36 one-hot features. Each round has two episodes, and a method may ask which of them
//! is better; the answer is "the first" with probability 1/(1 + exp(−Δ)), Δ the difference of their rewards. `world` is
//! the number of the process.
//!
//! **An example is a round's chance**: the numbers that decide first and next states of both episodes. So the order says
//! which chance came when; 2,000 of them, the same for every seed, make an epoch. What decides an answer is drawn from the
//! round's id, and no method sees it.
//!
//! What a method leaves is the policy of each round, and, by its word, whether it asked. Everything else is judged exactly, by dynamic
//! programming: `regret` is the mean of 2V* − V(π_t) − V(π_{t−1}) over the rounds so far (before the first: that of the
//! policy which always takes action 0), `asked` the share of rounds with a question, and `slope`, from the 100th round on,
//! that of ln(sum of regret) over ln t in the second half of the rounds: 1 where regret does not fall, ½ where it is of
//! order √t. Validation and test agree.
//!
//! Sources: Wu and Sun, arXiv:2310.14554, which has no experiment; the world is this bench's (`assumed`).

use std::collections::BTreeMap;
use std::sync::Arc;

use data::linear_mdp::{Chance, Episode, HORIZON, NUMBERS, Policy, Process, STATES};
use data::sequences::{Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings;
use ledger::settings::{Range, Values};
use tch::{Device, Kind, TchError, Tensor};

use crate::shared::generated;
use lab::LabError;
use lab::network::{Body, Network, values};
use lab::offers;
use lab::preferences::{MOST_ROUNDS, World};
use lab::side_info::SideInfo;
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Number of the process.
        world: u32 = 0, range Range::of(0.0..=1_000_000.0), from "assumed";
    }
}

const METRICS: &[MetricInfo] = &[
    MetricInfo::error("regret"),
    MetricInfo { best: None, ..MetricInfo::error("asked") },
    MetricInfo { best: None, ..MetricInfo::error("slope") },
];

/// Rounds of an epoch. Nothing is measured on held-out chances: values are exact.
const SIZES: [u32; 3] = [2_000, 1, 1];

/// Rounds from which on a slope is told.
const SLOPED: usize = 100;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "a small linear Markov decision process with preferences between episodes",
    data: DataName::Generated,
    offers: &[offers::PREFERENCES],
    metrics: METRICS,
    metric: "regret",
    target: 0.5,
    target_origin: "assumed",
    budget_epochs: 1.0,
    evaluate_every_epochs: 0.05,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(values, device),
    network: |values, _, _, device| {
        Settings::read(values)?;
        let zeros = |shape: &[i64]| Tensor::f_zeros(shape, (Kind::Float, device));
        let policies = zeros(&[MOST_ROUNDS as i64, (HORIZON * STATES) as i64])?;
        Ok(Network::new(Vec::new(), vec![policies, zeros(&[MOST_ROUNDS as i64])?], Body::Table))
    },
    ..Workload::BLANK
};

fn load(values: &Values, device: Device) -> Result<Ready, LabError> {
    let Settings { world } = Settings::read(values)?;
    let digest = Digest::of(b"palimpsest/linear-mdp/chances/v1");
    let mut random = ledger::order::generator(&digest);
    let [train, validation, test] = SIZES;
    let sizes = Sizes { train, probe: 0, validation, test };
    let parts = distinct(sizes, |_| Chance::draw(&mut random), Chance::id)?;
    let (splits, identity) = generated::placed(&parts, |chances| split(chances, device))?;
    let process = Process::numbered(world);
    let hidden = Hidden(process.clone());
    let side = SideInfo { world: Some(Arc::new(hidden)), ..SideInfo::default() };
    Ok(Ready { splits, identity, side, judge: Box::new(Exact(process)) })
}

fn split(chances: &[Chance], device: Device) -> Result<Split, TchError> {
    let rows: Vec<f32> = chances.iter().flat_map(Chance::row).collect();
    let stored = Tensor::f_from_slice(&rows)?.f_view([-1, NUMBERS as i64])?;
    let labels = Tensor::f_zeros([chances.len() as i64], (Kind::Int64, device))?;
    Ok(Split { stored: stored.f_to_device(device)?, labels, groups: Vec::new() })
}

/// The process as methods meet it.
#[derive(Debug)]
struct Hidden(Process);

impl World for Hidden {
    fn episodes(&self, policies: [&Policy; 2], chance: &Chance) -> [Episode; 2] {
        [0, 1].map(|at| self.0.episode(policies[at], &chance.episodes[at]))
    }

    fn prefers_first(&self, episodes: &[Episode; 2], chance: &Chance) -> bool {
        self.0.prefers_first(episodes, chance)
    }
}

/// Judges the policies that a network's first buffer holds, a row a round; the second tells 1 of a round without a
/// question, 2 of one with it, 0 of one to come.
#[derive(Debug)]
struct Exact(Process);

impl Judge for Exact {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let buffers = &request.model.network.buffers;
        let (rows, rounds) = (values(&buffers[0])?, values(&buffers[1])?);
        let rounds: Vec<f32> = rounds.into_iter().take_while(|round| *round > 0.0).collect();
        let best = self.0.best_value();
        let mut before = best - self.0.value(&[0; HORIZON * STATES]);
        let mut regrets = vec![2.0 * before];
        for row in rows.chunks_exact(HORIZON * STATES).take(rounds.len()) {
            let now = best - self.0.value(&policy(row));
            regrets.push(before + now);
            before = now;
        }
        // Where nothing was done yet, what the first policy would lose.
        let done = if rounds.is_empty() { &regrets[..] } else { &regrets[1..] };
        let count = done.len() as f64;
        let asked = rounds.iter().filter(|round| **round > 1.0).count() as f64;
        let mut metrics = BTreeMap::from([
            ("regret".to_owned(), done.iter().sum::<f64>() / count),
            ("asked".to_owned(), asked / count),
        ]);
        if done.len() >= SLOPED {
            metrics.insert("slope".to_owned(), slope(done));
        }
        Ok(metrics)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "actions are whole numbers below 3"
)]
fn policy(row: &[f32]) -> Policy {
    std::array::from_fn(|at| row[at] as usize)
}

/// Slope of ln(sum so far) over ln t in the second half.
fn slope(regrets: &[f64]) -> f64 {
    let half = regrets.len() / 2;
    let mut sum = 0.0;
    let mut points = Vec::with_capacity(regrets.len() - half);
    for (t, regret) in regrets.iter().enumerate() {
        sum += regret;
        if t >= half {
            points.push((((t + 1) as f64).ln(), sum.max(f64::MIN_POSITIVE).ln()));
        }
    }
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let (up, along) = points.iter().fold((0.0, 0.0), |(up, along), (a, b)| {
        (up + (a - x) * (b - y), along + (a - x) * (a - x))
    });
    up / along
}

#[cfg(test)]
mod tests {
    use super::*;
    use training::judge::{Judged, Model};

    /// Metrics after `rounds` of this policy, every other one with a question.
    fn judged(policy: &Policy, rounds: usize) -> BTreeMap<String, f64> {
        let stage = crate::fixture("linear-mdp", &Values::new()).unwrap();
        let network = stage.network(1).unwrap();
        let row: Vec<f32> = policy.iter().map(|action| *action as f32).collect();
        let (policies, asked) = (&network.buffers[0], &network.buffers[1]);
        for round in 0..rounds as i64 {
            policies.get(round).copy_(&Tensor::from_slice(&row));
            let _ = asked.get(round).fill_((1 + round % 2) as f64);
        }
        let Ready { splits, judge, .. } = stage.ready();
        let model = Model::plain(&network);
        let request =
            EvaluationRequest { model, split: &splits.test, judged: Judged::Test, last: true };
        judge.metrics(&request).unwrap()
    }

    #[test]
    fn regret_is_the_mean_loss_of_both_policies_of_a_round() {
        let process = Process::numbered(0);
        let lost = |action: usize| process.best_value() - process.value(&[action; 12]);
        let start = judged(&[1; 12], 0);
        assert!((start["regret"] - 2.0 * lost(0)).abs() < 1e-12);
        assert_eq!(start["asked"], 0.0);
        let three = judged(&[1; 12], 3);
        // The first round still has the policy of before.
        let expected = (lost(0) + 5.0 * lost(1)) / 3.0;
        assert!((three["regret"] - expected).abs() < 1e-9, "{three:?}");
        assert!((three["asked"] - 1.0 / 3.0).abs() < 1e-12);
        assert!(!three.contains_key("slope"));
    }

    #[test]
    fn a_policy_that_never_changes_has_slope_one_and_a_root_has_half() {
        assert!((judged(&[2; 12], 400)["slope"] - 1.0).abs() < 0.01);
        let roots: Vec<f64> =
            (1..=2_000).map(|t| f64::from(t).sqrt() - f64::from(t - 1).sqrt()).collect();
        assert!((slope(&roots) - 0.5).abs() < 1e-9);
    }
}
