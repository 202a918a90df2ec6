//! Claims as code: `run --strict`, `plan --power`, seeds that end early.

use std::fs;

use serde_json::Value;

use crate::support::{Bench, Output, TINY};

/// SGD at a good rate against one that has hardly begun to learn: a clear claim.
const CLAIMED: &str = "\
suite: claimed
question: Does learning help?
workloads: [{ workload: digits-mlp, epochs: 2, evaluate_every: 1, target: { value: 0.05, origin: chance } }]
seeds: 4
baseline: slow
settings: { batch_size: 32 }
arms:
  - { method: sgd, as: slow, with: { lr: 0.002 } }
  - { method: sgd, as: fast, with: { lr: 0.05 } }
claims:
  - id: fast-above-slow
    statement: the good rate is at least 0.2 more accurate
    paper: { number: none, source: none }
    arm: fast
    baseline: slow
    compare: test/accuracy
    at_least: 0.2
";

fn strict(bench: &Bench, more: &[&str]) -> Output {
    bench.run(&[&["run", "suite.yaml", "--device", "cpu", "--strict"], more].concat())
}

fn with(lines: &str) -> String {
    format!("{CLAIMED}{lines}")
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn a_claim_that_held_and_fails_after_a_change_ends_with_1_and_names_its_numbers() {
    let bench = Bench::new();
    bench.write("suite.yaml", CLAIMED);
    let held = strict(&bench, &[]).ends(0);
    assert!(!held.stderr.contains("no longer holds"), "{}", held.stderr);
    let change = ["--set", "fast.lr=0.0025"];
    let failed = strict(&bench, &change).ends(1);
    says(
        &failed.stderr,
        &[
            "claim fast-above-slow on digits-mlp no longer holds",
            "not reproduced, expected reproduced",
            "95 % interval",
            "4 pairs",
            "at least +0.2 asked for",
            "expect: not-reproduced",
        ],
    );
    // The same under JSON: one document on stdout, the same words on stderr.
    let json = strict(&bench, &[&change[..], &["--json"]].concat()).ends(1);
    assert_eq!(json.json()["claims"][0]["verdict"], "not reproduced");
    assert_eq!(json.json()["claims"][0]["expected"], "reproduced");
    says(&json.stderr, &["no longer holds"]);
    // Without --strict the table tells, and the run is fine.
    bench.run(&["run", "suite.yaml", "--set", "fast.lr=0.0025"]).ends(0);
}

#[test]
fn a_negative_result_that_the_suite_expects_is_no_failure() {
    let bench = Bench::new();
    let suite = CLAIMED.replace("lr: 0.05", "lr: 0.0025") + "    expect: not-reproduced\n";
    bench.write("suite.yaml", &suite);
    let run = strict(&bench, &["--json"]).ends(0);
    assert_eq!(run.json()["claims"][0]["verdict"], "not reproduced");
    assert_eq!(run.json()["claims"][0]["expected"], "not reproduced");
    // The paper's claim shows after all: that is news too.
    let news = strict(&bench, &["--set", "fast.lr=0.05"]).ends(1);
    says(&news.stderr, &["reproduced, expected not reproduced", "expect: reproduced"]);
}

#[test]
fn an_inconclusive_claim_ends_with_3_unless_it_is_expected() {
    let bench = Bench::new();
    bench.write("suite.yaml", CLAIMED);
    let open = strict(&bench, &["--seeds", "2"]).ends(3);
    says(&open.stderr, &["fast-above-slow", "cannot be judged", "2 pairs", "plan SUITE --power"]);
    bench.write("suite.yaml", &with("    expect: inconclusive\n"));
    strict(&bench, &["--seeds", "2"]).ends(0);
    // What the suite says no scale like this can decide is expected to stay open.
    bench.write("suite.yaml", &with("    cannot_decide: too small\n"));
    strict(&bench, &["--seeds", "2"]).ends(0);
}

#[test]
fn failed_cells_end_with_4_whatever_the_claims() {
    let bench = Bench::new();
    bench.write("suite.yaml", CLAIMED);
    bench.write("order.txt", "0\n0\n1\n");
    let order = ["--order", "fast=order.txt"];
    let refused = strict(&bench, &order);
    assert!(matches!(refused.code, Some(2 | 4)), "{refused:?}");
}

#[test]
fn an_expectation_that_makes_no_sense_is_refused_with_its_place() {
    let bench = Bench::new();
    let refuse = |lines: &str| {
        bench.write("suite.yaml", &with(lines));
        bench.run(&["plan", "suite.yaml"]).ends(2).stderr
    };
    says(&refuse("    expect: maybe\n"), &["suite.yaml:18:13", "maybe", "not-reproduced"]);
    says(
        &refuse("    expect: reproduced\n    cannot_decide: too small\n"),
        &["suite.yaml:18:13", "cannot_decide", "leave one of them out"],
    );
}

#[test]
fn strict_without_anything_to_judge_says_so() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    says(&strict(&bench, &[]).ends(3).stderr, &["--strict has nothing to judge"]);
    // Claims whose arms are taken away are no claims that hold.
    bench.write("suite.yaml", CLAIMED);
    says(
        &strict(&bench, &["--methods", "fast"]).ends(3).stderr,
        &["--strict has nothing to judge"],
    );
}

