//! `palimpsest tune`: trials are cells like any other; what they come to is frozen beside the suite.

use std::collections::BTreeMap;
use std::path::Path;

use analysis::plan::Plan;
use analysis::plan::tuning::TuningState;
use analysis::summary::tuning::TuningAnalysis;
use analysis::tuning::{Search, Trial, Tuned, day};
use anyhow::{Context as _, bail};
use ledger::catalogue::Catalogue;
use ledger::record::format::Status;
use ledger::record::writer::write_atomic;
use ledger::record::{RunRecord, Store};
use palimpsest::cli::tune::Args;
use palimpsest::exit::Exit;
use palimpsest::library::{self, SuiteText};
use palimpsest::machine;
use palimpsest::voice::{note, print_json, print_text, print_tuning, warn};
use training::clock::unix_seconds;

use crate::catalogue::catalogue;
use crate::devices::device_of;
use crate::forecast::forecast;
use crate::interrupt::{self, Over};
use crate::progress::Progress;
use crate::run::told;
use crate::runner::cell::CellReport;
use crate::runner::{NamedSeed, Session, pool};

/// What an interrupted search tells of the rest.
const GOES_ON: &str =
    "the same command goes on with the rest, and freezes what is best when all are there";

/// Times that `--widen` goes on: three times as many octaves again are beyond any sensible range.
const MOST_WIDENINGS: usize = 3;

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.jobs == 0 || args.jobs > machine::cpus() {
        bail!("--jobs is {}, but this machine has {} CPUs", args.jobs, machine::cpus());
    }
    let catalogue = catalogue();
    let suite = library::suite(&args.suite)?;
    let (file, mut frozen) = read_frozen(args, &suite)?;
    let mut session: Option<Session> = None;
    let over = Over::default();
    for round in 0.. {
        let plan = args.options(false).plan_with(&suite, frozen.clone(), &catalogue)?;
        let widen = args.widen && is_frozen(&plan);
        let search = Search::of(&plan, &catalogue, widen).map_err(anyhow::Error::msg)?;
        let goes_on = widen && search.rounds != known_rounds(&plan);
        let done = round > 0 && !goes_on;
        if done {
            break;
        }
        let store = args.places.store();
        if args.dry_run {
            forecast(&search.plan, &store, &args.places.sources(), args.accept_build)?
                .print(args.json)?;
            return Ok(Exit::Fine);
        }
        let session = prepared(&mut session, args, store, search.plan.clone())?;
        if let Some(worker) = args.worker {
            pool::serve(session, worker)?;
            return Ok(Exit::Fine);
        }
        if round == 0 {
            let kept = session.plan.checkpoint_every.is_some();
            interrupt::last_words(&over, "runs of trials", GOES_ON.to_owned(), kept)?;
        }
        let Some(outcomes) = try_all(session, &search, args, &over)? else {
            return Ok(Exit::CellsFailed);
        };
        if let Some(reason) = search.nothing_to_choose_by(&outcomes) {
            bail!("{}: {reason}; nothing was frozen, and the trials are kept", args.suite);
        }
        let labels = labels(args, &suite, &catalogue)?;
        let tuned = search.tuned(&outcomes, &day(unix_seconds()), &labels)?;
        let tuned = same_but_for_the_day(frozen.as_ref(), tuned)?;
        write(&file, &tuned)?;
        frozen = Some(tuned);
        if !args.widen || round >= MOST_WIDENINGS {
            break;
        }
    }
    let tuned = frozen.context("nothing was tried")?;
    conclude(args, &tuned, &file)
}

/// The frozen file as it is; one that cannot be used is made again.
fn read_frozen(args: &Args, suite: &SuiteText) -> anyhow::Result<(String, Option<Tuned>)> {
    let (file, text) = library::tuned(suite)?;
    let parsed = text.map(|text| Tuned::parse(&file, &args.suite, &text));
    match parsed {
        Some(Ok(tuned)) => Ok((file, Some(tuned))),
        Some(Err(error)) => {
            if args.worker.is_none() {
                warn(&error.to_string());
            }
            Ok((file, None))
        }
        None => Ok((file, None)),
    }
}

/// Whether the frozen file has the settings of every tuned arm as it is.
fn is_frozen(plan: &Plan) -> bool {
    let chosen = |tuning: &analysis::plan::tuning::PlannedTuning| {
        tuning.arms.iter().all(|arm| arm.state == TuningState::Chosen)
    };
    plan.tuning.as_ref().is_some_and(chosen)
}

/// The rounds that the frozen file has of each tuned arm.
fn known_rounds(plan: &Plan) -> Vec<Vec<BTreeMap<String, analysis::suite::Space>>> {
    let Some(tuning) = &plan.tuning else { return Vec::new() };
    let known = |label: &str| {
        let arm = tuning.tuned.as_ref().and_then(|tuned| tuned.arm(label));
        arm.map(|arm| arm.rounds.clone()).unwrap_or_default()
    };
    tuning.arms.iter().map(|arm| known(&arm.arm)).collect()
}

/// The session with this plan; what it has loaded stays loaded.
fn prepared<'s>(
    session: &'s mut Option<Session>,
    args: &Args,
    store: Store,
    plan: Plan,
) -> anyhow::Result<&'s mut Session> {
    if let Some(session) = session {
        session.plan = plan;
    } else {
        store.prepare()?;
        let device = device_of(&args.device, args.worker);
        let mut new = Session::new(plan, store, args.places.sources(), device, args.force)?;
        if args.accept_build {
            new.accept_other_builds()?;
        }
        *session = Some(new);
    }
    session.as_mut().context("there is no session")
}

