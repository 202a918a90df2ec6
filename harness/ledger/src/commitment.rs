//! What a run promises before its first step, and the append-only, hash-chained index of all
//! promises of a store, so that an abandoned run cannot be hidden (order contract, version 1).
//!
//! Dropping lines from the *end* of an index leaves a shorter valid index. Who publishes
//! [`CommitmentIndex::head`], or keeps it in a run record, can show that too.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::layout::Layout;
use crate::order::{OrderLaw, Unit};
use crate::plain;

/// What fixes the order of a run before its first step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Merkle root of the training split.
    pub dataset_root: Digest,
    /// SHA-256 of the canonical JSON of the resolved cell.
    pub config_hash: Digest,
    /// Examples in the training split.
    pub examples: u64,
    /// Epochs planned.
    pub epochs: u32,
    /// Commitment to the seed.
    pub seed_commit: Digest,
    /// How the order is drawn; absent in promises of version 1, which leave that open.
    pub drawn: Option<Drawn>,
}

/// How an order is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// Its law.
    pub law: OrderLaw,
    /// What the law moves as one piece.
    pub unit: Unit,
    /// What the examples of a unit are there for, when the order gives them roles.
    pub layout: Option<Layout>,
    /// Source and round of the public randomness that will be mixed in, when one is promised.
    pub beacon_source: Option<String>,
}

impl Terms {
    /// The commitment of the run, h_0 of its step chain. Version 2 is
    /// SHA-256("palimpsest/run/v2" || dataset root || config hash || examples u64 LE || epochs u32 LE
    /// || seed commitment || law || 0 || unit || 0), with `" " || layout` behind the unit of an order with roles,
    /// and `|| beacon source || 0` where there is one; version 1, without [`Terms::drawn`], ends at the seed commitment and begins with
    /// "palimpsest/run/v1".
    #[must_use]
    pub fn commitment(&self) -> Digest {
        let (examples, epochs) = (self.examples.to_le_bytes(), self.epochs.to_le_bytes());
        let name: &[u8] = match self.drawn {
            None => b"palimpsest/run/v1",
            Some(_) => b"palimpsest/run/v2",
        };
        let mut parts: Vec<&[u8]> = vec![
            name,
            self.dataset_root.as_bytes(),
            self.config_hash.as_bytes(),
            &examples,
            &epochs,
            self.seed_commit.as_bytes(),
        ];
        let roles = self.drawn.as_ref().and_then(|drawn| drawn.layout.as_ref());
        let roles = roles.map(|layout| format!(" {layout}")).unwrap_or_default();
        if let Some(Drawn { law, unit, layout: _, beacon_source }) = &self.drawn {
            parts.extend([law.name().as_bytes(), b"\0", unit.name().as_bytes()]);
            parts.extend([roles.as_bytes(), b"\0"]);
            parts.extend(beacon_source.iter().flat_map(|source| [source.as_bytes(), b"\0"]));
        }
        Digest::of_parts(&parts)
    }
}

/// What a run commits to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitmentEntry {
    /// Cell id.
    pub cell: String,
    /// [`Terms::commitment`] of the fields below.
    pub commitment: Digest,
    /// Commitment to the seed.
    pub seed_commit: Digest,
    /// Merkle root of the training split.
    pub dataset_root: Digest,
    /// SHA-256 of the canonical JSON of the resolved cell.
    pub config_hash: Digest,
    /// Examples in the training split.
    pub examples: u64,
    /// Epochs planned.
    pub epochs: u32,
    /// Law of the order; with the unit from version 2 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub law: Option<OrderLaw>,
    /// What the law moves as one piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// What the examples of a unit are there for, when the order gives them roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Source and round of the public randomness that was promised to be mixed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beacon_source: Option<String>,
}

impl CommitmentEntry {
    /// An entry with its commitment computed.
    #[must_use]
    pub fn new(cell: String, terms: Terms) -> Self {
        let commitment = terms.commitment();
        let Terms { dataset_root, config_hash, examples, epochs, seed_commit, drawn } = terms;
        let (law, unit, layout, beacon_source) = match drawn {
            None => (None, None, None, None),
            Some(Drawn { law, unit, layout, beacon_source }) => {
                (Some(law), Some(unit), layout, beacon_source)
            }
        };
        Self {
            cell,
            commitment,
            seed_commit,
            dataset_root,
            config_hash,
            examples,
            epochs,
            law,
            unit,
            layout,
            beacon_source,
        }
    }

    fn recomputed(&self) -> Result<Digest, LineProblem> {
        let drawn = match (self.law, self.unit, &self.layout, &self.beacon_source) {
            (None, None, None, None) => None,
            (Some(law), Some(unit), layout, source) => {
                let (layout, beacon_source) = (layout.clone(), source.clone());
                Some(Drawn { law, unit, layout, beacon_source })
            }
            _ => return Err(LineProblem::HalfDrawn),
        };
        let terms = Terms {
            dataset_root: self.dataset_root,
            config_hash: self.config_hash,
            examples: self.examples,
            epochs: self.epochs,
            seed_commit: self.seed_commit,
            drawn,
        };
        Ok(terms.commitment())
    }
}

