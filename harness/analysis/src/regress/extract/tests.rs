use super::*;
use crate::regress::decide::{Decision, FloorAt, decide};
use crate::regress::{Report, Rule, Verdict};
use crate::suite::Sections;
use crate::suite_run::{RunArm, RunWorkload};
use crate::summary;
use ledger::catalogue::MetricInfo;
use ledger::crossing::Crossing;
use ledger::external::{External, Told};
use ledger::goal::Target;
use ledger::order::{OrderLaw, Unit};
use ledger::record::format::{ClockSeconds, Environment};
use ledger::seed::Randomness;
use ledger::transcript::EpochOrder;

fn metric(name: &str, higher_is_better: bool) -> MetricInfo<String> {
    MetricInfo { name: name.to_owned(), higher_is_better, best: None, chance: None }
}

fn suite() -> SuiteRun {
    let root = Digest::of(b"suite");
    SuiteRun {
        of_another_build: Vec::new(),
        version: SuiteRun::VERSION,
        suite: "made-up".into(),
        source: "made-up".into(),
        question: "q".into(),
        suite_digest: root.to_string(),
        baseline: None,
        workloads: vec![RunWorkload {
            label: "digits".into(),
            title: String::new(),
            metrics: vec![metric("accuracy", true), metric("nll", false)],
            target: Target {
                metric: "accuracy".into(),
                direction: Direction::HigherIsBetter,
                value: 0.9,
                origin: "assumed".into(),
            },
            budget_samples: 1000,
            train_examples: 100,
        }],
        arms: vec![RunArm {
            label: "sgd".into(),
            method: "m".into(),
            settings: BTreeMap::new(),
            budget: None,
            trials: None,
        }],
        sections: Sections::default(),
        estimated: Vec::new(),
        unjudged: Vec::new(),
        stopping: None,
        tuned: None,
        cells: Vec::new(),
        argv: Vec::new(),
        made: crate::suite_run::Made::default(),
    }
}

fn order_of(epochs: &[&str]) -> OrderSection {
    let root = Digest::of(b"root");
    let epochs = epochs.iter().zip(0..).map(|(hash, epoch)| EpochOrder {
        epoch,
        n: 100,
        offset: 0,
        block: 0,
        order_hash: Digest::of(hash.as_bytes()),
        order_root: root,
        steps: vec![(10, 10)],
    });
    OrderSection {
        version: 1,
        law: OrderLaw::Uniform,
        unit: Unit::Sample,
        layout: None,
        randomness: Randomness::Fixed,
        examples: 100,
        seed_hex: String::new(),
        nonce_hex: String::new(),
        beacon: None,
        beacon_source: None,
        seed_commit: root,
        dataset_root: root,
        config_hash: root,
        epochs_planned: 2,
        commitment: root,
        index: None,
        chain: Vec::new(),
        epochs: epochs.collect(),
    }
}

/// A run that reached its target on one thread of a quiet CPU.
fn record() -> RunRecord {
    let root = Digest::of(b"data");
    RunRecord {
        cell: "00".into(),
        clocks: ClockSeconds { train: 10.0, eval: 1.0, io: 0.25, total: 11.5 },
        time_to_target: Some(Crossing {
            isotonic: Some(7.5),
            first: Some(8.0),
            held3: None,
            samples: Some(750.0),
            steps: Some(75.0),
            diverged_at: None,
        }),
        last: BTreeMap::from([
            ("test/nll".to_owned(), 0.125),
            ("train-loss".to_owned(), 0.5),
            ("validation/accuracy".to_owned(), 0.9375),
        ]),
        parameters_sha256: Some(root),
        order: Some(order_of(&["one", "two"])),
        environment: Environment {
            device: "cpu".into(),
            cpu: "made-up".into(),
            cpus: 2,
            threads: 1,
            load_at_start: Some(1.0),
            cpu_share: Some(1.0),
            instructions: None,
            peak_memory_bytes: Some(4096),
            git_commit: Some("abc".into()),
            ..Environment::default()
        },
        ..summary::tests::record(0, (Some(7.5), 0.9375, 0.125))
    }
}

fn cell(seed: usize) -> RunCell {
    RunCell { workload: 0, arm: 0, seed: seed.to_string(), cell: format!("{seed:02}") }
}

