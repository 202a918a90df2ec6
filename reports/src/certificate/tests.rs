use std::collections::BTreeMap;

use analysis::evidence::SecretKey;
use analysis::evidence::certificate::{Draft, InputFile, Origin, Role, Tested};
use ledger::digest::Digest;
use ledger::order::{OrderLaw, Unit};
use ledger::seed::Randomness;
use serde_json::{Value, json};

use super::*;

/// A certificate of two files, with these changes to its finding.
fn certificate(changes: &[(&str, Value)], origin: Option<Origin>) -> Certificate {
    let mut finding = json!({
        "metric": "spearman", "statistic": -0.337_412_889, "n": 4000, "ties": 0, "tail": "two-sided",
        "adjust": "difference", "p": 8.251_903_170_423_117e-107, "log10_p": -106.083_445_879_212_34,
        "exact": false, "direction": "negative: later examples have lower loss", "randomness": "undeclared",
        "simulation": false, "floor_log10_p": null, "warnings": []
    });
    for (key, value) in changes {
        finding[*key] = value.clone();
    }
    let file = |role, name: &str, column: Option<&str>| InputFile {
        role,
        name: name.to_owned(),
        column: column.map(str::to_owned),
        size: 32_128,
        sha256: Digest::of(name.as_bytes()),
    };
    let draft = Draft {
        tested: Tested {
            files: vec![
                file(Role::Order, "order.npy", None),
                file(Role::Scores, "suspect.csv", Some("loss")),
                file(Role::Reference, "reference.npy", None),
            ],
            runs: Vec::new(),
            promise: None,
        },
        options: BTreeMap::from([
            ("metric".to_owned(), json!("spearman")),
            ("tail".to_owned(), json!("two-sided")),
            ("adjust".to_owned(), json!("difference")),
        ]),
        finding,
        origin,
        software: BTreeMap::from([("palimpsest".to_owned(), "0.1.0".to_owned())]),
    };
    draft.seal().unwrap()
}

fn origin() -> Origin {
    let digest = Digest::of(b"x");
    Origin {
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
    }
}

/// With `PALIMPSEST_PAGES` set to a folder, the pages are left there to look at.
fn keep(name: &str, html: &str) {
    if let Ok(folder) = std::env::var("PALIMPSEST_PAGES") {
        std::fs::write(std::path::Path::new(&folder).join(name), html).unwrap();
    }
}

#[test]
fn the_page_shows_answer_inputs_limits_and_how_to_check() {
    let mut certificate = certificate(&[], None);
    certificate.sign(&SecretKey::from_seed(&[1; 32]));
    let html = page(&certificate).unwrap();
    keep("files.html", &html);
    for part in [
        "−106.08",
        "in about 1 of 1.2 × 10¹⁰⁶ cases",
        "negative: later examples have lower loss",
        "suspect.csv, column loss",
        &Digest::of(b"order.npy").to_string(),
        "verify-certificate CERTIFICATE.json --order order.npy --scores suspect.csv",
        &certificate.digest.to_string(),
        "Order from files.",
    ] {
        assert!(html.contains(part), "{part}");
    }
    for limit in &certificate.limits {
        assert!(html.contains(limit.as_str()), "{limit}");
    }
    assert!(!html.contains("Simulation."));
    assert_eq!(page(&certificate).unwrap(), html);
}

#[test]
fn a_simulation_is_labelled_and_its_floor_is_the_number_shown() {
    let changes = [
        ("randomness", json!("fixed")),
        ("simulation", json!(true)),
        ("floor_log10_p", json!(-77.063_678_889_979_16)),
        ("warnings", json!(["12 examples share a score"])),
    ];
    let html = page(&certificate(&changes, Some(origin()))).unwrap();
    keep("simulation.html", &html);
    for part in [
        "<strong>Simulation.</strong>",
        "<b>−77.06</b>",
        "limit of the seed",
        "12 examples share a score",
        "Whose order it is",
        "--store RUNS",
        "nothing here shows who made this certificate",
    ] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn a_page_loads_nothing_and_runs_nothing() {
    let html = page(&certificate(&[("p", json!(0.4)), ("log10_p", json!(0.4_f64.log10()))], None))
        .unwrap();
    keep("null.html", &html);
    for word in ["<script", "http://", "https://", "url(", "@import"] {
        // The icon's drawing names its own language, and nothing else may.
        let rest = html.replace("xmlns='http://www.w3.org/2000/svg'", "");
        assert!(!rest.contains(word), "{word}");
    }
    assert!(html.contains("no evidence of dependence"));
}

#[test]
fn hostile_names_stay_text() {
    let mut certificate = certificate(&[("direction", json!("<script>alert(1)</script>"))], None);
    certificate.tested.files[0].name = "<img src=x onerror=y>\n; rm -rf".to_owned();
    let html = page(&certificate).unwrap();
    assert!(!html.contains("<script>alert") && !html.contains("<img"), "{html}");
}

#[test]
fn names_in_the_command_are_one_word_each_for_a_shell() {
    for (name, word) in [
        ("order.npy", "order.npy"),
        ("x; touch PWNED #.npy", "'x; touch PWNED #.npy'"),
        ("it's.npy", r"'it'\''s.npy'"),
        ("--key", "./--key"),
        ("", "''"),
        ("a\nb", "'a\nb'"),
    ] {
        assert_eq!(quoted(name), word);
    }
}
