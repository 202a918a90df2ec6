//! Stores of many runs: what a command reads grows with their number, and no faster.

#![expect(clippy::print_stderr, reason = "the table of docs/stores.md is printed")]

use std::time::Duration;

use ledger::record::Store;
use serde_json::{Value, json};
use training::clock::{Monotonic, Time as _};

use crate::support::{Bench, output};

#[path = "../../harness/analysis/examples/sample/run.rs"]
#[expect(dead_code, reason = "benches and other tests make runs of one arm")]
mod sample;

/// Two arms, as `report` and `compare` pair them.
const ARMS: [&str; 2] = ["plain", "decayed"];

/// Adds runs to the store of a bench until it has `runs`, and a suite run of all of them.
fn grow(bench: &Bench, cells: &mut Vec<Value>, runs: usize) {
    let store: Store = bench.store();
    for number in cells.len()..runs {
        let (seed, arm) = (number / 2, number % 2);
        let shape = sample::Shape { examples: 64, epochs: 1, batch: 16, seed: seed as u64 };
        let settings = settings(arm);
        let cell = sample::write_arm(
            &store,
            shape,
            None,
            settings.as_object().unwrap().clone().into_iter().collect(),
        );
        let cell = cell.unwrap();
        cells.push(json!({ "workload": 0, "arm": arm, "seed": seed.to_string(), "cell": cell }));
    }
    let arms: Vec<Value> = (0..2)
        .map(|arm| json!({ "label": ARMS[arm], "method": "sgd", "settings": settings(arm) }))
        .collect();
    let suite = json!({
        "version": 2, "suite": "sample", "source": "sample.yaml", "question": "How many?",
        "suite_digest": "0".repeat(64), "baseline": ARMS[0],
        "workloads": [{
            "label": "sample", "title": "a sample", "metrics": [], "metric": "loss",
            "higher_is_better": false, "target": 0.1, "target_origin": "assumed",
            "budget_samples": 64, "train_examples": 64,
        }],
        "arms": arms, "claims": [], "provenance": [], "estimates": [], "estimated": [],
        "cells": cells, "argv": ["palimpsest", "run", "sample.yaml"],
        "made": { "id": "20261201T000000-00000000", "started_unix": 1, "ended_unix": 2, "options": [] },
    });
    bench.write("runs/suites/sample/20261201T000000-00000000.json", &suite.to_string());
}

fn settings(arm: usize) -> Value {
    json!({ "weight_decay": 0.1 * arm as f64 })
}

/// What a command cost.
struct Cost {
    wall: Duration,
    processor: f64,
    /// Bytes, of files in memory, too.
    read: u64,
}

/// Runs the program with `arguments`, which ends well.
fn cost(bench: &Bench, arguments: &[&str]) -> Cost {
    // The kernel adds what a child has read to what its shell has.
    let script = "\"$@\" > /dev/null && times && cat /proc/$$/io";
    let program = ["-c", script, "bash", env!("CARGO_BIN_EXE_palimpsest")];
    let time = Monotonic::start();
    let said = output(bench.prepared("bash", &[&program[..], arguments].concat())).ends(0).stdout;
    let wall = time.now();
    let seconds = |text: &str| {
        let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap();
        60.0 * minutes.parse::<f64>().unwrap() + seconds.parse::<f64>().unwrap()
    };
    let processor = said.lines().nth(1).unwrap().split_whitespace().map(seconds).sum();
    let read = said.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    Cost { wall, processor, read: read.parse().unwrap() }
}

const COMMANDS: [&[&str]; 5] = [
    &["list", "suite-runs"],
    &["list", "runs"],
    &["report", "sample", "--format", "json"],
    &["report", "sample"],
    &["verify"],
];

#[test]
fn what_a_store_costs_grows_with_its_runs_and_no_faster() {
    let (bench, mut cells) = (Bench::new(), Vec::new());
    let mut read = |runs: usize| {
        grow(&bench, &mut cells, runs);
        COMMANDS.map(|command| cost(&bench, command).read as f64)
    };
    let (few, twice, four) = (read(40), read(80), read(160));
    for (command, ((few, twice), four)) in COMMANDS.iter().zip(few.into_iter().zip(twice).zip(four))
    {
        let (first, second) = (twice - few, four - twice);
        assert!(first > 0.0, "{command:?} reads nothing of 40 runs more");
        // Twice as many more runs are twice as much; were every run read for each, it would be four times.
        assert!(
            second < 2.5 * first,
            "{command:?} read {first} bytes of 40 runs more, {second} of 80 more"
        );
    }
}

/// `cargo test --release … -- --ignored stores_of_many_runs`.
#[test]
#[ignore = "minutes; prints the table of docs/stores.md"]
fn stores_of_many_runs() {
    let (bench, mut cells) = (Bench::new(), Vec::new());
    let most: usize = std::env::var("PALIMPSEST_RUNS").map_or(10_000, |runs| runs.parse().unwrap());
    let mut runs = 1_000;
    while runs <= most {
        let time = Monotonic::start();
        grow(&bench, &mut cells, runs);
        let made = time.now().as_secs_f64();
        eprintln!("{runs} runs, the last {:.1} s to make", made);
        for command in COMMANDS {
            let Cost { wall, processor, read } = cost(&bench, command);
            let (wall, read) = (wall.as_secs_f64(), read as f64 / 1e6);
            eprintln!(
                "  {:<36} wall {wall:.2} s, processor {processor:.2} s, read {read:.1} MB",
                command.join(" ")
            );
        }
        runs *= 10;
    }
}
