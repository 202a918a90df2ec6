use super::*;
use ledger::catalogue::{DataName, MethodInfo, MetricInfo, Paper, PaperClaim, WorkloadInfo};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of the example method.
    pub struct Example {
        /// Step size.
        lr: f64 = 0.1, range Range::above(0.0), from "assumed";
        /// Examples per step.
        batch_size: u32 = 32, range Range::of(1.0..), from "assumed";
    }
}

settings! {
    /// Settings of the example workload.
    pub struct Shape {
        /// Factor on widths.
        width: f64 = 1.0, range Range::above(0.0), from "assumed";
        /// Training examples.
        examples: u32 = 100, range Range::of(1.0..=100.0), from "assumed";
    }
}

pub(crate) fn catalogue() -> Catalogue {
    let method = |id| MethodInfo {
        id,
        family: "optim",
        summary: "",
        paper: Paper { title: "", authors: "", year: 2020, reference: "", code: "" },
        claim: PaperClaim { statement: "", number: "", source: "" },
        baseline: None,
        needs: &["classes"],
        settings: Example::table(),
        resolve: Example::resolve,
        card: "",
    };
    let workload = WorkloadInfo {
        id: "digits-mlp",
        family: "classification",
        title: "",
        data: DataName::Set("digits"),
        offers: &["classes"],
        metrics: const { &[MetricInfo::share("accuracy", 0.1), MetricInfo::error("nll")] },
        metric: "accuracy",
        target: 0.9,
        target_origin: "assumed",
        budget_epochs: 2.0,
        evaluate_every_epochs: 0.5,
        split_sizes: [100, 10, 10],
        epoch_setting: Some("examples"),
        count: None,
        settings: Shape::table(),
        resolve: Shape::resolve,
        card: "",
    };
    Catalogue { methods: vec![method("muon"), method("sgd")], workloads: vec![workload] }
}

const TEXT: &str = "\
suite: x
question: q
seeds: 2
baseline: sgd
workloads:
  - digits-mlp
  - { workload: digits-mlp, with: { width: 2 }, epochs: 3 }
settings: { batch_size: 16 }
arms:
  - sgd
  - { method: muon, with: { lr: 0.02 } }
claims:
  - id: faster
    statement: s
    paper: { number: n, source: p }
    arm: muon[lr=0.02]
    baseline: sgd
    compare: time-to-target
    at_least: 1.1
";

#[test]
fn claims_whose_arms_or_workloads_are_left_out_are_named_with_what_they_need() {
    let second = "  - { id: narrow, statement: s, paper: { number: n, source: p }, arm: \"muon[lr=0.02]\", baseline: sgd, \
                  compare: test/nll, at_least: 0, workloads: [digits-mlp] }\n";
    let text = format!("{TEXT}{second}");
    let part = |methods: &[&str], workloads: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let overrides = Overrides {
            methods: names(methods),
            workloads: names(workloads),
            ..Overrides::default()
        };
        plan("x.yaml", &text, &catalogue(), &overrides).unwrap()
    };
    let whole = part(&[], &[]);
    assert_eq!((whole.sections.claims.len(), unjudged::words(&whole.unjudged)), (2, None));
    let sgd = part(&["sgd"], &[]);
    assert_eq!(sgd.sections.claims.len(), 0);
    assert_eq!(
        unjudged::words(&sgd.unjudged).unwrap(),
        "2 claims are not judged: they need muon[lr=0.02], left out by --methods or --workloads"
    );
    let wide = part(&[], &["digits-mlp[width=2]"]);
    assert_eq!(wide.sections.claims.iter().map(|claim| &claim.id).collect::<Vec<_>>(), ["faster"]);
    assert_eq!(
        unjudged::words(&wide.unjudged).unwrap(),
        "claim narrow is not judged: it needs digits-mlp, left out by --methods or --workloads"
    );
    // A gate runs some cells and asks no claim.
    assert!(sgd.only(&[0]).unwrap().unjudged.is_empty());
}

fn planned(text: &str) -> Result<Plan, SuiteError> {
    plan("x.yaml", text, &catalogue(), &Overrides::default())
}

