//! The gate's own analysis: 1,000 times in 20 interleaved pairs each, through the whole of `decide`.
//! Bound: under 2 s on one core.
//!
//! `cargo bench -p analysis --bench regress`. `regress_peer.py` beside it is the peer of the BCa
//! intervals that the gate made until 2026-11-28.

#[path = "../examples/simulated/clocks.rs"]
#[expect(dead_code, reason = "the bench times one round, the self-test plays the whole gate")]
mod clocks;

use std::hint::black_box;
use std::time::Duration;

use analysis::regress::Rule;
use analysis::regress::decide::{FloorAt, decide};
use clocks::{Design, NOW};
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use stats::bootstrap::Resampling;

const METRICS: usize = 1000;
const PAIRS: u32 = 20;

fn gate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("regress");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(8));

    let design = Design { metrics: METRICS, ..Design::of(PAIRS, METRICS / 100, 0.05) };
    let rule = Rule::default();
    // The floor is measured beforehand, and its intervals are not kept.
    let few = Rule { resampling: Resampling { resamples: 100, ..rule.resampling }, ..rule };
    let floor = design.floor(1, 5, &few);
    let (base, head) = design.session(0, "first", |_| true);
    let at = FloorAt { floor: Some(&floor), now_unix: NOW };
    group.bench_function("decide/1000x20", |bencher| {
        bencher.iter(|| black_box(decide(&base, &head, at, &rule)));
    });
    group.finish();
}

criterion_group!(benches, gate);
criterion_main!(benches);
