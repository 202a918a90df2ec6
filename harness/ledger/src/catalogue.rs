//! What can be named in a suite: methods and workloads as plain rows, without libtorch.
//!
//! The composition root hands a [`Catalogue`] to the planner, so that a suite is checked before
//! anything is built or trained; a [`Listing`] of it goes to whoever only prints.

pub mod listing;
mod schedule;

pub use schedule::{Decay, Schedule};
use serde::{Deserialize, Serialize};

use crate::goal::{Direction, metric_and_look};
use crate::settings::{SettingInfo, Values};

/// A method as the planner and `explain` see it.
#[derive(Debug, Clone)]
pub struct MethodInfo {
    /// Name in suites, for example `drop-muon`.
    pub id: &'static str,
    /// Family: the folder of its file.
    pub family: &'static str,
    /// One line for `list`.
    pub summary: &'static str,
    /// The paper it comes from.
    pub paper: Paper,
    /// The paper's claim.
    pub claim: PaperClaim,
    /// Id of the method it should be compared with; absent for baselines.
    pub baseline: Option<&'static str>,
    /// What it asks of a workload, among what workloads offer.
    pub needs: &'static [&'static str],
    /// Its settings, in order.
    pub settings: Vec<SettingInfo>,
    /// Resolves given values against the settings and their joint rules.
    pub resolve: fn(&Values) -> Result<Values, crate::settings::SettingError>,
    /// The card: the doc comment of the method's file, as Markdown.
    pub card: &'static str,
}

/// A paper; `S` is `String` in a [`Listing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paper<S = &'static str> {
    /// Title.
    pub title: S,
    /// Authors, shortened.
    pub authors: S,
    /// Year of the version used.
    pub year: u16,
    /// Where to find it, for example `arXiv:2510.02239`.
    pub reference: S,
    /// Official code with its commit, or `none found`.
    pub code: S,
}

/// What a paper claims, with its number and where the number stands; `S` is `String` in a [`Listing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaperClaim<S = &'static str> {
    /// The claim as a sentence.
    pub statement: S,
    /// The number.
    pub number: S,
    /// Where the number stands.
    pub source: S,
}

/// A workload: data, model, metric, target and budget.
#[derive(Debug, Clone)]
pub struct WorkloadInfo {
    /// Name in suites, for example `digits-mlp`.
    pub id: &'static str,
    /// Family: the folder of its file.
    pub family: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// The data it needs.
    pub data: DataName,
    /// What it offers methods, in words that their `needs` use.
    pub offers: &'static [&'static str],
    /// Every metric it reports.
    pub metrics: &'static [MetricInfo],
    /// Metric the target is set on, one of `metrics`.
    pub metric: &'static str,
    /// Default target, on the validation split.
    pub target: f64,
    /// Where the default target comes from.
    pub target_origin: &'static str,
    /// Default budget in epochs of the training split.
    pub budget_epochs: f64,
    /// Default distance between evaluations, in epochs of the training split.
    pub evaluate_every_epochs: f64,
    /// Number of training examples (after the validation carve-out), of validation and of test examples.
    pub split_sizes: [u32; 3],
    /// Setting that says how many examples are trained on, where budgets are counted in epochs of that
    /// many; none where an epoch is the first of `split_sizes` whatever the settings.
    pub epoch_setting: Option<&'static str>,
    /// Counts the training examples under resolved settings, where that takes a look at files of the user's.
    pub count: Option<Count>,
    /// Settings of the workload itself (width of the model, …).
    pub settings: Vec<SettingInfo>,
    /// Resolves given values against the settings.
    pub resolve: fn(&Values) -> Result<Values, crate::settings::SettingError>,
    /// The card: the doc comment of the workload's file, as Markdown.
    pub card: &'static str,
}

/// Counts training examples, or says what is wrong with the files that settings name.
pub type Count = fn(&Values) -> Result<u32, String>;

/// What a workload's data are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataName {
    /// The data set of that name, as `data list` shows it.
    Set(&'static str),
    /// Made by the workload itself, from its settings and fixed numbers; there is no file.
    Generated,
    /// The same, under a name that records give it.
    GeneratedAs(&'static str),
    /// A file of the user's, which a setting names.
    Own,
}

impl DataName {
    /// The name in records and lists; `generated` where there is none.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Set(name) | Self::GeneratedAs(name) => name,
            Self::Generated => "generated",
            Self::Own => "own",
        }
    }
}

/// A metric of a workload; `S` is `String` in a [`Listing`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricInfo<S = &'static str> {
    /// Name, for example `accuracy`; records hold it as `validation/accuracy` and `test/accuracy`.
    pub name: S,
    /// Whether larger is better.
    pub higher_is_better: bool,
    /// The value that cannot be passed, where there is one: 1 for a share, 0 for an error.
    pub best: Option<f64>,
    /// What guessing gives, where that is known.
    pub chance: Option<f64>,
}

