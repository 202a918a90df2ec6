use std::collections::BTreeMap;

use super::summarise::summarise;
use super::{Analysis, ArmAnalysis, CellLeft, CellRun, Cost};
use crate::suite::{ArmPair, ClaimUse, CompareBy, PaperNumber, Sections, When};
use crate::suite_run::SuiteRun;
use crate::suite_run::{RunArm, RunCell, RunStopping, RunWorkload};
use crate::verify::tests::sample;
use ledger::catalogue::MetricInfo;
use ledger::crossing::Crossing;
use ledger::digest::Digest;
use ledger::goal::{Budget, Direction, Goal, Target};
use ledger::record::format::{
    ClockSeconds, DataSection, Environment, Evaluation, Event, RunRecord, Status,
};
use ledger::transcript::ChainPoint;
use stats::verdict::Verdict;

/// What a made-up run ends with: seconds to the target (or none), test accuracy, test NLL.
pub(super) type Ending = (Option<f64>, f64, f64);

pub(crate) fn record(seed: usize, (time, accuracy, nll): Ending) -> RunRecord {
    let crossing = |at: Option<f64>| Crossing {
        isotonic: at,
        first: at,
        held3: None,
        samples: at.map(|at| at * 100.0),
        steps: at.map(|at| at * 10.0),
        diverged_at: None,
    };
    let root = Digest::of(b"data");
    RunRecord {
        cell: format!("{seed:016x}"),
        suite: "made-up".into(),
        suite_digest: root,
        workload: "w".into(),
        method: "m".into(),
        seed: seed.to_string(),
        status: if time.is_some() { Status::Reached } else { Status::Censored },
        data: Some(DataSection {
            name: "d".into(),
            origin: "official".into(),
            sha256: None,
            classes: Some(10),
            train_root: root,
            validation_root: root,
            test_root: root,
        }),
        goal: Goal {
            target: Target {
                metric: "accuracy".into(),
                direction: Direction::HigherIsBetter,
                value: 0.9,
                origin: "assumed".into(),
            },
            budget: Budget { samples: 1000, evaluate_every: 100 },
        },
        clocks: ClockSeconds { train: 10.0, eval: 1.0, io: 0.1, total: 11.1 },
        time_to_target: Some(crossing(time)),
        last: BTreeMap::from([
            ("validation/accuracy".to_owned(), accuracy),
            ("test/accuracy".to_owned(), accuracy),
            ("test/nll".to_owned(), nll),
        ]),
        steps: 100,
        samples: 1000,
        parameters_sha256: None,
        streams: Vec::new(),
        environment: Environment {
            cpus: 2,
            load_at_start: Some(1.0),
            cpu_share: Some(1.0),
            ..Environment::default()
        },
        ..sample::record(0, root)
    }
}

fn events(accuracy: f64) -> Vec<Event> {
    let at = |share: f64| {
        Event::Evaluated(Evaluation {
            samples: (1000.0 * share) as u64,
            steps: (100.0 * share) as u64,
            clocks: ClockSeconds { train: 10.0 * share, ..ClockSeconds::default() },
            train_loss: None,
            metrics: BTreeMap::from([("validation/accuracy".to_owned(), accuracy * share)]),
            costs: BTreeMap::new(),
            chain: ChainPoint { step: 0, chain: Digest::of(b"") },
        })
    };
    vec![at(0.0), at(0.5), at(1.0)]
}

pub(super) fn claim(compare: &str, at_least: f64) -> ClaimUse {
    ClaimUse {
        id: "c".into(),
        statement: "s".into(),
        paper: PaperNumber { number: "1.4×".into(), source: "abstract".into() },
        at_least,
        ..ClaimUse::between("new", "old", compare)
    }
}

/// Two arms, `old` and `new`, on the given workloads: endings by workload, arm and seed.
pub(super) struct Made {
    pub(super) endings: Vec<[Vec<Ending>; 2]>,
    pub(super) claims: Vec<ClaimUse>,
    pub(super) change: fn(&mut RunRecord),
    pub(super) stopping: Option<RunStopping>,
}

