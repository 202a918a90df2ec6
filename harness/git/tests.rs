use std::convert::Infallible;
use std::fs;

use super::*;

fn raw(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments);
    for name in REDIRECTING {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    line(output.stdout)
}

/// A repository with one commit, a staged change and an untracked file.
fn repository() -> (tempfile::TempDir, HistoryBranch) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    raw(path, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(path.join("a"), "1").unwrap();
    raw(path, &["add", "a"]);
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
    raw(path, &[&identity[..], &["commit", "--quiet", "-m", "first"]].concat());
    fs::write(path.join("a"), "2").unwrap();
    raw(path, &["add", "a"]);
    fs::write(path.join("untracked"), "3").unwrap();
    let branch = HistoryBranch::open(path, HISTORY_BRANCH).unwrap();
    (folder, branch)
}

#[test]
fn commits_are_ordered_parents_first_and_strangers_left_out() {
    let (folder, branch) = repository();
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
    let mut ids = vec![branch.commit("HEAD").unwrap()];
    for _ in 0..3 {
        let empty = ["commit", "--quiet", "--allow-empty", "-m", "x"];
        raw(folder.path(), &[&identity[..], &empty].concat());
        ids.push(branch.commit("HEAD").unwrap());
    }
    let stranger = "a".repeat(40);
    let asked = [ids[3].as_str(), &stranger, ids[0].as_str(), ids[2].as_str()];
    let expected = [ids[0].clone(), ids[2].clone(), ids[3].clone()];
    assert_eq!(branch.in_order(&asked).unwrap(), expected);
    assert_eq!(branch.in_order(&[stranger.as_str()]).unwrap(), [""; 0]);
}

fn add(branch: &HistoryBranch, suite: &str, machine: &str, text: &str) -> String {
    let change = |old: &[u8]| Ok::<_, Infallible>([old, text.as_bytes()].concat());
    branch.record(suite, machine, &format!("Record {suite}"), None, change).unwrap()
}

fn text(branch: &HistoryBranch, suite: &str, machine: &str) -> Option<String> {
    branch.read(suite, machine).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn a_history_is_kept_in_an_orphan_branch_beside_the_others() {
    let (folder, branch) = repository();
    assert_eq!(text(&branch, "digits", "m1"), None);
    add(&branch, "digits", "m1", "one\n");
    assert_eq!(text(&branch, "digits", "m2"), None);
    add(&branch, "digits", "m2", "two\n");
    add(&branch, "mnist", "m1", "three\n");
    let tip = add(&branch, "digits", "m1", "four\n");
    assert_eq!(text(&branch, "digits", "m1").unwrap(), "one\nfour\n");
    assert_eq!(text(&branch, "digits", "m2").unwrap(), "two\n");
    assert_eq!(text(&branch, "mnist", "m1").unwrap(), "three\n");
    assert_eq!(raw(folder.path(), &["rev-parse", HISTORY_BRANCH]), tip);
    assert_eq!(raw(folder.path(), &["rev-list", "--count", HISTORY_BRANCH]), "4");
    assert_eq!(raw(folder.path(), &["show", "bench-data:digits/m1.jsonl"]), "one\nfour");
    let bases = Command::new("git")
        .arg("-C")
        .arg(folder.path())
        .args(["merge-base", "main", HISTORY_BRANCH])
        .output()
        .unwrap();
    assert!(!bases.status.success(), "the branch shares no commit with main");
    raw(folder.path(), &["fsck", "--strict"]);
}

#[test]
fn work_tree_index_and_current_branch_are_not_touched() {
    let (folder, branch) = repository();
    let look = || {
        let path = folder.path();
        (
            raw(path, &["status", "--porcelain=v2", "--branch"]),
            fs::read(path.join(".git/index")).unwrap(),
        )
    };
    let before = look();
    add(&branch, "digits", "m1", "one\n");
    add(&branch, "digits", "m1", "two\n");
    assert_eq!(look(), before);
}

#[test]
fn a_writer_that_lost_the_race_appends_to_the_winner_s_file() {
    let (_folder, branch) = repository();
    add(&branch, "digits", "m1", "0\n");
    let mut calls = 0;
    let change = |old: &[u8]| {
        calls += 1;
        if calls == 1 {
            add(&branch, "digits", "m1", "winner\n");
        }
        Ok::<_, Infallible>([old, b"loser\n"].concat())
    };
    branch.record("digits", "m1", "m", None, change).unwrap();
    assert_eq!(calls, 2);
    assert_eq!(text(&branch, "digits", "m1").unwrap(), "0\nwinner\nloser\n");
}

#[test]
fn the_first_record_races_too() {
    let (_folder, branch) = repository();
    let mut calls = 0;
    let change = |old: &[u8]| {
        calls += 1;
        if calls == 1 {
            add(&branch, "mnist", "m1", "winner\n");
        }
        Ok::<_, Infallible>([old, b"loser\n"].concat())
    };
    branch.record("digits", "m1", "m", None, change).unwrap();
    assert_eq!(text(&branch, "mnist", "m1").unwrap(), "winner\n");
    assert_eq!(text(&branch, "digits", "m1").unwrap(), "loser\n");
}

#[test]
fn a_writer_that_always_loses_gives_up_and_says_so() {
    let (_folder, branch) = repository();
    let change = |old: &[u8]| {
        add(&branch, "mnist", "m1", "winner\n");
        Ok::<_, Infallible>([old, b"loser\n"].concat())
    };
    let error = branch.record("digits", "m1", "m", None, change).unwrap_err();
    assert!(matches!(error, RecordError::Git(GitError::Contended { .. })), "{error}");
    assert_eq!(text(&branch, "digits", "m1"), None);
}

#[test]
fn every_line_of_many_writers_arrives() {
    let (_folder, branch) = repository();
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let branch = &branch;
            scope.spawn(move || {
                for number in 0..3 {
                    add(branch, "digits", "m1", &format!("{writer}{number}\n"));
                }
            });
        }
    });
    let mut lines: Vec<String> =
        text(&branch, "digits", "m1").unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["00", "01", "02", "10", "11", "12", "20", "21", "22"]);
}

