//! `palimpsest run --executor`: hands a suite to a scheduler in parts, watches, hands in again what the
//! scheduler ended, and brings together what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use analysis::plan::Plan;
use analysis::suite::ExecutorUse;
use anyhow::{Context as _, bail};
use ledger::plain;
use ledger::record::Store;
use ledger::record::writer::write_atomic;
use palimpsest::cli::merge::{Merged, merge};
use palimpsest::cli::run::{Args, Executor};
use palimpsest::executor::job::{Job, Kind};
use palimpsest::executor::{Command, kubernetes, slurm};
use palimpsest::exit::Exit;
use palimpsest::voice::{counted, note, print_text, printable, quoted, warn};

use crate::forecast::forecast;
use crate::progress::Progress;
use crate::run;
use crate::runner::Session;
use crate::runner::cell::CellReport;

/// Most parts where nobody says how many.
const USUAL_PARTS: u32 = 32;
/// Seconds between two looks, and how often a part is handed in again, where nobody says.
const POLL_SECONDS: u32 = 10;
const RETRIES: u32 = 3;
/// Looks in a row at which a part must be missing: a file system may show a record late.
const MISSED: u32 = 2;
/// Lines of a part that was given up.
const SHOWN: usize = 3;

/// Runs the verb with a scheduler.
pub fn run(args: &Args, plan: Plan) -> anyhow::Result<Exit> {
    let store = args.options.places.store();
    let wanted = wanted(args, &plan)?;
    let mut session =
        Session::new(plan, store.clone(), args.options.places.sources(), "cpu", false)?;
    session.collected = true;
    if args.accept_build {
        session.accept_other_builds()?;
    }
    let seeds = run::seeds(&session, args)?;
    let cells = session.cell_ids(&seeds)?;
    let job = match &args.attach {
        Some(name) => {
            let job = Job::find(&store, name)?;
            if job.suite_digest != session.plan.suite_digest {
                bail!(
                    "job {} was handed in with another text of suite {}; `--attach` watches it with the suite as it was",
                    job.name,
                    session.plan.suite
                );
            }
            let options = args.options.changes();
            if job.options != options {
                let words = |options: &[String]| match options {
                    [] => "no options".to_owned(),
                    options => options.join(" "),
                };
                bail!(
                    "job {} was handed in with {}, and this has {}; give --attach the same",
                    job.name,
                    words(&job.options),
                    words(&options)
                );
            }
            job
        }
        None => match hand_in(args, &session, &cells, &wanted)? {
            Some(job) => job,
            None => return Ok(Exit::Fine),
        },
    };
    let mut watch = Watch::new(&session, &cells, job, &wanted, args.accept_build)?;
    if !watch.wait()? {
        return Ok(Exit::CellsFailed);
    }
    let (mut job, given_up) = (watch.job, watch.given_up);
    let whole = collect(&mut job, &store)?;
    for part in &given_up {
        warn(&format!(
            "part {part} of {} was started {} and is not complete; it said last: {}",
            job.parts,
            counted(job.tries(*part), "time"),
            printable(&job.last_words(*part, SHOWN).join(" / "))
        ));
    }
    let missing = cells.iter().filter(|cell| !store.has(cell)).count();
    if missing > 0 {
        warn(&format!(
            "{missing} of {} are missing; the same command hands them in again",
            counted(cells.len(), "cell")
        ));
        return Ok(Exit::CellsFailed);
    }
    job.over = whole;
    job.save()?;
    let exit = run::train(&mut session, &seeds, &cells, args)?;
    Ok(if exit == Exit::Fine && !whole { Exit::CheckFailed } else { exit })
}

/// What is asked of the scheduler: by the user's file first, then by the suite.
fn wanted(args: &Args, plan: &Plan) -> anyhow::Result<ExecutorUse> {
    let Some(path) = &args.executor_options else { return Ok(plan.executor.clone()) };
    let shown = path.display().to_string();
    let bytes =
        plain::read_at_most(path, 1 << 20).with_context(|| format!("cannot read {shown}"))?;
    let text = String::from_utf8(bytes).with_context(|| format!("{shown} is not UTF-8"))?;
    let own = ExecutorUse::parse(&shown, &text).map_err(anyhow::Error::msg)?;
    Ok(own.or(plan.executor.clone()))
}