impl MetricInfo {
    /// A share of right answers: higher is better, 1 is best.
    #[must_use]
    pub const fn share(name: &'static str, chance: f64) -> Self {
        Self { name, higher_is_better: true, best: Some(1.0), chance: Some(chance) }
    }

    /// A quantity to lower, 0 at best.
    #[must_use]
    pub const fn error(name: &'static str) -> Self {
        Self { name, higher_is_better: false, best: Some(0.0), chance: None }
    }

    /// The row with a name of its own.
    #[must_use]
    pub fn owned(self) -> MetricInfo<String> {
        let Self { name, higher_is_better, best, chance } = self;
        MetricInfo { name: name.to_owned(), higher_is_better, best, chance }
    }
}

/// The row of the metric that records call `name` without its split: its own, or, for one of several
/// networks that a run stands for (`accuracy@small`), that of the metric.
#[must_use]
pub fn row<'a, S: AsRef<str>>(rows: &'a [MetricInfo<S>], name: &str) -> Option<&'a MetricInfo<S>> {
    let named = |name: &str| rows.iter().find(|row| row.name.as_ref() == name);
    named(name).or_else(|| match metric_and_look(name) {
        (metric, Some(_)) => named(metric),
        _ => None,
    })
}

impl<S> MetricInfo<S> {
    /// Which way it improves.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        Direction::of(self.higher_is_better)
    }
}

impl WorkloadInfo {
    /// The metric called `name`, without its split.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<&MetricInfo> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// Whether the metric that the target is set on should grow.
    #[must_use]
    pub fn higher_is_better(&self) -> bool {
        self.metric(self.metric).is_some_and(|metric| metric.higher_is_better)
    }

    /// Examples in an epoch, in which budgets are counted, under resolved `settings`.
    #[must_use]
    pub fn epoch(&self, settings: &Values) -> u32 {
        let set = self.epoch_setting.and_then(|name| settings.get(name)?.as_u64());
        set.and_then(|examples| u32::try_from(examples).ok()).unwrap_or(self.split_sizes[0])
    }

    /// The first of `needs` that this workload does not offer.
    #[must_use]
    pub fn lacks<'n>(&self, needs: &[&'n str]) -> Option<&'n str> {
        needs.iter().copied().find(|need| !self.offers.contains(need))
    }
}

/// All that a suite can name.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// Methods, sorted by id.
    pub methods: Vec<MethodInfo>,
    /// Workloads, sorted by id.
    pub workloads: Vec<WorkloadInfo>,
}

impl Catalogue {
    /// The method called `id`.
    #[must_use]
    pub fn method(&self, id: &str) -> Option<&MethodInfo> {
        self.methods.iter().find(|method| method.id == id)
    }

    /// The workload called `id`.
    #[must_use]
    pub fn workload(&self, id: &str) -> Option<&WorkloadInfo> {
        self.workloads.iter().find(|workload| workload.id == id)
    }

    /// Ids of all methods.
    pub fn method_ids(&self) -> impl Iterator<Item = &'static str> {
        self.methods.iter().map(|method| method.id)
    }

    /// Ids of all workloads.
    pub fn workload_ids(&self) -> impl Iterator<Item = &'static str> {
        self.workloads.iter().map(|workload| workload.id)
    }
}

/// Letters of the longest name that is compared: time and memory grow with the product of two lengths,
/// and whoever writes a suite chooses both.
const LONGEST_COMPARED: usize = 200;

/// The candidate nearest to `name`, when it is near enough to be a slip of the keyboard.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(2);
    let short = |text: &str| text.len() <= LONGEST_COMPARED;
    candidates
        .into_iter()
        .filter(|candidate| short(name) && short(candidate))
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= limit || (name.len() > 2 && candidate.starts_with(name))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean "x"?`, or the list of valid names where nothing is near.
pub fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(name, candidates.clone()) {
        Some(candidate) => format!("; did you mean \"{candidate}\"?"),
        None => {
            let names: Vec<_> = candidates.into_iter().collect();
            if names.is_empty() {
                "; none exist here".to_owned()
            } else {
                format!("; valid: {}", names.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_finds_the_method_meant() {
        let ids = ["sgd", "drop-muon", "ps-kd"];
        assert_eq!(nearest("drop-mun", ids), Some("drop-muon"));
        assert_eq!(nearest("pskd", ids), Some("ps-kd"));
        assert_eq!(nearest("transformer", ids), None);
        assert_eq!(hint("zzzzzzz", ids), "; valid: sgd, drop-muon, ps-kd");
    }

    #[test]
    fn names_that_nobody_types_are_not_compared() {
        // Two of these would take 80 GB.
        let [name, candidate] = [100_000, 100_001].map(|length| "a".repeat(length));
        assert_eq!(nearest(&name, [candidate.as_str()]), None);
    }
}
