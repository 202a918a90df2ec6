//! The regression gate with simulated clocks and made-up records of change: what fires, what stays
//! quiet, and what is refused.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a fixture that is wrong must fail")]

#[path = "../examples/simulated/clocks.rs"]
mod clocks;

use std::collections::BTreeMap;

use analysis::regress::decide::{Decision, FloorAt, confirm, decide};
use analysis::regress::machine::Machine;
use analysis::regress::metric::{Class, Metric, Tolerance, Value};
use analysis::regress::report::{Report, Row};
use analysis::regress::rule::Test;
use analysis::regress::snapshot::{Cell, Snapshot};
use analysis::regress::{NoiseFloor, RegressError, Rule, Verdict};
use clocks::{Design, NOW};
use ledger::digest::Digest;
use ledger::goal::Direction;
use stats::bootstrap::Resampling;

fn rule() -> Rule {
    // Fewer resamples than a real gate: these are tests of the decision, not of the interval.
    let resampling = Resampling { resamples: 1000, ..Resampling::seeded(0) };
    Rule { resampling, ..Rule::default() }
}

// Clocks.

#[test]
fn five_slow_metrics_of_a_hundred_fire_in_most_runs_at_8_pairs_and_nearly_always_at_20() {
    for (pairs, runs, least) in [(8, 20, 60), (20, 10, 99)] {
        let design = Design::of(pairs, 5, 0.05);
        let floor = design.floor(1, 8, &rule());
        let found: Vec<(usize, usize)> =
            (0..runs).map(|seed| design.alarms(&design.gate(seed, &floor, &rule()).1)).collect();
        let (right, wrong) = found.iter().fold((0, 0), |sum, run| (sum.0 + run.0, sum.1 + run.1));
        let share = 100 * right / (5 * runs as usize);
        assert!(share >= least, "{pairs} pairs: {share} % of slowdowns seen");
        assert!(wrong <= 1, "{pairs} pairs: {wrong} false alarms");
    }
}

#[test]
fn one_slow_method_fires_at_8_pairs() {
    // The suite of a project has a dozen times, not a hundred.
    let design = Design { metrics: 12, ..Design::of(8, 1, 0.05) };
    let floor = design.floor(2, 8, &rule());
    let fired: usize =
        (0..50).map(|seed| design.alarms(&design.gate(seed, &floor, &rule()).1).0).sum();
    assert!(fired >= 30, "{fired} of 50");
}

#[test]
fn the_same_code_over_a_hundred_metrics_alarms_at_most_once_in_twenty_runs() {
    let design = Design::of(8, 0, 0.0);
    let floor = design.floor(3, 8, &rule());
    let alarms: usize =
        (0..20).map(|seed| design.alarms(&design.gate(seed, &floor, &rule()).1).1).sum();
    assert!(alarms <= 1, "{alarms} alarms");
}

#[test]
fn a_slow_arm_is_confirmed_and_the_report_says_by_how_much() {
    let design = Design { jitter: 0.005, metrics: 3, ..Design::of(8, 1, 0.05) };
    let floor = design.floor(4, 8, &rule());
    let report = design.gate(1, &floor, &rule()).1;
    assert_eq!(report.exit_code(), 1);
    let row = &report.rows[0];
    let effect = row.effect.unwrap();
    assert!(effect.interval.low < 1.05 && 1.05 < effect.interval.high, "{row:?}");
    assert!(row.confirmation.unwrap().agrees && row.pairs == 8);
    assert_eq!(report.sessions, ["first", "second"]);
    assert_eq!(report.counts()[&Verdict::Same], 2, "{report:?}");
}

#[test]
fn an_alarm_that_the_second_round_does_not_repeat_is_inconclusive() {
    let slow = Design { jitter: 0.005, metrics: 1, ..Design::of(8, 1, 0.05) };
    let calm = Design { slowed: 0, ..slow };
    let floor = slow.floor(5, 8, &rule());
    let at = FloorAt { floor: Some(&floor), now_unix: NOW };
    let (base, head) = slow.session(1, "first", |_| true);
    let Decision::NeedsConfirmation { provisional, cells } =
        decide(&base, &head, at, &rule()).unwrap()
    else {
        panic!("no alarm");
    };
    assert_eq!((cells.len(), cells[0].fresh_seeds), (1, false));
    let again = confirm(*provisional.clone(), &base, &base, &head, at).unwrap_err();
    assert!(matches!(again, RegressError::NotFresh { .. }), "{again}");
    let (base2, head2) = calm.session(1, "second", |_| true);
    let report = confirm(*provisional.clone(), &base, &base2, &head2, at).unwrap();
    assert_eq!(report.rows[0].verdict, Verdict::Inconclusive);
    assert!(report.rows[0].reason.contains("does not confirm"), "{:?}", report.rows[0]);
    assert_eq!(report.exit_code(), 0);
    // A second round without the suspect is no all-clear.
    let (other2, other_head2) = {
        let other = Design { metrics: 2, ..calm };
        other.session(1, "second", |arm| arm == 1)
    };
    let report = confirm(*provisional, &base, &other2, &other_head2, at).unwrap();
    assert_eq!((report.rows[0].judged, report.exit_code()), (false, 3));
}

