//! A suite checked against the catalogue: what will run, before anything runs.

pub mod descent;

use serde_json::Value;

use crate::plan::descent::Parent;
use crate::suite::{
    ClaimUse, CompareBy, EstimateUse, MembershipUse, Seeds, Step, StoppingUse, Suite, SuiteError,
    When, WorkloadUse, locate, parse,
};
use ledger::catalogue::{Catalogue, MetricInfo, hint};
use ledger::digest::Digest;
use ledger::given::GivenOrder;
use ledger::goal::{self, Budget, Direction, Goal, Target};
use ledger::lineage::Parents;
use ledger::record::identity::CellKey;
use ledger::record::planned::{PlannedArm, PlannedWorkload};
use ledger::settings::{SettingError, Values};
use stats::sequential::Stopping;
use stats::verdict::Verdict;

/// Most cells a plan may have.
const MOST_CELLS: usize = 1_000_000;

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
    /// Claims whose arms and workloads are in the plan.
    pub claims: Vec<ClaimUse>,
    /// Membership tests whose cells are in the plan.
    pub provenance: Vec<MembershipUse>,
    /// Order estimates whose runs are in the plan.
    pub estimates: Vec<EstimateUse>,
    /// When seeds end early; none where all of them run.
    pub stopping: Option<Stopping>,
    /// Keep the final weights of every run.
    pub keep_models: bool,
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
    pub set: Vec<(String, String, Value)>,
    /// Keep the final weights of every run.
    pub keep_models: bool,
    /// End the seeds once the claims are settled, with the suite's settings or the usual ones.
    pub stop_early: bool,
}

impl std::str::FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("--set \"{text}\" is not ARM.KEY=VALUE, for example sgd.lr=0.05");
        // A label may hold `=` and `.` inside its brackets: the key follows the bracket.
        let bracket = text.find(']').unwrap_or(0);
        let dot = text[bracket..].find('.').ok_or_else(refuse)? + bracket;
        let (arm, rest) = (&text[..dot], &text[dot + 1..]);
        let (key, value) = rest.split_once('=').ok_or_else(refuse)?;
        let value = serde_yaml::from_str(value).map_err(|_| refuse())?;
        Ok(Self(arm.to_owned(), key.to_owned(), value))
    }
}

/// One `--set` of the command line.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment(pub String, pub String, pub Value);

/// Where in the suite a problem is, and what it is; nowhere when an option is at fault.
struct Problem(Vec<Step>, String);

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
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
    let suite = parse(file, text)?;
    resolve(suite, text, catalogue, overrides).map_err(|Problem(path, message)| {
        if path.is_empty() {
            return SuiteError { file: String::new(), line: 0, column: 0, message };
        }
        let (line, column) = locate(text, &path);
        SuiteError { file: file.to_owned(), line, column, message }
    })
}

