//! `palimpsest provenance power`

use std::path::PathBuf;

use analysis::suite_run::SuiteRun;
use analysis::summary::membership::ladder::ladder;
use analysis::summary::membership::{by_cell, judge};
use analysis::summary::power::{Power, curves, merge};
use analysis::summary::read_cells;
use anyhow::bail;
use ledger::record::{RunRecord, Store};

use super::given::Given;
use crate::cli::report::suite_name;
use crate::cli::suite_options::Places;
use crate::evidence::StoreEvidence;
use crate::exit::Exit;
use crate::voice::{print_json, print_table, print_text, warn};

/// Seed of the draw of the examples that are queried.
const DRAW: u64 = 0;

/// Options of `palimpsest provenance power`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// Which of these were given.
    given: Given,
    /// Name of a suite that was run, or its YAML file
    suite: String,
    /// Numbers of examples to make the tests with a bar on again, drawn at random; one above what
    /// the run consumed is all of them
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_values_t = [100, 250, 500, 1000, 2000, 4000],
        value_parser = clap::value_parser!(u64).range(3..)
    )]
    queries: Vec<u64>,
    /// Folder to write to; by default <store>/reports/<suite>
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    args.given.require("data_dir", false, "the tests are made on scores that the store has")?;
    let store = args.places.store();
    let name = suite_name(&args.suite);
    let suite = SuiteRun::load(&store, &name)?;
    let power = measure(&store, &suite, &args.queries);
    if power.curves.iter().all(|curve| curve.lines.is_empty()) {
        let why = power.curves.iter().flat_map(|curve| &curve.left_out).next();
        let why = why.map_or_else(
            || "none of its tests has a `curve` or expects `log10_p_at_most`".to_owned(),
            Clone::clone,
        );
        bail!("suite \"{name}\" has no point of a power curve: {why}");
    }
    let out = args.out.clone().unwrap_or_else(|| store.root().join("reports").join(&name));
    let paths = reports::provenance::power::render(&power, &out)?;
    if args.json {
        print_json(&power)?;
    } else {
        print(&power)?;
        print_text("\n")?;
        for path in paths {
            print_text(&format!("{}\n", path.display()))?;
        }
    }
    for left_out in power.curves.iter().flat_map(|curve| &curve.left_out) {
        warn(&format!("left out: {left_out}"));
    }
    Ok(Exit::Fine)
}

/// Every curve of a suite: those that its tests are points of, and those over examples queried.
fn measure(store: &Store, suite: &SuiteRun, queries: &[u64]) -> Power {
    let cells = read_cells(store, suite);
    for (cell, reason) in
        cells.iter().filter_map(|run| Some((&run.cell.cell, run.damaged.as_ref()?)))
    {
        warn(&format!("left out: {reason}; `palimpsest mend {cell}` trains it again"));
    }
    let records: Vec<RunRecord> =
        cells.into_iter().filter_map(|run| Some(run.left?.record)).collect();
    let records = by_cell(records.iter());
    let evidence = StoreEvidence { store };
    let mut queries = queries.to_vec();
    queries.sort_unstable();
    queries.dedup();
    let placed = curves(&judge(suite, &records, &evidence));
    let climbed = ladder(suite, &records, &evidence, &queries, DRAW);
    Power {
        suite: suite.suite.clone(),
        curves: merge(placed.into_iter().chain(climbed)),
        queries,
        draw: DRAW,
    }
}

fn print(power: &Power) -> anyhow::Result<()> {
    let rows = power.curves.iter().flat_map(|curve| {
        curve.lines.iter().flat_map(|line| {
            line.points.iter().map(|point| {
                [
                    curve.axis.clone(),
                    line.line.clone(),
                    point.at.to_string(),
                    format!("{:.2}", point.median),
                    format!("{:.2} … {:.2}", point.low, point.high),
                    point.log10_ps.len().to_string(),
                ]
            })
        })
    });
    print_table(["axis", "line", "at", "median log10 p", "smallest … largest", "seeds"], rows)?;
    print_text(&format!(
        "examples queried: drawn at random, seed {}, and the same for all tests of a seed; points of \
         a line are not independent\n",
        power.draw
    ))
}