#[test]
fn a_faster_head_is_improved_in_both_rounds_or_not_at_all() {
    let design = Design { jitter: 0.005, metrics: 1, ..Design::of(8, 1, 0.05) };
    let calm = Design { slowed: 0, ..design };
    let floor = design.floor(6, 8, &rule());
    let at = FloorAt { floor: Some(&floor), now_unix: NOW };
    let (base, head) = design.session(1, "first", |_| true);
    let Decision::NeedsConfirmation { provisional, .. } =
        decide(&head, &base, at, &rule()).unwrap()
    else {
        panic!("an improvement of one round is none yet");
    };
    let second = |design: Design| {
        let (base2, head2) = design.session(1, "second", |_| true);
        confirm(*provisional.clone(), &head, &head2, &base2, at).unwrap()
    };
    let report = second(design);
    assert_eq!((report.rows[0].verdict, report.exit_code()), (Verdict::Improved, 0));
    assert!(report.rows[0].reason.ends_with("in both rounds"), "{:?}", report.rows[0]);
    assert!(report.rows[0].effect.unwrap().value < 1.0);
    assert_eq!(second(calm).rows[0].verdict, Verdict::Inconclusive);
    // A second round that says the opposite confirms nothing either.
    let (worse, better) = design.session(1, "second", |_| true);
    let turned = confirm(*provisional.clone(), &head, &worse, &better, at).unwrap();
    assert_eq!(turned.rows[0].verdict, Verdict::Inconclusive);
}

// Floors.

fn refused_time(at: FloorAt<'_>, pairs: u32, change: impl Fn(&mut Snapshot, &mut Snapshot)) -> Row {
    let design = Design { metrics: 1, ..Design::of(pairs, 1, 0.5) };
    let (mut base, mut head) = design.session(1, "first", |_| true);
    change(&mut base, &mut head);
    let Decision::Final { report } = decide(&base, &head, at, &rule()).unwrap() else {
        panic!("judged");
    };
    assert_eq!(report.exit_code(), 3, "{report:?}");
    assert!(!report.rows[0].judged);
    report.rows[0].clone()
}

#[test]
fn a_time_is_not_judged_without_a_floor_that_is_young_and_of_this_machine() {
    let floor = Design { metrics: 1, ..Design::of(8, 0, 0.0) }.floor(7, 8, &rule());
    let nothing = |_: &mut Snapshot, _: &mut Snapshot| {};
    let reason = |floor: Option<&NoiseFloor>, now_unix| {
        let row = refused_time(FloorAt { floor, now_unix }, 8, nothing);
        assert_eq!(row.verdict, Verdict::Inconclusive);
        row.reason
    };
    assert!(reason(None, NOW).contains("no noise floor"));
    assert!(reason(Some(&floor), NOW + 31 * 86_400).contains("31 days old"));
    assert!(reason(Some(&floor), NOW - 1).contains("in the future"));
    let mut other = floor.clone();
    other.machine = Machine::new(BTreeMap::from([("cpu".to_owned(), "other".to_owned())]));
    assert!(reason(Some(&other), NOW).contains("another machine"));
    let mut other = floor.clone();
    other.suite = "other".to_owned();
    assert!(reason(Some(&other), NOW).contains("of suite"));
    let mut edited = floor.clone();
    edited.metrics[0].config = Digest::of(b"before the edit");
    assert!(reason(Some(&edited), NOW).contains("of other settings"));
    let mut empty = floor;
    empty.metrics[0].name.arm = "other".to_owned();
    assert!(reason(Some(&empty), NOW).contains("no such metric"));
}

#[test]
fn one_pair_two_sessions_a_busy_machine_and_another_machine_are_not_judged() {
    let floor = Design { metrics: 1, ..Design::of(8, 0, 0.0) }.floor(8, 8, &rule());
    let at = FloorAt { floor: Some(&floor), now_unix: NOW };
    let one = refused_time(at, 1, |_, _| {});
    assert!(one.reason.starts_with("1 pair is too few"), "{}", one.reason);
    let sessions = refused_time(at, 8, |base, _| base.session = Some("yesterday".to_owned()));
    assert!(sessions.reason.contains("two sessions"), "{}", sessions.reason);
    let busy = refused_time(at, 8, |_, head| {
        head.cells.iter_mut().for_each(|cell| cell.disturbed = true);
    });
    assert!(busy.reason.contains("too busy"), "{}", busy.reason);
    let elsewhere = refused_time(at, 8, |base, head| {
        base.session = None;
        head.machine = Machine::new(BTreeMap::from([("cpu".to_owned(), "new".to_owned())]));
    });
    assert_eq!(elsewhere.verdict, Verdict::EnvironmentChanged);
    assert!(elsewhere.reason.contains("cpu: simulated, here new"), "{}", elsewhere.reason);
}

