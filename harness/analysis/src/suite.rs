//! A suite as written: YAML text to plain structs, and positions in the text for errors.
//!
//! The only module that knows `serde_yaml`. It checks shape; [`crate::plan`] checks meaning, and
//! asks [`locate`] where in the text an offending value stands.

pub mod estimates;
mod every;
pub mod executor;
mod locate;
pub mod membership;
pub mod regress;
mod seeds;
mod space;
mod stopping;
mod tuning;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::imported;
use crate::plan::{Assignment, RATIOS};
pub use estimates::EstimateUse;
pub use every::Every;
pub use executor::ExecutorUse;
use ledger::catalogue::nearest;
use ledger::external::{self, External};
use ledger::lineage::{Origin, Parents};
use ledger::settings::Values;
pub use locate::{Step, locate};
pub use membership::MembershipUse;
pub use regress::RegressUse;
pub use seeds::Seeds;
pub use space::{Side, Space, shown};
use stats::verdict::Verdict;
pub use stopping::StoppingUse;
pub(crate) use tuning::trials_problem;
pub use tuning::{Halving, On, SAMPLES, TuningUse};

/// A suite as written.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Name; letters, digits, `-`, `_`, `.`.
    pub suite: String,
    /// The question it asks, in one sentence.
    pub question: String,
    /// Workloads, by id or with changes.
    pub workloads: Vec<WorkloadUse>,
    /// Seeds: a count (0 to n−1) or a list.
    #[serde(default)]
    pub seeds: Seeds,
    /// Settings given to every arm that does not set them itself; every arm must know them.
    #[serde(default)]
    pub settings: Values,
    /// Label of the arm that speed-ups refer to.
    #[serde(default)]
    pub baseline: Option<String>,
    /// Arms, by method id or with settings.
    pub arms: Vec<ArmUse>,
    /// Claims to judge.
    #[serde(default)]
    pub claims: Vec<ClaimUse>,
    /// How the settings of arms are chosen that the suite does not fix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<TuningUse>,
    /// Seeds end once the claims are settled.
    #[serde(default)]
    pub stopping: Option<StoppingUse>,
    /// Membership tests to make on the models that are left.
    #[serde(default)]
    pub provenance: Vec<MembershipUse>,
    /// Runs whose order is varied, by estimators held to true retraining.
    #[serde(default)]
    pub estimates: Vec<EstimateUse>,
    /// How the regression gate judges this suite.
    #[serde(default)]
    pub regress: RegressUse,
    /// What its cells ask of a scheduler, where one runs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<ExecutorUse>,
    /// Keep the final weights of every run; those of parents are kept anyway.
    #[serde(default)]
    pub keep_models: bool,
    /// How often a run is kept while it goes on, so that another process can go on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<Every>,
}

/// What a suite asks of its runs beside the runs themselves: all of it, or what is left of it in a
/// plan.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
pub struct Sections {
    /// Claims to judge.
    pub claims: Vec<ClaimUse>,
    /// Membership tests to make.
    #[serde(default)]
    pub provenance: Vec<MembershipUse>,
    /// Order estimates.
    #[serde(default)]
    pub estimates: Vec<EstimateUse>,
    /// Arms of a name of their own whose settings the command line changes: the name does not say so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<ChangedArm>,
}

/// An arm that runs with other settings than the suite gives it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct ChangedArm {
    /// Its label.
    pub arm: String,
    /// What the command line gives it.
    pub set: Values,
}

/// In words.
impl fmt::Display for ChangedArm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.set.iter().map(|(key, value)| format!("{key}={value}"));
        let set = set.collect::<Vec<_>>().join(", ");
        write!(
            f,
            "arm \"{}\" runs with settings of the command line, not the suite's: {set}",
            self.arm
        )
    }
}

/// A workload in a suite.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct WorkloadUse {
    /// Workload id.
    pub workload: String,
    /// Settings of the workload.
    pub with: Values,
    /// Name in tables, when it is not the id.
    pub label: Option<String>,
    /// Budget in epochs of the training split.
    pub epochs: Option<f64>,
    /// Budget in samples, in the place of epochs. Not written where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
    /// Distance of evaluations in epochs; in samples where the budget is.
    pub evaluate_every: Option<f64>,
    /// Target on the validation split.
    pub target: Option<TargetUse>,
}