#[test]
fn a_plan_tells_how_many_seeds_and_minutes_an_effect_needs() {
    let bench = Bench::new();
    bench.write("suite.yaml", CLAIMED);
    let none = bench.run(&["plan", "suite.yaml", "--power"]).ends(3);
    says(&none.stderr, &["nothing can be planned without stored runs", "palimpsest run"]);
    strict(&bench, &[]).ends(0);
    let table = bench.run(&["plan", "suite.yaml", "--power"]).ends(0);
    says(&table.stdout, &["fast-above-slow", "reproduced", "4 pairs", "80 % upper bound"]);
    let seeds = |effect: &str| {
        let plan = bench.run(&["plan", "suite.yaml", "--power", "--effect", effect, "--json"]);
        plan.ends(0).json()["claims"][0].clone()
    };
    let (small, large) = (seeds("0.21"), seeds("0.3"));
    let number = |plan: &Value, key: &str| plan[key]["seeds"].as_u64().unwrap();
    // The nearer to `at_least`, the more seeds; below it they show that the claim does not hold.
    assert!(number(&small, "needed") > number(&large, "needed"), "{small} {large}");
    assert_eq!(
        (&small["verdict"], &seeds("0.19")["verdict"]),
        (&"reproduced".into(), &"not-reproduced".into())
    );
    assert_eq!(number(&seeds("0.19"), "needed"), number(&small, "needed"));
    assert!(number(&small, "careful") > number(&small, "needed"), "{small}");
    assert!(small["careful"]["minutes"].as_f64().unwrap() > 0.0);
    let (power, surer) = (["--target-power", "0.8"], ["--target-power", "0.99"]);
    let with_power = |more: [&str; 2]| {
        let arguments =
            [&["plan", "suite.yaml", "--power", "--effect", "0.21", "--json"][..], &more];
        let plan = bench.run(&arguments.concat()).ends(0).json()["claims"][0].clone();
        number(&plan, "needed")
    };
    assert!(with_power(surer) > with_power(power));
    // Every arm against the baseline, too.
    let arms = bench.run(&["plan", "suite.yaml", "--power", "--arms", "--json"]);
    assert_eq!(arms.json()["claims"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_planned_is_told_per_claim_and_ends_with_3() {
    let bench = Bench::new();
    bench.write("suite.yaml", CLAIMED);
    strict(&bench, &["--seeds", "2"]).ends(3);
    let few = bench.run(&["plan", "suite.yaml", "--power"]).ends(3);
    says(&few.stdout, &["2 stored pairs say too little", "fast-above-slow"]);
    let other = bench.run(&["plan", "suite.yaml", "--power", "--set", "fast.lr=0.1"]).ends(3);
    says(&other.stderr, &["arm \"fast\"", "not that of this plan"]);
    let refuse = |more: &[&str]| {
        let arguments = [&["plan", "suite.yaml", "--power"], more].concat();
        bench.run(&arguments).ends(2).stderr
    };
    says(&refuse(&["--target-power", "80"]), &["--target-power is 80", "between 0 and 1"]);
    says(&refuse(&["--effect", "NaN"]), &["--effect is NaN"]);
    says(&refuse(&["--effect", "-0.1"]), &["--effect is -0.1"]);
    bench.run(&["plan", "suite.yaml", "--effect", "0.1"]).ends(2);
}

/// Names of the seeds that ran, in order.
fn seeds(analysis: &Value) -> Vec<String> {
    let mut seeds: Vec<String> = Vec::new();
    for run in analysis["runs"].as_array().unwrap() {
        let seed = run["seed"].as_str().unwrap().to_owned();
        if !seeds.contains(&seed) {
            seeds.push(seed);
        }
    }
    seeds
}

#[test]
fn seeds_end_once_the_claim_is_settled_and_again_at_the_same_seed() {
    let bench = Bench::new();
    bench.write("suite.yaml", &with("stopping: { level: 0.95, least: 3 }\n"));
    let more = ["--seeds", "12", "--json"];
    let first = strict(&bench, &more).ends(0);
    says(&first.stderr, &["every claim that can be settled is, after"]);
    let analysis = first.json();
    let ran = analysis["stopping"]["seeds"].as_u64().unwrap();
    let saved = analysis["stopping"]["seeds_saved"].as_u64().unwrap();
    assert!((3..12).contains(&ran) && ran + saved == 12, "{}", analysis["stopping"]);
    assert_eq!(seeds(&analysis).len() as u64, ran);
    assert_eq!(bench.cells().len() as u64, 2 * ran, "both arms of the seeds that ran, no more");
    assert!(analysis["stopping"]["seconds_saved"].as_f64().unwrap() > 0.0);
    let claim = &analysis["claims"][0];
    assert_eq!((&claim["verdict"], &claim["p"]), (&"reproduced".into(), &Value::Null));
    assert_eq!(claim["sequence"].as_array().unwrap().len() as u64, ran);
    // A rerun finds every cell there and stops where it stopped; so do two workers.
    for jobs in ["1", "2"] {
        let again = strict(&bench, &[&more[..], &["--jobs", jobs]].concat()).ends(0);
        says(&again.stderr, &["in the store already"]);
        assert_eq!(again.json()["claims"], analysis["claims"], "{jobs} workers");
        assert_eq!(again.json()["stopping"], analysis["stopping"], "{jobs} workers");
    }
    bench.run(&["report", "claimed", "--out", "report"]).ends(0);
    let page = fs::read_to_string(bench.path("report/index.html")).unwrap();
    says(&page, &["confidence sequence", "after each seed", "planned seeds ran"]);
}

#[test]
fn stop_early_needs_no_key_and_two_workers_stop_between_seeds() {
    let bench = Bench::new();
    bench.write("suite.yaml", CLAIMED);
    let more = ["--seeds", "12", "--stop-early", "--jobs", "2", "--json"];
    let analysis = strict(&bench, &more).ends(0).json();
    let ran = analysis["stopping"]["seeds"].as_u64().unwrap();
    assert!((3..12).contains(&ran), "{}", analysis["stopping"]);
    assert_eq!(bench.cells().len() as u64, 2 * ran);
    // Without it all seeds run, and those there are kept.
    let all = strict(&bench, &["--seeds", "12", "--json"]).ends(0).json();
    assert_eq!((seeds(&all).len(), &all["stopping"]), (12, &Value::Null));
}

#[test]
fn stopping_that_makes_no_sense_is_refused_with_its_place() {
    let bench = Bench::new();
    let refuse = |text: &str, more: &[&str]| {
        bench.write("suite.yaml", text);
        bench.run(&[&["plan", "suite.yaml"], more].concat()).ends(2).stderr
    };
    let key = |value: &str| refuse(&with(&format!("stopping: {{ {value} }}\n")), &[]);
    says(&key("level: 95"), &["suite.yaml:18:20", "level is 95", "0.95"]);
    says(&key("least: 2"), &["suite.yaml:18:20", "least is 2", "fewer than 3"]);
    says(&key("least: 9"), &["suite.yaml:18:20", "only 4 seeds"]);
    says(&key("prior_variance: 0"), &["suite.yaml:18:", "prior_variance is 0"]);
    says(&key("collapse: 0.5"), &["suite.yaml:18:", "collapse is 0.5", "0.1"]);
    says(&key("lest: 3"), &["lest", "did you mean `least`?"]);
    says(&refuse(&format!("{TINY}stopping: {{}}\n"), &[]), &["suite.yaml:10:", "no claims"]);
    says(&refuse(TINY, &["--stop-early"]), &["--stop-early", "no claim"]);
    says(&refuse(CLAIMED, &["--stop-early", "--seeds", "2"]), &["2 seeds", "--seeds more"]);
}

#[test]
fn two_labels_of_one_cell_are_withheld_with_the_reason_in_the_row() {
    let bench = Bench::new();
    bench.write("suite.yaml", &CLAIMED.replace("lr: 0.002", "lr: 0.05"));
    let run = strict(&bench, &[]).ends(3);
    says(&run.stdout, &["fast and slow are the same cell under 4 of 4 seeds"]);
}

#[test]
fn diverged_runs_are_no_result_that_a_suite_can_expect() {
    let bench = Bench::new();
    let broken = CLAIMED.replace("lr: 0.002", "lr: 1e9") + "    expect: inconclusive\n";
    bench.write("suite.yaml", &broken);
    let run = strict(&bench, &["--json"]).ends(3);
    let claim = &run.json()["claims"][0];
    assert_eq!((&claim["verdict"], &claim["pairs_lost"]), (&"inconclusive".into(), &true.into()));
    says(&run.stderr, &["4 of 4 runs of slow diverged", "meet no expectation"]);
}

#[test]
fn a_target_met_before_training_has_no_time() {
    let bench = Bench::new();
    let met =
        CLAIMED.replace("value: 0.05", "value: 0.001").replace("test/accuracy", "time-to-target");
    bench.write("suite.yaml", &met.replace("at_least: 0.2", "at_least: 1.1"));
    let run = strict(&bench, &[]).ends(3);
    says(&run.stdout, &["met at the start", "4 of 4 runs of fast met the target at the start"]);
    says(&run.stderr, &["was met before the first step by slow (4 runs), fast (4 runs)"]);
    bench.run(&["report", "claimed", "--out", "report"]).ends(0);
    let table = fs::read_to_string(bench.path("report/arms.csv")).unwrap();
    assert!(!table.contains("e-"), "{table}");
    let page = fs::read_to_string(bench.path("report/index.html")).unwrap();
    says(&page, &["met at the start"]);
}

#[test]
fn targets_and_effects_that_no_run_can_come_to_are_refused_with_what_was_meant() {
    let bench = Bench::new();
    let refuse = |from: &str, to: &str| {
        bench.write("suite.yaml", &CLAIMED.replace(from, to));
        bench.run(&["plan", "suite.yaml"]).ends(2).stderr
    };
    says(
        &refuse("value: 0.05", "value: 97"),
        &["suite.yaml:3:", "target is 97, but accuracy is at most 1; did you mean 0.97?"],
    );
    says(
        &refuse("at_least: 0.2", "at_least: 5"),
        &["suite.yaml:17:", "at_least is 5, but accuracy differs by at most 1; did you mean 0.05?"],
    );
    says(&refuse("value: 0.05", "value: -0.1"), &["target is -0.1", "which every run reaches"]);
}

#[test]
fn claims_that_an_option_leaves_out_are_announced_by_run_plan_and_report() {
    let bench = Bench::new();
    bench.write("suite.yaml", CLAIMED);
    let line =
        "claim fast-above-slow is not judged: it needs fast, left out by --methods or --workloads";
    let part = ["suite.yaml", "--methods", "slow"];
    let once =
        |output: &Output| assert_eq!(output.stderr.matches(line).count(), 1, "{}", output.stderr);
    once(&bench.run(&[&["plan"], &part[..]].concat()).ends(0));
    once(&bench.run(&[&["plan"], &part[..], &["--json"]].concat()).ends(0));
    once(&bench.run(&[&["run"], &part[..], &["--dry-run"]].concat()).ends(0));
    let run = bench.run(&[&["run"], &part[..], &["--device", "cpu"]].concat()).ends(0);
    once(&run);
    once(&bench.run(&["report", "suite.yaml"]).ends(0));
    let page = fs::read_to_string(bench.path("runs/reports/claimed/index.html")).unwrap();
    assert!(page.contains(line), "the page says it too");
    let whole = bench.run(&["plan", "suite.yaml"]).ends(0);
    assert!(!whole.stderr.contains("not judged"), "{}", whole.stderr);
}
