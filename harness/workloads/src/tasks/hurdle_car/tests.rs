use tch::Device;

use super::*;
use crate::shared::hurdles::track::Policy;
use lab::network::values;
use lab::seat::{Batch, Objective};
use lab::trial;

/// A driver that holds the middle of the gap well.
const SKILLED: Policy = Policy { weights: [8.0, -1.5, 0.0], bias: 0.0 };

fn network(policy: &Policy) -> Network {
    let weights: Vec<f32> = policy.weights.iter().map(|weight| *weight as f32).collect();
    let empty = lab::side_info::SideInfo::default();
    let network = (WORKLOAD.network)(&Default::default(), &empty, &trial::streams(), Device::Cpu);
    let mut network = network.unwrap();
    let weights = Tensor::from_slice(&weights).view([1, SENSES as i64]);
    network.exchange(&[weights, Tensor::from_slice(&[policy.bias as f32])]).unwrap();
    network
}

fn tracks(count: u32) -> (Vec<f64>, Vec<Track>) {
    judged_tasks(count, &mut trial::streams().generator("judged"))
}

#[test]
fn a_gap_narrower_than_the_car_is_never_passed_and_a_skilled_driver_passes_the_others() {
    let (tasks, tracks) = tracks(400);
    let mut mastered = 0;
    for (task, track) in tasks.chunks(2).zip(&tracks) {
        let walls = passed(&drive(track, &SKILLED, None));
        if task[0] < 0.5 {
            assert_eq!(walls, 0.0, "{task:?}");
        } else if walls > 0.9 {
            mastered += 1;
        }
    }
    // Of 200 solvable tasks; the tightest need more than a linear policy.
    assert!(mastered > 180, "{mastered}");
}

#[test]
fn an_episode_ends_at_the_first_wall_that_is_hit() {
    let track = Track { gap: 0.06, spacing: 0.52, centres: [0.0, 0.0, 0.3, 0.0, 0.0] };
    let still = Policy { weights: [0.0; SENSES], bias: 0.0 };
    let decisions = drive(&track, &still, None);
    // Walls at 0.52, 1.04 and 1.56 are crossed in ticks 11, 21 and 32 of 0.05 each.
    assert_eq!(decisions.len(), 32);
    for (tick, decision) in decisions.iter().enumerate() {
        let reward = if [10, 20].contains(&tick) { 0.2 } else { 0.0 };
        assert_eq!(decision.reward, reward, "tick {tick}");
    }
    assert!((decisions[11].senses[2] - (1.04 - 0.55)).abs() < 1e-12);
}

#[test]
fn the_sideways_velocity_approaches_what_is_wanted_at_its_time_constant() {
    let track = Track { gap: 9.0, spacing: 0.4, centres: [0.0; HURDLES] };
    let right = Policy { weights: [0.0; SENSES], bias: 50.0 };
    let decisions = drive(&track, &right, None);
    for (tick, decision) in decisions.iter().enumerate() {
        let expected = 1.0 - (-0.05 * tick as f64 / 0.1).exp();
        assert!((decision.senses[1] - expected).abs() < 1e-9, "{tick}");
    }
}

#[test]
fn the_networks_policy_is_the_drivers() {
    let network = network(&SKILLED);
    assert_eq!(policy(&network).unwrap(), SKILLED);
    let senses = [0.3, -0.2, 0.7];
    let inputs = Tensor::from_slice(&senses.map(|sense| sense as f32)).view([1, -1]);
    let output = network.forward(&inputs, false).unwrap().tanh().double_value(&[0, 0]);
    assert!((output - SKILLED.mean(&senses)).abs() < 1e-6);
}

#[test]
fn the_gradient_is_that_of_reinforce_summed_by_hand() {
    let policy = Policy { weights: [1.0, -0.2, 0.1], bias: 0.05 };
    let network = network(&policy);
    let inputs = Tensor::from_slice(&[1.0_f32, 0.2, 0.9, 0.0, 0.1, 0.5]).view([3, 2]);
    let sample_ids = Tensor::from_slice(&[0_i64, 1, 2]);
    let labels = sample_ids.shallow_clone();
    let batch = Batch { ids: vec![0, 1, 2], sample_ids, inputs, labels };
    let now = trial::step_info(0, 1);
    let mut student = Reinforce::new(&trial::streams());
    student.before_step(&network, &batch, &now).unwrap();
    let loss = student.loss(&network, &batch, &now).unwrap();
    let weight = &network.parameters[0].tensor;
    let gradient = Tensor::run_backward(&[loss], &[weight], false, false).remove(0);

    let (mut env, mut noise) =
        (trial::streams().generator("env"), trial::streams().generator("rollout"));
    let mut expected = [0.0; SENSES];
    for (task, reward) in
        [[1.0, 0.2_f32], [0.9, 0.0], [0.1, 0.5]].into_iter().zip(student.scores().unwrap())
    {
        let track = Track::of(task.map(f64::from), &mut env);
        let decisions = drive(&track, &policy, Some((0.5, &mut noise)));
        let mut left = passed(&decisions);
        assert_eq!(left, *reward);
        for decision in decisions {
            let mean = policy.mean(&decision.senses);
            let slope = (decision.action - mean) / 0.25 * (1.0 - mean * mean);
            for (sum, sense) in expected.iter_mut().zip(decision.senses) {
                *sum -= left * slope * sense / 3.0;
            }
            left -= decision.reward;
        }
    }
    assert!(expected.iter().any(|value| value.abs() > 1e-3), "{expected:?}");
    for (ours, expected) in values(&gradient).unwrap().iter().zip(expected) {
        assert!((f64::from(*ours) - expected).abs() < 1e-4 * (1.0 + expected.abs()));
    }
}

#[test]
fn half_of_the_judged_tasks_are_solvable_and_none_is_trained_on() {
    let (tasks, _) = tracks(400);
    assert_eq!(tasks.chunks(2).filter(|task| task[0] >= 0.5).count(), 200);
    let training = Lattice { dimensions: 2, irrelevant: 0, side: 50 }.points().coordinates;
    assert!(tasks.chunks(2).all(|task| !training.chunks(2).any(|other| other == task)));
}
