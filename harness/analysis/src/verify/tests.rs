use super::*;
use crate::evidence::{SecretKey, Signature};
use ledger::layout::Layout;
use ledger::order::Unit;
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
    let failed = verifier.verify(cell).checks.into_iter().filter(|check| !check.passed);
    failed.map(|check| format!("{}: {}", check.name, check.detail)).collect()
}

#[test]
fn an_honest_run_passes_every_check() {
    let (_folder, store, cells) = store(1);
    let Verified { checks, unchecked } = Verifier::new(&store).verify(&cells[0]);
    let failed: Vec<_> = checks.iter().filter(|check| !check.passed).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(checks.len(), 14, "{checks:?}");
    assert_eq!(unchecked.len(), 1, "{unchecked:?}");
    assert!(unchecked[0].starts_with("weights: the run kept none"), "{unchecked:?}");
}

#[test]
fn a_record_that_lies_about_its_size_costs_no_more_than_its_files() {
    let (_folder, store, cells) = store(1);
    let path = store.folder(&cells[0]).join("record.json");
    let honest = std::fs::read(&path).unwrap();
    let told = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut record: serde_json::Value = serde_json::from_slice(&honest).unwrap();
        change(&mut record["order"]);
        std::fs::write(&path, record.to_string()).unwrap();
        let failed = failed(&Verifier::new(&store), &cells[0]);
        failed.into_iter().find(|text| text.starts_with("uniform order of the seed")).unwrap()
    };
    // 2^32 ids would be shuffled.
    let examples = told(&|order| order["examples"] = u32::MAX.into());
    assert!(examples.ends_with("4294967295 examples, but sample_ids.bin has 50"), "{examples}");
    // All of order.bin would be compared once for each.
    let epochs = told(&|order| {
        let epochs = order["epochs"].as_array_mut().unwrap();
        *epochs = vec![epochs[0].clone(); 9];
    });
    assert!(epochs.ends_with("epochs of 450 ids, but order.bin has 100"), "{epochs}");
}

fn layout(support: u32, query: u32) -> Layout {
    let parts = [("support", support), ("query", query)];
    Layout::new(parts.map(|(role, n)| (role.to_owned(), n)).to_vec()).unwrap()
}

#[test]
fn an_order_of_units_with_roles_follows_from_seed_and_layout() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    let shape = sample::Shape { batch: 20, ..SHAPE };
    let cell = sample::write_order(&store, shape, Some(&layout(3, 7))).unwrap();
    let verified = Verifier::new(&store).verify(&cell);
    assert!(verified.passed() && verified.order_follows(), "{verified:?}");
    assert!(verified.checks.iter().any(|check| check.name == "layout"));
    let path = store.folder(&cell).join("record.json");
    let honest = std::fs::read(&path).unwrap();
    let told = |change: &dyn Fn(&mut OrderSection)| {
        let mut record: RunRecord = serde_json::from_slice(&honest).unwrap();
        change(record.order.as_mut().unwrap());
        std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
        failed(&Verifier::new(&store), &cell).join("\n")
    };
    // Other roles are another promise; other units would tear steps and are another order.
    let roles = told(&|order| order.layout = Some(layout(4, 6)));
    assert!(roles.contains("commitment: ") && !roles.contains("layout: "), "{roles}");
    let units = told(&|order| order.layout = Some(layout(3, 22)));
    assert!(units.contains("layout: epoch 0: 20 ids are not of whole units of 25"), "{units}");
    assert!(units.contains("consumed ids differ from the seed's order"), "{units}");
    let single = told(&|order| order.unit = Unit::Sample);
    assert!(single.contains("order version: unit sample"), "{single}");
    let none = told(&|order| order.layout = None);
    assert!(none.contains("order version: unit pack"), "{none}");
}

