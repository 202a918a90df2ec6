//! `palimpsest regress judge BASE HEAD`: two files of results, judged alone.

mod results;

use std::path::{Path, PathBuf};

use analysis::regress::decide::{Decision, FloorAt, decide};
use analysis::regress::excuse::{Acceptance, excuse};
use analysis::regress::metric::Class;
use analysis::regress::unpaired::{self, Terms};
use analysis::regress::{Report, Rule, Snapshot};
use anyhow::{Context as _, bail};

use super::checks::keep;
use super::conclude::{Shown, Sides, conclude, unfit};
use super::floors;
use super::measuring::{Plan, class};
use crate::cli::report::suite_name;
use crate::exit::Exit;
use results::Results;

/// Options of `palimpsest regress judge`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Results of the base: base.json or head.json of a gate's folder, a reference file, a file of values, or results
    /// in Bencher Metric Format, of pytest-benchmark or asv
    #[arg(value_name = "BASE")]
    pub base: PathBuf,
    /// Results of the head, in the same form
    #[arg(value_name = "HEAD")]
    pub head: PathBuf,
    /// Suite whose margin, rate of false alarms and quarantines count; the defaults without one
    #[arg(long, value_name = "SUITE")]
    pub suite: Option<String>,
    /// Judge times of two sessions, too: both files are of one machine, whose sessions differ by at most this
    /// share where nothing changed, such as 0.05
    #[arg(long, value_name = "SHARE")]
    pub drift: Option<f64>,
    /// Noise floor of the machine, for two sides that took turns in one session
    #[arg(long, value_name = "FILE")]
    pub floor: Option<PathBuf>,
    /// Accept an intended change, with a reason: METRIC[@ARM]=REASON; may be given again
    #[arg(long = "accept", value_name = "METRIC[@ARM]=REASON")]
    pub accepted: Vec<Acceptance>,
    /// Compare even files of the same bytes, or sides with the same training code
    #[arg(long)]
    pub allow_same: bool,
    /// Judge these classes only: exact, ulp, quality, time
    #[arg(long, value_delimiter = ',', value_name = "CLASS", value_parser = class)]
    pub classes: Vec<Class>,
    #[command(flatten)]
    /// Where the report goes.
    pub shown: Shown,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let plan = args.suite.as_deref().map(|suite| Plan::of(suite, None)).transpose()?;
    let rule = plan.as_ref().map_or_else(Rule::default, |plan| plan.rule);
    let (base, head) = (results::read(&args.base)?, results::read(&args.head)?);
    check_suite(args, &head)?;
    let suite = head.suite().to_owned();
    let mut report = match compared(args, base, head, &rule) {
        Ok(report) => report,
        // Sides that do not fit are no mistake in the call.
        Err(error) if unfit(&error) => {
            let uncompared = Some(format!("{error:#}"));
            let report = Report { uncompared, rule, ..Report::blank(suite) };
            return conclude(&args.shown, &report, Sides::default());
        }
        Err(error) => return Err(error),
    };
    if same_bytes(&args.base, &args.head)? {
        report.uncompared = Some("both files are the same bytes".to_owned());
    }
    if args.allow_same {
        report.notes.extend(report.uncompared.take());
    }
    if !args.classes.is_empty() {
        let names: Vec<&str> = args.classes.iter().map(|class| class.name()).collect();
        report.notes.push(format!("only judged: {}", names.join(", ")));
    }
    let quarantines = plan.map(|plan| plan.quarantines).unwrap_or_default();
    // The files tell no date.
    excuse(&mut report, &args.accepted, &quarantines, written_unix(&args.base)?);
    conclude(&args.shown, &report, Sides::default())
}

