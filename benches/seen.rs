//! Cost of a step whose network is seen through a parametrisation, beside the same step of the same
//! method in its dense mode.
//!
//! Both take turns in blocks, each a short run from the start, timed by the train clock; who goes first
//! alternates. Printed are medians, and the median and quartiles of the ratio of neighbouring blocks.
//! Bounds: `n-m` at most 1.25 of dense, `sltrain` at most 1.3 of dense on the small GPT, `low-precision` in
//! bf16 or int8 at most 1.6 of single precision on `blobs-cnn`.
//!
//! `cargo bench --bench seen`; with `-- METHOD`, of one method alone.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark reports on stdout")]
#![expect(dead_code, reason = "shares its tasks and loop with the bench of a step")]

mod harness;
mod task;

use harness::Harness;
use lab::seat::TaskInfo;
use lab::side_info::SideInfo;
use ledger::settings::Values;
use serde_json::{Value, json};
use task::{BLOBS_CNN, BLOBS_MLP, DIGITS_MLP, GPT_S, GPT_XS, Task};

fn main() {
    lab::device::prepare_process(1);
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let wanted = |method: &str| asked.is_empty() || asked.iter().any(|word| word == method);
    if wanted("low-precision") {
        low_precision();
    }
    if wanted("sltrain") {
        sltrain();
    }
    if wanted("n-m") {
        n_m();
    }
}

fn low_precision() {
    for format in ["bf16", "int8", "fp8-e4m3", "mxfp4", "bfp8"] {
        let with = json!({"weights": format, "activations": format, "gradients": format});
        compare(BLOBS_CNN, "low-precision", [with, json!({})], 128, 20, 40);
    }
    let stored = json!({"stored": "fixed", "word_bits": 8, "fraction_bits": 7});
    compare(BLOBS_CNN, "low-precision", [stored, json!({})], 128, 20, 40);
}

fn sltrain() {
    for (task, batch, steps, pairs) in
        [(GPT_XS, 64, 8, 20), (GPT_S, 32, 4, 20), (BLOBS_MLP, 128, 24, 20)]
    {
        for mode in ["sltrain", "low-rank"] {
            let modes = [json!({"mode": mode}), json!({"mode": "full-rank"})];
            compare(task, "sltrain", modes, batch, steps, pairs);
        }
    }
}

fn n_m() {
    for (task, batch, steps, pairs) in [(DIGITS_MLP, 32, 100, 40), (BLOBS_MLP, 128, 24, 30)] {
        for (mode, n, m) in
            [("mdgf-exp", 2, 4), ("sr-ste", 1, 8), ("mdgf-exp", 1, 32), ("sdgf-stepwise", 1, 32)]
        {
            let with = json!({"mode": mode, "n": n, "m": m, "layers": "but-last"});
            compare(task, "n-m", [with, json!({"mode": "dense"})], batch, steps, pairs);
        }
    }
    let geometric = json!({"mode": "sdgf-geometric", "n": 1, "m": 32, "layers": "but-last"});
    compare(BLOBS_MLP, "n-m", [geometric, json!({"mode": "dense"})], 128, 24, 30);
}

/// Train clock, in seconds, of `steps` steps from the start.
fn block(task: Task, method: &str, with: &Value, batch: u32, steps: u64) -> f64 {
    let mut with: Values = serde_json::from_value(with.clone()).unwrap();
    with.insert("batch_size".to_owned(), batch.into());
    let method = methods::find(method).unwrap().method;
    let (streams, network) = (Task::streams(), (task.network)(&Task::streams()));
    let info = TaskInfo {
        method: "the method",
        workload: task.name,
        network: &network,
        examples: task.examples,
        side: &SideInfo { loss: Some(task.loss), ..SideInfo::default() },
        teacher: None,
        budget_samples: u64::from(batch) * steps,
        streams: &streams,
    };
    let recipe = (method.build)(&(method.resolve)(&with).unwrap(), &info).unwrap();
    Harness::of(task, network, recipe).seconds(steps)
}

/// Times `pairs` pairs of blocks of the first settings and the second.
fn compare(
    task: Task,
    method: &str,
    [with, dense]: [Value; 2],
    batch: u32,
    steps: u64,
    pairs: usize,
) {
    let time = |with: &Value| 1e3 * block(task, method, with, batch, steps) / steps as f64;
    let (mut ours, mut plain, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..=pairs {
        let (own, peer) = if pair % 2 == 0 {
            let own = time(&with);
            (own, time(&dense))
        } else {
            let peer = time(&dense);
            (time(&with), peer)
        };
        // The first pair warms up.
        if pair > 0 {
            ours.push(own);
            plain.push(peer);
            ratios.push(own / peer);
        }
    }
    let [own, peer, ratio] = [ours, plain, ratios].map(quartiles);
    println!(
        "{} batch {batch}, {method} {with}: {:.4} ms, dense {:.4} ms a step; ratio {:.3}, quartiles {:.3} to {:.3}, {pairs} pairs of {steps} steps",
        task.name, own[1], peer[1], ratio[1], ratio[0], ratio[2]
    );
}

/// Lower quartile, median, upper quartile.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}
