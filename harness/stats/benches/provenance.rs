//! Spearman with log p from raw columns, as a query asks for it: positions of an order and scores
//! of either precision. Bounds, on one core: 0.15 s and a third of SciPy's `spearmanr` at 10^6
//! examples, 30 s and 8 GiB at 10^8.
//!
//! `cargo bench -p stats --bench provenance`, and beside it `provenance_peer.py`; the largest size
//! needs 5 GB and some minutes: leave it out with `-- /1000000$`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use ledger::order::uniform_order;
use ledger::streams::{Streams, unit_f64};
use stats::provenance::{Metric, Query};

const SEED: [u8; 32] = [7; 32];

/// Positions of a uniform order and scores that lean on them, as `provenance_peer.py` makes them.
fn columns(examples: u32) -> (Vec<u64>, Vec<f64>) {
    let positions: Vec<u64> =
        uniform_order(&SEED, 0, examples).into_iter().map(u64::from).collect();
    let mut rng = Streams::new(SEED).generator("scores");
    let lean = -0.1 / f64::from(examples);
    let scores = positions.iter().map(|&p| lean * p as f64 + unit_f64(&mut rng)).collect();
    (positions, scores)
}

fn queries(criterion: &mut Criterion) {
    for examples in [1_000_000, 100_000_000] {
        let (positions, mut scores) = columns(examples);
        let mut group = criterion.benchmark_group("provenance");
        group
            .sampling_mode(SamplingMode::Flat)
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(3))
            .throughput(Throughput::Elements(u64::from(examples)));
        group.bench_function(BenchmarkId::new("spearman", examples), |bencher| {
            bencher.iter(|| black_box(Query::new(&positions, &scores).run()));
        });
        if examples <= 1_000_000 {
            for metric in [Metric::Pearson, Metric::Kendall] {
                group.bench_function(BenchmarkId::new(metric.name(), examples), |bencher| {
                    let query = Query { metric, ..Query::new(&positions, &scores) };
                    bencher.iter(|| black_box(query.run()));
                });
            }
        }
        // What most frameworks store: its low bits are 0 and need no passes.
        scores.iter_mut().for_each(|score| *score = f64::from(*score as f32));
        group.bench_function(BenchmarkId::new("spearman-of-f32", examples), |bencher| {
            bencher.iter(|| black_box(Query::new(&positions, &scores).run()));
        });
        group.finish();
    }
}

criterion_group!(benches, queries);
criterion_main!(benches);
