//! What every method of the registry must keep to, whoever writes it: a new file is checked without
//! a new test.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use lab::method::Entry;
use lab::trial::{Trace, Trial};
use ledger::settings::Values;
use methods::REGISTRY;
use serde_json::json;

use crate::style::code_lines;
use crate::support::root;

const SMOKE: Trial = Trial { examples: 96, epochs: 3, seed: 5 };

fn file(entry: &Entry) -> PathBuf {
    root().join("methods/src").join(entry.family).join(format!("{}.rs", entry.id.replace('-', "_")))
}

fn resolved(entry: &Entry, values: &Values) -> Values {
    (entry.method.resolve)(values).unwrap_or_else(|error| panic!("{}: {error}", entry.id))
}

/// Defaults with steps small enough for several of them.
fn smoke_settings(entry: &Entry) -> Values {
    let mut values = Values::new();
    if (entry.method.settings)().iter().any(|setting| setting.name == "batch_size") {
        values.insert("batch_size".to_owned(), json!(32));
    }
    values
}

fn smoke(entry: &Entry, seed: u64) -> Trace {
    Trial { seed, ..SMOKE }
        .run(entry.method, &smoke_settings(entry))
        .unwrap_or_else(|error| panic!("{}: {error}", entry.id))
}

#[test]
fn the_registry_lists_every_file_once_and_sorted() {
    let ids: Vec<_> = REGISTRY.iter().map(|entry| entry.id).collect();
    assert!(ids.is_sorted() && ids.len() == ids.iter().collect::<BTreeSet<_>>().len(), "{ids:?}");
    let files = crate::style::sources_below("methods/src");
    let files: BTreeSet<_> =
        files.into_iter().filter(|path| !path.ends_with("src/lib.rs")).collect();
    assert_eq!(REGISTRY.iter().map(file).collect::<BTreeSet<_>>(), files);
}

#[test]
fn every_card_has_its_parts_in_order() {
    for entry in REGISTRY {
        let mut rest = entry.card;
        for heading in ["# ", "## Mechanism\n", "## Claim\n", "## Sources\n", "## Differences\n"] {
            let at = rest.find(heading);
            let at = at.unwrap_or_else(|| panic!("{}: no {heading:?} in its place", entry.id));
            rest = &rest[at + heading.len()..];
            let body = rest.split("\n#").next().unwrap_or_default().trim();
            assert!(body.len() >= 3, "{}: nothing under {heading:?}", entry.id);
        }
        assert!(
            !entry.method.summary.is_empty() && entry.method.summary.len() <= 100,
            "{}",
            entry.id
        );
    }
}

#[test]
fn every_paper_and_claim_name_their_source() {
    for entry in REGISTRY {
        let (paper, claim) = (entry.method.paper, entry.method.claim);
        for text in [paper.title, paper.authors, paper.reference, paper.code, claim.statement] {
            assert!(!text.trim().is_empty(), "{}: an empty field of paper or claim", entry.id);
        }
        assert!((1950..2100).contains(&paper.year), "{}: year {}", entry.id, paper.year);
        if entry.method.baseline.is_some() {
            // Some papers claim without a number: then the method says where none stands.
            let number = claim.number;
            let stated =
                number.contains(|c: char| c.is_ascii_digit()) || number.starts_with("none ");
            assert!(stated, "{}: the claim's number is {number:?}", entry.id);
            let source = claim.source;
            assert!(!source.is_empty() && source != "none", "{}: source {source:?}", entry.id);
        }
    }
}

#[test]
fn every_baseline_is_a_method_and_the_way_there_ends() {
    for entry in REGISTRY {
        let mut at = entry;
        for _ in 0..REGISTRY.len() {
            let Some(baseline) = at.method.baseline else { break };
            at = methods::find(baseline)
                .unwrap_or_else(|| panic!("{}: no method {baseline}", at.id));
        }
        assert!(at.method.baseline.is_none(), "{}: baselines go in circles", entry.id);
    }
}

#[test]
fn every_setting_says_what_it_does_and_where_its_default_comes_from() {
    for entry in REGISTRY {
        let table = (entry.method.settings)();
        let names: BTreeSet<_> = table.iter().map(|setting| setting.name).collect();
        assert_eq!(names.len(), table.len(), "{}: a setting is declared twice", entry.id);
        for setting in &table {
            let fine = [setting.doc, &setting.kind, setting.source].iter().all(|t| !t.is_empty());
            assert!(fine, "{}.{}", entry.id, setting.name);
        }
    }
}

