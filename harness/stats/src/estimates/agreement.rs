//! How well estimated orders agree with truly retrained ones.
//!
//! The headline is Spearman's rank correlation over orders the estimator never saw, with an
//! interval, and never alone: beside it stand the error of the parameters relative to the distance
//! from the reference, and the mean error of the loss beside that of the null "every order ends
//! like the reference". Where the estimates do not vary, there is no correlation to report.

mod rank;

pub use rank::{Interval, spearman, spearman_interval};

use serde::{Deserialize, Serialize};

use super::EstimateError;
use super::error::{check_finite, check_length};
use super::moments::{mean, median, sd};

/// Fewest orders of a validation: the interval of a Spearman correlation needs four.
pub const FEWEST_ORDERS: usize = 4;

/// sd of the estimates below this share of the pilots' sd is rounding noise.
const LEAST_SHARE: f64 = 1e-3;
/// sd of the estimates below this share of the loss is rounding noise.
const LEAST_OF_LOSS: f64 = 1e-6;

/// Whether estimates vary with the order at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// They do.
    Present,
    /// Their spread is that of rounding: a correlation of it would mean nothing.
    NoOrderSignal,
    /// An estimate is not finite, or the parameters are further off than the reference is.
    Failed,
}

/// Whether `estimates` vary: "no order signal" if their sd is below 10⁻³ of the sd of the pilots'
/// true losses or below 10⁻⁶ of the loss; failed if one is not finite, or the median relative error
/// of the parameters is above 1.
#[must_use]
pub fn signal(estimates: &[f64], pilot_sd: f64, relative_error: Option<f64>) -> Signal {
    if estimates.iter().any(|estimate| !estimate.is_finite()) {
        return Signal::Failed;
    }
    let spread = sd(estimates);
    // `<=` at zero: estimates that are all equal never have a signal, whatever the pilots do.
    let noise = (LEAST_SHARE * pilot_sd).max(LEAST_OF_LOSS * mean(estimates).abs());
    if spread == 0.0 || spread < noise {
        return Signal::NoOrderSignal;
    }
    match relative_error {
        Some(error) if error.is_nan() || error > 1.0 => Signal::Failed,
        _ => Signal::Present,
    }
}

/// Distances of estimated and true final parameters, one value an order.
#[derive(Debug, Clone, Copy)]
pub struct Parameters<'a> {
    /// ‖estimated − true‖ / ‖true − reference‖.
    pub relative_errors: &'a [f64],
    /// Cosine of (estimated − reference) and (true − reference).
    pub cosines: &'a [f64],
}

/// What is compared: one value an order in every column.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    /// Estimated held-out losses; may be non-finite where the estimator diverged.
    pub estimated: &'a [f64],
    /// Held-out losses of true retraining.
    pub retrained: &'a [f64],
    /// Held-out loss of the reference run: what the null predicts.
    pub reference: f64,
    /// Standard deviation of the pilots' true held-out losses.
    pub pilot_sd: f64,
    /// Distances of the final parameters; `None` for estimators that give none.
    pub parameters: Option<Parameters<'a>>,
    /// Estimated and retrained own losses `[order][item]`; empty if not asked for.
    pub own: (&'a [Vec<f64>], &'a [Vec<f64>]),
}

/// Agreement of estimates with true retraining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Orders compared.
    pub orders: usize,
    /// Whether the estimates vary; only then there are correlations.
    pub signal: Signal,
    /// Why there is no correlation, in words.
    pub reason: Option<String>,
    /// Median over orders of the relative error of the parameters.
    pub relative_error: Option<f64>,
    /// Median over orders of the cosine of the displacements.
    pub cosine: Option<f64>,
    /// Spearman correlation of the held-out loss.
    pub held_out: Option<f64>,
    /// Its 95 % interval.
    pub held_out_interval: Option<Interval>,
    /// Mean over items of the Spearman correlation of the item's own loss.
    pub per_item: Option<PerItem>,
    /// Mean |estimate − truth| of the held-out loss over the sd of the truth.
    pub mae_over_sd: Option<f64>,
    /// The same of the null "every order ends like the reference".
    pub null_mae_over_sd: Option<f64>,
}

/// Spearman correlations of the items' own losses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PerItem {
    /// Mean over items.
    pub mean: f64,
    /// Smallest over items.
    pub min: f64,
    /// 95 % interval of the mean, as wide as that of a single item: the items share their orders,
    /// so their mean is not surer than independent items would make it.
    pub interval: Interval,
    /// Items with a correlation.
    pub items: usize,
    /// Items whose estimated or true losses do not vary; they have none.
    pub flat: usize,
}

