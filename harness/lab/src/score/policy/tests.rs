//! Moves in closed form, and what is learnt from them.

use super::*;
use crate::models::mlp2d::mlp2d;
use crate::network::{Body, Denoiser, Parameter, Role};
use crate::trial::{self, step_info, streams};
use tch::{Device, Kind};

const SPAN: Span = Span { early: 1e-3, horizon: 8.0 };

const RULES: Rules = Rules {
    bounds: [0.1, 5.0],
    steps: 20,
    passes: 2,
    first: 14,
    branches: 5,
    threshold: 0.5,
    history: 8,
};

/// The first coordinate, or the same for all.
#[derive(Debug)]
struct First(bool);

impl Reward for First {
    fn of(&self, samples: &Tensor) -> Result<Vec<f64>, LabError> {
        let all = values(&samples.f_select(1, 0)?)?;
        Ok(all.into_iter().map(|x| if self.0 { f64::from(x) } else { 1.0 }).collect())
    }
}

/// F = w·x, by the first weight down to this time and by the second behind it.
#[derive(Debug)]
struct Halves(f64);

impl Denoiser for Halves {
    fn run(&self, network: &Network, inputs: &Tensor, noise: &Tensor) -> Result<Tensor, LabError> {
        let t = (8.0 * noise.f_double_value(&[0])?).exp().ln_1p();
        let place = usize::from(t < self.0);
        Ok(inputs.f_mul(&network.parameters[place].tensor)?)
    }
}

fn network() -> Network {
    mlp2d(2, 16, &streams(), Device::Cpu).unwrap()
}

fn noise(rows: i64) -> Tensor {
    let like = Tensor::zeros([rows, 2], (Kind::Float, Device::Cpu));
    noise_like(&like, &mut streams().generator("noise")).unwrap()
}

fn steered(rules: Rules, counts: bool) -> Steered {
    Steered::new(rules, Output::Noise, SPAN, Arc::new(First(counts)), &streams())
}

/// 40 rows.
fn batch() -> Batch {
    let ids: Vec<u32> = (0..40).collect();
    trial::split(&[2]).unwrap().batch(&ids).unwrap()
}

#[test]
fn stages_train_the_last_moves_from_fourteen_to_all_twenty() {
    let all: Vec<u32> = (0..100).map(|step| RULES.learnt(step, 100)).collect();
    let count = |learnt| all.iter().filter(|own| **own == learnt).count();
    assert_eq!([14, 15, 16, 17, 18, 19, 20].map(count), [15, 14, 14, 15, 14, 14, 14]);
    let first = |learnt| all.iter().position(|own| *own == learnt).unwrap();
    assert_eq!([14, 15, 16, 17, 18, 19, 20].map(first), [0, 15, 29, 43, 58, 72, 86]);
    let whole = Rules { first: 20, ..RULES };
    assert!((0..100).all(|step| whole.learnt(step, 100) == 20));
}

#[test]
fn a_move_is_that_of_ddim_and_leaves_the_variance_of_an_exact_score() {
    // ᾱ of two times, by the formula with ᾱ itself.
    let step = Move::between(1.2, 0.4);
    let [noisy, clean] = [1.2, 0.4_f64].map(|t| (-t).exp());
    let fresh = (1.0 - clean) / (1.0 - noisy) * (1.0 - noisy / clean);
    assert!((step.deviation - fresh.sqrt()).abs() < 1e-12);
    let noise = (1.0 - clean - fresh).sqrt() - (clean * (1.0 - noisy) / noisy).sqrt();
    assert!((step.means[0] - (clean / noisy).sqrt()).abs() < 1e-12);
    assert!((step.means[1] - noise).abs() < 1e-12, "{} {noise}", step.means[1]);
    // Of data that are one point, the noise that is seen is exact, and every time has its own variance behind a move.
    for (step, to) in moves(SPAN, 20).into_iter().zip(&SPAN.steps(20)[1..]) {
        let own = step.means[0] + step.means[1] / variance(step.from).sqrt();
        let left = own * own * variance(step.from) + step.deviation * step.deviation;
        assert!((left / variance(*to) - 1.0).abs() < 1e-9, "{step:?}: {left}");
    }
}

#[test]
fn the_log_probability_of_no_residual_hangs_on_the_deviation_alone() {
    let step = Move::between(1.2, 0.4);
    let expected = -step.deviation.ln() - 0.5 * TAU.ln();
    for axes in [1, 2, 50] {
        let mean = Tensor::zeros([1, axes], (Kind::Float, Device::Cpu));
        let log = step.log_probability(&mean, &mean).unwrap();
        assert!((log.double_value(&[0]) - expected).abs() < 1e-6, "{axes}");
        // One deviation away in every coordinate: half a nat less, however many there are.
        let log = step.log_probability(&mean, &(&mean + step.deviation)).unwrap();
        assert!((log.double_value(&[0]) - expected + 0.5).abs() < 1e-5, "{axes}");
    }
}

#[test]
fn branches_share_their_beginning_bit_for_bit_and_part_from_there() {
    let network = network();
    let score = Score { network: &network, output: Output::Noise };
    let mut random = streams().generator("rollout");
    let found =
        tch::no_grad(|| roll(&score, &noise(4), &moves(SPAN, 20), [15, 5], &mut random).unwrap());
    assert_eq!((found.points.len(), found.logs.len()), (16, 15));
    let rows = |place: usize| values(&found.points[place]).unwrap();
    let (begun, next) = (rows(0), rows(1));
    for group in begun.chunks(10) {
        assert!(group.chunks(2).all(|point| point == &group[..2]));
    }
    assert!(next.chunks(10).all(|group| group[..2] != group[2..4]));
    assert_ne!(begun[..2], begun[10..12]);
}