/// A snapshot of one run for each of `records`, under seeds from 0.
fn of_records(records: &[RunRecord], context: &Context) -> Result<Snapshot, RegressError> {
    let cells: Vec<RunCell> = (0..records.len()).map(cell).collect();
    let runs: Vec<Run<'_>> =
        cells.iter().zip(records).map(|(cell, record)| Run { cell, round: 0, record }).collect();
    snapshot(&suite(), &runs, context)
}

fn one(change: impl Fn(&mut RunRecord)) -> Cell {
    let mut record = record();
    change(&mut record);
    of_records(&[record], &Context::default()).unwrap().cells.remove(0)
}

fn found<'a>(cell: &'a Cell, name: &str) -> Option<&'a Metric> {
    cell.metrics.iter().find(|metric| metric.name == name)
}

#[test]
fn every_metric_has_its_class_unit_and_direction() {
    let lines: Vec<String> = one(|_| {})
        .metrics
        .iter()
        .map(|metric| {
            let way = match metric.direction {
                Some(Direction::HigherIsBetter) => "higher",
                Some(Direction::LowerIsBetter) => "lower",
                None => "-",
            };
            let value = match &metric.value {
                Value::Text(_) => "digest".to_owned(),
                value => value.to_string(),
            };
            format!("{} {} {} {way} {value}", metric.name, metric.class.name(), metric.unit)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    order exact sha256 - digest
    data exact sha256 - digest
    steps exact steps - 100
    samples exact samples - 1000
    parameters exact sha256 - digest
    reached ulp share higher 1
    diverged ulp share lower 0
    test/nll quality score lower 0.125
    train-loss info score - 0.5
    validation/accuracy quality score higher 0.9375
    samples-to-target quality samples lower 750
    time-to-target time s lower 7.5
    train-seconds time s lower 10
    eval-seconds info s lower 1
    io-seconds info s lower 0.25
    total-seconds info s lower 11.5
    peak-memory info bytes lower 4096
    ");
}

#[test]
fn parameters_count_as_exact_on_one_thread_of_the_cpu_only() {
    assert!(found(&one(|_| {}), "parameters").is_some());
    assert!(found(&one(|record| record.environment.threads = 2), "parameters").is_none());
    assert!(
        found(&one(|record| record.environment.device = "cuda:0".into()), "parameters").is_none()
    );
    assert!(found(&one(|record| record.parameters_sha256 = None), "parameters").is_none());
}

#[test]
fn a_suite_that_lists_no_metrics_still_knows_the_one_of_its_target() {
    let (cell, record) = (cell(0), record());
    let mut suite = suite();
    suite.workloads[0].metrics.clear();
    let runs = [Run { cell: &cell, round: 0, record: &record }];
    let cells = snapshot(&suite, &runs, &Context::default()).unwrap().cells;
    let class = |name| found(&cells[0], name).unwrap().class;
    assert_eq!(class("validation/accuracy"), Class::Quality);
    assert_eq!(class("test/nll"), Class::Info);
}

#[test]
fn a_failed_run_has_its_message_and_no_metrics() {
    let failed = |error: Option<&str>| {
        one(|record| {
            record.status = Status::Failed;
            record.error = error.map(ToOwned::to_owned);
        })
    };
    let crashed = failed(Some("out of memory"));
    assert_eq!(crashed.failed.as_deref(), Some("out of memory"));
    assert!(crashed.metrics.is_empty());
    assert_eq!(failed(None).failed.as_deref(), Some("no message"));
}

#[test]
fn what_is_not_finite_is_left_out_and_a_diverged_run_says_so() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let cell = one(|record| {
            record.status = Status::Diverged;
            record.last.insert("validation/accuracy".to_owned(), bad);
            record.clocks = ClockSeconds { train: bad, eval: bad, io: 0.0, total: 1.0 };
            record.time_to_target = Some(Crossing {
                isotonic: Some(bad),
                first: None,
                held3: None,
                samples: Some(bad),
                steps: None,
                diverged_at: Some(1.0),
            });
        });
        for gone in [
            "validation/accuracy",
            "train-seconds",
            "eval-seconds",
            "time-to-target",
            "samples-to-target",
        ] {
            assert!(found(&cell, gone).is_none(), "{gone} of {bad}");
        }
        assert_eq!(found(&cell, "diverged").unwrap().value, Value::Number(1.0));
        assert_eq!(found(&cell, "reached").unwrap().value, Value::Number(0.0));
        assert_eq!(found(&cell, "io-seconds").unwrap().value, Value::Number(0.0));
    }
    // A time of 0 has no logarithm.
    let still = one(|record| record.clocks.train = 0.0);
    assert!(found(&still, "train-seconds").is_none());
}