/// Writes the job and hands it in; none where it is only to be shown.
fn hand_in(
    args: &Args,
    session: &Session,
    cells: &[String],
    wanted: &ExecutorUse,
) -> anyhow::Result<Option<Job>> {
    let (plan, store) = (&session.plan, &session.store);
    let parts = parts(args, plan)?;
    let executor = match args.executor {
        Executor::Kubernetes => Kind::Kubernetes,
        Executor::Slurm | Executor::Local => Kind::Slurm,
    };
    if executor == Kind::Slurm && parts > slurm::MOST_PARTS {
        bail!(
            "--parts {parts}: an array of Slurm has at most {} tasks; parts hold any number of cells",
            slurm::MOST_PARTS
        );
    }
    let command = Command {
        program: program()?,
        arguments: args.of_a_part(wanted.cpus.unwrap_or(args.jobs)).map_err(anyhow::Error::msg)?,
        folder: std::env::current_dir().context("cannot tell the working folder")?,
    };
    let text = |name: &str, folder: &Path| match executor {
        Kind::Slurm => slurm::script(name, folder, &command, parts, wanted),
        Kind::Kubernetes => {
            let made = kubernetes::manifest(name, store.root(), folder, &command, parts, wanted)?;
            Ok(serde_json::to_string_pretty(&made)? + "\n")
        }
    };
    if args.dry_run {
        let folder = std::path::absolute(store.root().join("jobs").join(&plan.suite))?;
        print_text(&text(&plan.suite, &folder)?)?;
        return Ok(None);
    }
    store.prepare()?;
    let options = args.options.changes();
    let again = [vec![quoted(&args.options.suite)], options.clone()].concat().join(" ");
    let mut job =
        Job::take_place(store, &plan.suite, plan.suite_digest, &options, executor, parts)?;
    bring_what_is_there(session, cells, &job)?;
    let folder = std::path::absolute(job.folder())?;
    match executor {
        Kind::Slurm => {
            let script = folder.join("array.sbatch");
            write_atomic(&script, text(&job.name, &folder)?.as_bytes())?;
            let id = slurm::submit(&script, None)?;
            note(&format!(
                "handed in as job {id}, {} of {}; `palimpsest run {} --attach {}` watches it again, should this process end",
                counted(parts as usize, "part"),
                counted(cells.len(), "cell"),
                again,
                job.name
            ));
            job.handed_in.insert(id, (1..=parts).collect());
            job.save()?;
        }
        Kind::Kubernetes => {
            let manifest = folder.join("manifest.json");
            write_atomic(&manifest, text(&job.name, &folder)?.as_bytes())?;
            note(&format!(
                "`kubectl apply -f {}` hands it in; `palimpsest run {} --attach {}` then waits for its parts and judges",
                quoted(&manifest.to_string_lossy()),
                again,
                job.name
            ));
            return Ok(None);
        }
    }
    Ok(Some(job))
}

/// The number of parts: as asked, or one for each workload and seed.
fn parts(args: &Args, plan: &Plan) -> anyhow::Result<u32> {
    let groups: BTreeSet<(usize, u64)> =
        plan.cells.iter().map(|cell| (cell.workload, cell.seed)).collect();
    let usual = u32::try_from(groups.len()).unwrap_or(u32::MAX).clamp(1, USUAL_PARTS);
    // Cells that descend from another workload's may leave fewer groups than that.
    let fewer = || (1..=usual).rev().find(|parts| plan.parts(*parts).is_ok());
    let parts = args.parts.or_else(fewer).unwrap_or(1);
    plan.parts(parts).map_err(|why| anyhow::anyhow!("--parts: {why}"))?;
    Ok(parts)
}