#[test]
fn settings_survive_being_resolved_again() {
    for entry in REGISTRY {
        let defaults = resolved(entry, &Values::new());
        assert_eq!(resolved(entry, &defaults), defaults, "{}", entry.id);
        let text = serde_json::to_string(&defaults).unwrap();
        let read: Values = serde_json::from_str(&text).unwrap();
        assert_eq!(resolved(entry, &read), defaults, "{}: through JSON", entry.id);
        let table = (entry.method.settings)();
        let names: BTreeSet<_> = table.iter().map(|setting| setting.name).collect();
        assert_eq!(defaults.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
        for setting in table {
            assert_eq!(defaults[setting.name], setting.default, "{}.{}", entry.id, setting.name);
        }
    }
}

#[test]
fn an_unknown_setting_is_refused_with_the_nearest_name() {
    for entry in REGISTRY {
        let table = (entry.method.settings)();
        let slip = format!("{}z", table.first().unwrap().name);
        let values = Values::from([(slip.clone(), json!(1))]);
        let message = (entry.method.resolve)(&values).unwrap_err().to_string();
        assert!(message.contains(&format!("\"{slip}\"")), "{}: {message}", entry.id);
        assert!(message.contains("did you mean"), "{}: {message}", entry.id);
    }
}

#[test]
fn a_value_of_another_kind_is_refused_by_every_setting() {
    for entry in REGISTRY {
        for setting in (entry.method.settings)() {
            let values = Values::from([(setting.name.to_owned(), json!([{}]))]);
            let message = (entry.method.resolve)(&values).unwrap_err().to_string();
            assert!(message.contains(setting.name), "{}.{}: {message}", entry.id, setting.name);
        }
    }
}

#[test]
fn a_few_steps_leave_finite_parameters_and_a_whole_order() {
    for entry in REGISTRY {
        let trace = smoke(entry, SMOKE.seed);
        assert!(trace.order.chain.step >= 3, "{}: {} steps", entry.id, trace.order.chain.step);
        for parameter in &trace.network.parameters {
            let finite = parameter.tensor.isfinite().all();
            assert!(bool::try_from(&finite).unwrap(), "{}: not finite", entry.id);
        }
        assert!(trace.order.ids.iter().all(|id| *id < SMOKE.examples), "{}", entry.id);
        assert_ne!(trace.digest, SMOKE.network().unwrap().digest().unwrap(), "{}", entry.id);
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_another_order() {
    for entry in REGISTRY {
        let (first, second) = (smoke(entry, 5), smoke(entry, 5));
        assert_eq!(first.digest, second.digest, "{}: parameters", entry.id);
        assert_eq!(first.order, second.order, "{}: order", entry.id);
        assert_eq!(first.facts, second.facts, "{}: facts", entry.id);
        let other = smoke(entry, 6);
        let hashes = |trace: &Trace| trace.order.epochs[0].order_hash;
        assert_ne!(hashes(&first), hashes(&other), "{}", entry.id);
        assert_ne!(first.digest, other.digest, "{}", entry.id);
    }
}

#[test]
fn a_method_is_one_file_of_at_most_300_lines() {
    for entry in REGISTRY {
        let lines = fs::read_to_string(file(entry)).unwrap().lines().count();
        assert!(lines <= 300, "{}: {lines} lines", entry.id);
    }
}

#[test]
fn methods_never_import_each_other() {
    let families: BTreeSet<_> = REGISTRY.iter().map(|entry| entry.family).collect();
    for entry in REGISTRY {
        for (number, line) in code_lines(&file(entry)) {
            let foreign =
                ["crate::", "super::", "methods::"].iter().any(|path| line.contains(path))
                    || families.iter().any(|family| line.starts_with(&format!("use {family}::")));
            assert!(!foreign, "{}:{number}: {line}", entry.id);
        }
    }
}

#[test]
fn methods_touch_nothing_but_their_seats() {
    let forbidden = [
        "print!",
        "println!",
        "std::fs",
        "File::",
        "std::io",
        "std::time",
        "std::env",
        "std::net",
        "std::process",
        "std::thread",
        "Instant",
        "SystemTime",
        "manual_seed",
        "HashMap",
        "HashSet",
        "thread_rng",
        "unsafe",
        "static mut",
    ];
    for entry in REGISTRY {
        for (number, line) in code_lines(&file(entry)) {
            let found = forbidden.iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{}:{number}: {found:?}", entry.id);
        }
    }
}
