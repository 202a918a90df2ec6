//! A suite checked against the catalogue: what will run, before anything runs.

mod assigned;
pub mod descent;
mod external;
mod grid;
mod imported;
pub mod own_file;
mod possible;
mod sections;
pub mod shards;
pub mod tuning;
pub mod unjudged;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::imported::METHOD;
pub use crate::plan::assigned::Assignment;
use crate::plan::descent::Parent;
use crate::plan::sections::{Named, known, unique};
use crate::plan::tuning::PlannedTuning;
use crate::plan::unjudged::Unjudged;
use crate::suite::{
    ArmUse, ClaimUse, Every, ExecutorUse, Problem, Sections, Seeds, Step, StoppingUse, Suite,
    SuiteError, WorkloadUse, key, locate, parse,
};
use crate::tuning::Tuned;
use ledger::catalogue::{Catalogue, MetricInfo, WorkloadInfo, hint};
use ledger::digest::Digest;
use ledger::external::own_task::OwnTask;
use ledger::given::GivenOrder;
use ledger::goal::{Budget, Direction, Goal, Target};
use ledger::lineage::Parents;
use ledger::record::identity::{CellKey, DataKey};
use ledger::record::planned::{PlannedArm, PlannedWorkload};
use ledger::settings::{SettingError, Values};
use stats::sequential::Stopping;

/// Most cells a plan may have.
const MOST_CELLS: usize = 1_000_000;

/// Most pairs of a workload and an arm: each is checked against all arms, so that time grows with the
/// square of a suite that lists more.
const MOST_PAIRS: usize = 20_000;

/// Most epochs that a budget may have.
const MOST_EPOCHS: f64 = 1e6;

/// One run to make: indices into the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Index into [`Plan::workloads`].
    pub workload: usize,
    /// Index into [`Plan::arms`].
    pub arm: usize,
    /// The integer seed.
    pub seed: u64,
}

/// What will run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Suite name.
    pub suite: String,
    /// The question it asks.
    pub question: String,
    /// SHA-256 of the suite's text.
    pub suite_digest: Digest,
    /// The suite's text.
    pub suite_text: String,
    /// Label of the arm that speed-ups refer to.
    pub baseline: Option<String>,
    /// Workloads in order.
    pub workloads: Vec<PlannedWorkload>,
    /// Arms in order.
    pub arms: Vec<PlannedArm>,
    /// Seeds in order.
    pub seeds: Vec<u64>,
    /// Cells: workload by workload, seed by seed, arm by arm, so that a drift of the machine's
    /// speed falls on all arms alike; but children behind all that descend from nothing. With
    /// `stopping`, all cells of a seed before those of the next.
    pub cells: Vec<Cell>,
    /// Claims, tests and estimates that are about cells of the plan.
    pub sections: Sections,
    /// Claims of the suite that are not, for want of an arm or a workload that the options leave out.
    pub unjudged: Vec<Unjudged>,
    /// When seeds end early; none where all of them run.
    pub stopping: Option<Stopping>,
    /// Settings that are chosen by trials; none where the suite fixes all of them.
    pub tuning: Option<PlannedTuning>,
    /// What cells ask of a scheduler; nothing where the suite does not say.
    pub executor: ExecutorUse,
    /// Keep the final weights of every run.
    pub keep_models: bool,
    /// How often a run is kept while it goes on; never where there is none.
    pub checkpoint_every: Option<Every>,
}

/// What the command line changes of a suite.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Only arms of these methods (or labels).
    pub methods: Vec<String>,
    /// Only these workloads (or labels).
    pub workloads: Vec<String>,
    /// Other seeds.
    pub seeds: Option<Seeds>,
    /// `arm.key=value` settings.
    pub set: Vec<Assignment>,
    /// Keep the final weights of every run.
    pub keep_models: bool,
    /// End the seeds once the claims are settled, with the suite's settings or the usual ones.
    pub stop_early: bool,
    /// The frozen file beside the suite, with the settings that were chosen.
    pub tuned: Option<Tuned>,
    /// The folder that files of the user's are looked for from.
    pub folder: PathBuf,
}

