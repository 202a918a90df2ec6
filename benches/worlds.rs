//! Runs of `pr-lsvi`, and steps of the world of `stumps`, alone and with its policy.

use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use lab::seat::{Batch, Objective as _, StepInfo};
use lab::trial::with;
use tch::{Device, Kind, Tensor};
use workloads::shared::stumps::course::{Course, Hopper, LONGEST};
use workloads::shared::stumps::student::{Proximal, network};

use crate::task::Task;

/// Courses at once.
const COURSES: i64 = 32;

/// 2,000 rounds, questions and fits included.
pub fn rounds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pr-lsvi");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    let fixture = workloads::fixture("linear-mdp", &with([])).unwrap();
    let method = methods::find("pr-lsvi").unwrap().method;
    group.throughput(Throughput::Elements(2_000));
    group.bench_function("run", |bencher| {
        bencher.iter(|| fixture.run(method, &with([]), 2_000, 3).unwrap().digest);
    });
    group.finish();
}

/// Elements are environment steps.
pub fn stumps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stumps");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    let mut random = Task::streams().generator("bench");
    let courses = (0..COURSES).map(|at| Course::of([0.1 * at as f64, 3.0], &mut random));
    let courses: Vec<Course> = courses.collect();
    let steps = COURSES as u64 * LONGEST as u64;
    group.throughput(Throughput::Elements(steps));
    group.bench_function("world", |bencher| {
        bencher.iter(|| {
            let mut points = 0.0;
            for course in &courses {
                let mut hopper = Hopper::default();
                for tick in 0..LONGEST {
                    // A leap every fourth tick; who falls begins anew.
                    let leap = if tick % 4 == 0 { 0.8 } else { 0.0 };
                    let moved = hopper.decide(course, [1.0, leap]);
                    points += moved.points + hopper.senses(course)[0];
                    if moved.end.is_some() {
                        hopper = Hopper::default();
                    }
                }
            }
            points
        });
    });
    let streams = Task::streams();
    let policy = network(&streams, Device::Cpu).unwrap();
    let tasks = Tensor::arange(2 * COURSES, (Kind::Float, Device::Cpu)).view([-1, 2]);
    let batch = || Batch {
        ids: (0..COURSES as u32).collect(),
        sample_ids: Tensor::arange(COURSES, (Kind::Int64, Device::Cpu)),
        inputs: tasks.remainder(3.0) + 0.5,
        labels: Tensor::zeros([COURSES], (Kind::Int64, Device::Cpu)),
    };
    let now =
        StepInfo { step: 0, total_steps: 1, epoch: 0, total_epochs: 1, lr_factor: 1.0, pass: 0 };
    group.bench_function("world and policy", |bencher| {
        bencher.iter_batched(
            || (Proximal::new(&streams), batch()),
            |(mut student, batch)| {
                tch::no_grad(|| student.before_step(&policy, &batch, &now)).unwrap();
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}
