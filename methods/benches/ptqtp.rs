//! Two trit-planes for 10^6 normal weights in groups of 128, on one core; bound: 2 s.
//!
//! `cargo bench -p methods --bench ptqtp`

use criterion::{BatchSize, Criterion, Throughput};
use lab::low_bit::Rule as _;
use lab::trial::{Tails, weights};
use methods::derive::ptqtp::Fit;

const WEIGHTS: usize = 1_000_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let drawn = weights(Tails::Normal, WEIGHTS);
    let mut group = criterion.benchmark_group("ptqtp");
    group.sample_size(20).throughput(Throughput::Elements(WEIGHTS as u64));
    group.bench_function("1,000,000 weights", |bencher| {
        let fit = |mut weights: Vec<f32>| {
            let mut rule = Fit::default();
            weights.chunks_mut(128).for_each(|group| rule.replace(group));
            weights
        };
        bencher.iter_batched(|| drawn.clone(), fit, BatchSize::LargeInput);
    });
    group.finish();
    criterion.final_summary();
}
