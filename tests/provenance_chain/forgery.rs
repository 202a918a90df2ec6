//! Attackers who may write everything in a store, and who know how every digest is made: what they
//! cannot keep together, and what only something published beforehand gives away.

use ledger::commitment::{CommitmentEntry, CommitmentIndex};
use ledger::order::uniform_order;
use ledger::record::format::Evaluation;
use ledger::record::identity::CellKey;
use ledger::record::{Event, RunRecord};
use ledger::seed::Seed;
use ledger::transcript::Transcript;
use ledger::transcript::replay::read_ids;

use super::*;

/// What fails for `cell`, with details.
fn told(bench: &Bench, arguments: &[&str]) -> String {
    let output = bench.run(&[&["verify"], arguments].concat()).ends(1);
    let lines = output.stdout.lines().filter(|line| line.contains("MISMATCH"));
    lines.map(|line| format!("{line}\n")).collect()
}

pub(super) fn sample_ids(folder: &Path) -> Vec<Digest> {
    let bytes = fs::read(folder.join("sample_ids.bin")).unwrap();
    bytes.chunks_exact(32).map(|id| Digest(id.try_into().unwrap())).collect()
}

/// Tells a run anew with these ids of all epochs: transcript, hashes, roots, chain, events, manifest.
pub(super) fn retell(folder: &Path, record: &mut RunRecord, ids: &[u32], samples: &[Digest]) {
    let order = record.order.as_mut().unwrap();
    let kept: Vec<u64> = order.chain.iter().map(|point| point.step).collect();
    let mut transcript = Transcript::start(order.commitment);
    let mut points = vec![transcript.chain()];
    let mut rest = ids;
    for epoch in &order.epochs {
        transcript.begin_epoch(epoch.block);
        for &(size, count) in &epoch.steps {
            for _ in 0..count {
                let Some((step, after)) = rest.split_at_checked(size as usize) else { continue };
                transcript.push_step(step).unwrap();
                points.push(transcript.chain());
                rest = after;
            }
        }
    }
    let finished = transcript.finish(samples).unwrap();
    let mut bytes = Vec::new();
    finished.write_to(&mut bytes).unwrap();
    fs::write(folder.join("order.bin"), bytes).unwrap();
    let mut chain: Vec<_> = kept
        .iter()
        .filter_map(|step| points.get(usize::try_from(*step).unwrap()))
        .copied()
        .collect();
    chain.push(finished.chain);
    chain.dedup();
    order.chain = chain;
    order.epochs = finished.epochs;
    record.steps = finished.chain.step;
    let events = fs::read_to_string(folder.join("events.jsonl")).unwrap();
    let mut told = String::new();
    for line in events.lines() {
        let mut event: Event = serde_json::from_str(line).unwrap();
        match &mut event {
            Event::Committed { commitment } => *commitment = order.commitment,
            Event::Evaluated(Evaluation { chain, .. }) => {
                let Some(point) = points.get(usize::try_from(chain.step).unwrap()) else {
                    continue;
                };
                *chain = *point;
            }
            Event::Ended { .. } => {}
        }
        told += &format!("{}\n", serde_json::to_string(&event).unwrap());
    }
    fs::write(folder.join("events.jsonl"), told).unwrap();
    fs::write(folder.join("record.json"), serde_json::to_vec(record).unwrap()).unwrap();
    rebuild_manifest(folder);
}

pub(super) fn ids(folder: &Path) -> Vec<u32> {
    read_ids(&fs::read(folder.join("order.bin")).unwrap()).unwrap()
}

#[test]
fn a_flipped_id_is_found_though_everything_after_it_was_computed_anew() {
    let (bench, cell) = bench();
    let folder = bench.path("runs").join(&cell);
    let mut record = bench.record("sgd", 0);
    let mut ids = ids(&folder);
    ids[17] ^= 1;
    retell(&folder, &mut record, &ids, &sample_ids(&folder));
    assert_eq!(failed(&bench, &cell), ["uniform order of the seed"]);
    assert!(told(&bench, &[&cell]).contains("epoch 0, position 17: consumed ids differ"));
}

