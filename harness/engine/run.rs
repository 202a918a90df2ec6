//! `palimpsest run`

use std::ops::Range;

use analysis::evidence::Promise;
use analysis::suite_run::{Made, Shelf};
use analysis::summary::Analysis;
use analysis::summary::claims::{Standing, standing};
use anyhow::bail;
use lab::LabError;
use ledger::record::format::Status;
use ledger::seed::Seed;
use palimpsest::cli::run::{Args, Executor};
use palimpsest::evidence::StoreEvidence;
use palimpsest::exit::Exit;
use palimpsest::library::is_same_suite;
use palimpsest::machine;
use palimpsest::voice::{note, print_analysis, print_json, quoted, strict, warn, warn_unjudged};

use crate::catalogue::catalogue;
use crate::devices::device_of;
use crate::estimate;
use crate::forecast::forecast;
use crate::interrupt::{self, Over};
use crate::progress::Progress;
use crate::runner::cell::{CellReport, ids};
use crate::runner::{NamedSeed, Session, pool};
use crate::stopping;
use crate::submit;
use crate::suite_run::suite_run;
use training::clock::unix_seconds;

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut plan = args.options.plan(&catalogue())?;
    plan.checkpoint_every = args.checkpoint_every.or(plan.checkpoint_every);
    if !args.cells.is_empty() {
        plan = plan.only(&args.cells).map_err(anyhow::Error::msg)?;
    }
    if let Some(shard) = args.shard {
        plan = plan.shard(shard).map_err(anyhow::Error::msg)?;
    }
    let handed_in = args.executor != Executor::Local || args.attach.is_some();
    if args.jobs == 0 || (!handed_in && args.jobs > machine::cpus()) {
        bail!(
            "--jobs is {}, but this machine has {} CPUs; more would disturb every clock",
            args.jobs,
            machine::cpus()
        );
    }
    if args.worker.is_none() && args.shard.is_none() {
        warn_unjudged(&plan.unjudged);
    }
    if handed_in {
        if args.shard.is_some() || !args.cells.is_empty() {
            bail!("a scheduler gets the whole suite and parts it itself; leave --shard out");
        }
        args.options.hold_to_tuning(&plan)?;
        return submit::run(args, plan);
    }
    if args.executor_options.is_some() || args.parts.is_some() {
        bail!(
            "--executor-options and --parts say how a scheduler gets the cells; name it with --executor slurm, or leave them out"
        );
    }
    let store = args.options.places.store();
    if args.dry_run {
        forecast(&plan, &store, &args.options.places.sources(), args.accept_build)?
            .print(args.json)?;
        return Ok(Exit::Fine);
    }
    args.options.hold_to_tuning(&plan)?;
    store.prepare()?;
    let device = device_of(&args.device, args.worker);
    let mut session = Session::new(plan, store, args.options.places.sources(), device, args.force)?;
    if args.accept_build {
        session.accept_other_builds()?;
    }
    if let Some(worker) = args.worker {
        pool::serve(&mut session, worker)?;
        return Ok(Exit::Fine);
    }
    let seeds = seeds(&session, args)?;
    let cells = session.cell_ids(&seeds)?;
    hold_to_device(&session, &cells)?;
    train(&mut session, &seeds, &cells, args)
}

/// An error that is not the stop that was asked for, which would hide it.
pub fn told(error: Option<anyhow::Error>) {
    let is_the_stop =
        |error: &anyhow::Error| matches!(error.downcast_ref(), Some(LabError::Stopped { .. }));
    if let Some(error) = error.filter(|error| !is_the_stop(error)) {
        warn(&format!("{error:#}"));
    }
}