#[test]
fn at_most_the_best_and_the_worst_of_a_beginning_are_kept() {
    let rewards =
        [0.9, 0.1, -0.2, -0.7, 0.6, 0.4, 0.3, 0.2, 0.1, 0.0, -1.0, -2.0, -0.6, -0.9, -0.8];
    assert_eq!(RULES.kept(&rewards), [0, 3, 11]);
    assert_eq!(RULES.kept(&[0.0; 15]), [] as [usize; 0]);
    let all = Rules { branches: 1, ..RULES };
    assert_eq!(all.kept(&[0.1, -3.0]), [0, 1]);
}

#[test]
fn the_first_pass_has_ratios_of_one_and_nothing_is_clipped() {
    for rules in [RULES, Rules { branches: 1, first: 20, ..RULES }] {
        let (network, mut steered) = (network(), steered(rules, true));
        tch::no_grad(|| steered.before_step(&network, &batch(), &step_info(0, 10))).unwrap();
        assert_eq!(steered.passes(), 2);
        let losses = steered.losses(&network, &batch(), &step_info(0, 10)).unwrap();
        // −A at a ratio of exactly 1, whatever the move.
        let expected = values(&steered.kept.as_ref().unwrap().advantages).unwrap();
        for (loss, advantage) in values(&losses).unwrap().into_iter().zip(expected) {
            // To what the last digits of fewer rows at once make of it.
            let off = (loss + advantage).abs() / advantage.abs().max(0.1);
            assert!(off < 1e-3, "{loss} {advantage}");
        }
        let facts = steered.facts();
        assert_eq!(facts["clipped_in_first_passes"][0], 0);
        let costs = steered.costs();
        assert_eq!(costs["reward_evaluations"], 40);
        let beginnings = 40 / u64::from(rules.branches);
        let learnt = u64::from(rules.first);
        let kept = steered.samples;
        let made = (20 - learnt) * beginnings + learnt * 40 + learnt * kept;
        assert_eq!(costs["network_evaluations"], made);
        assert!(rules.branches == 1 || kept <= 16);
    }
}

#[test]
fn moves_before_those_that_are_learnt_have_no_gradient() {
    // One move is learnt, the last: a weight that acts only at the times of those before has nothing to learn.
    let rules = Rules { first: 1, steps: 4, branches: 1, ..RULES };
    let all = moves(SPAN, 4);
    let weight = |name: &str| {
        let tensor = Tensor::full([1], 0.5, (Kind::Float, Device::Cpu)).set_requires_grad(true);
        Parameter { name: name.to_owned(), layer: 0, role: Role::Weight, tensor }
    };
    let body = Body::Denoiser(Arc::new(Halves((all[2].from * all[3].from).sqrt())));
    let network = Network::new(vec![weight("before"), weight("last")], vec![], body);
    let mut steered = steered(rules, true);
    tch::no_grad(|| steered.before_step(&network, &batch(), &step_info(0, 10))).unwrap();
    let Kept { first, points, logs, .. } = steered.kept.as_ref().unwrap();
    assert_eq!((*first, points.len(), logs.len()), (3, 2, 1));
    assert!(points.iter().chain(logs).all(|tensor| !tensor.requires_grad()));
    let losses = steered.losses(&network, &batch(), &step_info(0, 10)).unwrap();
    losses.sum(Kind::Float).backward();
    let before = network.parameters[0].tensor.grad();
    assert!(!before.defined() || before.abs().max().double_value(&[]) == 0.0);
    let last = network.parameters[1].tensor.grad();
    assert!(last.defined() && last.abs().max().double_value(&[]) > 0.0);
}

#[test]
fn where_all_are_worth_the_same_there_is_no_pass() {
    for branches in [1, 5] {
        let (network, mut steered) = (network(), steered(Rules { branches, ..RULES }, false));
        tch::no_grad(|| steered.before_step(&network, &batch(), &step_info(0, 10))).unwrap();
        assert_eq!(steered.passes(), 0);
        assert_eq!(steered.facts()["steps_without_update"], 1);
        assert!(steered.losses(&network, &batch(), &step_info(0, 10)).is_err());
    }
}

#[test]
fn rewards_are_standardised_over_the_steps_before() {
    let before = VecDeque::from([vec![0.0, 2.0]]);
    let found = standardised(&[1.0, 3.0], &before);
    // Mean 1.5, variance 1.25.
    for (found, expected) in found.iter().zip([-0.5, 1.5]) {
        assert!((found - expected / 1.25_f64.sqrt()).abs() < 1e-6);
    }
}

#[test]
fn steps_raise_what_earns_reward() {
    let (network, mut steered) =
        (network(), steered(Rules { branches: 1, first: 20, ..RULES }, true));
    let mean = || {
        let sampler = MoveSampler { span: SPAN, output: Output::Noise, steps: 20 };
        let mut random = streams().generator("evaluation");
        let drawn =
            tch::no_grad(|| sampler.sample(&network, &noise(500), 20, &mut random)).unwrap();
        drawn.select(1, 0).mean(Kind::Double).double_value(&[])
    };
    let before = mean();
    for step in 0..15 {
        let now = step_info(step, 15);
        tch::no_grad(|| steered.before_step(&network, &batch(), &now)).unwrap();
        let loss = steered.losses(&network, &batch(), &now).unwrap().mean(None);
        trial::descend(&network, &loss, 0.02).unwrap();
    }
    let after = mean();
    assert!(after > before + 0.05, "{before} {after}");
}
