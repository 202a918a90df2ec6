//! `palimpsest tune`: trials as cells, the frozen file, what `run` makes of it.

use std::fs;

use analysis::tuning::{Trial, Tuned};

use crate::support::{Bench, root};

/// Two tuned arms on digits, a few steps each.
const TUNED: &str = "\
suite: open
question: Which rate?
workloads: [{ workload: digits-mlp, epochs: 0.2, evaluate_every: 0.1, target: { value: 0.15, origin: a little above chance } }]
seeds: 2
baseline: sgd
settings: { batch_size: 32 }
tuning: { trials: 4, seeds: [100, 101] }
arms:
  - { method: sgd, as: sgd, tune: { lr: { log: [0.005, 0.5] } } }
  - { method: adamw, as: adamw, tune: { lr: { log: [0.0005, 0.05] }, schedule: [linear, cosine] } }
";

const RUN: [&str; 4] = ["run", "suite.yaml", "--device", "cpu"];

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("suite.yaml", TUNED);
    bench
}

fn frozen(bench: &Bench) -> String {
    fs::read_to_string(bench.path("suite.tuned.yaml")).unwrap()
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn a_suite_is_tuned_once_then_runs_with_what_was_chosen_and_reports_it() {
    let bench = bench();
    let untuned = bench.run(&RUN).ends(2);
    insta::assert_snapshot!(untuned.stderr.trim(), @r#"error: the settings of arms "sgd", "adamw" are to be tuned, but there is no suite.tuned.yaml; run `palimpsest tune suite.yaml`"#);
    says(
        &bench.run(&["plan", "suite.yaml"]).ends(0).stdout,
        &["settings of 2 arms still to be chosen"],
    );

    let tune = ["tune", "suite.yaml", "--device", "cpu"];
    let tuned = bench.run(&tune).ends(0);
    says(&tuned.stdout, &["4 trials for each of 2 arms", "seeds 100, 101", "report: "]);
    assert_eq!(bench.cells().len(), 2 * 4 * 2, "trials are cells like any other");
    let picture = tuned.stdout.lines().last().unwrap().strip_prefix("report: ").unwrap().to_owned();
    assert!(fs::metadata(bench.path(&picture)).unwrap().len() > 0, "{picture}");
    let first = frozen(&bench);

    let plan = bench.run(&["plan", "suite.yaml", "--json"]).ends(0).json();
    assert_eq!(plan["tuning"]["arms"][1]["state"], "chosen");
    let analysis = bench.run(&[&RUN[..], &["--json"]].concat()).ends(0).json();
    let swept = &analysis["tuning"]["arms"];
    let arms = &analysis["workloads"][0]["arms"];
    for arm in 0..2 {
        for (setting, value) in swept[arm]["chosen"].as_object().unwrap() {
            let own = &arms[arm]["settings"][setting];
            let same =
                own == value || own.to_string().contains(value.as_str().unwrap_or("no text"));
            assert!(same, "{setting}: {own} is not {value}");
        }
        assert_eq!(swept[arm]["trials"].as_array().unwrap().len(), 4);
        assert_eq!(swept[arm]["expected_best"].as_array().unwrap().len(), 4);
        let with = &swept[arm]["with_sweep"][0];
        assert!(with["seconds_with_sweep"].as_f64() > with["seconds"].as_f64(), "{with}");
    }
    bench.run(&["report", "open", "--out", "report"]).ends(0);
    let page = fs::read_to_string(bench.path("report/index.html")).unwrap();
    says(
        &page,
        &["How the settings were chosen", "4 trials for each of 2 arms", "Expected best of"],
    );
    says(
        &fs::read_to_string(bench.path("report/tables.tex")).unwrap(),
        &["Chosen settings", "With the sweep"],
    );
    let trials = fs::read_to_string(bench.path("report/trials.csv")).unwrap();
    assert_eq!(trials.lines().count(), 1 + 8);
    assert!(bench.path("report/figures/tuning.svg").is_file());

    // Again, by two workers: every trial is there, and the file stays as it is.
    let again = bench.run(&[&tune[..], &["--jobs", "2"]].concat()).ends(0);
    says(&again.stderr, &["in the store already"]);
    assert_eq!(frozen(&bench), first);
}

#[test]
fn two_workers_choose_what_one_chooses() {
    let one = bench();
    one.run(&["tune", "suite.yaml", "--device", "cpu"]).ends(0);
    let two = bench();
    two.run(&["tune", "suite.yaml", "--device", "cpu", "--jobs", "2"]).ends(0);
    let chosen = |bench: &Bench| -> Vec<String> {
        frozen(bench).lines().filter(|line| line.contains("chosen:")).map(str::to_owned).collect()
    };
    assert_eq!(chosen(&one), chosen(&two));
    assert_eq!(chosen(&one).len(), 2);
    assert_eq!(one.cells(), two.cells());
}

#[test]
fn a_suite_that_changed_since_and_an_edited_file_are_refused_with_the_remedy() {
    let bench = bench();
    bench.run(&["tune", "suite.yaml", "--device", "cpu"]).ends(0);
    bench.write("suite.yaml", &TUNED.replace("log: [0.005, 0.5]", "log: [0.005, 0.4]"));
    let changed = bench.run(&RUN).ends(2).stderr;
    let (before, after) = changed.split_once("was made (").unwrap();
    insta::assert_snapshot!(format!("{before}was made ([day]{}", &after[10..]).trim(), @r#"error: arm "sgd" or the suite's tuning, targets or budgets changed since suite.tuned.yaml was made ([day]); run `palimpsest tune suite.yaml`"#);
    // What decides no trial may change.
    bench.write("suite.yaml", &TUNED.replace("seeds: 2", "seeds: 1"));
    bench.run(&RUN).ends(0);
    bench.write("suite.tuned.yaml", &frozen(&bench).replace("\"seconds\":", "\"seconds\":1"));
    says(
        &bench.run(&RUN).ends(2).stderr,
        &["suite.tuned.yaml was edited", "palimpsest tune suite.yaml"],
    );
    // `tune` makes it again.
    bench.run(&["tune", "suite.yaml", "--device", "cpu"]).ends(0);
    bench.run(&RUN).ends(0);
}

#[test]
fn one_arm_is_tuned_alone_and_the_others_keep_what_they_have() {
    let bench = bench();
    let tune = ["tune", "suite.yaml", "--device", "cpu"];
    bench.run(&[&tune[..], &["--methods", "sgd"]].concat()).ends(0);
    says(&bench.run(&RUN).ends(2).stderr, &["\"adamw\"", "does not have them"]);
    bench.run(&[&RUN[..], &["--methods", "sgd"]].concat()).ends(0);
    let sgd = |text: &str| text.split("- arm:").nth(1).unwrap().to_owned();
    let first = sgd(&frozen(&bench));
    bench.run(&[&tune[..], &["--methods", "adamw"]].concat()).ends(0);
    assert!(frozen(&bench).contains("arm: \"adamw\""));
    assert_eq!(sgd(&frozen(&bench)).trim_end(), first.split("digest:").next().unwrap().trim_end());
    bench.run(&RUN).ends(0);
}

#[test]
fn widening_tries_more_beyond_an_edge_and_the_file_says_so() {
    let bench = bench();
    // More is better within so few steps: the best rate is at the upper end.
    let low = TUNED.replace("log: [0.005, 0.5]", "log: [0.00001, 0.0001]");
    let low = low.replace("value: 0.15", "value: 0.9");
    bench.write("suite.yaml", &low);
    let tune = ["tune", "suite.yaml", "--device", "cpu", "--methods", "sgd"];
    let narrow = bench.run(&tune).ends(0);
    says(&narrow.stderr, &["at the edge of what was tried", "--widen"]);
    let wide =
        bench.run(&[&tune[..], &["--widen", "--jobs", "2", "--json"]].concat()).ends(0).json();
    let arm = &wide["arms"][0];
    assert!(arm["widenings"].as_u64().unwrap() >= 1, "{arm}");
    assert!(arm["trials"].as_array().unwrap().len() >= 8);
    assert!(frozen(&bench).contains("\"round\":1"));
    // Tuning again without the option keeps what was widened.
    let before = frozen(&bench);
    bench.run(&tune).ends(0);
    assert_eq!(frozen(&bench), before);
}

#[test]
fn halving_ends_most_trials_early_and_chooses_among_those_that_had_the_whole_budget() {
    let bench = bench();
    bench.write(
        "suite.yaml",
        &TUNED.replace("seeds: [100, 101] }", "seeds: [100], halving: { rungs: 2 } }"),
    );
    let tuned = bench.run(&["tune", "suite.yaml", "--device", "cpu", "--json"]).ends(0).json();
    for arm in tuned["arms"].as_array().unwrap() {
        let trials = arm["trials"].as_array().unwrap();
        let whole = trials.iter().filter(|trial| trial["share"] == 1.0).count();
        assert_eq!((trials.len(), whole), (4, 2), "{arm}");
        assert_eq!(trials[arm["best"].as_u64().unwrap() as usize]["share"], 1.0);
    }
    assert_eq!(bench.cells().len(), 2 * (4 + 2));
    bench.run(&RUN).ends(0);
}

#[test]
fn a_suite_without_tuning_has_nothing_to_tune() {
    let bench = Bench::new();
    bench.write("suite.yaml", crate::support::TINY);
    says(&bench.run(&["tune", "suite.yaml"]).ends(2).stderr, &["has no arm with `tune`"]);
}

#[test]
fn what_no_trial_ended_with_chooses_nothing() {
    let bench = Bench::new();
    let text = TUNED.replace("[100, 101] }", "[100], choose: accuracy@mean }");
    bench.write("suite.yaml", &text);
    let refused = bench.run(&["tune", "suite.yaml", "--device", "cpu"]).ends(2);
    says(
        &refused.stderr,
        &[
            "no trial of arm \"sgd\" ended with a value of accuracy@mean on validation",
            "a look",
            "nothing was frozen",
        ],
    );
    assert!(!bench.path("suite.tuned.yaml").exists());
    // The trials are there for another word.
    let trials = bench.cells().len();
    bench.write("suite.yaml", &text.replace("accuracy@mean", "accuracy"));
    bench.run(&["tune", "suite.yaml", "--device", "cpu"]).ends(0);
    assert_eq!(bench.cells().len(), trials);
}

#[test]
fn every_frozen_setting_of_this_repository_was_chosen_by_a_value() {
    let mut files = 0;
    for folder in ["suites", "suites/papers"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.display().to_string();
            if name.ends_with(".tuned.yaml") {
                let text = fs::read_to_string(&path).unwrap();
                let tuned = Tuned::parse(&name, "", &text).unwrap();
                for arm in &tuned.arms {
                    let valued = |trial: &Trial| trial.value.is_some();
                    assert!(arm.trials.iter().any(valued), "{name}: {}", arm.arm);
                }
                files += 1;
            }
        }
    }
    assert!(files > 20, "{files}");
}

#[test]
fn a_trial_that_begins_at_its_target_counts_as_no_work_and_not_as_a_miss() {
    let bench = Bench::new();
    bench.write("suite.yaml", &TUNED.replace("value: 0.15", "value: 0.001"));
    bench.run(&["tune", "suite.yaml", "--device", "cpu"]).ends(0);
    let values = frozen(&bench).matches("\"values\":[1.0,1.0],\"value\":1.0").count();
    assert_eq!(values, 2 * 4, "{}", frozen(&bench));
}
