//! One centre, exact curvature on the fly: ĝ_i(θ) = g_i(c) + H_i(c)(θ − c). The ceiling of every
//! estimator with one centre; dearer than training again, never timed as a method.

use tch::Tensor;

use super::taylor::curvatures;
use super::{Oracle, mean_over_items};
use crate::estimate::Problem;
use crate::estimate::set_up::gradients_at_centre;
use lab::LabError;

/// The estimator.
#[derive(Debug)]
pub struct Linear<'a, P: Problem + ?Sized> {
    problem: &'a P,
    centre: Tensor,
    gradients: Tensor,
}

impl<'a, P: Problem + ?Sized> Linear<'a, P> {
    /// Around `centre` (p): one gradient per item.
    ///
    /// # Errors
    /// When a gradient there is not finite.
    pub fn new(problem: &'a P, centre: &Tensor) -> Result<Self, LabError> {
        let gradients = gradients_at_centre(problem, centre)?;
        Ok(Self { problem, centre: centre.shallow_clone(), gradients })
    }
}

impl<P: Problem + ?Sized> Oracle for Linear<'_, P> {
    fn gradients(
        &mut self,
        _: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        let away = theta.f_sub(&self.centre)?;
        mean_over_items(items, |chosen| {
            let numbers: Vec<i64> = chosen.iter().map(|item| *item as i64).collect();
            let numbers = Tensor::f_from_slice(&numbers)?.f_to_device(theta.device())?;
            let change = curvatures(self.problem, chosen, &self.centre, &away)?;
            Ok(self.gradients.f_index_select(0, &numbers)?.f_add(&change)?)
        })
    }
}
