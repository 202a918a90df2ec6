use tch::{Device, Kind, Tensor};

use super::*;
use crate::shared::stumps::course::{
    End, FALL, FASTEST, FIRST, GRAVITY, Hopper, LEAP, LENGTH, LONGEST, REACH, SENSES, TICK, WHOLE,
};
use lab::network::{Network, values};
use lab::seat::{Batch, Gradients, Objective, Optimizer};
use lab::trial;
use training::trial::Fixture;

fn course(height: f64, spacing: f64) -> Course {
    Course::of([height, spacing], &mut trial::streams().generator("env"))
}

/// What a driver earns, and how it ends; `driver` decides by what it sees.
fn drive(
    course: &Course,
    driver: impl Fn(&Hopper, [f64; SENSES]) -> [f64; 2],
) -> (f64, Option<End>, Hopper) {
    let (mut hopper, mut points) = (Hopper::default(), 0.0);
    for _ in 0..LONGEST {
        let action = driver(&hopper, hopper.senses(course));
        let moved = hopper.decide(course, action);
        points += moved.points;
        if moved.end.is_some() {
            return (points, moved.end, hopper);
        }
    }
    (points, None, hopper)
}

/// Runs at a speed of 4 and leaps as high as it can where the next face is no farther than the top of the leap.
fn skilled(hopper: &Hopper, senses: [f64; SENSES]) -> [f64; 2] {
    let distance = 6.0 * senses[5];
    let leaps = senses[6] > 0.0 && distance <= hopper.vx.max(1.0) * LEAP / GRAVITY;
    [0.8, if leaps { 1.0 } else { -1.0 }]
}

#[test]
fn no_leap_passes_a_stump_above_the_reach_and_some_leap_passes_one_just_below_it() {
    // Every speed and every place to leap from, with one leap or with leaps at every chance.
    let passes = |height: f64| {
        let course = course(height, 6.0);
        let mut passed = 0;
        for thrust in 1..=20 {
            for place in 0..60 {
                for again in [false, true] {
                    let (_, _, hopper) = drive(&course, |hopper, _| {
                        let there = hopper.x >= 7.0 + f64::from(place) * 0.05;
                        [f64::from(thrust) / 20.0, if there || again { 1.0 } else { 0.0 }]
                    });
                    passed += u32::from(hopper.x > FIRST);
                }
            }
        }
        passed
    };
    assert!((REACH - 2.4).abs() < 1e-12, "{REACH}");
    assert_eq!(passes(REACH + 1e-9), 0);
    assert!(passes(REACH - 0.02) > 10, "{}", passes(REACH - 0.02));
}

#[test]
fn a_driver_that_leaps_in_time_masters_stumps_that_can_be_passed_and_never_the_others() {
    for height in [0.5, 1.0, 1.5, 2.0] {
        let (points, end, hopper) = drive(&course(height, 6.0), skilled);
        assert_eq!((end, hopper.x), (Some(End::Arrived), LENGTH), "{height}: {points}");
        assert!(points > MASTERED && points < WHOLE, "{height}: {points}");
    }
    let (points, end, hopper) = drive(&course(2.5, 6.0), skilled);
    assert_eq!((end, hopper.x), (Some(End::Fallen), FIRST));
    assert!(points < WHOLE / 3.0 - FALL, "{points}");
}

#[test]
fn a_fall_ends_the_episode_and_costs_its_points_and_standing_still_costs_nothing() {
    let (points, end, hopper) = drive(&course(1.0, 6.0), |_, _| [1.0, 0.0]);
    assert_eq!((end, hopper.x), (Some(End::Fallen), FIRST));
    // A third of the way, in eleven decisions at full thrust.
    assert!((points - (WHOLE / 3.0 - 11.0 * 0.3 - FALL)).abs() < 1e-9, "{points}");
    let (points, end, hopper) = drive(&course(1.0, 6.0), |_, _| [0.0, 0.0]);
    assert_eq!((points, end, hopper), (0.0, None, Hopper::default()));
}