#[test]
fn a_run_that_missed_its_target_has_no_time_to_it() {
    let cell = one(|record| {
        record.status = Status::Censored;
        record.time_to_target = None;
    });
    assert!(found(&cell, "time-to-target").is_none());
    assert!(found(&cell, "samples-to-target").is_none());
    assert_eq!(found(&cell, "reached").unwrap().value, Value::Number(0.0));
    assert_eq!(found(&cell, "diverged").unwrap().value, Value::Number(0.0));
}

#[test]
fn runs_of_two_machines_are_refused_and_what_else_is_known_of_one_counts() {
    let mut elsewhere = record();
    elsewhere.environment.cpu = "another".into();
    let error = of_records(&[record(), elsewhere], &Context::default()).unwrap_err();
    assert!(matches!(error, RegressError::TwoMachines { .. }), "{error}");

    let with = |governor: &str| {
        let machine = BTreeMap::from([("governor".to_owned(), governor.to_owned())]);
        of_records(&[record()], &Context { machine, ..Context::default() }).unwrap().machine
    };
    assert_eq!(with("performance"), with("performance"));
    assert_ne!(with("performance").fingerprint, with("powersave").fingerprint);
    // What a change may bring along is told beside the machine: one history outlives it.
    let mut older = record();
    older.environment.libtorch = "8".into();
    let mut newer = record();
    newer.environment.libtorch = "9".into();
    newer.environment.os = "another".into();
    newer.environment.threads = 2;
    let both = of_records(&[older, newer], &Context::default()).unwrap().machine;
    assert!(both.is(&of_records(&[record()], &Context::default()).unwrap().machine));
    assert_eq!(both.software["libtorch"], "8, 9");
    // When and from which commit a run was made is no part of the machine.
    let mut later = record();
    later.environment.started_unix = 9;
    later.environment.git_commit = Some("def".into());
    later.environment.load_at_start = Some(7.0);
    assert!(of_records(&[record(), later], &Context::default()).is_ok());
}

#[test]
fn a_run_is_disturbed_where_load_exceeded_the_cores_and_it_had_none_to_itself() {
    let disturbed = |load: Option<f64>, share: Option<f64>| {
        one(|record| {
            record.environment.load_at_start = load;
            record.environment.cpu_share = share;
        })
        .disturbed
    };
    assert!(disturbed(Some(3.0), Some(0.5)));
    assert!(disturbed(Some(3.0), None));
    assert!(!disturbed(Some(3.0), Some(0.99)));
    assert!(!disturbed(Some(2.0), Some(0.5)));
    assert!(!disturbed(None, None));
}

#[test]
fn a_suite_can_treat_a_metric_otherwise_but_not_against_its_nature() {
    let treated = |name: &str, class, tolerance, margin| {
        let treatment = Treatment { class, tolerance, margin };
        let treatments = BTreeMap::from([(name.to_owned(), treatment)]);
        of_records(&[record()], &Context { treatments, ..Context::default() })
    };
    let tolerance = Some(Tolerance::Ulps(4));
    let cell = treated("validation/accuracy", Class::Ulp, tolerance, None).unwrap().cells.remove(0);
    let metric = found(&cell, "validation/accuracy").unwrap();
    assert_eq!((metric.class, metric.tolerance), (Class::Ulp, tolerance));
    assert_eq!(metric.direction, Some(Direction::HigherIsBetter));
    let cell = treated("train-seconds", Class::Info, None, None).unwrap().cells.remove(0);
    assert_eq!(found(&cell, "train-seconds").unwrap().class, Class::Info);
    let cell = treated("train-seconds", Class::Time, None, Some(0.1)).unwrap().cells.remove(0);
    assert_eq!(found(&cell, "train-seconds").unwrap().margin, Some(0.1));

    // The last exception that fits comes before what holds for every arm.
    let loose = Treatment { class: Class::Time, tolerance: None, margin: Some(0.5) };
    let exception = |arm: Option<&str>, workload: Option<&str>, margin| Exception {
        arm: arm.map(str::to_owned),
        workload: workload.map(str::to_owned),
        metric: "train-seconds".to_owned(),
        treatment: Treatment { margin: Some(margin), ..loose },
    };
    let context = Context {
        treatments: BTreeMap::from([("train-seconds".to_owned(), loose)]),
        exceptions: vec![
            exception(Some("sgd"), None, 0.1),
            exception(Some("sgd"), Some("digits"), 0.2),
            exception(Some("other"), None, 0.3),
        ],
        ..Context::default()
    };
    let cell = of_records(&[record()], &context).unwrap().cells.remove(0);
    assert_eq!(found(&cell, "train-seconds").unwrap().margin, Some(0.2));

    for (name, class, tolerance, margin) in [
        ("order", Class::Time, None, None),
        ("order", Class::Quality, None, None),
        ("steps", Class::Exact, None, Some(0.1)),
        ("train-seconds", Class::Time, None, Some(f64::NAN)),
        ("train-seconds", Class::Time, tolerance, None),
        ("train-loss", Class::Quality, None, None),
    ] {
        let error = treated(name, class, tolerance, margin).unwrap_err().to_string();
        assert!(error.contains(name), "{name}: {error}");
    }
}