fn message(from: &str, to: &str) -> String {
    assert!(TEXT.contains(from), "{from}");
    planned(&TEXT.replacen(from, to, 1)).unwrap_err().to_string()
}

#[test]
fn a_suite_becomes_cells_seed_by_seed_with_everything_resolved() {
    let plan = planned(TEXT).unwrap();
    assert_eq!(plan.cells.len(), 2 * 2 * 2);
    assert_eq!(
        plan.cells[..2],
        [Cell { workload: 0, arm: 0, seed: 0 }, Cell { workload: 0, arm: 1, seed: 0 }]
    );
    assert_eq!(plan.workloads[1].label, "digits-mlp[width=2]");
    assert_eq!(
        {
            let budget = plan.workloads[1].goal.budget;
            (budget.samples, budget.evaluate_every)
        },
        (300, 50)
    );
    assert_eq!(plan.arms[1].label, "muon[lr=0.02]");
    assert_eq!(plan.arms[1].settings["batch_size"], 16);
}

#[test]
fn budgets_are_counted_in_epochs_of_the_examples_that_a_workload_is_set_to() {
    let plan = planned(&TEXT.replace("width: 2", "examples: 40")).unwrap();
    let budgets = plan.workloads.iter().map(|workload| workload.goal.budget);
    let budgets: Vec<_> = budgets.map(|budget| (budget.samples, budget.evaluate_every)).collect();
    assert_eq!(budgets, [(200, 50), (120, 20)]);
}

#[test]
fn every_mistake_has_file_line_column_and_remedy() {
    assert_eq!(
        message("  - sgd", "  - sgdd"),
        "x.yaml:10:5: arms[0]: unknown method \"sgdd\"; did you mean \"sgd\"?"
    );
    assert_eq!(
        message("lr: 0.02", "lr: -1"),
        "x.yaml:11:33: muon: setting \"lr\" is -1, but must be a number above 0"
    );
    assert_eq!(
        message("with: { lr", "with: { rl"),
        "x.yaml:11:33: muon: unknown setting \"rl\"; did you mean \"lr\"?"
    );
    assert_eq!(
        message("batch_size: 16", "batch_size: big"),
        "x.yaml:8:25: sgd: setting \"batch_size\" is \"big\", but must be a whole number at least 1"
    );
    assert_eq!(message("width: 2", "width: 0").split(": ").nth(1), Some("digits-mlp"));
    assert!(
        message("  - digits-mlp", "  - digit-mlp")
            .contains("x.yaml:6:5: workloads[0]: unknown workload")
    );
    assert!(
        message("baseline: sgd", "baseline: sdg")
            .contains("x.yaml:4:11: unknown arm \"sdg\"; did you mean \"sgd\"?")
    );
    assert!(
        message("time-to-target", "time-to-targte").contains("x.yaml:18:14: unknown comparison")
    );
    assert!(message("at_least: 1.1", "at_least: 0.5").contains("x.yaml:19:15"));
    assert!(message("epochs: 3", "epochs: 0").contains("epochs is 0"));
    assert!(message("suite: x", "suite: ../x").contains("x.yaml:1:8: suite name"));
    assert!(
        message("{ method: muon, with: { lr: 0.02 } }", "sgd")
            .contains("two arms are called \"sgd\"")
    );
}

#[test]
fn a_value_that_is_no_finite_number_is_called_as_it_is_written() {
    assert_eq!(
        message("lr: 0.02", "lr: .nan"),
        "x.yaml:11:33: muon: setting \"lr\" is .nan, but must be a number above 0"
    );
    assert!(message("lr: 0.02", "lr: -.INF").contains("\"lr\" is -.inf, but"));
    assert!(message("batch_size: 16", "batch_size: .inf").contains("is .inf, but"));
    assert!(message("lr: 0.02", "lr: null").contains("\"lr\" is null, but"));
    let refused = "muon.lr=.nan".parse::<Assignment>().unwrap_err();
    assert!(refused.contains(".nan is no finite number"), "{refused}");
    assert!("muon.lr=1e-3".parse::<Assignment>().is_ok());
}

