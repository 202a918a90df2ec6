//! Logs as somebody brings them: imported, reported, judged, refused.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::{Bench, TINY, root};

/// A table of two arms and five seeds: `adam` reaches 0.5 in half of the samples and half of the time.
fn table() -> String {
    let mut text = "arm,seed,samples,seconds,metric,value\n".to_owned();
    for (arm, rate) in [("adam", 0.02), ("sgd", 0.01)] {
        for seed in 0..5 {
            for step in (0..=200).step_by(20) {
                let value = 1.0 - (-rate * (1.0 + 0.01 * f64::from(seed)) * f64::from(step)).exp();
                let (samples, seconds) = (32 * step, f64::from(step) / 10.0);
                text += &format!("{arm},{seed},{samples},{seconds},score,{value:.6}\n");
            }
        }
    }
    text
}

const GOAL: [&str; 8] =
    ["--workload", "task", "--metric", "score", "--target", "0.5", "--baseline", "sgd"];

fn import(bench: &Bench, arguments: &[&str]) -> crate::support::Output {
    bench.run(&[&["import"], arguments].concat())
}

/// A bench with the table's ten runs.
fn imported() -> Bench {
    let bench = Bench::new();
    bench.write("log.csv", &table());
    import(&bench, &[&["log.csv"], &GOAL[..]].concat()).ends(0);
    bench
}

fn fixtures(name: &str) -> PathBuf {
    root().join("harness/logs/tests/fixtures").join(name)
}

/// Copies a folder of fixtures into the bench, so that nothing is named from the root.
fn bring(bench: &Bench, name: &str) {
    let from = fixtures(name);
    let status = Command::new("cp").arg("-r").arg(from).arg(bench.path("")).status().unwrap();
    assert!(status.success());
}

fn analysis(bench: &Bench, suite: &str) -> Value {
    let text = fs::read_to_string(bench.path("runs/reports").join(suite).join("analysis.json"));
    serde_json::from_str(&text.unwrap()).unwrap()
}

/// Claims of the two arms: by samples, by time, by the clocks that the logs tell, at the end.
fn claims() -> String {
    let one = |id: &str, compare: &str, at_least: &str, more: &str| {
        format!(
            "  - {{ id: {id}, statement: s, paper: {{ number: none, source: ours }}, arm: adam, baseline: sgd, compare: {compare}, at_least: {at_least}{more} }}\n"
        )
    };
    [
        "claims:\n",
        &one("samples", "samples-to-target", "1.5", ""),
        &one("times", "time-to-target", "1.5", ""),
        &one("told", "time-to-target", "1.5", ", unequal: [clock]"),
        &one("end", "validation/score", "0.05", ""),
    ]
    .concat()
}

#[test]
fn a_table_alone_gives_a_page_and_verdicts_on_claims() {
    let bench = Bench::new();
    bench.write("log.csv", &table());
    let options = [&["log.csv"], &GOAL[..], &["--write-suite", "task.yaml"]].concat();
    let told = import(&bench, &options).ends(0);
    assert!(told.stderr.contains("read as csv"), "{}", told.stderr);
    assert!(told.stdout.contains("10 runs of suite run "), "{}", told.stdout);
    bench.run(&["report", "task.yaml"]).ends(0);
    let first = analysis(&bench, "task");
    assert_eq!(first["claims"].as_array().unwrap().len(), 0);

    let suite = fs::read_to_string(bench.path("task.yaml")).unwrap();
    bench.write("task.yaml", &(suite + &claims()));
    let told = import(&bench, &["log.csv", "--suite", "task.yaml", "--json"]).ends(0).json();
    let here = told["runs"].as_array().unwrap().iter().all(|run| run["was_here"] == true);
    assert!(here, "a claim changes no run: {told}");
    bench.run(&["report", "task.yaml"]).ends(0);
    assert!(bench.path("runs/reports/task/index.html").is_file());
    let found = analysis(&bench, "task");
    let claim = |id: &str| {
        let all = found["claims"].as_array().unwrap();
        all.iter().find(|claim| claim["id"] == id).unwrap().clone()
    };
    assert_eq!(claim("samples")["verdict"], "reproduced", "{}", claim("samples"));
    assert_eq!(claim("samples")["n"], 5);
    assert_eq!(claim("end")["verdict"], "reproduced", "{}", claim("end"));
    assert_eq!(claim("times")["verdict"], "inconclusive");
    let reason = claim("times")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("told by imported logs"), "{reason}");
    assert_eq!(claim("told")["verdict"], "reproduced", "{}", claim("told"));
    assert!(claim("told")["notes"][0].as_str().unwrap().contains("told by imported logs"));

    let arms = &found["workloads"][0]["arms"];
    assert_eq!(arms[0]["order_law"], "none (imported)");
    assert_eq!(arms[0]["outcomes"]["reached"], 5);
    assert_eq!(arms[0]["speed_up"], Value::Null);
    let page = fs::read_to_string(bench.path("runs/reports/task/index.html")).unwrap();
    assert!(page.contains("10 of 10 runs are imported from logs"), "no warning");
    assert!(page.contains("none (imported)"), "no mark in the table");
    bench.run(&["claims", "record", "task.yaml"]).ends(0);
    bench.run(&["claims", "check", "task.yaml"]).ends(0);
    // Of a text that was not imported there is nothing to report.
    let text = fs::read_to_string(bench.path("task.yaml")).unwrap();
    bench.write("task.yaml", &text.replace("at_least: 1.5", "at_least: 1.4"));
    let told = bench.run(&["report", "task.yaml"]).ends(2).stderr;
    assert!(told.contains("`palimpsest import LOGS --suite task.yaml` imports it"), "{told}");
    // ln 2 / 0.02 = 34.7 steps of 32 samples, between looks at 20 and 40.
    let samples = arms[0]["samples_to_target"]["geometric_mean"].as_f64().unwrap();
    assert!((1000.0..1200.0).contains(&samples), "{samples}");
}