/// The suite that judges is the one whose results these are; benchmarks of other tools are of none.
fn check_suite(args: &Args, head: &Results) -> anyhow::Result<()> {
    let Some(told) = &args.suite else { return Ok(()) };
    let (name, suite) = (suite_name(told), head.suite());
    if name != suite && !matches!(head, Results::OtherTool(_)) {
        bail!(
            "{} is of suite \"{suite}\", and --suite {told} is \"{name}\": name its own, or none",
            args.head.display()
        );
    }
    Ok(())
}

/// A bound of drift that no time would be held to.
fn check_drift(args: &Args, any_time: bool) -> anyhow::Result<()> {
    if args.drift.is_some() && !any_time {
        bail!("--drift is about times, and no metric that is compared is one: leave it out");
    }
    Ok(())
}

/// The report on two files of one form.
fn compared(args: &Args, base: Results, head: Results, rule: &Rule) -> anyhow::Result<Report> {
    match (base, head) {
        (Results::Kept(base), Results::Kept(head)) => kept(args, *base, *head, rule),
        (Results::Values(mut base), Results::Values(mut head))
        | (Results::OtherTool(mut base), Results::OtherTool(mut head)) => {
            if args.floor.is_some() {
                bail!("--floor is for two sides that took turns; of files of values say --drift");
            }
            for side in [&mut base, &mut head] {
                side.samples.retain(|sample| keep(sample.class, &args.classes));
            }
            let mut samples = base.samples.iter().chain(&head.samples);
            check_drift(args, samples.any(|sample| sample.class == Class::Time))?;
            Ok(unpaired::judge(&base, &head, Terms { rule, drift: args.drift })?)
        }
        _ => bail!(
            "{} and {} are of two forms: give two snapshots, two files of values, or two of another tool",
            args.base.display(),
            args.head.display()
        ),
    }
}

/// Two snapshots: pairs where their sides took turns, and two sessions where not.
fn kept(args: &Args, base: Snapshot, head: Snapshot, rule: &Rule) -> anyhow::Result<Report> {
    let (mut base, mut head) = (base, head);
    for cell in base.cells.iter_mut().chain(&mut head.cells) {
        cell.metrics.retain(|metric| keep(metric.class, &args.classes));
    }
    if base.session.is_none() || base.session != head.session {
        if args.floor.is_some() {
            bail!(
                "--floor is for two sides that took turns, which {} and {} did not: say --drift",
                args.base.display(),
                args.head.display()
            );
        }
        let mut metrics = base.cells.iter().chain(&head.cells).flat_map(|cell| &cell.metrics);
        check_drift(args, metrics.any(|metric| metric.class == Class::Time))?;
        return Ok(unpaired::two_sessions(&base, &head, Terms { rule, drift: args.drift })?);
    }
    if args.drift.is_some() {
        bail!(
            "--drift is of two sessions, and both files are of one: a noise floor judges them (--floor)"
        );
    }
    let floor = match &args.floor {
        Some(path) => Some(
            floors::read(path)?.with_context(|| format!("there is no file {}", path.display()))?,
        ),
        None => None,
    };
    // The files tell no date: a floor that was measured after them is as good as one from before.
    let written = written_unix(&args.head)?;
    let now_unix = floor.as_ref().map_or(written, |floor| written.max(floor.measured_unix));
    let at = FloorAt { floor: floor.as_ref(), now_unix };
    Ok(match decide(&base, &head, at, rule)? {
        Decision::Final { report } => *report,
        Decision::NeedsConfirmation { provisional, .. } => {
            let mut report = *provisional;
            report.notes.push(
                "alarms of tests are those of one round: files cannot be measured again, which in the gate takes \
                 most false ones away"
                    .to_owned(),
            );
            report
        }
    })
}

fn same_bytes(one: &Path, other: &Path) -> anyhow::Result<bool> {
    let read = |path: &Path| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    Ok(read(one)? == read(other)?)
}

/// When a file was written, in seconds since 1970.
fn written_unix(path: &Path) -> anyhow::Result<u64> {
    let modified = std::fs::metadata(path).and_then(|found| found.modified());
    let modified = modified.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(modified.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