#[test]
fn a_refused_change_leaves_the_branch_as_it_was() {
    let (folder, branch) = repository();
    let tip = add(&branch, "digits", "m1", "one\n");
    let error = branch.record("digits", "m1", "m", None, |_| Err("no".to_owned())).unwrap_err();
    assert_eq!(error.to_string(), "no");
    assert_eq!(raw(folder.path(), &["rev-parse", HISTORY_BRANCH]), tip);
}

#[test]
fn hostile_names_are_refused_before_git_sees_them() {
    let (folder, branch) = repository();
    let hostile = [
        "",
        "-f",
        "--upload-pack=x",
        "../x",
        "a/b",
        "a..b",
        "a b",
        "a\nb",
        "a:b",
        "a~1",
        "a^",
        "@{u}",
        ".git",
        "x.lock",
        "x.LOCK",
        "$(id)",
        "`id`",
        "a;b",
        "a\0b",
        "HEAD",
        "a.",
        "é",
        "a*",
        "a\\b",
    ];
    for name in hostile {
        let refused = |error: &GitError| matches!(error, GitError::Name { .. });
        assert!(refused(&HistoryBranch::open(folder.path(), name).unwrap_err()), "{name:?}");
        assert!(refused(&branch.read(name, "m1").unwrap_err()), "{name:?}");
        assert!(refused(&branch.read("digits", name).unwrap_err()), "{name:?}");
    }
    let said = branch.read("a/b", "m1").unwrap_err().to_string();
    assert!(said.starts_with("suite \"a/b\" is not a name: use letters"), "{said}");
    assert!(branch.commit("--all").is_err());
}

#[test]
fn variables_that_send_git_elsewhere_are_ignored() {
    // In a process of its own: the environment belongs to all threads.
    const INNER: &str = "PALIMPSEST_TEST_REPOSITORY";
    if let Some(repository) = std::env::var_os(INNER) {
        let branch = HistoryBranch::open(Path::new(&repository), HISTORY_BRANCH).unwrap();
        add(&branch, "digits", "m1", "here\n");
        return;
    }
    let (folder, branch) = repository();
    let (other, elsewhere) = repository();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--test-threads=1"])
        .arg(format!(
            "{}::variables_that_send_git_elsewhere_are_ignored",
            module_path!().split_once("::").unwrap().1
        ))
        .env(INNER, folder.path())
        .env("GIT_DIR", other.path().join(".git"))
        .env("GIT_WORK_TREE", other.path())
        .env("GIT_INDEX_FILE", other.path().join("index"))
        .env("GIT_OBJECT_DIRECTORY", other.path().join("objects"))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(text(&branch, "digits", "m1").unwrap(), "here\n");
    assert_eq!(text(&elsewhere, "digits", "m1"), None);
}

