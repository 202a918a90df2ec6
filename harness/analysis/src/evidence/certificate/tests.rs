use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::evidence::Kind;

fn finding() -> Value {
    json!({
        "metric": "spearman", "statistic": -0.336_997_264_123_753_9, "n": 4000, "ties": 0, "tail": "two-sided",
        "adjust": "difference", "p": 8.251_903_170_423_117e-107, "log10_p": -106.083_445_879_212_34,
        "exact": false, "direction": "negative: later examples have lower loss, beside the reference", "randomness": "undeclared",
        "simulation": false, "floor_log10_p": null, "monte_carlo": null, "warnings": []
    })
}

/// The options of a plain test of files, and more.
fn options(more: &[(&str, Value)]) -> BTreeMap<String, Value> {
    let plain = [
        ("metric", json!("spearman")),
        ("tail", json!("two-sided")),
        ("adjust", json!("difference")),
        ("kind", json!("loss")),
        ("law", json!("uniform")),
        ("unit", json!("sample")),
        ("resolution", json!("sample")),
    ];
    let all = plain.iter().chain(more);
    all.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn draft() -> Draft {
    let file = |role, name: &str| InputFile {
        role,
        name: name.to_owned(),
        column: None,
        size: name.len() as u64,
        sha256: Digest::of(name.as_bytes()),
    };
    Draft {
        tested: Tested {
            files: vec![
                file(Role::Order, "order.npy"),
                file(Role::Scores, "scores.npy"),
                file(Role::Reference, "reference.npy"),
            ],
            runs: Vec::new(),
            promise: None,
        },
        options: options(&[]),
        finding: finding(),
        origin: None,
        software: BTreeMap::from([("palimpsest".to_owned(), "0.1.0".to_owned())]),
    }
}

/// Names and details of the checks that fail.
fn failed(bytes: &[u8], given: &Given<'_>) -> Vec<String> {
    let outcome = verify(bytes, given).unwrap();
    let failed = outcome.checks.iter().filter(|check| !check.passed);
    failed.map(|check| format!("{}: {}", check.name, check.detail)).collect()
}

/// The certificate after a change of its JSON, with the digest taken anew.
fn forged(certificate: &Certificate, pointer: &str, value: Value) -> Vec<u8> {
    let mut json = serde_json::to_value(certificate).unwrap();
    *json.pointer_mut(pointer).unwrap() = value;
    let mut changed: Certificate = serde_json::from_value(json).unwrap();
    changed.digest = changed.recomputed_digest().unwrap();
    changed.to_bytes().unwrap()
}

#[test]
fn a_certificate_comes_back_from_its_bytes_and_holds() {
    let mut certificate = draft().seal().unwrap();
    let key = SecretKey::from_seed(&[1; 32]);
    certificate.sign(&key);
    certificate.sign(&key);
    assert_eq!(certificate.signatures.len(), 1);
    let bytes = certificate.to_bytes().unwrap();
    assert_eq!(Certificate::read(&bytes).unwrap(), certificate);
    let given = Given { keys: vec![key.public()], ..Given::default() };
    assert_eq!(failed(&bytes, &given), [] as [String; 0]);
    let unchecked = verify(&bytes, &given).unwrap().unchecked;
    assert!(unchecked.iter().any(|text| text.contains("--order")), "{unchecked:?}");
}

#[test]
fn the_words_of_a_certificate_read_as_agreed() {
    let certificate = draft().seal().unwrap();
    let lines: Vec<_> = [certificate.headline.clone()]
        .into_iter()
        .chain(certificate.meaning)
        .chain(certificate.limits)
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    If the suspect had nothing to do with this training order, chance alone would give an association at least this strong in about 1 of 1.2 × 10¹⁰⁶ cases.
    A training run saw its examples in an order drawn by chance. The test asks whether the suspect's scores on 4000 of these examples go along with their places in that order (spearman).
    The p-value is the probability of an association at least as strong as the one found, if the suspect is independent of the order. It needs no assumption about the data, the models or how the suspect was made, only that the order was drawn uniformly at random. Associations of either sign count.
    What was found: negative: later examples have lower loss, beside the reference.
    The order is taken from files. Nothing here shows that it was drawn at random, that it was fixed before training, or that the training followed it; whoever relies on the result must show this otherwise.
    The p-value is not the probability that the suspect is innocent, and it does not say how much was taken, by which way, or whether that was wrong. Dependence on the order can come from copying, fine-tuning, merging, distilling, or from training on the same examples in the same order.
    It counts one test, chosen before looking. Whoever tried several suspects, metrics, references or orders must correct for all of them.
    References must come from models that never met this order. A reference that depends on it can accuse an independent suspect.
    A large p-value does not clear the suspect: long further training and training schedules can wash the traces out.
    ");
}

#[test]
fn every_changed_byte_is_found() {
    let bytes = draft().seal().unwrap().to_bytes().unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        if let Ok(outcome) = verify(&changed, &Given::default()) {
            assert!(!outcome.passed(), "byte {at}");
        }
    }
}