/// One line of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitmentLine {
    /// Number of the line, from 0.
    pub sequence: u64,
    /// Digest of the line before; [`CommitmentIndex::origin`] for the first.
    pub previous: Digest,
    /// The promise.
    pub entry: CommitmentEntry,
    /// SHA-256 of the canonical JSON of `[sequence, previous, entry]`.
    pub digest: Digest,
}

impl CommitmentLine {
    fn new(sequence: u64, previous: Digest, entry: CommitmentEntry) -> serde_json::Result<Self> {
        let digest = Digest::of_json(&(sequence, &previous, &entry))?;
        Ok(Self { sequence, previous, entry, digest })
    }
}

/// Why an index cannot be read or appended to.
#[derive(Debug, thiserror::Error)]
pub enum CommitmentError {
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The index.
        path: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// A line is broken; the first one is named.
    #[error("{}:{line}: {problem}", path.display())]
    Broken {
        /// The index.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// The entry to append does not add up.
    #[error("cell {cell}: {problem}")]
    BadEntry {
        /// Cell id.
        cell: String,
        /// What is wrong with it.
        problem: LineProblem,
    },
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum LineProblem {
    /// Not the JSON of a commitment line.
    #[error("not a commitment line: {0}")]
    Json(#[from] serde_json::Error),
    /// Another number than its place.
    #[error("sequence is {found}, expected {expected}: a line was removed, added or moved")]
    Sequence {
        /// Expected from its place.
        expected: u64,
        /// Found.
        found: u64,
    },
    /// Does not follow the line before.
    #[error("previous is {found}, but the line before has digest {expected}")]
    Previous {
        /// Digest of the line before.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// Its content was changed.
    #[error("digest is {found}, but the content hashes to {expected}: the line was changed")]
    Digest {
        /// Recomputed.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// A law without a unit, or the other way round.
    #[error(
        "law, unit, layout and beacon source are one: law and unit stand together, or none of the four"
    )]
    HalfDrawn,
    /// The commitment is not that of the fields beside it.
    #[error("commitment is {found}, but the fields beside it give {expected}")]
    Commitment {
        /// Recomputed.
        expected: Digest,
        /// Found.
        found: Digest,
    },
}

/// A verified index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentIndex {
    /// The lines, oldest first.
    pub lines: Vec<CommitmentLine>,
    /// Bytes of an unfinished last line, left by a writer that was killed; the next append
    /// removes them. No run started from them.
    pub torn_bytes: u64,
}

impl CommitmentIndex {
    /// What the first line follows: SHA-256("palimpsest/commitments/v1").
    #[must_use]
    pub fn origin() -> Digest {
        Digest::of(b"palimpsest/commitments/v1")
    }

    /// Digest of the last line: fixes the whole index, so publish this one.
    #[must_use]
    pub fn head(&self) -> Digest {
        self.lines.last().map_or_else(Self::origin, |line| line.digest)
    }

    /// Appends an entry under an exclusive lock and returns its line once it is on disk. A torn
    /// last line is removed first; a whole one is checked before it is followed.
    ///
    /// # Errors
    /// When the file system refuses, the last line is broken, or the entry's commitment is not
    /// that of its fields.
    pub fn append(path: &Path, entry: CommitmentEntry) -> Result<CommitmentLine, CommitmentError> {
        let io = |action| move |source| CommitmentError::Io { action, path: path.into(), source };
        check_commitment(&entry)
            .map_err(|problem| CommitmentError::BadEntry { cell: entry.cell.clone(), problem })?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io("open"))?;
        file.lock().map_err(io("lock"))?;
        let (mut from, mut bytes) = last_lines(&mut file).map_err(io("read"))?;
        let mut place = follow_last(whole_lines(&bytes)).filter(|_| from > 0);
        if place.is_none() {
            // A short index; or a last line that is at fault, of which the error tells the number.
            (from, bytes) = (0, Vec::new());
            file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(io("read"))?;
            let followed = follow(whole_lines(&bytes)).map_err(|(line, problem)| {
                CommitmentError::Broken { path: path.into(), line, problem }
            })?;
            place = Some(followed);
        }
        let (sequence, previous) = place.unwrap_or((0, CommitmentIndex::origin()));
        let length = from + whole_lines(&bytes).len() as u64;
        let bad = |problem: serde_json::Error| CommitmentError::BadEntry {
            cell: entry.cell.clone(),
            problem: problem.into(),
        };
        let line = CommitmentLine::new(sequence, previous, entry.clone()).map_err(bad)?;
        let mut text = serde_json_canonicalizer::to_vec(&line).map_err(bad)?;
        // JSON numbers are doubles: a count beyond 2^53 would come back as another one.
        parse_line(&text)
            .map_err(|problem| CommitmentError::BadEntry { cell: entry.cell.clone(), problem })?;
        text.push(b'\n');
        file.set_len(length).map_err(io("remove the torn last line of"))?;
        file.seek(SeekFrom::End(0)).map_err(io("append to"))?;
        file.write_all(&text).map_err(io("append to"))?;
        file.sync_all().map_err(io("sync"))?;
        if sequence == 0 {
            sync_folder(path).map_err(io("sync the folder of"))?;
        }
        Ok(line)
    }

    /// Reads an index, under a shared lock where there are locks, and checks every line.
    ///
    /// # Errors
    /// When the file cannot be read, or naming the first broken line.
    pub fn read_and_verify(path: &Path) -> Result<Self, CommitmentError> {
        let io = |action| move |source| CommitmentError::Io { action, path: path.into(), source };
        let mut file = plain::open(path).map_err(io("open"))?;
        // Where the file system has no locks, a line that is being written reads as a torn one.
        let _ = file.lock_shared();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read"))?;
        let whole = whole_lines(&bytes);
        let mut index = Self { lines: Vec::new(), torn_bytes: (bytes.len() - whole.len()) as u64 };
        for (number, text) in lines_of(whole) {
            let line = parse_line(text)
                .and_then(|line| check_place(&line, number - 1, index.head()).map(|()| line))
                .map_err(|problem| CommitmentError::Broken {
                    path: path.into(),
                    line: number,
                    problem,
                })?;
            index.lines.push(line);
        }
        Ok(index)
    }
}

/// The bytes up to the last line end.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    &bytes[..end]
}