#[test]
fn a_test_per_example_of_an_order_of_units_is_refused_with_what_can_be_tested() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    let cell = sample::write_order(&store, SHAPE, Some(&layout(1, 1))).unwrap();
    let refused = crate::summary::membership::order_of(&store.record(&cell).unwrap(), &[]);
    let refused = refused.unwrap_err();
    assert!(refused.contains("units of 2 examples") && refused.contains("--units"), "{refused}");
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
fn messages_are_those_of_the_record_or_told() {
    let (_folder, store, cells) = store(1);
    let folder = store.folder(&cells[0]);
    let told = || failed(&Verifier::new(&store), &cells[0]).join("\n");
    std::fs::write(folder.join("messages.bin"), [1, 2, 3]).unwrap();
    assert!(told().contains("messages: the record has no fact messages_sha256"), "{}", told());
    let name = |digest: Digest| {
        let mut record = store.record(&cells[0]).unwrap();
        record.facts.insert("messages_sha256".to_owned(), digest.to_string().into());
        std::fs::write(folder.join("record.json"), serde_json::to_vec(&record).unwrap()).unwrap();
    };
    name(Digest::of(&[1, 2, 3]));
    assert!(!told().contains("messages: "), "{}", told());
    name(Digest::of(&[1, 2]));
    assert!(told().contains("messages: recorded "), "{}", told());
    std::fs::remove_file(folder.join("messages.bin")).unwrap();
    assert!(told().contains("messages: messages.bin: "), "{}", told());
}

