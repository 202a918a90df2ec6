//! Scripts that run by themselves and leave runs by `palimpsest record`: whole ones, and those that end in
//! every other way.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use analysis::suite_run::SuiteRun;
use ledger::order::uniform_order;
use ledger::record::{RunRecord, Status};
use ledger::seed::Seed;
use serde_json::{Value, json};

use crate::support::{Bench, Output, output, root};

/// A script by hand: the other end of the pipes of `palimpsest record`.
struct Script {
    recorder: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

const OPTIONS: &[(&str, &str)] = &[
    ("--workload", "mine"),
    ("--metric", "score"),
    ("--target", "0.5"),
    ("--examples", "30"),
    ("--samples", "60"),
    ("--evaluate-every", "20"),
    ("--settings", r#"{"lr":0.1}"#),
];

/// The options of a recorder: the usual ones, where `more` does not say otherwise.
fn options<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let usual = OPTIONS.iter().filter(|(name, _)| !more.contains(name));
    let usual = usual.flat_map(|(name, value)| [*name, *value]);
    let rest = ["--file", "train.sh"].into_iter().chain(more.iter().copied());
    ["record"].into_iter().chain(usual).chain(rest).collect()
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("train.sh", "echo trains\n");
    bench
}

impl Script {
    fn start(bench: &Bench, more: &[&str]) -> Self {
        let arguments = [&options(more)[..], &["--", "sh", "train.sh", "{x}"]].concat();
        let mut command = bench.command(&arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut recorder = command.spawn().unwrap();
        let input = recorder.stdin.take().unwrap();
        let output = BufReader::new(recorder.stdout.take().unwrap());
        Self { recorder, input, output }
    }

    fn say(&mut self, message: &Value) {
        let _ = self.input.write_all(format!("{message}\n").as_bytes());
    }

    /// The next message; none where the recorder is gone.
    fn hear(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    fn hello(&mut self) -> Value {
        self.say(&json!({ "hello": { "protocol": 1, "takes": ["lr"] } }));
        self.hear().unwrap()
    }

    /// Answers all that is asked, with scores that grow to 0.6; messages by their kind.
    fn honest(mut self) -> (Vec<(String, Value)>, Output) {
        let mut heard = Vec::new();
        self.say(&json!({ "hello": { "protocol": 1, "takes": ["lr"] } }));
        let mut samples = 0;
        while let Some(message) = self.hear() {
            let (kind, content) = message.as_object().unwrap().iter().next().unwrap();
            match kind.as_str() {
                "begin" => self.say(&json!({ "ready": {} })),
                "metrics" => {
                    self.say(&json!({ "metrics": { "score": f64::from(samples) / 100.0 } }))
                }
                "train" => {
                    let size =
                        content["until"].as_u64().unwrap() - content["from"].as_u64().unwrap();
                    samples += u32::try_from(size).unwrap();
                    self.say(&json!({ "consumed": { "steps": [[size, 1]] } }));
                }
                "facts" => self.say(&json!({ "facts": {} })),
                "end" => self.say(&json!({ "bye": {} })),
                _ => {}
            }
            heard.push((kind.clone(), content.clone()));
        }
        (heard, self.ends())
    }

    /// How the recorder ends, once the script has let go of it.
    fn ends(self) -> Output {
        let Self { recorder, input, output } = self;
        drop((input, output));
        let ended = recorder.wait_with_output().unwrap();
        Output {
            code: ended.status.code(),
            stdout: String::new(),
            stderr: String::from_utf8(ended.stderr).unwrap(),
        }
    }
}

/// Arm and seed of every cell of the suite run that stands for what scripts have recorded.
fn standing(bench: &Bench) -> Vec<(String, String)> {
    let run = SuiteRun::load(&bench.store(), "mine").unwrap();
    let cell =
        |cell: &analysis::suite_run::RunCell| (run.arms[cell.arm].label.clone(), cell.seed.clone());
    run.cells.iter().map(cell).collect()
}

/// The same where all are of one arm.
fn seeds(bench: &Bench) -> Vec<String> {
    let cells = standing(bench);
    assert!(cells.iter().all(|(arm, _)| *arm == cells[0].0), "{cells:?}");
    cells.into_iter().map(|(_, seed)| seed).collect()
}

fn only(bench: &Bench) -> RunRecord {
    let mut records = bench.records();
    assert_eq!(records.len(), 1);
    records.remove(0)
}

#[test]
fn a_script_leaves_a_run_that_holds_and_is_told() {
    let bench = bench();
    let (heard, ended) = Script::start(&bench, &[]).honest();
    assert_eq!(ended.ends(0).stderr, "");
    let kinds: Vec<&str> = heard.iter().map(|(kind, _)| kind.as_str()).collect();
    let expected = [
        "begin", "metrics", "train", "metrics", "train", "train", "metrics", "train", "metrics",
        "facts", "end", "recorded",
    ];
    assert_eq!(kinds, expected);
    let record = only(&bench);
    let (_, recorded) = heard.last().unwrap();
    assert_eq!(
        (recorded["run"].as_str(), recorded["status"].as_str()),
        (Some(&*record.cell), Some("reached"))
    );
    assert_eq!(
        (record.status, record.samples, record.workload_name().as_str()),
        (Status::Reached, 60, "mine")
    );
    let told = record.external.as_ref().unwrap();
    assert_eq!(told.arm.command, ["sh", "train.sh", "{{x}}"]);
    assert_eq!(told.arm.files[0].name, "train.sh");
    // The process that has started the recorder: this one.
    assert!(told.cpu_seconds.unwrap() >= 0.0);
    assert!(told.peak_memory_bytes.unwrap() > 1 << 20);
    assert_eq!(record.environment.cpu_share, None);
    assert_eq!(record.settings["lr"], 0.1);
    let order = record.order.as_ref().unwrap();
    let effective = Seed::from_integer(0).effective(&order.dataset_root);
    let ids = fs::read(bench.store().folder(&record.cell).join("order.bin")).unwrap();
    let first: Vec<u8> =
        uniform_order(&effective, 0, 30).iter().flat_map(|id| id.to_le_bytes()).collect();
    assert!(ids.starts_with(&first));
    bench.run(&["verify", &record.cell]).ends(0);
    let complete = bench.run(&["verify", &record.cell, "--complete"]).ends(3).stdout;
    assert!(complete.contains("told the metrics"), "{complete}");
    assert_eq!(bench.files("runs/.tmp"), [] as [String; 0]);
}

#[test]
fn what_scripts_record_of_one_task_is_listed_compared_and_reported_together() {
    let bench = bench();
    for more in [
        &["--seed", "0"][..],
        &["--seed", "1"],
        &["--seed", "1", "--arm", "other", "--settings", "{\"lr\":0.2}"],
    ] {
        Script::start(&bench, more).honest().1.ends(0);
    }
    let cells = bench.cells();
    assert_eq!(cells.len(), 3);
    let listed = bench.run(&["list", "runs", "--json"]).ends(0).json();
    let mut arms: Vec<&str> =
        listed.as_array().unwrap().iter().map(|run| run["arm"].as_str().unwrap()).collect();
    arms.sort_unstable();
    assert_eq!(arms, ["other", "train[lr=0.1]", "train[lr=0.1]"]);
    let with_rate = |rate: f64| {
        let record = |cell: &String| bench.store().record(cell).unwrap();
        let mut each = cells.iter().map(record);
        each.find(|run| run.seed == "1" && run.settings["lr"] == rate).unwrap().cell
    };
    let compared = bench.run(&["compare", &with_rate(0.1), &with_rate(0.2)]).ends(0).stdout;
    assert!(compared.contains("settings.lr"), "{compared}");
    let arms = bench.run(&["compare", "mine", "mine"]).ends(0).stdout;
    assert!(arms.contains("metric A") && arms.contains("0.6000 (validation)"), "{arms}");
    // What holds all of an earlier one takes its place.
    assert_eq!(bench.files("runs/suites/mine").len(), 1);
    bench.run(&["report", "mine"]).ends(0);
    let page = fs::read_to_string(bench.path("runs/reports/mine/index.html")).unwrap();
    for text in ["other", "train[lr=0.1]", "3 cells", "are told, not measured"] {
        assert!(page.contains(text), "{text}");
    }
    bench.run(&["verify"]).ends(0);
    // The same run is not replaced unasked.
    let before = fs::read(bench.store().folder(&cells[0]).join("record.json")).unwrap();
    let mut again = Script::start(&bench, &["--seed", "1"]);
    let said = again.hello();
    let reason = said["error"]["reason"].as_str().unwrap();
    assert!(reason.contains("already: the same script, settings and seed"), "{reason}");
    assert!(again.ends().ends(2).stderr.contains("--again"));
    assert_eq!(fs::read(bench.store().folder(&cells[0]).join("record.json")).unwrap(), before);
    Script::start(&bench, &["--seed", "1", "--again"]).honest().1.ends(0);
    assert_eq!(bench.cells(), cells);
    assert_eq!(standing(&bench).len(), 3);
}

#[test]
fn scripts_that_overlap_are_all_in_one_report() {
    let bench = bench();
    let first = Script::start(&bench, &["--seed", "0"]);
    // Suite runs know whole seconds: the first has started in an earlier one, and ends last.
    std::thread::sleep(Duration::from_millis(1_100));
    Script::start(&bench, &["--seed", "1"]).honest().1.ends(0);
    first.honest().1.ends(0);
    assert_eq!(seeds(&bench), ["0", "1"]);
    std::thread::scope(|scope| {
        for seed in ["2", "3", "4", "5"] {
            let bench = &bench;
            scope.spawn(move || Script::start(bench, &["--seed", seed]).honest().1.ends(0));
        }
    });
    assert_eq!(seeds(&bench), ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(bench.files("runs/suites/mine").len(), 1);
}

#[test]
fn runs_on_other_data_grids_or_programs_are_nobodys_partners() {
    let bench = bench();
    let record = |more: &[&str]| {
        Script::start(&bench, more).honest().1.ends(0);
        seeds(&bench)
    };
    assert_eq!(record(&["--seed", "0"]), ["0"]);
    assert_eq!(record(&["--seed", "1", "--data", "other"]), ["1"]);
    assert_eq!(record(&["--seed", "2", "--evaluate-every", "30"]), ["2"]);
    assert_eq!(record(&["--seed", "3"]), ["0", "3"]);
    // Under one label, with the same settings.
    bench.write("train.sh", "echo trains otherwise\n");
    assert_eq!(record(&["--seed", "4"]), ["4"]);
    assert_eq!(record(&["--seed", "5"]), ["4", "5"]);
    bench.write("train.sh", "echo trains\n");
    assert_eq!(record(&["--seed", "6"]), ["0", "3", "6"]);
}

#[test]
fn a_run_that_a_newer_program_has_recorded_is_not_replaced() {
    let bench = bench();
    Script::start(&bench, &[]).honest().1.ends(0);
    let path = bench.store().folder(&only(&bench).cell).join("record.json");
    let mut newer: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    newer["version"] = 9_999.into();
    fs::write(&path, newer.to_string()).unwrap();
    let mut again = Script::start(&bench, &["--again"]);
    let said = again.hello();
    let reason = said["error"]["reason"].as_str().unwrap();
    assert!(reason.contains("has record version 9999"), "{reason}");
    again.ends().ends(2);
    assert_eq!(fs::read_to_string(&path).unwrap(), newer.to_string());
}

#[test]
fn a_script_that_dies_gives_up_or_lies_is_a_failed_run_that_says_so() {
    let ask = |script: &mut Script, message: Value| {
        script.say(&message);
        script.hear()
    };
    type Way<'a> = (&'a str, &'a dyn Fn(&mut Script), &'a str);
    let ways: [Way<'_>; 6] = [
        ("0", &|script| drop(script.hello()), "the script ended, or let go of palimpsest record"),
        (
            "1",
            &|script| {
                script.hello();
                ask(script, json!({ "ready": {} }));
                script.say(&json!({ "error": { "reason": "KeyboardInterrupt" } }));
            },
            "it gave up: KeyboardInterrupt",
        ),
        (
            "2",
            &|script| {
                script.hello();
                ask(script, json!({ "ready": {} }));
                ask(script, json!({ "metrics": { "loss": 1 } }));
            },
            "it told the metric \"loss\"",
        ),
        (
            "3",
            &|script| {
                script.hello();
                let _ = script.input.write_all(b"{\"ready\":{}}\n{\"metrics\":{}}\n");
                while script.hear().is_some() {}
            },
            "spoke before it was asked|more than one message",
        ),
        (
            "4",
            &|script| {
                script.hello();
                let _ = script.input.write_all(b"GET / HTTP/1.1\n");
                script.hear();
            },
            "which is no message of the protocol",
        ),
        (
            "5",
            &|script| {
                script.hello();
                // Half a message, and the end.
                let _ = script.input.write_all(b"{\"rea");
            },
            "the script ended, or let go of palimpsest record",
        ),
    ];
    let bench = bench();
    for (seed, way, told) in ways {
        let mut script = Script::start(&bench, &["--seed", seed]);
        way(&mut script);
        script.ends().ends(4);
        let record = bench.record("external", seed.parse().unwrap());
        let error = record.error.as_deref().unwrap();
        assert!(told.split('|').any(|told| error.contains(told)), "{seed}: {error}");
        assert_eq!(record.status, Status::Failed);
    }
    assert_eq!(bench.files("runs/.tmp"), [] as [String; 0]);
    bench.run(&["verify"]).ends(0);
    // A failed run is tried again, unasked.
    Script::start(&bench, &["--seed", "0"]).honest().1.ends(0);
    assert_eq!(bench.record("external", 0).status, Status::Reached);
}

#[test]
fn a_good_run_stays_where_another_attempt_fails() {
    let bench = bench();
    Script::start(&bench, &[]).honest().1.ends(0);
    let good = only(&bench);
    let mut again = Script::start(&bench, &["--again"]);
    again.hello();
    again.say(&json!({ "ready": {} }));
    again.hear();
    again.say(&json!({ "error": { "reason": "KeyboardInterrupt" } }));
    let told = std::iter::from_fn(|| again.hear()).last().unwrap();
    assert_eq!(told["recorded"]["status"], "failed");
    let error = told["recorded"]["error"].as_str().unwrap();
    assert!(error.contains("KeyboardInterrupt; the run that was here is kept"), "{error}");
    again.ends().ends(4);
    assert_eq!(only(&bench), good);
    assert_eq!(bench.files("runs/.tmp"), [] as [String; 0]);
    bench.run(&["verify"]).ends(0);
}

#[test]
fn a_recorder_that_is_killed_leaves_no_half_a_run() {
    let bench = bench();
    let mut script = Script::start(&bench, &[]);
    script.hello();
    script.say(&json!({ "ready": {} }));
    script.hear();
    script.recorder.kill().unwrap();
    script.recorder.wait().unwrap();
    assert_eq!(bench.cells(), [] as [String; 0]);
    let (_, ended) = Script::start(&bench, &[]).honest();
    ended.ends(0);
    assert_eq!(bench.files("runs/.tmp"), [] as [String; 0]);
    // The promise of the run that was killed stands in the store's index.
    let cell = only(&bench).cell;
    let index = fs::read_to_string(bench.path("runs/commitments.jsonl")).unwrap();
    assert_eq!(index.lines().filter(|line| line.contains(&cell)).count(), 2, "{index}");
    bench.run(&["verify"]).ends(0);
}

#[test]
fn a_script_that_is_gone_is_missed_though_what_it_started_holds_the_pipes() {
    let bench = bench();
    let options: Vec<String> = options(&[]).iter().map(|option| format!("'{option}'")).collect();
    // A shell that starts the recorder and ends, while another process keeps its end of the pipe open.
    let text = format!(
        "mkfifo in out\nexec 3<>in\nsleep 60 3>&3 &\necho \"$!\" >sleeper\n{} {} -- sh train.sh <in >out 2>err &\nexec 4<out\necho '{{\"hello\":{{\"protocol\":1,\"takes\":[\"lr\"]}}}}' >&3\nread line <&4\n",
        env!("CARGO_BIN_EXE_palimpsest"),
        options.join(" ")
    );
    bench.write("starts.sh", &text);
    let mut command = bench.prepared("sh", &["starts.sh"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    let failed = (0..3_000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        !bench.cells().is_empty()
    });
    let sleeper = fs::read_to_string(bench.path("sleeper")).unwrap();
    assert!(Command::new("kill").arg(sleeper.trim()).status().unwrap().success());
    assert!(failed, "{}", fs::read_to_string(bench.path("err")).unwrap());
    let error = only(&bench).error.unwrap();
    assert!(error.contains("the script ended"), "{error}");
}

#[test]
fn what_cannot_be_recorded_is_refused_to_the_script_and_on_standard_error() {
    let bench = bench();
    let refused = |more: &[&str]| {
        let mut script = Script::start(&bench, more);
        let said = script.hello();
        let reason = said["error"]["reason"].as_str().unwrap().to_owned();
        let shown = script.ends().ends(2).stderr;
        assert!(shown.contains(reason.split(": ").next().unwrap()), "{reason} {shown}");
        reason
    };
    assert!(refused(&["--evaluate-every", "90"]).contains("at most the budget of 60"));
    assert!(refused(&["--file", "model.py"]).contains("model.py, one of its `files`"));
    assert!(refused(&["--folder", "elsewhere"]).contains("train.sh, one of its `files`"));
    assert_eq!(bench.cells(), [] as [String; 0]);
    // A store that is no folder.
    bench.write("file", "");
    assert!(refused(&["--store", "file"]).contains("file"));
    let unknown = bench.run(&["record", "--workload", "x"]).ends(2).stderr;
    assert!(unknown.contains("--metric"), "{unknown}");
}

/// The script of the repository, by the package.
#[test]
fn the_example_records_itself() {
    let bench = Bench::new();
    for file in ["own_data.py", "recorded.py"] {
        let text = fs::read_to_string(root().join("examples/external").join(file)).unwrap();
        bench.write(file, &text);
    }
    // It looks for the program on PATH.
    let program = bench.path("bin/palimpsest");
    bench.write(
        "bin/palimpsest",
        &format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_palimpsest")),
    );
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let recorded = |more: &[&str]| {
        let mut command: Command = bench.prepared("python3", &[&["recorded.py"], more].concat());
        command
            .env("PYTHONPATH", root().join("python/src"))
            .env("PATH", format!("{}:{path}", bench.path("bin").display()));
        output(command)
    };
    let first = recorded(&[]).ends(0).stdout;
    assert!(first.contains("`palimpsest verify"), "{first}");
    recorded(&["--seed", "1", "--lr", "0.1"]).ends(0);
    let again = recorded(&[]);
    assert_eq!(again.code, Some(1));
    assert!(
        again.stderr.contains("in runs already: the same script, settings and seed"),
        "{}",
        again.stderr
    );
    let records = bench.records();
    assert_eq!(records.len(), 2);
    for record in &records {
        assert!(record.last["validation/accuracy"] > 0.5 && record.samples == 8_000);
        let names: Vec<&str> = record
            .external
            .as_ref()
            .unwrap()
            .arm
            .files
            .iter()
            .map(|file| file.name.as_str())
            .collect();
        assert_eq!(names, ["recorded.py", "own_data.py"]);
    }
    bench.run(&["verify"]).ends(0);
    bench.run(&["report", "ring"]).ends(0);
}