/// The program that parts run: the one that people call, beside this one.
fn program() -> anyhow::Result<std::path::PathBuf> {
    let own = std::env::current_exe().context("cannot find the file of this program")?;
    let front = own.with_file_name("palimpsest");
    Ok(if front.is_file() { front } else { own })
}

/// Gives every part those of its cells that are in the store, so that they do not run again.
fn bring_what_is_there(session: &Session, cells: &[String], job: &Job) -> anyhow::Result<()> {
    for (part, places) in (1..).zip(places(&session.plan, job)?) {
        let there: Vec<&String> =
            places.iter().map(|&place| &cells[place]).filter(|id| session.store.has(id)).collect();
        if there.is_empty() {
            continue;
        }
        let own = Store::at(&job.part(part));
        own.prepare()?;
        for id in there {
            own.bring(&session.store, id)?;
        }
    }
    Ok(())
}

fn places(plan: &Plan, job: &Job) -> anyhow::Result<Vec<Vec<usize>>> {
    plan.parts(job.parts).map_err(anyhow::Error::msg)
}

/// Brings the stores of all parts into this one; whether nothing was in conflict or damaged.
fn collect(job: &mut Job, store: &Store) -> anyhow::Result<bool> {
    let mut whole = true;
    for part in 1..=job.parts {
        let from = job.part(part);
        if !from.is_dir() {
            continue;
        }
        let Merged { different, damaged, .. } = merge(&from, store)?;
        let told = [
            (&different, "differ from those of the same cell here, which stay"),
            (&damaged, "are damaged and were left out"),
        ];
        for (runs, what) in told.into_iter().filter(|(runs, _)| !runs.is_empty()) {
            warn(&format!(
                "part {part}: {} {what}: {}",
                counted(runs.len(), "run"),
                runs.join(" ")
            ));
        }
        if different.is_empty() && damaged.is_empty() {
            // All of it is in the store now.
            fs::remove_dir_all(&from)
                .with_context(|| format!("cannot remove {}", from.display()))?;
        } else {
            whole = false;
        }
    }
    Ok(whole)
}

/// A job on its way.
struct Watch<'a> {
    job: Job,
    store: &'a Store,
    cells: &'a [String],
    places: Vec<Vec<usize>>,
    progress: Progress,
    seen: BTreeSet<usize>,
    /// Looks in a row at which a part was nowhere.
    missed: BTreeMap<u32, u32>,
    given_up: BTreeSet<u32>,
    poll: Duration,
    retries: usize,
    said: String,
}

impl<'a> Watch<'a> {
    fn new(
        session: &'a Session,
        cells: &'a [String],
        job: Job,
        wanted: &ExecutorUse,
        accept_build: bool,
    ) -> anyhow::Result<Self> {
        let forecast = forecast(&session.plan, &session.store, &session.sources, accept_build)?;
        Ok(Self {
            places: places(&session.plan, &job)?,
            job,
            store: &session.store,
            cells,
            progress: Progress::start(&forecast),
            seen: BTreeSet::new(),
            missed: BTreeMap::new(),
            given_up: BTreeSet::new(),
            poll: Duration::from_secs(u64::from(wanted.poll_seconds.unwrap_or(POLL_SECONDS))),
            retries: wanted.retries.unwrap_or(RETRIES) as usize,
            said: String::new(),
        })
    }

