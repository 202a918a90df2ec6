use std::sync::Arc;

use super::*;
use crate::models::mlp2d::mlp2d;
use crate::network::{Body, Denoiser, values};
use crate::side_info::{Generation, SideInfo};
use crate::trial::{self, step_info};
use tch::Kind;

const RULES: Rules = Rules {
    segments: 4,
    shrinking: false,
    steps: 16,
    skip: 1,
    source: Source::Trajectory,
    trajectories: 20,
    distance: Distance::Squared,
    across: false,
    stages: 1,
    student_steps: 4,
    teacher_steps: 3,
};

fn network() -> Network {
    mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap()
}

fn objective(rules: Rules) -> Segments {
    let fresh = Tensor::zeros([1, 2], (Kind::Float, Device::Cpu));
    let (shape, conditions) = (vec![2], None);
    let generation =
        Some(Generation { shape, sigma_data: 0.5, fresh, conditions, reward: None, start: None });
    let side = SideInfo { generation, ..SideInfo::default() };
    let (network, streams) = (network(), trial::streams());
    Segments::new(rules, &trial::task(&network, &side, &streams)).unwrap()
}

fn begun(rules: Rules) -> Segments {
    let mut objective = objective(rules);
    objective.learn_from(network());
    tch::no_grad(|| objective.enter(0, &network())).unwrap();
    objective
}

