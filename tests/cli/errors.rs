//! A mistake is answered with its place, the offending value and the way out; exit 2, nothing made.

use crate::support::{Bench, TINY};

/// What the program says to a suite with `from` replaced by `to`, after checking that it refuses
/// to plan and to run it, and makes nothing.
fn refusal(from: &str, to: &str) -> String {
    assert!(TINY.contains(from), "{from}");
    let bench = Bench::new();
    bench.write("bad.yaml", &TINY.replacen(from, to, 1));
    let plan = bench.run(&["plan", "bad.yaml"]).ends(2);
    let run = bench.run(&["run", "bad.yaml"]).ends(2);
    assert_eq!(plan.stderr, run.stderr);
    assert_eq!(plan.stdout + &run.stdout, "");
    assert!(!bench.path("runs").exists(), "a refused suite made a store");
    plan.stderr
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn an_unknown_key_is_named_with_place_and_neighbour() {
    says(&refusal("baseline:", "basline:"), &["bad.yaml:5:1", "basline", "baseline"]);
    says(&refusal("epochs:", "epoch:"), &["bad.yaml:3:", "epoch", "did you mean", "epochs"]);
}

#[test]
fn an_unknown_method_is_named_with_place_and_neighbour() {
    let text = refusal("method: adamw", "method: adamv");
    says(&text, &["bad.yaml:9:15", "adamv", "did you mean \"adamw\"?"]);
}

#[test]
fn an_unknown_workload_is_named_with_place_and_neighbour() {
    let text = refusal("digits-mlp", "digits-mpl");
    says(&text, &["bad.yaml:3:25", "digits-mpl", "did you mean \"digits-mlp\"?"]);
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_place() {
    says(&refusal("epochs: 0.1", "epochs: many"), &["bad.yaml:3:", "many"]);
    says(&refusal("seeds: 2", "seeds: two"), &["bad.yaml:4:8", "two"]);
    says(&refusal("lr: 0.05", "lr: fast"), &["bad.yaml:8:", "lr", "fast", "a number above 0"]);
    says(&refusal("{ batch_size: 32 }", "[32]"), &["bad.yaml:6:11"]);
}

#[test]
fn a_setting_out_of_range_is_named_with_place_and_range() {
    says(&refusal("lr: 0.05", "lr: -1"), &["bad.yaml:8:41", "-1", "a number above 0"]);
    says(&refusal("batch_size: 32", "batch_size: 0"), &["bad.yaml:6:25", "at least 1"]);
    says(&refusal("epochs: 0.1", "epochs: -1"), &["bad.yaml:3:", "-1", "above 0"]);
    says(&refusal("seeds: 2", "seeds: 0"), &["bad.yaml:4:8", "0"]);
}

#[test]
fn names_that_do_not_fit_together_are_refused() {
    says(&refusal("baseline: sgd", "baseline: sdg"), &["bad.yaml:5:11", "did you mean \"sgd\"?"]);
    says(&refusal("as: adamw", "as: sgd"), &["bad.yaml:9:", "two arms are called \"sgd\""]);
    says(&refusal("suite: tiny", "suite: ../up"), &["bad.yaml:1:8", "../up"]);
    says(&refusal("evaluate_every: 0.05", "evaluate_every: 5"), &["bad.yaml:3:", "budget"]);
}

#[test]
fn text_that_is_no_yaml_is_refused_with_place() {
    says(&refusal("settings: {", "settings: {{"), &["bad.yaml:6:"]);
    says(&refusal(TINY, ""), &["bad.yaml"]);
    says(&refusal("question: Does", "question: \u{7}Does"), &["bad.yaml"]);
}

#[test]
fn the_message_of_a_misspelt_method_reads_as_agreed() {
    insta::assert_snapshot!(refusal("method: sgd", "method: sgdd"));
}

#[test]
fn unknown_names_on_the_command_line_offer_the_nearest() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    let cases: [(&[&str], &[&str]); 9] = [
        (&["explain", "drop-moun"], &["\"drop-moun\"", "did you mean \"drop-muon\"?"]),
        (&["explain", "digits-mpl"], &["did you mean \"digits-mlp\"?"]),
        (&["explain", "zzzzzzzz"], &["zzzzzzzz", "palimpsest list methods"]),
        (&["plan", "digit"], &["\"digit\"", "did you mean \"digits\"?"]),
        (&["list", "method"], &["'method'", "methods"]),
        (&["veriffy"], &["'veriffy'", "'verify'"]),
        (&["run", "suite.yaml", "--methods", "adam"], &["--methods adam", "\"adamw\""]),
        (&["run", "suite.yaml", "--workloads", "digits"], &["--workloads digits", "digits-mlp"]),
        (&["run", "suite.yaml", "--dry-rum"], &["--dry-rum", "--dry-run"]),
    ];
    for (arguments, parts) in cases {
        let refused = bench.run(arguments).ends(2);
        says(&refused.stderr, parts);
        assert_eq!(refused.stdout, "", "{arguments:?}");
    }
    assert!(!bench.path("runs").exists());
}

#[test]
fn a_wrong_option_names_the_option_and_not_a_place_in_the_suite() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    let cases: [(&[&str], &[&str]); 6] = [
        (&["--set", "sgd.lrr=1"], &["--set", "lrr", "did you mean \"lr\"?"]),
        (&["--set", "sgd.lr=-1"], &["--set", "-1", "a number above 0"]),
        (&["--set", "sgd"], &["--set", "ARM.KEY=VALUE"]),
        (&["--methods", "sdg"], &["--methods sdg", "did you mean \"sgd\"?"]),
        (&["--seeds", "some"], &["--seeds", "some"]),
        (&["--seeds", "1,1"], &["--seeds", "given twice"]),
    ];
    for (options, parts) in cases {
        let refused = bench.run(&[&["plan", "suite.yaml"], options].concat()).ends(2);
        says(&refused.stderr, parts);
        assert!(!refused.stderr.contains("suite.yaml:"), "{}", refused.stderr);
    }
}

#[test]
fn a_device_or_number_of_jobs_this_machine_lacks_is_refused() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    let cases: [(&[&str], &[&str]); 6] = [
        (&["--device", "gpu"], &["gpu", "auto, cpu, cuda or cuda:N"]),
        (&["--devices", "cuda:0,cpu"], &["cuda:0,cpu", "\"cpu\" is none"]),
        (&["--devices", "cuda:0,cuda:99"], &["cuda:0,cuda:99", "CUDA devices are visible"]),
        (&["--device", "cuda:99"], &["cuda:99", "--device cpu"]),
        (&["--jobs", "0"], &["--jobs is 0"]),
        (&["--jobs", "9999"], &["--jobs is 9999", "CPUs"]),
    ];
    for (options, parts) in cases {
        says(&bench.run(&[&["run", "suite.yaml"], options].concat()).ends(2).stderr, parts);
        assert!(bench.cells().is_empty(), "{options:?}");
    }
}

#[test]
fn a_message_says_a_reason_once() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    bench.write("file", "not a store");
    let refused = bench.run(&["run", "suite.yaml", "--store", "file"]).ends(2);
    assert_eq!(refused.stderr.matches("os error").count(), 1, "{}", refused.stderr);
}