/// Reads and checks a suite; `file` is only for messages.
///
/// # Errors
/// With file, line, column and the nearest valid name.
pub fn plan(
    file: &str,
    text: &str,
    catalogue: &Catalogue,
    overrides: &Overrides,
) -> Result<Plan, SuiteError> {
    let mut suite = parse(file, text)?;
    let expanded = grid::expand(&mut suite);
    let planned = expanded.and_then(|places| {
        let planned = resolve(suite, text, catalogue, overrides);
        planned.map_err(|problem| in_the_text(problem, &places))
    });
    planned.map_err(|Problem(path, message)| {
        if path.is_empty() {
            return SuiteError { file: String::new(), line: 0, column: 0, message };
        }
        let (line, column) = locate(text, &path);
        let message = as_written(text, (line, column), message);
        SuiteError { file: file.to_owned(), line, column, message }
    })
}

/// A message about a value that JSON has no word for, with the suite's.
fn as_written(text: &str, (line, column): (usize, usize), message: String) -> String {
    let rest =
        text.lines().nth(line - 1).into_iter().flat_map(|line| line.chars().skip(column - 1));
    let rest: String = rest.take(6).collect::<String>().to_lowercase();
    let written =
        [".nan", ".inf", "+.inf", "-.inf"].into_iter().find(|name| rest.starts_with(name));
    written.map_or(message.clone(), |name| {
        message.replacen("is null, but", &format!("is {name}, but"), 1)
    })
}

/// A problem with the place that an arm has in the text, whatever grids made of it.
fn in_the_text(Problem(mut path, message): Problem, places: &[usize]) -> Problem {
    if let [Step::Key(list), Step::Index(arm), ..] = path.as_mut_slice()
        && list == "arms"
        && let Some(place) = places.get(*arm)
    {
        *arm = *place;
    }
    Problem(path, message)
}

