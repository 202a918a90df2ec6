//! What a set of records says: the only thing that reports, `--json` and `compare` see.
//!
//! Plain data: [`Analysis::of`] is the one place where records become numbers, so every output
//! agrees.

mod cells;
pub mod claims;
pub mod clock;
mod context;
mod curves;
mod estimates;
mod floors;
pub mod front;
pub mod membership;
pub mod order_estimates;
mod pictures;
pub mod power;
pub mod score;
pub mod seeds_needed;
pub mod stopping;
pub mod summarise;
pub mod tuning;

use std::collections::BTreeMap;

use ledger::catalogue::MetricInfo;
use ledger::goal::Target;
use ledger::record::format::Status;
use serde::de::IntoDeserializer as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::cells::{CellLeft, CellRun, read_cells};
pub use self::curves::{MOST_METRIC_POINTS, MOST_POINTS, thinned};
use self::membership::MembershipAnalysis;
use self::order_estimates::OrderEstimate;
use self::score::Score;
use self::tuning::TuningAnalysis;
use crate::plan::unjudged::Unjudged;
use crate::suite::CompareBy;
use stats::interval::Interval;
use stats::sequential::Stopping;
use stats::verdict::Verdict;

/// Version of the JSON form of [`Analysis`]: 2 since p-values are those of the intervals' tests.
pub const ANALYSIS_VERSION: u32 = 2;

/// Everything a report shows about one suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// [`ANALYSIS_VERSION`].
    pub version: u32,
    /// Name of the suite.
    pub suite: String,
    /// The question the suite asks, in one sentence.
    pub question: String,
    /// SHA-256 of the suite's text.
    pub suite_digest: String,
    /// One entry per workload, in the suite's order.
    pub workloads: Vec<WorkloadAnalysis>,
    /// One entry per claim and workload, in the suite's order.
    pub claims: Vec<ClaimOutcome>,
    /// Claims of the suite that these runs do not judge, for want of an arm or a workload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unjudged: Vec<Unjudged>,
    /// What the arms come to over several workloads.
    #[serde(default)]
    pub score: Score,
    /// One entry per membership test, in the suite's order.
    #[serde(default)]
    pub membership: Vec<MembershipAnalysis>,
    /// One entry per order estimate, in the suite's order.
    #[serde(default)]
    pub order_estimates: Vec<OrderEstimate>,
    /// How the seeds could end early, where they could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<StoppingAnalysis>,
    /// The sweeps behind its arms, where settings were chosen by trials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<TuningAnalysis>,
    /// One row per cell, in plan order.
    pub runs: Vec<RunRow>,
    /// Name and value of what a reader needs to rerun: machine, versions, commit, command.
    pub environment: Vec<(String, String)>,
    /// What a reader must know before believing the numbers; each says what to do about it.
    pub warnings: Vec<String>,
}

/// How the seeds of a suite could end early, and what that saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoppingAnalysis {
    /// The settings, fixed before the first seed.
    pub settings: Stopping,
    /// Seeds that ran.
    pub seeds: usize,
    /// Planned seeds that did not.
    pub seeds_saved: usize,
    /// Seconds that they would have taken, from those of the seeds that ran.
    pub seconds_saved: f64,
    /// The same as one sentence, with what it means for the intervals.
    pub summary: String,
}

/// One workload's arms side by side.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct WorkloadAnalysis {
    /// Workload id, for example `digits-mlp`.
    pub workload: String,
    /// One line for people: data and model.
    pub title: String,
    /// Split on which the target is crossed, for example `validation`.
    pub split: String,
    /// The value of the metric that cannot be passed, where there is one.
    pub best: Option<f64>,
    /// Every metric that it reports, with direction and best value; none in analyses of before they were listed.
    #[serde(default)]
    pub metrics: Vec<MetricInfo<String>>,
    /// What the runs were to reach.
    #[serde(flatten)]
    pub target: Target,
    /// Budget in samples seen (τ of the restricted mean is its time analogue, per arm).
    pub budget_samples: u64,
    /// Number of training examples.
    pub train_examples: u64,
    /// RFC 6962 root over the sample ids of the training split.
    pub dataset_root: String,
    /// Label of the arm that speed-ups refer to, when the suite names one.
    pub baseline: Option<String>,
    /// One entry per arm, in the suite's order.
    pub arms: Vec<ArmAnalysis>,
}

