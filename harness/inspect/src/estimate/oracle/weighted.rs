//! Other weights of the items: ĝ of a step is Σ w_i ĝ_i / n over its n items, where an item of
//! weight 1 counts as in training.
//!
//! A weight of 0 takes an item's gradient away, but not its step: momenta decay and moments age as
//! they would under a gradient of 0. Without the item, the step is not taken at all (a batch), or is
//! the mean over the others (an example): that is an order that does not hold it.

use tch::Tensor;

use super::{Oracle, by_row};
use lab::LabError;

/// The gradients of another estimator, weighted.
pub struct Weighted<'a> {
    /// Estimates each item's gradient.
    pub oracle: Box<dyn Oracle + 'a>,
    /// Weights of all items, by row of what is driven together.
    pub weights: &'a [Vec<f64>],
}

impl std::fmt::Debug for Weighted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Weighted").field("rows", &self.weights.len()).finish_non_exhaustive()
    }
}

impl Oracle for Weighted<'_> {
    fn gradients(
        &mut self,
        step: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        let slots = items.first().map_or(0, |row| row.len());
        let (rows, given) = (items.len(), self.weights.len());
        if slots == 0 || rows != given || items.iter().any(|row| row.len() != slots) {
            return Err(LabError::Order(format!(
                "weights of {given} runs for {rows} that move together, in steps of one size"
            )));
        }
        let mut sum: Option<Tensor> = None;
        for slot in 0..slots {
            let chosen: Vec<&[u32]> = items.iter().map(|row| &row[slot..=slot]).collect();
            let gradient = self.oracle.gradients(step, &chosen, theta)?;
            let weight = |(row, items): (&Vec<f64>, &&[u32])| {
                row.get(items[slot] as usize).copied().unwrap_or(f64::NAN)
            };
            let weights: Vec<f64> = self.weights.iter().zip(items).map(weight).collect();
            let gradient = gradient.f_mul(&by_row(&weights, &gradient)?)?;
            sum = Some(match sum {
                Some(sum) => sum.f_add(&gradient)?,
                None => gradient,
            });
        }
        let sum = sum.ok_or_else(|| LabError::Order("a step without items".to_owned()))?;
        #[expect(clippy::cast_precision_loss, reason = "steps have far fewer than 2^52 items")]
        Ok(if slots == 1 { sum } else { sum.f_div_scalar(slots as f64)? })
    }
}