#[test]
fn an_arm_of_its_own_name_is_told_apart_from_what_the_command_line_makes_of_it() {
    let text = TEXT.replace("- sgd\n", "- { method: sgd, as: plain, with: { lr: 0.3 } }\n");
    let text = text.replace("baseline: sgd", "baseline: plain");
    let changed = |set: &[&str], methods: &[&str]| {
        let overrides = Overrides {
            set: set.iter().map(|set| set.parse().unwrap()).collect(),
            methods: methods.iter().map(|name| (*name).to_owned()).collect(),
            ..Overrides::default()
        };
        let plan = plan("x.yaml", &text, &catalogue(), &overrides).unwrap();
        plan.sections.changed.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        changed(&["sgd.lr=0.01", "muon.lr=0.5"], &[]),
        ["arm \"plain\" runs with settings of the command line, not the suite's: lr=0.01"],
        "muon's name says it: muon[lr=0.5]"
    );
    assert!(changed(&["plain.lr=0.3"], &[]).is_empty(), "as the suite has it");
    assert!(changed(&["plain.lr=0.01"], &["muon"]).is_empty(), "it does not run");
}

#[test]
fn tests_that_would_come_round_to_the_run_itself_are_refused_with_the_seeds_they_need() {
    let refused = |seeds: Option<usize>, names: &str| {
        let test = format!(
            "provenance:\n  - {{ id: t, statement: s, run: digits-mlp/sgd, suspect: digits-mlp/sgd, {names}, expect: {{ nothing: true }} }}\n"
        );
        let seeds = seeds.map(|seeds| Seeds::count(seeds as u64).unwrap());
        let overrides = Overrides { seeds, ..Overrides::default() };
        let text = format!("{}{test}", TEXT.replace("seeds: 2", "seeds: 3"));
        plan("x.yaml", &text, &catalogue(), &overrides).map_err(|error| error.to_string())
    };
    let names = "reference: digits-mlp/sgd+1, template: [digits-mlp/sgd+2, digits-mlp/sgd+3]";
    let told = refused(None, names).unwrap_err();
    assert_eq!(
        told,
        "x.yaml:3:8: test \"t\" needs at least 4 seeds, but there are 3: digits-mlp/sgd+3 would be a run that it names already"
    );
    let told = refused(Some(2), names).unwrap_err();
    assert!(
        told.starts_with("--seeds: test \"t\" needs at least 4 seeds, but there are 2"),
        "{told}"
    );
    assert!(refused(Some(4), names).is_ok());
    // Another arm of the run's own seed was trained in the run's order.
    let other = "reference: \"digits-mlp/muon[lr=0.02]+1\"";
    assert!(
        refused(Some(1), other).unwrap_err().contains("needs at least 2 seeds, but there is 1")
    );
    assert!(refused(Some(2), other).is_ok());
}

#[test]
fn an_arm_runs_only_on_the_workloads_it_names() {
    let plan =
        planned(&TEXT.replace("{ method: muon,", "{ method: muon, on: [digits-mlp],")).unwrap();
    assert_eq!(plan.cells.len(), 2 * 2 + 2);
    assert!(plan.cells.iter().all(|cell| (cell.workload, cell.arm) != (1, 1)));
    let unknown = message("{ method: muon,", "{ method: muon, on: [digits],");
    assert!(unknown.contains("x.yaml:11:25: unknown workload \"digits\""), "{unknown}");
    // Without its only workload the arm is gone, and its claim with it.
    let overrides =
        Overrides { workloads: vec!["digits-mlp[width=2]".into()], ..Overrides::default() };
    let text = TEXT.replace("{ method: muon,", "{ method: muon, on: [digits-mlp],");
    let plan = super::plan("x.yaml", &text, &catalogue(), &overrides).unwrap();
    assert_eq!((plan.arms.len(), plan.sections.claims.len()), (1, 0));
}

