//! An arm with a share of the budget: the baseline of a method that consumes less than all of it.

use crate::support::Bench;

/// `rs2` consumes half of the budget; one `sgd` has as much, the other all of it.
const SUITE: &str = "\
suite: short
question: Does RS2 gain over plain training at its own budget?
workloads: [{ workload: blobs-cnn, with: { examples: 64 }, epochs: 8, evaluate_every: 2 }]
seeds: 2
settings: { batch_size: 16, lr: 0.02 }
arms:
  - { method: rs2, as: rs2, with: { ratio: 0.5 } }
  - { method: sgd, as: short, budget: 0.5 }
  - { method: sgd, as: whole }
claims:
  - { id: own-budget, statement: s, paper: { number: none, source: none }, arm: rs2, baseline: short, compare: test/nll, at_least: 0 }
  - { id: all-data, statement: s, paper: { number: none, source: none }, arm: rs2, baseline: whole, compare: test/nll, at_least: 0 }
";

#[test]
fn an_arm_with_a_share_of_the_budget_is_the_workload_with_that_budget_and_a_fair_baseline() {
    let bench = Bench::new();
    bench.write("suite.yaml", SUITE);
    let plan = bench.run(&["plan", "suite.yaml"]).ends(0).stdout;
    assert!(plan.contains("short, 256 samples") && plan.contains("budget 512 samples"), "{plan}");

    let run = ["run", "suite.yaml", "--device", "cpu"];
    let analysis = bench.run(&[&run[..], &["--json"]].concat()).ends(0).json();
    let reason = |claim: usize| analysis["claims"][claim]["reason"].to_string();
    assert!(!reason(0).contains("budgets differ"), "{}", reason(0));
    assert!(
        reason(1).contains("budgets differ: 256 samples of rs2, 512 of whole"),
        "{}",
        reason(1)
    );

    let records = bench.records();
    let short = records.iter().find(|one| one.method == "sgd" && one.samples == 256).unwrap();
    assert_eq!(
        (short.goal.budget.samples, short.goal.budget.evaluate_every, short.steps),
        (256, 128, 16)
    );
    bench.run(&["reproduce", &short.cell]).ends(0);

    // The same as epochs of the workload: nothing is left to train.
    let epochs = SUITE.replace("epochs: 8", "epochs: 4").replace(", budget: 0.5", "");
    bench.write("suite.yaml", &epochs);
    let count = bench.cells().len();
    bench.run(&[&run[..], &["--methods", "short"]].concat()).ends(0);
    assert_eq!(bench.cells().len(), count);
}