#[test]
fn an_imported_run_says_so_everywhere_and_attests_nothing() {
    let bench = imported();
    let rows = bench.run(&["list", "runs", "--json"]).ends(0).json();
    assert_eq!(rows.as_array().unwrap().len(), 10);
    assert_eq!((&rows[0]["method"], &rows[0]["this_build"]), (&"imported".into(), &Value::Null));
    assert!(bench.run(&["list", "runs"]).ends(0).stdout.contains("none, imported"));
    let verified = bench.run(&["verify"]).ends(0).stdout;
    assert!(
        verified.contains("10 of 10 runs  unchecked order: the run was imported"),
        "{verified}"
    );
    assert!(verified.contains("unchecked data, metrics and times"), "{verified}");
    bench.run(&["verify", "--complete"]).ends(3);
    let cell = bench.cells()[0].clone();
    let record = bench.store().record(&cell).unwrap();
    assert_eq!(record.data.as_ref().unwrap().origin, "imported");
    assert_eq!(record.order, None);
    assert_eq!(record.settings["reader"], "csv/1");
    assert_eq!(record.facts["files"][0]["name"], "log.csv");

    bench.run(&["keygen", "k.pem"]).ends(0);
    let refused: [&[&str]; 7] = [
        &["prove", &cell, "--step", "0", "--slot", "0"],
        &["sign", &cell, "--key", "k.pem"],
        &["export", &cell, "--to", "in-toto"],
        &["reproduce", &cell],
        &["provenance", "query", "--run", &cell, "--model", &cell],
        &["provenance", "map", &cell],
        &["estimate", "search", &cell, "--last", "4"],
    ];
    for arguments in refused {
        let told = bench.run(arguments).ends(2).stderr;
        assert!(told.contains("was imported from logs"), "{arguments:?}: {told}");
    }
    let other = bench.cells()[1].clone();
    bench.run(&["compare", &cell, &other]).ends(0);
    bench.run(&["compare", "task", "task"]).ends(0);
    // A promise was made by nobody.
    let promised = bench.run(&["verify", &cell, "--head", &"0".repeat(64)]).ends(1);
    assert!(
        promised.stdout.contains("an imported run was promised by nobody"),
        "{}",
        promised.stdout
    );
}

#[test]
fn what_was_changed_in_an_imported_run_does_not_verify_and_is_imported_again() {
    let bench = imported();
    let cell = bench.cells()[0].clone();
    let events = bench.path("runs").join(&cell).join("events.jsonl");
    let text = fs::read_to_string(&events).unwrap();
    fs::write(&events, text.replacen("0.", "0.9", 1)).unwrap();
    bench.run(&["verify", &cell]).ends(1);
    let mend = bench.run(&["mend", &cell]).ends(2).stderr;
    assert!(mend.contains("the same `palimpsest import` writes it again"), "{mend}");
    let told = import(&bench, &[&["log.csv", "--json"], &GOAL[..]].concat()).ends(0).json();
    let new: Vec<&Value> =
        told["runs"].as_array().unwrap().iter().filter(|run| run["was_here"] == false).collect();
    assert_eq!(new.len(), 1);
    assert_eq!(new[0]["run"], cell.as_str());
    bench.run(&["verify"]).ends(0);
}

