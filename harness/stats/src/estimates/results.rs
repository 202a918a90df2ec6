//! The documents of estimates: what the verbs write and the reports draw.
//!
//! A number that is not finite is null in JSON, and a reason in words stands beside it.

use serde::{Deserialize, Serialize};

use super::agreement::{Agreement, Interval, PerItem};
use super::attribution::Influence;
use super::cost::Cost;
use super::curricula::Curriculum;
use super::curves::CurveAgreement;
use super::orders::ItemOrder;
use super::search::{Elsewhere, Found, Paired, Verified};
use super::settings::HeldOut;
use super::validity::{Band, Validity};
use ledger::digest::Digest;

/// The format of these documents.
pub const FORMAT: u32 = 1;

/// What every document says of where its numbers come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// [`FORMAT`].
    pub format: u32,
    /// Cell id of the recorded run.
    pub cell: String,
    /// First step of the window in the run.
    pub first_step: u64,
    /// Steps of the window T.
    pub steps: usize,
    /// What an item is.
    pub items: Items,
    /// Number of items.
    pub item_count: usize,
    /// Name of the estimator.
    pub estimator: String,
    /// Size of its basis; `None` for estimators without one.
    pub k: Option<usize>,
    /// Centres along the window that have a basis each.
    #[serde(default = "one_centre")]
    pub centres: usize,
    /// Whose loss is predicted, where it is not a whole split's.
    #[serde(default)]
    pub target: Option<String>,
    /// Seed of the pilots, the gate and the orders.
    pub seed: u64,
    /// Pilots that the estimator was made from.
    pub pilots: usize,
    /// The verdict of the gate.
    pub validity: Validity,
    /// What it costs, in retrainings one at a time; `None` where it was not measured.
    pub cost: Option<Cost>,
    /// The same in retrainings that are stacked: many orders trained for true at once (`exact`).
    #[serde(default)]
    pub stacked: Option<Cost>,
    /// Whether costs are withheld because the machine was busier than its cores.
    #[serde(default)]
    pub withheld: bool,
    /// How much the order does at all.
    #[serde(default)]
    pub effect: Option<Effect>,
    /// What a reader must know.
    pub warnings: Vec<String>,
}

fn one_centre() -> usize {
    1
}

/// The size of the effect of orders, beside that of seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// True runs of the window in random orders, of pilots and gate.
    pub orders: usize,
    /// Mean of their held-out losses.
    pub mean: f64,
    /// Standard deviation of them.
    pub sd: f64,
    /// Runs of the same arm in the store, of as many seeds, this one among them.
    pub seeds: usize,
    /// Standard deviation of their held-out losses at the end; `None` for one seed, or where records
    /// do not hold this loss.
    pub seed_sd: Option<f64>,
}

/// What an order moves as one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Items {
    /// The batch of a step.
    Batches,
    /// A single example.
    Examples,
}

/// The prediction for one order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The order.
    pub order: ItemOrder,
    /// Its hash.
    pub hash: Digest,
    /// Predicted held-out loss; `None` if it is not finite.
    pub held_out: Option<f64>,
    /// The same without the mean residual of the gate: the middle of the interval.
    #[serde(default)]
    pub corrected: Option<f64>,
    /// Why there is none.
    pub reason: Option<String>,
    /// 95 % prediction interval of the held-out loss of true retraining.
    pub interval: Option<Interval>,
    /// Why there is no interval, where there is a prediction.
    #[serde(default)]
    pub no_interval: Option<String>,
    /// Predicted own loss of each item; empty if not asked for.
    pub own: Vec<Option<f64>>,
    /// Confidence that the order truly ends with a lower held-out loss than the recorded one did.
    pub better_than_reference: Option<f64>,
}