impl Made {
    pub(super) fn on_one(old: &[Ending], new: &[Ending], claims: Vec<ClaimUse>) -> Self {
        Self { endings: vec![[old.to_vec(), new.to_vec()]], claims, change: |_| {}, stopping: None }
    }

    pub(super) fn analysis(&self) -> Analysis {
        let (suite, cells) = self.left();
        summarise(&suite, &cells)
    }

    /// The suite run and what its cells left.
    pub(super) fn left(&self) -> (SuiteRun, Vec<CellRun>) {
        let mut cells = Vec::new();
        for (workload, arms) in self.endings.iter().enumerate() {
            for (arm, endings) in arms.iter().enumerate() {
                for (seed, &ending) in endings.iter().enumerate() {
                    let mut record = record(seed, ending);
                    record.cell = format!("{workload:x}{arm:x}{seed:014x}");
                    (self.change)(&mut record);
                    let cell = RunCell {
                        workload,
                        arm,
                        seed: seed.to_string(),
                        cell: record.cell.clone(),
                    };
                    let left =
                        CellLeft { record, events: events(ending.1), run_digest: String::new() };
                    cells.push(CellRun { cell, left: Some(left), damaged: None });
                }
            }
        }
        let arm = |label: &str| RunArm {
            label: label.into(),
            method: "m".into(),
            settings: BTreeMap::new(),
            budget: None,
            trials: None,
        };
        let workload = |index: usize| RunWorkload {
            label: format!("w{index}"),
            title: String::new(),
            metrics: ["nll", "ece"]
                .map(|name| MetricInfo::error(name).owned())
                .into_iter()
                .chain([MetricInfo::share("accuracy", 0.1).owned()])
                .collect(),
            target: Target {
                metric: "accuracy".into(),
                direction: Direction::HigherIsBetter,
                value: 0.9,
                origin: "measured".into(),
            },
            budget_samples: 1000,
            train_examples: 100,
        };
        let suite = SuiteRun {
            of_another_build: Vec::new(),
            version: SuiteRun::VERSION,
            suite: "made-up".into(),
            source: "made-up".into(),
            question: "q".into(),
            suite_digest: String::new(),
            baseline: Some("old".into()),
            workloads: (0..self.endings.len()).map(workload).collect(),
            arms: vec![arm("old"), arm("new")],
            estimated: Vec::new(),
            unjudged: Vec::new(),
            stopping: self.stopping.clone(),
            tuned: None,
            sections: Sections { claims: self.claims.clone(), ..Sections::default() },
            cells: cells.iter().map(|run| run.cell.clone()).collect(),
            argv: Vec::new(),
            made: crate::suite_run::Made::default(),
        };
        (suite, cells)
    }
}

pub(super) fn times(seconds: &[f64]) -> Vec<Ending> {
    seconds.iter().map(|&time| (Some(time), 0.95, 0.2)).collect()
}

fn arm<'a>(analysis: &'a Analysis, label: &str) -> &'a ArmAnalysis {
    analysis.workloads[0].arms.iter().find(|arm| arm.label == label).unwrap()
}

#[test]
fn a_method_twice_as_fast_has_a_paired_speed_up_of_two() {
    let made = Made::on_one(
        &times(&[4.0, 6.0, 5.0]),
        &times(&[2.0 * 1.02, 3.0 / 1.02, 2.5]),
        vec![claim("time-to-target", 1.5)],
    );
    let analysis = made.analysis();
    let speed_up = arm(&analysis, "new").speed_up.as_ref().unwrap();
    assert!((speed_up.ratio - 2.0).abs() < 1e-12 && speed_up.n == 3);
    assert!(arm(&analysis, "old").speed_up.is_none());
    assert_eq!(analysis.claims[0].verdict.words(), "reproduced");
    assert!((analysis.claims[0].effect.unwrap() - 2.0).abs() < 1e-12);
}