#[test]
fn an_imported_record_that_says_what_no_import_says_does_not_verify() {
    let bench = imported();
    let cell = bench.cells()[0].clone();
    let path = bench.path("runs").join(&cell).join("record.json");
    let text = fs::read_to_string(&path).unwrap();
    let sample = fs::read_to_string(root().join("fuzz/corpus/record/sample.json")).unwrap();
    let order = serde_json::from_str::<Value>(&sample).unwrap()["order"].clone();
    assert!(order.is_object());
    let digest = Value::from("0".repeat(64));
    let cases = [
        ("/data/origin", Value::from("official"), "data"),
        ("/data/train_root", digest.clone(), "data"),
        ("/facts/files/0/sha256", digest.clone(), "facts.files"),
        ("given_order", digest, "given_order"),
        ("/order", order, "order"),
    ];
    for (place, value, told) in cases {
        let mut record: Value = serde_json::from_str(&text).unwrap();
        match record.pointer(place).is_some() {
            true => *record.pointer_mut(place).unwrap() = value,
            false => record[place] = value,
        }
        fs::write(&path, record.to_string()).unwrap();
        let found = bench.run(&["verify", &cell]).ends(1).stdout;
        assert!(found.contains(&format!("MISMATCH numbers: {told} is not what")), "{found}");
        assert!(!found.contains("commitment index"), "there is no promise to look for: {found}");
    }
}

#[test]
fn the_same_logs_twice_are_the_same_runs_and_one_suite_run() {
    let bench = imported();
    let before = bench.cells();
    let told = import(&bench, &[&["log.csv", "--json"], &GOAL[..]].concat()).ends(0).json();
    assert!(told["runs"].as_array().unwrap().iter().all(|run| run["was_here"] == true));
    assert_eq!(bench.cells(), before);
    let runs = bench.run(&["list", "suite-runs", "--json"]).ends(0).json();
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs}");
}

#[test]
fn logs_of_every_tool_are_imported_with_a_small_mapping() {
    let steps = ["--samples-per-step", "32"];
    let cases: [(&str, &[&str], usize); 5] = [
        ("tensorboardX", &["--metric-from", "val/accuracy", "--names", "{arm}/seed{seed}"], 6),
        ("tensorboard", &["--metric-from", "val/accuracy", "--names", "{arm}/seed{seed}"], 3),
        ("mlflow", &["--metric-from", "val/accuracy", "--arm-from", "optimizer"], 4),
        (
            "lightning",
            &[
                "--metric-from",
                "val_accuracy",
                "--test-from",
                "test_accuracy",
                "--names",
                "{arm}-{seed}/version_{}",
            ],
            6,
        ),
        ("wandb/chart.csv", &["--metric-from", "val/accuracy", "--names", "{arm}-s{seed}"], 6),
    ];
    for (name, mapping, runs) in cases {
        let bench = Bench::new();
        bring(&bench, name);
        let log = name.rsplit('/').next().unwrap();
        let goal = &GOAL[..6];
        let told = import(&bench, &[&[log], goal, mapping, &steps].concat()).ends(0);
        assert!(
            told.stdout.contains(&format!("\n{runs} runs of suite run")),
            "{name}: {}",
            told.stdout
        );
        assert_eq!(bench.cells().len(), runs, "{name}");
        bench.run(&["verify"]).ends(0);
        let report = bench.run(&["report", "task"]).ends(0);
        assert!(report.stdout.contains("report: "), "{name}: {}", report.stdout);
        let found = analysis(&bench, "task");
        let reached = found["workloads"][0]["arms"][0]["outcomes"]["reached"].as_u64().unwrap();
        assert!(reached > 0, "{name}");
        if name == "lightning" {
            let tested = &found["workloads"][0]["arms"][0]["at_budget"]["test/score"];
            assert!(tested.is_object(), "{found}");
            // There is no clock in these logs.
            assert_eq!(found["runs"][0]["train_seconds"], Value::Null);
            assert_eq!(found["workloads"][0]["arms"][0]["time_to_target"]["median"], Value::Null);
            let files = bench.files("runs/reports/task/figures").join(" ");
            assert!(files.contains("by-samples") && !files.contains("by-time"), "{files}");
            let page = fs::read_to_string(bench.path("runs/reports/task/index.html")).unwrap();
            // Its script knows the words, for others.
            let page = page.split("<script").next().unwrap();
            assert!(!page.contains("not reached"), "a log without a clock says nothing of times");
            assert!(bench.run(&["compare", "task", "task"]).ends(0).stdout.contains("no clock"));
        }
    }
}