impl Row {
    /// A row of a predicted loss, with interval and confidence where a gate gives them, or the reason
    /// why there are none; `reference` is the true loss of the recorded order.
    #[must_use]
    pub fn new(
        order: ItemOrder,
        held_out: f64,
        own: &[f64],
        band: Result<&Band, &str>,
        reference: f64,
    ) -> Self {
        let known = held_out.is_finite().then_some(held_out);
        let both = band.ok().zip(known);
        Self {
            hash: order.hash(),
            order,
            held_out: known,
            corrected: both.map(|(band, loss)| band.corrected(loss)),
            reason: known.is_none().then(|| format!("the estimate is {held_out}: it diverged")),
            interval: both.map(|(band, loss)| band.interval(loss)),
            no_interval: band.err().filter(|_| known.is_some()).map(str::to_owned),
            own: own.iter().map(|&loss| loss.is_finite().then_some(loss)).collect(),
            better_than_reference: both
                .filter(|_| reference.is_finite())
                .map(|(band, loss)| band.confidence_below_known(loss, reference)),
        }
    }
}

/// Predicted losses of orders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Where the numbers come from.
    pub source: Source,
    /// True held-out loss of the recorded run.
    pub reference: f64,
    /// One row an order, in the order asked for.
    pub rows: Vec<Row>,
}

impl Prediction {
    /// Row numbers from the lowest predicted loss to the highest; rows without one come last.
    #[must_use]
    pub fn ranking(&self) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.rows.len()).collect();
        let loss = |row: usize| self.rows[row].held_out.unwrap_or(f64::INFINITY);
        rows.sort_by(|&a, &b| loss(a).total_cmp(&loss(b)));
        rows
    }
}

/// One estimator compared with true retraining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Where the numbers come from.
    pub source: Source,
    /// True held-out loss of the recorded run.
    pub reference: f64,
    /// The agreement.
    pub agreement: Agreement,
    /// Hash, estimated and retrained held-out loss of each order.
    pub points: Vec<Point>,
    /// Median relative error of the parameters after each step, `[step]`; empty if not measured.
    pub error_growth: Vec<Option<f64>>,
}

/// An order estimated and retrained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Hash of the order.
    pub hash: Digest,
    /// Estimated held-out loss; `None` if it is not finite.
    pub estimated: Option<f64>,
    /// Held-out loss of true retraining.
    pub retrained: f64,
    /// ‖estimated − true‖ / ‖true − reference‖ of the final parameters.
    pub relative_error: Option<f64>,
}

impl Validation {
    /// The per-item agreement, if it was asked for and there is a signal.
    #[must_use]
    pub fn per_item(&self) -> Option<&PerItem> {
        self.agreement.per_item.as_ref()
    }
}

/// A search with the true losses of what it found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    /// Where the numbers come from.
    pub source: Source,
    /// What was found.
    pub found: Found,
    /// True losses of the best random orders; `None` if they were not retrained.
    pub best: Option<Verified>,
    /// True losses of the ends of descents.
    pub descents: Option<Verified>,
    /// Estimated loss of the winner, the found order with the lowest true loss, less the true loss of
    /// the recorded one.
    #[serde(default)]
    pub promised: Option<f64>,
    /// The winner's true loss against the recorded order's, on the split that was searched.
    #[serde(default)]
    pub kept: Option<Paired>,
    /// The verdict: the same orders on a split that the search did not look at.
    #[serde(default)]
    pub elsewhere: Option<Elsewhere>,
}

/// A search among rules that people choose, with true losses of the best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurriculaResult {
    /// Where the numbers come from.
    pub source: Source,
    /// Draws by which each rule is estimated.
    pub draws: usize,
    /// Random orders that were estimated, to compare with.
    pub random: usize,
    /// Mean of their estimates.
    pub random_mean: f64,
    /// Standard deviation of their estimates.
    pub random_sd: f64,
    /// The rules, the lowest mean estimate first.
    pub rules: Vec<Rule>,
    /// The split that an answer is judged by.
    pub elsewhere: HeldOut,
}

/// A rule that people choose, and what it comes to in the mean over its draws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// In words.
    pub name: String,
    /// The rule.
    pub curriculum: Curriculum,
    /// Mean estimated loss over its draws.
    pub estimate: f64,
    /// Standard deviation over them.
    pub sd: f64,
    /// True losses of other draws of it against random orders, on the split that was searched; `None`
    /// where it was not trained.
    pub searched: Option<Verified>,
    /// The same on the split that nothing was chosen by: the verdict.
    pub elsewhere: Option<Verified>,
}

