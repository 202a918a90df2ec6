//! The readers of plain files: 10^7 values of `.npy` and 10^6 rows of CSV.
//! `cargo bench -p data --bench columns`; needs 100 MB in the temporary folder.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use data::columns::{ColumnSource, numbers, write_npy};

const VALUES: usize = 10_000_000;
const ROWS: usize = 1_000_000;

/// Numbers with as many digits as losses have.
fn loss(row: usize) -> f64 {
    (row.wrapping_mul(2_654_435_761) % 4_294_967_291) as f64 / 1e9
}

fn readers(criterion: &mut Criterion) {
    let Ok(folder) = tempfile::tempdir() else { std::process::abort() };
    let source = |name: &str, column: Option<&str>| ColumnSource {
        path: folder.path().join(name),
        column: column.map(str::to_owned),
    };
    let (npy, csv) = (source("a.npy", None), source("a.csv", Some("loss")));
    let values: Vec<f64> = (0..VALUES).map(loss).collect();
    let mut text = String::from("id,loss\n");
    let lines = (0..ROWS).try_for_each(|row| writeln!(text, "{row},{}", loss(row)));
    let written = File::create(&npy.path).and_then(|mut file| write_npy(&mut file, &values));
    let saved = File::create(&csv.path).and_then(|mut file| file.write_all(text.as_bytes()));
    if lines.is_err() || written.is_err() || saved.is_err() {
        std::process::abort();
    }
    let mut group = criterion.benchmark_group("columns");
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(3));
    for (name, source, rows) in [("npy-f8", &npy, VALUES), ("csv", &csv, ROWS)] {
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(format!("{name}/{rows}"), |bencher| {
            bencher.iter(|| numbers(source));
        });
    }
    group.finish();
}

criterion_group!(benches, readers);
criterion_main!(benches);