/// A target in a suite.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TargetUse {
    /// Value of the workload's metric.
    pub value: f64,
    /// Where it comes from.
    pub origin: String,
}

/// An arm in a suite.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ArmUse {
    /// Method id.
    pub method: String,
    /// Label, when it is not made from the method and its settings.
    pub label: Option<String>,
    /// Settings of the method.
    pub with: Values,
    /// Settings with several values: an arm for each combination.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub grid: BTreeMap<String, Vec<serde_json::Value>>,
    /// Settings that the command line gives it.
    #[serde(skip)]
    pub(crate) assigned: Vec<Assignment>,
    /// Settings that `palimpsest tune` chooses, each with the values to try.
    pub tune: BTreeMap<String, Space>,
    /// How many it tries for this arm, when that is not the suite's number.
    pub trials: Option<u32>,
    /// Labels of the workloads it runs on; all when empty.
    pub on: Vec<String>,
    /// Share of the workload's budget that its runs get.
    pub budget: Option<f64>,
    /// Runs whose weights it starts from or learns from.
    pub parents: Parents<Origin>,
    /// File with the order of its runs, from the suite's folder on.
    pub order: Option<String>,
    /// The program that it is, in place of a method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
}

/// When a metric is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// At the end of the budget.
    #[default]
    End,
    /// At the first evaluation with half of the run's samples consumed.
    Half,
    /// The mean over all evaluations but the one before training: the area under the curve.
    Mean,
    /// What was lost since the best evaluation: how much better that was than the end. Less is better.
    Lost,
}

/// How two values of a metric are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompareBy {
    /// Difference, oriented so that positive is better.
    #[default]
    Difference,
    /// Ratio, oriented so that above 1 is better.
    Ratio,
}

/// Two arms whose difference is taken off a claim's: an interaction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ArmPair {
    /// Label of an arm.
    pub arm: String,
    /// Label of the arm it is compared with.
    pub baseline: String,
}

/// What a claim compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimKind {
    /// The arm is better by at least `at_least`.
    Superior,
    /// The arm is worse by at most `at_least`.
    NonInferior,
}

/// A claim in a suite.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimUse {
    /// Id, unique in the suite.
    pub id: String,
    /// The claim as a testable sentence at this scale.
    pub statement: String,
    /// The paper's own number and where it stands.
    pub paper: PaperNumber,
    /// Label of the method's arm.
    pub arm: String,
    /// Label of the arm it is compared with.
    pub baseline: String,
    /// `time-to-target`, `samples-to-target` (ratios) or a metric such as `test/accuracy` (a
    /// difference, oriented so that positive is better).
    pub compare: String,
    /// The baseline's metric, when it is not the arm's: the same one at another number, as in
    /// `test/sw2@8` beside `test/sw2@4`. Not written where it is not given, like `expect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Smallest effect worth the claim, or the margin of a non-inferiority claim.
    pub at_least: f64,
    /// Kind of comparison.
    #[serde(default = "superior")]
    pub kind: ClaimKind,
    /// Labels of the workloads it applies to; all when empty.
    #[serde(default)]
    pub workloads: Vec<String>,
    /// Why no more than `inconclusive` can be said at this scale, when that is so.
    #[serde(default)]
    pub cannot_decide: Option<String>,
    /// The effect is compared between two workloads: the effect on this one minus the effect on
    /// each of `workloads`.
    #[serde(default)]
    pub grows_from: Option<String>,
    /// When a metric is compared.
    #[serde(default)]
    pub when: When,
    /// How two values of a metric are compared; times are always compared by ratio.
    #[serde(default)]
    pub by: CompareBy,
    /// Label of an arm that no method can beat, such as fresh draws of real data: without room of
    /// three standard deviations between it and the baseline nothing can be decided.
    #[serde(default)]
    pub floor: Option<String>,
    /// The effect is compared with that between two other arms.
    #[serde(default)]
    pub minus: Option<ArmPair>,
    /// The verdict that it gets here, as far as is known: `run --strict` holds it to that. Not
    /// written where it is not given, so that files of other suites stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Verdict>,
    /// Label of an arm that is meant not to learn, such as one with its signal shuffled: it is not asked
    /// whether it left its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// What may differ between the arms beside their methods: it is said then, and withholds nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unequal: Vec<May>,
}