/// What the place of each item does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecencyCurves {
    /// Where the numbers come from.
    pub source: Source,
    /// The items of the rows below.
    pub items: Vec<u32>,
    /// Estimated own loss of an item moved to a position, `[item][position]`.
    pub own: Vec<Vec<Option<f64>>>,
    /// Estimated held-out loss, `[item][position]`.
    pub held_out: Vec<Vec<Option<f64>>>,
    /// Estimated own loss of an item left out of the window, by item.
    pub absent: Vec<Option<f64>>,
    /// Agreement of own-loss curves with true retraining, if that was done.
    pub own_agreement: Option<CurveAgreement>,
    /// Agreement of held-out curves with true retraining.
    pub held_out_agreement: Option<CurveAgreement>,
    /// Whether an item's own curve varies by less than the estimator's residuals.
    pub flat: Vec<bool>,
}

/// The items whose positions move the held-out loss most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// Where the numbers come from.
    pub source: Source,
    /// Residual standard deviation of the held-out pilots that flatness is judged by.
    pub residual_sd: f64,
    /// Items, largest effect first.
    pub ranked: Vec<Influence>,
}

/// What an example is to a person's eye.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Look {
    /// A picture.
    Pixels {
        /// Pixels from top to bottom.
        height: usize,
        /// Pixels from left to right.
        width: usize,
        /// Row after row, 0 the darkest of the picture and 255 the brightest; red, green and blue of a pixel
        /// after one another where there are three times as many as pixels.
        values: Vec<u8>,
    },
    /// A text, or its tokens by their numbers.
    Text {
        /// The text, or its beginning.
        text: String,
    },
    /// The first numbers of an input.
    Numbers {
        /// The numbers.
        values: Vec<f64>,
        /// How many the input has.
        of: usize,
    },
}

/// An example that is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Its id.
    pub id: u32,
    /// Its class, or the name of its group, where it has one.
    pub label: Option<String>,
    /// What is seen.
    pub look: Look,
}

/// Items that help or harm most, with the first of their examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownItem {
    /// The item.
    pub item: u32,
    /// The first of its examples.
    pub examples: Vec<Shown>,
    /// How many it has.
    pub of: usize,
}

/// The ends of a ranking of items, to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Extremes {
    /// The most helpful items, the first the most.
    pub helpful: Vec<ShownItem>,
    /// The most harmful ones, the first the most.
    pub harmful: Vec<ShownItem>,
}

/// What leaving all items of a group out does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftGroup {
    /// Its name.
    pub name: String,
    /// Its items: those whose examples are all of it.
    pub items: Vec<u32>,
    /// Estimated change of the held-out loss without them; `None` where it is not finite.
    pub change: Option<f64>,
    /// 95 % interval of the change, as wide as that between two random subsets of the gate.
    pub interval: Option<Interval>,
}

/// What leaving items out, or weighing them otherwise, does to the held-out loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// Where the numbers come from; its gate are subsets.
    pub source: Source,
    /// True held-out loss of the recorded run.
    pub reference: f64,
    /// Share of the items that the gate's subsets keep.
    pub keep: f64,
    /// Every item left out alone, or made a little heavier, the most helpful first: without those the loss is
    /// highest, and with more weight lowest.
    pub alone: Vec<LeftOut>,
    /// Subsets and weights that were asked for.
    pub asked: Vec<AskedFor>,
    /// How well random subsets are foretold.
    pub datamodel: Option<Datamodel>,
    /// The items that do harm, left out together.
    pub found: Option<FoundSubset>,
    /// Every group of items left out; empty without groups, and of weights.
    #[serde(default)]
    pub groups: Vec<LeftGroup>,
    /// The ends of the ranking, to look at.
    #[serde(default)]
    pub shown: Option<Extremes>,
    /// Whether changes are those of a unit of weight, and not those of leaving out.
    #[serde(default)]
    pub by_weight: bool,
}

/// One item left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The item.
    pub item: u32,
    /// Ids of its examples.
    pub ids: Vec<u32>,
    /// Estimated change of the held-out loss: without the item; or, of weights, per unit of weight.
    /// `None` where it is not finite.
    pub change: Option<f64>,
    /// 95 % interval of the change without the item, as wide as that between two random subsets of the gate,
    /// which is too wide: a single item is less far from the run. `None` of weights, and outside validity.
    #[serde(default)]
    pub interval: Option<Interval>,
}

