//! `palimpsest regress SUITE --against REF` and `--binary BUILD`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use analysis::regress::decide::{Decision, FloorAt, Suspect, confirm, decide};
use analysis::regress::excuse::{Acceptance, Quarantine, excuse};
use analysis::regress::extract::{Context, OWN_METRICS};
use analysis::regress::metric::{CellName, Class};
use analysis::regress::report::Failure;
use analysis::regress::{NoiseFloor, RegressError, Report, Rule, Snapshot, Verdict};
use analysis::suite::{RegressUse, Seeds};
use anyhow::Context as _;
use reports::regress::{RegressFormat, render};

use super::build::{Build, BuildError};
use super::place::Place;
use super::scratch::Scratch;
use super::turns::{Builds, Measured, Selection, Wanted, rounds_for, session, told};
use super::{floors, reference};
use crate::cli::report::suite_name;
use crate::cli::suite_options::Places;
use crate::exit::Exit;
use crate::voice::{note, print_text, quoted, warn};
use crate::{library, limit};

/// What is measured: shared by the gate and `regress aa`.
#[derive(Debug, Clone, clap::Args)]
pub struct Measuring {
    /// Name of a suite, or a YAML file
    pub suite: String,
    /// Only these methods (ids or arm labels)
    #[arg(long, value_delimiter = ',')]
    pub methods: Vec<String>,
    /// Only these workloads (ids or labels)
    #[arg(long, value_delimiter = ',')]
    pub workloads: Vec<String>,
    /// Other seeds: a count, a range a..b, or a list a,b,c
    #[arg(long)]
    pub seeds: Option<Seeds>,
    /// Pairs of times of each arm, over all seeds; 8 unless the suite says otherwise
    #[arg(long, value_parser = clap::value_parser!(u32).range(3..=1000))]
    pub pairs: Option<u32>,
    /// Where to train: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// How long one cell may take, in seconds or as 90s, 10m, 2h; a run that takes longer is stopped
    /// and counts as crashed
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = limit::parse)]
    pub timeout: Duration,
    /// File with the noise floor; by default one per suite and machine in the store
    #[arg(long, value_name = "FILE")]
    pub floor: Option<PathBuf>,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
}

/// Options of `palimpsest regress SUITE`.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "gate", args = ["against", "binary"], required = true, multiple = false)]
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
    /// The build that is judged; this program by default
    #[arg(long, value_name = "PROGRAM")]
    pub head: Option<PathBuf>,
    /// The suite as the base knows it, where it cannot read the head's
    #[arg(long, value_name = "SUITE", requires = "binary")]
    pub base_suite: Option<String>,
    /// The suite as the head knows it, where the suite is the base's: margins, tolerances and quarantines
    /// are then not the head's to choose
    #[arg(long, value_name = "SUITE")]
    pub head_suite: Option<String>,
    /// Accept an intended change, with a reason: METRIC[@ARM]=REASON; may be given again
    #[arg(long = "accept", value_name = "METRIC[@ARM]=REASON")]
    pub accepted: Vec<Acceptance>,
    /// Compare even where both are one program, or have the same training code
    #[arg(long, requires = "binary")]
    pub allow_same: bool,
    /// Judge these classes only: exact, ulp, quality, time
    #[arg(long, value_delimiter = ',', value_name = "CLASS", value_parser = class)]
    pub classes: Vec<Class>,
    #[command(flatten)]
    /// Where the history is, for a commit.
    pub place: Place,
    /// What to print: text, json, markdown, junit, github or bmf
    #[arg(long, default_value = "text", value_parser = format)]
    pub format: RegressFormat,
    /// Folder for the report in every format, and what both sides measured
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

pub(super) fn class(text: &str) -> Result<Class, String> {
    let classes = [Class::Exact, Class::Ulp, Class::Quality, Class::Time];
    let names = classes.map(Class::name);
    let found = classes.into_iter().find(|class| class.name() == text);
    found.ok_or_else(|| format!("there is no class \"{text}\": {} are", names.join(", ")))
}

