//! What the binary must know of its own source: digests, commit, and the suites it carries.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use sha2::{Digest, Sha256};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    // Code that decides results; a change of it makes new cells.
    let deciding = [
        "harness/ledger/src",
        "harness/data/src",
        "harness/lab/src",
        "harness/training/src",
        "harness/workloads/src",
        "methods/src",
    ];
    let mut files = vec![root.join("Cargo.lock")];
    for folder in deciding {
        println!("cargo:rerun-if-changed={folder}");
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut hasher = Sha256::new();
    for file in &files {
        let relative = file.strip_prefix(&root)?.to_string_lossy().replace('\\', "/");
        let bytes = fs::read(file)?;
        hasher.update((relative.len() as u64).to_le_bytes());
        hasher.update(relative);
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    set("CODE_DIGEST", &hex(&hasher.finalize()));
    println!("cargo:rerun-if-changed=Cargo.lock");
    set("CARGO_LOCK_DIGEST", &hex(&Sha256::digest(fs::read(root.join("Cargo.lock"))?)));

    for watched in [".git/HEAD", ".git/index", "harness", "reports/src", "suites"] {
        if root.join(watched).exists() {
            println!("cargo:rerun-if-changed={watched}");
        }
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(&root).args(arguments).output().ok()?;
        output.status.success().then_some(output.stdout)
    };
    if let Some(commit) = git(&["rev-parse", "HEAD"]) {
        set("GIT_COMMIT", String::from_utf8_lossy(&commit).trim());
        let diff = git(&["diff", "HEAD"]).unwrap_or_default();
        set("GIT_DIRTY", if diff.is_empty() { "false" } else { "true" });
        set("GIT_DIFF_DIGEST", &hex(&Sha256::digest(diff)));
    }

    let mut suites = Vec::new();
    collect(&root.join("suites"), &mut suites)?;
    suites.sort();
    let entries: Vec<String> = suites
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .filter_map(|path| {
            let name = path.strip_prefix(root.join("suites")).ok()?.with_extension("");
            Some(format!(
                "({:?}, include_str!({:?})),\n",
                name.to_string_lossy(),
                path.display().to_string()
            ))
        })
        .collect();
    let text = format!("&[\n{}]", entries.concat());
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("suites.rs"), text)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

fn set(name: &str, value: &str) {
    println!("cargo:rustc-env=PALIMPSEST_{name}={value}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
