//! Puts imported runs into a store, with the suite run that they belong to.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::UNIX_EPOCH;

use analysis::plan::Plan;
use analysis::suite_run::{Made as MadeWhen, RunArm, RunCell, RunWorkload, Shelf, SuiteRun};
use anyhow::{Context as _, bail};
use ledger::catalogue::hint;
use ledger::digest::Digest;
use ledger::record::Store;
use ledger::record::format::Status;
use ledger::record::planned::PlannedWorkload;
use logs::Wanted;
use serde::Serialize;

use super::question::{Question, TITLE, task};
use super::record::{Made, Shared, made};
use super::{Assigned, Mapping};

/// What became of a logged run.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) run: String,
    pub(super) arm: String,
    pub(super) seed: u64,
    pub(super) status: Status,
    pub(super) looks: usize,
    pub(super) samples: u64,
    pub(super) log: String,
    /// Whether the store had it before.
    pub(super) was_here: bool,
}

/// What an import left.
pub(super) struct Kept {
    pub(super) suite: String,
    pub(super) suite_run: String,
    pub(super) runs: Vec<Row>,
    pub(super) warnings: Vec<String>,
}

/// Earlier imports of the same task: cells by arm and seed, the newest first.
type Earlier = BTreeMap<(String, String), String>;

/// Those of the task with another goal or other settings: their budgets in samples.
type Others = BTreeMap<(String, String), u64>;

pub(super) fn keep(
    question: &Question<'_>,
    assigned: &[Assigned],
    wanted: &Wanted,
    mapping: &Mapping,
    store: &Store,
) -> anyhow::Result<Kept> {
    let longest = assigned.iter().filter_map(|one| one.samples.last()).copied().max();
    let budget = question.budget(longest.unwrap_or_default());
    let (mut arms, mut seeds) = (Vec::new(), Vec::new());
    for one in assigned {
        arms.extend(Some(&one.arm).filter(|arm| !arms.contains(*arm)).cloned());
        seeds.extend(Some(one.seed).filter(|seed| !seeds.contains(seed)));
    }
    let test = wanted.test.is_some();
    let mut plan = question.plan(&arms, &seeds, budget, test)?;
    let index = question.workload(&plan)?;
    check(question, &plan, index, assigned)?;
    let workload = plan.workloads[index].clone();
    if test && !task(&workload)?.test {
        bail!(
            "--test-from: the suite's workload \"{}\" has no test split; say `test: true` of it",
            workload.label
        );
    }
    store.prepare()?;
    let (earlier, others) = earlier(store, &plan, index)?;
    if !question.is_given() {
        // The suite is of all that was imported of the task.
        for (arm, seed) in earlier.keys() {
            arms.extend(Some(arm).filter(|arm| !arms.contains(*arm)).cloned());
            let seed = seed.parse().unwrap_or_default();
            seeds.extend(Some(seed).filter(|seed| !seeds.contains(seed)));
        }
        seeds.sort_unstable();
        plan = question.plan(&arms, &seeds, budget, test)?;
    }
    let argv = argv();
    let shared = Shared {
        suite: &plan.suite,
        suite_text: &plan.suite_text,
        workload: &workload,
        wanted,
        mapping,
        argv: &argv,
        now: now(store)?,
    };
    // All of them before any is written: one that cannot be read leaves nothing.
    let made = assigned.iter().map(|one| made(one, &shared)).collect::<anyhow::Result<Vec<_>>>()?;
    question.write(&plan)?;
    let mut warnings = alike(assigned, &made);
    let mut runs = Vec::new();
    let mut cells = earlier;
    for (one, made) in assigned.iter().zip(&made) {
        let was_here = write(store, made, &plan.suite_text)?;
        let record = &made.record;
        warnings.extend(record.warnings.iter().cloned());
        cells.insert((one.arm.clone(), record.seed.clone()), record.cell.clone());
        runs.push(Row {
            run: record.cell.clone(),
            arm: one.arm.clone(),
            seed: one.seed,
            status: record.status,
            looks: made.events.len() - 1,
            samples: record.samples,
            log: one.log.clone(),
            was_here,
        });
    }
    if !question.is_given() {
        warnings.extend(left_out(&others, &cells, budget));
    }
    let mut left = suite_run(question, &plan, &cells, index, &argv);
    left.made =
        MadeWhen { started_unix: shared.now, ended_unix: Some(shared.now), ..MadeWhen::default() };
    left.take_place(store)?;
    left.save(store)?;
    Ok(Kept { suite: plan.suite, suite_run: left.made.id, runs, warnings })
}