#[test]
fn stages_follow_each_other_to_the_parameters_of_the_run_or_are_told() {
    let (_folder, store, cells) = store(1);
    let record = store.record(&cells[0]).unwrap();
    let (steps, parameters) = (record.steps, record.parameters_sha256);
    let told = |last: u64, left: Option<Digest>| {
        let mut record = record.clone();
        record.facts.insert(
            "stages".to_owned(),
            serde_json::json!([{
                "name": "whole",
                "steps": { "first": 0, "last": last },
                "from": Digest::of(b"start"),
                "parameters_sha256": left,
            }]),
        );
        let path = store.folder(&cells[0]).join("record.json");
        std::fs::write(path, serde_json::to_vec(&record).unwrap()).unwrap();
        failed(&Verifier::new(&store), &cells[0]).join("\n")
    };
    assert!(!told(steps - 1, parameters).contains("stages"));
    assert!(told(steps, parameters).contains("stages: stages have"));
    let other = Some(Digest::of(b"other"));
    assert!(told(steps - 1, other).contains("did not leave the parameters of the run"));
    assert!(told(steps - 1, None).contains("stages: the fact stages"));
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
    let checks = wanting().verify(&cells[0]).checks;
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
    let (_folder, store, cells) = store(3);
    // The first run, promised anew after the second had begun long after the first one's end; that the third
    // began in time changes nothing.
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
        (vec![lines[1], lines[0], lines[2], lines[3]], "events.jsonl:1: the run does not begin"),
        (vec![lines[0], lines[0], lines[1], lines[2]], "events.jsonl:2: a second commitment"),
        (vec![lines[0], lines[1], lines[2]], "events.jsonl was cut"),
        (
            vec![lines[0], lines[1], lines[3]],
            "the evaluation at 100 samples and 8 steps is missing",
        ),
        (
            vec![lines[0], lines[1], lines[2], lines[2], lines[3]],
            "evaluation 2 is at 100 samples and 8 steps, but the steps of the run put it at no place",
        ),
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
        ("\"step\":8", "\"step\":7", "events.jsonl:3: chain"),
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

#[test]
fn what_the_events_decide_is_held_against_the_record() {
    let (_folder, store, cells) = store(1);
    let path = store.folder(&cells[0]).join("record.json");
    let whole = std::fs::read(&path).unwrap();
    let numbers = |verifier: &Verifier<'_>| {
        let told = failed(verifier, &cells[0]);
        told.into_iter().find(|line| line.starts_with("numbers: ")).unwrap_or_default()
    };
    let crossed = serde_json::json!({
        "isotonic": 0.5, "first": 0.5, "held3": null, "samples": 1.0, "steps": 1.0, "diverged_at": null,
    });
    let cases = [
        ("/final/validation~1loss", serde_json::json!(0.1), "final is not what the evaluations"),
        ("/at_target", serde_json::json!({"test/loss": 0.1}), "at_target is not what"),
        ("/time_to_target", crossed, "time_to_target is not what"),
        ("/samples", serde_json::json!(99), "samples is not what"),
        ("/status", serde_json::json!("reached"), "status is not what"),
        (
            "/clocks/total",
            serde_json::json!(0.5),
            "the total clock stands at 0.5 s at the record's end, after 1 s",
        ),
        ("/clocks/train", serde_json::json!(2.0), "the clocks sum to 2 s within 1 s"),
        (
            "/goal/budget_samples",
            serde_json::json!(99),
            "100 samples were consumed of a budget of 99",
        ),
        ("/goal/evaluate_every_samples", serde_json::json!(50), "evaluation 1 is at 100 samples"),
        ("/goal/evaluate_every_samples", serde_json::json!(0), "evaluate_every_samples is 0"),
    ];
    for (pointer, value, expected) in cases {
        let mut record: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        *record.pointer_mut(pointer).unwrap() = value;
        std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
        let told = numbers(&Verifier::new(&store));
        assert!(told.contains(expected), "{pointer}: {told}");
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(numbers(&Verifier::new(&store)), "");
}

#[test]
fn an_order_that_does_not_follow_from_the_seed_alone_is_drawn_again_or_said_to_be_unchecked() {
    let (_folder, store, cells) = store(1);
    let path = store.folder(&cells[0]).join("record.json");
    let mut record = store.record(&cells[0]).unwrap();
    let order = record.order.as_mut().unwrap();
    order.law = OrderLaw::UniformSubset;
    let hashes: Vec<Digest> = order.epochs.iter().map(|epoch| epoch.order_hash).collect();
    std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
    let unchecked = Verifier::new(&store).verify(&cells[0]).unchecked;
    assert!(unchecked[0].starts_with("uniform-subset order: "), "{unchecked:?}");
    let draw = |law, order_hashes: &[Digest], code: &str| Drawn {
        law,
        order_hashes: order_hashes.to_vec(),
        code: code.to_owned(),
    };
    let subset = OrderLaw::UniformSubset;
    let cases = [
        (draw(subset, &hashes, "sample"), None),
        (draw(OrderLaw::Uniform, &hashes, "sample"), Some("but the method's is uniform")),
        (draw(subset, &hashes[..1], "sample"), Some("2 epochs, but the method draws 1")),
        (draw(subset, &[hashes[1], hashes[0]], "sample"), Some("epoch 0: consumed ids differ")),
    ];
    for (drawn, expected) in cases {
        let draw = |_: &str| Ok(drawn.clone());
        let verified = Verifier::new(&store).drawing(&draw).verify(&cells[0]);
        assert_eq!(verified.order_follows(), expected.is_none());
        let told = verified.checks.iter().find(|check| check.name.ends_with("order of the seed"));
        let told = told.map(|check| check.detail.clone()).unwrap_or_default();
        assert!(told.contains(expected.unwrap_or_default()), "{told}");
    }
    // Another build may draw otherwise; that is no forgery, and no confirmation.
    let other = draw(subset, &hashes[..1], "another build");
    let draw = |_: &str| Ok(other.clone());
    let verified = Verifier::new(&store).drawing(&draw).verify(&cells[0]);
    assert!(!verified.order_follows());
    assert!(verified.unchecked[0].contains("the run names another build"), "{verified:?}");
    // A law that the method does not have is no matter of builds.
    let lawless = Drawn { law: OrderLaw::Uniform, ..other.clone() };
    let draw = |_: &str| Ok(lawless.clone());
    assert!(!Verifier::new(&store).drawing(&draw).verify(&cells[0]).passed());
}

#[test]
fn kept_weights_are_held_against_the_digest_in_the_record() {
    let (_folder, store, cells) = store(1);
    let folder = store.folder(&cells[0]);
    std::fs::create_dir(folder.join("checkpoints")).unwrap();
    let file = folder.join("checkpoints/final.safetensors");
    // Two tensors, in the file by name, in the digest the other way round; the second in 64 bits.
    let header = r#"{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(0.5_f64.to_le_bytes());
    let b: Vec<u8> = [1.0_f32, 2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    bytes.extend(&b);
    std::fs::write(&file, &bytes).unwrap();
    let path = folder.join("record.json");
    let mut record = store.record(&cells[0]).unwrap();
    record.tensors = vec!["b".to_owned(), "a".to_owned()];
    let values: Vec<u8> = b.iter().copied().chain(0.5_f32.to_le_bytes()).collect();
    record.parameters_sha256 = Some(Digest::of(&values));
    let weights = |record: &RunRecord| {
        std::fs::write(&path, serde_json::to_vec(record).unwrap()).unwrap();
        let checks = Verifier::new(&store).verify(&cells[0]).checks;
        checks.into_iter().find(|check| check.name == "weights").map(|check| check.detail)
    };
    assert_eq!(weights(&record).as_deref(), Some(""));
    let swapped = RunRecord { tensors: vec!["a".to_owned(), "b".to_owned()], ..record.clone() };
    assert!(weights(&swapped).unwrap().starts_with("recorded "));
    let fewer = RunRecord { tensors: vec!["a".to_owned()], ..record.clone() };
    assert!(weights(&fewer).unwrap().contains("has 2 tensors, the record names 1"));
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert!(weights(&record).unwrap().starts_with("recorded "));
    std::fs::write(&file, b"no model").unwrap();
    assert!(weights(&record).unwrap().contains("is no safetensors file"));
}

#[test]
fn a_run_that_ended_has_an_order() {
    let (_folder, store, cells) = store(1);
    let path = store.folder(&cells[0]).join("record.json");
    let mut record = store.record(&cells[0]).unwrap();
    record.order = None;
    std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
    let told = failed(&Verifier::new(&store), &cells[0]);
    assert!(told.iter().any(|line| line.contains("ended as censored has an order")), "{told:?}");
    record.status = Status::Failed;
    std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
    let known = Known { head: Some(Digest::of(b"x")), ..Known::default() };
    let told = failed(&Verifier::knowing(&store, known), &cells[0]);
    assert!(told.iter().any(|line| line.starts_with("published promise: ")), "{told:?}");
}

#[test]
fn a_manifest_of_another_version_or_run_is_told() {
    for (from, to, expected) in [
        ("\"version\":1", "\"version\":2", "manifest: its version is 2"),
        ("\"cell\":\"", "\"cell\":\"0", "manifest: recorded 0"),
    ] {
        let (_folder, store, cells) = store(1);
        let path = store.folder(&cells[0]).join("manifest.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let told = failed(&Verifier::new(&store), &cells[0]).join("\n");
        assert!(told.contains(expected), "{told}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_link_in_a_run_folder_is_told_and_hangs_nobody() {
    for name in ["record.json", "events.jsonl", "order.bin", "sample_ids.bin", "manifest.json"] {
        let (_folder, store, cells) = store(1);
        let path = store.folder(&cells[0]).join(name);
        let elsewhere = store.root().join("elsewhere");
        std::fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        let told = failed(&Verifier::new(&store), &cells[0]).join("\n");
        assert!(told.contains("a link, where a plain file should be"), "{name}: {told}");
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let told = failed(&Verifier::new(&store), &cells[0]).join("\n");
        assert!(told.contains("a pipe, socket or device"), "{name}: {told}");
    }
}