#[test]
fn arms_that_are_imported_one_by_one_are_one_task() {
    let bench = Bench::new();
    for arm in ["adam", "sgd"] {
        for seed in ["0", "1"] {
            let log = format!("{arm}{seed}.csv");
            bench.write(&log, &format!("samples,score\n0,0.1\n10,0.{seed}4\n20,0.8\n"));
            let whose = ["--arm", arm, "--seed", seed, "--budget", "20"];
            import(&bench, &[&[log.as_str()], &GOAL[..6], &whose].concat()).ends(0);
        }
    }
    bench.run(&["report", "task"]).ends(0);
    let found = analysis(&bench, "task");
    assert_eq!(found["workloads"][0]["arms"].as_array().unwrap().len(), 2);
    assert_eq!(found["runs"].as_array().unwrap().len(), 4);
}

#[test]
fn arms_of_another_budget_are_told_of_and_not_dropped_silently() {
    let bench = Bench::new();
    bench.write("a.csv", "samples,score\n0,0.1\n10,0.6\n20,0.8\n");
    bench.write("b.csv", "samples,score\n0,0.1\n10,0.4\n30,0.8\n");
    let told = |log: &str, arm: &str, more: &[&str]| {
        let whose = ["--arm", arm, "--seed", "0"];
        import(&bench, &[&[log], &GOAL[..6], &whose, more].concat()).ends(0).stderr
    };
    assert!(!told("a.csv", "a", &[]).contains("not in this suite run"));
    let second = told("b.csv", "b", &[]);
    assert!(
        second.contains(
            "not in this suite run: 1 run of another budget or target; give --budget, which was 20 samples"
        ),
        "{second}"
    );
    let again = told("b.csv", "b", &["--budget", "20"]);
    assert!(!again.contains("not in this suite run"), "{again}");
    bench.run(&["report", "task"]).ends(0);
    assert_eq!(analysis(&bench, "task")["runs"].as_array().unwrap().len(), 2);
}

#[test]
fn a_test_value_of_looks_that_are_left_out_is_told() {
    let bench = Bench::new();
    let whose = ["--arm", "a", "--seed", "0", "--test-from", "test"];
    let cases: [(&str, &[&str], &str); 2] = [
        ("10,0.2,\n20,0.6,\n30,0.7,0.65\n", &["--budget", "20"], "it is of the log's end"),
        ("10,0.2,\n20,0.6,nan\n", &[], "it is no finite number"),
    ];
    for (text, more, why) in cases {
        bench.write("log.csv", &format!("samples,score,test\n{text}"));
        let options = [&["log.csv"], &GOAL[..6], &whose, more].concat();
        let told = import(&bench, &options).ends(0).stderr;
        assert!(told.contains("the value of score on the test split, "), "{told}");
        assert!(told.contains(&format!("is left out: {why}")), "{told}");
    }
}