fn format(text: &str) -> Result<RegressFormat, String> {
    let names: Vec<&str> = RegressFormat::ALL.iter().map(|(name, _)| *name).collect();
    let found = RegressFormat::ALL.into_iter().find(|(name, _)| *name == text);
    found
        .map(|(_, format)| format)
        .ok_or_else(|| format!("there is no format \"{text}\": {} are", names.join(", ")))
}

/// The suite's own part in what is measured and how it is judged.
pub(super) struct Plan {
    /// The suite as builds are told it.
    pub told: String,
    /// How it is judged.
    pub rule: Rule,
    /// Pairs of each arm.
    pub pairs: u32,
    /// How metrics are compared.
    pub context: Context,
    /// What does not count for a while.
    pub quarantines: Vec<Quarantine>,
}

impl Measuring {
    /// Reads the suite's wishes.
    ///
    /// # Errors
    /// When there is no such suite, or its `regress` part cannot be.
    pub(super) fn plan(&self) -> anyhow::Result<Plan> {
        let found = library::suite(&self.suite)?;
        let parsed = analysis::suite::parse(&found.file, &found.text)?;
        let wishes: RegressUse = parsed.regress;
        let metrics = wishes.metrics.iter();
        let treatments = metrics.map(|(name, used)| (name.clone(), used.treatment())).collect();
        Ok(Plan {
            told: told(&found.file, &self.suite)?,
            rule: wishes.rule(),
            pairs: self.pairs.or(wishes.pairs).unwrap_or(analysis::suite::regress::PAIRS),
            context: Context { treatments, exceptions: wishes.exceptions(), ..Context::default() },
            quarantines: wishes.quarantines(),
        })
    }

    /// Options of a build: what the user chose, with whole paths.
    pub(super) fn options(&self) -> anyhow::Result<Vec<String>> {
        let mut options = Vec::new();
        for (option, values) in [("--methods", &self.methods), ("--workloads", &self.workloads)] {
            if !values.is_empty() {
                options.extend([option.to_owned(), values.join(",")]);
            }
        }
        if let Some(folder) = &self.places.data_dir {
            let folder = std::path::absolute(folder)?;
            options.extend(["--data-dir".to_owned(), folder.display().to_string()]);
        }
        Ok(options)
    }

    /// The seeds as builds are told them; none for the suite's own.
    pub(super) fn told_seeds(&self) -> Option<String> {
        self.seeds.as_ref().map(list)
    }

    /// The floor's file on the machine of `measured`.
    pub(super) fn floor_file(&self, measured: &Snapshot) -> PathBuf {
        self.floor
            .clone()
            .unwrap_or_else(|| floors::file(&self.places.store, &measured.suite, &measured.machine))
    }
}

