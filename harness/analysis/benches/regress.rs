//! The gate's own analysis: 1,000 times in 20 interleaved pairs each, through the whole of `decide`;
//! bound: under 2 s on one core. Beside it a BCa bootstrap of 10,000 resamples, as SciPy offers it.
//!
//! `cargo bench -p analysis --bench regress`, and beside it `regress_peer.py` for SciPy's BCa.

#[path = "../examples/simulated/clocks.rs"]
#[expect(dead_code, reason = "the bench times one round, the self-test plays the whole gate")]
mod clocks;

use std::hint::black_box;
use std::time::Duration;

use analysis::regress::Rule;
use analysis::regress::decide::{FloorAt, decide};
use clocks::{Design, NOW};
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use ledger::streams::{Streams, normal_f64};
use stats::bootstrap::{Resampling, bca};

const METRICS: usize = 1000;
const PAIRS: u32 = 20;

fn gate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("regress");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(8));

    let mut rng = Streams::new([7; 32]).generator("effects");
    let effects: Vec<f64> = (0..PAIRS).map(|_| 0.03 * normal_f64(&mut rng)).collect();
    group.bench_function("bca/20x10000", |bencher| {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / f64::from(PAIRS);
        bencher.iter(|| black_box(bca(black_box(&effects), mean, Resampling::seeded(0))));
    });

    let design = Design { metrics: METRICS, ..Design::of(PAIRS, METRICS / 100, 0.05) };
    let rule = Rule::default();
    let floor = design.floor(1, 5, &rule);
    let (base, head) = design.session(0, "first", |_| true);
    let at = FloorAt { floor: Some(&floor), now_unix: NOW };
    group.bench_function("decide/1000x20", |bencher| {
        bencher.iter(|| black_box(decide(&base, &head, at, &rule)));
    });
    group.finish();
}

criterion_group!(benches, gate);
criterion_main!(benches);