fn resolve(
    suite: Suite,
    text: &str,
    catalogue: &Catalogue,
    overrides: &Overrides,
) -> Result<Plan, Problem> {
    check_name(&suite.suite)?;
    let workloads = suite.workloads.iter().enumerate();
    let workloads = workloads.map(|(index, used)| workload(index, used, catalogue));
    let workloads = workloads.collect::<Result<Vec<_>, _>>()?;
    let arms = (0..suite.arms.len()).map(|index| arm(index, &suite, catalogue, overrides));
    let arms = arms.collect::<Result<Vec<_>, _>>()?;
    unique(workloads.iter().map(|workload| workload.label.as_str()), "workloads", "workload")?;
    unique(arms.iter().map(|arm| arm.label.as_str()), "arms", "arm")?;
    let labels = Labels {
        arms: arms.iter().map(|arm| arm.label.as_str()).collect(),
        workloads: workloads.iter().map(|workload| workload.label.as_str()).collect(),
        metrics: workloads.iter().map(|workload| workload.metrics.as_slice()).collect(),
    };
    for (index, arm) in arms.iter().enumerate() {
        check_fit(index, arm, &workloads, catalogue)?;
    }
    if let Some(baseline) = &suite.baseline {
        known("arm", baseline, &labels.arms, vec![key("baseline")])?;
    }
    for (index, claim) in suite.claims.iter().enumerate() {
        check_claim(claim, &labels, |field| vec![key("claims"), Step::Index(index), key(field)])?;
    }
    unique(suite.claims.iter().map(|claim| claim.id.as_str()), "claims", "claim")?;
    unique(suite.provenance.iter().map(|test| test.id.as_str()), "provenance", "test")?;
    check_stopping(&suite)?;
    for (index, test) in suite.provenance.iter().enumerate() {
        descent::check_test(test, &workloads, &arms).map_err(|(field, message)| {
            Problem(vec![key("provenance"), Step::Index(index), key(field)], message)
        })?;
    }
    unique(suite.estimates.iter().map(|entry| entry.name.as_str()), "estimates", "estimate")?;
    for (index, entry) in suite.estimates.iter().enumerate() {
        let at = |path: Vec<Step>| [vec![key("estimates"), Step::Index(index)], path].concat();
        if let Some((path, message)) = entry.problem() {
            return Err(Problem(at(path), message));
        }
        descent::check_estimated(entry, &workloads, &arms)
            .map_err(|message| Problem(at(vec![key("run")]), message))?;
    }
    if let Some((path, message)) = suite.regress.problem() {
        return Err(Problem([vec![key("regress")], path].concat(), message));
    }

    let keeps = |wanted: &[String], names: [&str; 2]| {
        wanted.is_empty() || names.iter().any(|name| wanted.iter().any(|wanted| wanted == name))
    };
    let filtered = |wanted: &[String], names: &[[&str; 2]], option: &str| {
        wanted
            .iter()
            .find(|wanted| !names.iter().any(|pair| pair.contains(&wanted.as_str())))
            .map_or(Ok(()), |missing| {
                let valid: Vec<_> = names.iter().map(|pair| pair[1]).collect();
                Err(Problem(
                    Vec::new(),
                    format!(
                        "{option} {missing}: the suite has no such name{}",
                        hint(missing, valid)
                    ),
                ))
            })
    };
    let arm_names: Vec<_> =
        arms.iter().map(|arm| [arm.method.as_str(), arm.label.as_str()]).collect();
    let workload_names: Vec<_> =
        workloads.iter().map(|w| [w.id.as_str(), w.label.as_str()]).collect();
    filtered(&overrides.methods, &arm_names, "--methods")?;
    filtered(&overrides.workloads, &workload_names, "--workloads")?;
    for (arm, ..) in &overrides.set {
        filtered(std::slice::from_ref(arm), &arm_names, "--set")?;
    }

    let (workloads, arms, mut cells) = {
        let family = descent::Family::new(&workloads, &arms)?;
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
        let cells = pairs.iter().map(|&(workload, arm)| {
            let cell = (place(&used_workloads, workload), place(&used_arms, arm));
            (cell, family.depth((workload, arm)))
        });
        let cells: Vec<_> = cells.collect();
        let workloads: Vec<_> = used_workloads.iter().map(|&i| workloads[i].clone()).collect();
        let arms: Vec<_> = used_arms.iter().map(|&i| arms[i].clone()).collect();
        (workloads, arms, cells)
    };
    cells.sort_by_key(|((workload, _), depth)| (*depth, *workload));
    let claims = suite.claims.into_iter().filter_map(|claim| {
        let has_arm = |label: &str| arms.iter().any(|arm| arm.label == label);
        let mut claim = has_arm(&claim.arm).then_some(claim)?;
        let has_workload =
            |label: &String| workloads.iter().any(|workload| workload.label == *label);
        let others = claim.minus.iter().flat_map(|pair| [&pair.arm, &pair.baseline]);
        let others = others.chain(&claim.floor).chain([&claim.baseline]);
        let complete = others.map(String::as_str).all(has_arm);
        if !complete || !claim.grows_from.iter().all(has_workload) {
            return None;
        }
        let restricted = !claim.workloads.is_empty();
        claim.workloads.retain(|label| has_workload(label));
        (!restricted || !claim.workloads.is_empty()).then_some(claim)
    });
    let claims: Vec<ClaimUse> = claims.collect();
    let seeds = overrides.seeds.clone().unwrap_or(suite.seeds).0;
    let count = cells.len().saturating_mul(seeds.len());
    if count > MOST_CELLS {
        return Err(Problem(
            vec![key("arms")],
            format!("{count} cells are more than {MOST_CELLS}; split the suite"),
        ));
    }
    let usual = overrides.stop_early.then(StoppingUse::default);
    let stopping = suite.stopping.or(usual).filter(|_| !claims.is_empty());
    let stopping = stopping.and_then(|stopping| stopping.planned(seeds.len()));
    if overrides.stop_early && stopping.is_none() {
        let least = suite.stopping.unwrap_or_default().least;
        let message = if claims.is_empty() {
            "--stop-early: no claim is in the plan, so nothing says when to stop".to_owned()
        } else {
            format!(
                "--stop-early: {} seeds are planned, but none stops before {least}; give --seeds more",
                seeds.len()
            )
        };
        return Err(Problem(Vec::new(), message));
    }
    // Seed by seed within a workload and a generation.
    let blocks = cells.chunk_by(|a, b| (a.0.0, a.1) == (b.0.0, b.1)).flat_map(|block| {
        let of_seed = |&seed: &u64| {
            block.iter().map(move |&((workload, arm), _)| Cell { workload, arm, seed })
        };
        seeds.iter().flat_map(of_seed)
    });
    let mut cells: Vec<Cell> = blocks.collect();
    if stopping.is_some() {
        let place = |cell: &Cell| seeds.iter().position(|&seed| seed == cell.seed);
        cells.sort_by_cached_key(place);
    }
    let here = |test: &MembershipUse| descent::check_test(test, &workloads, &arms).is_ok();
    let provenance = suite.provenance.into_iter().filter(here).collect();
    let here = |entry: &EstimateUse| descent::check_estimated(entry, &workloads, &arms).is_ok();
    let estimates = suite.estimates.into_iter().filter(here).collect();
    let baseline = suite.baseline.filter(|label| arms.iter().any(|arm| arm.label == *label));
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
        claims,
        provenance,
        estimates,
        stopping,
        keep_models: suite.keep_models || overrides.keep_models,
    })
}