#[test]
fn a_suite_of_imported_arms_plans_its_seeds_and_misses_what_has_no_log() {
    let bench = imported();
    let suite = "suite: asked\nquestion: q\nworkloads: [{ workload: external, as: task, metric: score, direction: higher, samples: 6400, target: { value: 0.5, origin: o } }]\nseeds: 6\nbaseline: sgd\narms: [{ imported: adam }, { imported: sgd }]\n";
    bench.write("asked.yaml", &(suite.to_owned() + &claims()));
    import(&bench, &["log.csv", "--suite", "asked.yaml"]).ends(0);
    bench.run(&["report", "asked.yaml"]).ends(0);
    let found = analysis(&bench, "asked");
    let warnings = found["warnings"].to_string();
    assert!(warnings.contains("2 of 12 cells have no log here"), "{warnings}");
    assert!(warnings.contains("palimpsest import FILES --suite asked.yaml"), "{warnings}");
    assert_eq!(found["claims"][0]["verdict"], "inconclusive");
    assert!(
        found["claims"][0]["reason"].as_str().unwrap().contains("1 of 6 runs of adam have not run")
    );

    // Nothing here can train them.
    for verb in ["run", "plan", "commit"] {
        let told = bench.run(&[verb, "asked.yaml"]).ends(2).stderr;
        assert!(told.contains("palimpsest import LOGS --suite asked.yaml"), "{verb}: {told}");
    }
    let refused = |change: &dyn Fn(&str) -> String, wanted: &str| {
        bench.write("wrong.yaml", &change(suite));
        let told = import(&bench, &["log.csv", "--suite", "wrong.yaml"]).ends(2).stderr;
        assert!(told.contains(wanted), "{told}");
    };
    refused(
        &|text| text.replace("{ imported: sgd }", "{ method: sgd, as: sgd }"),
        "beside imported arms all are imported",
    );
    refused(
        &|text| text.replace("{ imported: sgd }", "{ imported: sgd, with: { lr: 1 } }"),
        "nothing would read it",
    );
    refused(
        &|text| text.replace("{ imported: sgd }", "{ imported: sgd, as: x }"),
        "it has no `method`",
    );
    refused(
        &|text| text.replace("seeds: 6", "seeds: 4"),
        "seed 4 of arm \"adam\" is none of the suite's",
    );
    refused(
        &|text| text.replace("imported: adam", "imported: adamw"),
        "arm \"adam\" is none of the suite's on task; did you mean \"adamw\"?",
    );
    refused(
        &|text| text.replace("seeds: 6", "seeds: 6\nsettings: { lr: 1 }"),
        "settings: imported arms have run already",
    );
    refused(
        &|text| text.replace("workload: external, as: task", "workload: digits-mlp, as: task"),
        "`metric`, `direction`",
    );
    bench.write("wrong.yaml", TINY);
    let told = import(&bench, &["log.csv", "--suite", "wrong.yaml"]).ends(2).stderr;
    assert!(told.contains("`imported: NAME`"), "{told}");
}

#[test]
fn runs_that_diverged_ended_early_or_went_on_are_told_as_such() {
    let bench = Bench::new();
    let logs = [
        ("a/seed0.csv", "samples,score\n10,0.2\n20,nan\n30,0.9\n", "diverged"),
        ("a/seed1.csv", "samples,score\n10,0.2\n20,0.3\n30,0.4\n", "censored"),
        ("a/seed2.csv", "samples,score\n10,0.2\n20,0.6\n40,0.9\n", "reached"),
    ];
    for (name, text, _) in logs {
        bench.write(&format!("logs/{name}"), text);
    }
    let more = ["--names", "{arm}/seed{seed}", "--budget", "30"];
    let told = import(&bench, &[&["logs"], &GOAL[..6], &more].concat()).ends(0);
    for (name, _, status) in logs {
        let row = told.stdout.lines().find(|row| row.contains(name)).unwrap();
        assert!(row.contains(status), "{row}");
    }
    assert!(told.stderr.contains("score at 3 is no finite number"), "{}", told.stderr);
    assert!(told.stderr.contains("1 looks past the budget of 30 samples"), "{}", told.stderr);
    bench.run(&["report", "task"]).ends(0);
    let counted = &analysis(&bench, "task")["workloads"][0]["arms"][0]["outcomes"];
    assert_eq!(
        (&counted["diverged"], &counted["censored"], &counted["reached"]),
        (&1.into(), &1.into(), &1.into())
    );
}