/// What may differ between the arms of a claim that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum May {
    /// Samples that are consumed.
    Budget,
    /// Distances between evaluations.
    Grid,
    /// Settings that were tried before these were chosen.
    Trials,
    /// Clocks of imported logs: the suite's word is taken for one machine, and that it was quiet.
    Clock,
}

impl ClaimUse {
    /// What is read off the baseline's runs.
    #[must_use]
    pub fn of_baseline(&self) -> &str {
        self.against.as_deref().unwrap_or(&self.compare)
    }

    /// The plain claim that `arm` is better than `baseline` in what is compared, for uses that state no
    /// claim of a suite.
    #[must_use]
    pub fn between(arm: &str, baseline: &str, compare: &str) -> Self {
        Self {
            id: String::new(),
            statement: String::new(),
            paper: PaperNumber { number: String::new(), source: String::new() },
            arm: arm.to_owned(),
            baseline: baseline.to_owned(),
            compare: compare.to_owned(),
            against: None,
            at_least: if RATIOS.contains(&compare) { 1.0 } else { 0.0 },
            kind: ClaimKind::Superior,
            workloads: Vec::new(),
            cannot_decide: None,
            grows_from: None,
            when: When::End,
            by: CompareBy::Difference,
            floor: None,
            minus: None,
            expect: None,
            control: None,
            unequal: Vec::new(),
        }
    }

    /// The verdict that it is expected to get: what it says, or `inconclusive` where nothing else
    /// can be said at this scale, or `reproduced`.
    #[must_use]
    pub fn expected(&self) -> Verdict {
        let undecidable = self.cannot_decide.is_some();
        self.expect.unwrap_or(if undecidable { Verdict::Inconclusive } else { Verdict::Reproduced })
    }
}

fn superior() -> ClaimKind {
    ClaimKind::Superior
}

/// A number as a paper gives it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PaperNumber {
    /// The number.
    pub number: String,
    /// Where it stands.
    pub source: String,
}

/// A suite that cannot be read or does not fit the command line: position and reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", place(file, *line, *column))]
pub struct SuiteError {
    /// The file as the user named it; empty where an option of the command line is at fault.
    pub file: String,
    /// Line, from 1; 0 where the text has no position.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong, with the offending value and the remedy.
    pub message: String,
}

/// `file:line:column: `, as much of it as there is.
fn place(file: &str, line: usize, column: usize) -> String {
    match (file, line) {
        ("", _) => String::new(),
        (_, 0) => format!("{file}: "),
        _ => format!("{file}:{line}:{column}: "),
    }
}

/// What a suite cannot say, and where; nowhere when an option of the command line is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(pub Vec<Step>, pub String);

impl Problem {
    /// A problem of a field.
    #[must_use]
    pub fn at(field: &str, message: impl Into<String>) -> Self {
        Self(vec![key(field)], message.into())
    }

    /// The same, seen from further up.
    #[must_use]
    pub fn below<const N: usize>(self, above: [Step; N]) -> Self {
        Self(above.into_iter().chain(self.0).collect(), self.1)
    }
}

/// The step to a key.
#[must_use]
pub fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

/// Reads a suite from YAML; `file` is only for messages.
///
/// # Errors
/// With line and column, when the text is not YAML or not the shape of a suite.
pub fn parse(file: &str, text: &str) -> Result<Suite, SuiteError> {
    crate::yaml::from_str(text).map_err(|error: serde_yaml::Error| {
        let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
        SuiteError { file: file.to_owned(), line, column, message: explain(&error) }
    })
}

