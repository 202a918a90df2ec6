//! Where noise floors are kept: `<store>/floors/<suite>-<machine>.json`.

use std::fs;
use std::path::{Path, PathBuf};

use analysis::regress::{Machine, NoiseFloor};
use anyhow::Context as _;
use ledger::record::writer::write_atomic;

/// The file of a suite on a machine.
#[must_use]
pub fn file(store: &Path, suite: &str, machine: &Machine) -> PathBuf {
    store.join("floors").join(format!("{suite}-{}.json", machine.fingerprint))
}

/// Reads a floor; `None` when there is no such file.
///
/// # Errors
/// When it cannot be read, or is no noise floor.
pub fn read(path: &Path) -> anyhow::Result<Option<NoiseFloor>> {
    let shown = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(NoiseFloor::parse(&text, &shown)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {shown}")),
    }
}

/// Writes a floor, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, floor: &NoiseFloor) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let mut json = serde_json::to_vec_pretty(floor)?;
    json.push(b'\n');
    Ok(write_atomic(path, &json)?)
}
