//! The command line as a contract: names, exit codes, JSON, what goes to which stream.

mod claims;
mod display;
mod errors;
mod estimate_files;
mod evidence;
mod exports;
mod import;
mod outputs;
mod own_data;
mod own_images;
mod own_networks;
mod own_text;
mod own_tokens;
mod pages;
mod proofs;
mod provenance;
mod register;
mod regress;
mod regress_action;
mod regress_history;
mod regress_trees;
mod tuning;

use std::fs;

use serde_json::Value;

use crate::support::{Bench, TINY};

fn strings(rows: &Value, key: &str) -> Vec<String> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_list_is_a_table_and_under_json_one_document() {
    let bench = Bench::with_run(TINY);
    for what in ["methods", "workloads", "suites", "runs", "data"] {
        let table = bench.run(&["list", what]).ends(0);
        assert!(table.stdout.lines().count() > 1, "{what}: {}", table.stdout);
        assert!(table.stderr.is_empty(), "{what}: {}", table.stderr);
        let rows = bench.run(&["list", what, "--json"]).ends(0).json();
        let rows = rows.as_array().unwrap().len();
        assert_eq!(rows, table.stdout.lines().count() - 1, "{what}: rows of both forms");
    }
    assert_eq!(strings(&bench.run(&["list", "runs", "--json"]).json(), "run"), bench.cells());
}

#[test]
fn the_list_of_suites_says_how_long_each_takes_and_what_it_took_here() {
    let bench = Bench::new();
    let takes = |bench: &Bench, suite: &str| {
        let table = bench.run(&["list", "suites"]).ends(0).stdout;
        let row = table.lines().find(|row| row.split(' ').next() == Some(suite)).unwrap();
        row.split("  ").filter(|cell| !cell.is_empty()).nth(1).unwrap().trim().to_owned()
    };
    assert!(takes(&bench, "digits").starts_with("13 s for 1 seed on "), "measured once");
    assert_eq!(takes(&bench, "cifar10"), "–", "never measured");
    bench.run_suite(&TINY.replace("suite: tiny", "suite: digits")).ends(0);
    assert!(takes(&bench, "digits").ends_with("for 2 seeds here (4 runs)"), "from the store");
    let rows = bench.run(&["list", "suites", "--json"]).json();
    let digits = rows.as_array().unwrap().iter().find(|row| row["suite"] == "digits").unwrap();
    assert_eq!(digits["took_here"]["runs"], 4);
    assert_eq!(digits["takes"]["seconds"], 13);
}

#[test]
fn the_lists_name_the_whole_registry() {
    let bench = Bench::new();
    let methods = bench.run(&["list", "methods", "--json"]).ends(0).json();
    let ids: Vec<_> = methods::REGISTRY.iter().map(|entry| entry.id.to_owned()).collect();
    assert_eq!(strings(&methods, "id"), ids);
    let workloads = bench.run(&["list", "workloads", "--json"]).ends(0).json();
    let ids: Vec<_> = workloads::REGISTRY.iter().map(|entry| entry.id.to_owned()).collect();
    assert_eq!(strings(&workloads, "id"), ids);
    let suites = strings(&bench.run(&["list", "suites", "--json"]).ends(0).json(), "suite");
    assert!(suites.iter().any(|suite| suite == "digits"), "{suites:?}");
}

#[test]
fn explain_prints_the_card_of_every_method() {
    let bench = Bench::new();
    for entry in methods::REGISTRY {
        let text = bench.run(&["explain", entry.id]).ends(0).stdout;
        for heading in ["## Mechanism", "## Claim", "## Sources", "## Settings"] {
            assert!(text.contains(heading), "{}: no {heading}", entry.id);
        }
        for setting in (entry.method.settings)() {
            assert!(text.contains(setting.name), "{}: {} is missing", entry.id, setting.name);
        }
        let json = bench.run(&["explain", entry.id, "--json"]).ends(0).json();
        assert_eq!(json["id"], entry.id);
    }
}

#[test]
fn explain_prints_the_goal_of_every_workload() {
    let bench = Bench::new();
    for entry in workloads::REGISTRY {
        let info = entry.info();
        let text = bench.run(&["explain", info.id]).ends(0).stdout;
        assert!(text.starts_with(&format!("# {}", info.id)), "{text}");
        assert!(text.contains("## Goal") && text.contains("## Settings"), "{text}");
        assert!(text.contains(info.target_origin), "{text}");
        assert_eq!(bench.run(&["explain", info.id, "--json"]).ends(0).json()["id"], info.id);
    }
}

#[test]
fn the_card_of_sgd_reads_as_agreed() {
    let bench = Bench::new();
    let card = bench.run(&["explain", "sgd"]).ends(0).stdout;
    let (before, after) = card.split_once("Runs on: ").unwrap();
    let (fitting, after) = after.split_once('\n').unwrap();
    assert!(fitting.split(", ").any(|workload| workload == "digits-mlp"), "{fitting}");
    insta::assert_snapshot!(format!("{before}Runs on: [workloads]\n{after}"));
}

#[test]
fn a_plan_reads_as_agreed() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    insta::assert_snapshot!(bench.redact(&bench.run(&["plan", "suite.yaml"]).ends(0).stdout));
}

#[test]
fn plan_and_dry_run_say_the_same_and_run_nothing() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    let plan = bench.run(&["plan", "suite.yaml", "--json"]).ends(0);
    let dry = bench.run(&["run", "suite.yaml", "--dry-run", "--json"]).ends(0);
    assert_eq!(plan.json(), dry.json());
    assert_eq!(plan.json()["cells"].as_array().unwrap().len(), 4);
    assert!(!bench.path("runs").exists(), "a plan made a store");
}

