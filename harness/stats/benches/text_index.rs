//! The index of a partition test: 10^7 symbols indexed, and 128,000 symbols of text looked up.
//! Bounds: 10^7 symbols in under 10 s, and less than 12 bytes a symbol at any time.
//!
//! The memory is measured once by an allocator that counts, and printed before the timings.
//! `cargo bench -p stats --bench text_index`

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use ledger::order::{bounded, epoch_generator};
use stats::provenance::index::Index;
use stats::provenance::partition::{LONGEST, Overlap, RARE};

/// Symbols of a document.
const DOCUMENT: usize = 512;
const TEXT: usize = 128_000;

/// Counts the bytes that are allocated, and the most there were.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe by its interface; this one only counts")]
// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Symbols with the long tail of a vocabulary, in which each repeats a stretch of the past now and
/// then, as text does.
fn corpus(symbols: usize, vocabulary: u64) -> Vec<u32> {
    let mut rng = epoch_generator(&[7; 32], 0);
    let mut text: Vec<u32> = Vec::with_capacity(symbols);
    while text.len() < symbols {
        if !text.is_empty() && bounded(&mut rng, 16) == 0 {
            let from = bounded(&mut rng, text.len() as u64) as usize;
            let length = (bounded(&mut rng, 32) as usize).min(symbols - text.len());
            for at in from..from + length {
                text.push(text[at]);
            }
        } else {
            let width = bounded(&mut rng, vocabulary) + 1;
            text.push(bounded(&mut rng, width) as u32);
        }
    }
    text
}

fn lengths(symbols: usize) -> Vec<u32> {
    let mut lengths = vec![DOCUMENT as u32; symbols / DOCUMENT];
    lengths.extend((!symbols.is_multiple_of(DOCUMENT)).then_some((symbols % DOCUMENT) as u32));
    lengths
}

/// Builds an index and prints the bytes a symbol, those of the symbols as given included.
#[expect(clippy::print_stderr, reason = "a bench has nobody else to print for it")]
fn weighed(name: &str, symbols: usize, vocabulary: u64) -> Index {
    let (text, lengths) = (corpus(symbols, vocabulary), lengths(symbols));
    let before = NOW.load(Ordering::Relaxed) - 4 * symbols;
    PEAK.store(0, Ordering::Relaxed);
    let Ok(index) = Index::new(text, &lengths) else { std::process::abort() };
    let share = |bytes: usize| (bytes - before) as f64 / symbols as f64;
    let (peak, kept) = (share(PEAK.load(Ordering::Relaxed)), share(NOW.load(Ordering::Relaxed)));
    eprintln!("{name}/{symbols}: {peak:.2} bytes a symbol at most, {kept:.2} kept");
    index
}

fn indices(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("text-index");
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(3));
    // The vocabularies of a character model, of GPT-2 and of a multilingual model.
    for (name, vocabulary) in [("characters", 65), ("gpt2", 50_257), ("multilingual", 256_000)] {
        for symbols in [1_000_000, 10_000_000] {
            let index = weighed(name, symbols, vocabulary);
            let text = corpus(symbols + TEXT, vocabulary).split_off(symbols);
            group.throughput(Throughput::Elements(TEXT as u64));
            group.bench_function(format!("overlap/{name}/{symbols}"), |bencher| {
                bencher.iter(|| Overlap::of(&index, [&text[..]], LONGEST, RARE));
            });
            drop(index);
            let (text, lengths) = (corpus(symbols, vocabulary), lengths(symbols));
            group.throughput(Throughput::Elements(symbols as u64));
            group.bench_function(format!("build/{name}/{symbols}"), |bencher| {
                bencher.iter_batched(
                    || text.clone(),
                    |text| Index::new(black_box(text), &lengths),
                    criterion::BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, indices);
criterion_main!(benches);