#[test]
fn fewer_samples_are_told_where_a_busy_machine_withholds_the_times() {
    let mut made = Made::on_one(&times(&[4.0, 6.0, 5.0]), &times(&[2.0, 3.0, 2.5]), Vec::new());
    made.change = |record| record.environment.cpu_share = Some(0.6);
    let analysis = made.analysis();
    let new = arm(&analysis, "new");
    assert!(new.speed_up.is_none());
    let fewer = new.fewer_samples.as_ref().unwrap();
    assert!((fewer.ratio - 2.0).abs() < 1e-12 && fewer.n == 3, "{fewer:?}");
    assert!(arm(&analysis, "old").fewer_samples.is_none());
}

#[test]
fn an_arm_that_costs_the_same_and_ends_worse_is_dominated() {
    let better: Vec<Ending> = times(&[4.0, 6.0]).iter().map(|end| (end.0, 0.97, end.2)).collect();
    let analysis = Made::on_one(&times(&[4.0, 6.0]), &better, Vec::new()).analysis();
    let [old, new] = ["old", "new"].map(|label| arm(&analysis, label));
    assert_eq!((old.undominated, new.undominated), (Some(false), Some(true)));
    assert_eq!(new.train_seconds.as_ref().unwrap().value, 10.0);
    let alike = Made::on_one(&times(&[4.0, 6.0]), &times(&[4.0, 6.0]), Vec::new()).analysis();
    assert!(alike.workloads[0].arms.iter().all(|arm| arm.undominated == Some(true)));
}

#[test]
fn a_slower_method_does_not_reproduce_the_claim_of_speed() {
    let made = Made::on_one(
        &times(&[4.0, 6.0, 5.0]),
        &times(&[4.4, 6.1, 5.3]),
        vec![claim("time-to-target", 1.5)],
    );
    assert_eq!(made.analysis().claims[0].verdict.words(), "not reproduced");
}

