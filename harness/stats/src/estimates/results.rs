//! The documents of estimates: what the verbs write and the reports draw.
//!
//! A number that is not finite is null in JSON, and a reason in words stands beside it.

use serde::{Deserialize, Serialize};

use super::agreement::{Agreement, Interval, PerItem};
use super::attribution::Influence;
use super::cost::Cost;
use super::curves::CurveAgreement;
use super::orders::ItemOrder;
use super::search::{Found, Verified};
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
    /// Seed of the pilots, the gate and the orders.
    pub seed: u64,
    /// Pilots that the estimator was made from.
    pub pilots: usize,
    /// The verdict of the gate.
    pub validity: Validity,
    /// What it costs; `None` where it was not measured.
    pub cost: Option<Cost>,
    /// What a reader must know.
    pub warnings: Vec<String>,
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
    /// Why there is none.
    pub reason: Option<String>,
    /// 95 % prediction interval of the held-out loss of true retraining.
    pub interval: Option<Interval>,
    /// Predicted own loss of each item; empty if not asked for.
    pub own: Vec<Option<f64>>,
    /// Confidence that the order truly ends with a lower held-out loss than the reference.
    pub better_than_reference: Option<f64>,
}

impl Row {
    /// A row of a predicted loss, with interval and confidence where a gate gives them;
    /// `reference` is the estimated loss of the reference order.
    #[must_use]
    pub fn new(
        order: ItemOrder,
        held_out: f64,
        own: &[f64],
        band: Option<&Band>,
        reference: f64,
    ) -> Self {
        let known = held_out.is_finite().then_some(held_out);
        Self {
            hash: order.hash(),
            order,
            held_out: known,
            reason: known.is_none().then(|| format!("the estimate is {held_out}: it diverged")),
            interval: band.zip(known).map(|(band, loss)| band.interval(loss)),
            own: own.iter().map(|&loss| loss.is_finite().then_some(loss)).collect(),
            better_than_reference: band
                .zip(known)
                .filter(|_| reference.is_finite())
                .map(|(band, loss)| band.confidence_below(loss, reference)),
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

#[cfg(test)]
mod tests {
    use super::*;

    const BAND: Band = Band { bias: 0.1, residual_sd: 0.2, pilots: 5 };

    #[test]
    fn a_diverged_prediction_is_null_with_a_reason() {
        let row = Row::new(ItemOrder::batches(&[1, 0]), f64::NAN, &[1.0], Some(&BAND), 2.0);
        assert_eq!((row.held_out, row.interval, row.better_than_reference), (None, None, None));
        assert_eq!(row.reason.as_deref(), Some("the estimate is NaN: it diverged"));
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), row);
    }

    #[test]
    fn a_prediction_has_the_gates_interval_and_confidence() {
        let row = Row::new(ItemOrder::batches(&[1, 0]), 1.0, &[], Some(&BAND), 2.0);
        assert_eq!(row.interval, Some(BAND.interval(1.0)));
        assert!(row.better_than_reference.unwrap() > 0.95);
        let bare = Row::new(ItemOrder::batches(&[1, 0]), 1.0, &[], None, 2.0);
        assert_eq!((bare.interval, bare.better_than_reference, bare.reason), (None, None, None));
    }
}
