//! `palimpsest run`

use std::io::Write as _;

use anyhow::bail;
use ledger::record::format::Status;
use ledger::seed::parse_beacon;

use super::Exit;
use super::suite_options::SuiteOptions;
use crate::runner::cell::CellReport;
use crate::runner::{NamedSeed, Session, pool};
use crate::voice::{Progress, cost, print_analysis, print_plan};
use crate::{machine, voice};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    options: SuiteOptions,
    /// Where to train: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
    /// Worker processes, each pinned to a CPU; at most as many as CPUs
    #[arg(long, default_value_t = 1)]
    jobs: u32,
    /// Where cells run; only this machine for now
    #[arg(long, default_value = "local", value_parser = ["local"])]
    executor: String,
    /// Show what would run, and stop
    #[arg(long)]
    dry_run: bool,
    /// Run cells again that are in the store already
    #[arg(long)]
    force: bool,
    /// Draw seeds from the operating system, so that p-values are evidence and not simulation
    #[arg(long)]
    attested: bool,
    /// Public randomness to mix into every seed, hexadecimal
    #[arg(long, value_name = "HEX", value_parser = parse_beacon)]
    beacon: Option<Beacon>,
    /// Exit 1 when a claim is not reproduced
    #[arg(long)]
    strict: bool,
    /// Print the analysis as JSON
    #[arg(long)]
    json: bool,
    /// Serve as worker K (used by --jobs)
    #[arg(long, hide = true, value_name = "K")]
    worker: Option<usize>,
}

/// Bytes of a beacon; an alias so that clap does not read a list of numbers.
type Beacon = Vec<u8>;

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let plan = args.options.plan()?;
    if args.jobs == 0 || args.jobs > machine::cpus() {
        bail!(
            "--jobs is {}, but this machine has {} CPUs; more would disturb every clock",
            args.jobs,
            machine::cpus()
        );
    }
    let store = args.options.places.store();
    if args.dry_run {
        print_plan(&plan, &cost::estimate(&plan, &store), args.json)?;
        return Ok(Exit::Fine);
    }
    store.prepare()?;
    let mut session =
        Session::new(plan, store, args.options.places.sources(), &args.device, args.force)?;
    if let Some(worker) = args.worker {
        pool::serve(&mut session, worker)?;
        return Ok(Exit::Fine);
    }
    let seeds = seeds(&session, &args)?;
    let mut progress =
        Progress::start(&session.plan, &cost::estimate(&session.plan, &session.store));
    let reports = if args.jobs == 1 {
        let mut reports = Vec::with_capacity(seeds.len());
        for (index, seed) in seeds.iter().enumerate() {
            progress.begin(index);
            let report = session.run_cell(session.plan.cells[index], seed)?;
            progress.end(index, &report);
            reports.push(report);
        }
        reports
    } else {
        pool::run(&session, &seeds, args.jobs as usize, &mut |index, report| {
            progress.end(index, report)
        })?
    };
    progress.finish();
    conclude(&session, &seeds, &reports, &args)
}

/// One seed per cell: cells of one seed share it, so that arms are paired.
fn seeds(session: &Session, args: &Args) -> anyhow::Result<Vec<NamedSeed>> {
    let mut named = Vec::new();
    for &seed in &session.plan.seeds {
        let beacon = args.beacon.clone();
        let seed_of = if args.attested {
            NamedSeed::attested(beacon)?
        } else {
            NamedSeed::integer(seed, beacon)
        };
        named.push((seed, seed_of));
    }
    let of = |seed: u64| {
        named.iter().find(|(integer, _)| *integer == seed).map(|(_, named)| named.clone())
    };
    Ok(session.plan.cells.iter().filter_map(|cell| of(cell.seed)).collect())
}

fn conclude(
    session: &Session,
    seeds: &[NamedSeed],
    reports: &[CellReport],
    args: &Args,
) -> anyhow::Result<Exit> {
    let suite_run = super::report::suite_run(session, &args.options.suite, seeds, reports);
    suite_run.save(&session.store)?;
    let analysis = super::report::analyse(&session.store, &suite_run)?;
    if args.json {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &analysis)?;
        out.write_all(b"\n")?;
    } else {
        print_analysis(&analysis)?;
    }
    let failed: Vec<_> = reports.iter().filter(|report| report.status == Status::Failed).collect();
    if let Some(first) = failed.first() {
        let reason = first.error.clone().unwrap_or_default();
        voice::warn(&format!(
            "{} of {} cells failed, {} first: {reason}",
            failed.len(),
            reports.len(),
            first.cell
        ));
        return Ok(Exit::CellsFailed);
    }
    let broken = analysis.claims.iter().any(|claim| claim.verdict == "not reproduced");
    Ok(if args.strict && broken { Exit::CheckFailed } else { Exit::Fine })
}
