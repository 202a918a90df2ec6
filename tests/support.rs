//! A folder with a store of its own, in which the program runs as a user would run it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use data::Sources;
use ledger::record::{RunRecord, Store};
use serde_json::Value;
use tempfile::TempDir;

/// Two arms on digits, four steps each: milliseconds.
pub const TINY: &str = "\
suite: tiny
question: Does it run at all?
workloads: [{ workload: digits-mlp, epochs: 0.1, evaluate_every: 0.05, target: { value: 0.05, origin: chance } }]
seeds: 2
baseline: sgd
settings: { batch_size: 32 }
arms:
  - { method: sgd, as: sgd, with: { lr: 0.05 } }
  - { method: adamw, as: adamw, with: { lr: 0.002 } }
";

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the digits are; a clear stop where set-up has not run.
pub fn sources() -> &'static Sources {
    static SOURCES: OnceLock<Sources> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let found = Sources::from_env(None);
        let holds_digits = |cache: &PathBuf| cache.join("data/digits/digits.csv.gz").is_file();
        let cache_dir = found.caches().into_iter().find(holds_digits).unwrap_or(found.cache_dir);
        let absolute = |path: PathBuf| std::path::absolute(path).unwrap();
        let sources =
            Sources { data_dir: absolute(found.data_dir), cache_dir: absolute(cache_dir) };
        if let Err(error) = data::load("digits", &sources) {
            panic!("these tests train on digits; run `just setup` first: {error}");
        }
        sources
    })
}

/// A program of those that read or check what goes out: of set-up's (`scripts/setup.py readers`), else of the machine's.
pub fn reader(name: &str) -> PathBuf {
    let cache = &sources().cache_dir;
    let mut made =
        ["readers", "checkers"].map(|folder| cache.join(folder).join("bin").join(name)).into_iter();
    let own = if name == "python" { "python3" } else { name };
    made.find(|made| made.is_file()).unwrap_or_else(|| PathBuf::from(own))
}

/// What a command left.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// The output of a command that must have ended with `code`.
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not one JSON document ({error}):\n{}", self.stdout))
    }
}

/// A temporary folder; commands run in it, with its `runs` as their store.
#[derive(Debug)]
pub struct Bench {
    folder: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A bench on which a suite has run.
    pub fn with_run(text: &str) -> Self {
        let bench = Self::new();
        bench.run_suite(text).ends(0);
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The program with `arguments`, apart from the user's own settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.prepared(env!("CARGO_BIN_EXE_palimpsest"), arguments)
    }

    /// The program by way of a shell that first runs `limits`.
    pub fn limited(&self, limits: &str, arguments: &[&str]) -> Command {
        let script = format!("{limits}; exec \"$0\" \"$@\"");
        let program = [script.as_str(), env!("CARGO_BIN_EXE_palimpsest")];
        self.prepared("sh", &[&["-c"], &program[..], arguments].concat())
    }

    /// Any program with `arguments`, with the data of this checkout.
    pub fn prepared(&self, program: &str, arguments: &[&str]) -> Command {
        let sources = sources();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PALIMPSEST_DATA", &sources.data_dir)
            .env("PALIMPSEST_CACHE", &sources.cache_dir)
            .env_remove("PALIMPSEST_STORE")
            .env_remove("NO_COLOR")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        output(self.command(arguments))
    }

    /// Writes the suite to `suite.yaml` and runs it.
    pub fn run_suite(&self, text: &str) -> Output {
        self.write("suite.yaml", text);
        self.run(&["run", "suite.yaml", "--device", "cpu"])
    }

    pub fn store(&self) -> Store {
        Store::at(&self.path("runs"))
    }

    /// Ids of all runs, sorted.
    pub fn cells(&self) -> Vec<String> {
        self.store().cells().unwrap()
    }

    /// All records, sorted by id.
    pub fn records(&self) -> Vec<RunRecord> {
        let store = self.store();
        self.cells().iter().map(|cell| store.record(cell).unwrap()).collect()
    }

    /// The record of an arm's method under an integer seed.
    pub fn record(&self, method: &str, seed: u64) -> RunRecord {
        let fits = |record: &RunRecord| record.method == method && record.seed == seed.to_string();
        self.records().into_iter().find(fits).unwrap()
    }

    /// Paths below `name`, relative to it, sorted; empty where there is nothing.
    pub fn files(&self, name: &str) -> Vec<String> {
        let folder = self.path(name);
        let mut found = Vec::new();
        let mut folders = vec![folder.clone()];
        while let Some(current) = folders.pop() {
            for entry in fs::read_dir(current).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&folder).unwrap().display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    /// Text without what differs from run to run: this folder, digests and times keep their width.
    pub fn redact(&self, text: &str) -> String {
        let text = text.replace(&self.folder.path().display().to_string(), "[folder]");
        let words = text.split_inclusive(|c: char| c.is_whitespace() || "\"',:()".contains(c));
        words.map(redact_word).collect()
    }
}

/// The outcome of a prepared command.
pub fn output(mut command: Command) -> Output {
    let output = command.output().unwrap();
    Output {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A Python with these packages, separated by blanks: the system's, or one in a virtual environment
/// beside the test binary.
pub fn python(packages: &str) -> PathBuf {
    let imports = format!("import {}", packages.replace(' ', ", "));
    let has_them = |python: &Path| {
        let import = Command::new(python).args(["-c", &imports]).output();
        import.is_ok_and(|output| output.status.success())
    };
    let system = PathBuf::from("python3");
    if has_them(&system) {
        return system;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(packages.replace(' ', "-"));
    // Tests run side by side, in one process or in several: one of them makes it.
    let lock = std::fs::File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let own = folder.join("bin/python");
    if has_them(&own) {
        return own;
    }
    let run = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let said = match &output {
            Ok(output) if output.status.success() => return,
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        panic!(
            "the scripts in docs need Python 3 with {packages}, and {} {} failed; install them for python3 \
             (`python3 -m pip install {packages}`) and run this test again: {said}",
            program.display(),
            arguments.join(" ")
        );
    };
    run(&system, &["-m", "venv", "--clear", folder.to_str().unwrap()]);
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(&own, &[&install[..], &packages.split(' ').collect::<Vec<_>>()].concat());
    own
}

fn redact_word(word: &str) -> String {
    let end = word.trim_end_matches(|c: char| c.is_whitespace() || "\"',:()".contains(c)).len();
    let (body, rest) = word.split_at(end);
    let digest = body.len() >= 16 && body.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digest { format!("{}{rest}", "#".repeat(body.len())) } else { word.to_owned() }
}