fn resolve(
    mut suite: Suite,
    text: &str,
    catalogue: &Catalogue,
    overrides: &Overrides,
) -> Result<Plan, Problem> {
    check_name(&suite.suite)?;
    let pairs = suite.workloads.len().saturating_mul(suite.arms.len());
    if pairs > MOST_PAIRS {
        return Err(Problem(
            vec![key("arms")],
            format!(
                "{pairs} pairs of a workload and an arm are more than {MOST_PAIRS}; split the suite"
            ),
        ));
    }
    imported::check(&mut suite)?;
    assigned::assign(&mut suite, &overrides.set)?;
    let workloads = suite.workloads.iter().enumerate();
    let workloads =
        workloads.map(|(index, used)| workload(index, used, catalogue, &overrides.folder));
    let workloads = workloads.collect::<Result<Vec<_>, _>>()?;
    let arms = (0..suite.arms.len()).map(|index| arm(index, &suite, catalogue, None));
    let mut arms = arms.collect::<Result<Vec<_>, _>>()?;
    unique(workloads.iter().map(|workload| workload.label.as_str()), "workloads", "workload")?;
    unique(arms.iter().map(|arm| arm.label.as_str()), "arms", "arm")?;
    for (index, arm) in arms.iter().enumerate() {
        check_fit(index, arm, &workloads, catalogue)?;
        check_budget(index, arm, &workloads)?;
    }
    external::check_uses(&suite, &arms)?;
    let tuning = tuning::planned(&suite, &workloads, &arms, catalogue, overrides.tuned.as_ref())?;
    for (index, planned) in arms.iter_mut().enumerate() {
        let chosen = tuning.as_ref().and_then(|tuning| tuning.chosen(&planned.label));
        if let Some(chosen) = chosen {
            *planned = arm(index, &suite, catalogue, Some(chosen))?;
        }
    }
    let whole = Named { workloads: &workloads, arms: &arms };
    if let Some(baseline) = &mut suite.baseline {
        // A method that one arm alone has names that arm.
        let mut of_method = arms.iter().filter(|arm| arm.method == *baseline);
        if let (false, Some(arm), None) =
            (whole.has_arm(baseline), of_method.next(), of_method.next())
        {
            baseline.clone_from(&arm.label);
        }
        known("arm", baseline, &whole.arm_labels(), vec![key("baseline")])?;
    }
    sections::check(&suite.claims, whole)?;
    check_stopping(&suite)?;
    sections::check(&suite.provenance, whole)?;
    sections::check(&suite.estimates, whole)?;
    if let Some(problem) = suite.regress.problem() {
        return Err(problem.below([key("regress")]));
    }
    if let Some((wrong, message)) = suite.executor.as_ref().and_then(ExecutorUse::problem) {
        return Err(Problem(vec![key("executor"), key(wrong)], message));
    }
    check_filters(whole, overrides)?;

    let Chosen { workloads, arms, pairs } = chosen(whole, overrides)?;
    let part = Named { workloads: &workloads, arms: &arms };
    let unjudged = unjudged::of(&suite.claims, part);
    let sections = Sections {
        claims: sections::narrowed(suite.claims, part),
        provenance: sections::narrowed(suite.provenance, part),
        estimates: sections::narrowed(suite.estimates, part),
        changed: assigned::changed(&suite.arms, part),
    };
    let baseline = suite.baseline.filter(|label| part.has_arm(label));
    let tuning = tuning.and_then(|tuning| tuning.narrowed(&arms));
    if let (Some(tuning), Some(seeds)) = (&tuning, &overrides.seeds)
        && let Some(seed) = tuning::shared_seed(&tuning.asked, seeds)
    {
        let message = format!("--seeds: {}; take others", tuning::judged(seed));
        return Err(Problem(Vec::new(), message));
    }
    let seeds = overrides.seeds.clone().unwrap_or(suite.seeds).0;
    let count = pairs.len().saturating_mul(seeds.len());
    if count > MOST_CELLS {
        return Err(Problem(
            vec![key("arms")],
            format!("{count} cells are more than {MOST_CELLS}; split the suite"),
        ));
    }
    if let Some(message) = sections::too_few_seeds(&sections.provenance, seeds.len()) {
        return Err(match overrides.seeds {
            Some(_) => Problem(Vec::new(), format!("--seeds: {message}")),
            None => Problem(vec![key("seeds")], message),
        });
    }
    let stopping = stopping(suite.stopping, &sections.claims, seeds.len(), overrides)?;
    let cells = cells(&pairs, &seeds, stopping.is_some());
    Ok(Plan {
        suite: suite.suite,
        question: suite.question,
        suite_digest: Digest::of(text.as_bytes()),
        suite_text: text.to_owned(),
        baseline,
        workloads,
        arms,
        seeds,
        cells,
        sections,
        unjudged,
        stopping,
        tuning,
        executor: suite.executor.unwrap_or_default(),
        keep_models: suite.keep_models || overrides.keep_models,
        checkpoint_every: suite.checkpoint_every,
    })
}

/// Every name that an option gives must be one of the suite's.
fn check_filters(whole: Named<'_>, overrides: &Overrides) -> Result<(), Problem> {
    let filtered = |wanted: &[String], names: &[[&str; 2]], option: &str| {
        let missing = |wanted: &&String| !names.iter().any(|pair| pair.contains(&wanted.as_str()));
        let Some(missing) = wanted.iter().find(missing) else { return Ok(()) };
        let valid: Vec<_> = names.iter().map(|pair| pair[1]).collect();
        let message =
            format!("{option} {missing}: the suite has no such name{}", hint(missing, valid));
        Err(Problem(Vec::new(), message))
    };
    let arms = whole.arms.iter().map(|arm| [arm.method.as_str(), arm.label.as_str()]);
    let arms: Vec<_> = arms.collect();
    let workloads = whole.workloads.iter().map(|w| [w.id.as_str(), w.label.as_str()]);
    filtered(&overrides.methods, &arms, "--methods")?;
    filtered(&overrides.workloads, &workloads.collect::<Vec<_>>(), "--workloads")?;
    Ok(())
}

/// What of a suite runs.
struct Chosen {
    workloads: Vec<PlannedWorkload>,
    arms: Vec<PlannedArm>,
    /// Places of workload and arm, with the generations before them, in the order of running.
    pairs: Vec<(descent::Pair, usize)>,
}

