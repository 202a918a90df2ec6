//! Targets, stages and teachers with numbers that are known.

use std::sync::Arc;

use super::*;
use crate::models::mlp2d::mlp2d;
use crate::network::{Body, Denoiser};
use crate::side_info::SideInfo;
use crate::trial;
use tch::{Device, Kind};

const STAGES: Stages =
    Stages { start: 8, until: 1, teacher_share: 0.25, lengths: Lengths::Equal, student_lr: 1.0 };

/// The denoiser c for all x, or (nothing given) that of N(0, ¼), whose F is 0.
#[derive(Debug)]
struct Known(Option<f64>);

impl Denoiser for Known {
    fn run(&self, _: &Network, inputs: &Tensor, noise: &Tensor) -> Result<Tensor, LabError> {
        let Some(constant) = self.0 else { return Ok(inputs.f_zeros_like()?) };
        let sigma = (noise * 4.0).exp().unsqueeze(1);
        let variance = &sigma * &sigma + 0.25;
        let x = inputs * variance.sqrt();
        let out = &sigma * 0.5 / variance.sqrt();
        Ok((x * -0.25 / variance + constant) / out)
    }
}

fn network(known: Option<f64>) -> Network {
    let body = Body::Denoiser(Arc::new(Known(known)));
    Network::new(vec![], vec![], body)
}

fn map(network: &Network) -> Denoise<'_> {
    Denoise { network, preconditioning: Preconditioning::Diffusion, sigma_data: 0.5 }
}

#[test]
fn a_teacher_that_always_says_c_has_the_target_c() {
    let at = Intervals {
        begin: vec![80.0, 5.0, 0.3],
        middle: vec![40.0, 1.0, 0.1],
        end: vec![2.5, 0.01, 0.002],
    };
    let x = Tensor::from_slice(&[75.0_f32, -3.0, 0.2]).view([3, 1]);
    let found = target(&map(&network(Some(0.7))), &x, &at).unwrap();
    assert!((found - 0.7).abs().max().double_value(&[]) < 2e-4);
}

#[test]
fn a_student_of_one_step_learns_its_teacher_and_not_the_exact_map() {
    // Two exact steps 80 → 2.515219 → 0.002 multiply by 0.0012207, so the target is
    // 0.0011958·x; the exact flow would be 0.00624993·x.
    let levels = grid(3);
    let at = Intervals { begin: vec![levels[2]], middle: vec![levels[1]], end: vec![levels[0]] };
    let x = Tensor::from_slice(&[80.0_f32]).view([1, 1]);
    let found = target(&map(&network(None)), &x, &at).unwrap().double_value(&[0, 0]) / 80.0;
    assert!((found - 0.001_195_8).abs() < 3e-7, "{found}");
}

#[test]
fn stages_share_the_run_and_in_each_the_rate_falls_from_one_to_zero() {
    assert_eq!(STAGES.starts(400), [0, 100, 200, 300, 400]);
    for (stage, begin) in (0..).zip([0, 100, 200, 300]) {
        assert_eq!(STAGES.stage(begin, 400), Stage { index: stage, lr_factor: 1.0 });
        let last = STAGES.stage(begin + 99, 400);
        assert_eq!(last.index, stage);
        assert!((last.lr_factor - 0.01).abs() < 1e-12);
    }
    assert_eq!([1, 2, 3].map(|stage| STAGES.student_steps(stage)), [4, 2, 1]);
    // OpenAI's lengths in units of 50,000 updates: to 2 at 550,000, to 1 at 650,000 of 800,000.
    let long = Stages { start: 8192, teacher_share: 0.0, lengths: Lengths::LongLast, ..STAGES };
    let starts = long.starts(800_000);
    assert_eq!(starts[12..], [550_000, 650_000, 800_000]);
    assert!(starts[1..13].windows(2).all(|pair| pair[1] - pair[0] == 50_000));
}