/// Bytes of an index that are read first to append to it: some hundred lines.
const END: u64 = 1 << 16;

/// The end of an index that holds its last two whole lines, and where it begins; all of one that is short. What appending
/// costs does not grow with the index.
fn last_lines(file: &mut File) -> io::Result<(u64, Vec<u8>)> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut size = END;
    loop {
        let from = length.saturating_sub(size);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut bytes)?;
        let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
        if from == 0 || ends > 2 {
            return Ok((from, bytes));
        }
        size *= 2;
    }
}

/// What [`follow`] tells, from the last two lines; none where there are not as many or they do not follow each other.
fn follow_last(whole: &[u8]) -> Option<(u64, Digest)> {
    let mut lines = whole.strip_suffix(b"\n")?.rsplit(|&byte| byte == b'\n');
    let (last, before) = (parse_line(lines.next()?).ok()?, parse_line(lines.next()?).ok()?);
    let follows = last.sequence == before.sequence + 1 && last.previous == before.digest;
    follows.then_some((last.sequence + 1, last.digest))
}

/// Lines with their numbers from 1.
fn lines_of(whole: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let lines = whole.strip_suffix(b"\n").map(|text| text.split(|&byte| byte == b'\n'));
    (1..).zip(lines.into_iter().flatten())
}

/// The sequence number and previous digest of the line to come, after a check of the last one.
fn follow(whole: &[u8]) -> Result<(u64, Digest), (u64, LineProblem)> {
    let Some((number, text)) = lines_of(whole).last() else {
        return Ok((0, CommitmentIndex::origin()));
    };
    let line = parse_line(text).map_err(|problem| (number, problem))?;
    if line.sequence != number - 1 {
        let problem = LineProblem::Sequence { expected: number - 1, found: line.sequence };
        return Err((number, problem));
    }
    Ok((number, line.digest))
}

/// A line whose digest and commitment are those of its content.
fn parse_line(text: &[u8]) -> Result<CommitmentLine, LineProblem> {
    let line: CommitmentLine = serde_json::from_slice(text)?;
    let expected = Digest::of_json(&(line.sequence, &line.previous, &line.entry))?;
    if line.digest != expected {
        return Err(LineProblem::Digest { expected, found: line.digest });
    }
    check_commitment(&line.entry)?;
    Ok(line)
}

fn check_place(line: &CommitmentLine, sequence: u64, head: Digest) -> Result<(), LineProblem> {
    if line.sequence != sequence {
        return Err(LineProblem::Sequence { expected: sequence, found: line.sequence });
    }
    if line.previous != head {
        return Err(LineProblem::Previous { expected: head, found: line.previous });
    }
    Ok(())
}

fn check_commitment(entry: &CommitmentEntry) -> Result<(), LineProblem> {
    let expected = entry.recomputed()?;
    if entry.commitment == expected {
        Ok(())
    } else {
        Err(LineProblem::Commitment { expected, found: entry.commitment })
    }
}

/// Makes a new file's name durable; only Unix can open a folder for that.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
