//! Stores of other users, on mounts that are read-only, and folders that may not be written.
//!
//! Tests may run as root, who may write everywhere. Then what is somebody else's is given to another user,
//! and the program runs as root without root's rights over other users' files. Anybody else takes their own
//! rights away.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use crate::support::{Bench, Output, TINY, output};

/// Another user and the group that is shared with them: `nobody`, by number.
const OTHER: &str = "65534";

fn is_root(bench: &Bench) -> bool {
    fs::metadata(bench.path("")).unwrap().uid() == 0
}

fn done(bench: &Bench, program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).current_dir(bench.path("")).status();
    assert!(status.unwrap().success(), "{program} {arguments:?}");
}

/// Folders of another user, while it lives.
struct Foreign<'a> {
    bench: &'a Bench,
    folders: Vec<&'a str>,
}

impl<'a> Foreign<'a> {
    /// Gives the folders to another user, who lets everybody else do this with them.
    fn new(bench: &'a Bench, others: &str, folders: &[&'a str]) -> Self {
        let rights = if is_root(bench) {
            done(bench, "chown", &[&["-R", &format!("{OTHER}:{OTHER}")][..], folders].concat());
            format!("u=rwX,go={others}")
        } else {
            format!("u={others}")
        };
        // Below a folder that may not be read, its owner could not go on either.
        let how: &[&str] = if others.is_empty() { &[] } else { &["-R"] };
        done(bench, "chmod", &[how, &[&rights], folders].concat());
        Self { bench, folders: folders.to_vec() }
    }

    /// The program as somebody else than who owns the folders; of their group where that is asked for.
    fn command(&self, in_group: bool, arguments: &[&str]) -> Command {
        if !is_root(self.bench) {
            return self.bench.command(arguments);
        }
        let rights = "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown";
        let groups =
            if in_group { format!("--groups={OTHER}") } else { "--clear-groups".to_owned() };
        let script = format!("umask 002; exec setpriv {rights} {groups} \"$0\" \"$@\"");
        let program = [script.as_str(), env!("CARGO_BIN_EXE_palimpsest")];
        self.bench.prepared("sh", &[&["-c"], &program[..], arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> Output {
        output(self.command(false, arguments))
    }
}

impl Drop for Foreign<'_> {
    /// So that the folder of the test can be removed.
    fn drop(&mut self) {
        let rights = [&["-R", "u+rwX"][..], &self.folders].concat();
        let status = Command::new("chmod").args(rights).current_dir(self.bench.path("")).status();
        assert!(status.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// What a umask of 022 leaves to others.
const READ: &str = "rX";

/// What can be done with a store without writing to it ends well; what writes is refused.
fn is_read_and_not_written(bench: &Bench, run: &dyn Fn(&[&str]) -> Output) {
    let cells = bench.cells();
    let before = bench.files("runs");
    for arguments in [
        &["verify"][..],
        &["list", "runs"],
        &["list", "suite-runs"],
        &["plan", "suite.yaml"],
        &["run", "suite.yaml", "--device", "cpu", "--dry-run"],
        &["report", "tiny", "--out", "mine", "--format", "json"],
        &["compare", &cells[0], &cells[1]],
        &["compare", "tiny", "tiny"],
        &["prove", &cells[0], "--step", "1", "--slot", "0"],
        &["reproduce", &cells[0]],
        // Whole, so that there is nothing to write.
        &["mend", &cells[0]],
        &["merge", "runs", "--store", "copy"],
        &["verify", "--store", "copy"],
    ] {
        run(arguments).ends(0);
    }
    let report = run(&["report", "tiny"]).ends(2).stderr;
    assert!(report.contains("--out DIR"), "{report}");
    for arguments in
        [&["run", "suite.yaml", "--device", "cpu"][..], &["merge", "copy"], &["doctor", "--json"]]
    {
        let Output { code, stdout, stderr } = run(arguments);
        let said = stdout + &stderr;
        assert_eq!(code, Some(if arguments[0] == "doctor" { 1 } else { 2 }), "{said}");
        assert!(said.contains("cannot write to the store at runs"), "{arguments:?}: {said}");
        assert!(said.contains("another --store"), "{arguments:?}: {said}");
    }
    assert_eq!(bench.files("runs"), before);
}

#[test]
fn a_store_of_another_user_is_read_and_what_writes_says_how_to_share_it() {
    let bench = Bench::with_run(TINY);
    let cell = &bench.cells()[0];
    bench.run(&["run", "suite.yaml", "--device", "cpu", "--force", "--keep-models"]).ends(0);
    {
        let foreign = Foreign::new(&bench, READ, &["runs"]);
        is_read_and_not_written(&bench, &|arguments| foreign.run(arguments));
        let scores = ["provenance", "scores", "--model", cell, "--on", cell];
        let refused = foreign.run(&scores).ends(2).stderr;
        assert!(refused.contains("palimpsest merge runs --store OTHER"), "{refused}");
        assert!(refused.contains("cannot create runs/scores/"), "{refused}");
        foreign.run(&[&scores[..], &["--store", "copy"]].concat()).ends(0);
    }
    fs::write(bench.path("runs").join(cell).join("record.json"), "").unwrap();
    let foreign = Foreign::new(&bench, READ, &["runs"]);
    let refused = foreign.run(&["mend", cell]).ends(2).stderr;
    assert!(refused.contains("a common group"), "{refused}");
    foreign.run(&["report", "tiny", "--out", "mine", "--format", "json"]).ends(0);
}

#[test]
fn a_store_that_may_not_be_read_is_not_taken_for_an_empty_one() {
    let bench = Bench::with_run(TINY);
    let cell = bench.cells().swap_remove(0);
    let foreign = Foreign::new(&bench, "", &["runs"]);
    for arguments in [
        &["verify"][..],
        &["list", "runs"],
        &["list", "suite-runs"],
        &["plan", "suite.yaml"],
        &["report", "tiny", "--out", "mine"],
        &["compare", "tiny", "tiny"],
        &["reproduce", &cell],
        &["run", "suite.yaml", "--device", "cpu"],
        &["merge", "runs", "--store", "copy"],
    ] {
        let refused = foreign.run(arguments).ends(2).stderr;
        assert!(refused.contains("runs") && refused.contains("Permission denied"), "{refused}");
    }
}

#[test]
fn two_users_of_one_group_go_on_with_each_others_runs() {
    let bench = Bench::with_run(TINY);
    if !is_root(&bench) {
        // Only root can give files away.
        return;
    }
    let foreign = Foreign::new(&bench, READ, &["runs"]);
    done(&bench, "chmod", &["-R", "g=rwX", "runs"]);
    let run = ["run", "suite.yaml", "--device", "cpu"];
    output(foreign.command(false, &run)).ends(2);
    for more in [&["--seeds", "3"][..], &["--force"]] {
        output(foreign.command(true, &[&run[..], more].concat())).ends(0);
    }
    assert_eq!(bench.cells().len(), 6);
    bench.run(&["verify"]).ends(0);
    bench.run(&[&run[..], &["--seeds", "4"]].concat()).ends(0);
    output(foreign.command(true, &["report", "tiny", "--format", "json"])).ends(0);
}

#[test]
fn a_store_on_a_mount_that_is_read_only_is_read() {
    let bench = Bench::with_run(TINY);
    // Anybody may mount in a namespace of their own, where the system lets them.
    let own: &[&str] = if is_root(&bench) { &["-m"] } else { &["-r", "-m"] };
    let script = "mount --bind runs runs && mount -o remount,ro,bind runs && exec \"$0\" \"$@\"";
    let mounted = |program: &[&str]| {
        output(bench.prepared("unshare", &[own, &["sh", "-c", script], program].concat()))
    };
    let can = Command::new("unshare").args(own).arg("true").status();
    if !can.is_ok_and(|status| status.success()) || mounted(&["true"]).code != Some(0) {
        return;
    }
    is_read_and_not_written(&bench, &|arguments| {
        mounted(&[&[env!("CARGO_BIN_EXE_palimpsest")], arguments].concat())
    });
}

#[test]
fn what_may_not_be_written_besides_the_store_is_only_read_or_named() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    bench.write("cache/data/digits/.keep", "");
    let digits = crate::support::sources().cache_dir.join("data/digits/digits.csv.gz");
    fs::copy(digits, bench.path("cache/data/digits/digits.csv.gz")).unwrap();
    fs::create_dir(bench.path("temporary")).unwrap();
    let foreign = Foreign::new(&bench, READ, &["cache", "temporary"]);
    let run = |arguments: &[&str]| {
        let mut command = foreign.command(false, arguments);
        command
            .env("PALIMPSEST_CACHE", bench.path("cache"))
            .env("PALIMPSEST_DATA", bench.path("none"))
            .env("TMPDIR", bench.path("temporary"));
        output(command)
    };
    let before = bench.files("cache");
    run(&["run", "suite.yaml", "--device", "cpu"]).ends(0);
    run(&["report", "tiny", "--format", "json"]).ends(0);
    run(&["verify"]).ends(0);
    let refused = run(&["reproduce", &bench.cells()[0]]).ends(2).stderr;
    assert!(refused.contains("TMPDIR") && refused.contains("temporary/"), "{refused}");
    assert_eq!(bench.files("cache"), before);
}
