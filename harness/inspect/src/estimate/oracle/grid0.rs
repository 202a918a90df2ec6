//! The grid of T² gradients along the reference run, g_i(θ_t), and the estimator that stops there:
//! ĝ_i(θ) = g_i(θ_t), Yang et al. (arXiv:2505.22042), stage 2 without its derivatives.

use std::collections::BTreeSet;

use tch::Tensor;

use super::{Oracle, mean_over_items};
use crate::estimate::Problem;
use crate::estimate::reference::Reference;
use lab::LabError;

/// g_i(θ_t), taken when first asked for and kept: up to steps × items × p numbers.
#[derive(Debug)]
pub struct Grid<'a, P: Problem + ?Sized> {
    problem: &'a P,
    reference: &'a Reference,
    taken: Vec<Vec<Option<Tensor>>>,
}

impl<'a, P: Problem + ?Sized> Grid<'a, P> {
    /// An empty grid along `reference`.
    #[must_use]
    pub fn new(problem: &'a P, reference: &'a Reference) -> Self {
        // The end of the run is a point of secants too.
        let row = || std::iter::repeat_with(|| None).take(problem.items()).collect();
        let taken = std::iter::repeat_with(row).take(reference.steps() + 1).collect();
        Self { problem, reference, taken }
    }

    /// The problem.
    #[must_use]
    pub fn problem(&self) -> &'a P {
        self.problem
    }

    /// The run along which it lies.
    #[must_use]
    pub fn reference(&self) -> &'a Reference {
        self.reference
    }

    /// Gradients taken so far.
    #[must_use]
    pub fn gradients_taken(&self) -> usize {
        self.taken.iter().flatten().flatten().count()
    }

    /// Row e: the gradient of item `items[e]` at θ_t, E × p.
    ///
    /// # Errors
    /// When there is no such step or item.
    pub fn at(&mut self, step: usize, items: &[usize]) -> Result<Tensor, LabError> {
        let theta = self.reference.at(step)?;
        let count = self.problem.items();
        if let Some(item) = items.iter().find(|item| **item >= count) {
            return Err(LabError::Order(format!("an order names item {item} of {count}")));
        }
        let row = &mut self.taken[step];
        let missing: BTreeSet<usize> =
            items.iter().copied().filter(|item| row[*item].is_none()).collect();
        let missing: Vec<usize> = missing.into_iter().collect();
        if !missing.is_empty() {
            let rows = theta.f_unsqueeze(0)?.f_repeat([missing.len() as i64, 1])?;
            let gradients = self.problem.gradients(&missing, &rows)?;
            for (index, item) in (0..).zip(&missing) {
                row[*item] = Some(gradients.f_get(index)?.copy());
            }
        }
        let rows: Vec<&Tensor> = items.iter().filter_map(|item| row[*item].as_ref()).collect();
        Ok(Tensor::f_stack(&rows, 0)?)
    }
}

impl<P: Problem + ?Sized> Oracle for Grid<'_, P> {
    fn gradients(&mut self, step: usize, items: &[&[u32]], _: &Tensor) -> Result<Tensor, LabError> {
        mean_over_items(items, |chosen| self.at(step, chosen))
    }
}