#[test]
fn a_method_that_needs_what_a_workload_does_not_offer_is_refused_by_name() {
    let mut catalogue = catalogue();
    catalogue.methods[0].needs = &["classes", "a verifier"];
    let error = plan("x.yaml", TEXT, &catalogue, &Overrides::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        "x.yaml:11:15: muon needs a verifier, which digits-mlp does not offer; say which workloads it runs on with `on: [...]`"
    );
}

#[test]
fn only_metrics_of_the_claims_workloads_can_be_compared() {
    assert!(planned(&TEXT.replace("time-to-target", "test/nll")).is_ok());
    let unknown = message("time-to-target", "test/accurcy");
    assert!(unknown.contains("did you mean \"test/accuracy\"?"), "{unknown}");
    let when = message("at_least: 1.1", "at_least: 1.1\n    when: half");
    assert!(when.contains("x.yaml:20:11: time-to-target is of the whole run"), "{when}");
    let floor = message("at_least: 1.1", "at_least: 1.1\n    floor: real");
    assert!(floor.contains("unknown arm \"real\""), "{floor}");
    let ratio = TEXT.replace("time-to-target", "test/nll").replace("1.1", "0.5\n    by: ratio");
    assert!(planned(&ratio).unwrap_err().message.contains("a ratio must be at least 1"));
}

#[test]
fn a_baseline_is_compared_at_another_number_or_condition_of_the_same_metric_and_at_nothing_else() {
    let mut catalogue = catalogue();
    catalogue.workloads[0].metrics = const {
        &[
            MetricInfo::error("nll"),
            MetricInfo::error("nll@2"),
            MetricInfo::error("nll@4"),
            MetricInfo::error("gap@4"),
            MetricInfo::error("fixed_gap@4"),
        ]
    };
    catalogue.workloads[0].metric = "nll";
    let judged = |compare: &str, against: &str| {
        let both = format!("{compare}\n    against: {against}");
        let text = TEXT.replace("time-to-target", &both);
        plan("x.yaml", &text, &catalogue, &Overrides::default())
    };
    for [compare, against] in [
        ["test/nll@2", "test/nll@4"],
        ["test/nll", "test/nll@4"],
        ["test/fixed_gap@4", "test/gap@4"],
    ] {
        let claim = &judged(compare, against).unwrap().sections.claims[0];
        assert_eq!([claim.compare.as_str(), claim.of_baseline()], [compare, against]);
    }
    for [compare, against] in [
        ["test/nll@2", "test/gap@4"],
        ["test/nll@2", "validation/nll@4"],
        ["test/fixed_gap@4", "validation/gap@4"],
        ["test/nll@2", "test/nll@2"],
        ["time-to-target", "samples-to-target"],
    ] {
        let error = judged(compare, against).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("x.yaml:19:14: against is {against}, but must be another")),
            "{error}"
        );
    }
    let unknown = judged("test/nll@2", "test/nll@3").unwrap_err().message;
    assert!(unknown.contains("unknown comparison \"test/nll@3\""), "{unknown}");
}

#[test]
fn several_metrics_stand_under_a_star_for_what_was_lost_and_for_nothing_else() {
    let mut catalogue = catalogue();
    catalogue.workloads[0].metrics = const {
        &[
            MetricInfo::share("accuracy", 0.1),
            MetricInfo::share("accuracy_a", 0.1),
            MetricInfo::share("accuracy_b", 0.1),
        ]
    };
    let judged = |compare: &str, when: &str| {
        let text = TEXT.replace("time-to-target", compare);
        let text = text.replace("at_least: 1.1", &format!("at_least: 0.1\n    when: {when}"));
        plan("x.yaml", &text, &catalogue, &Overrides::default())
    };
    let claim = &judged("validation/accuracy_*", "lost").unwrap().sections.claims[0];
    assert_eq!(claim.compare, "validation/accuracy_*");
    for (compare, when) in [
        ("validation/accuracy_*", "end"),
        ("validation/accuracy_a*", "lost"),
        ("validation/acuracy_*", "lost"),
    ] {
        let message = judged(compare, when).unwrap_err().message;
        assert!(message.contains(&format!("unknown comparison \"{compare}\"")), "{message}");
    }
}

