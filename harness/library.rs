//! What this build carries: the digests of its code, and the suites.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use ledger::catalogue::hint;
use ledger::catalogue::listing::Listing;
use serde::{Deserialize, Serialize};

/// Suites compiled in: name and text.
const SUITES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/suites.rs"));

/// How long suites took where somebody measured it: beside the suites, so that it is seen where they
/// are changed.
const TAKES: &str = include_str!("../suites/takes.csv");

/// Digests of (method, workload), of the workload's common start, and of order estimates.
type CodeDigests = (
    &'static [(&'static str, &'static str, &'static str)],
    &'static [(&'static str, &'static str)],
    &'static str,
);

const CODE_DIGESTS: CodeDigests = include!(concat!(env!("OUT_DIR"), "/code_digests.rs"));

/// Digest of the code that decides the cells of a method on a workload: the files that the loop, the
/// method and the workload name, and what those name, without comments and tests. The empty digest
/// where this build has none of that name.
#[must_use]
pub fn cell_code(method: &str, workload: &str) -> &'static str {
    let (cells, ..) = CODE_DIGESTS;
    let found =
        cells.binary_search_by_key(&(method, workload), |(method, workload, _)| (method, workload));
    found.map_or("", |index| cells[index].2)
}

/// Digest of the code that decides the weights that all cells of a workload start from.
#[must_use]
pub fn start_code(workload: &str) -> &'static str {
    let (_, starts, _) = CODE_DIGESTS;
    let found = starts.binary_search_by_key(&workload, |(workload, _)| workload);
    found.map_or("", |index| starts[index].1)
}

/// Digest of the code that order estimates are computed by, beside that of their cell.
#[must_use]
pub fn estimate_code() -> &'static str {
    CODE_DIGESTS.2
}

/// Digest of everything this program is built from: the two programs of one build share it.
#[must_use]
pub fn build_digest() -> &'static str {
    env!("PALIMPSEST_BUILD_DIGEST")
}

/// Variable by which the front tells the engine its build digest.
pub const FRONT_DIGEST: &str = "PALIMPSEST_FRONT_DIGEST";

/// What to do when front and engine do not fit together.
pub const BUILD_BOTH: &str = if cfg!(debug_assertions) {
    "build both programs: `cargo build --bins`"
} else {
    "build both programs: `cargo build --release --bins`"
};

/// The catalogue's rows as the engine prints them and the front keeps them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Carried {
    /// Digest of the build that printed them.
    pub build_digest: String,
    /// The rows.
    pub listing: Listing,
}

/// A suite's text and the name to show in messages.
pub struct SuiteText {
    /// File as shown in messages.
    pub file: String,
    /// YAML.
    pub text: String,
}

/// Finds a suite: a file, `suites/<name>.yaml` below the working folder, or one compiled in.
///
/// # Errors
/// When there is none of that name, with the nearest one, or its file cannot be read.
pub fn suite(name: &str) -> anyhow::Result<SuiteText> {
    let local = format!("suites/{name}.yaml");
    let candidates = [name, local.as_str()];
    // Anything but a folder: a shell gives `<(…)` as a pipe.
    let readable = |file: &&str| Path::new(file).exists() && !Path::new(file).is_dir();
    if let Some(file) = candidates.into_iter().find(readable) {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
        return Ok(SuiteText { file: file.to_owned(), text });
    }
    if let Some((_, text)) = SUITES.iter().find(|(known, _)| *known == name) {
        return Ok(SuiteText { file: format!("suites/{name}.yaml"), text: (*text).to_owned() });
    }
    let names = SUITES.iter().map(|(name, _)| *name).filter(|name| !name.ends_with(TUNED));
    let names: Vec<&str> = names.collect();
    let below: Vec<&str> =
        names.iter().copied().filter(|known| known.rsplit('/').next() == Some(name)).collect();
    if let [below] = below[..] {
        bail!("there is no suite \"{name}\"; did you mean \"{below}\"?");
    }
    bail!("there is no suite \"{name}\": no such file, and none of that name{}", hint(name, names))
}

/// Whether two arguments name one suite: the same word, or the same file by its name and its path.
#[must_use]
pub fn is_same_suite(one: &str, other: &str) -> bool {
    let file = |name: &str| {
        let found = suite(name).ok()?.file;
        Some(fs::canonicalize(&found).unwrap_or_else(|_| found.into()))
    };
    one == other || file(one).is_some_and(|one| file(other) == Some(one))
}

/// How the frozen file of a suite's tuned settings ends, in place of `.yaml`.
const TUNED: &str = ".tuned";

/// The frozen file beside a suite, where tuned settings are written down: its name, and its text where
/// there is one; that of a suite compiled in is compiled in with it.
///
/// # Errors
/// When it is there but cannot be read.
pub fn tuned(suite: &SuiteText) -> anyhow::Result<(String, Option<String>)> {
    let stem = suite.file.strip_suffix(".yaml").unwrap_or(&suite.file);
    let file = format!("{stem}{TUNED}.yaml");
    if Path::new(&file).is_file() {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        return Ok((file, Some(text)));
    }
    if Path::new(&suite.file).is_file() {
        return Ok((file, None));
    }
    let name = stem.strip_prefix("suites/").map(|name| format!("{name}{TUNED}"));
    let found = SUITES.iter().find(|(known, _)| name.as_deref() == Some(*known));
    Ok((file, found.map(|(_, text)| (*text).to_owned())))
}

/// Names and questions of the suites compiled in.
#[must_use]
pub fn suites() -> Vec<(&'static str, String)> {
    let question = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("question: "));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let suites = SUITES.iter().filter(|(name, _)| !name.ends_with(TUNED));
    suites.map(|(name, text)| (*name, question(text))).collect()
}

/// How long a suite took, once, on a named machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Takes {
    /// Wall time in seconds, with one worker.
    pub seconds: u32,
    /// Seeds that ran.
    pub seeds: u32,
    /// The machine.
    pub machine: &'static str,
    /// The day.
    pub date: &'static str,
}

/// What is written down of a suite; none where nobody measured it.
#[must_use]
pub fn takes(suite: &str) -> Option<Takes> {
    let rows = TAKES.lines().filter(|line| !line.starts_with('#')).skip(1);
    let mut rows = rows.map(|line| line.split(',').collect::<Vec<_>>());
    rows.find_map(|row| match row[..] {
        [name, seconds, seeds, machine, date] if name == suite => Some(Takes {
            seconds: seconds.parse().ok()?,
            seeds: seeds.parse().ok()?,
            machine,
            date,
        }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_takes_is_whole_and_of_a_suite() {
        let rows = TAKES.lines().filter(|line| !line.starts_with('#')).skip(1);
        let names: Vec<_> = rows.map(|row| row.split(',').next().unwrap_or_default()).collect();
        assert!(names.is_sorted() && !names.is_empty(), "{names:?}");
        for name in names {
            assert!(SUITES.iter().any(|(suite, _)| *suite == name), "there is no suite {name}");
            let takes = takes(name).unwrap_or_else(|| panic!("{name}: not five fields"));
            assert!(takes.seconds > 0 && takes.seeds > 0 && takes.date.len() == 10, "{takes:?}");
        }
        assert_eq!(takes("no-such-suite"), None);
    }
}
