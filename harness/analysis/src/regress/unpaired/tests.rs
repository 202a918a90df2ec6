use super::*;

fn sample(metric: &str, class: Class, values: &[f64]) -> Sample {
    let higher = class == Class::Quality;
    let direction = if higher { Direction::HigherIsBetter } else { Direction::LowerIsBetter };
    Sample {
        name: MetricName { workload: "w".into(), arm: "a".into(), metric: metric.into() },
        class,
        unit: if higher { "share" } else { "s" }.into(),
        direction: Some(direction),
        margin: None,
        best: higher.then_some(1.0),
        values: values.to_vec(),
    }
}

fn results(samples: &[Sample]) -> Results {
    Results { suite: "s".into(), commit: None, samples: samples.to_vec() }
}

fn judged(base: &[Sample], head: &[Sample], drift: Option<f64>) -> Report {
    let rule = Rule::default();
    judge(&results(base), &results(head), Terms { rule: &rule, drift }).unwrap()
}

const STEADY: [f64; 6] = [1.0, 1.01, 0.99, 1.005, 0.995, 1.0];

fn times(factor: f64) -> Sample {
    sample("seconds", Class::Time, &STEADY.map(|value| factor * value))
}

fn scores(shift: f64) -> Sample {
    sample("accuracy", Class::Quality, &[0.9, 0.91, 0.89, 0.905].map(|value| value + shift))
}

#[test]
fn times_are_shown_and_not_judged_unless_somebody_bounds_the_drift() {
    let report = judged(&[times(1.0)], &[times(1.2)], None);
    let row = &report.rows[0];
    assert_eq!((row.verdict, row.judged, report.exit_code()), (Verdict::Inconclusive, false, 3));
    assert!(row.reason.contains("--drift"), "{}", row.reason);
    assert!((row.effect.unwrap().value - 1.2).abs() < 1e-9);
    let report = judged(&[times(1.0)], &[times(1.2)], Some(0.05));
    assert_eq!((report.rows[0].verdict, report.exit_code()), (Verdict::Regressed, 1));
    assert!(report.rows[0].reason.starts_with("6 values beside 6: worse than sessions"));
    assert_eq!(judged(&[times(1.2)], &[times(1.0)], Some(0.05)).rows[0].verdict, Verdict::Improved);
}

#[test]
fn a_change_as_large_as_the_drift_is_no_alarm_however_steady_the_values() {
    // 5 % and an error of 0.4 %: far from 0, and not shown to be beyond 5 %.
    let report = judged(&[times(1.0)], &[times(1.052)], Some(0.05));
    assert_eq!(report.rows[0].verdict, Verdict::Inconclusive, "{:?}", report.rows[0]);
    let report = judged(&[times(1.0)], &[times(1.02)], Some(0.05));
    assert_eq!(report.rows[0].verdict, Verdict::Same, "{:?}", report.rows[0]);
}