/// The message without serde_yaml's own position, with the nearest name for an unknown field.
pub(crate) fn explain(error: &serde_yaml::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text).to_owned();
    let mut quoted = text.split('`').skip(1).step_by(2);
    match (text.contains("unknown field"), quoted.next()) {
        (true, Some(unknown)) => match nearest(unknown, quoted) {
            Some(near) => format!("{text}; did you mean `{near}`?"),
            None => text,
        },
        _ => text,
    }
}

/// The map form of [`WorkloadUse`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkloadMap {
    workload: String,
    #[serde(default)]
    with: Values,
    #[serde(default, rename = "as")]
    label: Option<String>,
    #[serde(default)]
    epochs: Option<f64>,
    #[serde(default)]
    samples: Option<u64>,
    #[serde(default)]
    evaluate_every: Option<f64>,
    #[serde(default)]
    target: Option<TargetUse>,
    // Those of `external`, settings that stand beside the others.
    #[serde(default)]
    metric: Option<serde_json::Value>,
    #[serde(default)]
    direction: Option<serde_json::Value>,
    #[serde(default)]
    examples: Option<serde_json::Value>,
    #[serde(default)]
    test: Option<serde_json::Value>,
    #[serde(default)]
    data: Option<serde_json::Value>,
}

/// The map form of [`ArmUse`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ArmMap {
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    imported: Option<String>,
    #[serde(default)]
    command: Option<Vec<String>>,
    #[serde(default)]
    files: Option<Vec<String>>,
    #[serde(default, rename = "as")]
    label: Option<String>,
    #[serde(default)]
    with: Values,
    #[serde(default)]
    grid: BTreeMap<String, Vec<serde_json::Value>>,
    #[serde(default)]
    tune: BTreeMap<String, Space>,
    #[serde(default)]
    trials: Option<u32>,
    #[serde(default)]
    on: Vec<String>,
    #[serde(default)]
    budget: Option<f64>,
    #[serde(default)]
    from: Option<Origin>,
    #[serde(default)]
    teacher: Option<Origin>,
    #[serde(default)]
    order: Option<String>,
}

/// Reads `name` or a map: not serde's `untagged`, whose messages say nothing.
struct NameOr<T>(std::marker::PhantomData<T>, &'static str);

trait FromName: Sized {
    type Map: for<'de> Deserialize<'de>;
    fn from_name(name: &str) -> Self;
    fn from_map(map: Self::Map) -> Result<Self, &'static str>;
}

impl FromName for WorkloadUse {
    type Map = WorkloadMap;

    fn from_name(name: &str) -> Self {
        Self { workload: name.to_owned(), ..Self::default() }
    }

    fn from_map(map: WorkloadMap) -> Result<Self, &'static str> {
        let WorkloadMap { workload, mut with, label, epochs, samples, evaluate_every, .. } = map;
        let WorkloadMap { target, metric, direction, examples, test, data, .. } = map;
        let own = [
            ("metric", metric),
            ("direction", direction),
            ("examples", examples),
            ("test", test),
            ("data", data),
        ];
        let mut own =
            own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).peekable();
        if own.peek().is_some() && workload != external::own_task::WORKLOAD {
            return Err(
                "`metric`, `direction`, `examples`, `test` and `data` are those of `workload: external`; settings of another workload go under `with`",
            );
        }
        for (name, value) in own {
            if with.insert(name, value).is_some() {
                return Err("a setting stands beside `with` and in it; leave one out");
            }
        }
        Ok(Self { workload, with, label, epochs, samples, evaluate_every, target })
    }
}

impl FromName for ArmUse {
    type Map = ArmMap;

    fn from_name(name: &str) -> Self {
        Self { method: name.to_owned(), ..Self::default() }
    }