#[test]
fn a_folder_that_is_no_repository_is_told_with_git_s_words() {
    let folder = tempfile::tempdir().unwrap();
    let error = HistoryBranch::open(folder.path(), HISTORY_BRANCH).unwrap_err().to_string();
    assert!(error.contains("not a git repository"), "{error}");
}

#[test]
fn a_large_history_passes_through() {
    // More than a pipe holds, in both directions.
    let (_folder, branch) = repository();
    let large = "x".repeat(3_000_000);
    add(&branch, "digits", "m1", &large);
    assert_eq!(text(&branch, "digits", "m1").unwrap(), large);
}

fn add_beside(branch: &HistoryBranch, commit: &str, text: &str) -> String {
    let beside = Beside { commit, content: commit.as_bytes() };
    let change = |old: &[u8]| Ok::<_, Infallible>([old, text.as_bytes()].concat());
    branch.record("digits", "m1", "Record digits", Some(beside), change).unwrap()
}

#[test]
fn what_was_measured_at_a_commit_lies_beside_the_history() {
    let (folder, branch) = repository();
    let (one, other) = ("a".repeat(40), "b".repeat(40));
    assert_eq!(branch.snapshot("digits", "m1", &one).unwrap(), None);
    add_beside(&branch, &one, "one\n");
    add_beside(&branch, &other, "two\n");
    add(&branch, "digits", "m2", "three\n");
    assert_eq!(branch.snapshot("digits", "m1", &one).unwrap(), Some(one.clone().into_bytes()));
    assert_eq!(branch.snapshot("digits", "m2", &one).unwrap(), None);
    assert_eq!(text(&branch, "digits", "m1").unwrap(), "one\ntwo\n");
    assert_eq!(branch.machines("digits").unwrap(), ["m1", "m2"]);
    assert_eq!(branch.measured_on("digits", &other).unwrap(), ["m1"]);
    assert_eq!(branch.machines("mnist").unwrap(), Vec::<String>::new());
    // History and snapshot arrive in one commit.
    assert_eq!(raw(folder.path(), &["rev-list", "--count", HISTORY_BRANCH]), "3");
    assert!(matches!(branch.snapshot("digits", "m1", "../x"), Err(GitError::Name { .. })));
}

/// A bare repository and a clone of it.
fn clone(bare: &Path, parent: &Path, name: &str) -> HistoryBranch {
    let folder = parent.join(name);
    let (from, to) = (bare.display().to_string(), folder.display().to_string());
    raw(parent, &["clone", "--quiet", &from, &to]);
    HistoryBranch::open(&folder, HISTORY_BRANCH).unwrap()
}

#[test]
fn clones_that_push_lose_no_line_of_each_other() {
    let parent = tempfile::tempdir().unwrap();
    let bare = parent.path().join("bare.git");
    raw(parent.path(), &["init", "--quiet", "--bare", &bare.display().to_string()]);
    let names = ["one", "two", "three"];
    let clones = names.map(|name| clone(&bare, parent.path(), name));
    std::thread::scope(|scope| {
        for (branch, name) in clones.iter().zip(names) {
            let remote = branch.clone().of_remote("origin").unwrap();
            scope.spawn(move || {
                for line in 0..3 {
                    add(&remote, "digits", "m1", &format!("{name} {line}\n"));
                }
            });
        }
    });
    let fresh = clone(&bare, parent.path(), "fresh");
    // A fresh clone has no such branch of its own, and reads what it fetched.
    let all = text(&fresh, "digits", "m1").unwrap();
    for (name, line) in names.iter().flat_map(|name| (0..3).map(move |line| (name, line))) {
        assert_eq!(all.matches(&format!("{name} {line}\n")).count(), 1, "{all}");
    }
    assert_eq!(all.lines().count(), 9);
    // The last one to push has the whole of it; its branch followed.
    let last = all.lines().last().unwrap().split(' ').next().unwrap();
    let place = names.iter().position(|name| *name == last).unwrap();
    assert_eq!(text(&clones[place], "digits", "m1").unwrap(), all);
    // A first record in the fresh clone continues what it fetched.
    add(&fresh, "digits", "m1", "here\n");
    assert_eq!(text(&fresh, "digits", "m1").unwrap(), all + "here\n");
}

#[test]
fn a_remote_that_is_not_there_is_told_with_git_s_words() {
    let (_folder, branch) = repository();
    let nowhere = branch.clone().of_remote("nowhere").unwrap();
    assert!(matches!(nowhere.read("digits", "m1"), Err(GitError::Refused { .. })));
    assert!(matches!(branch.of_remote("--upload-pack=x"), Err(GitError::Name { .. })));
}
