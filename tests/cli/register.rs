//! `palimpsest claims`: verdicts are kept, and nothing that was judged changes in silence.

use std::fs;

use crate::support::Bench;

const SUITE: &str = "\
suite: kept
question: Does learning help?
workloads: [{ workload: digits-mlp, epochs: 1, evaluate_every: 1, target: { value: 0.5, origin: half } }]
seeds: 3
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

#[test]
fn a_verdict_is_kept_and_a_changed_threshold_is_refused_until_somebody_says_why() {
    let bench = Bench::new();
    bench.run_suite(SUITE).ends(0);
    let record = ["claims", "record", "suite.yaml"];
    let told = bench.run(&record).ends(0).stdout;
    assert_eq!(told, "1 verdicts added to suite.claims.json\n");
    assert_eq!(bench.run(&record).ends(0).stdout, "0 verdicts added to suite.claims.json\n");
    bench.run(&["claims", "check", "suite.yaml"]).ends(0);

    bench.write("suite.yaml", &SUITE.replace("at_least: 0.2", "at_least: 0.1"));
    let changed = bench.run(&["claims", "check", "suite.yaml"]).ends(1);
    assert_eq!(changed.stdout, "suite.yaml: fast-above-slow: claim.at_least: 0.2 → 0.1\n");
    let stale = bench.run(&record).ends(2);
    assert!(stale.stderr.contains("has changed since it was run"), "{}", stale.stderr);
    let before = fs::read(bench.path("suite.claims.json")).unwrap();
    bench.run(&["run", "suite.yaml", "--device", "cpu"]).ends(0);
    let silent = bench.run(&record).ends(2);
    assert!(silent.stderr.contains("say why with --because"), "{}", silent.stderr);
    assert_eq!(fs::read(bench.path("suite.claims.json")).unwrap(), before, "nothing was written");

    let amend =
        ["claims", "amend", "suite.yaml", "--because", "the paper says so", "--results-seen"];
    bench.run(&[&amend[..], &["--date", "tomorrow"]].concat()).ends(2);
    let logged = bench.run(&[&amend[..], &["--date", "2026-11-28"]].concat()).ends(0);
    assert_eq!(logged.stdout, "1 changes logged in suite.claims.json\n");
    bench.run(&record).ends(0);
    bench.run(&["claims", "check", "suite.yaml"]).ends(0);

    // In a folder of its own as well as beside the others.
    let papers = bench.path("suites/papers");
    fs::create_dir_all(&papers).unwrap();
    for file in ["suite.yaml", "suite.claims.json"] {
        fs::copy(bench.path(file), papers.join(file)).unwrap();
    }
    bench.run(&["claims", "check"]).ends(0);
    bench.run(&["claims", "page", "--out", "page.md"]).ends(0);
    let page = fs::read_to_string(bench.path("page.md")).unwrap();
    assert!(page.contains("| ~~the good rate is at least 0.2 more accurate~~ |"), "{page}");
    assert!(page.contains("claim.at_least: 0.2 → 0.1 | the paper says so | yes |"), "{page}");
}

#[test]
fn a_register_edited_by_hand_is_refused() {
    let bench = Bench::new();
    bench.run_suite(SUITE).ends(0);
    bench.run(&["claims", "record", "suite.yaml"]).ends(0);
    let text = fs::read_to_string(bench.path("suite.claims.json")).unwrap();
    let edited = text.replace("\"at_least\": 0.2", "\"at_least\": 0.1");
    assert_ne!(edited, text);
    bench.write("suite.claims.json", &edited);
    let refused = bench.run(&["claims", "check", "suite.yaml"]).ends(2);
    assert!(
        refused.stderr.contains("edited by hand; take it from the last commit"),
        "{}",
        refused.stderr
    );
}
