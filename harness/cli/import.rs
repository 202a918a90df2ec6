//! `palimpsest import`: logs of other tools become runs, marked as imported and attested by nobody.

mod assign;
mod keep;
mod question;
mod record;

use std::path::PathBuf;

use anyhow::bail;
use clap::ValueEnum;
use logs::names::Pattern;
use logs::{LoggedRun, Wanted, find, looks, shown};
use serde_json::json;

use super::suite_options::Places;
use crate::exit::Exit;
use crate::voice::{note, print_json, print_table, print_text, printable, warn};

/// Where suites come from that options are.
pub const SOURCE: &str = "palimpsest import";

/// Options of `palimpsest import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Logs, or folders that are searched for them
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// What wrote them; recognised where it is not given
    #[arg(long, value_enum, value_name = "FORM")]
    from: Option<From>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// Where the store is.
    #[command(flatten)]
    places: Places,
    /// What the runs were to reach.
    #[command(flatten)]
    goal: Goal,
    /// What stands where in the logs.
    #[command(flatten)]
    mapping: Mapping,
}

/// Forms of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// CSV with a row of names
    Csv,
    /// Lightning's metrics.csv
    Lightning,
    /// TensorBoard's event files
    Tensorboard,
    /// Weights & Biases: a chart's CSV, or a history as CSV or JSON lines
    Wandb,
    /// MLflow's folders
    Mlflow,
}

impl From {
    const fn form(self) -> logs::Form {
        match self {
            Self::Csv => logs::Form::Csv,
            Self::Lightning => logs::Form::Lightning,
            Self::Tensorboard => logs::Form::Tensorboard,
            Self::Wandb => logs::Form::Wandb,
            Self::Mlflow => logs::Form::Mlflow,
        }
    }
}

/// What the runs were to reach: as a suite says it, or by options.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The question")]
struct Goal {
    /// A suite whose arms are `imported: NAME`: it has the goal, and the claims
    #[arg(id = "suite_file", long = "suite", value_name = "SUITE")]
    suite: Option<String>,
    /// Name of the task; of a suite with several workloads, the one that the logs are of
    #[arg(long, value_name = "NAME", required_unless_present = "suite_file")]
    workload: Option<String>,
    /// Name of the metric, as pages and claims call it
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "suite_file",
        conflicts_with = "suite_file"
    )]
    metric: Option<String>,
    /// Which way it improves [default: higher]
    #[arg(long, value_parser = ["higher", "lower"], conflicts_with = "suite_file")]
    direction: Option<String>,
    /// Value of the metric that is to be reached
    #[arg(
        long,
        value_name = "X",
        allow_negative_numbers = true,
        required_unless_present = "suite_file",
        conflicts_with = "suite_file"
    )]
    target: Option<f64>,
    /// Where the target comes from
    #[arg(long, value_name = "TEXT", conflicts_with = "suite_file")]
    target_origin: Option<String>,
    /// Budget in samples; what the longest log has by default
    #[arg(long, value_name = "N", conflicts_with = "suite_file")]
    budget: Option<u64>,
    /// What the data were, in words or by a digest of your own; a part of the runs' ids
    #[arg(long, value_name = "TEXT", conflicts_with = "suite_file")]
    data: Option<String>,
    /// Name of the arm that the others are compared with
    #[arg(long, value_name = "ARM", conflicts_with = "suite_file")]
    baseline: Option<String>,
    /// Write the suite that these options are, to add claims to
    #[arg(long, value_name = "FILE", conflicts_with = "suite_file")]
    write_suite: Option<PathBuf>,
}