#[test]
fn a_flight_is_the_parabola_of_its_closed_form_and_keeps_its_energy() {
    let flat = course(0.0, 6.0);
    for leap in [0.3, 0.7, 1.0] {
        let mut hopper = Hopper { x: 1.0, vx: FASTEST, ..Hopper::default() };
        let up = LEAP * leap;
        let energy = up * up / 2.0;
        hopper.decide(&flat, [1.0, leap]);
        let mut time = TICK;
        while time + TICK < 2.0 * up / GRAVITY {
            let (x, y) = (1.0 + FASTEST * time, (up - GRAVITY * time / 2.0) * time);
            assert!((hopper.x - x).abs() < 1e-9 && (hopper.y - y).abs() < 1e-9, "{leap} {time}");
            assert!((hopper.vy * hopper.vy / 2.0 + GRAVITY * hopper.y - energy).abs() < 1e-9);
            assert!(hopper.flies && hopper.vx == FASTEST);
            // In the air nothing can be chosen, and nothing costs.
            let moved = hopper.decide(&flat, [-1.0, 1.0]);
            assert!((moved.points - WHOLE * FASTEST * TICK / LENGTH).abs() < 1e-9);
            time += TICK;
        }
        hopper.decide(&flat, [1.0, 0.0]);
        assert!(!hopper.flies && hopper.y == 0.0 && hopper.vy == 0.0, "{leap}: {hopper:?}");
    }
}

#[test]
fn stumps_without_gaps_are_a_plateau_that_one_leap_leads_onto() {
    let course = course(1.5, -1.0);
    let leap =
        |hopper: &Hopper, _| [1.0, if hopper.y == 0.0 && hopper.x > 8.0 { 1.0 } else { 0.0 }];
    let (points, end, hopper) = drive(&course, leap);
    assert!(end == Some(End::Arrived) && hopper.y > 1.49, "{points} {hopper:?}");
}

#[test]
fn the_hopper_sees_the_next_two_stumps() {
    let course = course(1.5, 3.0);
    let senses = Hopper { x: 7.0, ..Hopper::default() }.senses(&course);
    assert_eq!(senses[5..7], [0.5, 0.5]);
    assert!((senses[7] - (6.5 / 6.0)).abs() < 0.25 / 6.0 + 1e-12 && senses[8] == 0.5);
    let (_, _, arrived) = drive(&self::course(0.05, 3.0), |_, _| [1.0, 0.0]);
    assert_eq!(arrived.senses(&course)[5..], [2.0, 0.0, 2.0, 0.0]);
}

fn fixture(height: f64, irrelevant: u32) -> Fixture {
    let settings = trial::with([("height", height.into()), ("irrelevant", irrelevant.into())]);
    crate::fixture("stumps", &settings).unwrap()
}

#[test]
fn the_test_set_is_the_same_for_every_box_and_four_in_five_of_it_can_be_solved() {
    let [small, large] = [fixture(3.0, 0), fixture(5.0, 10)];
    let (small, large) = (small.ready(), large.ready());
    assert_eq!(small.identity.test_root, large.identity.test_root);
    assert_eq!(small.identity.validation_root, large.identity.validation_root);
    assert_ne!(small.identity.train_root, large.identity.train_root);
    let tests = values(&small.splits.test.stored).unwrap();
    assert_eq!(tests, values(&large.splits.test.stored).unwrap());
    assert!(tests.chunks(2).all(|task| task[0] < 3.0 && task[1] < 6.0));
    assert_eq!(tests.chunks(2).filter(|task| f64::from(task[0]) <= REACH).count(), 40);
    let highest =
        |ready: &training::workload::Ready| values(&ready.splits.train.stored).unwrap()[19_998];
    assert!((highest(small) - 2.985).abs() < 1e-5 && (highest(large) - 4.975).abs() < 1e-5);
}

#[test]
fn irrelevant_coordinates_change_no_example_and_teachers_alone_see_them() {
    let [plain, wide] = [fixture(3.0, 0), fixture(3.0, 10)];
    let (plain, wide) = (plain.ready(), wide.ready());
    assert_eq!(plain.identity, wide.identity);
    let seen = |ready: &training::workload::Ready| ready.side.points.as_ref().unwrap().clone();
    assert_eq!((seen(plain).irrelevant, seen(wide).irrelevant), (0, 10));
    assert_eq!(seen(plain).coordinates, seen(wide).coordinates);
}

/// A policy as runs begin with.
fn policy() -> Network {
    network(&trial::streams(), Device::Cpu).unwrap()
}

