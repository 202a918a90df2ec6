//! Lie bracket of items: what an order does to the held-out loss at leading order under SGD,
//! Σ_{s<t} η_s η_t c·H_{π_t} g_{π_s} − Σ_t η_t c·g_{π_t}, c the gradient of that loss at the end.
//!
//! The second sum is the same for every order at a constant rate. Two neighbours i, j change places
//! for θ(ij) − θ(ji) = η²(H_j g_i − H_i g_j) + O(η³): exact at leading order (Dherin 2023). With
//! momentum or Adam the path matters, so that it fits plain SGD only. It only ranks.

use stats::estimates::ItemOrder;
use tch::{Kind, Tensor};

use super::taylor::curvatures;
use crate::estimate::set_up::gradients_at_centre;
use crate::estimate::{Course, Problem};
use lab::LabError;

/// T gradients and T Hessian-vector products at one centre; afterwards an order costs T² additions.
#[derive(Debug)]
pub struct Bracket {
    /// `pairs[i][j]` = c·H_i g_j, item j before item i.
    pairs: Vec<Vec<f64>>,
    /// c·g_i.
    slopes: Vec<f64>,
    /// Learning rate by step.
    rates: Vec<f64>,
}

impl Bracket {
    /// Around `centre` (p), for the loss whose gradient at the end of the run is `towards` (p).
    ///
    /// # Errors
    /// When the rule is not SGD without momentum, weight decay and clipping, or a gradient is not
    /// finite.
    pub fn new<P: Problem + ?Sized>(
        problem: &P,
        course: &Course,
        centre: &Tensor,
        towards: &Tensor,
    ) -> Result<Self, LabError> {
        let rates = course.plain_rates().ok_or_else(|| {
            LabError::Order(
                "`bracket` ranks orders of SGD without momentum, weight decay and clipping; for \
                 other rules use `surrogate`"
                    .to_owned(),
            )
        })?;
        let gradients = gradients_at_centre(problem, centre)?;
        let items: Vec<usize> = (0..problem.items()).collect();
        let along = towards.f_unsqueeze(0)?.f_repeat([items.len() as i64, 1])?;
        // H is symmetric: c·H_i g_j = (H_i c)·g_j.
        let curved = curvatures(problem, &items, centre, &along)?;
        let pairs = curved.f_matmul(&gradients.f_tr()?)?.f_to_kind(Kind::Double)?;
        let slopes = gradients.f_mv(towards)?.f_to_kind(Kind::Double)?;
        let pairs: Vec<Vec<f64>> = Vec::try_from(&pairs)?;
        Ok(Self { pairs, slopes: Vec::try_from(&slopes)?, rates })
    }

    /// The held-out loss of each order, up to a constant that all share.
    ///
    /// # Errors
    /// When an order has more steps than the window, an empty step, or an item that is not there.
    pub fn scores(&self, orders: &[ItemOrder]) -> Result<Vec<f64>, LabError> {
        orders.iter().map(|order| self.score(order)).collect()
    }

    fn score(&self, order: &ItemOrder) -> Result<f64, LabError> {
        checked(order, self.rates.len(), self.slopes.len())?;
        // Σ_s η_s mean over the step's items, of what the steps so far add to each item's sum.
        let mut before = vec![0.0; self.slopes.len()];
        let mut score = 0.0;
        for (items, rate) in order.steps.iter().zip(&self.rates) {
            let mean = |of: &dyn Fn(usize) -> f64| {
                let sum: f64 = items.iter().map(|item| of(*item as usize)).sum();
                #[expect(clippy::cast_precision_loss, reason = "steps have few items")]
                let count = items.len() as f64;
                sum / count
            };
            score += rate * mean(&|item| before[item] - self.slopes[item]);
            for (sum, pairs) in before.iter_mut().zip(&self.pairs) {
                *sum += rate * mean(&|item| pairs[item]);
            }
        }
        Ok(score)
    }
}

/// That `order` fits a window of `steps` steps over `items` items.
///
/// # Errors
/// When it does not, with the step.
pub(super) fn checked(order: &ItemOrder, steps: usize, items: usize) -> Result<(), LabError> {
    let found = order.steps.len();
    if found > steps {
        return Err(LabError::Order(format!("an order of {found} steps, not {steps}")));
    }
    for (step, consumed) in order.steps.iter().enumerate() {
        if consumed.is_empty() {
            return Err(LabError::Order(format!("step {step} of an order consumes no item")));
        }
        if let Some(item) = consumed.iter().find(|item| **item as usize >= items) {
            return Err(LabError::Order(format!(
                "step {step} of an order names item {item} of {items}"
            )));
        }
    }
    Ok(())
}
