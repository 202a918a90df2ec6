//! `palimpsest regress bisect`: which commit made it worse?
//!
//! Like `git bisect run`, along first parents: each commit is checked out beside the work tree, built
//! by a command and compared with the good one; a commit that does not build is passed over. Commits are
//! of Palimpsest, of which each is a build, or with `--trees` of a project whose `command:` arms they hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use analysis::regress::metric::{Class, MetricName};
use analysis::regress::{Report, Verdict};
use anyhow::{Context as _, bail};
use reports::regress::RegressFormat;

use super::conclude::Shown;
use super::gate;
use super::measuring::{Measuring, class};
use super::place::Place;
use super::record::short;
use super::scratch::Scratch;
use super::trees::Tree;
use crate::exit::Exit;
use crate::git::{HISTORY_BRANCH, HistoryBranch};
use crate::voice::{note, print_text};

/// Options of `palimpsest regress bisect`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// What is measured.
    pub measuring: Measuring,
    /// A commit before the change, an ancestor of the bad one
    pub good: String,
    /// A commit with the change
    pub bad: String,
    /// Command that builds a checkout, run by `sh` in it
    #[arg(long, value_name = "COMMAND", required_unless_present = "trees")]
    pub build: Option<String>,
    /// Folder of a checkout with the programs that it builds; target/release by default
    #[arg(long, value_name = "DIR", conflicts_with = "trees")]
    pub programs: Option<PathBuf>,
    /// The commits are of a project whose training is its own: this program trains the `command:` arms of
    /// SUITE, a path in every commit
    #[arg(long)]
    pub trees: bool,
    /// Judge these classes only; without it, exact metrics first, which one round decides, then all
    #[arg(long, value_delimiter = ',', value_name = "CLASS", value_parser = class)]
    pub classes: Vec<Class>,
    /// Git repository of the code that is measured
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub repository: PathBuf,
}

/// A search under way.
struct Search<'a> {
    args: &'a Args,
    repository: HistoryBranch,
    scratch: Scratch,
    /// What the good commit's build left: its program, or its checkout.
    good: PathBuf,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let repository = HistoryBranch::open(&args.repository, HISTORY_BRANCH)?;
    let (good, bad) = (repository.commit(&args.good)?, repository.commit(&args.bad)?);
    let commits = repository.between(&good, &bad)?;
    let Some(last) = commits.len().checked_sub(1) else {
        bail!("{} is no ancestor of {}, or the same commit", short(&good), short(&bad));
    };
    // The gate has a scratch folder of this process of its own.
    let scratch = Scratch::below(&args.measuring.places.store.join("bisect"))?;
    let mut search = Search { args, repository, scratch, good: PathBuf::new() };
    let ended = searched(&mut search, &good, &bad, &commits, last);
    // Also where it failed: the repository knows of every checkout.
    let forgotten = search.forget();
    let exit = ended?;
    forgotten?;
    Ok(exit)
}

/// Halves `commits`, of which that at `last` is the bad one, and says which was the first.
fn searched(
    search: &mut Search<'_>,
    good: &str,
    bad: &str,
    commits: &[String],
    last: usize,
) -> anyhow::Result<Exit> {
    let unbuilt = |commit: &str| format!("{} does not build: name another commit", short(commit));
    search.good = search.built(good)?.with_context(|| unbuilt(good))?;
    let program = search.built(bad)?.with_context(|| unbuilt(bad))?;
    let Some((classes, worse)) = search.what_is_worse(&program)? else {
        print_text(&format!("nothing is worse at {} than at {}\n", short(bad), short(good)))?;
        return Ok(Exit::NotJudged);
    };
    let names = worse.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    note(&format!("worse at {}: {names}; {} commits to search", short(bad), commits.len()));

    let (mut from, mut to) = (None, last);
    let mut passed_over: BTreeSet<usize> = BTreeSet::new();
    while let Some(place) = middle(from, to, &passed_over) {
        let commit = &commits[place];
        let found = match search.built(commit)? {
            Some(program) => search.is_worse(&program, &classes, &worse)?,
            None => None,
        };
        let said = match found {
            Some(true) => "bad",
            Some(false) => "good",
            None => "passed over, as it does not build or cannot be judged",
        };
        note(&format!("{}: {said}", short(commit)));
        match found {
            Some(true) => to = place,
            Some(false) => from = Some(place),
            None => drop(passed_over.insert(place)),
        }
    }
    let first = from.map_or(0, |from| from + 1);
    let text = match &commits[first..=to] {
        [commit] => format!("the first bad commit is {commit}\n"),
        several => format!("the first bad commit is one of\n  {}\n", several.join("\n  ")),
    };
    print_text(&text)?;
    Ok(Exit::Fine)
}

/// The commit to look at next: in the middle of those after `from` and before `to`, or the nearest to
/// it that was not passed over.
fn middle(from: Option<usize>, to: usize, passed_over: &BTreeSet<usize>) -> Option<usize> {
    let first = from.map_or(0, |from| from + 1);
    let centre = first + to.saturating_sub(first) / 2;
    let open = (first..to).filter(|place| !passed_over.contains(place));
    open.min_by_key(|place| place.abs_diff(centre))
}

