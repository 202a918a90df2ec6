//! What can be wrong with a history.

use std::io;
use std::path::PathBuf;

use super::entry::{Better, LARGEST};
use ledger::digest::Digest;

/// What is wrong with a line, or with an entry that was to become one.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Not the JSON of a line.
    #[error(
        "not a line of a history ({0}); restore the file from its branch, where every version is kept"
    )]
    Json(#[from] serde_json::Error),
    /// JSON, but not as this program writes it.
    #[error(
        "not in canonical form from byte {at} on: something else wrote it; restore the file from its branch"
    )]
    NotCanonical {
        /// First byte that differs, from 1.
        at: usize,
    },
    /// A newer Palimpsest wrote it.
    #[error(
        "has history version {found}, but this build reads version {known}; use the palimpsest that wrote it"
    )]
    Newer {
        /// Its version.
        found: u32,
        /// The version this build reads.
        known: u32,
    },
    /// Another number than its place.
    #[error(
        "sequence is {found}, expected {expected}: a line was removed, added or moved; restore the file from its branch"
    )]
    Sequence {
        /// Expected from its place.
        expected: u64,
        /// Found.
        found: u64,
    },
    /// Does not follow the line before.
    #[error(
        "previous is {found}, but the line before has digest {expected}: the chain is broken; restore the file from its branch"
    )]
    Previous {
        /// Digest of the line before.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// Its content was changed.
    #[error(
        "digest is {found}, but the content hashes to {expected}: the line was changed; restore the file from its branch"
    )]
    Digest {
        /// Recomputed.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// Of another suite or machine than the first line, or than the file is for.
    #[error(
        "{what} is {found:?}, but this history is of {expected:?}: keep one file per suite and machine"
    )]
    Mixed {
        /// `suite` or `machine`.
        what: &'static str,
        /// That of the history.
        expected: String,
        /// That of the line.
        found: String,
    },
    /// Measured twice.
    #[error(
        "commit {commit} was measured on line {first} already: one line per commit, with all its values"
    )]
    Duplicate {
        /// The commit.
        commit: String,
        /// Line number, from 1.
        first: u64,
    },
    /// A metric in another unit than before.
    #[error(
        "metric {metric:?} is in {found:?}, but in {expected:?} on line {first}: give the metric in the new unit a new name"
    )]
    Unit {
        /// The metric.
        metric: String,
        /// Unit found.
        found: String,
        /// Unit before.
        expected: String,
        /// Line number, from 1.
        first: u64,
    },
    /// A metric that improves the other way than before.
    #[error(
        "metric {metric:?} is better {found:?}, but {expected:?} on line {first}: give it a new name"
    )]
    Direction {
        /// The metric.
        metric: String,
        /// Direction found.
        found: Better,
        /// Direction before.
        expected: Better,
        /// Line number, from 1.
        first: u64,
    },
    /// A value that is no number, or too large to be squared.
    #[error(
        "metric {metric:?}, value {index} is {value}: values are finite and at most {LARGEST:e} in magnitude; leave a failed run out"
    )]
    Value {
        /// The metric.
        metric: String,
        /// Position of the value, from 0.
        index: usize,
        /// The value.
        value: f64,
    },
    /// One value where the history has several.
    #[error(
        "metric {metric:?} has one value, but {before} at the commit before: measure as many seeds, or give the suite another name"
    )]
    OneSeed {
        /// The metric.
        metric: String,
        /// How many values it had.
        before: usize,
    },
    /// A metric without a value.
    #[error("metric {metric:?} has no value: leave it out")]
    NoValue {
        /// The metric.
        metric: String,
    },
    /// Not a commit id.
    #[error(
        "commit {found:?} is not 40 or 64 lower-case hexadecimal characters: pass the full id, as `git rev-parse HEAD` prints it"
    )]
    Commit {
        /// As given.
        found: String,
    },
    /// An accepted change of something that the history does not have.
    #[error("{what} {name:?} is not in this history: {remedy}")]
    Unknown {
        /// `commit` or `metric`.
        what: &'static str,
        /// As given.
        name: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Nothing where something must be said.
    #[error("{what} is empty: say it")]
    Empty {
        /// Of what.
        what: &'static str,
    },
    /// Too long, or with control characters.
    #[error(
        "{what} {found:?} must be one line of at most {longest} characters without control characters"
    )]
    Text {
        /// Of what.
        what: &'static str,
        /// Most characters.
        longest: usize,
        /// Its first characters.
        found: String,
    },
}

/// Why a history cannot be read, appended to or analysed.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// A line is broken; the first one is named.
    #[error("{file}:{line}: {problem}")]
    Broken {
        /// The history.
        file: String,
        /// Line number, from 1.
        line: u64,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The last line has no end: a writer was killed, or the file was cut.
    #[error(
        "{file}:{line}: the last line is torn: {bytes} bytes without a line end, as a killed writer leaves them; \
         `palimpsest regress history SUITE --file FILE --repair` drops them and keeps the {} whole lines", line - 1
    )]
    Torn {
        /// The history.
        file: String,
        /// Line number, from 1.
        line: u64,
        /// Bytes of the unfinished line.
        bytes: u64,
    },
    /// The entry to append does not fit.
    #[error("{file}: cannot append: {problem}")]
    BadEntry {
        /// The history.
        file: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// An option of the analysis is out of range.
    #[error("{option} is {found}: it must be {range}")]
    Option {
        /// Its name.
        option: &'static str,
        /// As given.
        found: String,
        /// What it may be.
        range: &'static str,
    },
}