/// Every logged run must be of the plan: what a suite names is what is asked.
fn check(
    question: &Question<'_>,
    plan: &Plan,
    workload: usize,
    assigned: &[Assigned],
) -> anyhow::Result<()> {
    if !question.is_given() {
        return Ok(());
    }
    let label = &plan.workloads[workload].label;
    let arms: Vec<&str> =
        plan.arms.iter().filter(|arm| arm.runs_on(label)).map(|arm| arm.label.as_str()).collect();
    for one in assigned {
        if !arms.contains(&one.arm.as_str()) {
            bail!(
                "{}: arm {:?} is none of the suite's on {label}{}; --arm, --arm-from or --names say which one it is",
                logs::shown(&one.log, usize::MAX),
                one.arm,
                hint(&one.arm, arms)
            );
        }
        if !plan.seeds.contains(&one.seed) {
            bail!(
                "{}: seed {} of arm {:?} is none of the suite's; name it in the suite's `seeds`, before anything is judged",
                logs::shown(&one.log, usize::MAX),
                one.seed,
                one.arm
            );
        }
    }
    Ok(())
}

/// How the suite run tells a workload.
fn run_workload(question: &Question<'_>, workload: &PlannedWorkload) -> RunWorkload {
    RunWorkload {
        label: workload.label.clone(),
        title: TITLE.to_owned(),
        metrics: workload.metrics.clone(),
        target: workload.goal.target.clone(),
        budget_samples: workload.goal.budget.samples,
        train_examples: question.examples(),
    }
}

/// That runs of the task are in no place of the suite run, since they were to reach something else.
fn left_out(others: &Others, cells: &Earlier, budget: u64) -> Option<String> {
    let left: Vec<u64> = others
        .iter()
        .filter(|(place, _)| !cells.contains_key(*place))
        .map(|(_, budget)| *budget)
        .collect();
    let largest = left.iter().copied().max()?;
    let runs = crate::voice::counted(left.len(), "run");
    Some(match left.iter().all(|one| *one == budget) {
        true => format!(
            "not in this suite run: {runs} of another target, metric or data; give them as they were, or import those logs again, too"
        ),
        false => format!(
            "not in this suite run: {runs} of another budget or target; give --budget, which was {largest} samples for the longest of them and is {budget} now, or import those logs again, too"
        ),
    })
}

/// What the store has of the same task with the same goal, and what with another one.
fn earlier(store: &Store, plan: &Plan, workload: usize) -> anyhow::Result<(Earlier, Others)> {
    let ours = &plan.workloads[workload];
    let (mut earlier, mut others) = (Earlier::new(), Others::new());
    for shelved in Shelf::of(store, &plan.suite)?.runs {
        let run = &shelved.run;
        if !run.is_imported() {
            bail!(
                "suite \"{}\" has run in {}: name the imported one otherwise, or take another --store",
                plan.suite,
                store.root().display()
            );
        }
        for cell in &run.cells {
            let place = (run.arms[cell.arm].label.clone(), cell.seed.clone());
            if run.workloads[cell.workload].label != ours.label || earlier.contains_key(&place) {
                continue;
            }
            let Ok(record) = store.record(&cell.cell) else { continue };
            if record.goal == ours.goal && record.workload_settings == ours.settings {
                earlier.insert(place, cell.cell.clone());
            } else {
                others.entry(place).or_insert(record.goal.budget.samples);
            }
        }
    }
    Ok((earlier, others))
}

/// Writes a run, unless it is there and whole; says whether it was.
fn write(store: &Store, made: &Made, suite_text: &str) -> anyhow::Result<bool> {
    let cell = &made.record.cell;
    if store.has(cell) {
        if store.fault(cell).is_none() {
            return Ok(true);
        }
        store.set_aside(cell)?;
    }
    let lock =
        store.try_lock(cell)?.with_context(|| format!("another process is writing run {cell}"))?;
    let mut writer = store.start(cell, &lock)?;
    made.events.iter().try_for_each(|event| writer.event(event))?;
    writer.finish(&made.record, suite_text)?;
    Ok(false)
}

