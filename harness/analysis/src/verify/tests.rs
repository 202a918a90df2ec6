use super::*;
use crate::evidence::{SecretKey, Signature};
use ledger::record::writer::SIGNATURES;

#[path = "../../examples/sample/run.rs"]
pub(crate) mod sample;

const SHAPE: sample::Shape = sample::Shape { examples: 50, epochs: 2, batch: 16, seed: 0 };

/// A store with `runs` runs of different seeds, and their ids in the order of the index.
fn store(runs: u64) -> (tempfile::TempDir, Store, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    let cells = (0..runs)
        .map(|seed| sample::write(&store, sample::Shape { seed, ..SHAPE }).unwrap())
        .collect();
    (folder, store, cells)
}

fn failed(verifier: &Verifier<'_>, cell: &str) -> Vec<String> {
    let failed = verifier.verify(cell).into_iter().filter(|check| !check.passed);
    failed.map(|check| format!("{}: {}", check.name, check.detail)).collect()
}

#[test]
fn an_honest_run_passes_every_check() {
    let (_folder, store, cells) = store(1);
    let checks = Verifier::new(&store).verify(&cells[0]);
    let failed: Vec<_> = checks.iter().filter(|check| !check.passed).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(checks.len(), 12, "{checks:?}");
}

#[test]
fn promises_without_a_run_are_listed_and_repeated_ones_counted() {
    let (_folder, store, cells) = store(3);
    let whole = Verifier::new(&store).index().unwrap();
    assert_eq!((whole.promises, whole.repeated, whole.abandoned.len()), (3, 0, 0));
    std::fs::remove_dir_all(store.folder(&cells[1])).unwrap();
    // The same cell again: its first line is a repetition, not another order.
    sample::write(&store, SHAPE).unwrap();
    let summary = Verifier::new(&store).index().unwrap();
    assert_eq!((summary.promises, summary.repeated), (4, 1));
    let abandoned: Vec<_> =
        summary.abandoned.iter().map(|line| (line.sequence, &line.cell)).collect();
    assert_eq!(abandoned, [(1, &cells[1])]);
    assert_ne!(summary.head, whole.head);
}

#[test]
fn a_published_head_shows_a_cut_index_and_a_later_promise() {
    let (_folder, store, cells) = store(3);
    let path = store.root().join("commitments.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let head = Verifier::new(&store).index().unwrap().head;
    let second =
        ledger::commitment::CommitmentIndex::read_and_verify(&path).unwrap().lines[1].digest;
    let knowing = |head| Verifier::knowing(&store, Known { head: Some(head), ..Known::default() });
    assert_eq!(failed(&knowing(head), &cells[2]), [] as [String; 0]);
    assert_eq!(failed(&knowing(second), &cells[1]), [] as [String; 0]);
    assert_eq!(
        failed(&knowing(second), &cells[2]),
        ["published head: promised at line 2, after the published head (line 1)"]
    );
    let empty = ledger::commitment::CommitmentIndex::origin();
    assert!(
        failed(&knowing(empty), &cells[0])[0]
            .contains("after the published head (the empty index)")
    );
    let cut: String = text.lines().take(2).map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, cut).unwrap();
    assert!(failed(&knowing(head), &cells[0])[0].contains("lines were cut off or written anew"));
    // Without the published head the shorter index stands.
    assert_eq!(failed(&Verifier::new(&store), &cells[0]), [] as [String; 0]);
}

#[test]
fn a_published_commitment_is_wanted_of_every_run() {
    let (_folder, store, cells) = store(2);
    let promised = store.record(&cells[0]).unwrap().order.unwrap().commitment;
    let known = Known { promised: Some(vec![promised]), ..Known::default() };
    let verifier = Verifier::knowing(&store, known);
    assert_eq!(failed(&verifier, &cells[0]), [] as [String; 0]);
    let told = failed(&verifier, &cells[1]);
    assert!(told[0].contains("is none of the 1 published ones"), "{told:?}");
}