/// The target's parts lie flat among the others, in an order that readers have known from the start.
impl Serialize for WorkloadAnalysis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            workload,
            title,
            split,
            best,
            metrics,
            target,
            budget_samples,
            train_examples,
            dataset_root,
            baseline,
            arms,
        } = self;
        let Target { metric, direction, value, origin } = target;
        let mut out = serializer.serialize_struct("WorkloadAnalysis", 14)?;
        out.serialize_field("workload", workload)?;
        out.serialize_field("title", title)?;
        out.serialize_field("metric", metric)?;
        out.serialize_field("split", split)?;
        out.serialize_field("higher_is_better", &direction.is_higher())?;
        out.serialize_field("best", best)?;
        if metrics.is_empty() {
            out.skip_field("metrics")?;
        } else {
            out.serialize_field("metrics", metrics)?;
        }
        out.serialize_field("target", value)?;
        out.serialize_field("target_origin", origin)?;
        out.serialize_field("budget_samples", budget_samples)?;
        out.serialize_field("train_examples", train_examples)?;
        out.serialize_field("dataset_root", dataset_root)?;
        out.serialize_field("baseline", baseline)?;
        out.serialize_field("arms", arms)?;
        out.end()
    }
}

/// One arm on one workload, over its seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmAnalysis {
    /// Label, for example `drop-muon[cutoff=uniform]`.
    pub label: String,
    /// Method id.
    pub method: String,
    /// Every setting, resolved.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// True when its runs consume no example: a row to compare with, without times.
    pub idle: bool,
    /// How many cells ended in each way.
    pub outcomes: Outcomes,
    /// Share of cells that reached the target, with its Wilson interval.
    pub reach_rate: Estimate,
    /// Train seconds to the target.
    pub time_to_target: ToTarget,
    /// Samples seen at the target.
    pub samples_to_target: ToTarget,
    /// Metrics at the end of the budget, by name (`accuracy`, `nll`, `ece`, …), on the split that
    /// the name's prefix says: `validation/accuracy`, `test/accuracy`.
    pub at_budget: BTreeMap<String, Estimate>,
    /// Test metric at the crossing, over the cells that reached it.
    pub test_at_crossing: Option<Estimate>,
    /// Train-clock milliseconds per step, over cells.
    pub step_milliseconds: Option<Estimate>,
    /// Baseline time over this arm's time (above 1: this arm is faster), paired by seed; absent
    /// for the baseline itself, for censored pairs and where timing is withheld.
    pub speed_up: Option<SpeedUp>,
    /// Baseline samples to the target over this arm's (above 1: this arm needs fewer), paired by seed; absent for the
    /// baseline itself and where a pair did not reach it. No clock can disturb it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fewer_samples: Option<SpeedUp>,
    /// What times to the target differ by where nothing differs: the 99th percentile of |log ratio| between a program
    /// and itself on this machine (`regress aa`); absent where nobody measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_floor: Option<f64>,
    /// Train seconds of a run in all, over cells with a clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_seconds: Option<Estimate>,
    /// What its runs take beside time and samples, by what they count: `forward_tokens`, `network_evaluations`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub costs: BTreeMap<String, Cost>,
    /// Whether no other arm is at once no dearer and no worse (train seconds in all, the target's metric at the end),
    /// and better in one of both; absent where one of the two is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undominated: Option<bool>,
    /// Metric over samples seen.
    pub by_samples: Vec<CurvePoint>,
    /// Metric over train seconds.
    pub by_time: Vec<CurvePoint>,
    /// Metric over samples seen of every look, by its name, where there are looks before the end.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub looks_by_samples: BTreeMap<String, Vec<CurvePoint>>,
    /// Every other metric that was recorded along the run, over samples seen, by its name (`validation/length`): at
    /// most [`MOST_METRIC_POINTS`] points in an analysis.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics_by_samples: BTreeMap<String, Vec<CurvePoint>>,
    /// What its first run left to look at.
    #[serde(skip)]
    pub pictures: Option<ArmPictures>,
    /// Law of the data order: `uniform`, `uniform-subset`, ….
    pub order_law: String,
    /// True when every seed shares its first epoch's order with the baseline (absent: no baseline).
    pub order_paired: Option<bool>,
}

