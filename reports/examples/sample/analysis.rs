//! Invented analyses, by formula: the ordinary case and the awkward ones.

use std::collections::BTreeMap;

use analysis::suite::CompareBy;
use analysis::summary::score::Score;
use analysis::summary::{
    ANALYSIS_VERSION, Analysis, ArmAnalysis, ClaimOutcome, Cost, CurvePoint, Estimate, Outcomes,
    RunRow, SpeedUp, ToTarget, WorkloadAnalysis,
};
use ledger::catalogue::MetricInfo;
use ledger::goal::{Direction, Target};
use ledger::record::format::Status;
use stats::interval::Interval;
use stats::verdict::Verdict;

// Named, because this file is a module of three crates.
#[path = "membership.rs"]
mod membership;
#[path = "score.rs"]
mod score;

/// A label that would run in a browser if it were not escaped.
pub const HOSTILE: &str = "<script>alert(1)</script>";
/// A label wider than any figure allows.
pub const LONG: &str =
    "drop-muon-shift[cutoff=uniform, momentum=0.95, newton_schulz_steps=5, nesterov=true]";

/// How an invented arm behaves.
struct Shape {
    label: &'static str,
    /// Metric it tends to.
    ceiling: f64,
    /// Samples (thousands) to get most of the way.
    pace: f64,
    /// Milliseconds per thousand samples.
    cost: f64,
    law: &'static str,
}

const fn shape(
    label: &'static str,
    ceiling: f64,
    pace: f64,
    cost: f64,
    law: &'static str,
) -> Shape {
    Shape { label, ceiling, pace, cost, law }
}

const SHAPES: [Shape; 12] = [
    shape("sgd", 0.962, 7.0, 390.0, "uniform"),
    shape("adamw", 0.967, 5.2, 420.0, "uniform"),
    shape("muon", 0.973, 3.6, 540.0, "uniform"),
    shape("drop-muon", 0.972, 3.9, 430.0, "uniform"),
    shape(LONG, 0.970, 4.1, 445.0, "uniform"),
    shape("ps-kd", 0.969, 6.6, 470.0, "uniform"),
    shape("random-pruning-erk", 0.957, 8.8, 400.0, "uniform"),
    shape("granet", 0.9475, 9.0, 410.0, "uniform"),
    shape("rs2", 0.964, 5.9, 380.0, "uniform-subset"),
    shape("static-subset", 0.938, 6.0, 375.0, "uniform-subset"),
    shape("high-rate", 0.10, 1.0, 392.0, "uniform"),
    shape(HOSTILE, 0.960, 7.4, 395.0, "uniform"),
];

/// A number in −1..1 that looks random and never changes.
fn wobble(a: usize, b: usize) -> f64 {
    ((a * 7919 + b * 104_729 + 13) % 2003) as f64 / 1001.5 - 1.0
}

