//! Writes the registry: every `src/<family>/<method>.rs` is a method, and nothing else names it.
//!
//! The id is the file's name with dashes; the card is the file's `//!` comment. Checked here, so
//! that a mistake is reported against the method's file and not against generated code.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    println!("cargo:rerun-if-changed=src");
    let source = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("src");
    let mut modules = String::new();
    let mut entries = Vec::new();
    for family in sorted(&source)?.iter().filter(|path| path.is_dir()) {
        let family_name = stem(family)?;
        writeln!(modules, "#[doc = \"Family `{family_name}`.\"]\npub mod {family_name} {{")?;
        for file in
            sorted(family)?.iter().filter(|path| path.extension().is_some_and(|e| e == "rs"))
        {
            println!("cargo:rerun-if-changed={}", file.display());
            let name = stem(file)?;
            let text = fs::read_to_string(file)?;
            if !text.contains("pub static METHOD: Method") {
                return Err(
                    format!("{}: missing `pub static METHOD: Method`", file.display()).into()
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
        return Err(format!("two methods are called {:?}", pair[0].0).into());
    }
    writeln!(
        modules,
        "/// Every method, sorted by id.\npub static REGISTRY: &[lab::method::Entry] = &["
    )?;
    for (id, family, name, card) in &entries {
        writeln!(
            modules,
            "    lab::method::Entry {{ id: {id:?}, family: {family:?}, card: {card:?}, method: &{family}::{name}::METHOD }},"
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
