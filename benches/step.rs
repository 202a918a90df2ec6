//! Cost of a training step through the harness, beside the same network in a bare `tch` loop.
//!
//! Both run in one process on one thread and take turns in blocks, first the one, then the other,
//! because other load on the machine drifts; printed are medians, and the median and quartiles of
//! the ratio of neighbouring blocks. Bound: the harness adds at most 1 % on mnist-cnn and 3 % on
//! digits-mlp.
//!
//! Beside it, a step of `one-byte`, which takes no gradient, and its forward passes alone: at most 10 % more on
//! blobs-cnn. And a roll-out in branches, to a budget or as a thought beside one of as many tokens in one thread: at most 1.3
//! times as long, and so for texts that are interrupted: each is asked about once, and a stretch of it is thrown away and written again. (A
//! thought beyond its budget is cut off.) And runs of `pr-lsvi`, of 2,000 rounds: at most a second; and steps
//! of `stumps`, of its world alone and with its policy.
//!
//! `cargo bench --bench step`; with `-- serve`, the process answers `benches/peer.py`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark reports on stdout")]

mod bare;
mod forward;
mod harness;
mod rollout;
mod task;
mod worlds;

use std::io::BufRead as _;
use std::time::Duration;

use bare::Bare;
use criterion::{BatchSize, Criterion, Throughput};
use forward::Forward;
use harness::Harness;
use ledger::digest::Digest;
use ledger::transcript::Transcript;
use rollout::{Branches, Reflections, Rollouts};
use task::{BLOBS_CNN, DIGITS_MLP, MNIST_CNN, Task};

fn main() {
    lab::device::prepare_process(1);
    if std::env::args().any(|argument| argument == "serve") {
        return serve();
    }
    for (task, batch, steps, pairs) in
        [(DIGITS_MLP, 32, 100, 300), (DIGITS_MLP, 128, 100, 200), (MNIST_CNN, 256, 8, 30)]
    {
        let (mut harness, mut bare) = (Harness::new(task, batch), Bare::new(task));
        let bare = |steps| bare.seconds(i64::from(batch), steps);
        compare(&label(task, batch), |steps| harness.seconds(steps), bare, steps, pairs);
    }
    for (batch, steps) in [(1_024, 8), (256, 32)] {
        let mut ours = Harness::one_byte(BLOBS_CNN, batch);
        let mut passes = Forward::new(BLOBS_CNN, batch, WORKERS);
        let name = format!("one-byte on {}, {WORKERS} workers", label(BLOBS_CNN, batch));
        compare(&name, |steps| ours.seconds(steps), |steps| passes.seconds(steps), steps, 60);
    }
    let kinds: [fn(&mut Branches, u64) -> f64; 3] =
        [Branches::branched, Branches::budgeted, Branches::thinking];
    for (kind, seconds) in ["branched", "budgeted", "thinking"].into_iter().zip(kinds) {
        let [mut ours, mut plain] = [(); 2].map(|()| Branches::new(128));
        let name = format!("{kind} roll-out of 128 responses");
        compare(&name, |times| seconds(&mut ours, times), |times| plain.plain(times), 4, 60);
    }
    let [mut ours, mut plain] = [(); 2].map(|()| Reflections::new(128));
    let name = "interrupted roll-out of 128 responses";
    compare(name, |times| ours.reflected(times), |times| plain.plain(times), 4, 60);
    let mut criterion = Criterion::default().configure_from_args();
    evaluation(&mut criterion);
    transcript(&mut criterion);
    worlds::rounds(&mut criterion);
    worlds::stumps(&mut criterion);
    criterion.final_summary();
}

/// Answers each line `task batch steps` with the milliseconds per step of such a block; tasks are
/// those of [`task`], `generate` and `grpo`, whose batch is the number of responses.
fn serve() {
    let mut loops: Vec<(&str, u32, Harness)> = Vec::new();
    let mut rollouts = Rollouts::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, batch, steps] = words[..] else { panic!("expected: task batch steps") };
        let (batch, steps) = (batch.parse::<u32>().unwrap(), steps.parse::<u64>().unwrap());
        let seconds = match name {
            "generate" => Some(rollouts.generation(i64::from(batch), steps)),
            "grpo" => Some(rollouts.grpo(i64::from(batch), steps)),
            _ => None,
        };
        if let Some(seconds) = seconds {
            println!("{:.6}", 1e3 * seconds / steps as f64);
            continue;
        }
        let task = Task::find(name).unwrap();
        let known = loops.iter().position(|(name, size, _)| (*name, *size) == (task.name, batch));
        let index = known.unwrap_or_else(|| {
            loops.push((task.name, batch, Harness::new(task, batch)));
            loops.len() - 1
        });
        println!("{:.6}", 1e3 * loops[index].2.seconds(steps) / steps as f64);
    }
}

/// Workers of `one-byte` by default.
const WORKERS: u32 = 4;

fn label(task: Task, batch: u32) -> String {
    format!("{} batch {batch}", task.name)
}

/// Times `pairs` pairs of blocks of `steps` steps, through the harness and without it.
fn compare(
    name: &str,
    mut harness: impl FnMut(u64) -> f64,
    mut bare: impl FnMut(u64) -> f64,
    steps: u64,
    pairs: usize,
) {
    // As criterion does: a word on the command line is part of the names that are asked for.
    let asked = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if asked.is_some_and(|asked| !name.contains(&asked)) {
        return;
    }
    let (mut harness_times, mut bare_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..=pairs {
        // Who goes first alternates too.
        let (ours, peer) = if pair % 2 == 0 {
            let ours = harness(steps);
            (ours, bare(steps))
        } else {
            let peer = bare(steps);
            (harness(steps), peer)
        };
        // The first pair warms up.
        if pair > 0 {
            harness_times.push(1e3 * ours / steps as f64);
            bare_times.push(1e3 * peer / steps as f64);
            ratios.push(ours / peer);
        }
    }
    let [ours, peer, ratio] = [harness_times, bare_times, ratios].map(quartiles);
    println!(
        "{name}: harness {:.4} ms, bare {:.4} ms a step; ratio {:.4}, quartiles {:.4} to {:.4}, {pairs} pairs of {steps} steps",
        ours[1], peer[1], ratio[1], ratio[0], ratio[2]
    );
}

/// Lower quartile, median, upper quartile.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

/// Metrics of a whole split.
fn evaluation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("evaluation");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for (task, examples) in [(DIGITS_MLP, 240), (MNIST_CNN, 2_000)] {
        let network = (task.network)(&Task::streams());
        let split = task.split(examples);
        group.throughput(Throughput::Elements(u64::from(examples)));
        group.bench_function(task.name, |bencher| {
            bencher.iter(|| training::metrics::classification::evaluate(&network, &split).unwrap());
        });
    }
    group.finish();
}

/// What the transcript adds to an epoch of 54,000 ids: the copy inside the train clock, and the
/// hash chain outside of it.
fn transcript(criterion: &mut Criterion) {
    let ids: Vec<u32> = (0..54_000).collect();
    let record = || {
        let mut transcript = Transcript::start(Digest::of(b"bench"));
        transcript.begin_epoch(0);
        for step in ids.chunks(256) {
            transcript.push_step(step).unwrap();
        }
        transcript
    };
    let mut group = criterion.benchmark_group("transcript");
    group.throughput(Throughput::Elements(ids.len() as u64));
    group.bench_function("copy-ids", |bencher| bencher.iter(record));
    group.bench_function("chain", |bencher| {
        bencher.iter_batched(record, |mut recorded| recorded.chain(), BatchSize::SmallInput);
    });
    group.finish();
}