#[test]
fn a_student_starts_as_its_teacher_and_the_teacher_stays() {
    let streams = trial::streams();
    let network = mlp2d(2, 8, &streams, Device::Cpu).unwrap();
    let side = SideInfo::default();
    let task = TaskInfo {
        method: "trial",
        workload: "trial",
        network: &network,
        examples: 8,
        side: &side,
        teacher: None,
        budget_samples: 8,
        streams: &streams,
    };
    let training = Denoising::new(-1.2, 1.2, 0.5, &streams);
    let mut halving = Halving::new(STAGES, training, 0.5, &task);
    let batch = trial::batch(&[2]).unwrap();
    let mut frozen = Vec::new();
    for step in 0..400 {
        halving.before_step(&network, &batch, &trial::step_info(step, 400)).unwrap();
        if step % 100 == 0 && step > 0 {
            let teacher = halving.teacher.as_ref().unwrap().digest().unwrap();
            assert_eq!(teacher, network.digest().unwrap());
            frozen.push(teacher);
        }
        let mut weight = network.parameters[0].tensor.shallow_clone();
        let _ = tch::no_grad(|| weight.g_add_scalar_(0.001));
        if step > 100 {
            assert_eq!(
                halving.teacher.as_ref().unwrap().digest().unwrap(),
                frozen[frozen.len() - 1]
            );
        }
    }
    assert!(frozen[0] != frozen[1] && frozen[1] != frozen[2]);
}

#[test]
fn a_student_step_takes_three_evaluations_and_a_teachers_step_one() {
    let streams = trial::streams();
    let network = mlp2d(2, 8, &streams, Device::Cpu).unwrap();
    let side = SideInfo::default();
    let task = TaskInfo {
        method: "trial",
        workload: "trial",
        network: &network,
        examples: 8,
        side: &side,
        teacher: None,
        budget_samples: 8,
        streams: &streams,
    };
    let training = Denoising::new(-1.2, 1.2, 0.5, &streams);
    let mut halving = Halving::new(STAGES, training, 0.5, &task);
    let batch = trial::batch(&[2]).unwrap();
    let mut evaluations = |step| {
        let now = trial::step_info(step, 400);
        halving.before_step(&network, &batch, &now).unwrap();
        let losses = halving.losses(&network, &batch, &now).unwrap();
        assert!(losses.isfinite().all().int64_value(&[]) == 1);
        assert_eq!(losses.kind(), Kind::Float);
        halving.evaluations
    };
    assert_eq!(evaluations(99), 8);
    assert_eq!(evaluations(100), 8 + 24);
}

#[test]
fn a_students_loss_is_the_truncated_weight_times_a_mean_over_coordinates() {
    let streams = trial::streams();
    // Whatever x is, the teacher's target is 0.7 and the student says 0.2.
    let (teacher, student) = (network(Some(0.7)), network(Some(0.2)));
    let side = SideInfo::default();
    let task = TaskInfo {
        method: "trial",
        workload: "trial",
        network: &student,
        examples: 8,
        side: &side,
        teacher: None,
        budget_samples: 8,
        streams: &streams,
    };
    let training = Denoising::new(-1.2, 1.2, 0.5, &streams);
    let mut halving = Halving::new(STAGES, training, 0.5, &task);
    (halving.stage, halving.teacher) = (1, Some(teacher));
    // Four intervals begin at 80, 17.5278, 2.5152 and 0.1698: max(1, 1/t²) is 1 but for the last, where
    // it is 34.703; times ¼, the square of 0.7 − 0.2.
    let known = [0.25, 0.25, 0.25, 8.675_74];
    let mut drawn = streams.generator("distillation interval");
    let mut seen = [0; 4];
    for _ in 0..4 {
        let batch = trial::batch(&[3]).unwrap();
        let losses = halving.losses(&student, &batch, &trial::step_info(150, 400)).unwrap();
        assert_eq!(losses.size(), [8]);
        for loss in crate::network::values(&losses).unwrap() {
            let interval = order::bounded(&mut drawn, 4) as usize;
            seen[interval] += 1;
            let expected = known[interval];
            assert!((f64::from(loss) / expected - 1.0).abs() < 1e-3, "{interval}: {loss}");
        }
    }
    assert!(seen.into_iter().all(|count| count > 0), "{seen:?}");
}
