//! History files in an orphan branch of a git repository, without touching the work tree, the index
//! or the current branch: only objects and one reference are written, by git's own plumbing.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Branch that histories are kept in, unless another is named.
pub const HISTORY_BRANCH: &str = "bench-data";
/// How often a writer that lost a race tries again.
const ATTEMPTS: u32 = 20;

/// Variables by which a caller, such as a hook, would send git to another repository or index.
const REDIRECTING: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// Why git did not do what was asked.
#[derive(Debug)]
pub enum GitError {
    /// It cannot be started.
    NotStarted(std::io::Error),
    /// It answered with an error.
    Refused {
        /// What was asked of it.
        command: String,
        /// Its message.
        message: String,
    },
    /// A name that may not be one of a branch or of a file in it.
    Name {
        /// `branch`, `remote`, `suite`, `machine` or `commit`.
        what: &'static str,
        /// As given.
        found: String,
    },
    /// Other writers were faster every time.
    Contended {
        /// The branch.
        branch: String,
    },
}

impl std::fmt::Display for GitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotStarted(error) => write!(f, "cannot start git ({error}); install git"),
            Self::Refused { command, message } => write!(f, "`git {command}` failed: {message}"),
            Self::Name { what, found } => write!(
                f,
                "{what} {found:?} is not a name: use letters, digits, '-', '_' and single '.' between them"
            ),
            Self::Contended { branch } => write!(
                f,
                "branch {branch} changed {ATTEMPTS} times while its history was being written; try again"
            ),
        }
    }
}

impl std::error::Error for GitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotStarted(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a history could not be recorded: git's reason, or the caller's.
#[derive(Debug)]
pub enum RecordError<E> {
    /// Git's.
    Git(GitError),
    /// What the caller said of the file.
    Content(E),
}

impl<E> From<GitError> for RecordError<E> {
    fn from(error: GitError) -> Self {
        Self::Git(error)
    }
}

impl<E: std::fmt::Display> std::fmt::Display for RecordError<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Git(error) => error.fmt(f),
            Self::Content(error) => error.fmt(f),
        }
    }
}

impl<E: std::fmt::Debug + std::fmt::Display> std::error::Error for RecordError<E> {}

/// A branch of a repository that holds one history per suite and machine, and beside it what was
/// measured at each commit.
#[derive(Debug, Clone)]
pub struct HistoryBranch {
    repository: PathBuf,
    branch: String,
    /// Where the branch is read from and written to, when it is not this repository.
    remote: Option<String>,
}

/// A snapshot of a commit, kept beside the history.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// Full commit id.
    pub commit: &'a str,
    /// The file.
    pub content: &'a [u8],
}

/// The commit that a checkout is at: of the repository that has `file`, a path below `folder`, among its
/// tracked files; with a plus where tracked files have changed since. None where there is no such repository.
#[must_use]
pub fn commit_of(folder: &Path, file: &Path) -> Option<String> {
    let repository = HistoryBranch::open(folder, HISTORY_BRANCH).ok()?;
    let tracked =
        [OsStr::new("ls-files"), OsStr::new("--error-unmatch"), OsStr::new("--"), file.as_os_str()];
    repository.git(tracked, &[]).ok()?;
    let commit = repository.commit("HEAD").ok()?;
    let changed = repository.git(["status", "--porcelain", "--untracked-files=no"], &[]).ok()?;
    Some(if changed.is_empty() { commit } else { format!("{commit}+") })
}

impl HistoryBranch {
    /// The branch `branch` of the repository that `repository` is a folder of; it need not exist.
    ///
    /// # Errors
    /// When the name may not be a branch's, or the folder is in no repository.
    pub fn open(repository: &Path, branch: &str) -> Result<Self, GitError> {
        check_name("branch", branch)?;
        let (repository, branch) = (repository.to_owned(), branch.to_owned());
        let this = Self { repository, branch, remote: None };
        this.git(["rev-parse", "--git-dir"], &[])?;
        Ok(this)
    }

