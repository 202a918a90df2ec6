use serde_json::json;

use super::*;
use crate::suite::{Suite, parse};
use crate::summary::Analysis;
use ledger::digest::Digest;

const SUITE: &str = "suite: small
question: Is a sooner than b?
workloads: [{ workload: blobs-cnn, epochs: 2, target: { value: 0.9, origin: assumed } }]
seeds: 3
arms:
  - { method: sgd, as: a, with: { lr: 0.1 } }
  - { method: sgd, as: b, with: { lr: 0.2 } }
  - { method: adamw, as: c }
claims:
  - { id: sooner, statement: a is sooner, paper: { number: 2×, source: here }, arm: a, baseline: b, compare: time-to-target, at_least: 1.1 }
";

fn suite(text: &str) -> Suite {
    parse("small.yaml", text).unwrap()
}

fn analysis(text: &str, verdict: &str) -> Analysis {
    let claim = json!({
        "id": "sooner", "statement": "a is sooner", "paper_number": "2×", "paper_source": "here",
        "workload": "blobs-cnn", "arm": "a", "baseline": "b", "metric": "time-to-target", "scale": "ratio",
        "smallest_effect": 1.1, "effect": 1.3, "interval": {"low": 1.2, "high": 1.4, "level": 0.95},
        "p_sign_flip": 0.25, "n": 3, "verdict": verdict, "reason": "",
    });
    let analysis = json!({
        "version": 1, "suite": "small", "question": "", "workloads": [], "claims": [claim], "runs": [],
        "suite_digest": Digest::of(text.as_bytes()).to_string(), "environment": [["commit", "abc"]], "warnings": [],
    });
    serde_json::from_value(analysis).unwrap()
}

fn recorded(text: &str) -> Register {
    let mut register = Register::new("small");
    record(
        &mut register,
        (&suite(text), text, None),
        &analysis(text, "reproduced"),
        "2026-11-28",
        None,
    )
    .unwrap();
    register
}

#[test]
fn what_was_judged_and_stands_is_no_difference() {
    let register = recorded(SUITE);
    assert_eq!(register.claims[0].versions[0].verdicts.len(), 1);
    assert!(check(&register, &suite(SUITE), None).is_empty());
    let shorter = SUITE.replace("method: sgd, as: a,", "method: sgd, as: a, budget: 0.5,");
    let told = check(&register, &suite(&shorter), None);
    assert!(format!("{told:?}").contains("arms.a.budget: none → 0.5"), "{told:?}");
    // The verdict that is expected, another arm, a comment: none of them is what was judged.
    let other = SUITE.replace("at_least: 1.1", "at_least: 1.1, expect: inconclusive");
    let other = format!("# new\n{}", other.replace("method: adamw, as: c", "method: muon, as: c"));
    assert!(check(&register, &suite(&other), None).is_empty());
}

#[test]
fn another_metric_of_the_baseline_is_in_a_definition_only_where_it_is_given() {
    let of = |text: &str| {
        let suite = suite(text);
        Definition::of(&suite, None, &suite.claims[0])
    };
    let compare = "compare: time-to-target";
    let plain = of(SUITE);
    // The digest that a definition had before there was such a key.
    let before = "0b7754c6f6b434344e39d5125e7726b0c613ea2beb2a00d44c5dfb8a52060469";
    assert_eq!(plain.digest, before);
    assert!(plain.value["claim"].get("against").is_none());
    let other = of(&SUITE.replace(compare, "compare: test/nll@4, against: test/nll@8"));
    assert_eq!(other.value["claim"]["against"], "test/nll@8");
    let third = of(&SUITE.replace(compare, "compare: test/nll@4, against: test/nll@2"));
    assert_ne!(other.digest, third.digest);
}

#[test]
fn every_change_of_what_was_judged_is_named() {
    let register = recorded(SUITE);
    let cases = [
        SUITE.replace("value: 0.9", "value: 0.88"),
        SUITE.replace("at_least: 1.1", "at_least: 1.05"),
        SUITE.replace("epochs: 2", "epochs: 3"),
        SUITE.replace("lr: 0.2", "lr: 0.3"),
        SUITE.replace("seeds: 3", "seeds: 4"),
        SUITE.replace("statement: a is sooner", "statement: a is a bit sooner"),
        SUITE.split("claims:").next().unwrap().to_owned(),
    ];
    let found: Vec<String> =
        cases.iter().map(|text| check(&register, &suite(text), None).join(", ")).collect();
    insta::assert_snapshot!(found.join("\n"), @r#"
    sooner: workloads.blobs-cnn.target.value: 0.9 → 0.88
    sooner: claim.at_least: 1.1 → 1.05
    sooner: workloads.blobs-cnn.epochs: 2.0 → 3.0
    sooner: arms.b.with.lr: 0.2 → 0.3
    sooner: seeds: [0,1,2] → [0,1,2,3]
    sooner: claim.statement: "a is sooner" → "a is a bit sooner"
    sooner: it was judged, and is no longer in the suite
    "#);
}

#[test]
fn a_change_needs_a_reason_and_keeps_what_was_there() {
    let mut register = recorded(SUITE);
    let lower = SUITE.replace("value: 0.9", "value: 0.88");
    let found = analysis(&lower, "inconclusive");
    let refused = record(&mut register, (&suite(&lower), &lower, None), &found, "2026-11-29", None);
    assert!(matches!(refused, Err(RegisterError::Unexplained { .. })));
    assert_eq!(register, recorded(SUITE));
    let because = Some(Reason { why: "no arm got there", results_seen: true });
    record(&mut register, (&suite(&lower), &lower, None), &found, "2026-11-29", because).unwrap();
    let versions = &register.claims[0].versions;
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[0].verdicts[0].verdict, "reproduced");
    let change = versions[1].change.as_ref().unwrap();
    assert!(change.results_seen && change.what[0].contains("0.9 → 0.88"));
}