struct Labels<'a> {
    arms: Vec<&'a str>,
    workloads: Vec<&'a str>,
    /// Metrics of each workload.
    metrics: Vec<&'a [MetricInfo<String>]>,
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
    let Some(method) = catalogue.method(&arm.method) else { return Ok(()) };
    for workload in workloads.iter().filter(|workload| arm.runs_on(&workload.label)) {
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

fn known(noun: &str, name: &str, names: &[&str], path: Vec<Step>) -> Result<(), Problem> {
    if names.contains(&name) {
        return Ok(());
    }
    Err(Problem(path, format!("unknown {noun} \"{name}\"{}", hint(name, names.to_vec()))))
}

fn unique<'a>(names: impl Iterator<Item = &'a str>, list: &str, noun: &str) -> Result<(), Problem> {
    let mut seen: Vec<&str> = Vec::new();
    for (index, name) in names.enumerate() {
        if seen.contains(&name) {
            let message =
                format!("two {noun}s are called \"{name}\"; give one another name with `as:`");
            return Err(Problem(vec![key(list), Step::Index(index)], message));
        }
        seen.push(name);
    }
    if seen.is_empty() && ["workloads", "arms"].contains(&list) {
        return Err(Problem(vec![key(list)], format!("no {noun}s are given")));
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "epochs are checked to be positive and moderate"
)]
fn workload(
    index: usize,
    used: &WorkloadUse,
    catalogue: &Catalogue,
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
    let settings = (info.resolve)(&used.with).map_err(|error| {
        setting_problem(&error, &used.workload, [path("with"), Vec::new()].concat())
    })?;
    let epochs = used.epochs.unwrap_or(info.budget_epochs);
    let every = used.evaluate_every.unwrap_or(info.evaluate_every_epochs);
    let [examples, ..] = info.split_sizes;
    for (field, value) in [("epochs", epochs), ("evaluate_every", every)] {
        if !(value > 0.0 && value <= 1e6) {
            return Err(Problem(
                path(field),
                format!("{field} is {value}, but must be above 0 and at most 1e6"),
            ));
        }
    }
    let samples = |epochs: f64| ((epochs * f64::from(examples)).round() as u64).max(1);
    if every > epochs {
        let message = format!("evaluate_every is {every} epochs, more than the budget of {epochs}");
        return Err(Problem(path("evaluate_every"), message));
    }
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
    Ok(PlannedWorkload {
        label: used.label.clone().unwrap_or_else(|| label(info.id, &used.with)),
        id: info.id.to_owned(),
        settings,
        metrics: info.metrics.iter().map(|metric| metric.owned()).collect(),
        goal: Goal {
            target: Target {
                metric: info.metric.to_owned(),
                direction: Direction::of(info.higher_is_better()),
                value,
                origin,
            },
            budget: Budget { samples: samples(epochs), evaluate_every: samples(every) },
        },
    })
}

fn arm(
    index: usize,
    suite: &Suite,
    catalogue: &Catalogue,
    overrides: &Overrides,
) -> Result<PlannedArm, Problem> {
    let used = &suite.arms[index];
    let path = |field: &str| vec![key("arms"), Step::Index(index), key(field)];
    let Some(info) = catalogue.method(&used.method) else {
        let ids: Vec<_> = catalogue.method_ids().collect();
        let message =
            format!("arms[{index}]: unknown method \"{}\"{}", used.method, hint(&used.method, ids));
        return Err(Problem(path("method"), message));
    };
    let label = used.label.clone().unwrap_or_else(|| label(info.id, &used.with));
    let mut values = suite.settings.clone();
    values.extend(used.with.clone());
    let assigned = || overrides.set.iter().filter(|(arm, ..)| *arm == label || *arm == info.id);
    for (_, name, value) in assigned() {
        values.insert(name.clone(), value.clone());
    }
    let settings = (info.resolve)(&values).map_err(|error| {
        // A value may come from the arm, from the suite's common settings or from the command line.
        if let Some((arm, name, _)) = assigned().find(|(_, name, _)| error.key() == Some(name)) {
            return Problem(Vec::new(), format!("--set {arm}.{name}: {error}"));
        }
        let common = error
            .key()
            .is_some_and(|key| !used.with.contains_key(key) && suite.settings.contains_key(key));
        setting_problem(&error, info.id, if common { vec![key("settings")] } else { path("with") })
    })?;
    Ok(PlannedArm {
        label,
        method: info.id.to_owned(),
        settings,
        on: used.on.clone(),
        parents: used.parents.clone(),
        order: used.order.clone().map(GivenOrder::unread),
    })
}

