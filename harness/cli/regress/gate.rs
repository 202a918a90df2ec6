//! `palimpsest regress SUITE --against REF`, `--binary BUILD` and `--base-tree DIR`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use analysis::regress::Report;
use analysis::regress::decide::{Decision, FloorAt, Suspect, confirm, decide};
use analysis::regress::excuse::{Acceptance, excuse};
use analysis::regress::extract::Context;
use analysis::regress::metric::{CellName, Class};
use analysis::regress::report::Failure;
use analysis::suite::Seeds;
use anyhow::Context as _;

use super::build::{Build, BuildError};
use super::checks::{check_exceptions, check_treatments, keep_classes};
use super::conclude::{Shown, Sides, conclude, unfit};
use super::measuring::{Measuring, Plan, class, list, program};
use super::place::Place;
use super::scratch::Scratch;
use super::trees::{Tree, Trees};
use super::turns::{Builds, Measured, Selection, Wanted, rounds_for, session, told};
use super::words::noted;
use super::{floors, reference};
use crate::cli::report::suite_name;
use crate::exit::Exit;
use crate::voice::{note, warn};

/// Options of `palimpsest regress SUITE`.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "gate", args = ["against", "binary", "base_tree"], required = true, multiple = false)]
pub struct Args {
    #[command(flatten)]
    /// What is measured.
    pub measuring: Measuring,
    /// What was kept of the base: a reference file, or a commit whose records are in the history
    #[arg(long, value_name = "REF")]
    pub against: Option<String>,
    /// A build of the base, which takes turns with the head
    #[arg(long, value_name = "PROGRAM")]
    pub binary: Option<PathBuf>,
    /// A checkout of the base of a project whose training is its own: this program trains the `command:`
    /// arms of SUITE in both checkouts, in turns; SUITE is a path in them
    #[arg(long, value_name = "DIR", conflicts_with_all = ["head", "head_suite"])]
    pub base_tree: Option<PathBuf>,
    /// The checkout that is judged; the working folder by default
    #[arg(long, value_name = "DIR", requires = "base_tree", conflicts_with_all = ["against", "binary"])]
    pub head_tree: Option<PathBuf>,
    /// Command that prepares a checkout, run by `sh` in each of the two first
    #[arg(long, value_name = "COMMAND", requires = "base_tree", conflicts_with_all = ["against", "binary"])]
    pub build: Option<String>,
    /// The build that is judged; this program by default
    #[arg(long, value_name = "PROGRAM")]
    pub head: Option<PathBuf>,
    /// The suite as the base knows it, where it cannot read the head's
    #[arg(long, value_name = "SUITE", requires = "binary", conflicts_with_all = ["against", "base_tree"])]
    pub base_suite: Option<String>,
    /// The suite as the head knows it, where the suite is the base's: margins, tolerances and quarantines
    /// are then not the head's to choose
    #[arg(long, value_name = "SUITE")]
    pub head_suite: Option<String>,
    /// Accept an intended change, with a reason: METRIC[@ARM]=REASON; may be given again
    #[arg(long = "accept", value_name = "METRIC[@ARM]=REASON")]
    pub accepted: Vec<Acceptance>,
    /// Compare even where both are one program, or have the same training code
    #[arg(long, requires = "binary", conflicts_with_all = ["against", "base_tree"])]
    pub allow_same: bool,
    /// Judge these classes only: exact, ulp, quality, time
    #[arg(long, value_delimiter = ',', value_name = "CLASS", value_parser = class)]
    pub classes: Vec<Class>,
    #[command(flatten)]
    /// Where the history is, for a commit.
    pub place: Place,
    #[command(flatten)]
    /// Where the report goes.
    pub shown: Shown,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    // A suite that is none is a mistake, whatever is to be compared.
    Plan::of(&judging_suite(args)?, args.measuring.pairs)?;
    let show = |report: &Report| conclude(&args.shown, report, Sides::default());
    if let Some(reason) = same_program(args)? {
        let suite = suite_name(&args.measuring.suite);
        return show(&Report { uncompared: Some(reason), ..Report::blank(suite) });
    }
    let outcome = judge(args);
    let error = match outcome {
        Ok((report, measured)) => {
            let base = measured.as_ref().and_then(|measured| measured.base.as_ref());
            let head = measured.as_ref().map(|measured| &measured.head);
            return conclude(&args.shown, &report, Sides { base, head });
        }
        Err(error) => error,
    };
    // A build that does not run, or sides that do not fit, are no mistake of the user's.
    let failed = error.downcast_ref::<BuildError>();
    if let Some(crash) = failed.filter(|error| error.build == "head" && !error.refused) {
        return show(&crashed(args, crash)?);
    }
    let build = failed.map(|error| error.build);
    match build {
        Some("base") => Ok(could_not_judge(&error)),
        _ if unfit(&error) => Ok(could_not_judge(&error)),
        _ => Err(error),
    }
}

/// The suite by which both sides are judged: the base's own, where there are two checkouts.
fn judging_suite(args: &Args) -> anyhow::Result<String> {
    let suite = &args.measuring.suite;
    match &args.base_tree {
        Some(folder) => Ok(Tree::at("base", folder, suite)?.suite.display().to_string()),
        None => Ok(suite.clone()),
    }
}