#[test]
fn a_forger_who_takes_the_digest_anew_is_found_by_words_signature_and_inputs() {
    let mut certificate = draft().seal().unwrap();
    let key = SecretKey::from_seed(&[1; 32]);
    certificate.sign(&key);
    let given = Given::default();
    let told = failed(&forged(&certificate, "/headline", json!("Guilty.")), &given);
    assert!(told.iter().any(|line| line.starts_with("words: headline")), "{told:?}");
    assert!(told.iter().any(|line| line.contains("what was signed has changed")), "{told:?}");
    let told = failed(&forged(&certificate, "/limits/0", json!("No limits.")), &given);
    assert!(told.iter().any(|line| line.starts_with("words: limits")), "{told:?}");
    let told = failed(&forged(&certificate, "/options/metric", json!("kendall")), &given);
    assert!(told.iter().any(|line| line.starts_with("options: metric of the finding")), "{told:?}");
    let told = failed(&forged(&certificate, "/finding/log10_p", json!(-3.0)), &given);
    assert!(told.iter().any(|line| line.contains("log10_p is -3")), "{told:?}");
}

#[test]
fn a_certificate_formatted_anew_or_with_a_field_twice_is_not_in_canonical_form() {
    let certificate = draft().seal().unwrap();
    let pretty = serde_json::to_vec_pretty(&certificate).unwrap();
    let told = failed(&pretty, &Given::default());
    assert!(told[0].starts_with("canonical form: "), "{told:?}");
    let text = String::from_utf8(certificate.to_bytes().unwrap()).unwrap();
    let twice = text.replace("\"n\":4000", "\"n\":4,\"n\":4000");
    let told = failed(twice.as_bytes(), &Given::default());
    assert!(told[0].starts_with("canonical form: "), "{told:?}");
}

#[test]
fn inputs_are_held_by_size_and_digest_and_the_answer_is_computed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["order.npy", "scores.npy", "reference.npy"] {
        std::fs::write(path(name), name).unwrap();
    }
    let certificate = draft().seal().unwrap();
    let bytes = certificate.to_bytes().unwrap();
    let files = [
        (Role::Order, "order.npy"),
        (Role::Scores, "scores.npy"),
        (Role::Reference, "reference.npy"),
    ];
    let files = files.map(|(role, name)| (role, path(name))).to_vec();
    let same = |_: &Certificate, _: &Given<'_>| Ok(finding());
    let given = Given { files, recompute: Some(&same), ..Given::default() };
    let outcome = verify(&bytes, &given).unwrap();
    assert!(outcome.passed() && outcome.checks.iter().any(|c| c.name == "statistic and p-value"));
    // Another answer, an answer within the last digits, and none at all.
    let answer = |key: &str, value: f64| {
        let mut answer = finding();
        answer[key] = json!(value);
        answer
    };
    let others = |n: u64| {
        let mut answer = finding();
        answer["n"] = json!(n);
        answer
    };
    let cases: [(Result<Value, String>, Option<&str>); 6] = [
        (Ok(answer("statistic", -0.336_997_264_123_753_9 + 2e-13)), None),
        (Ok(answer("statistic", -0.336_997_264_1)), Some("statistic is")),
        (Ok(answer("log10_p", -106.083_45)), Some("log10_p is")),
        (Ok(others(3999)), Some("n is 4000 in the certificate, but 3999")),
        // What an answer lacks was added to the certificate.
        (Ok(json!({ "n": 4000 })), Some("but null from the inputs")),
        (Err("scores: constant".to_owned()), Some("scores: constant")),
    ];
    for (answer, expected) in cases {
        let recompute = |_: &Certificate, _: &Given<'_>| answer.clone();
        let given =
            Given { recompute: Some(&recompute), files: given.files.clone(), ..Given::default() };
        let told = failed(&bytes, &given);
        match expected {
            None => assert_eq!(told, [] as [String; 0]),
            Some(text) => assert!(told[0].contains(text), "{told:?}"),
        }
    }
    std::fs::write(path("scores.npy"), "scores.npz").unwrap();
    let told = failed(&bytes, &given);
    assert!(
        told[0].starts_with("scores ")
            && told[0].contains("scores.npy: the certificate says 10 bytes, sha256 "),
        "{told:?}"
    );
    let more = Given { files: vec![(Role::Units, path("order.npy"))], ..Given::default() };
    assert!(failed(&bytes, &more)[0].starts_with("units: "), "{:?}", failed(&bytes, &more));
}

