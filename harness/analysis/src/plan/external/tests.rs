use super::*;
use crate::plan::tests::catalogue;
use crate::plan::{Overrides, Plan, plan};
use crate::suite::SuiteError;
use ledger::external::own_task::OwnTask;

const TEXT: &str = "\
suite: x
question: q
workloads: [digits-mlp]
settings: { batch_size: 16 }
arms:
  - { command: [python, train.py, --lr, \"{lr}\", \"{batch_size}\"], files: [train.py], as: lion, with: { lr: 0.0003 } }
  - { method: sgd, as: sgd }
";

fn read(text: &str) -> Result<Plan, SuiteError> {
    plan("x.yaml", text, &catalogue(), &Overrides::default())
}

fn refusal(from: &str, to: &str) -> (String, usize) {
    let text = TEXT.replace(from, to);
    assert_ne!(text, TEXT);
    let error = read(&text).unwrap_err();
    (error.message, error.line)
}

#[test]
fn a_program_stands_beside_methods_with_its_own_settings_and_those_of_all() {
    let planned = read(TEXT).unwrap();
    let arm = &planned.arms[0];
    assert_eq!((arm.label.as_str(), arm.method.as_str()), ("lion", METHOD));
    let external = arm.external.as_ref().unwrap();
    let arguments = external.arguments(&arm.settings).unwrap();
    assert_eq!(arguments, ["python", "train.py", "--lr", "0.0003", "16"]);
    assert_eq!(planned.arms[1].external, None);
}

#[test]
fn a_program_without_places_reads_its_settings_by_itself() {
    let text = TEXT.replace(", --lr, \"{lr}\", \"{batch_size}\"", "");
    assert_eq!(read(&text).unwrap().arms[0].settings.len(), 2);
}

#[test]
fn places_without_a_setting_and_settings_without_a_place_are_refused_where_they_stand() {
    let (message, line) = refusal("\"{lr}\"", "\"{rate}\"");
    assert!(message.contains("{rate} is no setting of the arm"), "{message}");
    assert_eq!(line, 6);
    let (message, line) = refusal("lr: 0.0003", "lr: 0.0003, width: 2");
    assert!(message.contains("the command has no {width}"), "{message}");
    assert_eq!(line, 6);
    // One that all arms get.
    let (message, line) = refusal(", \"{batch_size}\"", "");
    assert!(message.contains("the command has no {batch_size}"), "{message}");
    assert_eq!(line, 4);
    let (message, _) = refusal("lr: 0.0003", "lr: [1, 2]");
    assert!(message.contains("an argument is a text, a number"), "{message}");
}

#[test]
fn a_setting_of_the_command_line_has_a_place_too() {
    let with = |text: &str| Overrides { set: vec![text.parse().unwrap()], ..Overrides::default() };
    let planned = plan("x.yaml", TEXT, &catalogue(), &with("lion.lr=0.5")).unwrap();
    assert_eq!(planned.arms[0].settings["lr"], 0.5);
    let error = plan("x.yaml", TEXT, &catalogue(), &with("lion.width=2")).unwrap_err();
    assert!(error.message.starts_with("--set lion.width: the command has no {width}"), "{error}");
}

#[test]
fn an_arm_is_a_method_or_a_command() {
    for (from, to, told) in [
        ("method: sgd, as", "method: sgd, command: [p], as", "not both"),
        ("method: sgd, as", "as", "missing field `method`, or `command`"),
        ("method: sgd, as", "method: sgd, files: [a.py], as", "`files` are those of a `command`"),
        ("files: [train.py], ", "", "name the files that are the program"),
        ("files: [train.py]", "files: [../train.py]", "leads out of its folder"),
        ("[python, train.py, --lr, \"{lr}\", \"{batch_size}\"]", "[]", "it is empty"),
        ("as: lion", "as: lion, order: o.npy", "order: a program of one's own takes none"),
        ("as: lion", "as: lion, from: sgd", "from: a program of one's own takes none"),
    ] {
        let (message, _) = refusal(from, to);
        assert!(message.contains(told), "{to}: {message}");
    }
}

#[test]
fn nothing_descends_from_a_program_or_looks_into_its_model() {
    let child = "  - { method: sgd, as: child, from: lion }\n";
    let error = read(&format!("{TEXT}{child}")).unwrap_err();
    assert!(error.message.contains("\"lion\" is a program of one's own"), "{error}");
    let tested = "provenance: [{ id: t, statement: s, run: digits-mlp/sgd, suspect: digits-mlp/lion, expect: { nothing: true } }]\n";
    let error = read(&format!("{TEXT}{tested}")).unwrap_err().message;
    assert!(error.contains("\"lion\" is a program of one's own"), "{error}");
}

#[test]
fn a_workload_without_classes_is_refused() {
    let mut catalogue = catalogue();
    catalogue.workloads[0].offers = &[];
    let text = TEXT.replace("  - { method: sgd, as: sgd }\n", "");
    let error = plan("x.yaml", &text, &catalogue, &Overrides::default()).unwrap_err();
    assert!(error.message.contains("judged by outputs of classes"), "{error}");
}

#[test]
fn what_a_command_has_places_for_can_be_tuned() {
    let text = TEXT
        .replace("with: { lr: 0.0003 }", "tune: { lr: { log: [0.001, 0.1] } }")
        .replace("workloads:", "tuning: { trials: 2, seeds: [100] }\nworkloads:");
    let planned = read(&text).unwrap();
    assert_eq!(planned.tuning.unwrap().arms[0].arm, "lion");
    let (message, _) = {
        let error = read(&text.replace("lr: { log", "width: { log")).unwrap_err();
        (error.message, error.line)
    };
    assert!(message.contains("{lr} is no setting of the arm"), "{message}");
}

const OWN: &str = "\
suite: x
question: q
workloads:
  - { workload: external, as: mine, metric: auc, direction: higher, examples: 50, samples: 500, evaluate_every: 25, target: { value: 0.9, origin: o } }
arms:
  - { command: [python, a.py], files: [a.py], as: a }
  - { command: [python, b.py], files: [b.py], as: b }
claims:
  - { id: c, statement: s, paper: { number: n, source: p }, arm: a, baseline: b, compare: validation/auc, at_least: 0.01 }
";

fn with_own(text: &str) -> Result<Plan, SuiteError> {
    let mut catalogue = catalogue();
    let mut own = catalogue.workloads[0].clone();
    own.id = WORKLOAD;
    own.offers = &["an order"];
    own.settings = OwnTask::table();
    own.resolve = OwnTask::declared;
    catalogue.workloads.push(own);
    plan("x.yaml", text, &catalogue, &Overrides::default())
}

#[test]
fn a_workload_of_a_programs_own_has_the_metric_and_the_samples_that_the_suite_declares() {
    let planned = with_own(OWN).unwrap();
    let workload = &planned.workloads[0];
    assert_eq!((workload.label.as_str(), workload.id.as_str()), ("mine", WORKLOAD));
    assert_eq!((workload.goal.budget.samples, workload.goal.budget.evaluate_every), (500, 25));
    assert_eq!((workload.goal.target.metric.as_str(), workload.metrics.len()), ("auc", 1));
    assert!(workload.goal.target.direction.is_higher() && !workload.has_test());
    assert_eq!(workload.settings["name"], "mine");
    let lower = with_own(&OWN.replace("direction: higher", "direction: lower")).unwrap();
    assert!(!lower.workloads[0].goal.target.direction.is_higher());
    // In epochs, as of every workload; and settings may stand under `with`.
    let epochs = OWN.replace("samples: 500, evaluate_every: 25", "epochs: 4, evaluate_every: 0.5");
    let budget = with_own(&epochs).unwrap().workloads[0].goal.budget;
    assert_eq!((budget.samples, budget.evaluate_every), (200, 25));
    let with = OWN.replace("metric: auc", "with: { metric: auc }");
    assert_eq!(with_own(&with).unwrap().workloads, planned.workloads);
    // The name is a part of the cells' ids: programs know the workload by it.
    let other = with_own(&OWN.replace("as: mine", "as: other")).unwrap();
    assert_ne!(other.workloads[0].settings, workload.settings);
}

#[test]
fn what_is_missing_or_wrong_in_a_workload_of_a_programs_own_is_told_with_the_remedy() {
    for (from, to, told) in [
        ("metric: auc, ", "", "it has no `metric`"),
        ("direction: higher, ", "", "it has no `direction`"),
        ("examples: 50, ", "", "it has no `examples`"),
        ("as: mine, ", "", "give it a name, as in `as: my-task`"),
        (", target: { value: 0.9, origin: o }", "", "give it a `target: { value, origin }`"),
        ("direction: higher", "direction: up", "one of higher, lower"),
        ("metric: auc", "metric: a/b", "letters, digits"),
        ("examples: 50", "examples: 0", "a whole number at least 1"),
        ("metric: auc", "metric: auc, with: { metric: auc }", "beside `with` and in it"),
        ("metric: auc", "metric: auc, with: { name: n }", "its name is what `as` says"),
        ("samples: 500", "samples: 500, epochs: 2", "both given"),
        ("samples: 500", "samples: 0", "at least 1"),
        ("samples: 500", "samples: 20", "at most the budget of 20"),
        ("evaluate_every: 25", "evaluate_every: 2.5", "a whole number of samples"),
        ("workload: external", "workload: digits-mlp", "those of `workload: external`"),
        ("command: [python, a.py], files: [a.py]", "method: sgd", "sgd cannot train on \"mine\""),
        ("validation/auc", "test/auc", "unknown comparison \"test/auc\""),
        ("validation/auc", "validation/loss", "unknown comparison"),
    ] {
        let text = OWN.replacen(from, to, 1);
        assert_ne!(text, OWN, "{from}");
        let error = with_own(&text).unwrap_err();
        assert!(error.message.contains(told) && error.line > 1, "{to}: {error}");
    }
    let tested =
        OWN.replace("validation/auc", "test/auc").replace("samples:", "test: true, samples:");
    assert!(with_own(&tested).unwrap().workloads[0].has_test());
}

#[test]
fn a_budget_in_samples_is_for_every_workload() {
    let text = TEXT.replace("[digits-mlp]", "[{ workload: digits-mlp, samples: 250 }]");
    let budget = read(&text).unwrap().workloads[0].goal.budget;
    assert_eq!((budget.samples, budget.evaluate_every), (250, 50));
}