impl Search<'_> {
    /// The program or checkout of a commit, kept; `None` where it does not build.
    fn built(&self, commit: &str) -> anyhow::Result<Option<PathBuf>> {
        if self.args.trees {
            return self.checked_out(commit);
        }
        let kept = self.scratch.path(commit);
        let checkout = self.scratch.path("checkout");
        let target = self.scratch.path("target");
        self.repository.check_out(commit, &checkout)?;
        note(&format!("building {}", short(commit)));
        let status = Command::new("sh")
            .args(["-euc", self.args.build.as_deref().unwrap_or_default()])
            .current_dir(&checkout)
            // What two commits share is built once.
            .env("CARGO_TARGET_DIR", &target)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("cannot start sh")?;
        let programs = self.args.programs.as_deref().unwrap_or(Path::new("target/release"));
        let programs = match programs.strip_prefix("target") {
            Ok(below) if target.is_dir() => target.join(below),
            _ => checkout.join(programs),
        };
        let program = programs.join("palimpsest");
        let built = status.success() && program.is_file();
        if built {
            std::fs::create_dir_all(&kept)?;
            for name in ["palimpsest", "palimpsest-engine"] {
                let file = programs.join(name);
                if file.is_file() {
                    std::fs::copy(&file, kept.join(name))
                        .with_context(|| format!("cannot keep {}", file.display()))?;
                }
            }
        }
        self.repository.remove_checkout(&checkout)?;
        Ok(built.then(|| kept.join("palimpsest")))
    }

    /// Takes the checkouts away, also from what the repository knows of.
    fn forget(self) -> anyhow::Result<()> {
        let Self { repository, scratch, .. } = self;
        let folder = scratch.path("checkout");
        drop(scratch);
        Ok(repository.remove_checkout(&folder)?)
    }

    /// The checkout of a commit, prepared; `None` where it has no such suite or does not build.
    fn checked_out(&self, commit: &str) -> anyhow::Result<Option<PathBuf>> {
        let folder = self.scratch.path(commit);
        if !folder.is_dir() {
            self.repository.check_out(commit, &folder)?;
        }
        let Ok(tree) = Tree::at("head", &folder, &self.args.measuring.suite) else {
            return Ok(None);
        };
        let built = self.args.build.as_deref().is_none_or(|command| tree.build(command).is_ok());
        Ok(built.then_some(folder))
    }

    /// The classes that show what the bad commit has made worse, and the metrics.
    fn what_is_worse(
        &self,
        bad: &Path,
    ) -> anyhow::Result<Option<(Vec<Class>, BTreeSet<MetricName>)>> {
        let exact = vec![Class::Exact, Class::Ulp];
        let tries = match self.args.classes.as_slice() {
            [] => vec![exact, Vec::new()],
            classes => vec![classes.to_vec()],
        };
        for classes in tries {
            let report = self.compare(bad, &classes)?;
            let worse = report.rows.iter().filter(|row| row.verdict == Verdict::Regressed);
            let worse: BTreeSet<MetricName> = worse.map(|row| row.name.clone()).collect();
            if !worse.is_empty() {
                return Ok(Some((classes, worse)));
            }
        }
        Ok(None)
    }

    /// Whether one of these metrics is worse; `None` where that cannot be judged.
    fn is_worse(
        &self,
        program: &Path,
        classes: &[Class],
        worse: &BTreeSet<MetricName>,
    ) -> anyhow::Result<Option<bool>> {
        let Ok(report) = self.compare(program, classes) else { return Ok(None) };
        let rows = || report.rows.iter().filter(|row| worse.contains(&row.name));
        if rows().any(|row| row.verdict == Verdict::Regressed) {
            return Ok(Some(true));
        }
        Ok((rows().next().is_some() && rows().all(|row| row.judged)).then_some(false))
    }

    fn compare(&self, head: &Path, classes: &[Class]) -> anyhow::Result<Report> {
        let Args { measuring, repository, .. } = self.args;
        let place = Place {
            repository: repository.clone(),
            branch: HISTORY_BRANCH.to_owned(),
            remote: None,
        };
        let (good, head) = (Some(self.good.clone()), Some(head.to_owned()));
        let ((binary, head), (base_tree, head_tree)) = match self.args.trees {
            false => ((good, head), (None, None)),
            true => ((None, None), (good, head)),
        };
        let args = gate::Args {
            measuring: measuring.clone(),
            against: None,
            binary,
            head,
            base_tree,
            head_tree,
            build: None,
            base_suite: None,
            head_suite: None,
            accepted: Vec::new(),
            allow_same: !self.args.trees,
            classes: classes.to_vec(),
            place,
            shown: Shown { format: RegressFormat::Text, out: None },
        };
        gate::judge(&args).map(|(report, _)| report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_halves_and_goes_round_what_it_passed_over() {
        let none = BTreeSet::new();
        assert_eq!(middle(None, 7, &none), Some(3));
        assert_eq!(middle(Some(3), 7, &none), Some(5));
        assert_eq!(middle(Some(3), 4, &none), None);
        assert_eq!(middle(None, 0, &none), None);
        let over = BTreeSet::from([3, 2]);
        assert_eq!(middle(None, 7, &over), Some(4));
        assert_eq!(middle(Some(0), 3, &BTreeSet::from([1, 2])), None);
        // Every commit of a hundred is found, and in seven looks at most.
        for first_bad in 0..100 {
            let (mut from, mut to, mut looks) = (None, 99, 0);
            while let Some(place) = middle(from, to, &none) {
                looks += 1;
                if place >= first_bad { to = place } else { from = Some(place) }
            }
            assert_eq!(to, first_bad);
            assert!(looks <= 7, "{looks}");
        }
    }
}