/// Runs the cells that are not there, and judges all.
pub fn train(
    session: &mut Session,
    seeds: &[NamedSeed],
    cells: &[String],
    args: &Args,
) -> anyhow::Result<Exit> {
    let made = begin(session, seeds, cells, args)?;
    let over = Over::default();
    if !session.collected {
        let kept = session.plan.checkpoint_every.is_some();
        over.begin(cells.len());
        interrupt::last_words(&over, "cells", how_to_go_on(args, &made), kept)?;
    }
    let mut progress = Progress::start(&forecast(
        &session.plan,
        &session.store,
        &session.sources,
        args.accept_build,
    )?);
    let batches = batches(session);
    let jobs = session.devices.jobs(args.jobs, machine::cpus())? as usize;
    // Only a process of its own can be stopped whatever it is doing.
    let apart = jobs > 1 || session.devices.are_several() || args.timeout.is_some();
    let mut pool = if apart && !session.collected {
        Some(pool::Pool::new(session, jobs, args.timeout)?)
    } else {
        None
    };
    let mut reports = Vec::with_capacity(seeds.len());
    for (done, batch) in (1..).zip(batches) {
        if let Some(pool) = &mut pool {
            let batch: Vec<usize> = batch.collect();
            let ran = pool.run(session, seeds, &batch, &mut |index, report| {
                over.one_more();
                progress.end(index, report);
            });
            if interrupt::is_asked_to_stop() {
                pool.wait();
                told(ran.err());
                interrupt::ended();
            }
            reports.extend(ran?);
        } else {
            for index in batch {
                progress.begin(index);
                let ran = session.run_cell(session.plan.cells[index], &seeds[index]);
                if let Ok(report) = &ran {
                    over.one_more();
                    progress.end(index, report);
                }
                if interrupt::is_asked_to_stop() {
                    told(ran.err());
                    interrupt::ended();
                }
                reports.push(ran?);
            }
        }
        if stopping::over(session, &args.options.suite, seeds, &reports, done)? {
            break;
        }
    }
    if let Some(pool) = pool {
        pool.finish();
    }
    progress.finish();
    stopping::keep_what_ran(session, &reports);
    score(session, &reports);
    let exit = conclude(session, seeds, &reports, made, args)?;
    if let Some(shard) = args.shard {
        let store = quoted(&session.store.root().to_string_lossy());
        note(&format!(
            "this is part {shard}: with all of them there, `palimpsest merge {store} … --store ALL` brings their stores together, and the same command without --shard, with --store ALL, judges"
        ));
    }
    Ok(exit)
}

/// What an interrupted run tells of the rest.
fn how_to_go_on(args: &Args, made: &Made) -> String {
    let report = format!("`palimpsest report --run {}` draws what is there", made.id);
    if args.attested {
        return format!(
            "{report}, but the rest cannot be added, because its seeds were drawn for this run; seeds that `palimpsest commit --attested --promise` promises can be used again"
        );
    }
    format!("the same command goes on with the rest, and {report}")
}

/// Records of another device are somebody's results: they are not replaced unasked.
fn hold_to_device(session: &Session, cells: &[String]) -> anyhow::Result<()> {
    if session.force {
        return Ok(());
    }
    let of = |id: &String| Some(session.store.record(id).ok()?.environment.device);
    let others: Vec<String> =
        cells.iter().filter_map(of).filter(|device| *device != session.device_name).collect();
    let Some(first) = others.first() else { return Ok(()) };
    bail!(
        "{} of {} cells are in {} already, trained on {first}, and this is {}: `--device {first}` keeps them, another --store holds both, --force replaces them",
        others.len(),
        cells.len(),
        session.store.root().display(),
        session.device_name
    )
}

/// Writes down what is about to run, so that it can be named and reported however it ends.
fn begin(
    session: &Session,
    seeds: &[NamedSeed],
    cells: &[String],
    args: &Args,
) -> anyhow::Result<Made> {
    let source = &args.options.suite;
    let mut options = args.options.changes();
    if !args.cells.is_empty() {
        let places: Vec<String> = args.cells.iter().map(ToString::to_string).collect();
        options.push(format!("--cells {}", places.join(",")));
    }
    let mut planned = suite_run(session, source, seeds, cells, Vec::new());
    options.extend(args.shard.map(|shard| format!("--shard {shard}")));
    planned.made = Made { started_unix: unix_seconds(), options, ..Made::default() };
    let earlier = Shelf::of(&session.store, &planned.suite)?;
    let digest = &planned.suite_digest;
    let other = earlier
        .runs
        .iter()
        .find(|one| one.run.suite_digest != *digest && !is_same_suite(&one.run.source, source));
    if let Some(other) = other {
        warn(&format!(
            "{} calls itself \"{}\", and so does {}, which ran before: both are kept, but give one of them another name, or their reports another folder",
            source, planned.suite, other.run.source
        ));
    }
    planned.take_place(&session.store)?;
    planned.save(&session.store)?;
    Ok(planned.made)
}

/// The cells that run before anything is looked at: all, or those of one seed after another.
fn batches(session: &Session) -> Vec<Range<usize>> {
    let cells = &session.plan.cells;
    if session.plan.stopping.is_none() {
        return std::iter::once(0..cells.len()).collect();
    }
    let mut start = 0;
    let of_seeds = cells.chunk_by(|a, b| a.seed == b.seed);
    of_seeds
        .map(|batch| {
            let range = start..start + batch.len();
            start = range.end;
            range
        })
        .collect()
}