/// Why nothing of a change would be measured: base and head are the same bytes. What trains is the
/// engine beside each program.
fn same_program(args: &Args) -> anyhow::Result<Option<String>> {
    let Some(base) = args.binary.as_ref().filter(|_| !args.allow_same) else { return Ok(None) };
    let head = program(args.head.as_ref())?;
    if !base.is_file() || !head.is_file() {
        return Ok(None);
    }
    let engine = |program: &Path| program.with_file_name("palimpsest-engine");
    let same = |one: &Path, other: &Path| -> anyhow::Result<bool> {
        let read = |path: &Path| match std::fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(read(one)? == read(other)?)
    };
    let same = same(base, &head)? && same(&engine(base), &engine(&head))?;
    Ok(same.then(|| {
        format!(
            "base and head are one program ({} and {} are the same bytes), so that nothing of a change is in either",
            base.display(),
            head.display()
        )
    }))
}

/// The report of a head that left no record at all.
fn crashed(args: &Args, crash: &BuildError) -> anyhow::Result<Report> {
    let any = || "any".to_owned();
    let cell = crash.cell.as_deref().cloned();
    let cell = cell.unwrap_or_else(|| CellName { workload: any(), arm: any(), seed: any() });
    let message = format!("it could not {}: {}", crash.what, crash.said);
    let failures = vec![Failure { cell, message, excused: None }];
    Ok(Report { failures, ..Report::blank(suite_name(&judging_suite(args)?)) })
}

fn could_not_judge(error: &anyhow::Error) -> Exit {
    warn(&format!("could not judge: {error:#}"));
    Exit::NotJudged
}

/// Measures, judges, and measures the suspects again. Nothing was measured where no arm is compared.
///
/// # Errors
/// When the call is wrong, a build fails, or the sides do not fit.
pub(super) fn judge(args: &Args) -> anyhow::Result<(Report, Option<Measured>)> {
    let Args { measuring, .. } = args;
    let plan = Plan::of(&judging_suite(args)?, measuring.pairs)?;
    let options = measuring.options()?;
    let kept = match &args.against {
        Some(reference) => Some(reference::Kept::find(reference, &args.place)?),
        None => None,
    };
    let trees = trees(args)?;
    let scratch = Scratch::below(&measuring.places.store)?;
    let told = match (&args.head_suite, &trees) {
        (Some(suite), _) => told(suite, suite)?,
        (None, Some(trees)) => trees.head.suite.display().to_string(),
        (None, None) => plan.told.clone(),
    };
    let head = Build::new("head", &program(args.head.as_ref())?, &told, &options)?;
    let head = head.on_device(&measuring.device).within(measuring.timeout);
    let base = match (&args.binary, &trees) {
        (Some(binary), _) => Some(binary.clone()),
        // One program trains the arms of both checkouts.
        (None, Some(_)) => Some(program(None)?),
        (None, None) => None,
    };
    let (builds, selection) = match base {
        Some(binary) => {
            let suite = args.base_suite.as_deref().unwrap_or(&plan.told);
            let base = Build::new("base", &binary, suite, &options)?.on_device(&measuring.device);
            both(base.within(measuring.timeout), head, args, &scratch)?
        }
        None => {
            let builds = Builds { base: None, head };
            let selection = Selection::new(&builds, measuring.told_seeds().as_deref(), &scratch)?;
            (builds, selection)
        }
    };
    let rounds = match kept {
        // Nothing but times gains from a second round, and those need both builds.
        Some(_) => 1,
        None => rounds_for(plan.pairs, selection.seeds().len()),
    };
    let (cells, ours) = compared(&selection, trees.is_some());
    if cells.is_empty() && trees.is_some() {
        let reason = "no arm of the suite is a program of the two checkouts (`command:`): its methods are this \
                      palimpsest's on both sides";
        let report = Report::blank(selection.suite().to_owned());
        return Ok((Report { uncompared: Some(reason.to_owned()), ..report }, None));
    }
    let mut first = session(&builds, &cells, rounds, &plan.context, &scratch)?;
    if let Some(kept) = kept {
        first.base = Some(kept.snapshot(&first.head)?);
    }
    if let Some(Trees { base, head }) = &trees {
        // Records know the palimpsest that made them, which is no part of the change.
        first.head.commit.clone_from(&head.commit);
        if let Some(measured) = &mut first.base {
            measured.commit.clone_from(&base.commit);
        }
    }
    check_treatments(&plan.context, &first)?;
    if measuring.methods.is_empty() && measuring.workloads.is_empty() {
        check_exceptions(&plan, &selection)?;
    }
    keep_classes(&mut first, &args.classes);
    let Some(base) = &first.base else {
        anyhow::bail!("the suite has no cells for the base: nothing can be compared");
    };
    let floor = floors::read(&measuring.floor_file(&first.head))?;
    let at = |measured: &Measured, floor| FloorAt { floor, now_unix: measured.last_unix };
    let decision = decide(base, &first.head, at(&first, floor.as_ref()), &plan.rule)?;
    let report = match decision {
        Decision::Final { report } => *report,
        Decision::NeedsConfirmation { provisional, cells } => {
            let again = Again { builds: &builds, selection: &selection, rounds, suspects: &cells };
            let mut second = again.measure(&plan.context, &scratch)?;
            keep_classes(&mut second, &args.classes);
            let missing = || anyhow::anyhow!("the base left nothing in the second round");
            let fresh = second.base.as_ref().ok_or_else(missing)?;
            confirm(*provisional, base, fresh, &second.head, at(&second, floor.as_ref()))?
        }
    };
    let mut report = noted(report, args, floor.as_ref());
    if trees.is_some() && report.uncompared.take().is_some() {
        report.notes.push(SAME_PROGRAMS.to_owned());
    }
    if args.allow_same {
        report.notes.extend(report.uncompared.take());
    }
    if !ours.is_empty() {
        let ours: Vec<String> = ours.into_iter().collect();
        report.notes.push(format!(
            "not compared: {}: methods of palimpsest, which is one program on both sides",
            ours.join(", ")
        ));
    }
    // The base's clock: a head on trial could tell any date.
    excuse(&mut report, &args.accepted, &plan.quarantines, first.base_unix);
    Ok((report, Some(first)))
}