/// Pictures that a run left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmPictures {
    /// Cell id of the run.
    pub cell: String,
    /// Its seed, as the user wrote it.
    pub seed: String,
    /// The file, as it is in the run folder: a stranger's bytes.
    pub png: Vec<u8>,
}

/// How many cells of an arm ended in each way; they add up to the arm's cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Reached the target.
    pub reached: u32,
    /// Right-censored at the budget.
    pub censored: u32,
    /// Non-finite loss; counted as censored.
    pub diverged: u32,
    /// Crashed; excluded from every estimate.
    pub failed: u32,
}

/// What runs take beside time and samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// How many in all, of runs that did not diverge.
    pub in_all: Estimate,
    /// The target's metric over it; none where records have it at the end alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<CurvePoint>,
}

/// A number with its interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Point estimate.
    pub value: f64,
    /// Interval, absent when too few values carry one.
    pub interval: Option<Interval>,
    /// How the interval was made, for example `student-t`, `wilson`.
    pub method: String,
    /// Number of values (seeds).
    pub n: u32,
    /// The values, in seed order.
    pub values: Vec<f64>,
}

/// Time (or samples) until the target, with censoring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToTarget {
    /// Kaplan–Meier median; absent when at least half of the cells never reach the target.
    pub median: Option<f64>,
    /// Geometric mean over cells, only when all reached the target.
    pub geometric_mean: Option<f64>,
    /// Interval of the geometric mean (log-t), or of the median (order statistics) where a cell is
    /// censored and the interval exists.
    pub interval: Option<Interval>,
    /// How the interval was made.
    pub interval_method: String,
    /// Mean restricted to the horizon: a lower bound on the mean when some cells are censored.
    pub restricted_mean: Option<f64>,
    /// Horizon of the restricted mean: the longest on which it is defined for every arm.
    pub horizon: f64,
    /// Where the last of the cells that never reached the target stopped; absent when all did.
    pub censored_at: Option<f64>,
    /// Cells that met the target before their first step. They have no time to speak of: none is
    /// averaged with the others, and where there is one, neither median nor mean is given.
    #[serde(default)]
    pub at_start: u32,
    /// Values in seed order; absent where the cell is censored or met the target at the start.
    pub values: Vec<Option<f64>>,
}

/// Paired ratio of times to target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpeedUp {
    /// Geometric mean of baseline time over this arm's time.
    pub ratio: f64,
    /// 95 % interval of the ratio.
    pub interval: Option<Interval>,
    /// Two-sided p of the paired t-test of equal times, which the interval inverts; absent below two pairs.
    pub p: Option<f64>,
    /// Number of pairs.
    pub n: u32,
}

/// One point of a curve over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Samples seen or train seconds.
    pub x: f64,
    /// Mean over seeds.
    pub mean: f64,
    /// Lower end of the 95 % Student-t interval of the mean (the mean itself below two seeds).
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Seeds behind this point.
    pub n: u32,
}

/// A claim and what the records say of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimOutcome {
    /// Id, unique in the suite.
    pub id: String,
    /// The claim as a testable sentence at this scale.
    pub statement: String,
    /// The paper's own number, for example `up to 1.4× in wall-clock`.
    pub paper_number: String,
    /// Where the number stands.
    pub paper_source: String,
    /// Workload it was tested on.
    pub workload: String,
    /// The method's arm.
    pub arm: String,
    /// The arm it is compared with.
    pub baseline: String,
    /// What is compared, for example `time-to-target` (a ratio) or `test/nll` (a difference).
    pub metric: String,
    /// Whether the effect is a ratio or a difference.
    pub scale: CompareBy,
    /// Smallest effect (or margin), on that scale, in the claimed direction.
    pub smallest_effect: f64,
    /// Whether it claims to be at most so much worse: `smallest_effect` is a margin then, and the bar lies below no
    /// effect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub non_inferior: bool,
    /// Measured effect on that scale, in the claimed direction (positive or above 1 favours it).
    pub effect: Option<f64>,
    /// Its 95 % interval; of a suite whose seeds could end early, its confidence sequence there.
    pub interval: Option<Interval>,
    /// p of the one-sided paired t-test of an effect below the smallest one (or the margin), which the
    /// interval inverts; none where seeds could end early, for it would not be valid.
    pub p: Option<f64>,
    /// Number of pairs.
    pub n: u32,
    /// The verdict that the suite expects.
    #[serde(default = "reproduced", with = "stats::verdict::words")]
    pub expected: Verdict,
    /// After each seed, where seeds could end early.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sequence: Vec<SequencePoint>,
    /// What these runs say.
    #[serde(with = "stats::verdict::words")]
    pub verdict: Verdict,
    /// Whether an effect is shown in the claimed direction, though not one of the size claimed.
    #[serde(default)]
    pub direction_shown: bool,
    /// Whether runs that diverged, failed or are missing keep it from being judged.
    #[serde(default)]
    pub pairs_lost: bool,
    /// What differs between the arms beside their methods, because the claim says that it may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Why, in words.
    pub reason: String,
}

