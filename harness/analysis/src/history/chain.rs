//! The lines of a history and the chain through them.
//!
//! A line is the canonical JSON (RFC 8785) of [`Line`]; its digest is the SHA-256 of the canonical
//! JSON of the line without `digest`. Dropping lines from the *end* leaves a shorter valid history:
//! the commits of the branch that it is kept in show that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::entry::{Better, Entry, Measured, text};
use super::error::{HistoryError, Problem};
use ledger::digest::Digest;

/// Version that this build writes where a line names software, and the last that it reads. A line
/// without is of version 1.
pub const HISTORY_VERSION: u32 = 2;
const LONGEST_NAME: usize = 200;

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// 1 to [`HISTORY_VERSION`].
    pub version: u32,
    /// Name of the suite.
    pub suite: String,
    /// Fingerprint of the machine.
    pub machine: String,
    /// Number of the line, from 0.
    pub sequence: u64,
    /// Digest of the line before; [`origin`] for the first.
    pub previous: Digest,
    /// What it says.
    pub entry: Entry,
    /// SHA-256 of the canonical JSON of the line without this field.
    pub digest: Digest,
}

/// What the first line follows: SHA-256("palimpsest/history/v1").
#[must_use]
pub fn origin() -> Digest {
    Digest::of(b"palimpsest/history/v1")
}

/// How a line starts: `digest` is the first key in canonical order.
const BEFORE_DIGEST: &str = "{\"digest\":\"";
/// Where the rest of a line starts, after the digest, its quote and a comma.
const REST: usize = BEFORE_DIGEST.len() + 64 + 2;

/// A verified history.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// Name to show in messages.
    pub file: String,
    /// Name of the suite.
    pub suite: String,
    /// Fingerprint of the machine.
    pub machine: String,
    /// The lines, oldest first.
    pub lines: Vec<Line>,
    /// Commits that were measured, and the index of their line.
    commits: BTreeMap<String, usize>,
    /// Metrics: unit, direction and the index of the line where they first appear.
    metrics: BTreeMap<String, (String, Better, usize)>,
}

impl History {
    /// An empty history.
    #[must_use]
    pub fn new(file: &str, suite: &str, machine: &str) -> Self {
        Self {
            file: file.to_owned(),
            suite: suite.to_owned(),
            machine: machine.to_owned(),
            lines: Vec::new(),
            commits: BTreeMap::new(),
            metrics: BTreeMap::new(),
        }
    }

    /// Reads and verifies the history of `suite` on `machine`; `file` is its name in messages. No
    /// bytes are an empty history.
    ///
    /// # Errors
    /// Naming the first broken line with what is wrong and the way out; a torn last line is an
    /// error as well, see [`whole_lines`].
    pub fn parse(
        file: &str,
        suite: &str,
        machine: &str,
        bytes: &[u8],
    ) -> Result<Self, HistoryError> {
        let mut history = Self::new(file, suite, machine);
        let whole = whole_lines(bytes);
        for text in whole.split_inclusive(|&byte| byte == b'\n') {
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let number = history.lines.len() as u64 + 1;
            let parsed = parse_line(text).and_then(|line| history.take(line));
            parsed.map_err(|problem| HistoryError::Broken {
                file: file.to_owned(),
                line: number,
                problem,
            })?;
        }
        if whole.len() < bytes.len() {
            return Err(HistoryError::Torn {
                file: file.to_owned(),
                line: history.lines.len() as u64 + 1,
                bytes: (bytes.len() - whole.len()) as u64,
            });
        }
        Ok(history)
    }

    /// Digest of the last line: fixes the whole history.
    #[must_use]
    pub fn head(&self) -> Digest {
        self.lines.last().map_or_else(origin, |line| line.digest)
    }

    /// What was measured, oldest first.
    pub fn measured(&self) -> impl Iterator<Item = &Measured> {
        self.lines.iter().filter_map(|line| match &line.entry {
            Entry::Measured(measured) => Some(measured),
            Entry::Accepted(_) => None,
        })
    }

    /// True when `commit` was measured.
    #[must_use]
    pub fn has(&self, commit: &str) -> bool {
        self.commits.contains_key(commit)
    }

    /// Unit and direction of every metric that was ever measured, by name.
    pub fn metrics(&self) -> impl Iterator<Item = (&str, &str, Better)> {
        self.metrics.iter().map(|(name, (unit, better, _))| (name.as_str(), unit.as_str(), *better))
    }

    /// Adds an entry and returns its line as bytes with the line end, to be written after the
    /// others.
    ///
    /// # Errors
    /// When the entry does not fit this history: a commit measured twice, another unit, a value that
    /// is not finite, an acceptance of something unknown. Nothing is added then.
    pub fn push(&mut self, entry: Entry) -> Result<Vec<u8>, HistoryError> {
        let sequence = self.lines.len() as u64;
        if let Entry::Measured(measured) = &entry {
            let seeds = self.check_seeds(measured);
            let file = || self.file.clone();
            seeds.map_err(|problem| HistoryError::BadEntry { file: file(), problem })?;
        }
        let line = Line {
            version: version_of(&entry),
            suite: self.suite.clone(),
            machine: self.machine.clone(),
            sequence,
            previous: self.head(),
            entry,
            digest: Digest([0; 32]),
        };
        let added = seal(line).and_then(|(line, bytes)| self.take(line).map(|()| bytes));
        added.map_err(|problem| HistoryError::BadEntry { file: self.file.clone(), problem })
    }