/// The suite run of all cells that are planned; those without a log have an id that no run has.
fn suite_run(
    question: &Question<'_>,
    plan: &Plan,
    cells: &Earlier,
    workload: usize,
    argv: &[String],
) -> SuiteRun {
    let cell = |planned: &analysis::plan::Cell| {
        let (arm, seed) = (plan.arms[planned.arm].label.clone(), planned.seed.to_string());
        let none = || {
            let parts = [
                b"palimpsest/no log",
                plan.workloads[planned.workload].label.as_bytes(),
                arm.as_bytes(),
                seed.as_bytes(),
            ];
            Digest::of(&parts.join(&0)).short(16)
        };
        let found =
            cells.get(&(arm.clone(), seed.clone())).filter(|_| planned.workload == workload);
        let id = found.cloned().unwrap_or_else(none);
        RunCell { workload: planned.workload, arm: planned.arm, seed, cell: id }
    };
    // Of options alone, what was imported is what was planned.
    let there = |one: &RunCell| {
        let arm = plan.arms[one.arm].label.clone();
        question.is_given() || cells.contains_key(&(arm, one.seed.clone()))
    };
    SuiteRun {
        version: SuiteRun::VERSION,
        suite: plan.suite.clone(),
        source: question.source(),
        question: plan.question.clone(),
        suite_digest: plan.suite_digest.to_string(),
        baseline: plan.baseline.clone(),
        workloads: plan.workloads.iter().map(|one| run_workload(question, one)).collect(),
        arms: plan
            .arms
            .iter()
            .map(|arm| RunArm {
                label: arm.label.clone(),
                method: arm.method.clone(),
                settings: arm.settings.clone(),
                budget: None,
                trials: None,
            })
            .collect(),
        sections: plan.sections.clone(),
        unjudged: plan.unjudged.clone(),
        estimated: Vec::new(),
        stopping: None,
        tuned: None,
        cells: plan.cells.iter().map(cell).filter(there).collect(),
        of_another_build: Vec::new(),
        argv: argv.to_vec(),
        made: MadeWhen::default(),
    }
}

/// Runs whose looks are the same ones: a log that was copied is no second run.
fn alike(assigned: &[Assigned], made: &[Made]) -> Vec<String> {
    /// Of fewer looks than these chance makes the same.
    const LEAST: usize = 3;
    let mut seen: BTreeMap<Vec<(u64, u64)>, &Assigned> = BTreeMap::new();
    let mut warnings = Vec::new();
    for (one, _) in assigned.iter().zip(made).filter(|(one, _)| one.samples.len() >= LEAST) {
        let values = one.run.looks.iter().map(|look| look.value.to_bits());
        let looks: Vec<(u64, u64)> = one.samples.iter().copied().zip(values).collect();
        if let Some(other) = seen.insert(looks, one) {
            warnings.push(format!(
                "seed {} of {} and seed {} of {} have the same values at the same places: is one a copy of the other?",
                other.seed, other.arm, one.seed, one.arm
            ));
        }
    }
    warnings
}

/// The command as records keep it: where the store and the logs lie on this machine is nobody's to know.
fn argv() -> Vec<String> {
    let plain = |word: String| {
        let (option, path) =
            match word.split_once('=').filter(|(option, _)| option.starts_with("--")) {
                Some((option, path)) => (format!("{option}="), path.to_owned()),
                None => (String::new(), word.clone()),
            };
        let path = Path::new(&path);
        match path.file_name().filter(|_| path.is_absolute()) {
            Some(name) => format!("{option}{}", name.to_string_lossy()),
            None => word,
        }
    };
    std::env::args_os().skip(1).map(|word| plain(word.to_string_lossy().into_owned())).fold(
        vec!["palimpsest".to_owned()],
        |mut all, word| {
            all.push(word);
            all
        },
    )
}

/// Seconds since 1970. Wall time is read in one place, which the front does not link: the store's probe
/// was written just now, and the file system says when.
fn now(store: &Store) -> anyhow::Result<u64> {
    let probe = store.root().join(".locks").join("writable");
    let written = std::fs::metadata(&probe).and_then(|file| file.modified());
    let written = written.with_context(|| format!("cannot read {}", probe.display()))?;
    Ok(written.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