#[test]
fn everything_that_can_be_wrong_is_told_with_file_line_value_and_remedy() {
    let bench = Bench::new();
    let whose = ["--arm", "a", "--seed", "0"];
    let good = "samples,seconds,score\n10,1,0.2\n20,2,0.6\n";
    let cases: [(&str, &[&str], &str); 14] = [
        (
            "samples,loss\n1,2\n",
            &whose,
            "log.csv: there is no column \"score\"; name one by --metric-from: samples, loss",
        ),
        (
            "samples,score\n1,high\n",
            &whose,
            "log.csv:2: \"score\" has \"high\", which is no number",
        ),
        (
            "samples,score\n20,1\n10,1\n",
            &whose,
            "log.csv:3: samples 10 after 20: they go backwards",
        ),
        (
            "samples,seconds,score\n10,2,1\n20,1,1\n",
            &whose,
            "log.csv:3: the clock stands at 1 s after 2 s",
        ),
        ("samples,score,score\n1,1,1\n", &whose, "column \"score\" stands there twice"),
        ("", &whose, "log.csv: it is empty"),
        ("samples,score\n1\n", &whose, "log.csv:2: the row has 1 cells"),
        ("step,score\n1,2\n", &whose, "it counts steps, not samples; give --samples-per-step"),
        (good, &["--arm", "a"], "nothing says its seed; give --seed"),
        (good, &["--seed", "1"], "nothing says its arm; give --arm"),
        (good, &["--arm", "a", "--names", "{arm}/seed{seed}"], "fits the pattern of --names"),
        (
            good,
            &["--arm", "a", "--seed", "0", "--samples-per-step", "2"],
            "it counts samples itself",
        ),
        (good, &["--arm", "a", "--seed", "0", "--budget", "5"], "within the budget of 5 samples"),
        (good, &["--arm", "a\u{1b}[2J", "--seed", "0"], "is no name of an arm"),
    ];
    for (text, arguments, wanted) in cases {
        bench.write("log.csv", text);
        let told = import(&bench, &[&["log.csv"], &GOAL[..6], arguments].concat()).ends(2).stderr;
        assert!(told.contains(wanted), "{wanted}\n{told}");
        assert!(!told.contains('\u{1b}'), "{told:?}");
    }
    assert!(bench.cells().is_empty(), "what is wrong leaves nothing");
    // Two logs of one arm and seed.
    bench.write("log.csv", good);
    bench.write("other.csv", good);
    let twice = import(&bench, &[&["log.csv", "other.csv"], &GOAL[..6], &whose].concat()).ends(2);
    assert!(
        twice.stderr.contains("arm \"a\" has two runs of seed 0: of log.csv and other.csv"),
        "{}",
        twice.stderr
    );
    // An option that nothing reads, or that a suite says.
    let both = import(&bench, &["log.csv", "--suite", "x.yaml", "--metric", "m"]).ends(2);
    assert!(both.stderr.contains("--metric"), "{}", both.stderr);
    let none = import(&bench, &["log.csv"]).ends(2);
    assert!(none.stderr.contains("--workload"), "{}", none.stderr);
    let missing = import(&bench, &[&["no.csv"], &GOAL[..6], &whose].concat()).ends(2);
    assert!(missing.stderr.contains("no.csv: it cannot be read"), "{}", missing.stderr);
    // The store's own suites stay as they are.
    let suite =
        import(&bench, &[&["log.csv"], &GOAL[..6], &whose, &["--write-suite", "log.csv"]].concat());
    assert!(suite.ends(2).stderr.contains("--write-suite names a file that is new"));
}

#[test]
fn names_of_strangers_are_not_printed_raw_and_no_path_from_the_root_is_kept() {
    let bench = Bench::new();
    let name = "evil\u{1b}[31m.csv";
    bench.write(name, "samples,score\n10,0.2\n20,0.6\n30,0.7\n");
    let path = bench.path(name);
    let whose = ["--arm", "a", "--seed", "0", "--store", "runs"];
    let told = import(&bench, &[&[path.to_str().unwrap()], &GOAL[..6], &whose].concat()).ends(0);
    assert!(!told.stdout.contains('\u{1b}') && !told.stderr.contains('\u{1b}'), "{told:?}");
    assert!(told.stdout.contains("evil\\u{1b}[31m.csv"), "{}", told.stdout);
    let place = bench.path("").display().to_string();
    for file in bench.files("runs") {
        let text = fs::read(bench.path("runs").join(&file)).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(place.trim_end_matches('/')), "{file}: {text}");
    }
    // A copy is no second run.
    bench.write("b.csv", "samples,score\n10,0.2\n20,0.6\n30,0.7\n");
    bench.write("c.csv", "samples,score\n10,0.2\n20,0.6\n30,0.7\n");
    let more = ["--names", "{arm}", "--seed", "3"];
    let told = import(&bench, &[&["b.csv", "c.csv"], &GOAL[..6], &more].concat()).ends(0);
    assert!(told.stderr.contains("is one a copy of the other?"), "{}", told.stderr);
}

