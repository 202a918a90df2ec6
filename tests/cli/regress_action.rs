//! The composite action as a pull request meets it: its own steps, on a real repository.
//!
//! GitHub is stood in for: inputs, contexts and outputs are filled in as its runner does, the actions
//! of others are passed over, and `gh` keeps one comment in a file. Builds are scripts with simulated
//! clocks, so that what is injected is known.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use super::regress::{OTHER_ORDER, SLOW, SUITE, script};
use super::regress_trees::{self, TRAIN, changed, pinned, project};
use crate::support::{Bench, output, root};

/// Leaves the checkout's script as both programs, where a build with cargo would leave its own.
const BUILD: &str = "\
mkdir -p \"$CARGO_TARGET_DIR/release\"
for name in palimpsest palimpsest-engine; do cp program \"$CARGO_TARGET_DIR/release/$name\"; done
";

/// Keeps one comment, and what it was asked, in `$GH_STATE`.
const GH: &str = r#"#!/usr/bin/env bash
set -euo pipefail
echo "$*" >>"$GH_STATE/calls"
if [ -e "$GH_STATE/forbidden" ]; then echo "HTTP 403: not accessible by integration" >&2; exit 1; fi
case "$*" in
    *--paginate*) if [ -e "$GH_STATE/comment" ]; then echo 41; fi ;;
    *) for argument; do
        case $argument in body=@*) cp "${argument#body=@}" "$GH_STATE/comment" ;; esac
    done ;;
esac
"#;

/// What one job of the action left.
struct Job {
    code: i32,
    log: String,
    summary: String,
}

/// A repository with a suite and a program on `main`, and a pull request to it.
struct Forge {
    bench: Bench,
}

impl Forge {
    fn new() -> Self {
        let forge = Self { bench: Bench::new() };
        forge.program("pass");
        forge.begun(&[("gated.yaml", SUITE), ("build.sh", BUILD)])
    }

    /// A repository whose training is its own.
    fn of_project() -> Self {
        let forge = Self { bench: Bench::new() };
        forge.begun(&[("bench.yaml", regress_trees::SUITE), ("train.py", TRAIN)])
    }