impl Agreement {
    /// Compares estimates with true retraining.
    ///
    /// # Errors
    /// For fewer than four orders, columns of different lengths, and true values that are not
    /// finite.
    pub fn of(compared: &Compared) -> Result<Self, EstimateError> {
        let Compared { estimated, retrained, reference, pilot_sd, parameters, own } = *compared;
        let orders = retrained.len();
        if orders < FEWEST_ORDERS {
            let (what, needed, unit) = ("a comparison with retraining", FEWEST_ORDERS, "orders");
            return Err(EstimateError::TooFew { what, needed, unit, found: orders });
        }
        check_length("estimated losses", estimated.len(), orders)?;
        check_finite("retrained loss of order", retrained)?;
        check_finite("reference loss", &[reference])?;
        check_finite("sd of the pilots", &[pilot_sd])?;
        let (relative_error, cosine) = distances(parameters, orders)?;
        let signal = signal(estimated, pilot_sd, relative_error);
        let spread = sd(retrained);
        let over_sd = |guess: &dyn Fn(usize) -> f64| {
            let off: Vec<f64> =
                retrained.iter().enumerate().map(|(m, loss)| (guess(m) - loss).abs()).collect();
            Some(mean(&off) / spread).filter(|ratio| ratio.is_finite())
        };
        let mut found = Self {
            orders,
            signal,
            reason: reason(estimated, signal, relative_error, spread),
            relative_error: relative_error.filter(|error| error.is_finite()),
            cosine: cosine.filter(|cosine| cosine.is_finite()),
            held_out: None,
            held_out_interval: None,
            per_item: None,
            mae_over_sd: over_sd(&|m| estimated[m]),
            null_mae_over_sd: over_sd(&|_| reference),
        };
        if signal == Signal::Present && spread > 0.0 {
            let r = spearman(estimated, retrained)?;
            found.held_out = r;
            found.held_out_interval = r.map(|r| spearman_interval(r, orders));
            found.per_item = per_item(own.0, own.1, orders)?;
        }
        Ok(found)
    }
}

fn distances(
    parameters: Option<Parameters>,
    orders: usize,
) -> Result<(Option<f64>, Option<f64>), EstimateError> {
    let Some(Parameters { relative_errors, cosines }) = parameters else { return Ok((None, None)) };
    check_length("relative errors", relative_errors.len(), orders)?;
    check_length("cosines", cosines.len(), orders)?;
    // A NaN sorts last, so that it can only make the median worse.
    Ok((Some(median(relative_errors)), Some(median(cosines))))
}

fn reason(estimated: &[f64], signal: Signal, error: Option<f64>, spread: f64) -> Option<String> {
    match signal {
        Signal::NoOrderSignal => Some(format!(
            "the estimates have a standard deviation of {:.1e}, which is rounding: this estimator \
             does not see the order here",
            sd(estimated)
        )),
        Signal::Failed => Some(match estimated.iter().position(|value| !value.is_finite()) {
            Some(order) => format!("the estimate of order {order} is {}", estimated[order]),
            None => format!(
                "the median relative error of the parameters is {:.2}: above 1 the reference is \
                 the better guess",
                error.unwrap_or(f64::NAN)
            ),
        }),
        Signal::Present if spread == 0.0 => {
            Some("all orders were retrained to the same loss: there is no order effect".into())
        }
        Signal::Present => None,
    }
}

fn per_item(
    estimated: &[Vec<f64>],
    retrained: &[Vec<f64>],
    orders: usize,
) -> Result<Option<PerItem>, EstimateError> {
    if estimated.is_empty() && retrained.is_empty() {
        return Ok(None);
    }
    check_length("estimated own losses", estimated.len(), orders)?;
    check_length("retrained own losses", retrained.len(), orders)?;
    let items = retrained.first().map_or(0, Vec::len);
    for row in estimated.iter().chain(retrained) {
        check_length("own losses of an order", row.len(), items)?;
    }
    let (mut found, mut flat) = (Vec::new(), 0);
    for item in 0..items {
        let column = |rows: &[Vec<f64>]| rows.iter().map(|row| row[item]).collect::<Vec<f64>>();
        let (guess, truth) = (column(estimated), column(retrained));
        check_finite("retrained own loss of order", &truth)?;
        let still = signal(&truth, 0.0, None) != Signal::Present;
        match signal(&guess, sd(&truth), None) {
            Signal::Present if !still => found.extend(spearman(&guess, &truth)?),
            _ => flat += 1,
        }
    }
    if found.is_empty() {
        return Ok(None);
    }
    let average = mean(&found);
    let min = found.iter().copied().fold(1.0, f64::min);
    let interval = spearman_interval(average, orders);
    Ok(Some(PerItem { mean: average, min, interval, items: found.len(), flat }))
}

#[cfg(test)]
mod tests;