/// Ten times this task.
fn batch(task: [f32; 2]) -> Batch {
    let inputs = Tensor::from_slice(&task).repeat([10, 1]);
    let labels = Tensor::zeros([10], (Kind::Int64, Device::Cpu));
    Batch { ids: vec![0; 10], sample_ids: labels.shallow_clone(), inputs, labels }
}

/// Practises `lessons` of ten tasks each.
fn practised(network: &Network, task: [f32; 2], lessons: u64) -> (Vec<f64>, Proximal) {
    let mut student = Proximal::new(&trial::streams());
    let adam = AdamwSettings { lr: LR, weight_decay: 0.0, ..Default::default() };
    let mut rule = Adamw::new(adam, network, |_, _| true).unwrap();
    let mut rewards = Vec::new();
    for step in 0..lessons {
        let batch = batch(task);
        let mut now = lab::seat::StepInfo { lr_factor: 1.0, ..trial::step_info(step, lessons) };
        tch::no_grad(|| student.before_step(network, &batch, &now)).unwrap();
        rewards.push(student.scores().unwrap().iter().sum::<f64>() / 10.0);
        for pass in 0..student.passes() {
            now.pass = pass;
            let loss = student.loss(network, &batch, &now).unwrap();
            let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
            let tensors = Tensor::run_backward(&[&loss], &leaves, false, false);
            let gradients = Gradients { active: (0..leaves.len()).collect(), tensors };
            tch::no_grad(|| rule.update(&network.parameters, &gradients, &now)).unwrap();
        }
    }
    (rewards, student)
}

#[test]
fn practice_raises_the_return_on_a_flat_course() {
    let network = policy();
    let flat = [course(0.0, 6.0)];
    let points = || earned(&network, &flat).unwrap()[0];
    let before = points();
    let (rewards, student) = practised(&network, [0.0, 6.0], 50);
    assert!(before < 150.0 && points() > MASTERED, "{before} {}", points());
    let mean = |rewards: &[f64]| rewards.iter().sum::<f64>() / rewards.len() as f64;
    assert!(mean(&rewards[45..]) > mean(&rewards[..5]) + 0.1, "{rewards:?}");
    assert_eq!(student.costs()["environment_steps"], 25_000);
}

#[test]
fn a_policy_that_has_learned_nothing_masters_nothing() {
    let fixture = fixture(3.0, 0);
    let ready = fixture.ready();
    for seed in 0..5 {
        let network = fixture.network(seed).unwrap();
        let model = training::judge::Model::plain(&network);
        let judged = training::judge::Judged::Test;
        let split = &ready.splits.test;
        let request = EvaluationRequest { model, split, judged, last: true };
        let metrics = ready.judge.metrics(&request).unwrap();
        assert!(metrics["mastered"] <= 0.04 && metrics["earned"] < 0.6, "{metrics:?}");
    }
}

#[test]
fn a_lesson_takes_its_steps_whatever_happens_and_falls_make_room_for_more_episodes() {
    // Full thrust and no leap, almost without noise.
    let network = policy();
    tch::no_grad(|| {
        for (at, to) in [(5, [9.0_f32, -9.0]), (12, [-9.0, -9.0])] {
            network.parameters[at].tensor.shallow_clone().copy_(&Tensor::from_slice(&to));
        }
    });
    let lesson = |task: [f32; 2], points: f64| {
        let score = rescaled(points);
        let mut student = Proximal::new(&trial::streams());
        let batch = batch(task);
        student.before_step(&network, &batch, &trial::step_info(0, 1)).unwrap();
        assert_eq!(student.costs()["environment_steps"], 500);
        assert!((student.scores().unwrap()[3] - score).abs() < 1e-9, "{:?}", student.scores());
        student.facts()["episodes"].as_u64().unwrap()
    };
    // A wall is met in the 11th decision, so four times in a lesson, the end of a flat course in the 31st.
    assert_eq!(lesson([5.0, 6.0], WHOLE / 3.0 - 11.0 * 0.3 - FALL), 40);
    assert_eq!(lesson([0.0, 6.0], WHOLE - 31.0 * 0.3), 10);
}

#[test]
fn the_outputs_are_means_of_actions_and_a_value_of_their_own() {
    let network = policy();
    assert_eq!(network.parameters.len(), 13);
    let inputs = Tensor::zeros([3, SENSES as i64], (Kind::Float, Device::Cpu));
    assert_eq!(network.forward(&inputs, false).unwrap().size(), [3, 2]);
}