impl ClaimOutcome {
    /// Where the interval has to lie above, on the claim's scale: the smallest effect, or the margin below no effect.
    #[must_use]
    pub fn bar(&self) -> f64 {
        match (self.non_inferior, self.scale) {
            (false, _) => self.smallest_effect,
            (true, CompareBy::Ratio) => self.smallest_effect.recip(),
            // 0.0 - 0.0, not -0.0.
            (true, CompareBy::Difference) => 0.0 - self.smallest_effect,
        }
    }

    /// The verdict as people read it, with what else is shown.
    #[must_use]
    pub fn verdict_words(&self) -> String {
        let shown = if self.direction_shown { ", direction shown" } else { "" };
        format!("{}{shown}", self.verdict)
    }

    /// Why, and what differs between the arms.
    #[must_use]
    pub fn why(&self) -> String {
        let notes = self.notes.iter().map(|note| format!("; {note}, as the claim allows"));
        self.reason.clone() + &notes.collect::<String>()
    }
}

/// Serde's default of a claim without expectation.
fn reproduced() -> Verdict {
    Verdict::Reproduced
}

/// A claim's confidence sequence after some seeds, on the claim's scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SequencePoint {
    /// Seeds so far.
    pub seeds: usize,
    /// Mean effect.
    pub mean: f64,
    /// Lower end; absent while nothing bounds it.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

/// One cell's row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// Cell id (16 hexadecimal characters).
    pub cell: String,
    /// Workload id.
    pub workload: String,
    /// Arm label.
    pub arm: String,
    /// Seed as the user wrote it (an integer, or `attested`).
    pub seed: String,
    /// How it ended; `missing` in JSON where it has not run.
    #[serde(serialize_with = "to_word", deserialize_with = "from_word")]
    pub status: Option<Status>,
    /// Train seconds to the target (isotonic crossing).
    pub time_to_target: Option<f64>,
    /// Metric at the budget, on the target's split.
    pub at_budget: Option<f64>,
    /// Train seconds in all.
    pub train_seconds: Option<f64>,
    /// SHA-256 over the first epoch's ids.
    pub first_order_hash: Option<String>,
    /// Last value of the step chain.
    pub chain: Option<String>,
    /// SHA-256 over the final parameters.
    pub parameters: Option<String>,
    /// Digest of the run's manifest.
    pub run_digest: Option<String>,
    /// Samples seen when it ended.
    #[serde(default)]
    pub samples: Option<u64>,
    /// Steps taken when it ended.
    #[serde(default)]
    pub steps: Option<u64>,
    /// Wall seconds in all.
    #[serde(default)]
    pub total_seconds: Option<f64>,
    /// Loss of the last training batch, where a look at the end has one.
    #[serde(default)]
    pub train_loss: Option<f64>,
    /// Every metric at the end, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Test metrics at the first look at the target, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub at_target: BTreeMap<String, f64>,
    /// What it took beside time and samples, by what it counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub costs: BTreeMap<String, u64>,
}

const MISSING: &str = "missing";

impl RunRow {
    /// How it ended, as people read it.
    #[must_use]
    pub fn status_name(&self) -> &'static str {
        self.status.map_or(MISSING, Status::name)
    }
}

fn to_word<S: Serializer>(status: &Option<Status>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.map_or(MISSING, Status::name))
}

fn from_word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Status>, D::Error> {
    let word = String::deserialize(deserializer)?;
    if word == MISSING {
        return Ok(None);
    }
    Status::deserialize(word.into_deserializer()).map(Some)
}

#[cfg(test)]
pub(crate) mod tests;
