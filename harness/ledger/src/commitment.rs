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

/// The commitment of a run, h_0 of its step chain: SHA-256("palimpsest/run/v1" || dataset root ||
/// config hash || examples u64 LE || epochs u32 LE || seed commitment).
#[must_use]
pub fn run_commitment(
    dataset_root: &Digest,
    config_hash: &Digest,
    examples: u64,
    epochs: u32,
    seed_commit: &Digest,
) -> Digest {
    Digest::of_parts(&[
        b"palimpsest/run/v1",
        dataset_root.as_bytes(),
        config_hash.as_bytes(),
        &examples.to_le_bytes(),
        &epochs.to_le_bytes(),
        seed_commit.as_bytes(),
    ])
}

/// What a run commits to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitmentEntry {
    /// Cell id.
    pub cell: String,
    /// [`run_commitment`] of the fields below.
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
}

impl CommitmentEntry {
    /// An entry with its commitment computed.
    #[must_use]
    pub fn new(
        cell: String,
        dataset_root: Digest,
        config_hash: Digest,
        examples: u64,
        epochs: u32,
        seed_commit: Digest,
    ) -> Self {
        let commitment =
            run_commitment(&dataset_root, &config_hash, examples, epochs, &seed_commit);
        Self { cell, commitment, seed_commit, dataset_root, config_hash, examples, epochs }
    }

    fn recomputed(&self) -> Digest {
        run_commitment(
            &self.dataset_root,
            &self.config_hash,
            self.examples,
            self.epochs,
            &self.seed_commit,
        )
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
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read"))?;
        let whole = whole_lines(&bytes);
        let (sequence, previous) = follow(whole).map_err(|(line, problem)| {
            CommitmentError::Broken { path: path.into(), line, problem }
        })?;
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
        file.set_len(whole.len() as u64).map_err(io("remove the torn last line of"))?;
        file.seek(SeekFrom::End(0)).map_err(io("append to"))?;
        file.write_all(&text).map_err(io("append to"))?;
        file.sync_all().map_err(io("sync"))?;
        if sequence == 0 {
            sync_folder(path).map_err(io("sync the folder of"))?;
        }
        Ok(line)
    }

