//! What every method and every workload of the registries must keep to, whoever writes it, and the
//! templates that new ones start from: a new file is checked without a new test. They are tests of this
//! crate, so that an edited method need not be linked into the programs first; `PALIMPSEST_METHOD`
//! asks for one method alone (`just test-method`).

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "conformance/late.rs"]
mod late;
#[path = "conformance/networks.rs"]
mod networks;
#[path = "conformance/templates.rs"]
mod templates;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use data::Sources;
use lab::LabError;
use lab::method::Entry;
use lab::offers;
use lab::side_info::SideInfo;
use lab::trial;
use ledger::catalogue::DataName;
use ledger::digest::Digest;
use ledger::layout::Layout;
use ledger::order;
use ledger::settings::Values;
use methods::REGISTRY;
use serde_json::json;
use tch::Device;
use training::splits::Splits;
use training::trial::{Fixture, Trace, Trial};
use training::workload;

// What the templates name in their own crates.
use methods::find;
use workloads::shared;

/// Images in classes, on which a method that needs no more takes milliseconds.
const IMAGES: Trial = Trial { examples: 96, epochs: 3, seed: 5 };

/// Workloads that methods with other needs are tried on, cheapest first, with settings that keep
/// them so.
const STAGES: &[(&str, &str)] = &[
    ("bit-permutations", r#"{"bits": 4}"#),
    ("linear-mdp", "{}"),
    ("house", "{}"),
    // Before the car, of which the window that `oracle` begins with cannot be solved, so that nothing is learned.
    ("stumps", "{}"),
    ("hurdle-car", "{}"),
    ("ring8", "{}"),
    ("ring-classes", "{}"),
    ("ring-steer", "{}"),
    ("plane-rewards", r#"{"examples": 2000}"#),
    ("shapes16", "{}"),
    ("shapes-high", "{}"),
    ("quad", "{}"),
    // Few examples: a crowd is asked about all of them.
    ("slp-resolve", r#"{"examples": 3264}"#),
    ("kvr-rank", "{}"),
    ("chain-sum", r#"{"start_accuracy": 0.15}"#),
    ("two-route", r#"{"start_accuracy": 0.3}"#),
    ("sum-routes", r#"{"start_accuracy": 0}"#),
    ("sum-lines", r#"{"start_accuracy": 0}"#),
    ("slp-trace", "{}"),
    ("blobs-elastic", r#"{"width": 0.5}"#),
    ("clips", "{}"),
    ("skills", "{}"),
    ("pyr-tokens", r#"{"pretraining": 0}"#),
    ("scene-cuts", r#"{"examples": 64, "frames": 8}"#),
    ("recall", r#"{"examples": 64, "length": 64, "width": 16}"#),
    ("blobvid", r#"{"examples": 64, "width": 12, "depth": 1}"#),
    ("sine-line", "{}"),
    ("native-blobs", "{}"),
    ("attr-toxic", "{}"),
    ("attr-markers", "{}"),
    ("slp-course", "{}"),
    ("attr-reflection", "{}"),
    ("slp-refine", "{}"),
    ("slp-explained", "{}"),
    ("kvr-tasks", r#"{"size": "xs"}"#),
    (
        "slp-unlabelled",
        r#"{"examples": 256, "modulus": 2, "most": 3, "pretraining": 150, "size": "xs"}"#,
    ),
];

/// The methods asked for: the one of `PALIMPSEST_METHOD`, else all, and the templates of methods.
fn entries() -> impl Iterator<Item = &'static Entry> {
    let asked = std::env::var("PALIMPSEST_METHOD").ok().filter(|name| !name.is_empty());
    if let Some(name) = &asked {
        assert!(find(name).is_some(), "PALIMPSEST_METHOD: there is no method {name:?}");
    }
    let all = REGISTRY.iter().chain(templates::METHODS.iter());
    all.filter(move |entry| asked.as_deref().is_none_or(|name| name == entry.id))
}

/// The root of the checkout.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Every workload, and the template of workloads.
fn all_workloads() -> impl Iterator<Item = &'static workload::Entry> {
    workloads::REGISTRY.iter().chain([&*templates::WORKLOAD])
}

fn file(entry: &Entry) -> PathBuf {
    let folder = if entry.family == templates::FAMILY { "methods" } else { "methods/src" };
    root().join(folder).join(entry.family).join(format!("{}.rs", entry.id.replace('-', "_")))
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

/// The places where methods are tried, each loaded once a test: those of [`STAGES`] by id; those that were poisoned.
#[derive(Default)]
struct Places(BTreeMap<&'static str, Fixture>, BTreeSet<&'static str>);

impl Places {
    /// The cheapest place that offers all a method needs; `None` where images in classes do.
    fn find(&mut self, entry: &Entry) -> Option<&Fixture> {
        let needs = entry.method.needs;
        let lacks = |id: &str| {
            let workload = workloads::find(id).unwrap_or_else(|| panic!("no workload {id}"));
            workload.info().lacks(needs)
        };
        lacks("blobs-cnn")?;
        let (id, settings) = stage_of(entry);
        Some(self.0.entry(id).or_insert_with(|| {
            let settings: Values = serde_json::from_str(settings).unwrap();
            let workload = workloads::find(id).unwrap();
            Fixture::new(workload, &settings, &Sources::from_env(None))
                .unwrap_or_else(|error| panic!("{id}: {error}"))
        }))
    }

    /// Gives examples of the place that a method is tried on each other's responses, once.
    fn poison(&mut self, entry: &Entry, ids: std::ops::Range<u32>) {
        let (id, _) = stage_of(entry);
        if !self.1.insert(id) {
            return;
        }
        if let Some(fixture) = self.0.get_mut(id) {
            fixture.poison(ids).unwrap();
        }
    }

    /// Where a method is tried, and on how many samples: `long` times those of a few steps.
    fn place(&mut self, entry: &Entry, seed: u64, long: u32) -> Place<'_> {
        let Some(fixture) = self.find(entry) else {
            return Place::Images(Trial { seed, epochs: long * IMAGES.epochs, ..IMAGES });
        };
        let episode = fixture.ready().side.episodes.as_ref().map_or(1, Layout::size);
        Place::Fixture(fixture, u64::from(4 * long) * batch_size(entry) * u64::from(episode))
    }

    /// A few steps of a method.
    fn smoke(&mut self, entry: &Entry, seed: u64) -> Smoke {
        let settings = smoke_settings(entry);
        let fails = |error: LabError| -> ! { panic!("{}: {error}", entry.id) };
        match self.place(entry, seed, 1) {
            Place::Images(trial) => {
                let trace = trial.run(entry.method, &settings).unwrap_or_else(|error| fails(error));
                let start = trial.network().unwrap().digest().unwrap();
                Smoke { trace, start, examples: IMAGES.examples }
            }
            Place::Fixture(fixture, samples) => {
                let trace = fixture.run(entry.method, &settings, samples, seed);
                let start = fixture.network(seed).unwrap_or_else(|error| fails(error));
                let examples = fixture.ready().identity.sample_ids.len();
                Smoke {
                    trace: trace.unwrap_or_else(|error| fails(error)),
                    start: start.digest().unwrap(),
                    examples: u32::try_from(examples).unwrap(),
                }
            }
        }
    }

    /// The same steps, stopped behind one of them and gone on with in seats and weights made anew.
    fn interrupted(&mut self, entry: &Entry, seed: u64, stop: u64) -> Result<Trace, LabError> {
        let settings = smoke_settings(entry);
        match self.place(entry, seed, 1) {
            Place::Images(trial) => trial.interrupted(entry.method, &settings, stop),
            Place::Fixture(fixture, samples) => {
                fixture.interrupted(entry.method, &settings, samples, seed, stop)
            }
        }
    }
}

/// What a place trains a method on, and how long.
enum Place<'a> {
    Images(Trial),
    Fixture(&'a Fixture, u64),
}

/// The cheapest of [`STAGES`] that offers all a method needs.
fn stage_of(entry: &Entry) -> (&'static str, &'static str) {
    let needs = entry.method.needs;
    let offers =
        |id: &str| workloads::find(id).is_some_and(|found| found.info().lacks(needs).is_none());
    let found = STAGES.iter().find(|(id, _)| offers(id));
    *found.unwrap_or_else(|| panic!("{}: nothing offers {needs:?}", entry.id))
}

/// A few steps of a method, with what it started from.
struct Smoke {
    trace: Trace,
    start: Digest,
    examples: u32,
}

/// Examples of a step under [`smoke_settings`]; episodes, where these are counted.
fn batch_size(entry: &Entry) -> u64 {
    let resolved = resolved(entry, &smoke_settings(entry));
    let count = |name: &str| resolved.get(name).and_then(serde_json::Value::as_u64);
    let counted = count("batch_size").or_else(|| count("episodes"));
    // Steps that hold packs of tokens have 81 images for each at most.
    counted.or_else(|| count("packs").map(|packs| 81 * packs)).unwrap_or(1)
}

/// Whether a method takes steps at all: those that only set a mark do not, nor do those that change
/// the weights they start from in one go.
fn trains(entry: &Entry) -> bool {
    entry.family != "reference" && !changes_at_once(entry) && !only_samples(entry)
}

/// What samples in another way from the weights that a run begins with.
fn only_samples(entry: &Entry) -> bool {
    entry.id == "diffusehigh"
}

fn changes_at_once(entry: &Entry) -> bool {
    ["low-bit", "permutations", "prune-magnitude", "ptqtp", "quantise"].contains(&entry.id)
}

#[test]
fn the_registry_lists_every_file_once_and_sorted() {
    let ids: Vec<_> = REGISTRY.iter().map(|entry| entry.id).collect();
    assert!(ids.is_sorted() && ids.len() == ids.iter().collect::<BTreeSet<_>>().len(), "{ids:?}");
    let folders =
        fs::read_dir(root().join("methods/src")).unwrap().map(|entry| entry.unwrap().path());
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
        let fits =
            |workload: &&workload::Entry| workload.info().lacks(entry.method.needs).is_none();
        assert!(workloads::REGISTRY.iter().any(|workload| fits(&workload)), "{}", entry.id);
        // A baseline that could not run where the method does would be no baseline.
        let Some(baseline) = entry.method.baseline.and_then(methods::find) else { continue };
        for workload in workloads::REGISTRY.iter().filter(fits) {
            let info = workload.info();
            let lacking = info.lacks(baseline.method.needs);
            assert_eq!(lacking, None, "{} against {} on {}", entry.id, baseline.id, info.id);
        }
    }
}

#[test]
fn every_workload_lists_its_target_metric_and_no_metric_twice() {
    for workload in all_workloads() {
        let info = workload.info();
        assert!(info.metric(info.metric).is_some(), "{}: {} is not listed", info.id, info.metric);
        let names: BTreeSet<_> = info.metrics.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), info.metrics.len(), "{}", info.id);
        assert!(info.card.starts_with("# ") && !info.card.contains("//!"), "{}", info.id);
    }
}

#[test]
fn every_workload_declares_all_that_shared_constants_leave_open() {
    for entry in all_workloads() {
        let info = entry.info();
        assert!(!info.title.is_empty() && info.title.len() <= 100, "{}", info.id);
        assert!(!info.offers.is_empty() && !info.target_origin.is_empty(), "{}", info.id);
        let durations = [info.budget_epochs, info.evaluate_every_epochs];
        assert!(durations.iter().all(|epochs| *epochs > 0.0), "{}: {durations:?}", info.id);
        // What a file of the user's holds is counted when it is there.
        let sizes = info.split_sizes.map(|size| size > 0);
        assert_eq!(sizes, [info.count.is_none(); 3], "{}", info.id);
        let same = |other: &&workload::Entry| other.workload.title == info.title;
        assert_eq!(all_workloads().filter(same).count(), 1, "{}", info.title);
    }
    for entry in workloads::REGISTRY {
        let file = format!("{}.rs", entry.id.replace('-', "_"));
        let file = root().join("harness/workloads/src").join(entry.family).join(file);
        assert!(file.is_file(), "{}", file.display());
    }
}

#[test]
fn every_workload_names_data_of_the_list_or_says_that_it_generates_them() {
    for entry in all_workloads() {
        if let DataName::Set(name) = entry.workload.data {
            data::catalogue::find(name).unwrap_or_else(|error| panic!("{}: {error}", entry.id));
        }
    }
}

#[test]
fn what_a_workload_offers_is_what_its_data_hold_and_its_sizes_are_theirs() {
    for entry in all_workloads() {
        let files = match entry.workload.data {
            DataName::Set(name) => data::catalogue::find(name).unwrap().files,
            DataName::Generated | DataName::GeneratedAs(_) => &[],
            DataName::Own => continue,
        };
        if !files.is_empty() {
            continue;
        }
        let fixture = Fixture::generated(entry, &Values::new()).unwrap();
        let found: BTreeSet<_> = fixture.ready().offers().into_iter().collect();
        let said: BTreeSet<_> = entry.workload.offers.iter().copied().collect();
        assert_eq!(said, found, "{}", entry.id);
        let Splits { train, validation, test, .. } = &fixture.ready().splits;
        let sizes = [train, validation, test].map(|split| u32::try_from(split.len()).unwrap());
        assert_eq!(sizes, entry.workload.split_sizes, "{}", entry.id);
    }
}

#[test]
fn no_network_is_built_from_settings_that_cannot_be_read() {
    for entry in all_workloads() {
        let settings = (entry.workload.settings)();
        let values: Values =
            settings.iter().map(|setting| (setting.name.to_owned(), json!([{}]))).collect();
        assert_eq!((entry.workload.resolve)(&values).is_err(), !values.is_empty(), "{}", entry.id);
        // Of these the network has no setting: those of `quad` are of its data, and programs have their own.
        if values.is_empty() || ["quad", "external"].contains(&entry.id) {
            continue;
        }
        let (side, streams) = (SideInfo::default(), trial::streams());
        let network = (entry.workload.network)(&values, &side, &streams, Device::Cpu);
        assert!(matches!(network, Err(LabError::Setting(_))), "{}: {network:?}", entry.id);
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
        assert!(defaults.keys().all(|name| names.contains(name.as_str())), "{}", entry.id);
        for setting in table {
            // One that came after arms had been tuned is left out at its default, however that is said.
            let Some(value) = defaults.get(setting.name) else {
                let said = Values::from([(setting.name.to_owned(), setting.default)]);
                assert_eq!(resolved(entry, &said), defaults, "{}.{}", entry.id, setting.name);
                continue;
            };
            assert_eq!(*value, setting.default, "{}.{}", entry.id, setting.name);
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
fn a_few_steps_leave_finite_parameters_and_a_whole_order_the_same_for_the_same_seed_alone() {
    let mut places = Places::default();
    for entry in entries() {
        let first = places.smoke(entry, IMAGES.seed);
        is_finite_and_whole(entry, &first);
        if trains(entry) {
            let [again, other] =
                [IMAGES.seed, IMAGES.seed + 1].map(|seed| places.smoke(entry, seed).trace);
            let first = first.trace;
            assert_eq!(first.digest, again.digest, "{}: parameters", entry.id);
            assert_eq!(first.order, again.order, "{}: order", entry.id);
            assert_eq!(first.facts, again.facts, "{}: facts", entry.id);
            let hashes = |trace: &Trace| trace.order.epochs[0].order_hash;
            assert_ne!(hashes(&first), hashes(&other), "{}", entry.id);
            assert_ne!(first.digest, other.digest, "{}", entry.id);
        }
    }
}

#[test]
fn a_run_that_is_stopped_and_goes_on_ends_like_one_that_was_not() {
    let mut places = Places::default();
    let mut refused = Vec::new();
    for entry in entries().filter(|entry| trains(entry)) {
        let whole = places.smoke(entry, IMAGES.seed).trace;
        let mut random = order::generator(&Digest::of(entry.id.as_bytes()));
        let stop = 1 + order::bounded(&mut random, whole.order.chain.step - 1);
        let again = match places.interrupted(entry, IMAGES.seed, stop) {
            Ok(again) => again,
            Err(LabError::Unkept(reason)) => {
                refused.push(format!("{}: {reason}", entry.id));
                continue;
            }
            Err(error) => panic!("{}, stopped behind step {stop}: {error}", entry.id),
        };
        assert_eq!(again.digest, whole.digest, "{}: parameters, from step {stop}", entry.id);
        assert_eq!(again.order, whole.order, "{}: order, from step {stop}", entry.id);
        assert_eq!(again.facts, whole.facts, "{}: facts, from step {stop}", entry.id);
        assert_eq!(again.messages, whole.messages, "{}: messages", entry.id);
    }
    // A method that cannot be kept belongs here by its name, with the reason; none is known.
    assert_eq!(refused, [] as [String; 0]);
}

/// Holds a few steps of a method to what they may leave.
fn is_finite_and_whole(entry: &Entry, smoke: &Smoke) {
    let Smoke { trace, start, examples } = smoke;
    for parameter in &trace.network.parameters {
        let finite = parameter.tensor.isfinite().all();
        assert!(bool::try_from(&finite).unwrap(), "{}: not finite", entry.id);
    }
    if changes_at_once(entry) {
        assert!(trace.order.ids.is_empty() && trace.digest != *start, "{}", entry.id);
    } else if trains(entry) {
        assert!(trace.order.chain.step >= 3, "{}: {} steps", entry.id, trace.order.chain.step);
        assert!(trace.order.ids.iter().all(|id| id < examples), "{}", entry.id);
        assert_ne!(trace.digest, *start, "{}", entry.id);
        // What generative methods are compared over beside time: told along the run, whatever stands around an objective.
        if entry.method.needs.contains(&offers::DENOISING) {
            let evaluations = trace.costs.get("network_evaluations");
            assert!(evaluations.is_some_and(|count| *count > 0), "{}: counts nothing", entry.id);
        }
    } else {
        assert_eq!((trace.digest, trace.order.ids.len()), (*start, 0), "{}", entry.id);
    }
}

/// Whether a method learns from what networks write, and not from the responses of examples: of a workload whose questions
/// have no gold answers, or by a verifier's word alone.
fn learns_without_gold(entry: &Entry) -> bool {
    let needs = |word| entry.method.needs.contains(&word);
    let imitates = needs(offers::LOSS) || needs(offers::RESPONSES);
    needs(offers::UNLABELLED) || (needs(offers::VERIFIER) && !imitates)
}

#[test]
fn no_gold_answer_of_a_question_without_one_reaches_what_a_method_makes() {
    let (mut places, mut poisoned) = (Places::default(), Places::default());
    let mut held = BTreeSet::new();
    for entry in entries().filter(|entry| learns_without_gold(entry)) {
        let clean = places.smoke(entry, IMAGES.seed).trace;
        let Some(fixture) = poisoned.find(entry) else { continue };
        let side = &fixture.ready().side;
        let first = side.unlabelled.as_ref().map_or(0, |unlabelled| unlabelled.first);
        let examples = u32::try_from(fixture.ready().identity.sample_ids.len()).unwrap();
        poisoned.poison(entry, first..examples);
        let other = poisoned.smoke(entry, IMAGES.seed).trace;
        assert_eq!(clean.digest, other.digest, "{}: parameters", entry.id);
        assert_eq!(clean.order.ids, other.order.ids, "{}: order", entry.id);
        assert_eq!(clean.facts, other.facts, "{}: facts", entry.id);
        held.insert(entry.id);
    }
    if std::env::var("PALIMPSEST_METHOD").is_ok_and(|name| !name.is_empty()) {
        return;
    }
    // Whoever is left out here was given another need.
    for id in ["weak-to-strong", "dpo", "grpo", "ppo"] {
        assert!(held.contains(id), "{id} is not held to it: {held:?}");
    }
    // The poison is one: what learns by the responses notices.
    let imitates = find("lm-adamw").unwrap();
    let of = |places: &mut Places| {
        let fixture = &places.0["slp-unlabelled"];
        fixture.run(imitates.method, &smoke_settings(imitates), 256, 1).unwrap().digest
    };
    assert_ne!(of(&mut places), of(&mut poisoned));
}

#[test]
fn a_method_is_one_file_of_at_most_320_lines() {
    for entry in entries() {
        let lines = fs::read_to_string(file(entry)).unwrap().lines().count();
        // 300 for the method, and what its seats say of their state.
        assert!(lines <= 320, "{}: {lines} lines", entry.id);
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