#[test]
fn swapped_samples_are_found_down_to_the_promise() {
    let (bench, cell) = bench();
    let folder = bench.path("runs").join(&cell);
    let mut samples = sample_ids(&folder);
    samples.swap(3, 40);
    let bytes: Vec<u8> = samples.iter().flat_map(|id| id.0).collect();
    fs::write(folder.join("sample_ids.bin"), bytes).unwrap();
    rebuild_manifest(&folder);
    let clumsy = failed(&bench, &cell);
    assert_eq!(clumsy, ["dataset root", "transcript and chain"]);
    // With the root and all that follows from it: the cell and the line of the index were of another.
    let mut record = bench.record("sgd", 0);
    let root = ledger::merkle::root(&samples);
    record.data.as_mut().unwrap().train_root = root;
    let order = record.order.as_mut().unwrap();
    order.dataset_root = root;
    order.commitment = order.terms().commitment();
    let ids = ids(&folder);
    retell(&folder, &mut record, &ids, &samples);
    assert_eq!(failed(&bench, &cell), ["cell id", "commitment index"]);
}

#[test]
fn a_truncated_tail_is_found() {
    let (bench, cell) = bench();
    let folder = bench.path("runs").join(&cell);
    let whole = fs::read(folder.join("order.bin")).unwrap();
    for cut in [1, 4, 4 * 32] {
        fs::write(folder.join("order.bin"), &whole[..whole.len() - cut]).unwrap();
        rebuild_manifest(&folder);
        let names = failed(&bench, &cell);
        assert!(names.contains(&"transcript and chain".to_owned()), "{cut}: {names:?}");
    }
    // A tail cut off the events is found too.
    fs::write(folder.join("order.bin"), &whole).unwrap();
    let events = fs::read_to_string(folder.join("events.jsonl")).unwrap();
    let cut = events.trim_end().rfind('\n').unwrap() + 1;
    fs::write(folder.join("events.jsonl"), &events[..cut]).unwrap();
    rebuild_manifest(&folder);
    assert_eq!(failed(&bench, &cell), ["commitment before training"]);
    assert!(told(&bench, &[&cell]).contains("events.jsonl was cut"));
}

#[test]
fn events_in_another_order_are_found() {
    let (bench, cell) = bench();
    let folder = bench.path("runs").join(&cell);
    let events = fs::read_to_string(folder.join("events.jsonl")).unwrap();
    let mut lines: Vec<&str> = events.lines().collect();
    lines.swap(0, 1);
    fs::write(folder.join("events.jsonl"), lines.join("\n") + "\n").unwrap();
    rebuild_manifest(&folder);
    assert_eq!(failed(&bench, &cell), ["commitment before training"]);
    assert!(
        told(&bench, &[&cell])
            .contains("events.jsonl:1: the run does not begin with its commitment")
    );
}

/// Tells the run as if it had been made with another integer seed; returns its new cell id.
fn reseed(bench: &Bench, cell: &str, integer: u64, promise: bool) -> String {
    let store = bench.store();
    let mut record = store.record(cell).unwrap();
    let seed = Seed::from_integer(integer);
    record.seed = integer.to_string();
    let (workload, arm) = record.planned();
    let key = CellKey {
        workload: &workload,
        arm: &arm,
        parents: &record.parents(),
        seed: &record.seed,
        data: record.data.as_ref().unwrap().train_root.into(),
        code: &record.environment.code_digest,
    };
    record.cell = key.id().unwrap();
    let order = record.order.as_mut().unwrap();
    order.seed_hex = Digest(seed.bytes).to_string();
    order.nonce_hex = Digest(seed.nonce).to_string();
    order.seed_commit = seed.commit();
    let entry = CommitmentEntry::new(record.cell.clone(), order.terms());
    order.commitment = entry.commitment;
    if promise {
        let line = store.commit(entry).unwrap();
        order.index = Some(ledger::record::format::IndexPlace {
            sequence: line.sequence,
            digest: line.digest,
        });
    }
    let examples = u32::try_from(order.examples).unwrap();
    let effective = seed.effective(&order.dataset_root);
    let ids: Vec<u32> = (order.epochs.iter())
        .flat_map(|epoch| {
            let mut ids = uniform_order(&effective, epoch.epoch, examples);
            ids.truncate(usize::try_from(epoch.n).unwrap());
            ids
        })
        .collect();
    let to = store.folder(&record.cell);
    fs::rename(store.folder(cell), &to).unwrap();
    let manifest = fs::read_to_string(to.join("manifest.json")).unwrap();
    fs::write(to.join("manifest.json"), manifest.replace(cell, &record.cell)).unwrap();
    let samples = sample_ids(&to);
    retell(&to, &mut record, &ids, &samples);
    record.cell
}