    /// Reads an index under a shared lock and checks every line.
    ///
    /// # Errors
    /// When the file cannot be read, or naming the first broken line.
    pub fn read_and_verify(path: &Path) -> Result<Self, CommitmentError> {
        let io = |action| move |source| CommitmentError::Io { action, path: path.into(), source };
        let mut file = File::open(path).map_err(io("open"))?;
        file.lock_shared().map_err(io("lock"))?;
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
    let expected = entry.recomputed();
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
mod tests {
    use std::fs;

    use super::*;

    fn entry(number: u64) -> CommitmentEntry {
        let root = Digest::of(b"root");
        let config = Digest::of(&number.to_le_bytes());
        CommitmentEntry::new(format!("cell-{number}"), root, config, 10, 3, Digest::of(b"seed"))
    }

    /// An index of `n` lines and the text of it.
    fn index(n: u64) -> (tempfile::TempDir, PathBuf, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("commitments.jsonl");
        for number in 0..n {
            CommitmentIndex::append(&path, entry(number)).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        (folder, path, text)
    }

    fn broken_line(path: &Path) -> (u64, LineProblem) {
        match CommitmentIndex::read_and_verify(path).unwrap_err() {
            CommitmentError::Broken { line, problem, .. } => (line, problem),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_commitment_hashes_its_parts_in_the_order_of_the_contract() {
        let [root, config, seed] = [[1; 32], [2; 32], [3; 32]].map(Digest);
        let mut text = b"palimpsest/run/v1".to_vec();
        text.extend([1; 32]);
        text.extend([2; 32]);
        text.extend([10, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
        text.extend([3; 32]);
        assert_eq!(run_commitment(&root, &config, 10, 3, &seed), Digest::of(&text));
    }

    #[test]
    fn appended_lines_are_chained_and_read_back() {
        let (_folder, path, _) = index(3);
        let index = CommitmentIndex::read_and_verify(&path).unwrap();
        assert_eq!(index.torn_bytes, 0);
        assert_eq!(index.lines[0].previous, CommitmentIndex::origin());
        assert_eq!(index.lines[2].previous, index.lines[1].digest);
        assert_eq!(index.head(), index.lines[2].digest);
        let entries: Vec<_> = index.lines.into_iter().map(|line| line.entry).collect();
        assert_eq!(entries, [entry(0), entry(1), entry(2)]);
    }

    #[test]
    fn a_writer_killed_at_any_byte_of_its_line_leaves_an_index_that_goes_on() {
        let (_folder, path, text) = index(3);
        let kept = text.trim_end().rfind('\n').unwrap() + 1;
        for cut in kept..text.len() {
            fs::write(&path, &text[..cut]).unwrap();
            let torn = CommitmentIndex::read_and_verify(&path).unwrap();
            assert_eq!(torn.lines.len(), 2, "cut at byte {cut}");
            assert_eq!(torn.torn_bytes, (cut - kept) as u64);
            let line = CommitmentIndex::append(&path, entry(2)).unwrap();
            assert_eq!(line.sequence, 2);
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "cut at byte {cut}");
        }
    }

    #[test]
    fn a_writer_killed_in_the_first_line_leaves_an_empty_index() {
        let (_folder, path, text) = index(1);
        for cut in 0..text.len() {
            fs::write(&path, &text[..cut]).unwrap();
            assert!(CommitmentIndex::read_and_verify(&path).unwrap().lines.is_empty());
            CommitmentIndex::append(&path, entry(0)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn every_changed_byte_is_found_in_its_line() {
        let (_folder, path, text) = index(2);
        let first_line = text.find('\n').unwrap();
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let (line, _) = broken_line(&path);
            let expected = if at <= first_line { 1 } else { 2 };
            assert_eq!(line, expected, "byte {at}");
        }
    }

    #[test]
    fn removed_moved_and_repeated_lines_are_found() {
        let (_folder, path, text) = index(4);
        let lines: Vec<&str> = text.lines().collect();
        for (order, first_broken) in [
            (&[1, 2, 3][..], 1),
            (&[0, 2, 3], 2),
            (&[0, 1, 3], 3),
            (&[1, 0, 2, 3], 1),
            (&[0, 1, 3, 2], 3),
            (&[0, 0, 1, 2, 3], 2),
        ] {
            let text: String = order.iter().map(|&i| format!("{}\n", lines[i])).collect();
            fs::write(&path, text).unwrap();
            let (line, problem) = broken_line(&path);
            assert_eq!(line, first_broken, "{order:?}");
            assert!(matches!(problem, LineProblem::Sequence { .. }), "{problem}");
        }
    }

    #[test]
    fn a_line_with_a_digest_of_its_own_breaks_the_line_after_it() {
        let (_folder, path, text) = index(3);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let line =
            CommitmentLine::new(1, parse_line(lines[0].as_bytes()).unwrap().digest, entry(9));
        lines[1] = serde_json::to_string(&line.unwrap()).unwrap();
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        let (line, problem) = broken_line(&path);
        assert_eq!(line, 3);
        assert!(matches!(problem, LineProblem::Previous { .. }), "{problem}");
    }

    #[test]
    fn nothing_is_appended_to_a_broken_last_line() {
        let (_folder, path, text) = index(2);
        let broken = text.replace("cell-1", "cell-7");
        fs::write(&path, &broken).unwrap();
        let error = CommitmentIndex::append(&path, entry(2)).unwrap_err();
        assert!(matches!(error, CommitmentError::Broken { line: 2, .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), broken);
    }

    #[test]
    fn an_entry_whose_commitment_is_not_its_own_is_refused() {
        let (_folder, path, text) = index(1);
        let mut wrong = entry(1);
        wrong.epochs += 1;
        let error = CommitmentIndex::append(&path, wrong).unwrap_err();
        assert!(error.to_string().starts_with("cell cell-1: commitment is "), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_count_that_json_would_round_is_refused() {
        let (_folder, path, text) = index(1);
        let [root, config, seed] = [Digest::of(b"r"), Digest::of(b"c"), Digest::of(b"s")];
        let entry = CommitmentEntry::new("c".into(), root, config, (1 << 53) + 1, 1, seed);
        let error = CommitmentIndex::append(&path, entry).unwrap_err();
        assert!(matches!(error, CommitmentError::BadEntry { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn writers_at_the_same_time_lose_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("commitments.jsonl");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for number in 0..10 {
                        CommitmentIndex::append(path, entry(10 * writer + number)).unwrap();
                    }
                });
            }
        });
        assert_eq!(CommitmentIndex::read_and_verify(&path).unwrap().lines.len(), 40);
    }

    #[test]
    fn a_missing_index_is_named() {
        let error = CommitmentIndex::read_and_verify(Path::new("no/such/index")).unwrap_err();
        assert_eq!(error.to_string(), "cannot open no/such/index");
    }
}