    /// Looks until every part is complete or given up; false where the user went away before.
    fn wait(&mut self) -> anyhow::Result<bool> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))?;
        loop {
            self.look_for_records();
            let open = self.open();
            if open.is_empty() {
                return Ok(true);
            }
            if self.job.executor == Kind::Slurm {
                self.look_at_the_queue(&open)?;
                if self.open().is_empty() {
                    return Ok(true);
                }
            }
            let slice = Duration::from_millis(200);
            let mut waited = Duration::ZERO;
            while waited < self.poll {
                if stop.swap(false, Ordering::Relaxed) && self.leaves()? {
                    return Ok(false);
                }
                std::thread::sleep(slice);
                waited += slice;
            }
        }
    }

    /// Tells of the cells that have come since the last look.
    fn look_for_records(&mut self) {
        for (part, places) in (1..).zip(&self.places) {
            let own = Store::at(&self.job.part(part));
            for &place in places {
                let cell = &self.cells[place];
                let from = [&own, self.store].into_iter().find(|store| store.has(cell));
                let Some(record) = from.and_then(|store| store.record(cell).ok()) else { continue };
                if self.seen.insert(place) {
                    let (status, error) = (record.status, record.error);
                    let report = CellReport { cell: cell.clone(), status, kept: false, error };
                    self.progress.end(place, &report);
                }
            }
        }
    }

    /// The parts that lack cells and were not given up.
    fn open(&self) -> Vec<u32> {
        let lacks = |places: &[usize]| places.iter().any(|place| !self.seen.contains(place));
        let parts = (1..).zip(&self.places).filter(|(_, places)| lacks(places));
        parts.map(|(part, _)| part).filter(|part| !self.given_up.contains(part)).collect()
    }

    /// Hands in again what is no longer in the scheduler's hands, or gives it up.
    fn look_at_the_queue(&mut self, open: &[u32]) -> anyhow::Result<()> {
        let arrays: Vec<&str> = self.job.handed_in.keys().map(String::as_str).collect();
        let tasks = match slurm::alive(&arrays) {
            Ok(tasks) => tasks,
            Err(error) => {
                // It may be back at the next look; nothing is handed in twice meanwhile.
                self.say(format!("the scheduler does not answer ({error:#}); still asking"));
                return Ok(());
            }
        };
        let running = tasks.values().filter(|task| task.runs).count();
        let why: BTreeSet<&str> =
            tasks.values().filter(|task| !task.runs).map(|task| task.why.as_str()).collect();
        let why: Vec<&str> = why.into_iter().collect();
        let waiting = tasks.len() - running;
        let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
        self.say(format!(
            "{} running, {waiting} waiting{why}; {} of {} there",
            counted(running, "part"),
            self.seen.len(),
            counted(self.cells.len(), "cell")
        ));
        let mut again = Vec::new();
        for &part in open {
            if tasks.contains_key(&part) {
                self.missed.remove(&part);
                continue;
            }
            let missed = self.missed.entry(part).or_insert(0);
            *missed += 1;
            if *missed < MISSED {
                continue;
            }
            self.missed.remove(&part);
            if self.job.tries(part) > self.retries {
                self.given_up.insert(part);
            } else {
                again.push(part);
            }
        }
        if !again.is_empty() {
            let script = std::path::absolute(self.job.folder().join("array.sbatch"))?;
            let id = slurm::submit(&script, Some(&again))?;
            let list: Vec<String> = again.iter().map(u32::to_string).collect();
            note(&format!(
                "parts {} ended without all of their cells: handed in again as job {id}",
                list.join(", ")
            ));
            self.job.handed_in.insert(id, again);
            self.job.save()?;
        }
        Ok(())
    }

    /// Says what is new.
    fn say(&mut self, what: String) {
        if self.said != what {
            note(&printable(&what));
            self.said = what;
        }
    }

    /// Ctrl-C: whether to go away, and with or without the job.
    fn leaves(&self) -> anyhow::Result<bool> {
        let again = format!("`--attach {}` watches it again", self.job.name);
        if self.job.executor != Kind::Slurm || !std::io::stdin().is_terminal() {
            note(&format!("left; job {} goes on: {again}", self.job.name));
            return Ok(true);
        }
        note(&format!("cancel job {} as well? [y/N, or c to go on watching]", self.job.name));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        match answer.trim() {
            "c" => return Ok(false),
            "y" | "Y" => {
                let arrays: Vec<&str> = self.job.handed_in.keys().map(String::as_str).collect();
                slurm::cancel(&arrays)?;
                note(
                    "cancelled; cells that are complete stay with their parts, and --attach hands in the rest again",
                );
            }
            _ => note(&format!("the job goes on: {again}")),
        }
        Ok(true)
    }
}