/// A stream of numbers from 0 to below 1, the same at every run.
fn uniforms(mut state: u64) -> impl FnMut() -> f64 {
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[test]
fn sessions_that_differ_within_the_bound_raise_few_alarms_and_without_it_most_would() {
    let mut uniform = uniforms(7);
    let mut alarms = |bound: f64| {
        let alarm = |_: &u32| {
            // Each session its own level within 2.5 % of the middle, each value 1 % of jitter.
            let mut session = || {
                let level = 0.05 * (uniform() - 0.5);
                let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
                let values: Vec<f64> = (0..8).map(|_| (level + 0.01 * normal()).exp()).collect();
                sample("seconds", Class::Time, &values)
            };
            let (base, head) = (session(), session());
            judged(&[base], &[head], Some(bound)).rows[0].verdict == Verdict::Regressed
        };
        (0..400).filter(alarm).count()
    };
    assert!(alarms(0.05) <= 4, "one in a hundred");
    assert!(alarms(1e-9) >= 40, "a tenth: what is not stated is not there");
}

#[test]
fn scores_need_no_machine_and_a_loss_of_a_tenth_is_regressed() {
    let report = judged(&[scores(0.0)], &[scores(-0.09)], None);
    assert_eq!((report.rows[0].verdict, report.exit_code()), (Verdict::Regressed, 1));
    let shown = report.rows[0].effect.unwrap();
    assert!((shown.value + 0.09).abs() < 1e-12 && shown.interval.high < 0.0, "{shown:?}");
    assert_eq!(judged(&[scores(0.0)], &[scores(0.0)], None).exit_code(), 0);
    let equal = sample("accuracy", Class::Quality, &[0.5; 4]);
    assert_eq!(
        judged(std::slice::from_ref(&equal), std::slice::from_ref(&equal), None).rows[0].verdict,
        Verdict::Same
    );
}

#[test]
fn single_values_and_what_only_one_side_has_are_told() {
    let one = sample("accuracy", Class::Quality, &[0.9]);
    let report = judged(&[one, times(1.0)], &[scores(0.0)], Some(0.05));
    let reasons: Vec<&str> = report.rows.iter().map(|row| row.reason.as_str()).collect();
    assert!(reasons[0].starts_with("1 values beside 4 are too few, 3 on either side are needed"));
    assert_eq!(report.rows[1].verdict, Verdict::Missing);
    assert_eq!(report.exit_code(), 3);
    let report = judged(&[scores(0.0)], &[scores(0.0), times(1.0)], None);
    assert_eq!((report.rows[1].verdict, report.exit_code()), (Verdict::New, 0));
    let info = Sample { class: Class::Info, direction: None, best: None, ..scores(0.0) };
    let report = judged(
        &[scores(0.0), Sample { name: times(1.0).name, ..info.clone() }],
        &[scores(0.0)],
        None,
    );
    assert_eq!((report.rows.len(), report.info.len()), (1, 1));
}

#[test]
fn what_cannot_be_compared_or_tested_is_refused() {
    let rule = Rule::default();
    let refused = |head: Results, drift| {
        let base = results(&[scores(0.0)]);
        judge(&base, &head, Terms { rule: &rule, drift }).unwrap_err().to_string()
    };
    let other = Results { suite: "t".into(), ..results(&[scores(0.0)]) };
    assert!(refused(other, None).contains("\"t\""));
    let unit = Sample { unit: "percent".into(), ..scores(0.0) };
    assert!(refused(results(&[unit]), None).contains("unit"));
    for drift in [0.0, -0.1, 5.0, f64::NAN] {
        assert!(refused(results(&[scores(0.0)]), Some(drift)).contains("such as 0.05"), "{drift}");
    }
    let wrong = |change: fn(&mut Sample)| {
        let mut sample = times(1.0);
        change(&mut sample);
        results(&[sample]).check("f.json").unwrap_err().to_string()
    };
    assert!(wrong(|one| one.values.clear()).contains("at least one"));
    assert!(wrong(|one| one.values[1] = f64::NAN).contains("finite"));
    assert!(wrong(|one| one.values[1] = 0.0).contains("positive"));
    assert!(wrong(|one| one.class = Class::Exact).contains("time, quality or info"));
    assert!(wrong(|one| one.direction = None).contains("direction"));
    assert!(wrong(|one| one.unit.clear()).contains("unit"));
    assert!(wrong(|one| one.margin = Some(0.0)).contains("margin"));
    assert!(wrong(|one| one.best = Some(1.0)).contains("best"));
    let twice = results(&[times(1.0), times(1.0)]).check("f.json").unwrap_err().to_string();
    assert!(twice.contains("twice"), "{twice}");
    assert!(results(&[]).check("f.json").is_err());
}

#[test]
fn snapshots_of_two_sessions_are_judged_seed_by_seed_and_their_times_as_values() {
    use crate::regress::Machine;
    use crate::regress::metric::Metric;
    use ledger::digest::Digest;
    let machine = |cpu: &str| Machine::new(BTreeMap::from([("cpu".to_owned(), cpu.to_owned())]));
    let snapshot = |session: &str, cpu: &str, seconds: f64, config: &str| {
        let cell = |(seed, jitter): (usize, &f64)| Cell {
            workload: "w".into(),
            arm: "a".into(),
            seed: seed.to_string(),
            round: 0,
            config: Digest::of(config.as_bytes()),
            code: None,
            failed: None,
            disturbed: seed == 5,
            metrics: vec![
                Metric {
                    name: "order".into(),
                    class: Class::Exact,
                    unit: "sha256".into(),
                    direction: None,
                    tolerance: None,
                    margin: None,
                    best: None,
                    value: Value::Text("aa".into()),
                },
                Metric {
                    name: "train-seconds".into(),
                    class: Class::Time,
                    unit: "s".into(),
                    direction: Some(Direction::LowerIsBetter),
                    tolerance: None,
                    margin: None,
                    best: None,
                    value: Value::Number(seconds * jitter),
                },
            ],
        };
        let cells = STEADY.iter().enumerate().map(cell).collect();
        Snapshot::new("s".into(), machine(cpu), None, Some(session.into()), cells).unwrap()
    };
    let rule = Rule::default();
    let base = snapshot("one", "A", 1.0, "c");
    let judged = |head: &Snapshot, drift| {
        let report = two_sessions(&base, head, Terms { rule: &rule, drift })?;
        let verdicts: Vec<_> = report.rows.iter().map(|row| (row.verdict, row.judged)).collect();
        Ok::<_, RegressError>((verdicts, report.rows[1].reason.clone()))
    };
    let slower = snapshot("two", "A", 1.2, "c");
    let (verdicts, reason) = judged(&slower, Some(0.05)).unwrap();
    assert_eq!(verdicts, [(Verdict::Same, true), (Verdict::Regressed, true)]);
    assert!(reason.starts_with("5 values beside 5: "), "the busy run is left out: {reason}");
    let (verdicts, _) = judged(&slower, None).unwrap();
    assert_eq!(verdicts, [(Verdict::Same, true), (Verdict::Inconclusive, false)]);
    let elsewhere = snapshot("two", "B", 1.2, "c");
    assert_eq!(judged(&elsewhere, None).unwrap().0[1], (Verdict::EnvironmentChanged, false));
    let refused = judged(&elsewhere, Some(0.05)).unwrap_err().to_string();
    assert!(refused.contains("cpu: A, here B"), "{refused}");
    // Nothing but busy runs on a side: that is not judged, and neither new nor passed over.
    let mut busy = slower.clone();
    busy.cells.iter_mut().for_each(|cell| cell.disturbed = true);
    let (verdicts, reason) = judged(&busy, Some(0.05)).unwrap();
    assert_eq!(verdicts[1], (Verdict::Inconclusive, false));
    assert!(reason.starts_with("5 values beside 0 are too few"), "{reason}");
    let set = snapshot("two", "A", 1.2, "other");
    assert_eq!(judged(&set, Some(0.05)).unwrap().0, [(Verdict::Inconclusive, false); 2]);
}

/// A side of one arm: a run per seed, each with its time, if it has one, and whether the machine was busy.
fn side(session: &str, cpu: &str, metric: &str, runs: &[(Option<f64>, bool)]) -> Snapshot {
    use crate::regress::Machine;
    use crate::regress::metric::Metric;
    use ledger::digest::Digest;
    let cell = |(seed, &(seconds, disturbed)): (usize, &(Option<f64>, bool))| Cell {
        workload: "w".into(),
        arm: "a".into(),
        seed: seed.to_string(),
        round: 0,
        config: Digest::of(b"c"),
        code: None,
        failed: None,
        disturbed,
        metrics: seconds
            .into_iter()
            .map(|seconds| Metric {
                name: metric.into(),
                class: Class::Time,
                unit: "s".into(),
                direction: Some(Direction::LowerIsBetter),
                tolerance: None,
                margin: None,
                best: None,
                value: Value::Number(seconds),
            })
            .collect(),
    };
    let machine = Machine::new(BTreeMap::from([("cpu".to_owned(), cpu.to_owned())]));
    let cells = runs.iter().enumerate().map(cell).collect();
    Snapshot::new("s".into(), machine, None, Some(session.into()), cells).unwrap()
}

/// Eight runs, of which `reached` have a time; those that have none met a busy machine where `busy`.
fn eight(reached: usize, busy: bool) -> Vec<(Option<f64>, bool)> {
    let value = |seed: usize| STEADY[seed % STEADY.len()];
    let run = |seed: usize| match seed < reached {
        true => (Some(value(seed)), false),
        false => (None, busy),
    };
    (0..8).map(run).collect()
}

#[test]
fn times_of_two_sessions_are_not_judged_by_the_seeds_that_reached_alone() {
    let rule = Rule::default();
    let terms = Terms { rule: &rule, drift: Some(0.05) };
    let name = "time-to-target";
    let sides = |base: &[(Option<f64>, bool)], head: &[(Option<f64>, bool)]| {
        let (base, head) = (side("one", "A", name, base), side("two", "A", name, head));
        two_sessions(&base, &head, terms).unwrap().rows.remove(0)
    };
    assert_eq!(sides(&eight(8, false), &eight(8, false)).verdict, Verdict::Same);
    for (base, head, lacking) in
        [(8, 3, "5 of 8 runs of the head"), (4, 8, "4 of 8 runs of the base")]
    {
        let row = sides(&eight(base, false), &eight(head, false));
        assert_eq!((row.verdict, row.judged), (Verdict::Inconclusive, false), "{row:?}");
        assert!(row.reason.starts_with(lacking), "{}", row.reason);
        assert_eq!((row.p, row.effect), (None, None), "it is no part of any test");
    }
    // A run on a busy machine would not have counted with a value either.
    assert_eq!(sides(&eight(8, false), &eight(5, true)).verdict, Verdict::Same);
    let busy: Vec<_> = eight(8, false).into_iter().map(|(seconds, _)| (seconds, true)).collect();
    let row = sides(&eight(8, false), &busy);
    assert_eq!((row.verdict, row.judged), (Verdict::Inconclusive, false), "{row:?}");
    assert!(row.reason.starts_with("8 values beside 0 are too few"), "{}", row.reason);
}

#[test]
fn on_another_machine_what_only_one_side_has_stays_new_or_missing() {
    let rule = Rule::default();
    let base = side("one", "A", "old-seconds", &eight(8, false));
    let head = side("two", "B", "some-seconds", &eight(8, false));
    let report = two_sessions(&base, &head, Terms { rule: &rule, drift: None }).unwrap();
    let verdicts: Vec<_> = report.rows.iter().map(|row| (row.verdict, row.judged)).collect();
    assert_eq!(verdicts, [(Verdict::Missing, false), (Verdict::New, true)]);
}