/// A subset or weights that a user asked about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskedFor {
    /// Items left out.
    pub without: Vec<u32>,
    /// Weights of all items; empty where none were given.
    pub weights: Vec<f64>,
    /// Estimated held-out loss; `None` where it is not finite.
    pub held_out: Option<f64>,
    /// Held-out loss of true training, where it was asked for.
    pub retrained: Option<f64>,
}

/// Estimates of random subsets beside true training on them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Datamodel {
    /// Subsets.
    pub subsets: usize,
    /// Items that each keeps.
    pub kept: usize,
    /// Each subset estimated as it is.
    pub direct: Agreement,
    /// Linear datamodeling score: Spearman correlation of the truth with the sum of the changes of
    /// the items left out, each estimated alone.
    pub linear: Option<f64>,
    /// Its 95 % interval.
    pub linear_interval: Option<Interval>,
    /// The same with gradient agreement in place of estimates (TracIn at every step), a baseline.
    pub tracin: Option<f64>,
    /// The same by influence functions with EK-FAC at the end of the run; `None` for networks that are no
    /// list of layers, and losses other than cross-entropy.
    #[serde(default)]
    pub ekfac: Option<f64>,
    /// The same where influence is the mean over the ends of the run and of all pilots.
    #[serde(default)]
    pub ekfac_of_runs: Option<f64>,
    /// The same by the kernel of the items' gradients there, as TRAK has it for one model.
    #[serde(default)]
    pub kernel: Option<f64>,
    /// The same in the mean over the ends of the run and of all pilots, as TRAK is over models.
    #[serde(default)]
    pub kernel_of_runs: Option<f64>,
    /// Mean over held-out examples of the Spearman correlation of the example's own loss, each subset
    /// estimated as it is.
    pub per_example: Option<f64>,
    /// Held-out examples with a correlation.
    pub examples: usize,
    /// As for examples, of the mean loss of each group of them.
    #[serde(default)]
    pub per_group: Option<f64>,
    /// Groups with a correlation; 0 without groups.
    #[serde(default)]
    pub groups: usize,
}

/// Items that do harm by estimate, left out together and trained without for true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundSubset {
    /// Items left out.
    pub without: Vec<u32>,
    /// Their change of the held-out loss as estimated.
    pub promised: f64,
    /// The change of true training, by held-out example.
    pub kept: Option<Paired>,
    /// The same on the split that nothing was chosen by.
    pub elsewhere: Option<Paired>,
    /// Random subsets of the same size, truly trained.
    pub random: usize,
    /// (found − mean of random) / sd of random, on the split that was looked at.
    pub difference_in_sd: Option<f64>,
    /// The same on the other split.
    pub elsewhere_in_sd: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAND: Band = Band { bias: 0.1, residual_sd: 0.2, pilots: 5 };

    #[test]
    fn a_diverged_prediction_is_null_with_a_reason() {
        let row = Row::new(ItemOrder::batches(&[1, 0]), f64::NAN, &[1.0], Ok(&BAND), 2.0);
        assert_eq!((row.held_out, row.interval, row.better_than_reference), (None, None, None));
        assert_eq!(row.reason.as_deref(), Some("the estimate is NaN: it diverged"));
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), row);
    }

    #[test]
    fn a_prediction_has_the_gates_interval_and_confidence() {
        let row = Row::new(ItemOrder::batches(&[1, 0]), 1.0, &[], Ok(&BAND), 2.0);
        assert_eq!((row.interval, row.corrected), (Some(BAND.interval(1.0)), Some(0.9)));
        assert!(row.better_than_reference.unwrap() > 0.95);
        // The recorded loss is known: in the middle of the interval it is as likely above as below.
        let middle = Row::new(ItemOrder::batches(&[1, 0]), 1.0, &[], Ok(&BAND), 0.9);
        assert_eq!(middle.better_than_reference, Some(0.5));
        let bare = Row::new(ItemOrder::batches(&[1, 0]), 1.0, &[], Err("outside validity"), 2.0);
        assert_eq!((bare.interval, bare.better_than_reference, bare.reason), (None, None, None));
        assert_eq!(bare.no_interval.as_deref(), Some("outside validity"));
    }
}