/// One seed per cell: cells of one seed share it, so that arms are paired.
pub fn seeds(session: &Session, args: &Args) -> anyhow::Result<Vec<NamedSeed>> {
    let promise =
        args.promise.as_deref().map(|path| Ok::<_, anyhow::Error>((Promise::read(path)?, path)));
    let promise = promise.transpose()?;
    if let Some((promise, path)) = &promise {
        let (shown, suite) = (path.display(), &session.plan.suite);
        if promise.suite != *suite {
            bail!("{shown} promises suite {:?}, but this is {suite:?}", promise.suite);
        }
        match (&promise.beacon_source, &args.beacon) {
            (Some(source), None) => {
                bail!("{shown} promises the public randomness of {source}; give it with --beacon")
            }
            (None, Some(_)) => bail!("{shown} promises no public randomness; leave --beacon out"),
            _ => {}
        }
    }
    let mut named = Vec::new();
    for &seed in &session.plan.seeds {
        let beacon = args.beacon.clone();
        let mut seed_of = match &promise {
            Some((promise, path)) => NamedSeed::of(Seed { beacon, ..promise.seed(seed, path)? }),
            None if args.attested => NamedSeed::attested(beacon)?,
            None => NamedSeed::integer(seed, beacon),
        };
        if args.beacon_source.is_some() {
            seed_of.seed.beacon_source.clone_from(&args.beacon_source);
        }
        named.push((seed, seed_of));
    }
    let of = |seed: u64| {
        named.iter().find(|(integer, _)| *integer == seed).map(|(_, named)| named.clone())
    };
    Ok(session.plan.cells.iter().filter_map(|cell| of(cell.seed)).collect())
}

/// Scores the models that the suite's membership tests look at. The runs are over and stay, whatever
/// comes of it.
fn score(session: &mut Session, reports: &[CellReport]) {
    let cells = session.plan.cells.iter().zip(reports);
    let cells: Vec<_> = cells.map(|(cell, report)| (*cell, report.cell.clone())).collect();
    match session.score_for_tests(&cells) {
        Ok(0) => {}
        Ok(lacking) => {
            warn(&format!("{lacking} membership tests lack a model, because its run failed"));
        }
        Err(error) => warn(&format!("not every membership test has its scores: {error:#}")),
    }
}

fn conclude(
    session: &Session,
    seeds: &[NamedSeed],
    reports: &[CellReport],
    made: Made,
    args: &Args,
) -> anyhow::Result<Exit> {
    let cells: Vec<_> = session.plan.cells.iter().copied().zip(reports).collect();
    let estimated = estimate::suite::all(session, seeds, &cells, &args.options.places);
    let mut left = suite_run(session, &args.options.suite, seeds, &ids(reports), estimated);
    left.made = Made { ended_unix: Some(unix_seconds()), ..made };
    stopping::tell_saved(session, &mut left);
    left.save(&session.store)?;
    let analysis = Analysis::of(&left, &session.store, &StoreEvidence { store: &session.store });
    if args.json {
        print_json(&analysis)?;
    } else {
        print_analysis(&analysis)?;
    }
    let failed: Vec<_> = reports.iter().filter(|report| report.status == Status::Failed).collect();
    if let Some(first) = failed.first() {
        let reason = first.error.clone().unwrap_or_default();
        warn(&format!(
            "{} of {} cells failed, {} first: {reason}",
            failed.len(),
            reports.len(),
            first.cell
        ));
        return Ok(Exit::CellsFailed);
    }
    Ok(if args.strict { judge(&analysis) } else { Exit::Fine })
}

/// Names every claim and bar that is not as the suite expects.
fn judge(analysis: &Analysis) -> Exit {
    let are = |wanted| analysis.claims.iter().filter(move |claim| standing(claim) == wanted);
    are(Standing::Broken).for_each(strict::warn_broken);
    are(Standing::Undecided).for_each(strict::warn_undecided);
    let missed = || analysis.order_estimates.iter().filter(|entry| entry.met == Some(false));
    for entry in missed() {
        warn(&format!("order estimate {} misses a bar; the table tells which", entry.name));
    }
    let nothing = analysis.claims.is_empty() && analysis.order_estimates.is_empty();
    if nothing {
        warn(
            "--strict has nothing to judge: the plan has no claims and no order estimates; name a suite with claims, or leave out what takes their arms away",
        );
    }
    if missed().next().is_some() || are(Standing::Broken).next().is_some() {
        Exit::CheckFailed
    } else if nothing || are(Standing::Undecided).next().is_some() {
        Exit::NotJudged
    } else {
        Exit::Fine
    }
}
