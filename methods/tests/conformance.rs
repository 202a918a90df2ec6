//! What every method of the registry must keep to, whoever writes it: a new file is checked without
//! a new test. They are tests of this crate, so that an edited method need not be linked into the
//! programs first; `PALIMPSEST_METHOD` asks for one method alone (`just test-method`).

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use data::Sources;
use lab::method::Entry;
use ledger::digest::Digest;
use ledger::settings::Values;
use methods::REGISTRY;
use serde_json::json;
use training::trial::{Stage, Trace, Trial};

/// Images in classes, on which a method that needs no more takes milliseconds.
const IMAGES: Trial = Trial { examples: 96, epochs: 3, seed: 5 };

/// Workloads that methods with other needs are tried on, cheapest first, with settings that keep
/// them so.
const STAGES: &[(&str, &str)] = &[
    ("hurdle-car", "{}"),
    ("ring8", "{}"),
    ("quad", "{}"),
    ("slp-resolve", "{}"),
    ("chain-sum", r#"{"start_accuracy": 0.15}"#),
    ("slp-trace", "{}"),
];

/// The methods asked for: the one of `PALIMPSEST_METHOD`, else all.
fn entries() -> impl Iterator<Item = &'static Entry> {
    let asked = std::env::var("PALIMPSEST_METHOD").ok().filter(|name| !name.is_empty());
    if let Some(name) = &asked {
        assert!(methods::find(name).is_some(), "PALIMPSEST_METHOD: there is no method {name:?}");
    }
    REGISTRY.iter().filter(move |entry| asked.as_deref().is_none_or(|name| name == entry.id))
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn file(entry: &Entry) -> PathBuf {
    source().join(entry.family).join(format!("{}.rs", entry.id.replace('-', "_")))
}

/// Lines that are neither comments nor test items, with their numbers.
fn code_lines(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    let mut in_test = false;
    let mut code = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line == "#[cfg(test)]" {
            in_test = true;
        } else if in_test {
            // An item ends with `;` on its line, or with a brace in the first column.
            let ends = line == "}" || (line.ends_with(';') && !line.starts_with(' '));
            in_test = !ends;
        } else if !line.trim_start().starts_with("//") {
            code.push((number, line.to_owned()));
        }
    }
    code
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

/// The cheapest place that offers all a method needs; `None` where images in classes do.
fn stage(entry: &Entry) -> Option<Stage> {
    let needs = entry.method.needs;
    let lacks = |id: &str| {
        let workload = workloads::find(id).unwrap_or_else(|| panic!("no workload {id}"));
        (workload.info)().lacks(needs)
    };
    lacks("blobs-cnn")?;
    let found = STAGES.iter().find(|(id, _)| lacks(id).is_none());
    let (id, settings) = found.unwrap_or_else(|| panic!("{}: nothing offers {needs:?}", entry.id));
    let settings: Values = serde_json::from_str(settings).unwrap();
    let workload = workloads::find(id).unwrap();
    Some(
        Stage::new(workload, &settings, &Sources::from_env(None))
            .unwrap_or_else(|error| panic!("{id}: {error}")),
    )
}

/// A few steps of a method, with what it started from.
struct Smoke {
    trace: Trace,
    start: Digest,
    examples: u32,
}

fn smoke(entry: &Entry, seed: u64) -> Smoke {
    let settings = smoke_settings(entry);
    let fails = |error: lab::LabError| -> ! { panic!("{}: {error}", entry.id) };
    match stage(entry) {
        None => {
            let trial = Trial { seed, ..IMAGES };
            let trace = trial.run(entry.method, &settings).unwrap_or_else(|error| fails(error));
            let start = trial.network().unwrap().digest().unwrap();
            Smoke { trace, start, examples: IMAGES.examples }
        }
        Some(stage) => {
            let samples = 4 * batch_size(entry);
            let trace = stage.run(entry.method, &settings, samples, seed);
            let start = stage.network(seed).unwrap_or_else(|error| fails(error));
            let examples = stage.ready().identity.sample_ids.len();
            Smoke {
                trace: trace.unwrap_or_else(|error| fails(error)),
                start: start.digest().unwrap(),
                examples: u32::try_from(examples).unwrap(),
            }
        }
    }
}

/// Examples of a step under [`smoke_settings`].
fn batch_size(entry: &Entry) -> u64 {
    let resolved = resolved(entry, &smoke_settings(entry));
    resolved.get("batch_size").and_then(serde_json::Value::as_u64).unwrap_or(1)
}

/// Whether a method takes steps at all: those that only set a mark do not, nor do those that change
/// the weights they start from in one go.
fn trains(entry: &Entry) -> bool {
    entry.family != "reference" && !changes_at_once(entry)
}

fn changes_at_once(entry: &Entry) -> bool {
    ["prune-magnitude", "quantise"].contains(&entry.id)
}

#[test]
fn the_registry_lists_every_file_once_and_sorted() {
    let ids: Vec<_> = REGISTRY.iter().map(|entry| entry.id).collect();
    assert!(ids.is_sorted() && ids.len() == ids.iter().collect::<BTreeSet<_>>().len(), "{ids:?}");
    let folders = fs::read_dir(source()).unwrap().map(|entry| entry.unwrap().path());
    let folders = folders.filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    let files: BTreeSet<_> = files.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(REGISTRY.iter().map(file).collect::<BTreeSet<_>>(), files);
}

#[test]
fn every_card_has_its_parts_in_order() {
    for entry in entries() {
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
    for entry in entries() {
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
    for entry in entries() {
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
    for entry in entries() {
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
fn every_need_is_a_word_that_some_workload_offers_and_some_workload_offers_them_all() {
    for entry in entries() {
        let fits = |workload: &&&training::workload::Workload| {
            (workload.info)().lacks(entry.method.needs).is_none()
        };
        assert!(workloads::REGISTRY.iter().any(|workload| fits(&workload)), "{}", entry.id);
        // A baseline that could not run where the method does would be no baseline.
        let Some(baseline) = entry.method.baseline.and_then(methods::find) else { continue };
        for workload in workloads::REGISTRY.iter().filter(fits) {
            let info = (workload.info)();
            let lacking = info.lacks(baseline.method.needs);
            assert_eq!(lacking, None, "{} against {} on {}", entry.id, baseline.id, info.id);
        }
    }
}

#[test]
fn every_workload_lists_its_target_metric_and_no_metric_twice() {
    for workload in workloads::REGISTRY {
        let info = (workload.info)();
        assert!(info.metric(info.metric).is_some(), "{}: {} is not listed", info.id, info.metric);
        let names: BTreeSet<_> = info.metrics.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), info.metrics.len(), "{}", info.id);
        assert!(info.card.starts_with("//! # "), "{}", info.id);
    }
}

#[test]
fn settings_survive_being_resolved_again() {
    for entry in entries() {
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
    for entry in entries() {
        let table = (entry.method.settings)();
        let slip = format!("{}z", table.first().map_or("setting", |setting| setting.name));
        let values = Values::from([(slip.clone(), json!(1))]);
        let message = (entry.method.resolve)(&values).unwrap_err().to_string();
        assert!(message.contains(&format!("\"{slip}\"")), "{}: {message}", entry.id);
        let near = table.is_empty() || message.contains("did you mean");
        assert!(near, "{}: {message}", entry.id);
    }
}

#[test]
fn a_value_of_another_kind_is_refused_by_every_setting() {
    for entry in entries() {
        for setting in (entry.method.settings)() {
            let values = Values::from([(setting.name.to_owned(), json!([{}]))]);
            let message = (entry.method.resolve)(&values).unwrap_err().to_string();
            assert!(message.contains(setting.name), "{}.{}: {message}", entry.id, setting.name);
        }
    }
}

#[test]
fn a_few_steps_leave_finite_parameters_and_a_whole_order() {
    for entry in entries() {
        let Smoke { trace, start, examples } = smoke(entry, IMAGES.seed);
        for parameter in &trace.network.parameters {
            let finite = parameter.tensor.isfinite().all();
            assert!(bool::try_from(&finite).unwrap(), "{}: not finite", entry.id);
        }
        if changes_at_once(entry) {
            assert!(trace.order.ids.is_empty() && trace.digest != start, "{}", entry.id);
            continue;
        }
        if !trains(entry) {
            assert_eq!((trace.digest, trace.order.ids.len()), (start, 0), "{}", entry.id);
            continue;
        }
        assert!(trace.order.chain.step >= 3, "{}: {} steps", entry.id, trace.order.chain.step);
        assert!(trace.order.ids.iter().all(|id| *id < examples), "{}", entry.id);
        assert_ne!(trace.digest, start, "{}", entry.id);
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_another_order() {
    for entry in entries().filter(|entry| trains(entry)) {
        let [first, second, other] = [5, 5, 6].map(|seed| smoke(entry, seed).trace);
        assert_eq!(first.digest, second.digest, "{}: parameters", entry.id);
        assert_eq!(first.order, second.order, "{}: order", entry.id);
        assert_eq!(first.facts, second.facts, "{}: facts", entry.id);
        let hashes = |trace: &Trace| trace.order.epochs[0].order_hash;
        assert_ne!(hashes(&first), hashes(&other), "{}", entry.id);
        assert_ne!(first.digest, other.digest, "{}", entry.id);
    }
}

#[test]
fn a_method_is_one_file_of_at_most_300_lines() {
    for entry in entries() {
        let lines = fs::read_to_string(file(entry)).unwrap().lines().count();
        assert!(lines <= 300, "{}: {lines} lines", entry.id);
    }
}

#[test]
fn methods_never_import_each_other() {
    let families: BTreeSet<_> = REGISTRY.iter().map(|entry| entry.family).collect();
    for entry in entries() {
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
    for entry in entries() {
        for (number, line) in code_lines(&file(entry)) {
            let found = forbidden.iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{}:{number}: {found:?}", entry.id);
        }
    }
}
