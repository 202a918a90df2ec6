//! A history of 10,000 commits by 100 metrics: read with its chain verified, and analysed. Bound:
//! analysed in under 10 s on one core.
//!
//! `cargo bench -p analysis --bench history`, and beside it `history_peer.py` for Apache Otava.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use analysis::history::chain::History;
use analysis::history::changes::{Options, analyse};
use analysis::history::{Better, Entry, Measured, Metric};
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use ledger::digest::Digest;
use ledger::streams::{Streams, normal_f64};
use stats::divisive::Search;

const COMMITS: usize = 10_000;
const METRICS: usize = 100;

/// Noise of 2 % around a level that moves by 5 % every thousand commits in every other metric.
fn bytes() -> Vec<u8> {
    let mut rng = Streams::new([7; 32]).generator("history");
    let mut history = History::new("bench.jsonl", "suite", "machine");
    let mut bytes = Vec::new();
    for commit in 0..COMMITS {
        let metrics: BTreeMap<String, Metric> = (0..METRICS)
            .map(|metric| {
                let moved = if metric % 2 == 0 && (commit / 1000) % 2 == 1 { 1.05 } else { 1.0 };
                let value = moved * (0.02 * normal_f64(&mut rng)).exp();
                let unit = "s".to_owned();
                let metric_of = Metric { unit, better: Better::Lower, values: vec![value] };
                (format!("workload/arm{metric:03}/time"), metric_of)
            })
            .collect();
        let suite_digest = Digest::of(b"suite");
        let entry = Measured {
            commit: format!("{commit:040x}"),
            suite_digest,
            software: BTreeMap::new(),
            metrics,
        };
        bytes.extend(history.push(Entry::Measured(entry)).expect("the line fits"));
    }
    bytes
}

fn histories(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("history");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(3));
    let mut rng = Streams::new([7; 32]).generator("window");
    let window: Vec<f64> = (0..50).map(|_| normal_f64(&mut rng)).collect();
    let mut search = Search::new(3);
    group.bench_function("search/50", |bencher| {
        bencher.iter(|| black_box(search.best(black_box(&window))));
    });
    let bytes = bytes();
    let read = || History::parse("bench.jsonl", "suite", "machine", &bytes).expect("it is whole");
    group.bench_function("read/10000x100", |bencher| bencher.iter(|| black_box(read())));
    let history = read();
    group.bench_function("analyse/10000x100", |bencher| {
        bencher.iter(|| black_box(analyse(&history, &Options::default())));
    });
    group.finish();
}

criterion_group!(benches, histories);
criterion_main!(benches);
