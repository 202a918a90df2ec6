//! Writes the registry: every `src/<family>/<id>.rs` is a workload, and nothing else names it.
//!
//! The id is the file's name with dashes; the card is the file's `//!` comment. What several
//! workloads share lies in `src/shared/`, which is no family. Checked here, so that a mistake is reported against the workload's file and not
//! against generated code.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    println!("cargo:rerun-if-changed=src");
    let source = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("src");
    let mut modules = String::new();
    let mut entries = Vec::new();
    for family in sorted(&source)?.iter().filter(|path| path.is_dir() && !path.ends_with("shared"))
    {
        let family_name = stem(family)?;
        writeln!(modules, "#[doc = \"Family `{family_name}`.\"]\npub mod {family_name} {{")?;
        for file in
            sorted(family)?.iter().filter(|path| path.extension().is_some_and(|e| e == "rs"))
        {
            println!("cargo:rerun-if-changed={}", file.display());
            let name = stem(file)?;
            let text = fs::read_to_string(file)?;
            if !text.contains("pub static WORKLOAD: Workload") {
                return Err(
                    format!("{}: missing `pub static WORKLOAD: Workload`", file.display()).into()
                );
            }
            let card = card(&text);
            if !card.starts_with("# ") {
                return Err(format!(
                    "{}: the doc comment must start with `//! # Title`",
                    file.display()
                )
                .into());
            }
            writeln!(
                modules,
                "    #[path = {:?}]\n    pub mod {name};",
                file.display().to_string()
            )?;
            entries.push((name.replace('_', "-"), family_name.clone(), name, card));
        }
        modules.push_str("}\n");
    }
    entries.sort();
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("two workloads are called {:?}", pair[0].0).into());
    }
    writeln!(
        modules,
        "/// Every workload, sorted by id.\npub static REGISTRY: &[training::workload::Entry] = &["
    )?;
    for (id, family, name, card) in &entries {
        writeln!(
            modules,
            "    training::workload::Entry {{ id: {id:?}, family: {family:?}, card: {card:?}, workload: &{family}::{name}::WORKLOAD }},"
        )?;
    }
    modules.push_str("];\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("registry.rs"), modules)?;
    Ok(())
}

fn sorted(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut paths =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Outcome<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn stem(path: &Path) -> Outcome<String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    Ok(stem.ok_or_else(|| format!("{}: not a UTF-8 name", path.display()))?.to_owned())
}

/// The file's leading `//!` lines as Markdown.
fn card(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.starts_with("//!"));
    let lines = lines.map(|line| line.strip_prefix("//! ").unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}
