//! What influence methods offer for orders (TracIn, Pruthi et al., arXiv:2002.08484, summed over a
//! new order): −Σ_t η_t c·g_{π_t}(θ_t), c the gradient of the held-out loss at the end of the
//! reference. No displacement is propagated: a baseline that only ranks.

use stats::estimates::ItemOrder;
use tch::{Kind, Tensor};

use super::bracket::checked;
use super::grid0::Grid;
use crate::estimate::Problem;
use crate::estimate::reference::Reference;
use lab::LabError;

/// c·g_i(θ_t) of every step and item: T² gradients.
#[derive(Debug)]
pub struct Score {
    /// η_t c·g_i(θ_t), by step and item.
    gains: Vec<Vec<f64>>,
    items: usize,
}

impl Score {
    /// Along `reference`, with the learning rate of each step, for the loss whose gradient at its
    /// end is `towards` (p).
    ///
    /// # Errors
    /// When there is not one rate per step, or libtorch refuses an operation.
    pub fn new<P: Problem + ?Sized>(
        problem: &P,
        reference: &Reference,
        rates: &[f64],
        towards: &Tensor,
    ) -> Result<Self, LabError> {
        if rates.len() != reference.steps() {
            let (found, steps) = (rates.len(), reference.steps());
            return Err(LabError::Order(format!("{found} learning rates for {steps} steps")));
        }
        let items: Vec<usize> = (0..problem.items()).collect();
        let mut gains = Vec::new();
        for (step, rate) in rates.iter().enumerate() {
            // A grid of its own for each step: only its products are kept.
            let gradients = Grid::new(problem, reference).at(step, &items)?;
            let row = gradients.f_mv(towards)?.f_mul_scalar(*rate)?.f_to_kind(Kind::Double)?;
            gains.push(Vec::try_from(&row)?);
        }
        Ok(Self { gains, items: items.len() })
    }

    /// The held-out loss of each order, up to a constant that all share.
    ///
    /// # Errors
    /// When an order does not fit the window.
    pub fn scores(&self, orders: &[ItemOrder]) -> Result<Vec<f64>, LabError> {
        orders.iter().map(|order| self.score(order)).collect()
    }

    fn score(&self, order: &ItemOrder) -> Result<f64, LabError> {
        checked(order, self.gains.len(), self.items)?;
        let steps = order.steps.iter().zip(&self.gains).map(|(items, gains)| {
            let sum: f64 = items.iter().map(|item| gains[*item as usize]).sum();
            #[expect(clippy::cast_precision_loss, reason = "steps have few items")]
            let count = items.len() as f64;
            -sum / count
        });
        Ok(steps.sum())
    }
}