    /// The same branch of a remote: read after a fetch, written by a push that never overwrites.
    ///
    /// # Errors
    /// When the name may not be a remote's.
    pub fn of_remote(self, remote: &str) -> Result<Self, GitError> {
        check_name("remote", remote)?;
        Ok(Self { remote: Some(remote.to_owned()), ..self })
    }

    /// Commit id of a revision of the repository, such as `HEAD`.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn commit(&self, revision: &str) -> Result<String, GitError> {
        let name = format!("{revision}^{{commit}}");
        self.git(["rev-parse", "--verify", "--end-of-options", &name], &[]).map(line)
    }

    /// The commits after `good` up to `bad` along first parents, oldest first; none where `good` is no
    /// ancestor.
    ///
    /// # Errors
    /// When git fails.
    pub fn between(&self, good: &str, bad: &str) -> Result<Vec<String>, GitError> {
        if self.git(["merge-base", "--is-ancestor", good, bad], &[]).is_err() {
            return Ok(Vec::new());
        }
        let range = format!("{good}..{bad}");
        let listed = self.git(["rev-list", "--first-parent", "--reverse", &range], &[])?;
        Ok(line(listed).lines().map(str::to_owned).collect())
    }

    /// Checks `commit` out into a folder beside the work tree, in place of what is there.
    ///
    /// # Errors
    /// When git fails.
    pub fn check_out(&self, commit: &str, folder: &Path) -> Result<(), GitError> {
        self.remove_checkout(folder)?;
        let folder = folder.as_os_str();
        let words = ["worktree", "add", "--quiet", "--force", "--detach"].map(OsStr::new);
        self.git(words.into_iter().chain([folder, OsStr::new(commit)]), &[]).map(drop)
    }

    /// Takes such a folder away again, if it is there.
    ///
    /// # Errors
    /// When git fails.
    pub fn remove_checkout(&self, folder: &Path) -> Result<(), GitError> {
        let _ = std::fs::remove_dir_all(folder);
        self.git(["worktree", "prune"], &[]).map(drop)
    }

    /// Those of `commits` that the repository has, parents before children.
    ///
    /// # Errors
    /// When git fails.
    pub fn in_order(&self, commits: &[&str]) -> Result<Vec<String>, GitError> {
        let lines = |ids: &[&str]| ids.iter().map(|id| format!("{id}\n")).collect::<String>();
        // "<id> commit <size>" where it is there, "<id> missing" where not.
        let checked = line(self.git(["cat-file", "--batch-check"], lines(commits).as_bytes())?);
        let known: Vec<&str> =
            checked.lines().filter_map(|line| Some(line.split_once(" commit ")?.0)).collect();
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let arguments = ["rev-list", "--topo-order", "--reverse", "--stdin"];
        let listed = self.git(arguments, lines(&known).as_bytes())?;
        let wanted: std::collections::BTreeSet<&str> = commits.iter().copied().collect();
        Ok(line(listed).lines().filter(|id| wanted.contains(id)).map(str::to_owned).collect())
    }

    /// The history file of `suite` on `machine`; `None` when it was never recorded.
    ///
    /// # Errors
    /// When a name is hostile or git fails.
    pub fn read(&self, suite: &str, machine: &str) -> Result<Option<Vec<u8>>, GitError> {
        let place = Place::of(suite, machine)?;
        self.tip()?.map_or(Ok(None), |tip| self.read_at(&tip, &place))
    }

    /// The snapshot of `commit` on `machine`; `None` when it was not kept.
    ///
    /// # Errors
    /// When a name is hostile or git fails.
    pub fn snapshot(
        &self,
        suite: &str,
        machine: &str,
        commit: &str,
    ) -> Result<Option<Vec<u8>>, GitError> {
        let place = Place::beside(suite, machine, commit)?;
        self.tip()?.map_or(Ok(None), |tip| self.read_at(&tip, &place))
    }

    /// Machines with a history of `suite`, sorted.
    ///
    /// # Errors
    /// When the name is hostile or git fails.
    pub fn machines(&self, suite: &str) -> Result<Vec<String>, GitError> {
        self.ending_with(suite, ".jsonl")
    }

    /// Machines on which `commit` was measured, sorted.
    ///
    /// # Errors
    /// When a name is hostile or git fails.
    pub fn measured_on(&self, suite: &str, commit: &str) -> Result<Vec<String>, GitError> {
        check_name("commit", commit)?;
        self.ending_with(suite, &format!("-{commit}.json"))
    }

    /// What stands before `ending` in names of the suite's folder.
    fn ending_with(&self, suite: &str, ending: &str) -> Result<Vec<String>, GitError> {
        check_name("suite", suite)?;
        let Some(tip) = self.tip()? else { return Ok(Vec::new()) };
        let folder = format!("{suite}/");
        let listed = self.git(["ls-tree", "-z", &tip, "--", &folder], &[])?;
        let names = entries(&listed).filter_map(|entry| {
            let name = String::from_utf8_lossy(entry_name(entry)).into_owned();
            Some(name.strip_prefix(&folder)?.strip_suffix(ending)?.to_owned())
        });
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Replaces the history file by what `change` makes of it, in one commit on top of the branch.
    /// When another writer was faster, `change` is asked again with the other's file. Returns the
    /// new commit of the branch.
    ///
    /// # Errors
    /// When a name is hostile, `change` refuses, git fails, or others are faster every time. The
    /// branch is then as the others left it.
    pub fn record<E>(
        &self,
        suite: &str,
        machine: &str,
        message: &str,
        beside: Option<Beside<'_>>,
        mut change: impl FnMut(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<String, RecordError<E>> {
        let place = Place::of(suite, machine)?;
        let beside = match beside {
            Some(Beside { commit, content }) => {
                Some((Place::beside(suite, machine, commit)?, content))
            }
            None => None,
        };
        for _ in 0..ATTEMPTS {
            let tip = self.tip()?;
            let old = match &tip {
                Some(tip) => self.read_at(tip, &place)?.unwrap_or_default(),
                None => Vec::new(),
            };
            let new = change(&old).map_err(RecordError::Content)?;
            let beside = beside.as_ref().map(|(place, content)| (place, *content));
            let files: Vec<_> = std::iter::once((&place, new.as_slice())).chain(beside).collect();
            let commit = self.commit_files(tip.as_deref(), suite, &files, message)?;
            if self.advance(tip.as_deref(), &commit)? {
                return Ok(commit);
            }
        }
        Err(GitError::Contended { branch: self.branch.clone() }.into())
    }

    fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    /// Commit that the branch points at. Where there is no such branch here, as in a fresh clone, what
    /// was fetched of a remote's is read.
    fn tip(&self) -> Result<Option<String>, GitError> {
        if let Some(remote) = &self.remote {
            let reference = self.reference();
            let listed = line(self.git(["ls-remote", "--", remote, &reference], &[])?);
            let Some(commit) = listed.split_whitespace().next() else { return Ok(None) };
            let to = format!("+{reference}:refs/remotes/{remote}/{}", self.branch);
            self.git(["fetch", "--quiet", "--no-tags", "--", remote, &to], &[])?;
            return Ok(Some(commit.to_owned()));
        }
        match self.local_tip()? {
            Some(tip) => Ok(Some(tip)),
            None => {
                let fetched = format!("refs/remotes/*/{}", self.branch);
                let text = self.git(["for-each-ref", "--format=%(objectname)", &fetched], &[])?;
                Ok(line(text).lines().next().map(str::to_owned))
            }
        }
    }

    fn local_tip(&self) -> Result<Option<String>, GitError> {
        let text = self.git(["for-each-ref", "--format=%(objectname)", &self.reference()], &[])?;
        Ok(Some(line(text)).filter(|commit| !commit.is_empty()))
    }

    fn read_at(&self, tip: &str, place: &Place) -> Result<Option<Vec<u8>>, GitError> {
        let folder = format!("{}/", place.suite);
        let listed = self.git(["ls-tree", "-z", tip, "--", &folder], &[])?;
        let name = format!("{folder}{}", place.file);
        let there = entries(&listed).any(|entry| entry_name(entry) == name.as_bytes());
        if !there {
            return Ok(None);
        }
        self.git(["cat-file", "blob", &format!("{tip}:{name}")], &[]).map(Some)
    }

    /// Makes the commit; nothing points at it yet. Other files of the branch stay.
    fn commit_files(
        &self,
        tip: Option<&str>,
        suite: &str,
        files: &[(&Place, &[u8])],
        message: &str,
    ) -> Result<String, GitError> {
        let folder = format!("{suite}/");
        let (listed, folders) = match tip {
            Some(tip) => (
                self.git(["ls-tree", "-z", tip, "--", &folder], &[])?,
                self.git(["ls-tree", "-z", tip], &[])?,
            ),
            None => (Vec::new(), Vec::new()),
        };
        // git lists with the folder's name in front, and wants bare names back.
        let listed = bare(&listed, folder.as_bytes());
        let mut new = Vec::new();
        for (place, content) in files {
            let blob = line(self.git(["hash-object", "-w", "--stdin"], content)?);
            new.push((format!("100644 blob {blob}"), place.file.clone()));
        }
        let tree = self.tree(&listed, &new)?;
        let root = self.tree(&folders, &[(format!("040000 tree {tree}"), suite.to_owned())])?;
        let mut arguments = vec!["commit-tree".to_owned(), root];
        arguments.extend(tip.into_iter().flat_map(|tip| ["-p".to_owned(), tip.to_owned()]));
        Ok(line(self.git(arguments, message.as_bytes())?))
    }

    /// The tree of the listed entries with these objects under these names.
    fn tree(&self, listed: &[u8], new: &[(String, String)]) -> Result<String, GitError> {
        let mut input = Vec::new();
        let replaced =
            |entry: &&[u8]| new.iter().any(|(_, name)| entry_name(entry) == name.as_bytes());
        for entry in entries(listed).filter(|entry| !replaced(entry)) {
            input.extend_from_slice(entry);
            input.push(0);
        }
        for (object, name) in new {
            input.extend_from_slice(format!("{object}\t{name}\0").as_bytes());
        }
        self.git(["mktree", "-z"], &input).map(line)
    }

    /// Moves the branch from `tip` to `commit`; false when it no longer points at `tip`.
    fn advance(&self, tip: Option<&str>, commit: &str) -> Result<bool, GitError> {
        if let Some(remote) = &self.remote {
            let to = format!("{commit}:{}", self.reference());
            let pushed = self.git(["push", "--quiet", "--", remote, &to], &[]);
            return match pushed {
                Ok(_) => self.follow(commit).map(|()| true),
                Err(error) if self.tip()?.as_deref() == tip => Err(error),
                Err(_) => Ok(false),
            };
        }
        // Zeros say that the branch must not exist yet.
        let absent = "0".repeat(commit.len());
        let old = self.local_tip()?;
        if old.is_some() && old.as_deref() != tip {
            return Ok(false);
        }
        let before = old.as_deref().unwrap_or(&absent);
        match self.git(["update-ref", &self.reference(), commit, before], &[]) {
            Ok(_) => Ok(true),
            // A lock held by another writer reads the same as a lost race, and ends the same way.
            Err(error) => {
                let lost = self.local_tip()? != old
                    || matches!(&error, GitError::Refused { message, .. } if message.contains("lock"));
                if lost { Ok(false) } else { Err(error) }
            }
        }
    }

    /// Brings the branch of this repository up to what was pushed, unless it has commits of its own.
    fn follow(&self, commit: &str) -> Result<(), GitError> {
        let old = self.local_tip()?;
        if let Some(old) = &old
            && self.git(["merge-base", "--is-ancestor", old, commit], &[]).is_err()
        {
            return Ok(());
        }
        let absent = "0".repeat(commit.len());
        let before = old.as_deref().unwrap_or(&absent);
        // Another writer may be moving it, which is as good.
        let _ = self.git(["update-ref", &self.reference(), commit, before], &[]);
        Ok(())
    }

    /// Runs git and returns what it printed.
    fn git<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Result<Vec<u8>, GitError> {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.repository).args(arguments);
        for name in REDIRECTING {
            command.env_remove(name);
        }
        // Messages are looked at; and a commit needs an author even where nobody set one up.
        command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0");
        for (name, value) in [("NAME", "palimpsest"), ("EMAIL", "palimpsest@localhost")] {
            for role in ["AUTHOR", "COMMITTER"] {
                let name = format!("GIT_{role}_{name}");
                if std::env::var_os(&name).is_none() {
                    command.env(name, value);
                }
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let shown = || {
            let words = command.get_args().skip(2).map(|word| word.to_string_lossy().into_owned());
            words.collect::<Vec<_>>().join(" ")
        };
        let shown = shown();
        let mut child = command.spawn().map_err(GitError::NotStarted)?;
        let mut stdin = child.stdin.take();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || {
                // A git that refuses stops reading; its own message says why.
                if let Some(stdin) = &mut stdin {
                    let _ = stdin.write_all(input);
                }
                drop(stdin);
            });
            child.wait_with_output()
        });
        let output = output.map_err(GitError::NotStarted)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(GitError::Refused { command: shown, message })
    }
}