fn setting_problem(error: &SettingError, owner: &str, mut path: Vec<Step>) -> Problem {
    path.extend(error.key().map(key));
    Problem(path, format!("{owner}: {error}"))
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

/// Comparisons that are ratios of times or samples.
pub const RATIOS: [&str; 2] = ["time-to-target", "samples-to-target"];

/// What a suite says of stopping must have a meaning for its claims and seeds.
fn check_stopping(suite: &Suite) -> Result<(), Problem> {
    let Some(stopping) = &suite.stopping else { return Ok(()) };
    let at = |field: &str| vec![key("stopping"), key(field)];
    if let Some((field, message)) = stopping.problem() {
        return Err(Problem(at(field), message));
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

fn check_claim(
    claim: &ClaimUse,
    labels: &Labels<'_>,
    path: impl Fn(&str) -> Vec<Step>,
) -> Result<(), Problem> {
    known("arm", &claim.arm, &labels.arms, path("arm"))?;
    known("arm", &claim.baseline, &labels.arms, path("baseline"))?;
    for workload in claim.workloads.iter().chain(&claim.grows_from) {
        known("workload", workload, &labels.workloads, path("workloads"))?;
    }
    let others = claim.minus.iter().flat_map(|pair| [&pair.arm, &pair.baseline]);
    for (field, arm) in
        others.map(|arm| ("minus", arm)).chain(claim.floor.iter().map(|f| ("floor", f)))
    {
        known("arm", arm, &labels.arms, path(field))?;
    }
    let named =
        |label: &&str| claim.workloads.is_empty() || claim.workloads.iter().any(|w| w == label);
    let judged = labels.workloads.iter().zip(&labels.metrics).filter(|(label, _)| named(label));
    let mut comparisons: Vec<String> = RATIOS.iter().map(|ratio| (*ratio).to_owned()).collect();
    for metric in judged.flat_map(|(_, metrics)| metrics.iter()) {
        let splits = [goal::VALIDATION, goal::TEST].map(|split| goal::key(split, &metric.name));
        comparisons.extend(
            splits.into_iter().filter(|name| !comparisons.contains(name)).collect::<Vec<_>>(),
        );
    }
    let names: Vec<&str> = comparisons.iter().map(String::as_str).collect();
    known("comparison", &claim.compare, &names, path("compare"))?;
    let timed = RATIOS.contains(&claim.compare.as_str());
    let ratio = timed || claim.by == CompareBy::Ratio;
    if timed && claim.when != When::End {
        let message = format!("{} is of the whole run; leave out `when`", claim.compare);
        return Err(Problem(path("when"), message));
    }
    let noun = if ratio { "ratio" } else { "difference" };
    let least = if ratio { 1.0 } else { 0.0 };
    if claim.at_least < least || !claim.at_least.is_finite() {
        let message =
            format!("at_least is {}, but a {noun} must be at least {least}", claim.at_least);
        return Err(Problem(path("at_least"), message));
    }
    if let (Some(reason), Some(expect @ (Verdict::Reproduced | Verdict::NotReproduced))) =
        (&claim.cannot_decide, claim.expect)
    {
        let message = format!(
            "\"{}\" is expected, but `cannot_decide` says that nothing can be said: {reason}; leave one of them out",
            expect.words()
        );
        return Err(Problem(path("expect"), message));
    }
    if claim.arm == claim.baseline {
        return Err(Problem(
            path("baseline"),
            format!("arm and baseline are both \"{}\"", claim.arm),
        ));
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
        let (claims, provenance, estimates) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { cells, claims, provenance, estimates, ..self })
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
        data_root: &Digest,
        code: &str,
    ) -> Result<String, serde_json::Error> {
        CellKey {
            workload: &self.workloads[cell.workload],
            arm: &self.arms[cell.arm],
            parents,
            seed,
            data_root,
            code,
        }
        .id()
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
