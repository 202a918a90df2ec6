//! Runs for tests: two arms with two seeds each, with digests, settings of every kind and one that diverged.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ledger::digest::Digest;
use ledger::record::format::{Evaluation, FileEntry, Manifest, RunRecord};
use serde_json::json;

use crate::{Batch, Run};

fn environment() -> serde_json::Value {
    json!({
            "palimpsest": "0.1.0", "code_digest": "c0de", "git_commit": "abc", "git_dirty": false,
            "git_diff_digest": null, "cargo_lock_digest": "10cc", "libtorch": "2.11.0", "device": "cpu",
            "cpu": "a processor", "cpus": 2, "gpu": null, "driver": null, "os": "Linux", "threads": 1,
            "load_at_start": 0.5, "cpu_share": 0.99, "started_unix": 1_764_496_800_u64,
            "argv": ["palimpsest", "run", "sample"], "peak_memory_bytes": null,
    })
}

fn record(cell: &str, method: &str, seed: u64, diverged: bool) -> RunRecord {
    let digest = Digest::of(cell.as_bytes());
    let clocks = json!({ "train": 1.5, "eval": 0.25, "io": 0.125, "total": 2.0 });
    let last = if diverged {
        json!({ "test/accuracy": 0.1 })
    } else {
        json!({ "validation/accuracy": 0.9375, "validation/nll": 0.1, "test/accuracy": 0.912_345_678_9 })
    };
    serde_json::from_value(json!({
        "version": 1, "cell": cell, "suite": "sample", "suite_digest": Digest::of(b"sample"),
        "workload": "digits-mlp", "workload_settings": { "width": 32 },
        "method": method,
        "settings": { "lr": 0.05, "schedule": "co\"sine\n", "nesterov": true, "betas": [0.9, 0.95], "seed": 7 },
        "seed": seed.to_string(), "status": if diverged { "diverged" } else { "reached" }, "error": null,
        "data": {
            "name": "digits", "origin": "official", "classes": 10,
            "train_root": digest, "validation_root": digest, "test_root": digest,
        },
        "goal": {
            "metric": "accuracy", "higher_is_better": true, "target": 0.9, "target_origin": "assumed",
            "budget_samples": 640, "evaluate_every_samples": 320,
        },
        "clocks": clocks, "time_to_target": if diverged { json!(null) } else {
            json!({ "isotonic": 1.1, "first": 1.5, "held3": null, "samples": 500.5, "steps": 15.0, "diverged_at": null })
        },
        "final": last, "at_target": {}, "steps": 20, "samples": 640, "parameter_count": 2_410,
        "parameters_sha256": digest, "streams": [], "order": null, "lineage": null, "facts": {}, "warnings": [],
        "environment": environment(),
    }))
    .unwrap()
}

fn evaluation(samples: u64, metrics: &[(&str, f64)], train_loss: Option<f64>) -> Evaluation {
    let share = samples as f64 / 640.0;
    serde_json::from_value(json!({
        "samples": samples, "steps": samples / 32,
        "clocks": { "train": 1.5 * share, "eval": 0.25, "io": 0.125, "total": 2.0 * share },
        "train_loss": train_loss,
        "metrics": metrics.iter().copied().collect::<BTreeMap<_, _>>(),
        "chain": { "step": samples / 32, "chain": Digest::of(b"chain") },
    }))
    .unwrap()
}

/// The runs.
pub(crate) fn batch() -> Batch {
    let runs = [("sgd", 0, false), ("sgd", 1, false), ("adamw", 0, false), ("adamw", 1, true)];
    let runs = runs.into_iter().enumerate().map(|(place, (method, seed, diverged))| {
        let cell = format!("{:016x}", 0xabc0 + place);
        let record = record(&cell, method, seed, diverged);
        let mut evaluations = vec![
            evaluation(0, &[("validation/accuracy", 0.1)], None),
            evaluation(320, &[("validation/accuracy", 0.75)], Some(0.6)),
        ];
        evaluations.push(if diverged {
            evaluation(640, &[("test/accuracy", 0.1)], None)
        } else {
            let last: Vec<_> = record.last.iter().map(|(name, value)| (&**name, *value)).collect();
            evaluation(640, &last, Some(0.3))
        });
        let files = ["record.json", "suite.yaml"].map(|path| FileEntry {
            path: path.to_owned(),
            size: 1,
            sha256: Digest::of(path.as_bytes()),
        });
        let manifest = Manifest { version: 1, cell: cell.clone(), files: files.to_vec() };
        Run {
            workload: "digits-mlp".to_owned(),
            arm: method.to_owned(),
            digest: Digest::of(cell.as_bytes()),
            evaluations,
            manifest,
            folder: PathBuf::new(),
            record,
        }
    });
    Batch {
        name: "sample".to_owned(),
        question: Some("Does it <work>?".to_owned()),
        suite_digest: Some(Digest::of(b"sample").to_string()),
        runs: runs.collect(),
    }
}

/// The runs as their folders are sorted: by arm, then by seed.
pub(crate) fn sorted(batch: &Batch) -> Vec<&Run> {
    let mut runs: Vec<&Run> = batch.runs.iter().collect();
    runs.sort_by_key(|run| (run.arm.clone(), run.record.seed.clone()));
    runs
}