#[test]
fn a_claim_can_name_a_look_at_a_metric_and_no_look_at_what_is_none() {
    let judged = |compare: &str| {
        let text =
            TEXT.replace("time-to-target", compare).replace("at_least: 1.1", "at_least: 0.1");
        plan("x.yaml", &text, &catalogue(), &Overrides::default())
    };
    let claim = &judged("test/accuracy@small").unwrap().sections.claims[0];
    assert_eq!(claim.compare, "test/accuracy@small");
    for compare in ["test/acuracy@small", "test/accuracy@", "time-to-target@small"] {
        let error = judged(compare).unwrap_err().message;
        assert!(error.contains(&format!("unknown comparison \"{compare}\"")), "{error}");
    }
}

#[test]
fn the_command_line_filters_and_sets() {
    let overrides = Overrides {
        methods: vec!["sgd".into()],
        workloads: Vec::new(),
        seeds: Some(Seeds(vec![7])),
        set: vec![Assignment("sgd".into(), "lr".into(), 0.5.into())],
        ..Overrides::default()
    };
    let plan = plan("x.yaml", TEXT, &catalogue(), &overrides).unwrap();
    assert_eq!((plan.cells.len(), plan.sections.claims.len()), (2, 0));
    assert_eq!((plan.arms[0].settings["lr"].as_f64(), plan.cells[0].seed), (Some(0.5), 7));
    let wrong = Overrides { methods: vec!["sdg".into()], ..Overrides::default() };
    let error = super::plan("x.yaml", TEXT, &catalogue(), &wrong).unwrap_err();
    assert!(
        error.message.contains("--methods sdg: the suite has no such name; did you mean \"sgd\"?"),
        "{error}"
    );
}

#[test]
fn a_cell_id_follows_what_changes_the_result_and_nothing_else() {
    let data = DataKey::from(Digest::of(b"data"));
    let id = |text: &str, code: &str| {
        let plan = planned(text).unwrap();
        plan.cell_id(plan.cells[1], &Parents::default(), "0", data, code).unwrap()
    };
    let original = id(TEXT, "code");
    assert_eq!(original.len(), 16);
    assert_eq!(original, id(&TEXT.replace("question: q", "question: other"), "code"));
    assert_eq!(
        original,
        id(&TEXT.replace("method: muon", "method: muon, as: 'muon[lr=0.02]'"), "code")
    );
    assert_ne!(original, id(&TEXT.replace("0.02", "0.03"), "code"));
    assert_ne!(original, id(TEXT, "other code"));
}

#[test]
fn an_arm_with_a_share_of_the_budget_has_the_cells_of_a_workload_with_that_budget() {
    let data = DataKey::from(Digest::of(b"data"));
    let id = |text: &str| {
        let plan = planned(text).unwrap();
        plan.cell_id(plan.cells[1], &Parents::default(), "0", data, "code").unwrap()
    };
    let with =
        |share: &str| TEXT.replace("method: muon,", &format!("method: muon, budget: {share},"));
    let plan = planned(&with("0.5")).unwrap();
    let budget = |cell: Cell| plan.workload(cell).goal.budget;
    let budgets = [budget(plan.cells[0]), budget(plan.cells[1])];
    assert_eq!(
        budgets.map(|budget| (budget.samples, budget.evaluate_every)),
        [(200, 50), (100, 50)]
    );
    assert_eq!(plan.arms[1].label, "muon[lr=0.02]");
    let shorter = TEXT.replace("  - digits-mlp", "  - { workload: digits-mlp, epochs: 1 }");
    assert_eq!(id(&with("0.5")), id(&shorter));
    assert_ne!(id(&with("0.5")), id(TEXT));
    assert_eq!(id(&with("1")), id(TEXT));
}