    /// Refuses one value of a metric of which the commit before it had several: a median over fewer
    /// seeds is another quantity, and its noise another noise.
    fn check_seeds(&self, measured: &Measured) -> Result<(), Problem> {
        let single = measured.metrics.iter().filter(|(_, metric)| metric.values.len() == 1);
        for name in single.map(|(name, _)| name) {
            let earlier = self.lines.iter().rev().find_map(|line| match &line.entry {
                Entry::Measured(earlier) => earlier.metrics.get(name),
                Entry::Accepted(_) => None,
            });
            if let Some(earlier) = earlier.filter(|earlier| earlier.values.len() > 1) {
                let (metric, before) = (name.clone(), earlier.values.len());
                return Err(Problem::OneSeed { metric, before });
            }
        }
        Ok(())
    }

    /// Takes a line whose digest holds, when it fits those before.
    fn take(&mut self, line: Line) -> Result<(), Problem> {
        let place = self.lines.len();
        if line.sequence != place as u64 {
            return Err(Problem::Sequence { expected: place as u64, found: line.sequence });
        }
        if line.previous != self.head() {
            return Err(Problem::Previous { expected: self.head(), found: line.previous });
        }
        let both = [("suite", &self.suite, &line.suite), ("machine", &self.machine, &line.machine)];
        for (what, expected, found) in both {
            text(what, found, LONGEST_NAME)?;
            if expected != found {
                let (expected, found) = (expected.clone(), found.clone());
                return Err(Problem::Mixed { what, expected, found });
            }
        }
        line.entry.check()?;
        match &line.entry {
            Entry::Measured(measured) => self.note(measured, place)?,
            Entry::Accepted(accepted) => {
                let remedy = "accept the commit that `palimpsest regress history` reports";
                if !self.has(&accepted.commit) {
                    let name = accepted.commit.clone();
                    return Err(Problem::Unknown { what: "commit", name, remedy });
                }
                let unknown =
                    accepted.metrics.iter().find(|name| !self.metrics.contains_key(*name));
                if let Some(name) = unknown {
                    let remedy = "metrics are named as `palimpsest regress history` prints them";
                    return Err(Problem::Unknown { what: "metric", name: name.clone(), remedy });
                }
            }
        }
        self.lines.push(line);
        Ok(())
    }

    /// Checks a measurement against those before and remembers it.
    fn note(&mut self, measured: &Measured, place: usize) -> Result<(), Problem> {
        let number = |index: usize| index as u64 + 1;
        if let Some(&first) = self.commits.get(&measured.commit) {
            let commit = measured.commit.clone();
            return Err(Problem::Duplicate { commit, first: number(first) });
        }
        for (name, metric) in &measured.metrics {
            let Some((unit, better, first)) = self.metrics.get(name) else { continue };
            let first = number(*first);
            if *unit != metric.unit {
                return Err(Problem::Unit {
                    metric: name.clone(),
                    found: metric.unit.clone(),
                    expected: unit.clone(),
                    first,
                });
            }
            if *better != metric.better {
                return Err(Problem::Direction {
                    metric: name.clone(),
                    found: metric.better,
                    expected: *better,
                    first,
                });
            }
        }
        for (name, metric) in &measured.metrics {
            if !self.metrics.contains_key(name) {
                self.metrics.insert(name.clone(), (metric.unit.clone(), metric.better, place));
            }
        }
        self.commits.insert(measured.commit.clone(), place);
        Ok(())
    }
}

/// The bytes up to the last line end: a repair keeps these.
#[must_use]
pub fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    &bytes[..end]
}

/// The digest of a canonical line: of the line without it.
fn digest_of(canonical: &[u8]) -> Digest {
    Digest::of_parts(&[b"{", canonical.get(REST..).unwrap_or_default()])
}

/// The line with its digest, and as written.
fn seal(mut line: Line) -> Result<(Line, Vec<u8>), Problem> {
    // JSON has no NaN: it would be written as null.
    line.entry.check()?;
    line.digest = digest_of(&serde_json_canonicalizer::to_vec(&line)?);
    let mut bytes = serde_json_canonicalizer::to_vec(&line)?;
    bytes.push(b'\n');
    Ok((line, bytes))
}

/// The version that a line of this entry has.
fn version_of(entry: &Entry) -> u32 {
    match entry {
        Entry::Measured(measured) if !measured.software.is_empty() => HISTORY_VERSION,
        Entry::Measured(_) | Entry::Accepted(_) => 1,
    }
}

/// What every version of a line has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// A line whose bytes are canonical and whose digest is that of its content.
fn parse_line(bytes: &[u8]) -> Result<Line, Problem> {
    let line: Line = match serde_json::from_slice(bytes) {
        Ok(line) => line,
        Err(error) => {
            // A newer line may have fields that this build does not know: say that instead.
            return Err(match serde_json::from_slice(bytes) {
                Ok(Versioned { version: found }) if found > HISTORY_VERSION => {
                    Problem::Newer { found, known: HISTORY_VERSION }
                }
                _ => error.into(),
            });
        }
    };
    if !(1..=HISTORY_VERSION).contains(&line.version) {
        return Err(Problem::Newer { found: line.version, known: HISTORY_VERSION });
    }
    let canonical = serde_json_canonicalizer::to_vec(&line)?;
    if canonical != bytes {
        let same = canonical.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        return Err(Problem::NotCanonical { at: same + 1 });
    }
    let expected = digest_of(&canonical);
    if line.digest != expected {
        return Err(Problem::Digest { expected, found: line.digest });
    }
    Ok(line)
}

#[cfg(test)]
mod tests;
