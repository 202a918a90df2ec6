//! Pages and bitmaps of invented analyses. Bounds: a page of 1,000 cells with its figures in 3 s on one core, and below
//! 5 MB; a curve of 100,000 points no slower than one of a thousand.
//!
//! `cargo bench -p reports --bench pages`; reading the records, which comes before, is in
//! `palimpsest report` alone.

use std::hint::black_box;
use std::time::Duration;

use analysis::summary::Analysis;
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use reports::{Format, render};

#[path = "../examples/sample/analysis.rs"]
#[expect(dead_code, reason = "three of the invented analyses are enough here")]
mod sample;

fn pages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("report");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(5));
    let folder = tempfile::tempdir().expect("a folder for what is drawn");
    let mut draw = |name: &str, analysis: &Analysis, formats: &[Format]| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                black_box(render(black_box(analysis), formats, folder.path()).expect("it is drawn"))
            });
        });
    };
    draw("html/1000-cells", &sample::thousand(), &[Format::Html]);
    draw("html/60-cells", &sample::full(), &[Format::Html]);
    draw("png/60-cells", &sample::full(), &[Format::Png]);
    let hostile = sample::hostile();
    let (_, many) =
        hostile.iter().find(|(name, _)| *name == "many-points").expect("it is invented");
    draw("html/100000-points", many, &[Format::Html]);
    group.finish();
}

criterion_group!(benches, pages);
criterion_main!(benches);