/// What the options leave of a suite, with all that it descends from.
fn chosen(whole: Named<'_>, overrides: &Overrides) -> Result<Chosen, Problem> {
    let Named { workloads, arms } = whole;
    let keeps = |wanted: &[String], names: [&str; 2]| {
        wanted.is_empty() || names.iter().any(|name| wanted.iter().any(|wanted| wanted == name))
    };
    let family = descent::Family::new(workloads, arms)?;
    let pairs = family.with_parents(|workload, arm| {
        let (workload, arm) = (&workloads[workload], &arms[arm]);
        keeps(&overrides.workloads, [&workload.id, &workload.label])
            && keeps(&overrides.methods, [&arm.method, &arm.label])
    })?;
    let of = |count: usize, used: &dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..count).filter(|index| used(*index)).collect()
    };
    let used_workloads = of(workloads.len(), &|i| pairs.iter().any(|pair| pair.0 == i));
    let used_arms = of(arms.len(), &|i| pairs.iter().any(|pair| pair.1 == i));
    let place = |indices: &[usize], index: usize| indices.partition_point(|&i| i < index);
    let placed = pairs.iter().map(|&(workload, arm)| {
        let pair = (place(&used_workloads, workload), place(&used_arms, arm));
        (pair, family.depth((workload, arm)))
    });
    let mut placed: Vec<_> = placed.collect();
    placed.sort_by_key(|((workload, _), depth)| (*depth, *workload));
    Ok(Chosen {
        workloads: used_workloads.iter().map(|&i| workloads[i].clone()).collect(),
        arms: used_arms.iter().map(|&i| arms[i].clone()).collect(),
        pairs: placed,
    })
}

/// Seed by seed within a workload and a generation; over all of them where seeds can end early.
fn cells(pairs: &[(descent::Pair, usize)], seeds: &[u64], stopping: bool) -> Vec<Cell> {
    let blocks = pairs.chunk_by(|a, b| (a.0.0, a.1) == (b.0.0, b.1)).flat_map(|block| {
        let of_seed = |&seed: &u64| {
            block.iter().map(move |&((workload, arm), _)| Cell { workload, arm, seed })
        };
        seeds.iter().flat_map(of_seed)
    });
    let mut cells: Vec<Cell> = blocks.collect();
    if stopping {
        let places: BTreeMap<u64, usize> = seeds.iter().copied().zip(0..).collect();
        cells.sort_by_key(|cell| places.get(&cell.seed));
    }
    cells
}

/// When seeds end early: by the suite, or by the usual settings where an option asks for it.
fn stopping(
    given: Option<StoppingUse>,
    claims: &[ClaimUse],
    seeds: usize,
    overrides: &Overrides,
) -> Result<Option<Stopping>, Problem> {
    let usual = overrides.stop_early.then(StoppingUse::default);
    let planned = given.or(usual).filter(|_| !claims.is_empty());
    let planned = planned.and_then(|stopping| stopping.planned(seeds));
    if !overrides.stop_early || planned.is_some() {
        return Ok(planned);
    }
    let least = given.unwrap_or_default().least;
    let message = if claims.is_empty() {
        "--stop-early: no claim is in the plan, so nothing says when to stop".to_owned()
    } else {
        format!(
            "--stop-early: {seeds} seeds are planned, but none stops before {least}; give --seeds more"
        )
    };
    Err(Problem(Vec::new(), message))
}

/// Every workload that an arm runs on must offer what its method needs.
fn check_fit(
    index: usize,
    arm: &PlannedArm,
    workloads: &[PlannedWorkload],
    catalogue: &Catalogue,
) -> Result<(), Problem> {
    let path = |field: &str| vec![key("arms"), Step::Index(index), key(field)];
    let labels: Vec<&str> = workloads.iter().map(|workload| workload.label.as_str()).collect();
    for label in &arm.on {
        known("workload", label, &labels, path("on"))?;
    }
    if arm.external.is_some() {
        return external::check_fit(index, arm, workloads, catalogue);
    }
    let Some(method) = catalogue.method(&arm.method) else { return Ok(()) };
    for workload in workloads.iter().filter(|workload| arm.runs_on(&workload.label)) {
        if let Some(message) = external::no_method(&arm.method, workload) {
            return Err(Problem(path("method"), message));
        }
        let info = catalogue.workload(&workload.id);
        if let Some(lacking) = info.and_then(|info| info.lacks(method.needs)) {
            let message = format!(
                "{} needs {lacking}, which {} does not offer; say which workloads it runs on with `on: [...]`",
                arm.method, workload.id
            );
            return Err(Problem(path("method"), message));
        }
    }
    Ok(())
}