#[test]
fn a_share_of_the_budget_without_a_whole_step_or_evaluation_is_refused() {
    let refusal = |arm: &str| message("{ method: muon, with: { lr: 0.02 } }", arm);
    for share in ["0", "-0.1", "1.5", ".nan"] {
        let told = refusal(&format!("{{ method: muon, budget: {share} }}"));
        assert!(told.contains("x.yaml:11:29: budget is"), "{told}");
        assert!(told.contains("but must be above 0 and at most 1"), "{told}");
    }
    assert_eq!(
        refusal("{ method: muon, budget: 0.2 }"),
        "x.yaml:11:29: budget is 0.2, which is 40 samples of digits-mlp, but it is evaluated every 50; give a larger share or lower `evaluate_every`"
    );
    assert_eq!(
        refusal("{ method: muon, budget: 0.25, with: { batch_size: 64 } }"),
        "x.yaml:11:29: budget is 0.25, which is 50 samples of digits-mlp, less than a step of 64; give a larger share"
    );
    // Only the workloads that it runs on are asked.
    let long = "{ workload: digits-mlp, with: { width: 2 }, epochs: 3 }";
    let arm = TEXT
        .replace("{ method: muon,", "{ method: muon, budget: 0.2, on: ['digits-mlp[width=2]'],");
    assert!(arm.contains(long) && planned(&arm).is_ok());
}

#[test]
fn assignments_are_read_as_yaml_values() {
    let parsed: Assignment = "muon[lr=0.02].lr=0.05".parse().unwrap();
    assert_eq!(parsed, Assignment("muon[lr=0.02]".into(), "lr".into(), 0.05.into()));
    let parsed: Assignment = "sgd.nesterov=false".parse().unwrap();
    assert_eq!(parsed, Assignment("sgd".into(), "nesterov".into(), false.into()));
    assert!("sgd".parse::<Assignment>().is_err());
}

#[test]
fn an_assignment_reaches_labels_with_dots() {
    let parsed: Assignment = "v1.2.lr=0.05".parse().unwrap();
    assert_eq!(parsed, Assignment("v1.2".into(), "lr".into(), 0.05.into()));
    for wrong in ["v1.2", "=3", ".lr=1", "sgd.=1"] {
        assert!(wrong.parse::<Assignment>().is_err(), "{wrong}");
    }
}

/// The plan of a text with assignments.
fn planned_with(text: &str, set: &[&str]) -> Result<Plan, SuiteError> {
    let set = set.iter().map(|text| text.parse().unwrap()).collect();
    plan("x.yaml", text, &catalogue(), &Overrides { set, ..Overrides::default() })
}

#[test]
fn a_label_that_is_made_of_settings_says_what_runs_and_is_found_under_its_old_name() {
    let text = TEXT.replacen("baseline: sgd", "baseline: 'muon[lr=0.02]'", 1);
    let plan = planned_with(&text, &["muon[lr=0.02].lr=0.05"]).unwrap();
    assert_eq!(plan.arms[1].label, "muon[lr=0.05]");
    assert_eq!(plan.arms[1].settings["lr"], 0.05);
    assert_eq!(plan.baseline.as_deref(), Some("muon[lr=0.05]"));
    let claim = &plan.sections.claims[0];
    assert!([&claim.arm, &claim.baseline].contains(&&"muon[lr=0.05]".to_owned()), "{claim:?}");
    // An own name stays, and two arms that become one are told apart by nobody.
    let own = TEXT.replace("method: muon,", "method: muon, as: 'muon[lr=0.02]',");
    assert_eq!(planned_with(&own, &["muon.lr=0.05"]).unwrap().arms[1].label, "muon[lr=0.02]");
    let unknown = planned_with(TEXT, &["moun.lr=1"]).unwrap_err().message;
    assert!(unknown.contains("--set moun: the suite has no such name"), "{unknown}");
}

