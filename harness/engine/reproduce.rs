//! `palimpsest reproduce`

use analysis::imported::refusal;
use anyhow::Context as _;
use inspect::replay::Replay;
use ledger::digest::Digest;
use ledger::plain;
use ledger::record::format::{MESSAGES, MESSAGES_SHA256};
use ledger::record::stages::{self, STAGES, StageEntry};
use ledger::record::{RunRecord, Status, Store};
use palimpsest::cli::compare::machines;
use palimpsest::cli::reproduce::Args;
use palimpsest::exit::Exit;
use palimpsest::library::cell_code;
use palimpsest::voice::{note, print_json, print_text};
use serde_json::json;

use crate::runner::{NamedSeed, Session};

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.places.store();
    let record = store.record(&store.find(&args.run)?)?;
    let what = "what trained it is not here, so that it cannot be repeated";
    if let Some(refusal) = refusal(&record, what) {
        anyhow::bail!(refusal);
    }
    if args.messages {
        return follow(&store, &record, args);
    }
    let again = repeat(&record, args)?;
    let machines = machines(&record.environment, &again.environment);
    let rows = compare(&record, &again);
    for what in &machines {
        note(&format!("note: the run was recorded with another {what}"));
    }
    let passed = rows.iter().all(|(_, before, after)| before == after);
    print_rows(&rows, args.json)?;
    if !args.json {
        if !passed && !machines.is_empty() {
            print_text(
                "the last bits of sums differ between processors, instruction sets and numbers of threads; orders do not\n",
            )?;
        }
        let code = cell_code(&record.method, &record.workload);
        if !passed && record.environment.code_digest != code {
            print_text(
                "the code has changed since: check out the record's commit to compare like with like\n",
            )?;
        }
    }
    Ok(if passed { Exit::Fine } else { Exit::CheckFailed })
}

fn print_rows(rows: &[(String, String, String)], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, before, after)| json!({ "what": name, "recorded": before, "again": after, "same": before == after }))
            .collect();
        print_json(&rows)?;
        return Ok(());
    }
    for (name, before, after) in rows {
        let text = if before == after {
            format!("same      {name}  {before}\n")
        } else {
            format!("DIFFERENT {name}  recorded {before}, now {after}\n")
        };
        print_text(&text)?;
    }
    Ok(())
}

/// Goes from the initial weights of a recorded run by what its workers said, and looks at no loss.
fn follow(store: &Store, record: &RunRecord, args: &Args) -> anyhow::Result<Exit> {
    let recorded = record.parameters_sha256.context("the run failed and has no weights")?;
    let path = store.folder(&record.cell).join(MESSAGES);
    let said = plain::read(&path).with_context(|| {
        format!(
            "run {} left no {MESSAGES}: its steps are not made of messages; leave out --messages",
            record.cell
        )
    })?;
    let seed = NamedSeed::recorded(record)?;
    let device = &record.environment.device;
    let mut session = Session::again(record, store.clone(), args.places.sources(), device)?;
    let cell = session.plan.cells[0];
    let (found, bytes) = (Digest::of(&said), said.len());
    let again = session.with_setup(cell, &seed, |_, setup| {
        let mut replay = Replay::new(setup)?.following(said, record.steps)?;
        replay.train(0..record.steps, None)?;
        Ok(replay.digest()?)
    })?;
    let text = |value: Option<&serde_json::Value>| {
        value.map_or_else(
            || "none".to_owned(),
            |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        )
    };
    let rows = [
        ("message bytes", text(record.facts.get("message_bytes")), bytes.to_string()),
        ("messages", text(record.facts.get(MESSAGES_SHA256)), found.to_string()),
        ("parameters", recorded.to_string(), again.to_string()),
    ];
    let rows = rows.map(|(name, before, after)| (name.to_owned(), before, after));
    print_rows(&rows, args.json)?;
    let passed = rows.iter().all(|(_, before, after)| before == after);
    Ok(if passed { Exit::Fine } else { Exit::CheckFailed })
}

/// Runs the record's cell again in a store of its own.
fn repeat(record: &RunRecord, args: &Args) -> anyhow::Result<RunRecord> {
    let seed = NamedSeed::recorded(record)?;
    // Not below the run's store: reading must not need the right to write.
    let folder = tempfile::tempdir()
        .context("the repetition has no temporary folder; TMPDIR names another")?;
    let store = Store::at(folder.path());
    store.prepare()?;
    let device = &record.environment.device;
    let mut session = Session::again(record, store.clone(), args.places.sources(), device)?;
    session.parents_in = args.places.store();
    let cell = session.plan.cells[0];
    let report = session.run_cell(cell, &seed)?;
    let again = store.record(&report.cell)?;
    match &again.error {
        // Nothing was left that could be compared.
        Some(error) if again.status == Status::Failed => {
            anyhow::bail!("the repetition failed: {error}")
        }
        _ => Ok(again),
    }
}

/// What the stages of a run left, where there are any: those made before it too.
fn left_by_stages(before: &RunRecord, after: &RunRecord) -> Vec<(String, String, String)> {
    let list = |record: &RunRecord| -> Vec<StageEntry> {
        record.facts.get(STAGES).and_then(|fact| stages::read(fact).ok()).unwrap_or_default()
    };
    let (before, after) = (list(before), list(after));
    let each = before.iter().enumerate().map(|(place, stage)| {
        let digest = |stage: &StageEntry| stage.parameters_sha256.to_string();
        let again = after.get(place).filter(|again| again.name == stage.name);
        let again = again.map_or_else(|| "none".to_owned(), digest);
        (format!("stage {}", stage.name), digest(stage), again)
    });
    each.collect()
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
    rows.extend(left_by_stages(before, after));
    for (metric, value) in &before.last {
        let now = after.last.get(metric).map_or_else(|| "none".to_owned(), ToString::to_string);
        rows.push((metric.clone(), value.to_string(), now));
    }
    rows
}
