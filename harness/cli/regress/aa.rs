//! `palimpsest regress aa`: a build against itself.

use std::path::PathBuf;

use analysis::regress::{NoiseFloor, Snapshot};

use super::build::Build;
use super::floors;
use super::measuring::{Measuring, program};
use super::scratch::Scratch;
use super::turns::{Builds, Selection, rounds_for, session};
use crate::exit::Exit;
use crate::voice::{note, print_json, print_table, print_text};

/// Options of `palimpsest regress aa`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// What is measured.
    pub measuring: Measuring,
    /// Comparisons of the build with itself; the floor is the 99th percentile over them
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(5..=1000))]
    pub rounds: u32,
    /// The build; this program by default
    #[arg(long, value_name = "PROGRAM")]
    pub binary: Option<PathBuf>,
    /// Print the floor as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let Args { measuring, .. } = args;
    let plan = measuring.plan()?;
    let scratch = Scratch::below(&measuring.places.store)?;
    let options = measuring.options()?;
    let program = program(args.binary.as_ref())?;
    let build = |name| {
        let build = Build::new(name, &program, &plan.told, &options)?;
        anyhow::Ok(build.on_device(&measuring.device).within(measuring.timeout))
    };
    let builds = Builds { base: Some(build("base")?), head: build("head")? };
    let selection = Selection::new(&builds, measuring.told_seeds().as_deref(), &scratch)?;
    let turns = rounds_for(plan.pairs, selection.seeds().len());
    let mut rounds: Vec<(Snapshot, Snapshot)> = Vec::new();
    let mut last_unix = 0;
    for round in 0..args.rounds {
        note(&format!("comparison {} of {} with itself", round + 1, args.rounds));
        let measured = session(&builds, &selection.cells(), turns, &plan.context, &scratch)?;
        if let Some(cell) = measured.head.cells.iter().find(|cell| cell.failed.is_some()) {
            let message = cell.failed.as_deref().unwrap_or_default();
            anyhow::bail!("{} failed: {message}", cell.name());
        }
        last_unix = measured.last_unix;
        let missing = || anyhow::anyhow!("one side left nothing");
        rounds.push((measured.base.ok_or_else(missing)?, measured.head));
    }
    let floor = NoiseFloor::measure(&rounds, &plan.rule, last_unix)?;
    let path = measuring.floor_file(&rounds[0].1);
    floors::write(&path, &floor)?;
    if args.json {
        print_json(&floor)?;
    } else {
        print(&floor)?;
        print_text(&format!("\nkept in {}\n", path.display()))?;
    }
    Ok(Exit::Fine)
}

fn print(floor: &NoiseFloor) -> anyhow::Result<()> {
    print_text(&format!(
        "{} on machine {}: {} comparisons with itself, {} of {} tests raised a false alarm\n\n",
        floor.suite, floor.machine.fingerprint, floor.rounds, floor.alarms, floor.comparisons
    ))?;
    let percent = |log: f64| format!("{:.2} %", 100.0 * log.exp_m1());
    let rows = floor.metrics.iter().map(|metric| {
        let name = &metric.name;
        [
            format!("{} / {} / {}", name.arm, name.workload, name.metric),
            metric.pairs.to_string(),
            percent(metric.median),
            percent(metric.p99),
        ]
    });
    print_table(["time", "pairs", "median", "floor (99th percentile)"], rows)
}
