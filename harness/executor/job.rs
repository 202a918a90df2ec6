//! A suite in the hands of a scheduler: its folder in the store, from which it can be watched again
//! after the process that handed it in is gone.
//!
//! ```text
//! jobs/NAME/job.json        this, rewritten whole
//! jobs/NAME/array.sbatch    what was handed in (job.yaml for Kubernetes)
//! jobs/NAME/part-K/         the store of part K, until it is brought into this one
//! jobs/NAME/part-K.log      what part K said
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ledger::digest::Digest;
use ledger::plain;
use ledger::record::Store;
use ledger::record::writer::write_atomic;
use serde::{Deserialize, Serialize};

/// Version of the file.
const VERSION: u32 = 1;

/// Who runs the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An array job of Slurm.
    Slurm,
    /// An Indexed Job of Kubernetes, which the user applies.
    Kubernetes,
}

/// A suite in the hands of a scheduler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    version: u32,
    /// Its name, which is that of its folder.
    pub name: String,
    /// Who runs it.
    pub executor: Kind,
    /// SHA-256 of the suite's text.
    pub suite_digest: Digest,
    /// Options that leave out, add or change a part of the suite, as they were typed.
    pub options: Vec<String>,
    /// Number of parts.
    pub parts: u32,
    /// Every array that was handed in: the scheduler's id, and the parts in it.
    pub handed_in: BTreeMap<String, Vec<u32>>,
    /// Whether all that came of it is in the store.
    pub over: bool,
    #[serde(skip)]
    folder: PathBuf,
}

impl Job {
    /// Takes a folder in the store that no other job has.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn take_place(
        store: &Store,
        suite: &str,
        suite_digest: Digest,
        options: &[String],
        executor: Kind,
        parts: u32,
    ) -> anyhow::Result<Self> {
        let jobs = jobs(store);
        fs::create_dir_all(&jobs).with_context(|| format!("cannot create {}", jobs.display()))?;
        for number in 1_u32.. {
            let name = format!("{suite}-{number}");
            let folder = jobs.join(&name);
            match fs::create_dir(&folder) {
                Ok(()) => {
                    let handed_in = BTreeMap::new();
                    let version = VERSION;
                    let (over, options) = (false, options.to_vec());
                    let job = Self {
                        version,
                        name,
                        executor,
                        suite_digest,
                        options,
                        parts,
                        handed_in,
                        over,
                        folder,
                    };
                    job.save()?;
                    return Ok(job);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("cannot create {}", folder.display()));
                }
            }
        }
        bail!("{} is full", jobs.display())
    }

    /// The job of that name, or the one that the scheduler knows by that id.
    ///
    /// # Errors
    /// When there is none, with those that are not over; when its file cannot be read.
    pub fn find(store: &Store, wanted: &str) -> anyhow::Result<Self> {
        let all = Self::all(store)?;
        let known = |job: &&Self| job.name == wanted || job.handed_in.contains_key(wanted);
        if let Some(found) = all.iter().find(known) {
            return Ok(found.clone());
        }
        let open: Vec<&str> =
            all.iter().filter(|job| !job.over).map(|job| job.name.as_str()).collect();
        let open = match open.as_slice() {
            [] => "none is open".to_owned(),
            names => format!("open are {}", names.join(", ")),
        };
        bail!("there is no job \"{wanted}\" in {}; {open}", jobs(store).display())
    }

    /// All jobs of a store, by name.
    fn all(store: &Store) -> anyhow::Result<Vec<Self>> {
        let Ok(list) = fs::read_dir(jobs(store)) else { return Ok(Vec::new()) };
        let mut folders: Vec<PathBuf> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
        folders.sort();
        let files = folders.into_iter().filter(|folder| folder.join("job.json").is_file());
        files.map(Self::read).collect()
    }

    fn read(folder: PathBuf) -> anyhow::Result<Self> {
        let path = folder.join("job.json");
        let shown = path.display().to_string();
        let bytes =
            plain::read_at_most(&path, 1 << 20).with_context(|| format!("cannot read {shown}"))?;
        let read: Self =
            serde_json::from_slice(&bytes).with_context(|| format!("{shown} is damaged"))?;
        if read.version > VERSION {
            bail!("{shown} has version {}, and this build reads {VERSION}", read.version);
        }
        Ok(Self { folder, ..read })
    }

    /// Writes its file anew.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        Ok(write_atomic(&self.folder.join("job.json"), text.as_bytes())?)
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The store of a part.
    #[must_use]
    pub fn part(&self, part: u32) -> PathBuf {
        self.folder.join(format!("part-{part}"))
    }

    /// What a part said, to the last line but `lines`.
    #[must_use]
    pub fn last_words(&self, part: u32, lines: usize) -> Vec<String> {
        let text = fs::read(self.folder.join(format!("part-{part}.log"))).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
    }

    /// How often a part was handed in.
    #[must_use]
    pub fn tries(&self, part: u32) -> usize {
        self.handed_in.values().filter(|parts| parts.contains(&part)).count()
    }
}

fn jobs(store: &Store) -> PathBuf {
    store.root().join("jobs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_found_again_by_its_name_and_by_the_schedulers() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let digest = Digest::of(b"suite");
        let take = || Job::take_place(&store, "tiny", digest, &[], Kind::Slurm, 3).unwrap();
        let (mut first, second) = (take(), take());
        assert_eq!((first.name.as_str(), second.name.as_str()), ("tiny-1", "tiny-2"));
        first.handed_in.insert("71".to_owned(), vec![1, 2, 3]);
        first.handed_in.insert("90".to_owned(), vec![2]);
        first.save().unwrap();
        for wanted in ["tiny-1", "71", "90"] {
            assert_eq!(Job::find(&store, wanted).unwrap(), first);
        }
        assert_eq!((first.tries(1), first.tries(2)), (1, 2));
        let unknown = Job::find(&store, "72").unwrap_err().to_string();
        assert!(unknown.contains("open are tiny-1, tiny-2"), "{unknown}");
        first.over = true;
        first.save().unwrap();
        let unknown = Job::find(&store, "72").unwrap_err().to_string();
        assert!(unknown.ends_with("open are tiny-2"), "{unknown}");
        fs::write(second.folder().join("job.json"), "{").unwrap();
        let damaged = format!("{:#}", Job::find(&store, "tiny-1").unwrap_err());
        assert!(damaged.contains("is damaged"), "{damaged}");
    }

    #[test]
    fn the_last_words_of_a_part_are_those_that_say_something() {
        let folder = tempfile::tempdir().unwrap();
        let job =
            Job::take_place(&Store::at(folder.path()), "t", Digest::of(b""), &[], Kind::Slurm, 1);
        let job = job.unwrap();
        assert!(job.last_words(1, 3).is_empty());
        fs::write(job.folder().join("part-1.log"), "one\n\ntwo\nthree\n\n").unwrap();
        assert_eq!(job.last_words(1, 2), ["two", "three"]);
    }
}
