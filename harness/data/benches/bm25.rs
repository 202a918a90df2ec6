//! The first stage of a ranker: an index of 10^5 documents, and the best 20 of them for 1,000 queries.
//! Bound: both in under 2 s. Words have the long tail of a text. No peer: the kept crate `bm25` hashes text, and would bring a
//! hash crate that nobody keeps.
//!
//! `cargo bench -p data --bench bm25`

use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use data::bm25::{Index, Parameters};
use ledger::order::{bounded, epoch_generator};
use rand_pcg::Pcg64;

const DOCUMENTS: usize = 100_000;
const QUERIES: usize = 1_000;
const VOCABULARY: u64 = 30_000;
/// Anserini's.
const PARAMETERS: Parameters = Parameters { k1: 0.9, b: 0.4 };

/// A word, rare ones as often together as common ones: of rank r with a probability of about 1/r.
fn word(random: &mut Pcg64) -> u16 {
    let octave = 1 << bounded(random, u64::from(VOCABULARY.ilog2()) + 1);
    let rank = octave + bounded(random, octave);
    u16::try_from(rank.min(VOCABULARY)).unwrap_or(u16::MAX)
}

fn words(random: &mut Pcg64, count: u64) -> Vec<u16> {
    (0..count).map(|_| word(random)).collect()
}

fn first_stage(criterion: &mut Criterion) {
    let mut random = epoch_generator(&[3; 32], 0);
    let documents: Vec<Vec<u16>> = (0..DOCUMENTS)
        .map(|_| {
            let length = 40 + bounded(&mut random, 40);
            words(&mut random, length)
        })
        .collect();
    let queries: Vec<Vec<u16>> = (0..QUERIES).map(|_| words(&mut random, 4)).collect();
    let Ok(index) = Index::new(&documents, PARAMETERS) else { std::process::abort() };
    let mut group = criterion.benchmark_group("bm25");
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(DOCUMENTS as u64));
    group.bench_function(format!("index/{DOCUMENTS}"), |bencher| {
        bencher.iter(|| Index::new(&documents, PARAMETERS));
    });
    group.throughput(Throughput::Elements(QUERIES as u64));
    group.bench_function(format!("top-20/{QUERIES}"), |bencher| {
        bencher.iter(|| -> f64 {
            let best =
                |query: &Vec<u16>| index.search(query, 20).first().map_or(0.0, |hit| hit.score);
            queries.iter().map(best).sum()
        });
    });
    group.finish();
}

criterion_group!(benches, first_stage);
criterion_main!(benches);