    fn from_map(map: ArmMap) -> Result<Self, &'static str> {
        let ArmMap {
            method, imported, command, files, mut label, with, grid, tune, trials, ..
        } = map;
        let ArmMap { on, budget, from, teacher, order, .. } = map;
        let method = match imported {
            None => method,
            Some(_) if method.is_some() || command.is_some() || label.is_some() => {
                return Err(
                    "`imported` is an arm's name, whose runs are read off logs: it has no `method`, `command` or `as`",
                );
            }
            Some(name) => {
                label = Some(name);
                Some(imported::METHOD.to_owned())
            }
        };
        let (method, external) = match (method, command) {
            (Some(method), None) if files.is_none() => (method, None),
            (Some(_), None) => return Err("`files` are those of a `command`; a method has none"),
            (None, Some(command)) => {
                let external = External::unread(command, files.unwrap_or_default());
                (external::METHOD.to_owned(), Some(external))
            }
            (Some(_), Some(_)) => return Err("an arm is a `method` or a `command`, not both"),
            (None, None) => {
                return Err(
                    "missing field `method`, or `command` for a program, or `imported` for logs",
                );
            }
        };
        let (parents, assigned) = (Parents { from, teacher }, Vec::new());
        Ok(Self {
            method,
            label,
            with,
            grid,
            assigned,
            tune,
            trials,
            on,
            budget,
            parents,
            order,
            external,
        })
    }
}

impl<'de, T: FromName> Visitor<'de> for NameOr<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the id of a {0}, or a map with `{0}:`", self.1)
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<T, E> {
        Ok(T::from_name(name))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        let map = T::Map::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        T::from_map(map).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for WorkloadUse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOr(std::marker::PhantomData, "workload"))
    }
}

impl<'de> Deserialize<'de> for ArmUse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOr(std::marker::PhantomData, "method"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "suite: x\nquestion: q\nworkloads: [a, {workload: b, epochs: 2}]\narms:\n  - sgd\n  - method: muon\n    with: {lr: -1}\n";

    #[test]
    fn names_and_maps_are_both_read() {
        let suite = parse("x.yaml", TEXT).unwrap();
        assert_eq!(suite.workloads[1].epochs, Some(2.0));
        assert_eq!(
            (suite.arms[0].method.as_str(), suite.arms[1].with["lr"].as_i64()),
            ("sgd", Some(-1))
        );
        assert_eq!(suite.seeds.0, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn an_unknown_key_has_line_column_and_the_nearest_name() {
        let error = parse("x.yaml", &TEXT.replace("question", "qestion")).unwrap_err();
        assert_eq!((error.line, error.column), (2, 1));
        assert!(error.message.contains("did you mean `question`?"), "{error}");
        let error = parse("x.yaml", &TEXT.replace("with:", "wiht:")).unwrap_err();
        assert_eq!(error.line, 7);
        assert!(error.message.contains("did you mean `with`?"), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_located() {
        let error =
            parse("x.yaml", &TEXT.replace("suite: x", "suite: x\nseeds: many")).unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.message.contains("not a count, a range"), "{error}");
    }

    #[test]
    fn values_deep_in_the_text_are_found() {
        let key = |key: &str| Step::Key(key.to_owned());
        assert_eq!(locate(TEXT, &[key("arms"), Step::Index(1), key("with"), key("lr")]), (7, 16));
        assert_eq!(locate(TEXT, &[key("workloads"), Step::Index(0)]), (3, 13));
        assert_eq!(locate(TEXT, &[key("arms"), Step::Index(0)]).0, 5);
        // A path that is not there falls back to its deepest part.
        assert_eq!(locate(TEXT, &[key("arms"), Step::Index(9)]).0, 5);
    }

    #[test]
    fn seeds_are_counts_ranges_or_lists_without_repeats() {
        let seeds = |text: &str| text.parse::<Seeds>().map(|seeds| seeds.0);
        assert_eq!(seeds("3").unwrap(), [0, 1, 2]);
        assert_eq!(seeds("2..4").unwrap(), [2, 3]);
        assert_eq!(seeds("7,1").unwrap(), [7, 1]);
        for wrong in ["0", "-1", "1,1", "a", "5..5", ""] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hostile_yaml_is_an_error_and_not_a_hang() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\nsuite: [*d,*d,*d,*d,*d,*d,*d,*d]\n";
        assert!(parse("x.yaml", bomb).is_err());
        assert!(parse("x.yaml", &"[".repeat(100_000)).is_err());
        assert!(parse("x.yaml", "\u{0}").is_err());
    }
}
