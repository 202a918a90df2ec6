//! Runs that descend from other runs, and the membership tests that a suite makes on them.

use serde_json::Value;

use crate::support::Bench;

/// A run of 600 sequences, its fine-tune and its student, under two seeds.
const FAMILY: &str = "\
suite: family
question: Are derivatives found, and faults refused?
workloads:
  - { workload: markov-mlp, as: home, with: { examples: 600 }, epochs: 0.15, evaluate_every: 0.15 }
  - { workload: markov-mlp, as: away, with: { examples: 600, sample: 1 }, epochs: 0.02, evaluate_every: 0.02 }
seeds: 2
arms:
  - { method: adamw, as: tuned, on: [away], from: home/trained, with: { lr: 0.0003, schedule: constant, batch_size: 16 } }
  - { method: distil, as: student, on: [away], teacher: home/trained, with: { batch_size: 16 } }
  - { method: adamw, as: trained, on: [home], with: { lr: 0.003, schedule: constant, batch_size: 16 } }
provenance:
  - { id: itself, statement: its own model, run: home/trained, suspect: home/trained, reference: home/trained+1, expect: { nothing: true } }
  - { id: tuned, statement: its fine-tune, run: home/trained, suspect: away/tuned, reference: home/trained+1, expect: { nothing: true } }
  - { id: far, statement: a bar out of reach, run: home/trained, suspect: home/trained, expect: { log10_p_at_most: -9000 } }
  - { id: dependent, statement: a reference that descends from the run, run: home/trained, suspect: home/trained+1, reference: away/tuned, expect: { refused: true } }
  - { id: taught, statement: a reference that learned from the run, run: home/trained, suspect: home/trained+1, reference: away/student, expect: { refused: true } }
";

fn membership(bench: &Bench) -> Vec<Value> {
    bench.run(&["report", "suite.yaml", "--format", "json"]).ends(0);
    let text = std::fs::read(bench.path("runs/reports/family/analysis.json")).unwrap();
    let analysis: Value = serde_json::from_slice(&text).unwrap();
    analysis["membership"].as_array().unwrap().clone()
}

#[test]
fn a_suite_runs_parents_first_and_tests_their_children() {
    let bench = Bench::with_run(FAMILY);
    let records = bench.records();
    assert_eq!(records.len(), 6);
    let roots: Vec<&str> = records
        .iter()
        .filter(|record| record.lineage.is_none())
        .map(|record| record.cell.as_str())
        .collect();
    assert_eq!(roots.len(), 2);
    for child in records.iter().filter(|record| record.lineage.is_some()) {
        let parents = child.parents();
        assert!(parents.iter().all(|cell| roots.contains(&cell.as_str())), "{parents:?}");
        assert_eq!(parents.teacher.is_some(), child.method == "distil");
        assert!(child.order_hashes().len() > 1, "its own order and its parent's");
        bench.run(&["reproduce", &child.cell]).ends(0);
    }
    bench.run(&["verify"]).ends(0);

    let tests = membership(&bench);
    let met: Vec<_> = tests.iter().map(|test| test["met"].as_bool()).collect();
    assert_eq!(met, [None, None, Some(false), Some(true), Some(true)]);
    for (test, word) in [(3, "lineage"), (4, "lineage")] {
        for seed in tests[test]["seeds"].as_array().unwrap() {
            let refused = seed["outcome"]["refused"].as_str().unwrap();
            assert!(refused.contains(word), "{refused}");
        }
    }

    // The store answers what the suite did.
    let own = &tests[0]["seeds"][0];
    let (run, other) =
        (own["run"].as_str().unwrap(), tests[0]["seeds"][1]["run"].as_str().unwrap());
    let asked =
        ["provenance", "query", "--run", run, "--model", run, "--reference-model", other, "--json"];
    let answer = bench.run(&asked).ends(0).json();
    assert_eq!(answer["log10_p"], own["outcome"]["found"]["log10_p"]);
    assert_eq!(answer["simulation"], true);
    let dependent =
        ["provenance", "query", "--run", run, "--model", other, "--reference-model", run];
    assert!(bench.run(&dependent).ends(2).stderr.contains("lineage"));
}

#[test]
fn a_chosen_child_brings_its_parent_and_a_model_that_is_missing_is_made_again() {
    let bench = Bench::new();
    let alone = FAMILY.split("provenance:").next().unwrap().replace("seeds: 2", "seeds: 1");
    bench.write("suite.yaml", &alone);
    bench.run(&["run", "suite.yaml", "--device", "cpu", "--methods", "trained"]).ends(0);
    let store = bench.store();
    let parent = store.cells().unwrap().remove(0);
    let model = store.folder(&parent).join("checkpoints/final.safetensors");
    // Nobody descends from it in this plan, so that its model was not kept.
    assert!(!model.exists());
    bench.run(&["run", "suite.yaml", "--device", "cpu", "--methods", "tuned"]).ends(0);
    assert!(model.exists());
    assert_eq!(store.cells().unwrap().len(), 2);
}