/// A share of a budget must hold an evaluation and a step.
fn check_budget(
    index: usize,
    arm: &PlannedArm,
    workloads: &[PlannedWorkload],
) -> Result<(), Problem> {
    let Some(share) = arm.budget else { return Ok(()) };
    let refuse = |message| Err(Problem(path_of_arm(index, "budget"), message));
    if !(share > 0.0 && share <= 1.0) {
        return refuse(format!(
            "budget is {share}, but must be above 0 and at most 1: a share of the workload's, such as 0.1"
        ));
    }
    let step = arm.settings.get("batch_size").and_then(Value::as_u64).unwrap_or(1);
    for workload in workloads.iter().filter(|workload| arm.runs_on(&workload.label)) {
        let PlannedWorkload { label, goal, .. } = workload;
        let samples = goal.budget.share(share).samples;
        let held = format!("budget is {share}, which is {samples} samples of {label}");
        let every = goal.budget.evaluate_every;
        if samples < every {
            return refuse(format!(
                "{held}, but it is evaluated every {every}; give a larger share or lower `evaluate_every`"
            ));
        }
        if samples < step {
            return refuse(format!("{held}, less than a step of {step}; give a larger share"));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(fits) && !name.starts_with('.') {
        return Ok(());
    }
    let message = format!(
        "suite name {name:?} must be 1 to 64 letters, digits, '-', '_' or '.', not starting with '.'"
    );
    Err(Problem(vec![key("suite")], message))
}

fn workload(
    index: usize,
    used: &WorkloadUse,
    catalogue: &Catalogue,
    folder: &Path,
) -> Result<PlannedWorkload, Problem> {
    let path = |field: &str| {
        let whole = vec![key("workloads"), Step::Index(index)];
        if field.is_empty() { whole } else { [whole, vec![key(field)]].concat() }
    };
    let Some(info) = catalogue.workload(&used.workload) else {
        let ids: Vec<_> = catalogue.workload_ids().collect();
        let message = format!(
            "workloads[{index}]: unknown workload \"{}\"{}",
            used.workload,
            hint(&used.workload, ids)
        );
        return Err(Problem(path("workload"), message));
    };
    let given = external::named(used).map_err(|(field, message)| Problem(path(field), message))?;
    let settings = (info.resolve)(&given).map_err(|error| {
        setting_problem(&error, &used.workload, [path("with"), Vec::new()].concat())
    })?;
    let own = OwnTask::of(info.id, &settings);
    let examples = match info.count {
        Some(count) => own_file::located(&settings, folder)
            .and_then(|settings| count(&settings))
            .map_err(|message| {
            Problem(path("with"), format!("workloads[{index}] ({}): {message}", info.id))
        })?,
        None => info.epoch(&settings),
    };
    let budget =
        budget(used, info, examples).map_err(|(field, message)| Problem(path(field), message))?;
    let (value, origin) = match &used.target {
        Some(target) => (target.value, target.origin.clone()),
        None => (info.target, info.target_origin.to_owned()),
    };
    if !value.is_finite() {
        return Err(Problem(
            path("target"),
            format!("target is {value}, but must be a finite number"),
        ));
    }
    if let Some(message) = info.metric(info.metric).and_then(|row| possible::target(row, value)) {
        return Err(Problem([path("target"), vec![key("value")]].concat(), message));
    }
    let metrics = match &own {
        Some(task) => vec![task.row()],
        None => info.metrics.iter().map(|metric| metric.owned()).collect(),
    };
    let (metric, direction) = match &own {
        Some(task) => (task.metric.clone(), task.row().direction()),
        None => (info.metric.to_owned(), Direction::of(info.higher_is_better())),
    };
    Ok(PlannedWorkload {
        label: used.label.clone().unwrap_or_else(|| label(info.id, &used.with)),
        id: info.id.to_owned(),
        settings,
        metrics,
        goal: Goal { target: Target { metric, direction, value, origin }, budget },
    })
}

/// The budget and the grid of a workload in samples: given in epochs, or in samples.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "epochs and samples are checked to be positive and moderate"
)]
fn budget(
    used: &WorkloadUse,
    info: &WorkloadInfo,
    examples: u32,
) -> Result<Budget, (&'static str, String)> {
    let in_samples = |epochs: f64| ((epochs * f64::from(examples)).round() as u64).max(1);
    let Some(samples) = used.samples else {
        let epochs = used.epochs.unwrap_or(info.budget_epochs);
        let every = used.evaluate_every.unwrap_or(info.evaluate_every_epochs);
        for (field, value) in [("epochs", epochs), ("evaluate_every", every)] {
            if !(value > 0.0 && value <= MOST_EPOCHS) {
                let message =
                    format!("{field} is {value}, but must be above 0 and at most {MOST_EPOCHS:e}");
                return Err((field, message));
            }
        }
        if every > epochs {
            let message =
                format!("evaluate_every is {every} epochs, more than the budget of {epochs}");
            return Err(("evaluate_every", message));
        }
        return Ok(Budget { samples: in_samples(epochs), evaluate_every: in_samples(every) });
    };
    if used.epochs.is_some() {
        let message = "samples and epochs are both given; the budget is one of them";
        return Err(("samples", message.to_owned()));
    }
    let epochs = samples as f64 / f64::from(examples.max(1));
    if samples == 0 || epochs > MOST_EPOCHS {
        let message = format!(
            "samples is {samples}, but must be at least 1 and at most {MOST_EPOCHS:e} epochs of {examples}"
        );
        return Err(("samples", message));
    }
    let usual = || in_samples(info.evaluate_every_epochs).min(samples) as f64;
    let every = used.evaluate_every.unwrap_or_else(usual);
    if every.fract() != 0.0 || !(1.0..=samples as f64).contains(&every) {
        let message = format!(
            "evaluate_every is {every}, but must be a whole number of samples, at least 1 and at most the budget of {samples}"
        );
        return Err(("evaluate_every", message));
    }
    Ok(Budget { samples, evaluate_every: every as u64 })
}

