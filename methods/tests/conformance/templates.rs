//! The files that `just new` starts from: compiled and tested here as they are, and held by
//! `conformance` to what every method and every workload is held to. Each is used through the
//! paths that it has in its own crate: `crate::find`, `crate::shared`.

use std::collections::BTreeSet;
use std::fs;
use std::sync::LazyLock;

use lab::method;
use lab::trial::with;
use training::trial::Fixture;
use training::workload;

use super::root;

#[path = "../../templates/constraint.rs"]
mod constraint;
#[path = "../../templates/learner.rs"]
mod learner;
#[path = "../../templates/objective.rs"]
mod objective;
#[path = "../../templates/optimizer.rs"]
mod optimizer;
#[path = "../../templates/order.rs"]
mod order;
#[path = "../../templates/view.rs"]
mod view;

#[path = "../../../harness/workloads/template.rs"]
mod on_generated_data;

/// The folder of templates, as their family.
pub const FAMILY: &str = "templates";

/// The templates of methods, by seat.
pub static METHODS: LazyLock<Vec<method::Entry>> = LazyLock::new(|| {
    [
        ("constraint", &constraint::METHOD),
        ("learner", &learner::METHOD),
        ("objective", &objective::METHOD),
        ("optimizer", &optimizer::METHOD),
        ("order", &order::METHOD),
        ("view", &view::METHOD),
    ]
    .map(|(id, method)| {
        let card = card(&format!("methods/templates/{id}.rs"));
        method::Entry { id, family: FAMILY, card, method }
    })
    .into()
});

/// The template of workloads.
pub static WORKLOAD: LazyLock<workload::Entry> = LazyLock::new(|| workload::Entry {
    id: "template",
    family: FAMILY,
    card: card("harness/workloads/template.rs"),
    workload: &on_generated_data::WORKLOAD,
});

/// The doc comment of a file, as the folder scans take it.
fn card(path: &str) -> &'static str {
    let text = fs::read_to_string(root().join(path)).unwrap();
    let lines = text.lines().take_while(|line| line.starts_with("//!"));
    let lines: Vec<_> = lines.map(|line| line.strip_prefix("//! ").unwrap_or_default()).collect();
    lines.join("\n").leak()
}

#[test]
fn every_template_is_tried_and_names_its_copy() {
    let files = fs::read_dir(root().join("methods/templates")).unwrap();
    let files: BTreeSet<_> =
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_owned()).collect();
    assert_eq!(METHODS.iter().map(|entry| entry.id.into()).collect::<BTreeSet<_>>(), files);
    let cards = METHODS.iter().map(|entry| entry.card).chain([WORKLOAD.card]);
    assert!(cards.into_iter().all(|card| card.starts_with("# @NAME@\n")));
    assert!(WORKLOAD.workload.title.contains("@NAME@"), "no two workloads have the same title");
}

#[test]
fn methods_train_on_the_template_of_workloads_as_it_is() {
    let fixture = Fixture::generated(&WORKLOAD, &with([])).unwrap();
    let settings = with([("batch_size", 32.into())]);
    for entry in METHODS.iter().chain([methods::find("sgd").unwrap()]) {
        let trace = fixture.run(entry.method, &settings, 8_000, 1);
        let trace = trace.unwrap_or_else(|error| panic!("{}: {error}", entry.id));
        let model = training::judge::Model::plain(&trace.network);
        let (split, judged) = (&fixture.ready().splits.test, training::judge::Judged::Test);
        let request = training::judge::EvaluationRequest { model, split, judged, last: true };
        let metrics = tch::no_grad(|| fixture.ready().judge.metrics(&request)).unwrap();
        let listed = WORKLOAD.workload.metrics.iter().map(|metric| metric.name.to_owned());
        assert_eq!(metrics.keys().cloned().collect::<BTreeSet<_>>(), listed.collect());
        assert!(metrics.values().all(|value| value.is_finite()), "{}: {metrics:?}", entry.id);
        // The best constant answer is right half of the time.
        assert!(entry.id != "sgd" || metrics["accuracy"] > 0.7, "{metrics:?}");
    }
}