fn list(seeds: &Seeds) -> String {
    // A bare number is a count.
    match seeds.0.as_slice() {
        [one] => format!("{one}..{}", one.saturating_add(1)),
        seeds => seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

/// This program, unless another is named.
pub(super) fn program(named: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    match named {
        Some(path) => Ok(path.clone()),
        None => std::env::current_exe().context("cannot find the file of this program"),
    }
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    // A suite that is none is a mistake, whatever is to be compared.
    args.measuring.plan()?;
    if let Some(reason) = same_program(args)? {
        let suite = suite_name(&args.measuring.suite);
        let report = Report { uncompared: Some(reason), ..Report::blank(suite) };
        return conclude(args, &report, None);
    }
    let outcome = judge(args);
    let error = match outcome {
        Ok((report, measured)) => return conclude(args, &report, Some(&measured)),
        Err(error) => error,
    };
    // A build that does not run, or sides that do not fit, are no mistake of the user's.
    let failed = error.downcast_ref::<BuildError>();
    if let Some(crash) = failed.filter(|error| error.build == "head" && !error.refused) {
        return conclude(args, &crashed(args, crash), None);
    }
    let build = failed.map(|error| error.build);
    let unfit = matches!(
        error.downcast_ref::<RegressError>(),
        Some(
            RegressError::OtherSuite { .. }
                | RegressError::Mixed { .. }
                | RegressError::TwoMachines { .. }
                | RegressError::Stats { .. }
        )
    );
    match build {
        Some("base") => Ok(could_not_judge(&error)),
        _ if unfit => Ok(could_not_judge(&error)),
        _ => Err(error),
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
fn crashed(args: &Args, crash: &BuildError) -> Report {
    let any = || "any".to_owned();
    let cell = crash.cell.as_deref().cloned();
    let cell = cell.unwrap_or_else(|| CellName { workload: any(), arm: any(), seed: any() });
    let message = format!("it could not {}: {}", crash.what, crash.said);
    let failures = vec![Failure { cell, message, excused: None }];
    Report { failures, ..Report::blank(suite_name(&args.measuring.suite)) }
}

fn could_not_judge(error: &anyhow::Error) -> Exit {
    warn(&format!("could not judge: {error:#}"));
    Exit::NotJudged
}

/// Measures, judges, and measures the suspects again.
///
/// # Errors
/// When the call is wrong, a build fails, or the sides do not fit.
pub(super) fn judge(args: &Args) -> anyhow::Result<(Report, Measured)> {
    let Args { measuring, .. } = args;
    let plan = measuring.plan()?;
    let options = measuring.options()?;
    let kept = match &args.against {
        Some(reference) => Some(reference::Kept::find(reference, &args.place)?),
        None => None,
    };
    let scratch = Scratch::below(&measuring.places.store)?;
    let told = match &args.head_suite {
        Some(suite) => told(suite, suite)?,
        None => plan.told.clone(),
    };
    let head = Build::new("head", &program(args.head.as_ref())?, &told, &options)?;
    let head = head.on_device(&measuring.device).within(measuring.timeout);
    let (builds, selection) = match &args.binary {
        Some(binary) => {
            let suite = args.base_suite.as_deref().unwrap_or(&plan.told);
            let base = Build::new("base", binary, suite, &options)?.on_device(&measuring.device);
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
    let mut first = session(&builds, &selection.cells(), rounds, &plan.context, &scratch)?;
    if let Some(kept) = kept {
        first.base = Some(kept.snapshot(&first.head)?);
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
    if args.allow_same {
        report.notes.extend(report.uncompared.take());
    }
    // The base's clock: a head on trial could tell any date.
    excuse(&mut report, &args.accepted, &plan.quarantines, first.base_unix);
    Ok((report, first))
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
        Err(error) if error.build == "base" && args.base_suite.is_none() => error,
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

/// A metric that the suite names and nothing measures is a slip that would go unnoticed.
fn check_treatments(context: &Context, measured: &Measured) -> anyhow::Result<()> {
    let sides = measured.base.iter().chain([&measured.head]);
    let metrics = sides.flat_map(|side| &side.cells).flat_map(|cell| &cell.metrics);
    let measured: BTreeSet<&str> = metrics.map(|metric| metric.name.as_str()).collect();
    // Without a single run that ended well there is nothing to hold names to.
    if measured.is_empty() {
        return Ok(());
    }
    let known: BTreeSet<&str> = measured.into_iter().chain(OWN_METRICS).collect();
    let exceptions = context.exceptions.iter().map(|exception| &exception.metric);
    let mut names = context.treatments.keys().chain(exceptions);
    if let Some(wanted) = names.find(|name| !known.contains(name.as_str())) {
        let hint = ledger::catalogue::hint(wanted, known);
        anyhow::bail!(
            "regress of the suite names the metric \"{wanted}\", which no run measures{hint}"
        );
    }
    Ok(())
}

/// So is an exception of an arm or a workload that no side has.
fn check_exceptions(plan: &Plan, selection: &Selection) -> anyhow::Result<()> {
    let cells = selection.cells();
    let arms: BTreeSet<&str> = cells.iter().map(|cell| cell.name.arm.as_str()).collect();
    let workloads: BTreeSet<&str> = cells.iter().map(|cell| cell.name.workload.as_str()).collect();
    let exceptions = plan.context.exceptions.iter().map(|one| (&one.arm, &one.workload));
    let quarantines = plan.quarantines.iter().map(|one| (&one.arm, &one.workload));
    for (arm, workload) in exceptions.chain(quarantines) {
        for (what, label, known) in [("arm", arm, &arms), ("workload", workload, &workloads)] {
            let unknown = label.as_ref().filter(|label| !known.contains(label.as_str()));
            if let Some(label) = unknown {
                let hint = ledger::catalogue::hint(label, known.clone());
                anyhow::bail!(
                    "regress.exceptions of the suite names the {what} \"{label}\", which it does not have{hint}"
                );
            }
        }
    }
    Ok(())
}

fn keep_classes(measured: &mut Measured, classes: &[Class]) {
    if classes.is_empty() {
        return;
    }
    for side in measured.base.iter_mut().chain([&mut measured.head]) {
        for cell in &mut side.cells {
            cell.metrics.retain(|m| m.class == Class::Info || classes.contains(&m.class));
        }
    }
}

/// Adds what a reader must know of how it was judged.
fn noted(mut report: Report, args: &Args, floor: Option<&NoiseFloor>) -> Report {
    if !args.classes.is_empty() {
        let names: Vec<&str> = args.classes.iter().map(|class| class.name()).collect();
        report.notes.push(format!("only judged: {}", names.join(", ")));
    }
    let regressed = report.rows.iter().filter(|row| row.verdict == Verdict::Regressed);
    let arms: BTreeSet<&str> = regressed.map(|row| row.name.arm.as_str()).collect();
    if !arms.is_empty() {
        let arms: Vec<&str> = arms.into_iter().collect();
        let arms = quoted(&arms.join(","));
        report.notes.push(format!("these alone: {} --methods {arms}", command(args)));
    }
    let times = args.classes.is_empty() || args.classes.contains(&Class::Time);
    if times && args.against.is_some() {
        let way =
            "--binary lets both builds take turns, --classes exact,ulp,quality leaves times out";
        report.notes.push(format!("times are not compared with a kept reference: {way}"));
    } else if times && floor.is_none() {
        let suite = &args.measuring.suite;
        report.notes.push(format!(
            "times are not judged without a noise floor of this machine: `palimpsest regress aa {}` measures one",
            quoted(suite)
        ));
    }
    report
}

/// The command of this gate, to be copied.
fn command(args: &Args) -> String {
    let Args { measuring: Measuring { suite, .. }, against, binary, .. } = args;
    let reference = match (against, binary) {
        (Some(reference), _) => format!("--against {}", quoted(reference)),
        (None, Some(program)) => format!("--binary {}", quoted(&program.display().to_string())),
        (None, None) => String::new(),
    };
    format!("palimpsest regress {} {reference}", quoted(suite))
}

fn conclude(args: &Args, report: &Report, measured: Option<&Measured>) -> anyhow::Result<Exit> {
    if let Some(folder) = &args.out {
        write_all(folder, report, measured)?;
    }
    print_text(&render(report, args.format)?)?;
    Ok(match report.exit_code() {
        0 => Exit::Fine,
        1 => Exit::CheckFailed,
        4 => Exit::CellsFailed,
        _ => Exit::NotJudged,
    })
}

/// The report in every format, and both sides as reference files.
fn write_all(folder: &Path, report: &Report, measured: Option<&Measured>) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    for (name, format) in RegressFormat::ALL {
        let file = match format {
            RegressFormat::Text => "report.txt",
            RegressFormat::Json => "report.json",
            RegressFormat::Markdown => "report.md",
            RegressFormat::Junit => "junit.xml",
            RegressFormat::Github => "annotations.txt",
            RegressFormat::Bmf => "bmf.json",
        };
        write(file, render(report, format).with_context(|| format!("cannot draw {name}"))?)?;
    }
    let Some(measured) = measured else { return Ok(()) };
    if let Some(base) = &measured.base {
        write("base.json", base.to_json()?)?;
    }
    write("head.json", measured.head.to_json()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_in_a_command_to_copy_is_one_word_of_the_shell_and_runs_nothing() {
        for word in ["x|y $(touch pwned)", "it's", "", "a b;c", "`x`", "sgd,adamw"] {
            let script = format!("printf %s {}", quoted(word));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
        assert_eq!(quoted("sgd,adamw"), "sgd,adamw");
    }

    #[test]
    fn a_list_of_one_seed_is_not_told_as_a_count() {
        let told = list(&Seeds(vec![7]));
        assert_eq!(told.parse::<Seeds>().map(|seeds| seeds.0), Ok(vec![7]), "{told}");
        assert_eq!(list(&Seeds(vec![7, 9])), "7,9");
    }
}
