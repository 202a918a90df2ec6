//! `palimpsest regress SUITE --against REF` and `--binary BUILD`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use analysis::regress::decide::{Decision, FloorAt, Suspect, confirm, decide};
use analysis::regress::extract::{Context, OWN_METRICS};
use analysis::regress::metric::Class;
use analysis::regress::{NoiseFloor, RegressError, Report, Rule, Snapshot, Verdict};
use analysis::suite::{RegressUse, Seeds};
use anyhow::Context as _;
use reports::regress::{RegressFormat, render};

use super::build::{Build, BuildError};
use super::place::Place;
use super::scratch::Scratch;
use super::turns::{Builds, Measured, Selection, Wanted, rounds_for, session, told};
use super::{floors, reference};
use crate::cli::suite_options::Places;
use crate::exit::Exit;
use crate::library;
use crate::voice::{note, print_text, warn};

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

fn class(text: &str) -> Result<Class, String> {
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
            context: Context { treatments, ..Context::default() },
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
    let outcome = judge(args);
    let error = match outcome {
        Ok((report, measured)) => return conclude(args, &report, &measured),
        Err(error) => error,
    };
    // A build that does not run, or sides that do not fit, are no mistake of the user's.
    let build = error.downcast_ref::<BuildError>().map(|error| error.build);
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

fn could_not_judge(error: &anyhow::Error) -> Exit {
    warn(&format!("could not judge: {error:#}"));
    Exit::NotJudged
}

/// Measures, judges, and measures the suspects again.
fn judge(args: &Args) -> anyhow::Result<(Report, Measured)> {
    let Args { measuring, .. } = args;
    let plan = measuring.plan()?;
    let options = measuring.options()?;
    let kept = match &args.against {
        Some(reference) => Some(reference::Kept::find(reference, &args.place)?),
        None => None,
    };
    let scratch = Scratch::below(&measuring.places.store)?;
    let head = Build::new("head", &program(args.head.as_ref())?, &plan.told, &options)?;
    let head = head.on_device(&measuring.device);
    let (builds, selection) = match &args.binary {
        Some(binary) => {
            let suite = args.base_suite.as_deref().unwrap_or(&plan.told);
            let base = Build::new("base", binary, suite, &options)?.on_device(&measuring.device);
            both(base, head, args, &scratch)?
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
    Ok((noted(report, args, floor.as_ref()), first))
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
    let name = super::super::report::suite_name(&args.measuring.suite);
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
    let mut names = context.treatments.keys();
    if let Some(wanted) = names.find(|name| !known.contains(name.as_str())) {
        let hint = ledger::catalogue::hint(wanted, known);
        anyhow::bail!(
            "regress.metrics of the suite names \"{wanted}\", which no run measures{hint}"
        );
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
        report.notes.push(format!("these alone: {} --methods {}", command(args), arms.join(",")));
    }
    let times = args.classes.is_empty() || args.classes.contains(&Class::Time);
    if times && args.against.is_some() {
        let way =
            "--binary lets both builds take turns, --classes exact,ulp,quality leaves times out";
        report.notes.push(format!("times are not compared with a kept reference: {way}"));
    } else if times && floor.is_none() {
        let suite = &args.measuring.suite;
        report.notes.push(format!(
            "times are not judged without a noise floor of this machine: `palimpsest regress aa {suite}` measures one"
        ));
    }
    report
}

/// The command of this gate, to be copied.
fn command(args: &Args) -> String {
    let Args { measuring: Measuring { suite, .. }, against, binary, .. } = args;
    let reference = match (against, binary) {
        (Some(reference), _) => format!("--against {reference}"),
        (None, Some(program)) => format!("--binary {}", program.display()),
        (None, None) => String::new(),
    };
    format!("palimpsest regress {suite} {reference}")
}

fn conclude(args: &Args, report: &Report, measured: &Measured) -> anyhow::Result<Exit> {
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
fn write_all(folder: &Path, report: &Report, measured: &Measured) -> anyhow::Result<()> {
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
    if let Some(base) = &measured.base {
        write("base.json", base.to_json()?)?;
    }
    write("head.json", measured.head.to_json()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_one_seed_is_not_told_as_a_count() {
        let told = list(&Seeds(vec![7]));
        assert_eq!(told.parse::<Seeds>().map(|seeds| seeds.0), Ok(vec![7]), "{told}");
        assert_eq!(list(&Seeds(vec![7, 9])), "7,9");
    }
}
