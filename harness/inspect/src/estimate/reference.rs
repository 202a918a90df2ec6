//! What estimates around a reference run know of it: where it went, and every item's gradient there.

use stats::estimates::ItemOrder;
use tch::Tensor;

use super::oracle::mean_over_items;
use super::{Course, Oracle, Problem};
use lab::LabError;

/// A run in one order, θ_0 … θ_T, with the gradients it took.
#[derive(Debug)]
pub struct Reference {
    /// Its order.
    pub order: ItemOrder,
    /// Parameters before every step and after the last, (T + 1) × p.
    pub path: Tensor,
    /// By item: its gradient where the run consumed it, shape p; absent for items it never did.
    gradients: Vec<Option<Tensor>>,
}

impl Reference {
    /// Truly follows `order` from `start` (p): T gradients per item of a step.
    ///
    /// # Errors
    /// When the order consumes an item twice, or libtorch refuses an operation.
    pub fn take<P: Problem + ?Sized>(
        course: &mut Course,
        problem: &P,
        order: &ItemOrder,
        start: &Tensor,
    ) -> Result<Self, LabError> {
        let mut recording = Recording { problem, gradients: Vec::new() };
        recording.gradients.resize_with(problem.items(), || None);
        let mut path = Vec::new();
        let orders = std::slice::from_ref(order);
        let _ = course.drive(&mut recording, orders, start, &mut |_, _, theta| {
            path.push(theta.copy());
            Ok(())
        })?;
        let path = Tensor::f_cat(&path, 0)?;
        Ok(Self { order: order.clone(), path, gradients: recording.gradients })
    }

    /// Steps, T.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.order.steps.len()
    }

    /// θ_t, shape p.
    ///
    /// # Errors
    /// When the run has no step `step`.
    pub fn at(&self, step: usize) -> Result<Tensor, LabError> {
        if step > self.steps() {
            let steps = self.steps();
            return Err(LabError::Order(format!("step {step} of a reference of {steps} steps")));
        }
        Ok(self.path.f_get(step as i64)?)
    }

    /// Where the run ended, shape p.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn end(&self) -> Result<Tensor, LabError> {
        self.at(self.steps())
    }

    /// The mean of the points that it passed, shape p: a centre that costs nothing.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn centre(&self) -> Result<Tensor, LabError> {
        Ok(self.path.f_mean_dim(0, false, self.path.kind())?)
    }

    /// The recorded gradient of an item, shape p.
    ///
    /// # Errors
    /// When the run never consumed it.
    pub fn gradient(&self, item: usize) -> Result<&Tensor, LabError> {
        self.gradients
            .get(item)
            .and_then(Option::as_ref)
            .ok_or_else(|| LabError::Order(format!("the reference run never consumed item {item}")))
    }

    /// The gradient that the update rule was handed at a step, before clipping, 1 × p.
    ///
    /// # Errors
    /// When the run has no step `step`.
    pub fn handed(&self, step: usize) -> Result<Tensor, LabError> {
        let items = self.order.steps.get(step).ok_or_else(|| {
            let steps = self.steps();
            LabError::Order(format!("step {step} of a reference of {steps} steps"))
        })?;
        mean_over_items(&[items], |chosen| Ok(self.gradient(chosen[0])?.f_unsqueeze(0)?))
    }
}

/// The true gradients of one order, kept.
struct Recording<'a, P: Problem + ?Sized> {
    problem: &'a P,
    gradients: Vec<Option<Tensor>>,
}

impl<P: Problem + ?Sized> Oracle for Recording<'_, P> {
    fn gradients(
        &mut self,
        _: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        let Self { problem, gradients } = self;
        mean_over_items(items, |chosen| {
            let item = chosen[0];
            let gradient = problem.gradients(chosen, theta)?;
            let slot = gradients.get_mut(item).ok_or_else(|| {
                let items = problem.items();
                LabError::Order(format!("the reference order names item {item} of {items}"))
            })?;
            if slot.replace(gradient.f_get(0)?.copy()).is_some() {
                return Err(LabError::Order(format!(
                    "the reference order consumes item {item} twice; number its second use as an \
                     item of its own"
                )));
            }
            Ok(gradient)
        })
    }
}