fn arm(
    index: usize,
    suite: &Suite,
    catalogue: &Catalogue,
    chosen: Option<&Values>,
) -> Result<PlannedArm, Problem> {
    let used = &suite.arms[index];
    let path = |field: &str| path_of_arm(index, field);
    if let Some(external) = &used.external {
        return external::planned(index, suite, external, chosen);
    }
    if used.method == METHOD {
        return Ok(imported::planned(used));
    }
    let Some(info) = catalogue.method(&used.method) else {
        let ids: Vec<_> = catalogue.method_ids().collect();
        let message =
            format!("arms[{index}]: unknown method \"{}\"{}", used.method, hint(&used.method, ids));
        return Err(Problem(path("method"), message));
    };
    let mut values = arm_values(suite, index, chosen);
    let assigned = used.assigned.iter();
    values.extend(assigned.map(|Assignment(_, name, value)| (name.clone(), value.clone())));
    let settings = (info.resolve)(&values).map_err(|error| {
        // A value may come from the arm, from the suite's common settings or from the command line.
        if let Some(Assignment(arm, name, _)) =
            used.assigned.iter().find(|Assignment(_, name, _)| error.key() == Some(name))
        {
            return Problem(Vec::new(), format!("--set {arm}.{name}: {error}"));
        }
        let common = error
            .key()
            .is_some_and(|key| !used.with.contains_key(key) && suite.settings.contains_key(key));
        setting_problem(&error, info.id, if common { vec![key("settings")] } else { path("with") })
    })?;
    Ok(PlannedArm {
        label: labelled(used),
        method: info.id.to_owned(),
        settings,
        on: used.on.clone(),
        budget: used.budget,
        parents: used.parents.clone(),
        order: used.order.clone().map(GivenOrder::unread),
        external: None,
    })
}

/// The path to a field of an arm.
fn path_of_arm(index: usize, field: &str) -> Vec<Step> {
    vec![key("arms"), Step::Index(index), key(field)]
}