#[test]
fn a_grid_makes_an_arm_of_each_combination() {
    let grid = |grid: &str| {
        TEXT.replace("{ method: muon, with: { lr: 0.02 } }", &format!("{{ method: muon, {grid} }}"))
            .split("claims:")
            .next()
            .unwrap()
            .to_owned()
    };
    let labels = |text: &str| -> Vec<String> {
        planned(text).unwrap().arms.into_iter().map(|arm| arm.label).collect()
    };
    let two = grid("grid: { lr: [0.1, 0.2], batch_size: [16, 32] }");
    assert_eq!(
        labels(&two),
        [
            "sgd",
            "muon[batch_size=16,lr=0.1]",
            "muon[batch_size=16,lr=0.2]",
            "muon[batch_size=32,lr=0.1]",
            "muon[batch_size=32,lr=0.2]",
        ]
    );
    assert_eq!(labels(&grid("as: m, grid: { lr: [0.1, 0.2] }"))[1..], ["m[lr=0.1]", "m[lr=0.2]"]);
    for (wrong, told) in [
        ("grid: { lr: [] }", "x.yaml:11:"),
        ("grid: { lr: [0.1, 0.1] }", "has the value 0.1 twice"),
        ("with: { lr: 1 }, grid: { lr: [0.1] }", "it stands in one of them"),
        ("grid: { lr: [0.1, -1] }", "\"lr\" is -1"),
    ] {
        let error = planned(&grid(wrong)).unwrap_err().to_string();
        assert!(error.contains(told) && error.starts_with("x.yaml:11:"), "{wrong}: {error}");
    }
}

#[test]
fn a_baseline_may_be_named_by_its_method_where_that_is_one_arm() {
    let text = TEXT.replacen("baseline: sgd", "baseline: muon", 1);
    assert_eq!(planned(&text).unwrap().baseline.as_deref(), Some("muon[lr=0.02]"));
    let two = text.replace(
        "{ method: muon, with: { lr: 0.02 } }",
        "{ method: muon, with: { lr: 0.02 } }\n  - { method: muon, with: { lr: 0.03 } }",
    );
    assert!(planned(&two).unwrap_err().to_string().contains("unknown arm \"muon\""));
}

const FAMILY: &str = "
suite: x
question: q
seeds: 2
workloads:
  - { workload: digits-mlp, as: home }
  - { workload: digits-mlp, as: away, epochs: 1 }
arms:
  - { method: muon, as: child, on: [away], from: home/parent }
  - { method: sgd, as: parent, on: [home] }
  - { method: sgd, as: other, on: [home, away] }
";

#[test]
fn children_run_behind_all_that_descend_from_nothing() {
    let plan = planned(FAMILY).unwrap();
    let names: Vec<_> = plan
        .cells
        .iter()
        .map(|cell| {
            let (workload, arm) = (&plan.workloads[cell.workload], &plan.arms[cell.arm]);
            format!("{}/{} {}", workload.label, arm.label, cell.seed)
        })
        .collect();
    assert_eq!(
        names.join(", "),
        "home/parent 0, home/other 0, home/parent 1, home/other 1, away/other 0, away/other 1, away/child 0, away/child 1"
    );
    assert!(plan.keeps_model(plan.cells[0]) && !plan.keeps_model(plan.cells[1]));
    let parents = plan.parents(plan.cells[7]).unwrap();
    assert_eq!(parents.from, Some(descent::Parent::Cell(plan.cells[2])));
}

#[test]
fn what_a_chosen_arm_descends_from_stays_in_the_plan() {
    let overrides = Overrides { methods: vec!["child".to_owned()], ..Overrides::default() };
    let plan = plan("x.yaml", FAMILY, &catalogue(), &overrides).unwrap();
    let labels: Vec<_> = plan.arms.iter().map(|arm| arm.label.as_str()).collect();
    assert_eq!((labels, plan.cells.len()), (vec!["child", "parent"], 4));
}

#[test]
fn parents_that_are_not_there_or_go_in_a_circle_are_refused() {
    let refusal =
        |from: &str, to: &str| planned(&FAMILY.replace(from, to)).unwrap_err().to_string();
    insta::assert_snapshot!(
        refusal("home/parent", "home/parnt"),
        @r#"x.yaml:9:50: no arm "parnt" runs on home; did you mean "parent"?"#
    );
    insta::assert_snapshot!(
        refusal("home/parent", "hone/parent"),
        @r#"x.yaml:9:50: unknown workload "hone"; did you mean "home"?"#
    );
    insta::assert_snapshot!(
        refusal("home/parent", "home/parent+1"),
        @"x.yaml:9:50: home/parent+1: a parent has the seed of its child; leave out the +"
    );
    insta::assert_snapshot!(
        refusal("on: [home] }", "on: [home], teacher: away/child }"),
        @r#"x.yaml:10:5: arm "parent" descends from itself"#
    );
}