#[test]
fn a_floor_above_the_change_keeps_the_alarm_back() {
    let quiet = Design { jitter: 0.002, metrics: 1, ..Design::of(8, 1, 0.05) };
    let noisy = Design { jitter: 0.2, ..quiet };
    for (design, verdict) in [(quiet, Verdict::Regressed), (noisy, Verdict::Inconclusive)] {
        let floor = design.floor(9, 8, &rule());
        assert_eq!(quiet.gate(1, &floor, &rule()).1.rows[0].verdict, verdict);
    }
}

#[test]
fn a_floor_survives_its_file_and_is_refused_when_changed() {
    let design = Design { metrics: 2, ..Design::of(8, 0, 0.0) };
    let floor = design.floor(10, 8, &rule());
    let json = serde_json::to_string(&floor).unwrap();
    assert_eq!(NoiseFloor::parse(&json, "floor.json").unwrap(), floor);
    for (from, to) in [
        ("\"version\":2", "\"version\":3"),
        ("simulated\"}", "other\"}"),
        ("\"rounds\":8", "\"rounds\":1"),
        ("arm-0001", "arm-0000"),
        ("\"p99\":", "\"p99\":-"),
    ] {
        let error = NoiseFloor::parse(&json.replace(from, to), "floor.json");
        assert!(error.unwrap_err().to_string().starts_with("floor.json"), "{from}");
    }
    let short: Vec<_> = (0..4).map(|i| design.session(1, &format!("{i}"), |_| true)).collect();
    let error = NoiseFloor::measure(&short, &rule(), NOW).unwrap_err();
    assert!(matches!(error, RegressError::Floor { .. }), "{error}");
    let twice = vec![short[0].clone(); 6];
    let error = NoiseFloor::measure(&twice, &rule(), NOW).unwrap_err().to_string();
    assert!(error.contains("given twice"), "{error}");
}

#[test]
fn the_sign_flip_test_says_how_many_pairs_it_needs() {
    let rule = Rule { test: Test::SignFlip, ..rule() };
    let design = Design { jitter: 0.005, ..Design::of(8, 5, 0.05) };
    let floor = design.floor(11, 8, &rule);
    let report = design.gate(1, &floor, &rule).1;
    assert_eq!(report.exit_code(), 3);
    assert!(report.rows[0].reason.contains("11 are needed"), "{}", report.rows[0].reason);
    let design = Design { pairs: 12, ..design };
    let report = design.gate(1, &floor, &rule).1;
    assert_eq!(design.alarms(&report), (5, 0), "{report:?}");
}

// Values.

fn metric(name: &str, class: Class, value: Value) -> Metric {
    Metric {
        name: name.to_owned(),
        class,
        unit: "unit".to_owned(),
        direction: Some(Direction::LowerIsBetter),
        tolerance: None,
        margin: None,
        best: None,
        value,
    }
}

/// A snapshot with one cell for each seed, all with these metrics of the seed.
fn seeds(n: usize, metrics: impl Fn(usize) -> Vec<Metric>) -> Snapshot {
    let cell = |seed: usize| Cell {
        workload: "w".to_owned(),
        arm: "a".to_owned(),
        seed: seed.to_string(),
        round: 0,
        config: Digest::of(b"config"),
        code: None,
        failed: None,
        disturbed: false,
        metrics: metrics(seed),
    };
    let machine = Machine::new(BTreeMap::from([("cpu".to_owned(), "one".to_owned())]));
    let cells = (0..n).map(cell).collect();
    Snapshot::new("suite".to_owned(), machine, None, None, cells).unwrap()
}