#[test]
fn nothing_a_stray_cell_and_the_same_run_twice_are_refused() {
    let empty = snapshot(&suite(), &[], &Context::default()).unwrap_err();
    assert!(empty.to_string().contains("runs"), "{empty}");
    let record = record();
    for stray in [RunCell { workload: 1, ..cell(0) }, RunCell { arm: 9, ..cell(0) }] {
        let runs = [Run { cell: &stray, round: 0, record: &record }];
        let error = snapshot(&suite(), &runs, &Context::default()).unwrap_err();
        assert!(matches!(error, RegressError::Empty { .. }), "{error}");
    }
    let cell = cell(0);
    let twice = |second| {
        let run = |round| Run { cell: &cell, round, record: &record };
        snapshot(&suite(), &[run(0), run(second)], &Context::default())
    };
    assert!(matches!(twice(0), Err(RegressError::Duplicate { .. })));
    assert_eq!(twice(1).unwrap().cells.len(), 2);
}

#[test]
fn the_config_is_what_the_suite_sets_and_not_what_the_code_made_of_it() {
    let config = |change: fn(&mut RunRecord)| one(change).config;
    let plain = config(|_| {});
    assert_eq!(plain, config(|record| record.environment.code_digest = "other".into()));
    assert_eq!(plain, config(|record| record.order = None));
    assert_eq!(plain, config(|record| record.clocks.train = 99.0));
    assert_ne!(plain, config(|record| record.goal.target.value = 0.95));
    assert_ne!(plain, config(|record| record.goal.budget.samples = 2000));
    // The name has the seed: cells of one arm share their config.
    assert_eq!(plain, config(|record| record.seed = "1".into()));
    assert_ne!(plain, config(|record| record.method = "other".into()));
}

#[test]
fn the_code_of_a_program_is_its_command_its_files_and_what_runs_them() {
    let program = |change: fn(&mut Told)| {
        one(|record| {
            let words = ["python3", "train.py"].map(str::to_owned).to_vec();
            let mut told = Told::nothing_yet(External::unread(words, vec!["train.py".to_owned()]));
            told.arm.files[0].sha256 = Some(Digest::of(b"text"));
            change(&mut told);
            record.external = Some(told);
        })
    };
    let code = |change| program(change).code.unwrap();
    let plain = code(|_| {});
    assert_ne!(Some(plain.clone()), one(|_| {}).code);
    assert_eq!(plain, code(|told| told.cpu_seconds = Some(1.0)));
    assert_ne!(plain, code(|told| told.arm.files[0].sha256 = Some(Digest::of(b"other"))));
    assert_ne!(plain, code(|told| told.arm.program = Some(Digest::of(b"python"))));
    assert_ne!(plain, code(|told| told.arm.command.push("--fast".to_owned())));
    // What it is set to stays what it is set to: a changed program is judged, not passed over.
    let config = program(|_| {}).config;
    assert_eq!(config, program(|told| told.arm.command.push("--fast".to_owned())).config);
}