/// What stands where in the logs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What stands where")]
struct Mapping {
    /// The metric's name in the logs, where it is another: a column or a tag
    #[arg(long, value_name = "NAME")]
    metric_from: Option<String>,
    /// Its name on a test split, of which the last value counts
    #[arg(long, value_name = "NAME")]
    test_from: Option<String>,
    /// Column that counts samples
    #[arg(long, value_name = "NAME")]
    samples_from: Option<String>,
    /// Column that counts steps
    #[arg(long, value_name = "NAME", conflicts_with = "samples_from")]
    step_from: Option<String>,
    /// Samples of a step, where the logs count steps
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "samples_from")]
    samples_per_step: Option<u64>,
    /// Column that tells the time in seconds; `none` leaves the clock out
    #[arg(long, value_name = "NAME")]
    clock: Option<String>,
    /// Name of the arm that all of them are of
    #[arg(long, value_name = "NAME", conflicts_with = "arm_from")]
    arm: Option<String>,
    /// Column, param or tag that names the arm
    #[arg(long, value_name = "NAME")]
    arm_from: Option<String>,
    /// Seed that all of them are of
    #[arg(long, value_name = "K", conflicts_with = "seed_from")]
    seed: Option<u64>,
    /// Column, param or tag that has the seed
    #[arg(long, value_name = "NAME")]
    seed_from: Option<String>,
    /// What folders, files or runs are called, such as {arm}/seed{seed}; {} stands for anything
    #[arg(long, value_name = "PATTERN")]
    names: Option<Pattern>,
    /// The runs began again from checkpoints: later looks replace those that they go back behind
    #[arg(long)]
    resumed: bool,
}

/// A run of a log, with the arm and the seed that it is of.
struct Assigned {
    arm: String,
    seed: u64,
    /// The log's name, for messages.
    log: String,
    /// `csv`.
    form: logs::Form,
    /// The files of the log.
    files: Vec<find::LogFile>,
    /// Whether the log holds other runs, too.
    of_several: bool,
    run: LoggedRun,
    /// Samples at each look.
    samples: Vec<u64>,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let question = question::Question::of(&args.goal)?;
    let mapping = &args.mapping;
    let own =
        |own: Option<&String>| own.or(question.metric().as_ref()).cloned().unwrap_or_default();
    let wanted = Wanted {
        metric: own(mapping.metric_from.as_ref()),
        test: mapping.test_from.clone(),
        samples: mapping.samples_from.clone(),
        step: mapping.step_from.clone(),
        clock: mapping.clock.clone(),
        arm: mapping.arm_from.clone(),
        seed: mapping.seed_from.clone(),
        resumed: mapping.resumed,
    };
    let mut assigned = Vec::new();
    let logs = find::logs(&args.logs, args.from.map(From::form))?;
    for log in &logs {
        let files = log.files()?;
        let read = looks::read(log, &wanted)?;
        if log.files()? != files {
            bail!(
                "{} changed while it was read: its run still goes on; import it when it has ended, or a copy",
                shown(&log.name, usize::MAX)
            );
        }
        let of_several = read.runs.len() > 1;
        for run in read.runs {
            assigned.push(assign::assigned(log, &files, of_several, run, mapping)?);
        }
    }
    assign::check(&assigned)?;
    if let Some(first) = assigned.first().filter(|_| args.from.is_none()) {
        note(&format!("read as {}, which --from can say otherwise", first.form.name()));
    }
    let store = args.places.store();
    let kept = keep::keep(&question, &assigned, &wanted, mapping, &store)?;
    kept.warnings.iter().for_each(|warning| warn(warning));
    if args.json {
        print_json(
            &json!({ "suite": kept.suite, "suite_run": kept.suite_run, "runs": kept.runs }),
        )?;
        return Ok(Exit::Fine);
    }
    let header = ["run", "arm", "seed", "looks", "samples", "status", "here", "log"];
    let row = |run: &keep::Row| {
        let here = if run.was_here { "already" } else { "new" };
        [
            run.run.clone(),
            printable(&run.arm),
            run.seed.to_string(),
            run.looks.to_string(),
            run.samples.to_string(),
            run.status.name().to_owned(),
            here.to_owned(),
            printable(&run.log),
        ]
    };
    print_table(header, kept.runs.iter().map(row))?;
    let suite = question.named(&kept.suite);
    print_text(&format!(
        "\n{} of suite run {}; `palimpsest report {suite}` draws the page\n",
        crate::voice::counted(kept.runs.len(), "run"),
        kept.suite_run
    ))?;
    Ok(Exit::Fine)
}