    fn begun(self, files: &[(&str, &str)]) -> Self {
        let forge = self;
        for (name, text) in files {
            forge.bench.write(&format!("repository/{name}"), text);
        }
        forge.bench.write("repository/.gitignore", "/target\n/regress-out\n");
        forge.git(&["init", "--quiet", "--initial-branch=main"]);
        forge.commit();
        let gh = forge.bench.write("tools/gh", GH);
        fs::set_permissions(gh, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(forge.bench.path("state")).unwrap();
        forge
    }

    /// A program with this fault in the work tree.
    fn program(&self, fault: &str) {
        let path =
            self.bench.write("repository/program", &script(&self.bench, "{sys.argv[0]}", fault));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
        let mut git = Command::new("git");
        git.current_dir(self.bench.path("repository")).args(identity).args(arguments);
        output(git).ends(0);
    }

    /// The commit of a revision.
    fn at(&self, revision: &str) -> String {
        let mut git = Command::new("git");
        git.current_dir(self.bench.path("repository")).args(["rev-parse", revision]);
        output(git).ends(0).stdout.trim().to_owned()
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "one"]);
    }

    /// A branch off `main` whose program has this fault.
    fn pull_request(&self, name: &str, fault: &str) {
        self.git(&["checkout", "--quiet", "-b", name, "main"]);
        self.program(fault);
        self.commit();
    }

    /// The comment on the pull request.
    fn comment(&self) -> Option<String> {
        fs::read_to_string(self.bench.path("state/comment")).ok()
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.bench.path("state/calls")).unwrap_or_default()
    }

    /// The `run` steps of `action.yml`, one after the other, in the environment that a runner gives.
    fn act(&self, inputs: &[(&str, &str)]) -> Job {
        let action = yaml("action.yml");
        let mut contexts = BTreeMap::from(
            [
                ("github.token", "secret"),
                ("github.event_name", "pull_request"),
                ("github.repository", "lab/bench"),
                ("github.event.pull_request.number", "7"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        for (name, input) in action["inputs"].as_object().unwrap() {
            let default = filled(input["default"].as_str().unwrap_or(""), &contexts);
            contexts.insert(format!("inputs.{name}"), default);
        }
        for (name, value) in inputs {
            let before = contexts.insert(format!("inputs.{name}"), (*value).to_owned());
            assert!(before.is_some(), "the action has no input {name}");
        }
        let (outputs, summary) = (self.bench.write("outputs", ""), self.bench.write("summary", ""));
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.bench.path("tools").display());
        let mut job = Job { code: 0, log: String::new(), summary: String::new() };
        for step in action["runs"]["steps"].as_array().unwrap() {
            let runs = step["if"].as_str().map_or(job.code == 0, |text| holds(text, &contexts));
            let Some(commands) = step["run"].as_str().filter(|_| runs) else { continue };
            assert!(
                !commands.contains("${{"),
                "text of a stranger would become a script: {commands}"
            );
            let shell = ["--noprofile", "--norc", "-eo", "pipefail", "-c", commands];
            let mut bash = project(&self.bench, "bash", &shell);
            bash.current_dir(self.bench.path("repository"))
                .env("PATH", &path)
                .env("GH_STATE", self.bench.path("state"))
                .env("GITHUB_ACTIONS", "true")
                .env("GITHUB_ACTION_PATH", root())
                .env("GITHUB_BASE_REF", "main")
                .env("GITHUB_OUTPUT", &outputs)
                .env("GITHUB_STEP_SUMMARY", &summary)
                .env_remove("REGRESS_TARGET");
            for (name, value) in step["env"].as_object().into_iter().flatten() {
                bash.env(name, filled(value.as_str().unwrap(), &contexts));
            }
            let ended = output(bash);
            job.log += &(ended.stdout + &ended.stderr);
            if job.code == 0 {
                job.code = ended.code.unwrap();
            }
            if let Some(id) = step["id"].as_str() {
                for line in fs::read_to_string(&outputs).unwrap().lines() {
                    let (name, value) = line.split_once('=').unwrap();
                    contexts.insert(format!("steps.{id}.outputs.{name}"), value.to_owned());
                }
            }
        }
        job.summary = fs::read_to_string(&summary).unwrap();
        job
    }

    /// The action on the suite of this repository, as small as it goes.
    fn gate(&self, more: &[(&str, &str)]) -> Job {
        let options = "--pairs 4";
        let usual =
            [("suite", "gated.yaml"), ("build", "sh build.sh"), ("options", options), ("aa", "5")];
        self.act(&[&usual, more].concat())
    }
}

fn yaml(name: &str) -> Value {
    serde_yaml::from_str(&fs::read_to_string(root().join(name)).unwrap()).unwrap()
}

/// `${{ name }}` replaced by what the contexts say; a name that they lack is empty, as on a runner.
fn filled(text: &str, contexts: &BTreeMap<String, String>) -> String {
    let Some((before, rest)) = text.split_once("${{") else { return text.to_owned() };
    let (name, after) = rest.split_once("}}").unwrap();
    let value = contexts.get(name.trim()).map_or("", String::as_str);
    format!("{before}{value}{}", filled(after, contexts))
}

/// A condition of `action.yml`: `always()` and equalities, joined by `&&`.
fn holds(condition: &str, contexts: &BTreeMap<String, String>) -> bool {
    assert!(condition.starts_with("always()"), "runs after a failure or not at all: {condition}");
    condition.split(" && ").skip(1).all(|term| {
        let (name, value) = term.split_once(" == ").unwrap();
        contexts.get(name).map(String::as_str) == Some(value.trim_matches('\''))
    })
}

#[test]
fn pull_requests_that_change_nothing_a_shuffle_and_a_time_get_their_verdict_and_one_comment() {
    let forge = Forge::new();
    forge.pull_request("nothing", "pass  # other bytes");
    let job = forge.gate(&[]);
    assert_eq!(job.code, 0, "{}", job.log);
    assert!(job.log.contains("comparison 5 of 5 with itself"), "{}", job.log);
    assert!(!job.log.contains("::error"), "{}", job.log);
    assert!(job.summary.starts_with("<!-- palimpsest-regress -->"), "{}", job.summary);
    assert_eq!(forge.comment(), None);

    forge.pull_request("shuffle", OTHER_ORDER);
    let job = forge.gate(&[]);
    assert_eq!(job.code, 1, "{}", job.log);
    assert!(job.log.contains("::error title="), "{}", job.log);
    assert!(job.summary.contains("/ order |"), "{}", job.summary);
    assert_eq!(forge.comment().as_deref(), Some(job.summary.as_str()));
    assert!(forge.calls().contains("--method POST repos/lab/bench/issues/7/comments "));

    forge.pull_request("slow", SLOW);
    let job = forge.gate(&[]);
    assert_eq!(job.code, 1, "{}", job.log);
    assert!(job.summary.contains("train-seconds"), "{}", job.summary);
    assert!(!job.log.contains("with itself"), "the noise floor was kept: {}", job.log);
    assert_eq!(forge.comment().as_deref(), Some(job.summary.as_str()));
    assert_eq!(forge.calls().matches("--method POST").count(), 1);
    assert!(forge.calls().contains("--method PATCH repos/lab/bench/issues/comments/41 "));
    // The job may be told to look and not to fail.
    let exact = ("options", "--pairs 3 --classes exact");
    assert_eq!(forge.gate(&[exact, ("fail-on", "3 4")]).code, 0);

    // A note alone is no change: no comment begins by one.
    fs::remove_file(forge.bench.path("state/comment")).unwrap();
    forge.git(&["checkout", "--quiet", "nothing"]);
    assert_eq!(forge.gate(&[exact]).code, 0);
    assert_eq!(forge.comment(), None);
    forge.git(&["checkout", "--quiet", "shuffle"]);
    assert_eq!(forge.gate(&[exact, ("fail-on", "4")]).code, 0);

    // Mended: the comment that is there says so.
    forge.git(&["checkout", "--quiet", "nothing"]);
    assert_eq!(forge.gate(&[exact]).code, 0);
    assert!(!forge.comment().unwrap().contains("regressed"), "{:?}", forge.comment());
}

#[test]
fn a_comment_that_may_not_be_written_is_a_warning() {
    let forge = Forge::new();
    forge.pull_request("shuffle", OTHER_ORDER);
    forge.bench.write("state/forbidden", "");
    let exact = ("options", "--pairs 3 --classes exact");
    let job = forge.gate(&[exact, ("fail-on", "4")]);
    assert_eq!(job.code, 0, "{}", job.log);
    assert!(job.log.contains("::warning title=no comment::"), "{}", job.log);
    // Switched off, nobody asks.
    fs::remove_file(forge.bench.path("state/calls")).unwrap();
    forge.gate(&[exact, ("comment", "false")]);
    assert_eq!(forge.calls(), "");
}

#[test]
fn what_fails_before_the_gate_never_passes_and_never_looks_like_a_verdict() {
    let forge = Forge::new();
    forge.pull_request("nothing", "pass");
    let fails = |more: &[(&str, &str)], code: i32, said: &str| {
        // Even where no verdict may fail the job, a mistake does.
        let job = forge.gate(more);
        assert_eq!(job.code, code, "{more:?}: {}", job.log);
        assert!(job.log.contains(said), "{more:?}: {}", job.log);
        assert!(!forge.bench.path("repository/pwned").exists(), "{more:?}");
    };
    fails(
        &[("base", "nothing-of-the-kind"), ("fail-on", "")],
        2,
        "is no commit of this repository",
    );
    fails(&[("base", "--output=pwned"), ("fail-on", "")], 2, "is no commit of this repository");
    fails(&[("suite", "$(touch pwned)"), ("fail-on", "")], 2, "$(touch pwned)");
    fails(&[("options", "; touch pwned"), ("fail-on", "")], 2, "error");
    fails(&[("programs", "nowhere"), ("fail-on", "")], 2, "set REGRESS_PROGRAMS");
    fails(&[("build", "exit 1")], 4, "the head does not build");
    fails(&[("build", "[ ! -d .git ] && exit 1; sh build.sh")], 3, "the base does not build");
    // A program that dies of a signal: the base judges it, and reports.
    forge.bench.write("repository/program", "#!/bin/sh\nkill -9 $$\n");
    forge.commit();
    fails(&[], 4, "could not plan the suite");
    assert!(forge.comment().unwrap().contains("- failed: "));
}

#[test]
fn the_base_judges_with_its_own_suite_and_a_head_has_no_part_in_its_verdict() {
    let forge = Forge::new();
    forge.pull_request("cheat", OTHER_ORDER);
    // A judge that lets everything pass, and a suite that compares nothing.
    let program = fs::read_to_string(forge.bench.path("repository/program")).unwrap();
    let lenient = program.replace(
        "import glob",
        "import sys\nif sys.argv[1:2] == ['regress']: sys.exit(0)\nimport glob",
    );
    assert_ne!(program, lenient);
    forge.bench.write("repository/program", &lenient);
    let loose = SUITE.replace("metrics: {", "metrics: { order: { class: info },");
    assert_ne!(loose, SUITE);
    forge.bench.write("repository/gated.yaml", &loose);
    forge.commit();
    let exact = ("options", "--pairs 3 --classes exact");
    let job = forge.gate(&[exact]);
    assert_eq!(job.code, 1, "{}", job.log);
    assert!(job.summary.contains("/ order |"), "{}", job.summary);

    // Accepted by a trailer, in the open.
    forge.git(&[
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "two\n\nRegress-Accept: order@adamw=a new shuffle",
    ]);
    let job = forge.gate(&[exact]);
    assert_eq!(job.code, 0, "{}", job.log);
    assert!(job.summary.contains("a new shuffle |"), "{}", job.summary);
}

#[test]
fn a_change_of_a_repository_whose_programs_stay_the_same_is_no_pass() {
    let forge = Forge::new();
    forge.git(&["checkout", "--quiet", "-b", "elsewhere", "main"]);
    forge.bench.write("repository/train.py", "accuracy = 0.46\n");
    forge.commit();
    let job = forge.gate(&[]);
    assert_eq!(job.code, 3, "{}", job.log);
    assert!(job.log.contains("the same bytes"), "{}", job.log);
}

#[test]
fn a_bisection_finds_the_commit_that_changed_an_order_past_one_that_does_not_build() {
    let forge = Forge::new();
    let commit = |name: &str, fault: &str| {
        forge.program(fault);
        forge.bench.write("repository/name", name);
        forge.commit();
        forge.at("HEAD")
    };
    forge.git(&["checkout", "--quiet", "-b", "long", "main"]);
    commit("good", "pass  # 1");
    commit("also good", "pass  # 2");
    fs::remove_file(forge.bench.path("repository/build.sh")).unwrap();
    forge.commit();
    forge.bench.write("repository/build.sh", BUILD);
    let bad = commit("bad", &format!("{OTHER_ORDER}  # 3"));
    commit("later", &format!("{OTHER_ORDER}  # 4"));
    let mut bench = forge.bench.prepared(
        env!("CARGO_BIN_EXE_palimpsest"),
        &[
            "regress",
            "bisect",
            "gated.yaml",
            "main",
            "HEAD",
            "--build",
            "sh build.sh",
            "--pairs",
            "3",
            "--store",
            "regress-out/store",
        ],
    );
    bench.current_dir(forge.bench.path("repository"));
    // `main` is where it started.
    let found = output(bench).ends(0);
    assert!(found.stderr.contains("passed over"), "{}", found.stderr);
    assert!(found.stdout.contains("one of") && found.stdout.contains(&bad), "{}", found.stdout);
    assert!(found.stdout.lines().count() == 3, "{}", found.stdout);
}

#[test]
fn a_project_whose_training_is_its_own_is_gated_and_bisected_by_a_pinned_palimpsest() {
    let forge = Forge::of_project();
    let judge = pinned(&forge.bench).display().to_string();
    let usual = [("suite", "bench.yaml"), ("trees", "true"), ("judge", judge.as_str())];
    let exact = [("options", "--classes exact,ulp,quality")];
    let gate = |more: &[(&str, &str)]| forge.act(&[&usual[..], &exact, more].concat());
    let branch = |name: &str, file: &str, text: &str| {
        forge.git(&["checkout", "--quiet", "-b", name]);
        forge.bench.write(&format!("repository/{file}"), text);
        forge.commit();
    };
    branch("page", "README.md", "A project.\n");
    let job = gate(&[]);
    assert_eq!(job.code, 0, "{}", job.log);
    assert!(job.summary.contains("the same in both checkouts"), "{}", job.summary);
    assert_eq!(forge.comment(), None);

    branch("order", "train.py", &changed(regress_trees::OTHER_ORDER));
    let job = gate(&[]);
    assert_eq!(job.code, 1, "{}", job.log);
    assert!(job.summary.contains("told/consumed |"), "{}", job.summary);
    assert_eq!(forge.comment().as_deref(), Some(job.summary.as_str()));
    // The commits are the project's own, whatever palimpsest was built from.
    let measured = fs::read_to_string(forge.bench.path("repository/regress-out/report/head.json"));
    assert!(measured.unwrap().contains(&format!("\"commit\": \"{}\"", forge.at("HEAD"))));
    assert_eq!(gate(&[("build", "test ! -f README.md || exit 1")]).code, 4);
    assert_eq!(gate(&[("build", "test -f README.md")]).code, 3);
    assert_eq!(gate(&[("judge", "/nothing/palimpsest")]).code, 3);
    let strange = gate(&[("suite", "nothing.yaml"), ("fail-on", "")]);
    assert_eq!(strange.code, 2, "{}", strange.log);
    assert!(strange.log.contains("is no file of this repository"), "{}", strange.log);
    let strange = gate(&[("trees", "yes"), ("fail-on", "")]);
    assert_eq!(strange.code, 2, "{}", strange.log);

    let bad = forge.at("HEAD");
    branch("later", "README.md", "The same project.\n");
    let bisect = ["regress", "bisect", "bench.yaml", "main", "HEAD", "--trees"];
    let options = ["--pairs", "4", "--store", "regress-out/store"];
    let mut bisect = project(&forge.bench, &judge, &[&bisect[..], &options].concat());
    bisect.current_dir(forge.bench.path("repository"));
    let found = output(bisect).ends(0);
    assert_eq!(found.stdout, format!("the first bad commit is {bad}\n"), "{}", found.stderr);
    let mut trees = Command::new("git");
    trees.current_dir(forge.bench.path("repository")).args(["worktree", "list"]);
    assert_eq!(output(trees).ends(0).stdout.lines().count(), 1, "no checkout is left");

    forge.git(&["checkout", "--quiet", "order"]);
    let trailer = "two\n\nRegress-Accept: told/consumed=blocks are drawn now";
    forge.git(&["commit", "--quiet", "--allow-empty", "-m", trailer]);
    let job = gate(&[]);
    assert_eq!(job.code, 0, "{}", job.log);
    assert!(job.summary.contains("blocks are drawn now |"), "{}", job.summary);
}

#[test]
fn a_suite_that_the_base_has_not_is_new_and_no_failure() {
    let forge = Forge::new();
    forge.pull_request("first", "pass  # other bytes");
    forge.bench.write("repository/second.yaml", SUITE);
    forge.commit();
    let job = forge.gate(&[("suite", "second.yaml")]);
    assert_eq!(job.code, 0, "{}", job.log);
    assert!(job.summary.contains("the base has no second.yaml"), "{}", job.summary);
    assert_eq!(forge.comment(), None);
    // A base from before there was a gate.
    forge.git(&["checkout", "--quiet", "-b", "ancient", "main"]);
    let ancient = "#!/bin/sh\n[ \"$1\" = --version ] || exit 2\n";
    forge.bench.write("repository/program", ancient);
    forge.commit();
    forge.git(&["checkout", "--quiet", "-b", "modern"]);
    forge.program("pass");
    forge.commit();
    let job = forge.gate(&[("base", "ancient")]);
    assert_eq!(job.code, 0, "{}", job.log);
    assert!(job.summary.contains("no regression gate"), "{}", job.summary);
    // One that does not start is no such base.
    forge.git(&["checkout", "--quiet", "ancient"]);
    forge.bench.write("repository/program", "#!/bin/sh\nexit 127\n");
    forge.commit();
    forge.git(&["checkout", "--quiet", "-b", "later"]);
    forge.program("pass");
    forge.commit();
    let job = forge.gate(&[("base", "ancient")]);
    assert_eq!(job.code, 3, "{}", job.log);
    assert!(job.log.contains("does not start"), "{}", job.log);
}

#[test]
fn the_workflow_of_this_repository_uses_its_own_action_with_inputs_that_it_has() {
    let workflow = yaml(".github/workflows/regression.yml");
    let steps = workflow["jobs"]["regress"]["steps"].as_array().unwrap();
    let gate = steps.iter().find(|step| step["uses"] == "./").unwrap()["with"].as_object().unwrap();
    let inputs = yaml("action.yml")["inputs"].as_object().unwrap().clone();
    assert!(gate.keys().all(|name| inputs.contains_key(name)), "{gate:?}");
    let suite = gate["suite"].as_str().unwrap();
    assert!(root().join("suites").join(suite).with_extension("yaml").is_file(), "{suite}");
    let checkout = steps.iter().find(|step| step["uses"] == "actions/checkout@v4").unwrap();
    assert_eq!(checkout["with"]["fetch-depth"], 0, "the merge base has to be there");
}