/// Git in the bench's folder, as its own repository.
fn git(bench: &Bench, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
    let mut command = Command::new("git");
    command.current_dir(bench.path("")).args(identity).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn results_of_other_benchmarks_have_a_history_in_which_a_step_is_found() {
    let bench = Bench::new();
    git(&bench, &["init", "--quiet", "--initial-branch=main"]);
    for place in 0..16 {
        git(&bench, &["commit", "--quiet", "--allow-empty", "-m", "one"]);
        let value = if place < 8 { 100.0 } else { 110.0 } + f64::from(place * 7 % 5) / 10.0;
        let text =
            format!(r#"{{"parse": {{"latency": {{"value": {value}}}, "rows": {{"value": 3}}}}}}"#);
        bench.write("bmf.json", &text);
        let record = [
            "regress", "record", "parser", "--from", "bmf.json", "--commit", "HEAD", "--higher",
            "rows",
        ];
        let told = bench.run(&record).ends(0);
        assert!(told.stdout.contains("2 measurements of bmf recorded"), "{}", told.stdout);
    }
    let found = bench.run(&["regress", "history", "parser"]).ends(1);
    assert!(found.stdout.contains("parse/latency (ns)"), "{}", found.stdout);
    assert!(found.stdout.contains("regressed in "), "{}", found.stdout);
}

#[test]
fn results_that_do_not_fit_a_history_are_refused() {
    let bench = Bench::new();
    git(&bench, &["init", "--quiet", "--initial-branch=main"]);
    git(&bench, &["commit", "--quiet", "--allow-empty", "-m", "one"]);
    bring(&bench, "results");
    let record = |name: &str, more: &[&str]| {
        bench.run(&[&["regress", "record", name, "--commit", "HEAD"], more].concat())
    };
    let told = record("b", &["--from", "results/pytest-benchmark.json"]).ends(2).stderr;
    assert!(told.contains("was measured on a processor, and this is"), "{told}");
    let told = record("b", &["--from", "results/asv.json"]).ends(2).stderr;
    assert!(told.contains("was measured on a processor"), "{told}");
    // What does not say where it was measured is taken at its word.
    let text = fs::read_to_string(bench.path("results/pytest-benchmark.json")).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    file["machine_info"]["cpu"] = Value::Null;
    bench.write("p.json", &file.to_string());
    let told = record("b", &["--from", "p.json"]).ends(0).stdout;
    assert!(told.contains("2 measurements of pytest-benchmark"), "{told}");
    file["commit_info"]["dirty"] = true.into();
    bench.write("p.json", &file.to_string());
    assert!(record("c", &["--from", "p.json"]).ends(2).stderr.contains("--allow-dirty"));
    assert!(
        record("digits", &["--from", "results/bmf.json"]).ends(2).stderr.contains("is a suite")
    );
    assert!(
        record("a/b", &["--from", "results/bmf.json"])
            .ends(2)
            .stderr
            .contains("no name of a history")
    );
    let told = record("b", &["--from", "results/bmf.json", "--lower", "latency"]).ends(2).stderr;
    assert!(told.contains("no measurement \"latency\" whose direction is open"), "{told}");
    bench.write("y.json", "{\"a\": {\"m\": {\"value\": 1}}}");
    let both = ["--from", "y.json", "--lower", "m", "--higher", "a/m"];
    let told = record("b", &both).ends(2).stderr;
    assert!(told.contains("a/m: --lower and --higher both name it"), "{told}");
    let large = fs::File::create(bench.path("large.json")).unwrap();
    large.set_len((256 << 20) + 1).unwrap();
    let told = record("b", &["--from", "large.json"]).ends(2).stderr;
    assert!(told.contains("large.json has more than 256 MiB"), "{told}");
    bench.write("x.json", "{\"a\": {\"m\": {\"value\": null}}}");
    assert!(
        record("b", &["--from", "x.json"])
            .ends(2)
            .stderr
            .contains("no benchmark in it has a value")
    );
    let log = import(&bench, &[&["results/bmf.json"], &GOAL[..6]].concat()).ends(2).stderr;
    assert!(log.contains("regress record NAME --from FILE"), "{log}");
}

#[test]
fn imported_runs_have_a_history_without_their_times() {
    let bench = imported();
    git(&bench, &["init", "--quiet", "--initial-branch=main"]);
    git(&bench, &["commit", "--quiet", "--allow-empty", "-m", "one"]);
    let told = bench.run(&["regress", "record", "task", "--commit", "HEAD"]).ends(0);
    assert!(told.stdout.contains("metrics recorded"), "{}", told.stdout);
    assert!(told.stderr.contains("time-to-target"), "{}", told.stderr);
    bench.run(&["regress", "history", "task"]).ends(3);
}
