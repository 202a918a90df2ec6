//! An epoch's order, generated and hashed, beside a bare in-memory shuffle by `rand` with the same
//! generator. Bound: at most 1.5 times the peer at 10^8 ids, at 4 bytes an id.
//!
//! The routines take turns in rounds, because other load on the machine drifts.
//! `cargo bench -p ledger --bench order`; the largest size needs 0.9 GB and some minutes.

use std::hint::black_box;
use std::time::Duration;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use ledger::order::{epoch_generator, order_hash, uniform_order, uniform_order_into};
use rand::seq::SliceRandom as _;

const ROUNDS: u32 = 3;
const SEED: [u8; 32] = [7; 32];

fn orders(criterion: &mut Criterion) {
    for examples in [100_000_u32, 10_000_000, 100_000_000] {
        let mut group = criterion.benchmark_group("order");
        group
            .sampling_mode(SamplingMode::Flat)
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(2))
            .throughput(Throughput::Elements(u64::from(examples)));
        for round in 0..ROUNDS {
            let id = |name: &str| BenchmarkId::new(format!("{name}/round-{round}"), examples);
            let mut ids: Vec<u32> = (0..examples).collect();
            group.bench_function(id("rand-shuffle"), |bencher| {
                let mut rng = epoch_generator(&SEED, round);
                bencher.iter(|| black_box(&mut ids).shuffle(&mut rng));
            });
            group.bench_function(id("epoch-and-hash-reusing-memory"), |bencher| {
                bencher.iter(|| {
                    uniform_order_into(&SEED, round, examples, &mut ids);
                    order_hash(&ids)
                });
            });
            drop(ids);
            group.bench_function(id("epoch-and-hash"), |bencher| {
                bencher.iter(|| order_hash(&uniform_order(&SEED, round, examples)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, orders);
criterion_main!(benches);