#[test]
fn what_a_program_tells_is_shown_and_exact_where_the_suite_says_so() {
    let mut record = record();
    let facts = json!({ "consumed": "ab12", "batches": 7, "share": 0.5, "list": [1] });
    record.facts.insert("told".to_owned(), facts);
    let cell = of_records(&[record.clone()], &Context::default()).unwrap().cells.remove(0);
    assert!(found(&cell, "told/consumed").is_none(), "our own methods tell nobody");
    let mut told = Told::nothing_yet(External::unread(vec!["p".to_owned()], Vec::new()));
    told.versions.insert("torch".to_owned(), "2.9".to_owned());
    record.external = Some(told);
    let exact = Treatment { class: Class::Exact, tolerance: None, margin: None };
    let treatments = BTreeMap::from([("told/consumed".to_owned(), exact)]);
    let context = Context { treatments, ..Context::default() };
    let snapshot = of_records(&[record], &context).unwrap();
    assert_eq!(snapshot.machine.software["torch"], "2.9");
    let cell = &snapshot.cells[0];
    let consumed = found(cell, "told/consumed").unwrap();
    assert_eq!((consumed.class, &consumed.value), (Class::Exact, &Value::Text("ab12".to_owned())));
    let batches = found(cell, "told/batches").unwrap();
    assert_eq!((batches.class, &batches.value), (Class::Info, &Value::Count(7)));
    assert_eq!(found(cell, "told/share").unwrap().value, Value::Number(0.5));
    assert!(found(cell, "told/list").is_none());
}

#[test]
fn a_number_that_is_told_with_or_without_a_point_is_one_number() {
    let exact = Treatment { class: Class::Exact, tolerance: None, margin: None };
    let treatments = BTreeMap::from([("told/batches".to_owned(), exact)]);
    let context = Context { treatments, ..Context::default() };
    let side = |batches: serde_json::Value| {
        let mut record = record();
        record.facts.insert("told".to_owned(), json!({ "batches": batches }));
        let told = Told::nothing_yet(External::unread(vec!["p".to_owned()], Vec::new()));
        record.external = Some(told);
        of_records(&[record], &context).unwrap()
    };
    let judged = |base: serde_json::Value, head: serde_json::Value| {
        let at = FloorAt { floor: None, now_unix: 0 };
        match decide(&side(base), &side(head), at, &Rule::default()).unwrap() {
            Decision::Final { report } => verdict(&report, "told/batches"),
            Decision::NeedsConfirmation { .. } => unreachable!("a kept reference is not run again"),
        }
    };
    assert_eq!(judged(json!(7), json!(7.0)), Verdict::Same);
    assert_eq!(judged(json!(7.0), json!(7)), Verdict::Same);
    assert_eq!(judged(json!(7), json!(7.5)), Verdict::Regressed);
    assert_eq!(judged(json!(u64::MAX), json!(u64::MAX as f64)), Verdict::Regressed);
}

fn compare(base: &[RunRecord], head: &[RunRecord]) -> Report {
    let side = |records| of_records(records, &Context::default()).unwrap();
    let at = FloorAt { floor: None, now_unix: 0 };
    match decide(&side(base), &side(head), at, &Rule::default()).unwrap() {
        Decision::Final { report } => *report,
        Decision::NeedsConfirmation { .. } => unreachable!("a kept reference is not run again"),
    }
}

fn verdict(report: &Report, metric: &str) -> Verdict {
    report.rows.iter().find(|row| row.name.metric == metric).unwrap().verdict
}

#[test]
fn a_shuffle_changed_in_one_epoch_is_a_regression_of_the_order_alone() {
    let other = |epochs: &[&str]| {
        let order = Some(order_of(epochs));
        compare(&[record()], &[RunRecord { order, ..record() }])
    };
    for epochs in [["one", "other"], ["two", "one"]] {
        let report = other(&epochs);
        assert_eq!(verdict(&report, "order"), Verdict::Regressed);
        assert_eq!(verdict(&report, "steps"), Verdict::Same);
        assert_eq!(report.exit_code(), 1);
    }
    assert_eq!(verdict(&other(&["one", "two"]), "order"), Verdict::Same);
}

#[test]
fn a_run_that_stops_reaching_its_target_is_a_regression_and_its_time_is_not_left_out() {
    let missed = RunRecord { status: Status::Censored, time_to_target: None, ..record() };
    let runs = |last: RunRecord| [record(), record(), record(), last];
    let report = compare(&runs(record()), &runs(missed));
    assert_eq!(verdict(&report, "reached"), Verdict::Regressed);
    assert_eq!(verdict(&report, "samples-to-target"), Verdict::Inconclusive);
    let report = compare(&runs(record()), &runs(RunRecord { data: None, ..record() }));
    assert_eq!(verdict(&report, "data"), Verdict::Inconclusive);
    assert_eq!(report.exit_code(), 3);
}
