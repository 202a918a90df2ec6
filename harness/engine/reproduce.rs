//! `palimpsest reproduce`

use ledger::digest::{Digest, parse_hex32};
use ledger::plan::{Cell, Plan};
use ledger::record::{RunRecord, Store};
use ledger::seed::{Seed, parse_beacon};
use palimpsest::cli::Exit;
use palimpsest::cli::reproduce::Args;
use palimpsest::library::code_digest;
use palimpsest::voice::{print_json, print_text};
use serde_json::json;

use crate::runner::{NamedSeed, Session};

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.places.store();
    let record = store.record(&store.find(&args.run)?)?;
    let again = repeat(&record, args)?;
    let rows = compare(&record, &again);
    let passed = rows.iter().all(|(_, before, after)| before == after);
    if args.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, before, after)| json!({ "what": name, "recorded": before, "again": after, "same": before == after }))
            .collect();
        print_json(&rows)?;
    } else {
        for (name, before, after) in &rows {
            let text = if before == after {
                format!("same      {name}  {before}\n")
            } else {
                format!("DIFFERENT {name}  recorded {before}, now {after}\n")
            };
            print_text(&text)?;
        }
        let code = code_digest();
        if !passed && record.environment.code_digest != code {
            print_text(
                "the code has changed since: check out the record's commit to compare like with like\n",
            )?;
        }
    }
    Ok(if passed { Exit::Fine } else { Exit::CheckFailed })
}

/// Runs the record's cell again in a store of its own.
fn repeat(record: &RunRecord, args: &Args) -> anyhow::Result<RunRecord> {
    let order = record
        .order
        .as_ref()
        .ok_or_else(|| anyhow::anyhow!("{} failed before it had an order", record.cell))?;
    let beacon =
        order.beacon.as_deref().map(parse_beacon).transpose().map_err(anyhow::Error::msg)?;
    let seed = Seed {
        bytes: parse_hex32(&order.seed_hex)?,
        nonce: parse_hex32(&order.nonce_hex)?,
        randomness: order.randomness,
        beacon,
    };
    let (workload, arm) = record.planned();
    let plan = Plan {
        suite: record.suite.clone(),
        question: String::new(),
        suite_digest: record.suite_digest,
        suite_text: String::new(),
        baseline: None,
        workloads: vec![workload],
        arms: vec![arm],
        seeds: vec![0],
        cells: vec![Cell { workload: 0, arm: 0, seed: 0 }],
        claims: Vec::new(),
        provenance: Vec::new(),
        keep_models: false,
    };
    let folder = args.places.store.join(".tmp").join(format!("reproduce-{}", std::process::id()));
    let store = Store::at(&folder);
    let outcome = (|| {
        store.prepare()?;
        let device = &record.environment.device;
        let mut session = Session::new(plan, store.clone(), args.places.sources(), device, true)?;
        session.parents_in = args.places.store();
        let cell = session.plan.cells[0];
        let report = session.run_cell(cell, &NamedSeed { name: record.seed.clone(), seed })?;
        Ok(store.record(&report.cell)?)
    })();
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

/// What must come out the same, as text: name, recorded, now.
fn compare(before: &RunRecord, after: &RunRecord) -> Vec<(String, String, String)> {
    let digest = |digest: Option<Digest>| {
        digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
    };
    let orders = |record: &RunRecord| {
        let epochs = record.order.iter().flat_map(|order| &order.epochs);
        epochs.map(|epoch| epoch.order_hash.short(16)).collect::<Vec<_>>().join(" ")
    };
    let chain = |record: &RunRecord| {
        digest(record.order.as_ref().and_then(|order| order.chain.last()).map(|point| point.chain))
    };
    let mut rows = vec![
        ("orders".to_owned(), orders(before), orders(after)),
        ("step chain".to_owned(), chain(before), chain(after)),
        (
            "parameters".to_owned(),
            digest(before.parameters_sha256),
            digest(after.parameters_sha256),
        ),
    ];
    for (metric, value) in &before.last {
        let now = after.last.get(metric).map_or_else(|| "none".to_owned(), ToString::to_string);
        rows.push((metric.clone(), value.to_string(), now));
    }
    rows
}