/// Where a history lies in the branch.
struct Place {
    suite: String,
    file: String,
}

impl Place {
    fn of(suite: &str, machine: &str) -> Result<Self, GitError> {
        check_name("suite", suite)?;
        check_name("machine", machine)?;
        Ok(Self { suite: suite.to_owned(), file: format!("{machine}.jsonl") })
    }

    /// What was measured at `commit`.
    fn beside(suite: &str, machine: &str, commit: &str) -> Result<Self, GitError> {
        check_name("suite", suite)?;
        check_name("machine", machine)?;
        check_name("commit", commit)?;
        Ok(Self { suite: suite.to_owned(), file: format!("{machine}-{commit}.json") })
    }
}

/// Refuses what is an option, a path, a revision or special to git or a shell.
fn check_name(what: &'static str, found: &str) -> Result<(), GitError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fine = found.bytes().all(plain)
        && found.starts_with(|first: char| first.is_ascii_alphanumeric())
        && found.ends_with(|last: char| last.is_ascii_alphanumeric() || last == '_')
        && !found.contains("..")
        && !found.to_ascii_lowercase().ends_with(".lock")
        && !found.eq_ignore_ascii_case("HEAD")
        && found.len() <= 100;
    if fine { Ok(()) } else { Err(GitError::Name { what, found: found.to_owned() }) }
}

fn line(text: Vec<u8>) -> String {
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

/// Entries of `git ls-tree -z`: mode, kind, object, a tab, the name.
fn entries(listed: &[u8]) -> impl Iterator<Item = &[u8]> {
    listed.split(|&byte| byte == 0).filter(|entry| !entry.is_empty())
}

fn entry_name(entry: &[u8]) -> &[u8] {
    entry.iter().position(|&byte| byte == b'\t').map_or(&[], |tab| &entry[tab + 1..])
}

/// The entries with `folder` taken off their names.
fn bare(listed: &[u8], folder: &[u8]) -> Vec<u8> {
    let mut result = Vec::new();
    for entry in entries(listed) {
        let name = entry_name(entry);
        result.extend_from_slice(&entry[..entry.len() - name.len()]);
        result.extend_from_slice(name.strip_prefix(folder).unwrap_or(name));
        result.push(0);
    }
    result
}

#[cfg(test)]
mod tests;
