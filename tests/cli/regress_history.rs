//! Histories as a maintainer meets them: recorded, read, accepted, repaired, compared with.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::process::Command;

use analysis::history::chain::History;
use analysis::history::{Better, Entry, Measured, Metric};
use ledger::digest::Digest;
use ledger::record::Store;
use palimpsest::git::{Beside, HISTORY_BRANCH, HistoryBranch};

use crate::support::{Bench, TINY};

const MACHINE: &str = "0123456789ab";

/// Git in the bench's folder, as its own repository.
fn git(bench: &Bench, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
    let mut command = Command::new("git");
    command.current_dir(bench.path("")).args(identity).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn commits(bench: &Bench, count: usize) -> Vec<String> {
    git(bench, &["init", "--quiet", "--initial-branch=main"]);
    let commit = |_| {
        git(bench, &["commit", "--quiet", "--allow-empty", "-m", "one"]);
        git(bench, &["rev-parse", "HEAD"])
    };
    (0..count).map(commit).collect()
}

/// A branch with a history of sixteen commits, 5 % slower from the eighth on.
fn stepped() -> (Bench, Vec<String>) {
    let bench = Bench::new();
    let commits = commits(&bench, 16);
    let mut history = History::new("h", "gated", MACHINE);
    let mut bytes = Vec::new();
    for (place, commit) in commits.iter().enumerate() {
        let value = if place < 8 { 1.0 } else { 1.05 } + (place * 7 % 5) as f64 / 1000.0;
        let metric = Metric { unit: "s".to_owned(), better: Better::Lower, values: vec![value] };
        let metrics = [("w/sgd/train-seconds".to_owned(), metric)].into_iter().collect();
        let (commit, suite_digest) = (commit.clone(), Digest::of(b"suite"));
        let entry =
            Entry::Measured(Measured { commit, suite_digest, software: BTreeMap::new(), metrics });
        bytes.extend(history.push(entry).unwrap());
    }
    let branch = HistoryBranch::open(&bench.path(""), HISTORY_BRANCH).unwrap();
    let change = |_: &[u8]| Ok::<_, Infallible>(bytes.clone());
    branch.record("gated", MACHINE, "Record", None, change).unwrap();
    (bench, commits)
}

#[test]
fn a_step_is_found_named_and_accepted_with_a_reason() {
    let (bench, commits) = stepped();
    let found = bench.run(&["regress", "history", "gated"]).ends(1);
    let range = format!("regressed in {}..{}", &commits[7][..8], &commits[8][..8]);
    assert!(found.stdout.contains(&range), "{}", found.stdout);
    assert!(found.stdout.contains("w/sgd/train-seconds (s)"), "{}", found.stdout);
    let json = bench.run(&["regress", "history", "gated", "--json"]).ends(1).json();
    assert_eq!(json["series"][0]["changes"][0]["commit"], commits[8].as_str());

    let accept = ["regress", "accept", "gated", "HEAD~7", "--reason", "a larger model"];
    bench.run(&accept).ends(0);
    let after = bench.run(&["regress", "history", "gated", "--out", "page"]).ends(0);
    assert!(after.stdout.contains("accepted: a larger model"), "{}", after.stdout);
    assert_eq!(
        bench.files("page"),
        ["figures/history-1.png", "figures/history-1.svg", "history.json", "index.html"]
    );
    let unknown = bench.run(&["regress", "accept", "gated", "nothing", "--reason", "x"]).ends(2);
    assert!(unknown.stderr.contains("nothing"), "{}", unknown.stderr);
    let other = ["--metric", "w/sgd/other", "--reason", "x"];
    let unknown =
        bench.run(&[&["regress", "accept", "gated", "HEAD"], &other[..]].concat()).ends(2);
    assert!(unknown.stderr.contains("w/sgd/other"), "{}", unknown.stderr);
    // The work tree of the measured code was never touched.
    assert_eq!(git(&bench, &["branch", "--show-current"]), "main");
}

#[test]
fn a_changed_a_moved_and_a_torn_line_are_refused_by_number_and_only_the_torn_one_is_mended() {
    let (bench, _) = stepped();
    let whole = git(&bench, &["show", &format!("{HISTORY_BRANCH}:gated/{MACHINE}.jsonl")]) + "\n";
    let file = format!("{MACHINE}.jsonl");
    let read = ["regress", "history", "gated", "--file", file.as_str()];
    bench.write(&file, &whole);
    bench.run(&read).ends(1);

    bench.write(&file, &whole.replacen("1.05", "1.04", 1));
    let changed = bench.run(&read).ends(2);
    assert!(changed.stderr.contains(&format!("{file}:9: ")), "{}", changed.stderr);
    let mut lines: Vec<&str> = whole.lines().collect();
    lines.swap(2, 3);
    bench.write(&file, &(lines.join("\n") + "\n"));
    let moved = bench.run(&read).ends(2);
    assert!(moved.stderr.contains(&format!("{file}:3: ")), "{}", moved.stderr);
    bench.run(&[&read[..], &["--repair"]].concat()).ends(2);

    bench.write(&file, &whole[..whole.len() - 20]);
    let torn = bench.run(&read).ends(2);
    assert!(torn.stderr.contains(":16: the last line is torn"), "{}", torn.stderr);
    assert!(torn.stderr.contains("--repair"), "{}", torn.stderr);
    bench.run(&[&read[..], &["--repair"]].concat()).ends(1);
    assert_eq!(fs::read_to_string(bench.path(&file)).unwrap().lines().count(), 15);
}

#[test]
fn a_run_is_recorded_once_and_a_commit_is_compared_with() {
    let bench = Bench::with_run(TINY);
    let head = commits(&bench, 2).pop().unwrap();
    let strange = bench.run(&["regress", "record", "suite.yaml", "--allow-dirty"]).ends(2);
    assert!(strange.stderr.contains("which this repository does not have"), "{}", strange.stderr);
    built_from(&bench, &head);
    let record = ["regress", "record", "suite.yaml", "--allow-dirty"];
    let other = bench.run(&[&record[..], &["--commit", "HEAD~1"]].concat()).ends(2);
    assert!(other.stderr.contains("leave it out"), "{}", other.stderr);
    let recorded = bench.run(&record).ends(0);
    assert!(recorded.stdout.starts_with("tiny at "), "{}", recorded.stdout);
    let again = bench.run(&record).ends(2);
    assert!(again.stderr.contains("was measured on line 1 already"), "{}", again.stderr);
    let few = bench.run(&["regress", "history", "suite.yaml"]).ends(3);
    assert!(few.stdout.contains("too few to show any change"), "{}", few.stdout);

    bench.run(&[&record[..], &["--reference", "kept.json"]].concat()).ends(0);
    let untimed = ["--classes", "exact,ulp,quality"];
    let against = |reference: &str| {
        bench.run(&[&["regress", "suite.yaml", "--against", reference], &untimed[..]].concat())
    };
    against("kept.json").ends(0);
    against("HEAD").ends(0);
    let unknown = against("HEAD~1").ends(2);
    assert!(unknown.stderr.contains("tiny was not recorded at"), "{}", unknown.stderr);
    let neither = against("no-such-thing").ends(2);
    assert!(neither.stderr.contains("neither a reference file nor a commit"), "{}", neither.stderr);

    // The same snapshot, as recorded at a commit of this repository.
    let kept = fs::read(bench.path("kept.json")).unwrap();
    let parsed =
        analysis::regress::Snapshot::parse(std::str::from_utf8(&kept).unwrap(), "k").unwrap();
    let branch = HistoryBranch::open(&bench.path(""), HISTORY_BRANCH).unwrap();
    let beside = Beside { commit: &head, content: &kept };
    let machine = &parsed.machine.fingerprint;
    let head = git(&bench, &["rev-parse", "HEAD~1"]);
    let beside = Beside { commit: &head, ..beside };
    let unchanged = |old: &[u8]| Ok::<_, Infallible>(old.to_vec());
    branch.record("tiny", machine, "Record", Some(beside), unchanged).unwrap();
    against("HEAD~1").ends(0);
    against("main").ends(0);
}

/// Says in every record that its build was of this commit.
fn built_from(bench: &Bench, commit: &str) {
    let store = Store::at(&bench.path("runs"));
    for cell in store.cells().unwrap() {
        let mut record = store.record(&cell).unwrap();
        record.environment.git_commit = Some(commit.to_owned());
        let text = serde_json::to_string(&record).unwrap();
        fs::write(store.folder(&cell).join("record.json"), text).unwrap();
    }
}

#[test]
fn what_the_gate_measured_is_recorded_and_another_libtorch_goes_on_in_the_same_history() {
    let bench = Bench::with_run(TINY);
    let all = commits(&bench, 3);
    built_from(&bench, &all[0]);
    let record = ["regress", "record", "suite.yaml", "--allow-dirty"];
    bench.run(&[&record[..], &["--reference", "kept.json"]].concat()).ends(0);
    bench.run(&record).ends(0);
    let kept = fs::read_to_string(bench.path("kept.json")).unwrap();
    let mut snapshot = analysis::regress::Snapshot::parse(&kept, "k").unwrap();
    let mut from = |commit: &str, libtorch: &str| {
        snapshot.commit = Some(commit.to_owned());
        snapshot.machine.software.insert("libtorch".to_owned(), libtorch.to_owned());
        bench.write("head.json", &snapshot.to_json().unwrap());
        bench.run(&[&record[..], &["--from", "head.json"]].concat())
    };
    // The last commit first: what is recorded late still stands in its place.
    from(&all[2], "99.0").ends(0);
    from(&all[1], "98.0").ends(0);
    let unknown = from(&"a".repeat(40), "99.0").ends(2);
    assert!(unknown.stderr.contains("which this repository does not have"), "{}", unknown.stderr);
    let json = bench.run(&["regress", "history", "suite.yaml", "--json"]).ends(3).json();
    assert_eq!(json["commits"], serde_json::json!(all));
    let notes = json["notes"].to_string();
    assert!(
        notes.contains("98.0 from there on") && notes.contains("99.0 from there on"),
        "{notes}"
    );
}

#[test]
fn a_run_of_another_machine_is_recorded_there_and_not_here() {
    let bench = Bench::with_run(TINY);
    commits(&bench, 1);
    let store = Store::at(&bench.path("runs"));
    let cell = store.cells().unwrap().pop().unwrap();
    let mut record = store.record(&cell).unwrap();
    record.environment.cpu = "another".to_owned();
    let text = serde_json::to_string(&record).unwrap();
    fs::write(store.folder(&cell).join("record.json"), text).unwrap();
    let refused = bench.run(&["regress", "record", "suite.yaml", "--allow-dirty"]).ends(2);
    assert!(refused.stderr.contains("record on the machine that ran it"), "{}", refused.stderr);
}

#[test]
fn histories_that_are_not_there_are_told_with_the_way_to_begin_one() {
    let bench = Bench::new();
    let outside = bench.run(&["regress", "history", "gated", "--repository", "/"]).ends(2);
    assert!(outside.stderr.contains("git"), "{}", outside.stderr);
    commits(&bench, 1);
    let none = bench.run(&["regress", "history", "gated"]).ends(2);
    assert!(none.stderr.contains("palimpsest regress record gated"), "{}", none.stderr);
    let hostile = bench.run(&["regress", "history", "../gated"]).ends(2);
    assert!(hostile.stderr.contains("is not a name"), "{}", hostile.stderr);
    let hostile = bench.run(&["regress", "history", "gated", "--branch=--all"]).ends(2);
    assert!(hostile.stderr.contains("is not a name"), "{}", hostile.stderr);
}

#[test]
fn a_bisection_that_fails_leaves_no_checkout_that_the_repository_knows_of() {
    let bench = Bench::new();
    commits(&bench, 2);
    let bisect = ["regress", "bisect", "bench.yaml", "HEAD~1", "HEAD", "--trees"];
    let failed = bench.run(&bisect).ends(2);
    assert!(failed.stderr.contains("does not build"), "{}", failed.stderr);
    assert_eq!(git(&bench, &["worktree", "list"]).lines().count(), 1);
}