/// What an arm is given by the suite, by itself and by a search; later ones win.
fn arm_values(suite: &Suite, index: usize, chosen: Option<&Values>) -> Values {
    let mut values = suite.settings.clone();
    values.extend(suite.arms[index].with.clone());
    values.extend(chosen.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    values
}

fn setting_problem(error: &SettingError, owner: &str, mut path: Vec<Step>) -> Problem {
    path.extend(error.key().map(key));
    Problem(path, format!("{owner}: {error}"))
}

/// The label of an arm: its own, or what is made of its method and settings.
fn labelled(arm: &ArmUse) -> String {
    arm.label.clone().unwrap_or_else(|| assigned::made(arm))
}

/// `method[key=value]` with the keys the suite sets, sorted.
fn label(id: &str, with: &Values) -> String {
    if with.is_empty() {
        return id.to_owned();
    }
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pairs: Vec<_> = with.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
    format!("{id}[{}]", pairs.join(","))
}

/// Whether a metric is a share, from 0 to a best of at most 1.
#[must_use]
pub fn is_share<S>(metric: &MetricInfo<S>) -> bool {
    metric.higher_is_better && metric.best.is_some_and(|best| best > 0.0 && best <= 1.0)
}

/// Comparisons that are ratios of times or samples.
pub const RATIOS: [&str; 2] = ["time-to-target", "samples-to-target"];

/// What a suite says of stopping must have a meaning for its claims and seeds.
fn check_stopping(suite: &Suite) -> Result<(), Problem> {
    let Some(stopping) = &suite.stopping else { return Ok(()) };
    let at = |field: &str| vec![key("stopping"), key(field)];
    if let Some(problem) = stopping.problem() {
        return Err(problem.below([key("stopping")]));
    }
    if suite.claims.is_empty() {
        let message = "stopping: the suite has no claims, so nothing says when to stop";
        return Err(Problem(vec![key("stopping")], message.to_owned()));
    }
    let seeds = suite.seeds.0.len();
    if stopping.least > seeds {
        let message = format!(
            "least is {}, but only {seeds} seeds are planned; plan more seeds or leave out `stopping`",
            stopping.least
        );
        return Err(Problem(at("least"), message));
    }
    Ok(())
}

impl Plan {
    /// The arms that run on a workload, in the suite's order.
    pub fn arms_on<'a>(
        &'a self,
        workload: &'a PlannedWorkload,
    ) -> impl Iterator<Item = &'a PlannedArm> {
        self.arms.iter().filter(|arm| arm.runs_on(&workload.label))
    }

    /// The plan of these cells, by their places in this one, and of all that they descend from.
    /// Claims, tests and estimates are of the whole suite and are left out.
    ///
    /// # Errors
    /// When there is no cell at a place.
    pub fn only(self, places: &[usize]) -> Result<Self, String> {
        let mut wanted = Vec::new();
        for &place in places {
            let count = self.cells.len();
            let cell = self.cells.get(place).ok_or_else(|| {
                format!("--cells {place}: the plan has {count} cells, counted from 0")
            })?;
            let mut open = vec![*cell];
            while let Some(cell) = open.pop() {
                self.parents(cell)?.try_map(|parent| {
                    if let Parent::Cell(parent) = parent {
                        open.push(*parent);
                    }
                    Ok::<_, String>(())
                })?;
                wanted.push(cell);
            }
        }
        let cells = self.cells.iter().copied().filter(|cell| wanted.contains(cell)).collect();
        Ok(Self { cells, sections: Sections::default(), unjudged: Vec::new(), ..self })
    }

    /// The workload of a cell as its arm has it.
    #[must_use]
    pub fn workload(&self, cell: Cell) -> Cow<'_, PlannedWorkload> {
        self.arms[cell.arm].budgeted(&self.workloads[cell.workload])
    }

    /// The id of a cell: 16 hexadecimal characters. `seed` is the seed's text: the integer, or the
    /// 64 characters of an attested one.
    ///
    /// # Errors
    /// When a setting cannot be written as JSON.
    pub fn cell_id(
        &self,
        cell: Cell,
        parents: &Parents<String>,
        seed: &str,
        data: DataKey,
        code: &str,
    ) -> Result<String, serde_json::Error> {
        CellKey {
            workload: &own_file::identified(&self.workload(cell)),
            arm: &self.arms[cell.arm],
            parents,
            seed,
            data,
            code,
        }
        .id()
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