#[test]
fn an_edited_seed_is_found_by_the_promise_though_the_whole_run_is_told_anew() {
    let (bench, cell) = bench();
    let forged = reseed(&bench, &cell, 77, false);
    assert_eq!(failed(&bench, &forged), ["commitment index"]);
}

#[test]
fn a_later_promise_is_given_away_by_a_published_head_and_by_published_commitments() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    let promised = bench.run(&["commit", "suite.yaml", "--device", "cpu", "--json"]).ends(0);
    bench.write("promised.json", &promised.stdout);
    bench.run_suite(TINY).ends(0);
    let cell = bench.record("sgd", 0).cell;
    let index = bench.run(&["verify", "--json"]).ends(0).json()["index"].clone();
    let head = index["head"].as_str().unwrap();
    bench.run(&["verify", "--head", head, "--promised", "promised.json"]).ends(0);

    let forged = reseed(&bench, &cell, 77, true);
    // The store alone is whole again, but a promise is left over.
    let verified = bench.run(&["verify"]).ends(0).stdout;
    assert!(verified.contains("multiply p-values by 2\n"), "{verified}");
    assert!(verified.contains(&format!("line 0  cell {cell}")), "{verified}");
    let by_head = told(&bench, &["--head", head]);
    assert!(by_head.contains("promised at line 4, after the published head (line 3)"), "{by_head}");
    let by_list = told(&bench, &["--promised", "promised.json"]);
    assert_eq!(by_list.lines().count(), 1, "{by_list}");
    assert!(
        by_list.starts_with(&forged) && by_list.contains("none of the 4 published"),
        "{by_list}"
    );
}

#[test]
fn an_index_written_anew_without_a_line_is_found_by_the_runs_and_by_its_head() {
    let (bench, _) = bench();
    let path = bench.path("runs/commitments.jsonl");
    let index = CommitmentIndex::read_and_verify(&path).unwrap();
    let head = index.head().to_string();
    bench.run(&["verify", "--head", &head]).ends(0);
    // The second and third lines change places, and every digest is taken anew.
    fs::remove_file(&path).unwrap();
    for line in [0, 2, 1, 3] {
        CommitmentIndex::append(&path, index.lines[line].entry.clone()).unwrap();
    }
    for record in bench.records() {
        let moved = record.order.unwrap().index.unwrap().sequence > 0;
        let expected: &[&str] = if moved { &["commitment index"] } else { &[] };
        assert_eq!(failed(&bench, &record.cell), expected);
    }
    let cut = told(&bench, &["--head", &head]);
    assert!(cut.contains("lines were cut off or written anew"), "{cut}");
}

#[test]
fn a_run_promised_after_its_training_is_given_away_by_the_runs_between() {
    let (bench, cell) = bench();
    let later = bench.record("adamw", 1).cell;
    forge(&bench.path("runs").join(later), |record| {
        let started = record["environment"]["started_unix"].as_u64().unwrap();
        record["environment"]["started_unix"] = json!(started + 86_400);
    });
    let forged = reseed(&bench, &cell, 77, true);
    assert_eq!(failed(&bench, &forged), ["commitment before training"]);
    assert!(told(&bench, &[&forged]).contains("the promise came after the training"));
}