#[test]
fn impossible_findings_are_refused_by_name() {
    for (key, value, expected) in [
        ("statistic", json!(1.5), "statistic is 1.5"),
        ("n", json!(1), "n is 1"),
        ("p", json!(-0.1), "p is -0.1"),
        ("p", json!(0.5), "p is 0.5, but log10_p is -106"),
        ("monte_carlo", json!({ "draws": 999, "seed": 0 }), "below the 1 / 1000 of 999 draws"),
        ("log10_p", json!(1.0), "log10_p is 1"),
        ("simulation", json!(true), "simulation is true"),
        ("randomness", json!("lava"), "\"lava\""),
        ("floor_log10_p", json!(3), "floor_log10_p"),
        ("warnings", json!(null), "invalid type"),
    ] {
        let mut draft = draft();
        draft.finding[key] = value;
        let text = draft.seal().unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
    let mut beyond = draft();
    beyond.finding["p"] = json!(0.1);
    beyond.finding["log10_p"] = json!(-1.0);
    beyond.finding["monte_carlo"] = json!({ "draws": 9, "seed": u64::MAX });
    let mut draws = beyond.clone();
    draws.finding["p"] = json!(0.0);
    draws.finding["log10_p"] = json!(-400.0);
    draws.finding["monte_carlo"]["draws"] = json!(u64::MAX);
    let text = draws.seal().unwrap_err().to_string();
    assert!(text.contains("of 18446744073709551615 draws"), "{text}");
    let text = beyond.seal().unwrap_err().to_string();
    assert!(text.starts_with("finding.monte_carlo.seed is 18446744073709551615"), "{text}");
}

#[test]
fn what_is_no_certificate_is_refused() {
    for (text, expected) in [
        ("", "not a certificate"),
        ("{}", "its field type"),
        (r#"{"type":"palimpsest/certificate"}"#, "no version"),
        (r#"{"type":"palimpsest/certificate","version":3}"#, "certificate version 3"),
        (r#"{"type":"palimpsest/certificate","version":0}"#, "no version 0"),
        (r#"{"type":"palimpsest/certificate","version":1}"#, "missing field"),
    ] {
        let error = verify(text.as_bytes(), &Given::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_simulation_a_floor_and_an_abandoned_run_are_told() {
    let mut draft = draft();
    draft.finding["randomness"] = json!("fixed");
    draft.finding["simulation"] = json!(true);
    draft.finding["floor_log10_p"] = json!(-77.063_678_889_979_16);
    let digest = Digest::of(b"x");
    let run = |role, scores| InputRun {
        role,
        run: "0123456789abcdef".to_owned(),
        run_digest: digest,
        scores,
    };
    let scores = ScoreFile {
        on: "0123456789abcdef".to_owned(),
        size: 1,
        sha256: digest,
        parameters_sha256: Some(digest),
    };
    draft.tested = Tested {
        files: Vec::new(),
        runs: vec![
            run(Role::Order, None),
            run(Role::Scores, Some(scores.clone())),
            run(Role::Reference, Some(scores)),
        ],
        promise: None,
    };
    draft.options = options(&[
        ("resolution", json!("step")),
        ("randomness", json!("fixed")),
        ("seed_bits", json!(256)),
        ("access", json!("log-probs")),
        ("documents", json!("whole")),
    ]);
    draft.origin = Some(Origin {
        run: "0123456789abcdef".to_owned(),
        run_digest: digest,
        law: OrderLaw::Uniform,
        unit: Unit::Sample,
        randomness: Randomness::Fixed,
        examples: 4000,
        dataset_root: digest,
        seed_commit: digest,
        commitment: digest,
        order_hashes: vec![digest],
        index: None,
        promises: 7,
        abandoned: 2,
        head: digest,
        order_version: Some(2),
        follows_from_seed: Some(true),
        beacon_source: None,
    });
    let certificate = draft.seal().unwrap();
    assert!(certificate.headline.starts_with("Simulation: "), "{}", certificate.headline);
    assert!(certificate.headline.ends_with("in about 1 of 1.2 × 10⁷⁷ cases."));
    assert!(certificate.limits[0].starts_with("This is a simulation"));
    assert!(
        certificate.limits[1].contains("multiply the p-value by 3"),
        "{}",
        certificate.limits[1]
    );
    let bytes = certificate.to_bytes().unwrap();
    assert_eq!(failed(&bytes, &Given::default()), [] as [String; 0]);
    // A run that is not there, and an id that is a path.
    let folder = tempfile::tempdir().unwrap();
    let store = ledger::record::Store::at(folder.path());
    let given = Given { store: Some(&store), ..Given::default() };
    let told = failed(&bytes, &given);
    assert!(told[0].starts_with("run 0123456789abcdef: cannot read"), "{told:?}");
    let told = failed(&forged(&certificate, "/origin/run", json!("../elsewhere")), &given);
    assert!(told.iter().any(|line| line.contains("is not the id of a run")), "{told:?}");
    let declared =
        failed(&forged(&certificate, "/origin/randomness", json!("os")), &Given::default());
    assert!(
        declared.iter().any(|line| line.starts_with("options: randomness of the options is not")),
        "{declared:?}"
    );
}

#[test]
fn a_late_promise_is_not_under_the_old_head_of_a_merged_store() {
    use crate::verify::Verifier;
    use crate::verify::tests::sample;
    let folders = [(), ()].map(|()| tempfile::tempdir().unwrap());
    let [own, other] = folders.each_ref().map(|folder| ledger::record::Store::at(folder.path()));
    let shape = |seed| sample::Shape { examples: 50, epochs: 2, batch: 16, seed };
    sample::write(&own, shape(0)).unwrap();
    let old = Verifier::new(&own).index().unwrap();
    let cells = [1, 2].map(|seed| sample::write(&other, shape(seed)).unwrap());
    let merged = own.root().join("commitments-other.jsonl");
    std::fs::copy(other.root().join("commitments.jsonl"), merged).unwrap();
    for cell in &cells {
        own.bring(&other, cell).unwrap();
    }
    let verifier = Verifier::new(&own);
    let cell = &cells[0];
    let order = own.record(cell).unwrap().order.unwrap();
    let held = verifier.index_of(&order).unwrap();
    assert_eq!((held.promises, held.head), (2, Verifier::new(&other).index().unwrap().head));

    let (_, run_digest) = own.manifest(cell).unwrap();
    let mut draft = draft();
    draft.tested = Tested {
        files: Vec::new(),
        runs: vec![InputRun { role: Role::Order, run: cell.clone(), run_digest, scores: None }],
        promise: None,
    };
    draft.origin = Some(Origin {
        run: cell.clone(),
        run_digest,
        law: order.law,
        unit: order.unit,
        randomness: order.unpredictable_by(),
        examples: order.examples,
        dataset_root: order.dataset_root,
        seed_commit: order.seed_commit,
        commitment: order.commitment,
        order_hashes: order.epochs.iter().map(|epoch| epoch.order_hash).collect(),
        index: order.index,
        promises: held.promises,
        abandoned: 0,
        head: held.head,
        order_version: Some(order.version),
        follows_from_seed: Some(true),
        beacon_source: order.beacon_source.clone(),
    });
    let given = Given { store: Some(&own), ..Given::default() };
    let told = |draft: Draft| {
        let mut told = failed(&draft.seal().unwrap().to_bytes().unwrap(), &given);
        told.retain(|line| {
            ["commitment", "index head", "promises"].iter().any(|name| line.starts_with(name))
        });
        told
    };
    assert_eq!(told(draft.clone()), [] as [String; 0]);
    // The head of the own index is honest and old, and the counts are those of it: but it is of another index.
    let origin = draft.origin.as_mut().unwrap();
    (origin.head, origin.promises) = (old.head, old.promises);
    let expected = "index head: promised at line 0, after the published head (line 0)";
    assert_eq!(told(draft), [expected]);
}

#[test]
fn a_signature_of_a_run_with_the_same_digest_is_none_of_a_certificate() {
    let mut certificate = draft().seal().unwrap();
    let key = SecretKey::from_seed(&[1; 32]);
    certificate.signatures.push(Signature::make(&key, Kind::Run, certificate.digest));
    let told = failed(&certificate.to_bytes().unwrap(), &Given::default());
    assert_eq!(told, ["signature: it signs a run, not a certificate"]);
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(verify(&bytes, &Given::default()).is_err());
    }

    #[test]
    fn a_certificate_spoilt_anywhere_never_passes(
        at in 0_usize..4000, with in proptest::collection::vec(any::<u8>(), 0..8), cut in 0_usize..8,
    ) {
        let bytes = draft().seal().unwrap().to_bytes().unwrap();
        let at = at % bytes.len();
        let end = (at + cut).min(bytes.len());
        let spoilt = [&bytes[..at], &with, &bytes[end..]].concat();
        let passed = verify(&spoilt, &Given::default()).is_ok_and(|outcome| outcome.passed());
        prop_assert_eq!(passed, spoilt == bytes);
    }
}

#[test]
fn what_palimpsest_never_writes_does_not_hold_even_without_files() {
    let certificate = draft().seal().unwrap();
    let run = json!({ "role": "scores", "run": "0123456789abcdef", "run_digest": "ab".repeat(32) });
    let file = |role: &str| {
        json!({
            "role": role, "name": "x", "column": null, "size": 1, "sha256": "ab".repeat(32),
        })
    };
    let cases = [
        ("/tested/runs", json!([run]), "form: it names files and runs"),
        ("/tested/files", json!([]), "form: it names no input"),
        ("/tested/files", json!([file("order")]), "form: a test has one file of scores"),
        ("/tested/files/2", file("scores"), "form: a test has one file of scores"),
        ("/tested/files/2", file("blocks"), "form: blocks belong to positions"),
        ("/tested/files/2", file("template"), "form: a template is learnt from runs"),
        ("/tested/files/2", file("units"), "options: references and adjust"),
        ("/software", json!({"certified by": "NIST"}), "form: software names \"certified by\""),
        ("/software", json!({}), "form: software is no name"),
        ("/software/palimpsest", json!("1\n2"), "form: software is no name"),
        ("/options/tail", json!("less"), "options: tail of the finding"),
        ("/options/metric", json!("kendall"), "options: metric of the finding"),
        ("/options/adjust", json!("residual"), "options: adjust of the finding"),
        ("/options/kind", json!("log-prob"), "options: direction does not follow"),
        ("/options/law", json!("sorted"), "options: an order of this law leaves nothing"),
        (
            "/options/law",
            json!("replacement"),
            "options: a sampler with replacement has no closed form",
        ),
        ("/options/unit", json!("pack"), "options: an order of whole units"),
        ("/options/resolution", json!("step"), "options: positions count steps"),
        ("/finding/log10_p", json!(-200.0), "words: "),
        ("/finding/statistic", json!(-0.4), "options: log10_p is -106"),
        ("/finding/n", json!(100), "options: log10_p is -106"),
        ("/finding/ties", json!(5000), "options: 5000 of 4000 examples are tied"),
        ("/finding/randomness", json!("os"), "options: randomness of the finding"),
        ("/finding/floor_log10_p", json!(-9.0), "options: floor_log10_p does not follow"),
        ("/finding/direction", json!("the suspect stole it"), "options: direction does not follow"),
        ("/finding/monte_carlo", json!({"draws": 9, "seed": 0}), "below the 1 / 10"),
    ];
    for (pointer, value, expected) in cases {
        let told = failed(&forged(&certificate, pointer, value), &Given::default());
        assert!(told.iter().any(|line| line.contains(expected)), "{pointer}: {told:?}");
    }
    for (name, value) in [
        ("note", json!("audited")),
        ("batch_size", json!(0)),
        ("gamma", json!(2.0)),
        ("plan", json!({"sha256": "ab".repeat(32), "tests": 0})),
        ("access", json!("log-probs")),
        ("monte_carlo", json!({"draws": 9, "seed": 0})),
        ("layout", json!("steps")),
    ] {
        let mut draft = draft();
        draft.options = options(&[(name, value)]);
        let told = failed(&draft.seal().unwrap().to_bytes().unwrap(), &Given::default());
        assert!(told.iter().any(|line| line.starts_with("options: ")), "{name}: {told:?}");
    }
}

#[test]
fn a_plan_is_told_and_a_certificate_of_version_1_keeps_its_words() {
    let mut planned = draft();
    let plan = json!({"sha256": "ab".repeat(32), "tests": 12});
    planned.options = options(&[("plan", plan)]);
    let certificate = planned.seal().unwrap();
    assert!(certificate.limits.iter().any(|line| line.starts_with("It is one of 12 tests")));
    assert_eq!(failed(&certificate.to_bytes().unwrap(), &Given::default()), [] as [String; 0]);
    let old = forged(&draft().seal().unwrap(), "/version", json!(1));
    assert_eq!(failed(&old, &Given::default()), [] as [String; 0]);
    let older = forged(&certificate, "/version", json!(1));
    let told = failed(&older, &Given::default());
    assert!(told[0].contains("a plan is named from version 2 on"), "{told:?}");
}