#[test]
fn a_censored_pair_withholds_the_ratio_and_is_never_dropped() {
    let mut new = times(&[2.0, 3.0, 2.5]);
    new[1].0 = None;
    let analysis =
        Made::on_one(&times(&[4.0, 6.0, 5.0]), &new, vec![claim("time-to-target", 1.1)]).analysis();
    assert_eq!(analysis.claims[0].verdict.words(), "inconclusive");
    assert!(
        analysis.claims[0].reason.contains("1 of 3 pairs have a run that never reached"),
        "{}",
        analysis.claims[0].reason
    );
    let new = arm(&analysis, "new");
    assert!(new.speed_up.is_none() && new.time_to_target.geometric_mean.is_none());
    assert_eq!((new.outcomes.reached, new.outcomes.censored), (2, 1));
    assert!((new.reach_rate.value - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!(new.time_to_target.values, [Some(2.0), None, Some(2.5)]);
    assert_eq!(new.time_to_target.censored_at, Some(10.0));
    assert_eq!(arm(&analysis, "old").time_to_target.censored_at, None);
    assert!(
        analysis.warnings.iter().any(|warning| warning.contains("new (2 of 3)")),
        "{:?}",
        analysis.warnings
    );
}

#[test]
fn timed_verdicts_are_withheld_when_the_machine_was_busy_and_others_are_not() {
    let mut made = Made::on_one(
        &times(&[4.0, 6.0, 5.0]),
        &times(&[2.0, 3.1, 2.5]),
        vec![claim("time-to-target", 1.1), claim("samples-to-target", 1.1)],
    );
    made.claims[1].id = "samples".into();
    made.change = |record| {
        record.environment.load_at_start = Some(5.0);
        record.environment.cpu_share = Some(0.6);
    };
    let analysis = made.analysis();
    assert_eq!(analysis.claims[0].verdict.words(), "inconclusive");
    assert!(analysis.claims[0].reason.contains("busier than its cores"));
    assert_eq!(analysis.claims[1].verdict.words(), "reproduced");
    assert!(arm(&analysis, "new").speed_up.is_none());
    // A high load average alone is the echo of a build that has ended: the run had its core.
    made.change = |record| record.environment.load_at_start = Some(5.0);
    assert_eq!(made.analysis().claims[0].verdict.words(), "reproduced");
}

#[test]
fn a_lower_nll_speaks_for_the_method_and_a_higher_one_against_it() {
    let endings = |nll: [f64; 3]| nll.map(|nll| (Some(1.0), 0.9, nll)).to_vec();
    let better = Made::on_one(
        &endings([0.30, 0.32, 0.31]),
        &endings([0.20, 0.23, 0.2]),
        vec![claim("test/nll", 0.05)],
    );
    let outcome = &better.analysis().claims[0];
    assert_eq!((outcome.verdict, outcome.scale), (Verdict::Reproduced, CompareBy::Difference));
    assert!((outcome.effect.unwrap() - 0.1).abs() < 1e-12);
    let worse = Made::on_one(
        &endings([0.2, 0.23, 0.2]),
        &endings([0.30, 0.32, 0.31]),
        vec![claim("test/nll", 0.05)],
    );
    assert_eq!(worse.analysis().claims[0].verdict.words(), "not reproduced");
}

#[test]
fn no_verdict_is_given_at_the_ceiling_or_at_chance() {
    let at = |accuracy: [f64; 3]| accuracy.map(|accuracy| (Some(1.0), accuracy, 0.1)).to_vec();
    let ceiling = Made::on_one(
        &at([0.999, 0.998, 0.999]),
        &at([1.0, 1.0, 1.0]),
        vec![claim("test/accuracy", 0.005)],
    );
    let floor = Made::on_one(
        &at([0.1, 0.1, 0.09]),
        &at([0.112, 0.113, 0.11]),
        vec![claim("test/accuracy", 0.005)],
    );
    for made in [ceiling, floor] {
        let outcome = &made.analysis().claims[0];
        assert_eq!(outcome.verdict.words(), "inconclusive", "{}", outcome.reason);
    }
}

#[test]
fn a_claim_of_growth_compares_effects_between_workloads() {
    let at = |accuracy: [f64; 3]| accuracy.map(|accuracy| (Some(1.0), accuracy, 0.1)).to_vec();
    let narrow = [at([0.92, 0.91, 0.92]), at([0.72, 0.73, 0.70])];
    let wide = [at([0.94, 0.95, 0.94]), at([0.90, 0.90, 0.91])];
    let claim = ClaimUse {
        workloads: vec!["w1".into()],
        grows_from: Some("w0".into()),
        ..claim("test/accuracy", 0.05)
    };
    let made =
        Made { endings: vec![narrow, wide], claims: vec![claim], change: |_| {}, stopping: None };
    let analysis = made.analysis();
    assert_eq!(analysis.claims.len(), 1);
    let expected = ((-0.04 + 0.20) + (-0.05 + 0.18) + (-0.03 + 0.22)) / 3.0;
    assert!((analysis.claims[0].effect.unwrap() - expected).abs() < 1e-12);
    assert_eq!(analysis.claims[0].verdict.words(), "reproduced");
    assert_eq!(analysis.claims[0].workload, "w1 against w0");
}

#[test]
fn failed_cells_count_nowhere_but_in_the_outcomes() {
    let mut made = Made::on_one(&times(&[4.0, 6.0, 5.0]), &times(&[2.0, 3.0, 2.5]), Vec::new());
    made.change = |record| {
        if record.seed == "1" {
            record.status = Status::Failed;
        }
    };
    let analysis = made.analysis();
    let new = arm(&analysis, "new");
    assert_eq!((new.outcomes.failed, new.reach_rate.n, new.time_to_target.values.len()), (1, 2, 2));
    assert!(
        analysis.warnings.iter().any(|warning| warning.contains("2 of 6 cells failed")),
        "{:?}",
        analysis.warnings
    );
}

#[test]
fn curves_are_means_over_seeds_with_interpolation_in_time() {
    let endings = [(Some(1.0), 0.8, 0.1), (Some(1.0), 0.9, 0.1)];
    let analysis = Made::on_one(&endings, &endings, Vec::new()).analysis();
    let old = arm(&analysis, "old");
    let middle = old.by_samples[1];
    assert!(
        (middle.x - 500.0).abs() < 1e-9 && (middle.mean - 0.425).abs() < 1e-12 && middle.n == 2
    );
    let half = old.by_time[30];
    assert!((half.x - 5.0).abs() < 1e-9 && (half.mean - 0.425).abs() < 1e-12);
    assert!(half.low < half.mean && half.mean < half.high);
}

#[test]
fn what_runs_take_is_read_along_them_and_of_older_records_at_the_end_alone() {
    let times = times(&[4.0, 6.0]);
    let made = Made::on_one(&times, &times, Vec::new());
    assert!(arm(&made.analysis(), "new").costs.is_empty());
    let older = Made {
        change: |record| {
            let tokens = if record.seed == "0" { 1_000 } else { 3_000 };
            // A part of it, and what is no word, are passed over.
            for name in ["forward_", "forward_../x", "forward_tokens_sampled", "forward_tokens"] {
                record.facts.insert(name.to_owned(), tokens.into());
            }
        },
        ..made
    };
    let analysis = older.analysis();
    let costs = &arm(&analysis, "new").costs;
    let Cost { in_all, curve } = &costs["forward_tokens"];
    assert_eq!((costs.len(), in_all.value, curve.len()), (1, 2_000.0, 0));
    assert_eq!(in_all.values, [1_000.0, 3_000.0]);
    assert_eq!(analysis.runs[0].costs["forward_tokens"], 1_000);
    let none = Made {
        change: |record| {
            record.facts.insert("forward_tokens".to_owned(), 0.into());
        },
        ..older
    };
    assert!(arm(&none.analysis(), "new").costs.is_empty());
}

#[test]
fn what_is_counted_along_runs_has_a_curve_and_a_name_that_is_none_is_passed_over() {
    let times = times(&[4.0, 6.0]);
    let made = Made::on_one(&times, &times, Vec::new());
    let (suite, mut cells) = made.left();
    for (place, cell) in (1..).zip(&mut cells) {
        let left = cell.left.as_mut().unwrap();
        for event in &mut left.events {
            let Event::Evaluated(look) = event else { continue };
            let count = place * look.steps;
            look.costs =
                ["network_evaluations", "../x"].map(|name| (name.to_owned(), count)).into();
        }
    }
    let analysis = summarise(&suite, &cells);
    let costs = &arm(&analysis, "old").costs;
    assert_eq!(costs.keys().collect::<Vec<_>>(), ["network_evaluations"]);
    let Cost { in_all, curve } = &costs["network_evaluations"];
    assert_eq!(in_all.values, [100.0, 200.0]);
    // Accuracies grow from 0 to their end: at 100 the second run is half way.
    let last = curve.last().unwrap();
    assert_eq!((last.x, last.n), (100.0, 2));
    assert!((last.mean - 0.75 * 0.95).abs() < 1e-6, "{}", last.mean);
    assert_eq!(analysis.runs[1].costs["network_evaluations"], 200);
}

#[test]
fn an_analysis_survives_json() {
    let analysis =
        Made::on_one(&times(&[4.0, 6.0]), &times(&[2.0, 3.0]), vec![claim("time-to-target", 1.1)])
            .analysis();
    let text = serde_json::to_string(&analysis).unwrap();
    assert_eq!(serde_json::from_str::<Analysis>(&text).unwrap(), analysis);
    assert_eq!(analysis.claims[0].verdict.words(), "inconclusive");
    assert!(analysis.warnings.iter().any(|warning| warning.contains("fewer than 3 seeds")));
}

fn ends(nll: [f64; 3]) -> Vec<Ending> {
    nll.map(|nll| (Some(1.0), 0.9, nll)).to_vec()
}

#[test]
fn an_error_halved_is_a_ratio_of_two() {
    let by_ratio = ClaimUse { by: CompareBy::Ratio, ..claim("test/nll", 1.5) };
    let made =
        Made::on_one(&ends([0.4, 0.6, 0.5]), &ends([0.2 * 1.02, 0.3 / 1.02, 0.25]), vec![by_ratio]);
    let outcome = &made.analysis().claims[0];
    assert_eq!((outcome.verdict, outcome.scale), (Verdict::Reproduced, CompareBy::Ratio));
    assert!((outcome.effect.unwrap() - 2.0).abs() < 1e-12);
}

#[test]
fn each_arm_is_read_at_the_number_that_the_claim_gives_it() {
    let asked = ClaimUse {
        by: CompareBy::Ratio,
        against: Some("test/nll@8".into()),
        floor: Some("new".into()),
        ..claim("test/nll@4", 1.5)
    };
    let new = ends([0.2 * 1.02, 0.3 / 1.02, 0.25]);
    let mut made = Made::on_one(&ends([0.4, 0.6, 0.5]), &new, vec![asked]);
    made.change = |record| {
        // The error of `old` is that of its ending at 8 and three times as large at 4; of `new` it is
        // that of its ending at 4 and a tenth at 8.
        let end = record.last["test/nll"];
        let of_old = record.cell.starts_with("00");
        let [four, eight] = if of_old { [3.0 * end, end] } else { [end, end / 10.0] };
        let curve = [("test/nll@4", four), ("test/nll@8", eight)];
        record.last.extend(curve.map(|(name, value)| (name.to_owned(), value)));
    };
    let (mut suite, cells) = made.left();
    let curve = ["nll@4", "nll@8"].map(|name| MetricInfo::error(name).owned());
    suite.workloads[0].metrics.extend(curve);
    let outcome = &summarise(&suite, &cells).claims[0];
    assert_eq!(outcome.metric, "test/nll@4 against test/nll@8");
    assert!((outcome.effect.unwrap() - 2.0).abs() < 1e-12, "{:?}", outcome.effect);
    // At 4 the floor would be within three deviations of the baseline at 8.
    assert_eq!(outcome.verdict, Verdict::Reproduced, "{}", outcome.reason);
}

#[test]
fn a_share_doubled_is_a_ratio_of_two_as_well() {
    let by_ratio = ClaimUse { by: CompareBy::Ratio, ..claim("test/accuracy", 1.5) };
    let at = |accuracy: [f64; 3]| accuracy.map(|accuracy| (Some(1.0), accuracy, 0.1)).to_vec();
    let made = Made::on_one(&at([0.2, 0.3, 0.25]), &at([0.4, 0.6, 0.5]), vec![by_ratio]);
    assert!((made.analysis().claims[0].effect.unwrap() - 2.0).abs() < 1e-12);
}

#[test]
fn half_and_mean_read_the_curve_and_not_its_end() {
    // `events` draws a straight line from 0 to the final accuracy.
    let at = |accuracy: [f64; 3]| accuracy.map(|accuracy| (Some(1.0), accuracy, 0.1)).to_vec();
    let when = |when| ClaimUse { when, ..claim("validation/accuracy", 0.01) };
    let mut mean = when(When::Mean);
    mean.id = "mean".into();
    let claims = vec![when(When::Half), mean];
    let analysis = Made::on_one(&at([0.4, 0.4, 0.4]), &at([0.8, 0.8, 0.8]), claims).analysis();
    let effects: Vec<f64> = analysis.claims.iter().map(|c| c.effect.unwrap()).collect();
    // Half: 0.4 − 0.2; mean of the two looks after the start: 0.75·(0.8 − 0.4).
    assert!((effects[0] - 0.2).abs() < 1e-12 && (effects[1] - 0.3).abs() < 1e-12, "{effects:?}");
    assert_eq!(analysis.claims[1].metric, "validation/accuracy, mean over the run");
}

#[test]
fn an_interaction_is_the_difference_of_two_differences() {
    let minus = Some(ArmPair { arm: "new".into(), baseline: "old".into() });
    let made = Made::on_one(
        &ends([0.4, 0.6, 0.5]),
        &ends([0.2, 0.3, 0.3]),
        vec![ClaimUse { minus, ..claim("test/nll", 0.05) }],
    );
    // An effect less itself.
    let outcome = &made.analysis().claims[0];
    assert_eq!(outcome.effect, Some(0.0));
    assert_ne!(outcome.verdict.words(), "reproduced");
    assert_eq!(outcome.metric, "test/nll, less that of new against old");
}

#[test]
fn without_room_above_the_floor_arm_nothing_is_decided() {
    let floor = |arm: &str| ClaimUse { floor: Some(arm.into()), ..claim("test/nll", 0.01) };
    // The method itself as floor: the baseline is three deviations and more above it.
    let wide = Made::on_one(&ends([0.50, 0.51, 0.52]), &ends([0.2, 0.2, 0.21]), vec![floor("new")]);
    assert_eq!(wide.analysis().claims[0].verdict.words(), "reproduced");
    let narrow = Made::on_one(&ends([0.2, 0.6, 0.4]), &ends([0.15, 0.5, 0.3]), vec![floor("new")]);
    assert_eq!(narrow.analysis().claims[0].verdict.words(), "inconclusive");
}

#[test]
fn a_run_that_consumes_nothing_is_a_row_to_compare_with_and_has_no_time() {
    let mut made = Made::on_one(
        &times(&[4.0, 6.0, 5.0]),
        &times(&[2.0, 3.0, 2.5]),
        vec![claim("time-to-target", 1.1)],
    );
    made.change = |record| {
        // All runs of `new`: at the target before the first step.
        if record.time_to_target.is_some_and(|crossing| crossing.isotonic < Some(3.5)) {
            (record.samples, record.steps) = (0, 0);
        }
    };
    let analysis = made.analysis();
    let (new, old) = (arm(&analysis, "new"), arm(&analysis, "old"));
    assert!(new.idle && !old.idle);
    assert!(new.time_to_target.values.is_empty() && new.speed_up.is_none());
    assert_eq!((new.order_paired, new.at_budget["test/nll"].n), (None, 3));
    assert_eq!(old.time_to_target.values.len(), 3);
    assert_eq!(analysis.claims[0].verdict.words(), "inconclusive");
    assert!(old.time_to_target.horizon > 0.0 && old.time_to_target.horizon.is_finite());
}

#[test]
fn a_claim_without_workloads_is_about_those_where_both_arms_run() {
    let mut made =
        Made::on_one(&ends([0.4, 0.6, 0.5]), &ends([0.2, 0.3, 0.3]), vec![claim("test/nll", 0.05)]);
    made.endings.push([ends([0.4, 0.6, 0.5]), Vec::new()]);
    let claims = made.analysis().claims;
    assert_eq!(claims.iter().map(|c| c.workload.as_str()).collect::<Vec<_>>(), ["w0"]);
}

#[test]
fn the_json_of_a_suite_run_and_of_its_analysis_keeps_its_bytes() {
    let mut made = Made::on_one(
        &times(&[4.0, 6.0, 5.0]),
        &times(&[2.0, 3.0, 2.5]),
        vec![claim("time-to-target", 1.5), claim("test/nll", 0.05), claim("test/ece", 0.0)],
    );
    made.change = |record| {
        if record.cell.ends_with('2') {
            record.status = Status::Diverged;
        }
    };
    let (suite, mut cells) = made.left();
    cells[0].left = None;
    let analysis = summarise(&suite, &cells);
    let record = &cells[1].left.as_ref().unwrap().record;
    insta::assert_snapshot!("suite_run", serde_json::to_string_pretty(&suite).unwrap());
    insta::assert_snapshot!("analysis", serde_json::to_string_pretty(&analysis).unwrap());
    insta::assert_snapshot!("record", serde_json::to_string_pretty(record).unwrap());
    let again: SuiteRun = serde_json::from_value(serde_json::to_value(&suite).unwrap()).unwrap();
    assert_eq!(again, suite);
    let again: Analysis = serde_json::from_value(serde_json::to_value(&analysis).unwrap()).unwrap();
    assert_eq!(again, analysis);
    let again: RunRecord = serde_json::from_value(serde_json::to_value(record).unwrap()).unwrap();
    assert_eq!(again, *record);
}
