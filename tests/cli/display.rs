//! What people read: targets and names as they were given, on any terminal, and what machines read.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{Bench, Output, TINY, output};

/// A command at a terminal of 80 columns, both of whose streams it is.
fn at_a_terminal(bench: &Bench, term: &str, arguments: &[&str]) -> String {
    let run = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(['sh', '-c', \
               'stty cols 80 rows 24; exec \"$0\" \"$@\"'] + sys.argv[1:])))";
    let program = env!("CARGO_BIN_EXE_palimpsest");
    let all = [&["-c", run, program], arguments].concat();
    let mut command: Command = bench.prepared("python3", &all);
    command.env("TERM", term);
    output(command).ends(0).stdout.replace("\r\n", "\n")
}

#[test]
fn a_target_is_shown_as_it_was_given_everywhere() {
    let bench = Bench::new();
    let text = TINY.replace("value: 0.05", "value: 0.9999");
    bench.write("suite.yaml", &text);
    let plan = bench.run(&["plan", "suite.yaml"]).ends(0).stdout;
    assert!(plan.contains("accuracy 0.9999 on validation"), "{plan}");
    let run = bench.run(&["run", "suite.yaml"]).ends(0);
    assert!(run.stdout.contains("accuracy 0.9999 on validation"), "{}", run.stdout);
    assert!(run.stderr.contains("reached the target 0.9999"), "{}", run.stderr);
    bench.run(&["report", "suite.yaml", "--out", "out"]).ends(0);
    let files = bench.files("out");
    let drawn = |file: &&String| [".html", ".svg", ".tex"].iter().any(|end| file.ends_with(end));
    for file in files.iter().filter(drawn) {
        let text = fs::read_to_string(bench.path("out").join(file)).unwrap();
        // Seeds pair by pair, costs, orders and bare numbers have none.
        let shown = ["index.html", "tables.tex", "-metric-by-", "-time-to-target"];
        if shown.iter().any(|name| file.contains(name)) {
            assert!(text.contains("0.9999"), "{file} has no target");
        }
        for rounded in ["100.0 %", "≥ 1.00", "target 1.00", "accuracy 1.00"] {
            assert!(!text.contains(rounded), "{file}: {rounded}");
        }
    }
}