fn compare(base: &Snapshot, head: &Snapshot) -> Report {
    let at = FloorAt { floor: None, now_unix: NOW };
    match decide(base, head, at, &rule()).unwrap() {
        Decision::Final { report } => *report,
        Decision::NeedsConfirmation { .. } => panic!("a kept reference cannot be run again"),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn a_changed_shuffle_and_a_changed_digest_are_regressed_and_name_the_seed() {
    let side = |order: &'static str| {
        seeds(3, move |seed| {
            vec![
                metric("order", Class::Exact, text(if seed == 1 { order } else { "aa" })),
                metric("parameters", Class::Exact, text("cc")),
            ]
        })
    };
    let report = compare(&side("aa"), &side("bb"));
    let row = &report.rows[0];
    assert_eq!((row.verdict, report.exit_code()), (Verdict::Regressed, 1));
    assert_eq!((row.base.clone(), row.head.clone()), (Some(text("aa")), Some(text("bb"))));
    assert_eq!(row.reason, "an exact value changed under seed \"1\" (1 of 3 pairs differ)");
    assert_eq!(report.rows[1].verdict, Verdict::Same);
}

#[test]
fn a_loss_worse_by_one_ulp_regresses_unless_the_suite_tolerates_it() {
    let side = |loss: f64, tolerance| {
        seeds(2, move |_| {
            let loss = Value::Number(loss);
            vec![Metric { tolerance, ..metric("loss", Class::Ulp, loss) }]
        })
    };
    let verdict = |tolerance, base: f64, head: f64| {
        compare(&side(base, tolerance), &side(head, tolerance)).rows[0].verdict
    };
    let (one, worse) = (0.7, 0.7_f64.next_up());
    assert_eq!(verdict(None, one, worse), Verdict::Regressed);
    assert_eq!(verdict(None, worse, one), Verdict::Improved);
    assert_eq!(verdict(None, one, one), Verdict::Same);
    assert_eq!(verdict(Some(Tolerance::Ulps(1)), one, worse), Verdict::Same);
    assert_eq!(verdict(Some(Tolerance::Ulps(1)), one, worse.next_up()), Verdict::Regressed);
    assert_eq!(verdict(Some(Tolerance::Relative(1e-9)), one, 0.7 + 1e-10), Verdict::Same);
    // The head cannot loosen the gate that it has to pass.
    let loose = side(worse, Some(Tolerance::Ulps(9)));
    assert_eq!(compare(&side(one, None), &loose).rows[0].verdict, Verdict::Regressed);
}

#[test]
fn scores_are_paired_by_seed_and_judged_by_margin_and_test() {
    let side = |shift: f64| {
        seeds(6, move |seed| {
            let noise = [0.0, 0.3, -0.2, 0.1, -0.4, 0.2][seed];
            let wobble = [0.001, -0.001, 0.002, 0.0, -0.002, 0.001][seed];
            let value = 1.0 + noise + shift + if shift == 0.0 { 0.0 } else { wobble };
            vec![metric("loss", Class::Quality, Value::Number(value))]
        })
    };
    let verdict = |shift| compare(&side(0.0), &side(shift)).rows[0].clone();
    assert_eq!(verdict(0.05).verdict, Verdict::Regressed);
    assert_eq!(verdict(-0.05).verdict, Verdict::Improved);
    assert_eq!(verdict(0.001).verdict, Verdict::Same);
    assert_eq!(verdict(0.0).reason, "equal in all 6 pairs");
    // Clearly worse, but by less than the 2 % that matter; and 0.019 is not shown to be 0 either.
    assert_eq!(verdict(0.0195).verdict, Verdict::Inconclusive);
    assert_eq!(compare(&side(0.0), &side(0.0195)).exit_code(), 0);
    let effect = verdict(0.05).effect.unwrap();
    assert!((effect.value - 0.05).abs() < 0.01 && effect.interval.low > 0.0, "{effect:?}");
}

#[test]
fn a_missing_arm_a_new_one_and_a_crash_have_their_own_verdicts() {
    let whole = seeds(3, |_| vec![metric("loss", Class::Exact, Value::Number(0.5))]);
    let none = seeds(3, |_| Vec::new());
    let report = compare(&whole, &none);
    assert_eq!((report.rows[0].verdict, report.exit_code()), (Verdict::Missing, 3));
    let report = compare(&none, &whole);
    assert_eq!((report.rows[0].verdict, report.exit_code()), (Verdict::New, 0));
    let mut crashed = none;
    crashed.cells[2].failed = Some("out of memory".to_owned());
    let report = compare(&whole, &crashed);
    assert_eq!(report.exit_code(), 4);
    assert!(report.rows[0].reason.contains("out of memory"), "{:?}", report.rows[0]);
}

/// A side with these cells in place of its own.
fn with_cells(side: Snapshot, cells: Vec<Cell>) -> Snapshot {
    let Snapshot { suite, machine, commit, session, .. } = side;
    Snapshot::new(suite, machine, commit, session, cells).unwrap()
}

/// Both sides of a session of four arms, the first 5 % slower in the head, with a digest of the
/// order, one of the parameters and a loss beside the times.
fn four_arms() -> (Design, Snapshot, Snapshot) {
    let design = Design { jitter: 0.005, metrics: 4, ..Design::of(8, 1, 0.05) };
    let (base, head) = design.session(1, "first", |_| true);
    let whole = |side: Snapshot| {
        let mut cells = side.cells.clone();
        for cell in &mut cells {
            cell.metrics.extend([
                metric("order", Class::Exact, text("aa")),
                metric("parameters", Class::Exact, text("bb")),
                metric("loss", Class::Ulp, Value::Number(0.7)),
            ]);
        }
        with_cells(side, cells)
    };
    (design, whole(base), whole(head))
}

#[test]
fn each_fault_of_one_change_gets_its_own_verdict_and_nothing_else_is_reported() {
    let (design, base, head) = four_arms();
    let mut cells = head.cells.clone();
    cells.retain(|cell| cell.arm != "arm-0003");
    for cell in &mut cells {
        for metric in &mut cell.metrics {
            match (cell.arm.as_str(), metric.name.as_str()) {
                ("arm-0001", "order") => metric.value = text("ab"),
                ("arm-0002", "parameters") => metric.value = text("ba"),
                ("arm-0002", "loss") => metric.value = Value::Number(0.7_f64.next_up()),
                _ => {}
            }
        }
    }
    let head = with_cells(head, cells);
    let floor = design.floor(12, 8, &rule());
    let at = FloorAt { floor: Some(&floor), now_unix: NOW };
    let Decision::NeedsConfirmation { provisional, cells } =
        decide(&base, &head, at, &rule()).unwrap()
    else {
        panic!("the slow arm raises no alarm");
    };
    assert_eq!(cells.iter().map(|cell| cell.arm.as_str()).collect::<Vec<_>>(), ["arm-0000"]);
    let changed: Vec<String> = provisional
        .rows
        .iter()
        .filter(|row| row.verdict != Verdict::Same)
        .map(|row| format!("{} {} {}", row.name.arm, row.name.metric, row.verdict.name()))
        .collect();
    let expected = [
        "arm-0000 train-seconds regressed",
        "arm-0001 order regressed",
        "arm-0002 loss regressed",
        "arm-0002 parameters regressed",
        "arm-0003 loss missing",
        "arm-0003 order missing",
        "arm-0003 parameters missing",
        "arm-0003 train-seconds missing",
    ];
    assert_eq!(changed, expected);
    assert_eq!(provisional.exit_code(), 1);
}

#[test]
fn a_reference_of_another_machine_judges_orders_and_nothing_that_a_machine_decides() {
    let (design, mut base, mut head) = four_arms();
    base.session = None;
    head.machine = Machine::new(BTreeMap::from([("cpu".to_owned(), "new".to_owned())]));
    head.cells[0].metrics[1].value = text("changed");
    head.cells[0].metrics[2].value = text("changed");
    let floor = design.floor(12, 8, &rule());
    let at = FloorAt { floor: Some(&floor), now_unix: NOW };
    let Decision::Final { report } = decide(&base, &head, at, &rule()).unwrap() else {
        panic!("judged");
    };
    let (orders, others): (Vec<&Row>, Vec<&Row>) =
        report.rows.iter().partition(|row| row.name.metric == "order");
    assert_eq!((orders.len(), others.len()), (4, 12));
    assert!(others.iter().all(|row| row.verdict == Verdict::EnvironmentChanged));
    assert_eq!(orders[0].verdict, Verdict::Regressed);
    assert!(orders[1..].iter().all(|row| row.verdict == Verdict::Same));
    assert_eq!(report.exit_code(), 1);
}

#[test]
fn another_libtorch_in_the_head_is_noted_and_everything_is_judged() {
    let (design, base, head) = four_arms();
    let with = |side: Snapshot, version: &str| {
        let software = BTreeMap::from([("libtorch".to_owned(), version.to_owned())]);
        Snapshot { machine: Machine { software, ..side.machine.clone() }, ..side }
    };
    let (base, mut head) = (with(base, "2.11.0"), with(head, "2.12.0"));
    // Of an old kernel on one side: within one session that is no other machine.
    let mut parts = head.machine.parts.clone();
    parts.insert("governor".to_owned(), "performance".to_owned());
    head.machine = Machine { software: head.machine.software, ..Machine::new(parts) };
    let floor = NoiseFloor { machine: head.machine.clone(), ..design.floor(12, 8, &rule()) };
    let at = FloorAt { floor: Some(&floor), now_unix: NOW };
    let Decision::NeedsConfirmation { provisional, .. } =
        decide(&base, &head, at, &rule()).unwrap()
    else {
        panic!("the slow arm raises no alarm");
    };
    assert!(provisional.rows.iter().all(|row| row.judged), "{provisional:?}");
    let note = "other software in the head: libtorch: 2.11.0, then 2.12.0";
    assert!(provisional.notes.contains(&note.to_owned()), "{:?}", provisional.notes);
}

#[test]
fn two_builds_with_the_same_code_and_libraries_compare_nothing() {
    let (design, base, head) = four_arms();
    let coded = |mut side: Snapshot, code: &str| {
        side.cells.iter_mut().for_each(|cell| cell.code = Some(code.to_owned()));
        side.cells.iter_mut().for_each(|cell| cell.metrics.retain(|m| m.class != Class::Time));
        side
    };
    let floor = design.floor(12, 8, &rule());
    let at = FloorAt { floor: Some(&floor), now_unix: NOW };
    let judged = |base: &Snapshot, head: &Snapshot| match decide(base, head, at, &rule()).unwrap() {
        Decision::Final { report } => *report,
        Decision::NeedsConfirmation { .. } => panic!("there are no times"),
    };
    let (one, other) = (coded(base, "aa"), coded(head, "aa"));
    let report = judged(&one, &other);
    assert_eq!(report.exit_code(), 3);
    assert!(report.uncompared.unwrap().contains("the same training code"));
    // Other code, other libraries, or code that is not known: something was compared.
    assert_eq!(judged(&one, &coded(other.clone(), "bb")).exit_code(), 0);
    let mut newer = other.clone();
    newer.machine.software.insert("libtorch".to_owned(), "2.12.0".to_owned());
    assert_eq!(judged(&one, &newer).exit_code(), 0);
    let mut unknown = other;
    unknown.cells.iter_mut().for_each(|cell| cell.code = None);
    assert_eq!(judged(&one, &unknown).exit_code(), 0);
}

#[test]
fn half_as_many_errors_more_are_regressed_however_near_the_accuracy_is_to_1() {
    let side = |accuracy: f64, best: Option<f64>| {
        seeds(6, move |seed| {
            let wobble = [0.0, 2e-4, -1e-4, 1e-4, -2e-4, 0.0][(seed * 5) % 6];
            let value = Value::Number(accuracy + if accuracy < 0.97 { wobble } else { 0.0 });
            let direction = Some(Direction::HigherIsBetter);
            vec![Metric { direction, best, ..metric("accuracy", Class::Quality, value) }]
        })
    };
    let row = |best| compare(&side(0.97, best), &side(0.955, best)).rows[0].clone();
    let judged = row(Some(1.0));
    assert_eq!(judged.verdict, Verdict::Regressed, "{judged:?}");
    assert!((judged.threshold.unwrap() - 0.02 * 0.03).abs() < 1e-12, "{judged:?}");
    // Without a best value the margin is a share of the level, and such a loss is within it.
    assert_eq!(row(None).verdict, Verdict::Same);
    // A base at its best still has a margin.
    let perfect = compare(&side(1.0, Some(1.0)), &side(0.955, Some(1.0))).rows[0].clone();
    assert_eq!((perfect.verdict, perfect.judged), (Verdict::Regressed, true), "{perfect:?}");
}

#[test]
fn an_accepted_change_is_told_with_its_reason_and_fails_nothing() {
    use analysis::regress::excuse::{Acceptance, excuse};
    let side = |order: &'static str, parameters: &'static str| {
        seeds(3, move |_| {
            vec![
                metric("order", Class::Exact, text(order)),
                metric("parameters", Class::Exact, text(parameters)),
            ]
        })
    };
    let accept = |texts: &[&str]| -> Vec<Acceptance> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let judged = |accepted: &[&str]| {
        let mut report = compare(&side("aa", "bb"), &side("ab", "ba"));
        excuse(&mut report, &accept(accepted), &[], NOW);
        report
    };
    let one = judged(&["order=a new shuffle"]);
    assert_eq!(one.exit_code(), 1, "the parameters are not accepted");
    let both = judged(&["order=a new shuffle", "parameters@a=follows", "steps=nothing"]);
    assert_eq!(both.exit_code(), 0);
    assert_eq!(both.rows[0].verdict, Verdict::Regressed);
    assert_eq!(both.rows[0].excused.as_deref(), Some("accepted: a new shuffle"));
    assert!(both.notes[0].contains("not regressed: steps (nothing)"), "{:?}", both.notes);
    assert_eq!(judged(&["order=x", "parameters@other=x"]).exit_code(), 1);
}

#[test]
fn a_quarantined_arm_counts_again_after_its_last_day() {
    use analysis::regress::excuse::{Quarantine, excuse};
    let order =
        |order: &'static str| seeds(3, move |_| vec![metric("order", Class::Exact, text(order))]);
    let quarantine = |arm: &str| Quarantine {
        arm: Some(arm.to_owned()),
        workload: None,
        until: "2026-12-31".parse().unwrap(),
        reason: "unstable".to_owned(),
    };
    let last = 1_798_761_600;
    let judged = |arm: &str, now| {
        let mut report = compare(&order("aa"), &order("ab"));
        excuse(&mut report, &[], &[quarantine(arm)], now);
        report
    };
    assert_eq!(judged("a", last - 1).exit_code(), 0);
    let ended = judged("a", last);
    assert_eq!(ended.exit_code(), 1);
    assert!(ended.notes[0].contains("ended on 2026-12-31 (unstable)"), "{:?}", ended.notes);
    assert_eq!(judged("other", last - 1).exit_code(), 1);
}

#[test]
fn a_failed_run_is_told_once_however_often_it_ran() {
    let whole = seeds(3, |_| vec![metric("loss", Class::Exact, Value::Number(0.5))]);
    let mut crashed = whole.clone();
    for cell in &mut crashed.cells {
        cell.failed = Some("out of memory".to_owned());
        cell.metrics.clear();
    }
    let mut again = crashed.cells.clone();
    again.iter_mut().for_each(|cell| cell.round = 1);
    crashed.cells.extend(again);
    assert_eq!(compare(&whole, &with_cells(crashed.clone(), crashed.cells)).failures.len(), 3);
}

#[test]
fn values_far_apart_are_not_counted_in_ulps() {
    let side =
        |value: f64| seeds(2, move |_| vec![metric("diverged", Class::Ulp, Value::Number(value))]);
    let reason = |base, head| compare(&side(base), &side(head)).rows[0].reason.clone();
    assert!(
        reason(0.0, 1.0).starts_with("worse, far beyond the last bits, under"),
        "{}",
        reason(0.0, 1.0)
    );
    assert!(reason(0.7, 0.7_f64.next_up()).starts_with("worse, 1 ulps apart, under"));
}

#[test]
fn a_seed_without_a_value_is_never_left_out_silently() {
    for class in [Class::Exact, Class::Ulp, Class::Quality] {
        let base = seeds(5, |_| vec![metric("loss", class, Value::Number(0.5))]);
        let head = seeds(5, |seed| {
            if seed == 3 { Vec::new() } else { vec![metric("loss", class, Value::Number(0.5))] }
        });
        let report = compare(&base, &head);
        assert_eq!((report.rows[0].judged, report.exit_code()), (false, 3), "{class:?}");
        assert!(report.rows[0].reason.contains("seed \"3\""), "{}", report.rows[0].reason);
    }
}

#[test]
fn nothing_to_compare_is_not_a_pass() {
    let none = seeds(3, |_| Vec::new());
    assert_eq!(compare(&none, &none).exit_code(), 3);
}

#[test]
fn suspected_scores_ask_for_fresh_seeds() {
    let side = |from: usize, shift: f64, session: &str| {
        let mut side = seeds(12, |seed| {
            let value = 1.0 + (seed % 5) as f64 / 100.0 + shift * (1.0 + (seed % 3) as f64 / 10.0);
            vec![metric("loss", Class::Quality, Value::Number(value))]
        });
        side.cells.retain(|cell| (from..from + 6).contains(&cell.seed.parse().unwrap()));
        side.session = Some(session.to_owned());
        let Snapshot { suite, machine, commit, session, cells, .. } = side;
        Snapshot::new(suite, machine, commit, session, cells).unwrap()
    };
    let at = FloorAt { floor: None, now_unix: NOW };
    let (base, head) = (side(0, 0.0, "one"), side(0, 0.1, "one"));
    let Decision::NeedsConfirmation { provisional, cells } =
        decide(&base, &head, at, &rule()).unwrap()
    else {
        panic!("no alarm");
    };
    assert!(cells[0].fresh_seeds);
    let stale =
        confirm(*provisional.clone(), &base, &side(0, 0.0, "two"), &side(0, 0.1, "two"), at);
    assert!(stale.unwrap_err().to_string().contains("of the first round again"));
    let report =
        confirm(*provisional, &base, &side(6, 0.0, "two"), &side(6, 0.1, "two"), at).unwrap();
    assert_eq!(report.rows[0].verdict, Verdict::Regressed);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

// Files.

#[test]
fn a_reference_survives_its_file() {
    let side = seeds(3, |seed| {
        vec![
            metric("loss", Class::Quality, Value::Number(0.1 + seed as f64 / 3.0)),
            metric("steps", Class::Exact, Value::Count(u64::MAX - seed as u64)),
        ]
    });
    assert_eq!(Snapshot::parse(&side.to_json().unwrap(), "ref.json").unwrap(), side);
}

#[test]
fn a_reference_that_was_changed_or_is_not_one_is_refused_with_its_name() {
    let side = seeds(2, |_| {
        vec![
            metric("loss", Class::Quality, Value::Number(0.5)),
            metric("seconds", Class::Time, Value::Number(2.5)),
            metric("order", Class::Exact, text("aa")),
        ]
    });
    let json = side.to_json().unwrap();
    for (from, to, wanted) in [
        ("\"version\": 2", "\"version\": 3", "version 3"),
        ("\"version\": 2", "\"version\": \"2\"", "reference file"),
        ("\"version\": 2,", "", "missing field `version`"),
        ("\"cpu\": \"one\"", "\"cpu\": \"two\"", "changed by hand"),
        ("\"seed\": \"1\"", "\"seed\": \"7\"", "changed by hand"),
        ("\"seed\": \"1\"", "\"seed\": \"0\"", "changed by hand"),
        ("0.5", "NaN", "expected value"),
        ("0.5", "1e999", "out of range"),
        ("0.5", "null", "a number or a text"),
        ("0.5", "\"0.5\"", "must be a number"),
        ("2.5", "0.0", "must be positive"),
        ("2.5", "-2.5", "must be positive"),
        ("\"name\": \"seconds\"", "\"name\": \"loss\"", "given twice"),
        ("\"unit\": \"unit\"", "\"unit\": \"\"", "needs a unit"),
        ("\"round\": 0", "\"round\": 0, \"cheat\": 1", "unknown field"),
        ("\"round\": 0", "\"round\": 0, \"round\": 1", "duplicate field"),
        ("\"class\": \"quality\"", "\"class\": \"qualty\"", "unknown variant"),
        ("}", "", "EOF"),
    ] {
        let broken = if from == "}" {
            json[..json.len() / 2].to_owned()
        } else {
            json.replacen(from, to, 1)
        };
        assert_ne!(broken, json, "{from}");
        let error = Snapshot::parse(&broken, "ref.json").unwrap_err().to_string();
        assert!(error.contains(wanted), "{from} -> {to}: {error}");
        assert!(error.contains("ref.json"), "{error}");
    }
}

#[test]
fn mixed_units_classes_directions_suites_and_settings_are_refused() {
    let plain = |metric: Metric| seeds(3, move |_| vec![metric.clone()]);
    let loss = metric("loss", Class::Quality, Value::Number(0.5));
    let at = FloorAt { floor: None, now_unix: NOW };
    let refusal = |base: &Snapshot, head: &Snapshot| decide(base, head, at, &rule()).unwrap_err();
    for other in [
        Metric { unit: "bits".to_owned(), ..loss.clone() },
        Metric { class: Class::Ulp, ..loss.clone() },
        Metric { direction: Some(Direction::HigherIsBetter), ..loss.clone() },
    ] {
        let error = refusal(&plain(loss.clone()), &plain(other));
        assert!(matches!(error, RegressError::Mixed { .. }), "{error}");
    }
    let base = plain(loss);
    let mut other = base.clone();
    other.suite = "another".to_owned();
    assert!(matches!(refusal(&base, &other), RegressError::OtherSuite { .. }));
}

#[test]
fn an_arm_with_other_settings_is_not_judged_and_the_others_are() {
    let loss = metric("loss", Class::Quality, Value::Number(0.5));
    let base = seeds(3, |_| vec![loss.clone()]);
    let mut both = base.clone();
    let more = base.cells.iter().map(|cell| Cell { arm: "other".to_owned(), ..cell.clone() });
    both.cells.extend(more);
    let snapshot = |cells: Vec<Cell>| {
        Snapshot::new(base.suite.clone(), base.machine.clone(), None, None, cells).unwrap()
    };
    let mut head = both.cells.clone();
    head[1].config = Digest::of(b"another");
    let at = FloorAt { floor: None, now_unix: NOW };
    let Decision::Final { report } =
        decide(&snapshot(both.cells), &snapshot(head), at, &rule()).unwrap()
    else {
        panic!("nothing to confirm");
    };
    let verdicts: Vec<_> = report.rows.iter().map(|row| (row.verdict, row.judged)).collect();
    assert!(verdicts.contains(&(Verdict::Inconclusive, false)), "{report:?}");
    assert!(verdicts.contains(&(Verdict::Same, true)), "{report:?}");
    assert_eq!(report.exit_code(), 3);
    assert!(report.rows.iter().any(|row| row.reason.contains("other settings")), "{report:?}");
}

#[test]
fn rules_without_meaning_are_refused() {
    let side = seeds(3, |_| vec![metric("loss", Class::Quality, Value::Number(0.5))]);
    let at = FloorAt { floor: None, now_unix: NOW };
    for bad in [
        Rule { q: 5.0, ..rule() },
        Rule { q: f64::NAN, ..rule() },
        Rule { margin: 0.0, ..rule() },
        Rule { floor_multiple: -1.0, ..rule() },
        Rule { least_pairs: 1, ..rule() },
        Rule { equivalence_alpha: 0.5, ..rule() },
        Rule { resampling: Resampling { resamples: 1, ..Resampling::seeded(0) }, ..rule() },
    ] {
        let error = decide(&side, &side, at, &bad).unwrap_err();
        assert!(matches!(error, RegressError::Rule { .. }), "{error}");
    }
}