/// Of two checkouts where the change is in none of the files that the suite names. That is what most
/// changes of pages are, and no fault; but a suite that names too few files looks like it for ever.
const SAME_PROGRAMS: &str = "commands, files and interpreters of all arms are the same in both checkouts: what else \
                             changed can only have reached them by way of what they import from elsewhere";

/// The two checkouts, where there are such.
fn trees(args: &Args) -> anyhow::Result<Option<Trees>> {
    let Some(base) = &args.base_tree else { return Ok(None) };
    let head = args.head_tree.as_deref().unwrap_or(Path::new("."));
    Trees::ready(base, head, &args.measuring.suite, args.build.as_deref()).map(Some)
}

/// The cells that are compared, and the arms that are not: of two checkouts only programs are.
fn compared(selection: &Selection, programs: bool) -> (Vec<Wanted<'_>>, BTreeSet<String>) {
    let (cells, ours): (Vec<_>, Vec<_>) =
        selection.cells().into_iter().partition(|wanted| !programs || wanted.is_program());
    (cells, ours.into_iter().map(|wanted| wanted.name.arm).collect())
}

/// Both builds and their plans. A base that cannot read the head's suite runs the one of that name
/// that it carries itself: cells that both have are compared, where their settings agree.
fn both(
    base: Build,
    head: Build,
    args: &Args,
    scratch: &Scratch,
) -> anyhow::Result<(Builds, Selection)> {
    let seeds = args.measuring.told_seeds();
    let mut builds = Builds { base: Some(base.clone()), head };
    let refused = match Selection::new(&builds, seeds.as_deref(), scratch) {
        Ok(selection) => return Ok((builds, selection)),
        Err(error)
            if error.build == "base" && args.base_suite.is_none() && args.base_tree.is_none() =>
        {
            error
        }
        Err(error) => return Err(error.into()),
    };
    let elsewhere = scratch.path("base");
    std::fs::create_dir_all(&elsewhere)?;
    let name = suite_name(&args.measuring.suite);
    builds.base = Some(Build { suite: name, folder: Some(elsewhere), ..base });
    match Selection::new(&builds, seeds.as_deref(), scratch) {
        Ok(selection) => {
            warn(&format!(
                "the base cannot read this suite ({}); it runs the suite of that name that it carries",
                refused.said
            ));
            Ok((builds, selection))
        }
        Err(_) => Err(refused.into()),
    }
}

/// A second round of what the first one suspects.
struct Again<'a> {
    builds: &'a Builds,
    selection: &'a Selection,
    rounds: u32,
    suspects: &'a [Suspect],
}

impl Again<'_> {
    fn measure(&self, context: &Context, scratch: &Scratch) -> anyhow::Result<Measured> {
        note(&format!("{} suspects: measuring them again", self.suspects.len()));
        let seeds = self.selection.seeds();
        let fresh = self.suspects.iter().any(|suspect| suspect.fresh_seeds);
        // Scores need seeds that the first round did not have.
        let other = if fresh {
            let from = seeds.last().map_or(0, |last| last.saturating_add(1));
            let seeds: Vec<u64> = (0..seeds.len() as u64).map(|k| from.saturating_add(k)).collect();
            Some(Selection::new(self.builds, Some(&list(&Seeds(seeds))), scratch)?)
        } else {
            None
        };
        let suspected = |wanted: &Wanted<'_>, fresh: bool| {
            self.suspects.iter().any(|suspect| {
                (&suspect.workload, &suspect.arm) == (&wanted.name.workload, &wanted.name.arm)
                    && suspect.fresh_seeds == fresh
            })
        };
        let mut cells = self.selection.cells();
        cells.retain(|wanted| suspected(wanted, false));
        let more = other.iter().flat_map(Selection::cells);
        cells.extend(more.filter(|wanted| suspected(wanted, true)));
        session(self.builds, &cells, self.rounds, context, scratch)
    }
}