#[test]
fn options_narrow_the_plan() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    let plan = |more: &[&str]| {
        let arguments = [&["plan", "suite.yaml", "--json"], more].concat();
        bench.run(&arguments).ends(0).json()["cells"].as_array().unwrap().clone()
    };
    assert_eq!(plan(&["--methods", "adamw"]).len(), 2);
    assert_eq!(plan(&["--seeds", "3,5,9"]).len(), 6);
    assert_eq!(plan(&["--seeds", "4..6", "--methods", "sgd"])[1]["seed"], 5);
    assert_eq!(plan(&["--set", "sgd.lr=0.25"])[0]["settings"]["lr"], 0.25);
    assert_eq!(plan(&["--workloads", "digits-mlp"]).len(), 4);
}

#[test]
fn results_go_to_stdout_and_progress_to_stderr() {
    let bench = Bench::new();
    let run = bench.run_suite(TINY).ends(0);
    assert!(run.stderr.contains("[1/4]") && run.stderr.contains("4 cells"), "{}", run.stderr);
    assert!(run.stdout.contains("adamw") && !run.stdout.contains("[1/4]"), "{}", run.stdout);
    let again = bench.run(&["run", "suite.yaml", "--json"]).ends(0);
    assert_eq!(again.json()["suite"], "tiny");
    assert!(again.stderr.contains("kept"), "{}", again.stderr);
}

#[test]
fn nothing_is_coloured_off_a_terminal_or_under_no_color() {
    let bench = Bench::with_run(TINY);
    for arguments in
        [&["explain", "nothing-near"][..], &["list"], &["run", "suite.yaml"], &["--help"]]
    {
        for no_color in [None, Some("1")] {
            let mut command = bench.command(arguments);
            command.envs(no_color.map(|value| ("NO_COLOR", value)));
            let output = crate::support::output(command);
            let text = format!("{}{}", output.stdout, output.stderr);
            assert!(!text.is_empty() && !text.contains('\u{1b}'), "{arguments:?}: {text:?}");
        }
    }
}

#[test]
fn a_run_is_reported_with_the_path_on_the_last_line() {
    let bench = Bench::with_run(TINY);
    let report = bench.run(&["report", "suite.yaml"]).ends(0);
    let last = report.stdout.lines().last().unwrap();
    let page = bench.path(last.strip_prefix("report: ").unwrap());
    assert!(fs::read_to_string(page).unwrap().contains("Does it run at all?"));
    let paths = bench.run(&["report", "tiny", "--out", "elsewhere", "--json"]).ends(0).json();
    let paths = paths.as_array().unwrap();
    assert!(paths.len() > 5, "{paths:?}");
    for path in paths {
        let path = bench.path(path.as_str().unwrap());
        assert!(fs::metadata(&path).unwrap().len() > 0, "{}", path.display());
    }
    let json = fs::read_to_string(bench.path("elsewhere/analysis.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["suite"], "tiny");
}

#[test]
fn compare_shows_fields_of_runs_and_arms_of_suites() {
    let bench = Bench::with_run(TINY);
    let (first, second) = (bench.record("sgd", 0).cell, bench.record("adamw", 0).cell);
    let same = bench.run(&["compare", &first, &first]).ends(0);
    assert_eq!(same.stdout, "the two records are the same\n");
    let fields = bench.run(&["compare", &first, &second, "--json"]).ends(0).json();
    assert!(strings(&fields, "field").contains(&"method".to_owned()), "{fields}");
    let arms = bench.run(&["compare", "tiny", "tiny", "--json"]).ends(0).json();
    assert_eq!(strings(&arms, "arm"), ["sgd", "adamw"]);
    assert_eq!(strings(&arms, "test_a"), strings(&arms, "test_b"));
    let kinds = bench.run(&["compare", "tiny", &first]).ends(2);
    assert!(kinds.stderr.contains("not of one kind"), "{}", kinds.stderr);
}

#[test]
fn reproduce_finds_the_same_digests_and_leaves_the_store_alone() {
    let bench = Bench::with_run(TINY);
    let before = bench.files("runs");
    let rows = bench.run(&["reproduce", &bench.record("adamw", 1).cell, "--json"]).ends(0).json();
    let names = strings(&rows, "what");
    assert!(names.contains(&"parameters".to_owned()) && names.contains(&"orders".to_owned()));
    assert!(rows.as_array().unwrap().iter().all(|row| row["same"] == true), "{rows}");
    assert_eq!(bench.files("runs"), before);
}

#[test]
fn completions_name_every_verb() {
    let bench = Bench::new();
    let script = bench.run(&["completions", "bash"]).ends(0).stdout;
    for verb in ["run", "plan", "list", "explain", "report", "compare", "verify", "prove"] {
        assert!(script.contains(&format!("palimpsest__subcmd__{verb}")) || script.contains(verb));
    }
    assert!(script.contains("complete -F"), "not a bash completion");
}

#[test]
fn a_reader_that_closes_the_pipe_is_no_error() {
    let bench = Bench::with_run(TINY);
    for verb in
        ["completions bash", "explain granet", "list methods --json", "verify", "plan suite.yaml"]
    {
        let script = format!("set -o pipefail; \"$0\" {verb} | true");
        let mut command = bench.command(&[]);
        let program = command.get_program().to_owned();
        command = {
            let mut shell = std::process::Command::new("bash");
            shell.args(["-c", &script]).arg(program).current_dir(bench.path(""));
            shell.env_remove("RUST_BACKTRACE");
            shell
        };
        let output = crate::support::output(command);
        assert!(matches!(output.code, Some(0)), "{verb}: {output:?}");
        assert!(!output.stderr.contains("panicked"), "{verb}: {}", output.stderr);
    }
}