#[test]
fn a_claim_that_leaves_stays_as_withdrawn_and_can_come_back() {
    let mut register = recorded(SUITE);
    let without = SUITE.split("claims:").next().unwrap().to_owned();
    let mut none = analysis(&without, "reproduced");
    none.claims.clear();
    let because = Some(Reason { why: "another suite asks it", results_seen: false });
    record(&mut register, (&suite(&without), &without, None), &none, "2026-11-29", because)
        .unwrap();
    assert_eq!(register.claims[0].withdrawn.as_ref().unwrap().date, "2026-11-29");
    assert!(check(&register, &suite(&without), None).is_empty());
    assert_eq!(check(&register, &suite(SUITE), None).len(), 1);
    let again = analysis(SUITE, "reproduced");
    record(&mut register, (&suite(SUITE), SUITE, None), &again, "2026-11-30", because).unwrap();
    assert_eq!(register.claims[0].versions.len(), 2);
    assert!(register.claims[0].withdrawn.is_none());
    let back = register.claims[0].versions[1].change.as_ref().unwrap();
    assert_eq!(
        back.what,
        [
            "taken out of the suite on 2026-11-29 (another suite asks it; results not seen)",
            "put back into the suite"
        ]
    );
}

#[test]
fn the_same_verdict_again_adds_nothing() {
    let mut register = recorded(SUITE);
    let found = analysis(SUITE, "reproduced");
    let added =
        record(&mut register, (&suite(SUITE), SUITE, None), &found, "2026-12-24", None).unwrap();
    assert_eq!(added, 0);
    assert_eq!(register, recorded(SUITE));
}

#[test]
fn an_analysis_of_another_text_is_refused() {
    let mut register = Register::new("small");
    let found = analysis(&SUITE.replace("lr: 0.1", "lr: 0.4"), "reproduced");
    let refused = record(&mut register, (&suite(SUITE), SUITE, None), &found, "2026-11-28", None);
    assert!(matches!(refused, Err(RegisterError::Stale { .. })));
}

#[test]
fn a_register_edited_by_hand_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.claims.json");
    recorded(SUITE).write(&path).unwrap();
    assert_eq!(Register::read(&path, "small").unwrap().claims, recorded(SUITE).claims);
    let text = std::fs::read_to_string(&path).unwrap();
    let edits = [
        ("\"value\": 0.9", "\"value\": 0.8"),
        ("\"verdict\": \"reproduced\"", "\"verdict\": \"inconclusive\""),
        ("\"low\": 1.2", "\"low\": 1.3"),
    ];
    for (was, is) in edits {
        let edited = text.replace(was, is);
        assert_ne!(edited, text);
        std::fs::write(&path, edited).unwrap();
        let refused = Register::read(&path, "small").unwrap_err().to_string();
        assert!(refused.contains("its claims were edited by hand"), "{was}: {refused}");
    }
    // Notes are a person's.
    std::fs::write(&path, text.replace("\"claims\"", "\"notes\": [\"a note\"], \"claims\""))
        .unwrap();
    assert_eq!(Register::read(&path, "small").unwrap().notes, ["a note"]);
}

#[test]
fn a_change_can_be_logged_before_its_run_and_what_was_never_judged_changes_freely() {
    let mut register = recorded(SUITE);
    let lower = SUITE.replace("value: 0.9", "value: 0.88");
    let written = suite(&lower);
    assert!(amend(&mut register, (&written, None), "2026-11-29", None).is_err());
    let reason = Some(Reason { why: "a stricter control", results_seen: false });
    let changes = amend(&mut register, (&written, None), "2026-11-29", reason).unwrap();
    assert_eq!(changes, ["sooner: workloads.blobs-cnn.target.value: 0.9 → 0.88"]);
    assert!(check(&register, &written, None).is_empty());
    assert!(register.claims[0].versions[1].verdicts.is_empty());
    // The new definition has shown nothing yet, but another change is one more entry of the log.
    let lowest = suite(&SUITE.replace("value: 0.9", "value: 0.8"));
    assert!(amend(&mut register, (&lowest, None), "2026-11-30", None).is_err());
    amend(&mut register, (&lowest, None), "2026-11-30", reason).unwrap();
    assert_eq!(register.claims[0].versions.len(), 3);
    assert_eq!(register.claims[0].versions[0], recorded(SUITE).claims[0].versions[0]);
    // A claim that no version of was judged changes freely.
    let mut unjudged = Register::new("small");
    amend(&mut unjudged, (&written, None), "2026-11-29", None).unwrap();
    amend(&mut unjudged, (&lowest, None), "2026-11-30", None).unwrap();
    assert_eq!(unjudged.claims[0].versions.len(), 1);
    assert!(unjudged.claims[0].versions[0].change.is_none());
}

#[test]
fn a_claim_that_leaves_before_it_was_judged_is_withdrawn_with_its_reason() {
    let mut register = Register::new("small");
    amend(&mut register, (&suite(SUITE), None), "2026-11-28", None).unwrap();
    let without = suite(SUITE.split("claims:").next().unwrap());
    amend(&mut register, (&without, None), "2026-11-29", None).unwrap();
    assert!(register.claims[0].withdrawn.is_none(), "nobody said why");
    let reason = Reason { why: "another suite asks it", results_seen: false };
    amend(&mut register, (&without, None), "2026-11-29", Some(reason)).unwrap();
    let withdrawn = register.claims[0].withdrawn.as_ref().unwrap();
    assert_eq!(withdrawn.why, "another suite asks it");
}