/// A suite whose arm a terminal would obey, and whose letters few fonts have.
fn hostile() -> String {
    TINY.replace("as: sgd,", r#"as: "\e[2Jx\nerror: no\u202e مثال","#)
        .replace("baseline: sgd", r#"baseline: "\e[2Jx\nerror: no\u202e مثال""#)
        .replace("Does it run at all?", r#""Does \e[31mit run\u2066 at all?""#)
}

fn is_harmless(what: &str, text: &str) {
    let obeyed = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{2066}');
    assert!(!text.contains(obeyed), "{what}: {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("error: no")), "{what}: {text:?}");
}

#[test]
fn names_that_a_terminal_would_obey_are_shown_by_their_codes() {
    let bench = Bench::new();
    bench.write("suite.yaml", &hostile());
    let mut said = String::new();
    for arguments in [
        &["plan", "suite.yaml"][..],
        &["run", "suite.yaml"],
        &["list", "runs"],
        &["list", "suites"],
        &["report", "suite.yaml"],
        &["compare", "tiny", "tiny"],
        &["run", "suite.yaml", "--set", "adamw.lr=0.5", "--methods", "nobody\u{1b}[2J"],
    ] {
        let Output { stdout, stderr, .. } = bench.run(arguments);
        is_harmless(&format!("{arguments:?}"), &stdout);
        is_harmless(&format!("{arguments:?}"), &stderr);
        said += &stdout;
    }
    assert!(said.contains(r"\u{1b}[2Jx\nerror: no\u{202e} مثال"), "{said}");
}

#[test]
fn letters_that_tex_lacks_stand_by_their_numbers_in_a_report() {
    let bench = Bench::with_run(&hostile());
    bench.run(&["report", "suite.yaml", "--out", "out"]).ends(0);
    let tex = fs::read_to_string(bench.path("out/tables.tex")).unwrap();
    let set = tex.lines().filter(|line| !line.starts_with('%')).collect::<String>();
    assert!(set.contains("U+0645{}") && set.is_ascii(), "{set}");
    assert!(tex.lines().any(|line| line.starts_with('%') && line.contains("مثال")), "{tex}");
}

#[test]
fn a_dumb_terminal_gets_a_line_a_cell_and_no_colour() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    let dumb = at_a_terminal(&bench, "dumb", &["run", "suite.yaml"]);
    assert!(dumb.contains("[1/4]") && dumb.contains("[4/4]"), "{dumb}");
    assert!(!dumb.contains('\u{1b}'), "{dumb:?}");
    assert!(dumb.contains("warning:"), "{dumb}");
    let able = at_a_terminal(&bench, "xterm", &["run", "suite.yaml"]);
    assert!(able.contains('\u{1b}') && !able.contains("[1/4]"), "{able:?}");
}

#[test]
fn tables_fit_the_terminal_unless_they_are_wanted_wide_or_piped() {
    let bench = Bench::new();
    let width = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap();
    let piped = bench.run(&["list", "methods"]).ends(0).stdout;
    assert!(width(&piped) > 80 && piped.lines().count() == methods::REGISTRY.len() + 1);
    assert_eq!(at_a_terminal(&bench, "xterm", &["list", "methods", "--wide"]), piped);
    for what in ["methods", "workloads", "suites", "data"] {
        let narrow = at_a_terminal(&bench, "xterm", &["list", what]);
        assert!(width(&narrow) <= 80, "{what}: {narrow}");
        let piped = bench.run(&["list", what]).ends(0).stdout;
        for word in piped.split_whitespace() {
            assert!(narrow.contains(word), "{what}: {word} is cut");
        }
    }
}

#[test]
fn one_arm_and_one_seed_are_not_several() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    let one = ["plan", "suite.yaml", "--methods", "sgd", "--seeds", "1"];
    let plan = bench.run(&one).ends(0).stdout;
    assert!(plan.contains("\n1 arm × 1 seed, 1 cell: ") && plan.contains("  1 seed  "), "{plan}");
}

#[test]
fn an_arm_whose_settings_the_command_line_changes_is_named_in_plan_run_and_report() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    let told = "arm \"adamw\" runs with settings of the command line, not the suite's: lr=0.5";
    let set = ["suite.yaml", "--set", "adamw.lr=0.5"];
    for verb in ["plan", "run"] {
        let output = bench.run(&[&[verb], &set[..]].concat()).ends(0);
        assert!(output.stderr.contains(told), "{verb}: {}", output.stderr);
    }
    bench.run(&["report", "suite.yaml", "--out", "out"]).ends(0);
    let page = fs::read_to_string(bench.path("out/index.html")).unwrap();
    assert!(page.contains("settings of the command line, not the suite"), "the page");
    let plain = bench.run(&["run", "suite.yaml"]).ends(0).stderr;
    assert!(!plain.contains("command line"), "{plain}");
}

#[test]
fn runs_are_listed_for_machines_with_numbers_nulls_and_the_arms_name() {
    let bench = Bench::with_run(&TINY.replace("as: adamw", "as: mine"));
    let rows = bench.run(&["list", "runs", "--json"]).ends(0).json();
    for row in rows.as_array().unwrap() {
        assert!(row["seed"].as_u64().is_some_and(|seed| seed < 2), "{row}");
        let record = bench.store().record(row["run"].as_str().unwrap()).unwrap();
        let time = record.time_to_target.and_then(|crossing| crossing.isotonic);
        assert_eq!(row["time_to_target"], serde_json::to_value(time).unwrap());
        let arm = if row["method"] == "adamw" { "mine" } else { "sgd" };
        assert_eq!((&row["arm"], &row["problem"]), (&Value::from(arm), &Value::Null));
        assert_eq!(row["this_build"], true);
    }
    fs::write(bench.path("runs").join(&bench.cells()[0]).join("record.json"), "").unwrap();
    let rows = bench.run(&["list", "runs", "--json"]).ends(0).json();
    let damaged = &rows[0];
    assert_eq!((&damaged["status"], &damaged["seed"]), (&Value::from("damaged"), &Value::Null));
    assert!(damaged["problem"].is_string(), "{damaged}");
}

#[test]
fn who_only_looks_makes_no_store() {
    let bench = Bench::new();
    let doctor = bench.run(&["doctor", "--json"]);
    let rows = doctor.json();
    let store = rows.as_array().unwrap().iter().find(|row| row["what"] == "store").unwrap();
    assert_eq!(store["fine"], true, "{store}");
    let missing = bench.run(&["doctor", "--store", "a/b/c"]);
    assert!(missing.stdout.contains("a/b/c with 0 runs"), "{}", missing.stdout);
    bench.write("file", "");
    let blocked = bench.run(&["doctor", "--store", "file/runs"]).ends(1);
    assert!(blocked.stdout.contains("file/runs"), "{}", blocked.stdout);
    assert_eq!(bench.files(""), ["file"]);
    assert!(!bench.path("runs").exists() && !bench.path("a").exists());
}

#[test]
fn completions_hide_what_help_hides_and_know_suites_methods_and_workloads() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = bench.run(&["completions", shell]).ends(0).stdout;
        for hidden in ["--cells", "--worker", "-l cells", "-l worker", "catalogue"] {
            assert!(!script.contains(hidden), "{shell}: {hidden}");
        }
        for known in ["accept-build", "digits", "lr-decay-curriculum", "templates-cnn"] {
            assert!(script.contains(known), "{shell}: {known}");
        }
    }
}

#[test]
fn a_format_that_nobody_knows_is_answered_with_one_as_it_is_written() {
    let bench = Bench::with_run(TINY);
    let refused = bench.run(&["report", "tiny", "--format", "pgn"]).ends(2).stderr;
    assert!(refused.contains("did you mean \"png\"?"), "{refused}");
}