#[test]
fn a_cell_id_changes_with_its_parent_and_only_then() {
    let plan = planned(FAMILY).unwrap();
    let data = DataKey::from(Digest::of(b"root"));
    let id = |parents: &Parents<String>| plan.cell_id(plan.cells[7], parents, "1", data, "code");
    let of = |cell: &str| Parents { from: Some(cell.to_owned()), teacher: None };
    assert_ne!(id(&of("a")).unwrap(), id(&of("b")).unwrap());
    assert_ne!(id(&of("a")).unwrap(), id(&Parents::default()).unwrap());
}

#[test]
fn wrong_order_estimates_have_file_line_column_and_remedy() {
    let message = |entry: &str| {
        planned(&format!("{TEXT}estimates:\n  - {{ name: e, {entry} }}\n")).unwrap_err().to_string()
    };
    assert!(
        message("run: digits-mlp/sdg")
            .starts_with("x.yaml:21:21: no arm \"sdg\" runs on digits-mlp; did you mean \"sgd\"?"),
        "{}",
        message("run: digits-mlp/sdg")
    );
    assert_eq!(
        message("run: digits-mlp/sgd, estimator: surogate"),
        "x.yaml:21:48: unknown estimator \"surogate\"; did you mean \"surrogate\"?"
    );
    assert_eq!(
        message("run: digits-mlp/sgd, bars: { held_out: 2 }"),
        "x.yaml:21:55: held_out is 2: it must be above 0 and at most 1, as in 0.9"
    );
    let wrong = message("run: digits-mlp/sgd, bars: { heldout: 0.9 }");
    assert!(wrong.contains("did you mean `held_out`?"), "{wrong}");
    assert!(message("run: sgd").contains("name the workload too"));
    assert!(message("run: digits-mlp/sgd+1").contains("leave out the +"));
    let two = "run: digits-mlp/sgd }\n  - { name: e, run: digits-mlp/sgd";
    assert!(message(two).contains("two estimates are called \"e\""));
}

#[test]
fn order_estimates_stay_where_their_run_does() {
    let text = format!("{TEXT}estimates:\n  - {{ name: e, run: digits-mlp/sgd, last: 4 }}\n");
    assert_eq!(planned(&text).unwrap().sections.estimates.len(), 1);
    let only = Overrides { methods: vec!["muon".to_owned()], ..Overrides::default() };
    assert_eq!(plan("x.yaml", &text, &catalogue(), &only).unwrap().sections.estimates.len(), 0);
}

#[test]
fn a_suite_of_too_many_pairs_is_refused_and_a_long_line_of_descent_is_not() {
    let suite = |workloads: usize, arms: &dyn Fn(usize) -> String, count: usize| {
        let workloads: String = (0..workloads)
            .map(|at| format!("  - {{ workload: digits-mlp, as: w{at} }}\n"))
            .collect();
        let arms: String = (0..count).map(arms).collect();
        let text = format!("suite: x\nquestion: q\nseeds: 1\nworkloads:\n{workloads}arms:\n{arms}");
        plan("x.yaml", &text, &catalogue(), &Overrides::default())
    };
    let plain = |at: usize| format!("  - {{ method: sgd, as: a{at} }}\n");
    let told = suite(200, &plain, 101).unwrap_err().to_string();
    assert!(told.contains("20200 pairs of a workload and an arm are more than 20000"), "{told}");
    // Each from the one before: generation by generation this took the cube of their number.
    let child = |at: usize| match at {
        0 => plain(0),
        at => format!("  - {{ method: sgd, as: a{at}, from: a{} }}\n", at - 1),
    };
    let found = suite(2, &child, 1000).unwrap();
    assert_eq!(found.cells.len(), 2000);
    let last = found.cells.last().unwrap();
    assert_eq!(found.arms[last.arm].label, "a999");
}