fn interval(low: f64, high: f64) -> Option<Interval> {
    Some(Interval { low, high, level: 0.95 })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn estimate(values: Vec<f64>) -> Estimate {
    let centre = mean(&values);
    let spread = values.iter().map(|v| (v - centre).abs()).fold(0.0, f64::max);
    let interval = if values.len() > 1 { interval(centre - spread, centre + spread) } else { None };
    Estimate {
        value: centre,
        interval,
        method: "student-t".to_owned(),
        n: values.len() as u32,
        values,
    }
}

fn to_target(values: Vec<Option<f64>>, horizon: f64) -> ToTarget {
    let mut reached: Vec<f64> = values.iter().flatten().copied().collect();
    reached.sort_by(f64::total_cmp);
    let all = reached.len() == values.len() && !reached.is_empty();
    let median = if reached.len() * 2 > values.len() {
        reached.get(values.len() / 2).copied()
    } else {
        None
    };
    let geometric_mean =
        all.then(|| mean(&reached.iter().map(|v| v.ln()).collect::<Vec<_>>()).exp());
    let ends =
        reached.first().zip(reached.last()).filter(|_| reached.len() > 1 && median.is_some());
    ToTarget {
        median,
        geometric_mean,
        interval: ends.and_then(|(low, high)| interval(low * 0.97, high * 1.03)),
        interval_method: if all { "student-t on logs" } else { "order statistics" }.to_owned(),
        restricted_mean: Some(mean(
            &values.iter().map(|v| v.unwrap_or(horizon)).collect::<Vec<_>>(),
        )),
        horizon,
        censored_at: values.iter().any(Option::is_none).then_some(horizon),
        at_start: 0,
        values,
    }
}

fn arm(index: usize, shape: &Shape, seeds: usize, target: f64) -> ArmAnalysis {
    let samples: Vec<f64> = (1..=30).map(|i| f64::from(i) * 1.437).collect();
    let metric = |seed: usize, x: f64| {
        let ceiling = shape.ceiling + 0.003 * wobble(index, seed);
        let noise = 0.002 * wobble(index + 31, seed * 7 + (x * 10.0) as usize);
        ceiling - (ceiling - 0.1) * (-x / (shape.pace * 0.45)).exp() + noise
    };
    let seconds =
        |seed: usize, x: f64| x * shape.cost / 1000.0 * (1.0 + 0.02 * wobble(seed, index));
    let curve = |scale: &dyn Fn(f64) -> f64| -> Vec<CurvePoint> {
        samples
            .iter()
            .map(|&x| {
                let values: Vec<f64> = (0..seeds).map(|seed| metric(seed, x)).collect();
                let centre = mean(&values);
                let half = values.iter().map(|v| (v - centre).abs()).fold(0.0, f64::max) * 1.2;
                let (low, high) = (centre - half, centre + half);
                CurvePoint { x: scale(x), mean: centre, low, high, n: seeds as u32 }
            })
            .collect()
    };
    let crossing = |seed: usize| samples.iter().copied().find(|&x| metric(seed, x) >= target);
    let budget = samples.last().copied().unwrap_or(1.0);
    let reached = (0..seeds).filter(|seed| crossing(*seed).is_some()).count();
    let diverged = if shape.label == "high-rate" { seeds - reached } else { 0 };
    let rate = reached as f64 / seeds as f64;
    let finals = |shift: f64| {
        estimate(
            (0..seeds).map(|seed| metric(seed, budget) - shift * (1.0 + wobble(seed, 3))).collect(),
        )
    };
    let ratio = 7.0 * 390.0 / (shape.pace * shape.cost);
    ArmAnalysis {
        label: shape.label.to_owned(),
        method: shape.label.split('[').next().unwrap_or("sgd").to_owned(),
        settings: BTreeMap::from([
            ("learning_rate".to_owned(), serde_json::json!((2 + index) as f64 / 100.0)),
            ("batch".to_owned(), serde_json::json!(64)),
            ("schedule".to_owned(), serde_json::json!({"kind": "cosine", "warmup": 0.05})),
        ]),
        idle: false,
        outcomes: Outcomes {
            reached: reached as u32,
            censored: (seeds - reached - diverged) as u32,
            diverged: diverged as u32,
            failed: 0,
        },
        reach_rate: Estimate {
            value: rate,
            interval: interval((rate - 0.43).max(0.0), (rate + 0.43).min(1.0)),
            method: "wilson".to_owned(),
            n: seeds as u32,
            values: vec![],
        },
        time_to_target: to_target(
            (0..seeds).map(|seed| crossing(seed).map(|x| seconds(seed, x))).collect(),
            seconds(0, budget),
        ),
        samples_to_target: to_target(
            (0..seeds).map(|seed| crossing(seed).map(|x| x * 1000.0)).collect(),
            budget * 1000.0,
        ),
        at_budget: BTreeMap::from([
            ("validation/accuracy".to_owned(), finals(0.0)),
            ("test/accuracy".to_owned(), finals(0.004)),
            (
                "test/nll".to_owned(),
                estimate((0..seeds).map(|s| 0.13 + 0.01 * wobble(index, s)).collect()),
            ),
        ]),
        test_at_crossing: (reached > 0).then(|| {
            estimate((0..reached).map(|s| target - 0.006 + 0.004 * wobble(index, s)).collect())
        }),
        step_milliseconds: Some(estimate((0..seeds).map(|seed| seconds(seed, 64.0)).collect())),
        speed_up: (index != 0 && reached == seeds).then(|| SpeedUp {
            ratio,
            interval: (seeds > 1).then_some(Interval {
                low: ratio * 0.93,
                high: ratio * 1.08,
                level: 0.95,
            }),
            p: Some(0.0312),
            n: seeds as u32,
        }),
        fewer_samples: (index != 0 && reached == seeds).then(|| SpeedUp {
            ratio: 7.0 / shape.pace,
            interval: (seeds > 1).then_some(Interval {
                low: 6.4 / shape.pace,
                high: 7.7 / shape.pace,
                level: 0.95,
            }),
            p: Some(0.0312),
            n: seeds as u32,
        }),
        noise_floor: (index != 0).then_some(0.06),
        train_seconds: Some(estimate((0..seeds).map(|seed| seconds(seed, budget)).collect())),
        costs: BTreeMap::new(),
        undominated: Some(matches!(index, 2 | 8 | 9)),
        by_samples: curve(&|x| x * 1000.0),
        by_time: curve(&|x| seconds(0, x)),
        looks_by_samples: BTreeMap::new(),
        metrics_by_samples: BTreeMap::new(),
        pictures: None,
        order_law: shape.law.to_owned(),
        order_paired: (index != 0).then_some(shape.law == "uniform"),
    }
}

fn workload(name: &str, shapes: &[Shape], seeds: usize) -> WorkloadAnalysis {
    WorkloadAnalysis {
        workload: name.to_owned(),
        title: "scikit-learn digits (8×8), two-layer perceptron, 64-128-10".to_owned(),
        split: "validation".to_owned(),
        best: Some(1.0),
        metrics: Vec::new(),
        target: Target {
            metric: "accuracy".to_owned(),
            direction: Direction::HigherIsBetter,
            value: 0.95,
            origin: "95 % of the tuned baseline's plateau, fixed before the run".to_owned(),
        },
        budget_samples: 43_110,
        train_examples: 1437,
        dataset_root: "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4".to_owned(),
        baseline: Some("sgd".to_owned()),
        arms: shapes.iter().enumerate().map(|(i, shape)| arm(i, shape, seeds, 0.95)).collect(),
    }
}

fn runs(workload: &WorkloadAnalysis) -> Vec<RunRow> {
    let mut rows = Vec::new();
    for (i, arm) in workload.arms.iter().enumerate() {
        for (seed, time) in arm.time_to_target.values.iter().enumerate() {
            let status = match time {
                Some(_) => Status::Reached,
                None if arm.outcomes.diverged > 0 => Status::Diverged,
                None => Status::Censored,
            };
            let digest = |salt: usize| {
                Some(format!("{:016x}", (i * 97 + seed * 31 + salt) * 0x9e37_79b9_7f4a).repeat(4))
            };
            rows.push(RunRow {
                cell: format!("{:016x}", (i + 1) * (seed + 3) * 0x0123_4567_89ab),
                workload: workload.workload.clone(),
                arm: arm.label.clone(),
                seed: seed.to_string(),
                status: Some(status),
                time_to_target: *time,
                at_budget: arm
                    .at_budget
                    .get("validation/accuracy")
                    .and_then(|e| e.values.get(seed).copied()),
                train_seconds: Some(arm.time_to_target.horizon),
                first_order_hash: digest(1),
                chain: digest(2),
                parameters: digest(3),
                run_digest: digest(4),
                samples: Some(12_800),
                steps: Some(400),
                total_seconds: Some(arm.time_to_target.horizon * 1.25),
                train_loss: Some(0.125),
                metrics: arm
                    .at_budget
                    .iter()
                    .filter_map(|(name, all)| Some((name.clone(), *all.values.get(seed)?)))
                    .collect(),
                at_target: BTreeMap::new(),
                costs: arm
                    .costs
                    .iter()
                    .filter_map(|(name, cost)| {
                        Some((name.clone(), *cost.in_all.values.get(seed)? as u64))
                    })
                    .collect(),
            });
        }
    }
    rows
}

fn claim(
    id: &str,
    arm: &str,
    effect: f64,
    half: f64,
    verdict: Verdict,
    reason: &str,
) -> ClaimOutcome {
    ClaimOutcome {
        id: id.to_owned(),
        statement: format!("{arm} reaches the target sooner than sgd in train time"),
        paper_number: "up to 1.4× in wall-clock".to_owned(),
        paper_source: "arXiv:2510.02239, figure 3".to_owned(),
        workload: "digits-mlp".to_owned(),
        arm: arm.to_owned(),
        baseline: "sgd".to_owned(),
        metric: "time-to-target".to_owned(),
        scale: CompareBy::Ratio,
        smallest_effect: 1.05,
        non_inferior: false,
        effect: Some(effect),
        interval: interval(effect - half, effect + half),
        p: Some(0.0312),
        n: 5,
        expected: Verdict::Reproduced,
        sequence: Vec::new(),
        verdict,
        direction_shown: verdict == Verdict::Inconclusive,
        pairs_lost: false,
        notes: Vec::new(),
        reason: reason.to_owned(),
    }
}

fn analysis(workloads: Vec<WorkloadAnalysis>, claims: Vec<ClaimOutcome>) -> Analysis {
    Analysis {
        unjudged: Vec::new(),
        score: Score::default(),
        membership: Vec::new(),
        order_estimates: Vec::new(),
        stopping: None,
        tuning: None,
        version: ANALYSIS_VERSION,
        suite: "sample".to_owned(),
        question: "Which training method reaches 95 % validation accuracy on digits soonest?"
            .to_owned(),
        suite_digest: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae".to_owned(),
        runs: workloads.iter().flat_map(runs).collect(),
        workloads,
        claims,
        environment: [
            ("command", "palimpsest run suites/sample.yaml --seeds 5"),
            ("commit", "31d6057c0ffee31d6057c0ffee31d6057c0ffee0"),
            ("processor", "an invented processor, 2 threads"),
            ("libtorch", "2.11.0 (CPU)"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect(),
        warnings: Vec::new(),
    }
}

/// Twelve arms, five seeds; one arm censored, one partly, one diverged, one hostile, one long.
pub fn full() -> Analysis {
    let claims = vec![
        claim(
            "a",
            "drop-muon",
            1.62,
            0.12,
            Verdict::Reproduced,
            "the interval lies at or above the smallest effect 1.05",
        ),
        claim(
            "b",
            "random-pruning-erk",
            0.78,
            0.07,
            Verdict::NotReproduced,
            "the interval lies below the smallest effect 1.05",
        ),
        claim(
            "c",
            "rs2",
            1.06,
            0.04,
            Verdict::Inconclusive,
            "the interval lies above 1 but holds the smallest effect 1.05; more seeds would narrow it",
        ),
    ];
    let mut analysis = analysis(vec![workload("digits-mlp", &SHAPES, 5)], claims);
    analysis.warnings = vec![
        "load average was 3.1 on 2 cores during 4 cells: timed verdicts are withheld there; rerun them on an idle machine".to_owned(),
        format!("arm {HOSTILE} diverged in no cell but its label is hostile"),
    ];
    analysis
}

/// As many arms as must stay readable in one figure, all ending close together.
pub fn sixteen() -> Analysis {
    let mut workload = workload("sixteen-arms", &SHAPES, 5);
    for copy in 0..4 {
        if let Some(mut arm) = workload.arms.get(copy * 2 + 1).cloned() {
            arm.label = format!("{}-again", arm.label);
            workload.arms.push(arm);
        }
    }
    analysis(vec![workload], Vec::new())
}

/// One seed: no interval anywhere; one curve is a single point.
pub fn single_seed() -> Analysis {
    let mut workload = workload("one-seed", &SHAPES[..4], 1);
    if let Some(arm) = workload.arms.last_mut() {
        arm.by_samples.truncate(1);
        arm.by_time.truncate(1);
    }
    analysis(vec![workload], Vec::new())
}

/// A metric that falls, and a claim about a difference.
pub fn loss() -> Analysis {
    let mut workload = workload("char-lm", &SHAPES[..6], 5);
    let loss = |accuracy: f64| 1.2 + 2.0 * (1.0 - accuracy);
    workload.title = "Tiny Shakespeare, two-layer transformer".to_owned();
    workload.target.metric = "nll".to_owned();
    workload.target.direction = Direction::LowerIsBetter;
    workload.best = Some(0.0);
    workload.target.value = loss(workload.target.value);
    for arm in &mut workload.arms {
        for point in arm.by_time.iter_mut().chain(&mut arm.by_samples) {
            let (low, high) = (loss(point.high), loss(point.low));
            *point = CurvePoint { mean: loss(point.mean), low, high, ..*point };
        }
        for split in ["validation", "test"] {
            if let Some(accuracy) = arm.at_budget.remove(&format!("{split}/accuracy")) {
                let values = accuracy.values.into_iter().map(loss).collect();
                arm.at_budget.insert(format!("{split}/nll"), estimate(values));
            }
        }
        // The same model asked at several numbers: errors that fall.
        if let Some(nll) = arm.at_budget.get("test/nll").cloned() {
            for number in [1.0, 2.0, 4.0, 8.0_f64] {
                let values = nll.values.iter().map(|v| (v - 1.1) * 9.0 / number.powf(1.3));
                arm.at_budget.insert(format!("test/err@{number}"), estimate(values.collect()));
            }
        }
    }
    // The same trained state judged as two networks, by two of the arms.
    for arm in workload.arms.iter_mut().take(2) {
        if let Some(nll) = arm.at_budget.get("test/nll").cloned() {
            for (look, less) in [("half", 0.02), ("whole", 0.05)] {
                let values = nll.values.iter().map(|value| value - less);
                arm.at_budget.insert(format!("test/nll@{look}"), estimate(values.collect()));
            }
        }
    }
    // A row that trains nothing: a level to compare with.
    if let Some(arm) = workload.arms.last_mut() {
        arm.label = "real-data".to_owned();
        arm.idle = true;
        arm.by_samples.truncate(1);
        if let Some(point) = arm.by_samples.first_mut() {
            *point = CurvePoint { x: 0.0, mean: 1.28, low: 1.27, high: 1.29, ..*point };
        }
        arm.by_time.clear();
        arm.time_to_target.values.clear();
        (arm.time_to_target.geometric_mean, arm.time_to_target.median) = (None, None);
        (arm.time_to_target.interval, arm.speed_up) = (None, None);
    }
    let mut claim = claim(
        "d",
        "ps-kd",
        0.012,
        0.006,
        Verdict::Reproduced,
        "the interval lies at or above the smallest effect",
    );
    claim.statement = "ps-kd ends with a lower test loss than sgd".to_owned();
    claim.metric = "test/nll".to_owned();
    claim.scale = CompareBy::Difference;
    claim.smallest_effect = 0.005;
    analysis(vec![workload], vec![claim])
}

/// Values at the ends of what a double holds, no arm at all, and times a thousandfold apart.
pub fn extreme() -> Analysis {
    let mut huge = workload("../huge & <b>odd</b>", &SHAPES[..3], 5);
    for (arm, factor) in huge.arms.iter_mut().zip([1e-3, 1.0, 1e3]) {
        for point in &mut arm.by_time {
            point.x *= factor;
        }
        for value in arm.time_to_target.values.iter_mut().flatten() {
            *value *= factor;
        }
        let time = &mut arm.time_to_target;
        time.geometric_mean = time.geometric_mean.map(|v| v * factor);
        time.horizon *= factor;
        time.censored_at = time.censored_at.map(|at| at * factor);
        time.interval = interval(1e-300, 1e300);
    }
    if let Some(point) = huge.arms.first_mut().and_then(|arm| arm.by_samples.last_mut()) {
        (point.low, point.high) = (-f64::MAX, f64::MAX);
    }
    let mut bare = workload("no-arms", &[], 5);
    bare.baseline = None;
    analysis(vec![huge, bare], Vec::new())
}

/// Arms over two workloads, one of them twice as long.
pub fn several() -> Analysis {
    let mut long = workload("digits-long", &SHAPES[..6], 5);
    for (place, arm) in long.arms.iter_mut().enumerate() {
        let factor = 2.0 + 0.3 * wobble(place, 5);
        for times in [&mut arm.samples_to_target, &mut arm.time_to_target] {
            times.values.iter_mut().flatten().for_each(|value| *value *= factor);
        }
    }
    let short = workload("digits-mlp", &SHAPES[..6], 5);
    let mut analysis = analysis(vec![short, long], Vec::new());
    // One arm never gets there under some seeds.
    for workload in &mut analysis.workloads {
        if let Some(arm) = workload.arms.get_mut(4) {
            arm.samples_to_target.values[1..3].fill(None);
        }
    }
    analysis.score = score::of(&analysis.workloads);
    analysis
}

/// Membership tests beside two arms.
pub fn provenance() -> Analysis {
    let mut analysis = analysis(vec![workload("stories", &SHAPES[..2], 5)], Vec::new());
    analysis.membership = membership::tests();
    analysis
}

/// Arms that record more than the target's metric along their runs, and count tokens.
pub fn recorded() -> Analysis {
    let mut workload = workload("thoughts", &SHAPES[..4], 5);
    let row = |name: &str, best| MetricInfo {
        name: name.to_owned(),
        higher_is_better: best != Some(0.0),
        best,
        chance: None,
    };
    workload.metrics = vec![row("accuracy", Some(1.0)), row("nll", Some(0.0)), row("length", None)];
    for (place, arm) in workload.arms.iter_mut().enumerate() {
        record_more(arm, place);
    }
    // One arm trains nothing: its metrics are levels.
    let arm = &mut workload.arms[3];
    arm.idle = true;
    for points in arm.metrics_by_samples.values_mut().chain([&mut arm.by_samples]) {
        points.truncate(1);
    }
    arm.by_time.clear();
    (arm.train_seconds, arm.undominated) = (None, None);
    arm.costs.clear();
    // And one counts something that no other does.
    let arm = &mut workload.arms[2];
    let cost = arm.costs["forward_tokens"].clone();
    arm.costs.insert("questions".to_owned(), cost.clone());
    workload.arms[1].costs.insert("questions".to_owned(), Cost { curve: Vec::new(), ..cost });
    analysis(vec![workload], Vec::new())
}

/// Further metrics of an arm, by formula from its curve.
fn record_more(arm: &mut ArmAnalysis, place: usize) {
    let of = |change: &dyn Fn(f64) -> f64, spread: f64| -> Vec<CurvePoint> {
        let points = arm.by_samples.iter();
        let changed = points.map(|point| {
            let mean = change(point.mean);
            CurvePoint { mean, low: mean - spread, high: mean + spread, ..*point }.short()
        });
        changed.collect()
    };
    let long = 20.0 + 9.0 * place as f64;
    let curves = [
        ("validation/accuracy/10", of(&|accuracy| accuracy * accuracy, 0.05)),
        ("validation/accuracy/4", of(&f64::sqrt, 0.02)),
        ("validation/length", of(&|accuracy| long * (1.3 - accuracy), 1.5)),
        ("validation/nll", of(&|accuracy| -accuracy.max(1e-3).ln(), 0.04)),
    ];
    arm.metrics_by_samples =
        curves.into_iter().map(|(name, points)| (name.to_owned(), points)).collect();
    let lengths = (0..5).map(|seed| long * 0.34 + 0.4 * wobble(seed, place)).collect();
    arm.at_budget.insert("validation/length".to_owned(), estimate(lengths));
    let tokens =
        (0..5).map(|seed| 4e5 * (1.0 + place as f64) + 9e3 * wobble(seed, place)).collect();
    let in_all = estimate(tokens);
    let last = arm.by_samples.last().map_or(1.0, |point| point.x);
    let over =
        |point: &CurvePoint| CurvePoint { x: point.x / last * in_all.value, ..*point }.short();
    let curve = arm.by_samples.iter().map(over).collect();
    arm.costs.insert("forward_tokens".to_owned(), Cost { in_all, curve });
}

/// One arm under one seed, which never reached the target.
pub fn lone() -> Analysis {
    analysis(vec![workload("alone", &SHAPES[10..11], 1)], Vec::new())
}

/// Forty arms, none of which reached the target.
pub fn forty() -> Analysis {
    let mut workload = workload("forty-arms", &SHAPES, 3);
    for copy in 0..28 {
        let mut arm = workload.arms[copy % 9].clone();
        arm.label = format!("{} number {}", arm.label, copy + 13);
        workload.arms.push(arm);
    }
    for arm in &mut workload.arms {
        arm.outcomes = Outcomes { censored: 3, ..Outcomes::default() };
        arm.time_to_target = to_target(vec![None; 3], 12.0);
        arm.speed_up = None;
    }
    analysis(vec![workload], Vec::new())
}

/// Names in markup, in 60 characters, from right to left and in Chinese; values that are none.
pub fn strange() -> Analysis {
    let mut workload = workload("<b>strange</b> & \"quoted\"", &SHAPES[..6], 5);
    let names = [
        "sgd",
        "</script><img src=x onerror=alert(1)>",
        "a name of sixty characters that goes on until it is that long",
        "שיטה מימין לשמאל",
        "動量與自適應學習率之比較",
        "\u{202E}turned & 'quoted' \u{0}",
    ];
    for (arm, name) in workload.arms.iter_mut().zip(names) {
        arm.label = name.to_owned();
    }
    let arm = &mut workload.arms[2];
    for point in arm.by_time.iter_mut().chain(&mut arm.by_samples).skip(3) {
        (point.mean, point.low, point.high) = (f64::NAN, f64::NAN, f64::NAN);
    }
    for estimate in arm.at_budget.values_mut() {
        (estimate.value, estimate.interval) = (f64::NAN, None);
        estimate.values.fill(f64::NAN);
    }
    let mut analysis = analysis(vec![workload], Vec::new());
    analysis.suite = "strange".to_owned();
    analysis.question = "Does <i>any</i> name break the page?".to_owned();
    analysis
}

/// A thousand cells: five workloads, forty arms, five seeds.
pub fn thousand() -> Analysis {
    let mut shapes: Vec<Shape> = Vec::new();
    for place in 0..40 {
        let Shape { label, ceiling, pace, cost, law } = SHAPES[place % 9];
        shapes.push(Shape { label, ceiling, pace: pace * (1.0 + 0.01 * place as f64), cost, law });
    }
    let mut workloads: Vec<WorkloadAnalysis> =
        ["one", "two", "three", "four", "five"].map(|name| workload(name, &shapes, 5)).into();
    for arm in workloads.iter_mut().flat_map(|workload| workload.arms.iter_mut().enumerate()) {
        arm.1.label = format!("{}-{}", arm.1.label, arm.0);
    }
    for workload in &mut workloads {
        workload.baseline = Some(workload.arms[0].label.clone());
        // As many points of further metrics as an analysis has at most: 60 a workload and arm.
        for (place, arm) in workload.arms.iter_mut().enumerate() {
            record_more(arm, place);
            arm.metrics_by_samples.values_mut().for_each(|points| points.truncate(15));
        }
    }
    analysis(workloads, Vec::new())
}

/// Nothing has been run.
pub fn empty() -> Analysis {
    analysis(Vec::new(), Vec::new())
}

/// What real suites are not, until one is: each with a name.
pub fn hostile() -> Vec<(&'static str, Analysis)> {
    let mut forty = workload("forty-arms", &SHAPES, 5);
    for copy in 0..28 {
        if let Some(mut arm) = forty.arms.get(copy % 10).cloned() {
            arm.label = match copy {
                0 => "تجربة-الطريقة".to_owned(),
                1 => "中文方法-二阶优化".to_owned(),
                2 => "<b>&amp;\"'</b>".to_owned(),
                3 => "\u{202E}reversed".to_owned(),
                _ => format!(
                    "{}-a-name-of-sixty-characters-that-never-seems-to-end-{copy}",
                    arm.method
                ),
            };
            forty.arms.push(arm);
        }
    }
    let mut censored = workload("all-censored", &SHAPES[..5], 5);
    for arm in &mut censored.arms {
        for to_target in [&mut arm.time_to_target, &mut arm.samples_to_target] {
            to_target.values.fill(None);
            (to_target.geometric_mean, to_target.median) = (None, None);
            (to_target.interval, to_target.censored_at) = (None, Some(to_target.horizon));
        }
        arm.outcomes = Outcomes { censored: 5, ..Outcomes::default() };
        (arm.speed_up, arm.fewer_samples) = (None, None);
    }
    let mut nothing = workload("not-a-number", &SHAPES[..4], 5);
    for (place, arm) in nothing.arms.iter_mut().enumerate() {
        let worst = if place == 0 { f64::NAN } else { f64::INFINITY };
        for point in arm.by_samples.iter_mut().chain(&mut arm.by_time) {
            (point.mean, point.low, point.high) = (worst, f64::NEG_INFINITY, f64::NAN);
        }
        for estimate in arm.at_budget.values_mut() {
            (estimate.value, estimate.interval) = (worst, interval(f64::NAN, worst));
            estimate.values.fill(worst);
        }
        arm.time_to_target.values.fill(Some(worst));
        arm.time_to_target.interval = interval(f64::NAN, f64::NAN);
        arm.speed_up = arm.speed_up.take().map(|found| SpeedUp { ratio: f64::NAN, ..found });
    }
    let mut zeros = workload("zeros", &SHAPES[..4], 5);
    for arm in &mut zeros.arms {
        for point in arm.by_samples.iter_mut().chain(&mut arm.by_time) {
            (point.mean, point.low, point.high) = (0.0, 0.0, 0.0);
        }
        arm.by_time.iter_mut().for_each(|point| point.x = 0.0);
        for estimate in arm.at_budget.values_mut() {
            (estimate.value, estimate.interval) = (0.0, interval(0.0, 0.0));
            estimate.values.fill(0.0);
        }
        arm.time_to_target.values.fill(Some(0.0));
        (arm.time_to_target.geometric_mean, arm.time_to_target.horizon) = (Some(0.0), 0.0);
        arm.time_to_target.interval = interval(0.0, 0.0);
        arm.train_seconds = Some(estimate(vec![0.0; 5]));
        for found in [&mut arm.speed_up, &mut arm.fewer_samples].into_iter().flatten() {
            found.ratio = 0.0;
        }
    }
    let mut many = workload("many-points", &SHAPES[..3], 5);
    for (place, arm) in many.arms.iter_mut().enumerate() {
        arm.by_samples = (0..100_000_usize)
            .map(|step| {
                let spike = if step == 44_444 + place { -0.6 } else { 0.0 };
                let mean = 0.8 + 0.05 * wobble(step, place) + spike;
                CurvePoint { x: step as f64, mean, low: mean - 0.4, high: mean + 0.4, n: 5 }
            })
            .collect();
    }
    let two = workload("two-seeds", &SHAPES[..4], 2);
    let mut one = workload("one-arm", &SHAPES[1..2], 5);
    one.baseline = None;
    let named = [
        ("forty", forty),
        ("censored", censored),
        ("not-a-number", nothing),
        ("zeros", zeros),
        ("many-points", many),
        ("two-seeds", two),
        ("one-arm", one),
    ];
    named.into_iter().map(|(name, workload)| (name, analysis(vec![workload], Vec::new()))).collect()
}