fn far(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

/// A denoiser whose jump to σ_min is the exact one of N(0, ¼): x·√((¼ + σ_min²)/(¼ + t²)).
#[derive(Debug)]
struct Exact;

impl Denoiser for Exact {
    fn run(&self, _: &Network, inputs: &Tensor, noise: &Tensor) -> Result<Tensor, LabError> {
        // D = c_skip·x + c_out·F of what enters, c_in·x; J(x, D, t → s) = D + (x − D)s/t.
        let levels: Vec<f64> = values(noise)?.iter().map(|n| (4.0 * f64::from(*n)).exp()).collect();
        let least = crate::diffusion::SIGMA_MIN;
        let factor = |t: &f64| {
            let exact = ((0.25 + least * least) / (0.25 + t * t)).sqrt();
            let clean = (exact - least / t) / (1.0 - least / t);
            let [skip, out, scale, _] = Preconditioning::Diffusion.coefficients(*t, 0.5);
            (clean - skip) / out / scale
        };
        let factors: Vec<f64> = levels.iter().map(factor).collect();
        Ok(inputs.f_mul(&column(&factors, inputs)?)?)
    }
}

#[test]
fn a_state_goes_down_to_its_neighbour_and_never_beyond_the_end_of_its_segment() {
    // 64 steps, 8 segments of 8.
    assert_eq!(places(0, 64, 8, 1), [1, 8]);
    assert_eq!(places(7, 64, 8, 1), [8, 8]);
    assert_eq!(places(8, 64, 8, 1), [9, 16]);
    assert_eq!(places(6, 64, 8, 4), [8, 8]);
    assert_eq!(places(63, 64, 8, 1), [64, 64]);
    // One segment is consistency distillation: every state looks at the smallest level.
    assert!((0..64).all(|place| places(place, 64, 1, 1) == [place + 1, 64]));
    let shrinking = Rules { segments: 8, shrinking: true, ..RULES };
    assert_eq!([0, 1, 2, 3, 4].map(|stage| shrinking.segments_of(stage)), [8, 4, 2, 1, 1]);
    assert_eq!(RULES.segments_of(3), 4);
}

#[test]
fn a_jump_is_that_of_ddim_and_at_the_end_of_its_segment_a_state_is_what_it_is() {
    let network = network();
    let map = objective(RULES).map(&network);
    let x = Tensor::from_slice(&[0.3_f32, -1.2, 2.0, 0.7]).view([2, 2]);
    let (from, to) = ([5.0, 5.0], [1.5, 1.5]);
    let own = jump(&x, &map.rows(&x, &from).unwrap(), &from, &to).unwrap();
    assert!(far(&own, &step(&map, &x, 5.0, 1.5).unwrap()) < 1e-5);
    // The second row is there already.
    let mixed = end_of(&map, &x, &[5.0, 1.5], &to).unwrap();
    assert_eq!(values(&mixed.get(1)).unwrap(), values(&x.get(1)).unwrap());
    assert!(far(&mixed.get(0), &own.get(0)) < 1e-6);
}

#[test]
fn states_on_one_exact_path_agree_at_its_end() {
    let network = Network::new(vec![], vec![], Body::Denoiser(Arc::new(Exact)));
    let map = objective(RULES).map(&network);
    let base = Tensor::from_slice(&[0.3_f32, -1.2, 0.8, 0.5]).view([2, 2]);
    // The path of N(0, ¼): x(t) ∝ √(¼ + t²).
    let at = |t: f64| &base * (0.25 + t * t).sqrt();
    let levels = grid(17);
    let least = levels[0];
    for pair in levels.windows(2) {
        let end = |t: f64| end_of(&map, &at(t), &[t; 2], &[least; 2]).unwrap();
        let [own, goal] = [end(pair[1]), end(pair[0])];
        assert!(far(&own, &goal) < 1e-5, "{pair:?}: {}", far(&own, &goal));
        assert!(far(&own, &at(least)) < 1e-5);
    }
}

#[test]
fn paths_are_the_teachers_and_no_example_is_looked_at() {
    let mut objective = begun(RULES);
    let paths = objective.paths.as_ref().unwrap();
    assert_eq!(paths.size(), [17, 20, 2]);
    let teacher = network();
    let map = objective.map(&teacher);
    let first = paths.get(0).shallow_clone();
    let again = tch::no_grad(|| {
        objective.levels.windows(2).fold(first, |x, pair| step(&map, &x, pair[0], pair[1]).unwrap())
    });
    assert_eq!(values(&paths.get(16)).unwrap(), values(&again).unwrap());
    assert_eq!(objective.evaluations, 20 * 16);
    // The same ids with other contents: the same losses, to the bit.
    let batch = trial::batch(&[2]).unwrap();
    let other = Batch { inputs: &batch.inputs * 3.0 + 1.0, ..trial::batch(&[2]).unwrap() };
    let losses = |objective: &mut Segments, batch: &Batch| {
        values(&objective.losses(&network(), batch, &step_info(0, 9)).unwrap()).unwrap()
    };
    let own = losses(&mut objective, &batch);
    assert_eq!(objective.evaluations, 20 * 16 + 8 * 3);
    assert_eq!(losses(&mut begun(RULES), &other), own);
    let data = Rules { source: Source::Data, ..RULES };
    assert_ne!(losses(&mut begun(data), &batch), losses(&mut begun(data), &other));
    assert!(begun(data).paths.is_none());
}

#[test]
fn a_state_and_its_neighbour_are_steps_of_one_path() {
    let mut objective = begun(RULES);
    let batch = trial::batch(&[2]).unwrap();
    let teacher = network();
    let ([state, neighbour], levels) =
        tch::no_grad(|| objective.within(&teacher, &batch, &step_info(0, 9))).unwrap();
    let paths = objective.paths.as_ref().unwrap();
    let place =
        |level: f64| objective.levels.iter().position(|other| *other == level).unwrap() as i64;
    for (row, id) in batch.ids.iter().enumerate() {
        let at = |level: f64| paths.get(place(level)).get(i64::from(*id));
        assert!(far(&state.get(row as i64), &at(levels.state[row])) == 0.0);
        // A path is made of steps of all rows at one level, the neighbour of rows at their own.
        let near = at(levels.neighbour[row]);
        let size = near.abs().max().double_value(&[]).max(1.0);
        assert!(far(&neighbour.get(row as i64), &near) < 1e-5 * size);
        assert!(
            levels.state[row] > levels.neighbour[row] && levels.neighbour[row] >= levels.end[row]
        );
        assert_eq!(place(levels.end[row]) % 4, 0);
    }
}

#[test]
fn a_student_that_is_its_teacher_has_a_loss_and_a_gradient_within_segments_and_none_of_a_step_wide()
{
    let losses = |rules: Rules| {
        let mut objective = begun(rules);
        let batch = trial::batch(&[2]).unwrap();
        values(&objective.losses(&network(), &batch, &step_info(0, 9)).unwrap()).unwrap()
    };
    // A segment of one step: the state's jump is the teacher's step, and the neighbour is at the end.
    let narrow = losses(Rules { segments: 16, ..RULES });
    assert!(narrow.iter().all(|loss| *loss < 1e-9), "{narrow:?}");
    assert!(losses(RULES).iter().any(|loss| *loss > 1e-6));
    let huber = losses(Rules { distance: Distance::Huber, ..RULES });
    let c = huber_constant(2);
    for (huber, squared) in huber.iter().zip(losses(RULES)) {
        let expected = (f64::from(squared) + c * c).sqrt() - c;
        assert!((f64::from(*huber) - expected).abs() < 1e-5 * (1.0 + expected));
    }
}

#[test]
fn across_segments_states_lie_on_milestones_and_the_teacher_goes_to_the_next_one() {
    let rules = Rules { across: true, segments: 8, ..RULES };
    let mut objective = begun(rules);
    tch::no_grad(|| objective.enter(1, &network())).unwrap();
    let before = objective.evaluations;
    let (pair, levels) = tch::no_grad(|| objective.across(&network(), &network(), 64)).unwrap();
    assert_eq!(pair[0].size(), [64, 2]);
    let milestones = milestones();
    for (state, near) in levels.state.iter().zip(&levels.neighbour) {
        let place = milestones.iter().position(|level| level == state).unwrap();
        assert!((near - milestones[place + 1]).abs() < 1e-9 * near, "{state} {near}");
    }
    assert!(levels.end.iter().all(|end| *end == milestones[8]));
    assert_eq!(objective.evaluations - before, 64 * (4 + 3));
    // In the last stage losses are taken there, and no path is made again.
    let batch = trial::batch(&[2]).unwrap();
    let loss = objective.losses(&network(), &batch, &step_info(8, 9)).unwrap();
    assert!(values(&loss).unwrap().iter().all(|loss| loss.is_finite()));
    assert_eq!((objective.made.len(), objective.evaluations - before), (1, 64 * 7 + 8 * 9));
    assert_eq!(objective.stage(&step_info(8, 9)).index, 2);
}