/// Runs the trials, those that go on with more of the budget; none when some failed.
fn try_all(
    session: &mut Session,
    search: &Search,
    args: &Args,
    over: &Over,
) -> anyhow::Result<Option<BTreeMap<usize, Trial>>> {
    over.begin(session.plan.cells.len());
    let mut progress = Progress::start(&forecast(
        &session.plan,
        &session.store,
        &session.sources,
        args.accept_build,
    )?);
    let seeds: Vec<NamedSeed> =
        session.plan.cells.iter().map(|cell| NamedSeed::integer(cell.seed, None)).collect();
    let jobs = session.devices.jobs(args.jobs, machine::cpus())? as usize;
    let mut pool = if jobs > 1 { Some(pool::Pool::new(session, jobs, None)?) } else { None };
    let mut records: BTreeMap<usize, RunRecord> = BTreeMap::new();
    let mut outcomes: BTreeMap<usize, Trial> = BTreeMap::new();
    let mut trials: Vec<usize> = (0..search.trials.len()).collect();
    let mut failed: Vec<CellReport> = Vec::new();
    for rung in 0..search.shares.len() {
        let places = search.places(rung, &trials);
        let ran = run_places(session, &mut pool, &seeds, &places, &mut |index, report| {
            let Some(report) = report else { return progress.begin(index) };
            over.one_more();
            progress.end(index, report);
        });
        if interrupt::is_asked_to_stop() {
            if let Some(pool) = &mut pool {
                pool.wait();
            }
            told(ran.err());
            interrupt::ended();
        }
        let reports = ran?;
        failed.extend(reports.iter().filter(|report| report.status == Status::Failed).cloned());
        for (place, report) in places.iter().zip(&reports) {
            records.insert(*place, session.store.record(&report.cell)?);
        }
        if !failed.is_empty() {
            break;
        }
        let mut of_rung = BTreeMap::new();
        for &trial in &trials {
            let outcome = search.outcome(trial, rung, &|place| records.get(&place));
            of_rung.insert(trial, outcome.context("a trial left no record")?);
        }
        trials = search.survivors(&of_rung);
        outcomes.extend(of_rung);
    }
    if let Some(pool) = pool {
        pool.finish();
    }
    progress.finish();
    if let Some(first) = failed.first() {
        let reason = first.error.clone().unwrap_or_default();
        warn(&format!(
            "{} trials failed, {} first: {reason}; nothing was frozen",
            failed.len(),
            first.cell
        ));
        return Ok(None);
    }
    Ok(Some(outcomes))
}

/// Runs the cells at these places, in this process or by workers.
fn run_places(
    session: &mut Session,
    pool: &mut Option<pool::Pool>,
    seeds: &[NamedSeed],
    places: &[usize],
    tell: &mut dyn FnMut(usize, Option<&CellReport>),
) -> anyhow::Result<Vec<CellReport>> {
    if let Some(pool) = pool {
        return pool.run(session, seeds, places, &mut |index, report| tell(index, Some(report)));
    }
    let mut reports = Vec::with_capacity(places.len());
    for &index in places {
        tell(index, None);
        let report = session.run_cell(session.plan.cells[index], &seeds[index])?;
        tell(index, Some(&report));
        reports.push(report);
        if interrupt::is_asked_to_stop() {
            break;
        }
    }
    Ok(reports)
}

/// Labels of all arms of the suite, in its order.
fn labels(args: &Args, suite: &SuiteText, catalogue: &Catalogue) -> anyhow::Result<Vec<String>> {
    let whole = args.options(true).plan_with(suite, None, catalogue)?;
    Ok(whole.arms.into_iter().map(|arm| arm.label).collect())
}

/// What was found; the file of an earlier day where nothing but the day is new, so that a repetition leaves
/// it as it is.
fn same_but_for_the_day(frozen: Option<&Tuned>, found: Tuned) -> anyhow::Result<Tuned> {
    let Some(frozen) = frozen else { return Ok(found) };
    let dated = Tuned { date: frozen.date.clone(), ..found.clone() }.sealed()?;
    Ok(if dated == *frozen { dated } else { found })
}

fn write(file: &str, tuned: &Tuned) -> anyhow::Result<()> {
    let path = Path::new(file);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Ok(write_atomic(path, tuned.text()?.as_bytes())?)
}

/// Shows what was found, in words and as pictures.
fn conclude(args: &Args, tuned: &Tuned, file: &str) -> anyhow::Result<Exit> {
    let analysis = TuningAnalysis::of(tuned, &[]);
    let out = args.places.store().root().join("reports").join(&tuned.suite).join("tuning");
    let paths = reports::tuning::render(&analysis, &out)?;
    if args.json {
        print_json(&analysis)?;
    } else {
        print_tuning(&analysis)?;
    }
    note(&format!("frozen in {file}: commit it; `palimpsest run {}` uses it", args.suite));
    if let (false, Some(first)) = (args.json, paths.first()) {
        print_text(&format!("report: {}\n", first.display()))?;
    }
    Ok(Exit::Fine)
}