#[test]
fn signatures_of_the_manifest_lie_beside_it_and_are_checked() {
    let (_folder, store, cells) = store(2);
    let key = SecretKey::from_seed(&[5; 32]);
    let digest = store.manifest(&cells[0]).unwrap().1;
    let sign = |cell: &str, name: &str, digest| {
        let folder = store.folder(cell).join(SIGNATURES);
        std::fs::create_dir_all(&folder).unwrap();
        let signature = Signature::make(&key, crate::evidence::Kind::Run, digest);
        std::fs::write(folder.join(name), serde_json::to_vec(&signature).unwrap()).unwrap();
    };
    sign(&cells[0], "a.json", digest);
    let wanting =
        || Verifier::knowing(&store, Known { keys: vec![key.public()], ..Known::default() });
    let checks = wanting().verify(&cells[0]);
    assert!(checks.iter().all(|check| check.passed), "{checks:?}");
    let name = format!("signature by key {}", key.public().id().short(16));
    assert!(checks.iter().any(|check| check.name == name), "{checks:?}");
    // Not signed, signed for another run, and a file that is no signature.
    assert!(failed(&wanting(), &cells[1])[0].ends_with("it did not sign this run"));
    sign(&cells[1], "a.json", digest);
    let told = failed(&wanting(), &cells[1]);
    assert!(told[0].starts_with("signature signatures/a.json: it signs"), "{told:?}");
    std::fs::write(store.folder(&cells[0]).join(SIGNATURES).join("b.json"), "{}").unwrap();
    let told = failed(&Verifier::new(&store), &cells[0]);
    assert!(told[0].starts_with("signature signatures/b.json: not a signature"), "{told:?}");
}

#[test]
fn a_promise_made_after_the_training_is_told_by_the_runs_before_it() {
    let (_folder, store, cells) = store(2);
    // The first run, promised anew after the second had begun long after the first one's end.
    let change = |cell: &str, change: &dyn Fn(&mut RunRecord)| {
        let mut record = store.record(cell).unwrap();
        change(&mut record);
        let path = store.folder(cell).join("record.json");
        std::fs::write(path, serde_json::to_vec(&record).unwrap()).unwrap();
    };
    change(&cells[1], &|record| record.environment.started_unix += 3600);
    let entry = ledger::commitment::CommitmentIndex::read_and_verify(
        &store.root().join("commitments.jsonl"),
    )
    .unwrap()
    .lines[0]
        .entry
        .clone();
    let line = store.commit(entry).unwrap();
    change(&cells[0], &|record| {
        let place =
            ledger::record::format::IndexPlace { sequence: line.sequence, digest: line.digest };
        record.order.as_mut().unwrap().index = Some(place);
    });
    let told = failed(&Verifier::new(&store), &cells[0]);
    assert!(
        told.iter().any(|line| line.starts_with("commitment before training: ")
            && line.contains("the promise came after the training")),
        "{told:?}"
    );
}

#[test]
fn events_that_do_not_fit_the_record_are_named_by_line() {
    let (_folder, store, cells) = store(1);
    let path = store.folder(&cells[0]).join("events.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let record = store.record(&cells[0]).unwrap();
    let commitment = record.order.unwrap().commitment.to_string();
    let other = "ab".repeat(32);
    let cases = [
        (vec![lines[1], lines[0], lines[2]], "events.jsonl:1: the run does not begin"),
        (vec![lines[0], lines[0], lines[1], lines[2]], "events.jsonl:2: a second commitment"),
        (vec![lines[0], lines[1]], "events.jsonl was cut"),
        (vec![], "events.jsonl:1: the run does not begin"),
    ];
    for (lines, expected) in cases {
        std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>())
            .unwrap();
        let told = failed(&Verifier::new(&store), &cells[0]).join("\n");
        assert!(told.contains(expected), "{told}");
    }
    let changes = [
        (commitment.as_str(), other.as_str(), "events.jsonl:1: committed to"),
        ("\"step\":8", "\"step\":7", "events.jsonl:2: chain"),
        ("censored", "reached", "another status"),
    ];
    for (from, to, expected) in changes {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        std::fs::write(&path, changed).unwrap();
        let told = failed(&Verifier::new(&store), &cells[0]).join("\n");
        assert!(told.contains(expected), "{told}");
    }
}
