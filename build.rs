//! What the binary must know of its own source: code digests, commit and changes, its suites.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use fingerprint::Tree;
use fingerprint::cells::{CellCode, EXTERNAL, Part};
use sha2::{Digest, Sha256};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// All that a program is built from.
const SOURCES: [&str; 7] =
    ["Cargo.toml", "Cargo.lock", "build.rs", "harness", "methods", "reports", "suites"];

fn main() -> Outcome<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    for watched in SOURCES {
        println!("cargo:rerun-if-changed={watched}");
    }
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    set("CARGO_LOCK_DIGEST", &hex(&Sha256::digest(&lock)));
    set("BUILD_DIGEST", &build_digest(&root)?);
    write_generated("code_digests.rs", &code_digests(&root, &lock)?)?;
    write_generated("suites.rs", &suites(&root)?)?;
    tell_commit(&root)
}

/// Digest of everything the programs are built from: two programs of one build share it.
fn build_digest(root: &Path) -> Outcome<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&root.join(source), &mut files)?;
    }
    let mut hasher = Sha256::new();
    for file in files {
        let (path, bytes) = (relative(root, &file)?, fs::read(&file)?);
        for part in [path.as_bytes(), &bytes] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    Ok(hex(&hasher.finalize()))
}

/// For every method and workload the digest of the code that decides their cells, for every workload
/// that of its common start, and that of order estimates.
fn code_digests(root: &Path, lock: &str) -> Outcome<String> {
    // How the same source computes: the target, and which instructions the compiler may use.
    let flags =
        ["TARGET", "CARGO_CFG_TARGET_FEATURE"].map(|name| env::var(name).unwrap_or_default());
    let code = CellCode::new(Tree::read(root)?, lock, &flags)?;
    let mut text = String::from("(&[\n");
    let mut methods = code.methods();
    methods.push(Part { id: "external".to_owned(), file: EXTERNAL.to_owned() });
    methods.sort_by(|a, b| a.id.cmp(&b.id));
    for method in methods {
        for workload in code.workloads() {
            let digest = code.cell(&method, &workload)?;
            writeln!(text, "({:?}, {:?}, {digest:?}),", method.id, workload.id)?;
        }
    }
    text.push_str("], &[\n");
    for workload in code.workloads() {
        writeln!(text, "({:?}, {:?}),", workload.id, code.start(&workload)?)?;
    }
    writeln!(text, "], {:?})", code.inspection()?)?;
    Ok(text)
}

/// The commit, whether what is built differs from it, and how: modified, deleted and new files count.
fn tell_commit(root: &Path) -> Outcome<()> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(root).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return Ok(()) };
    if let Some(folder) = git(&["rev-parse", "--absolute-git-dir"]) {
        for watched in ["HEAD", "index", "logs/HEAD"] {
            let path = Path::new(folder.trim()).join(watched);
            if path.exists() {
                println!("cargo:rerun-if-changed={}", path.display());
            }
        }
    }
    set("GIT_COMMIT", commit.trim());
    let asked = ["status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--"];
    let changed = git(&[&asked[..], &SOURCES].concat()).unwrap_or_default();
    // `XY path`, each ended by a zero byte.
    let mut paths: Vec<&str> = changed.split('\0').filter_map(|entry| entry.get(3..)).collect();
    paths.sort_unstable();
    set("GIT_DIRTY", if paths.is_empty() { "false" } else { "true" });
    if paths.is_empty() {
        return Ok(());
    }
    let mut hasher = Sha256::new();
    for path in paths {
        hasher.update((path.len() as u64).to_le_bytes());
        hasher.update(path);
        // A deleted file has no content.
        hasher.update(fs::read(root.join(path)).map(Sha256::digest).unwrap_or_default());
    }
    set("GIT_DIFF_DIGEST", &hex(&hasher.finalize()));
    Ok(())
}

/// Names and texts of the suites.
fn suites(root: &Path) -> Outcome<String> {
    let folder = root.join("suites");
    let mut files = Vec::new();
    collect(&folder, &mut files)?;
    let mut text = String::from("&[\n");
    for file in files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
    {
        let name = relative(&folder, &file.with_extension(""))?;
        writeln!(text, "({name:?}, include_str!({:?})),", file.display().to_string())?;
    }
    text.push(']');
    Ok(text)
}

/// All files at or below `path`, sorted.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    if path.is_dir() {
        let mut entries =
            fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Outcome<Vec<_>>>()?;
        entries.sort();
        for entry in entries {
            collect(&entry, files)?;
        }
    } else if path.exists() {
        files.push(path.to_owned());
    }
    Ok(())
}

fn relative(root: &Path, file: &Path) -> Outcome<String> {
    Ok(file.strip_prefix(root)?.to_string_lossy().replace('\\', "/"))
}

fn write_generated(name: &str, text: &str) -> Outcome<()> {
    Ok(fs::write(PathBuf::from(env::var("OUT_DIR")?).join(name), text)?)
}

fn set(name: &str, value: &str) {
    println!("cargo:rustc-env=PALIMPSEST_{name}={value}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
