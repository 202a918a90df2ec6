//! `verify` of one run of 10^7 ids on one core: manifest, dataset root, order hash and root, step
//! chain, the seed's shuffle. Bound: 5 s. `cargo bench -p analysis --bench verify`; needs 1.5 GB of
//! memory and 0.4 GB of temporary disk.

use std::time::Duration;

use analysis::verify::Verifier;
use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use ledger::record::Store;

#[path = "../examples/sample/run.rs"]
mod sample;

fn verify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verify");
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(2));
    for examples in [100_000_u32, 10_000_000] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::at(folder.path());
        let shape = sample::Shape { examples, epochs: 1, batch: 16, seed: 0 };
        let cell = sample::write(&store, shape).expect("a store that takes a run");
        group.throughput(Throughput::Elements(u64::from(examples)));
        group.bench_function(BenchmarkId::from_parameter(examples), |bencher| {
            bencher.iter(|| {
                let checks = Verifier::new(&store).verify(&cell).checks;
                let failed: Vec<_> = checks.iter().filter(|check| !check.passed).collect();
                assert!(failed.is_empty(), "{failed:?}");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, verify);
criterion_main!(benches);
