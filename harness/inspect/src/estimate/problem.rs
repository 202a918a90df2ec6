//! Items and losses, as far as estimates see them.

use tch::Tensor;

use lab::LabError;

/// What an order is made of: items with gradients, and losses to predict.
///
/// Parameters are a flat vector θ of shape p; everything is in the kind (f32 or f64) of what it is
/// asked at. An item is a batch or a single example; its loss is the mean over its examples.
pub trait Problem {
    /// Number of items; they are numbered from 0.
    fn items(&self) -> usize;

    /// Number of parameters, p.
    fn parameters(&self) -> i64;

    /// ∇L_i(θ), shape p.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn gradient(&self, item: usize, at: &Tensor) -> Result<Tensor, LabError>;

    /// Row e: the gradient of item `items[e]` at row e of `at` (E × p). Networks that can be
    /// stacked take all rows at once.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn gradients(&self, items: &[usize], at: &Tensor) -> Result<Tensor, LabError> {
        let rows = (0_i64..).zip(items).map(|(row, item)| self.gradient(*item, &at.f_get(row)?));
        Ok(Tensor::f_stack(&rows.collect::<Result<Vec<_>, LabError>>()?, 0)?)
    }

    /// Row e: the gradient at row e of `at` (E × p) of a step over all examples of `items[e]` at
    /// once, as training takes it; `None` where steps differ in size or networks cannot be stacked.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn steps(&self, _items: &[&[u32]], _at: &Tensor) -> Result<Option<Tensor>, LabError> {
        Ok(None)
    }

    /// (H_i(θ)Q)ᵀ for the columns of `basis` (p × k), exact, k × p; `None` where only differences of
    /// gradients are to be had at a price worth paying.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn columns(
        &self,
        _item: usize,
        _at: &Tensor,
        _basis: &Tensor,
    ) -> Result<Option<Tensor>, LabError> {
        Ok(None)
    }

    /// H_i(θ)v, exact, shape p.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn curvature(&self, item: usize, at: &Tensor, along: &Tensor) -> Result<Tensor, LabError>;

    /// D³L_i(θ)[v, v], exact, shape p.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn third(&self, item: usize, at: &Tensor, along: &Tensor) -> Result<Tensor, LabError>;

    /// The held-out loss at each row of `at` (E × p).
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn held_out(&self, at: &Tensor) -> Result<Vec<f64>, LabError>;

    /// Gradient of the held-out loss, shape p.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn held_out_gradient(&self, at: &Tensor) -> Result<Tensor, LabError>;

    /// The held-out gradient at each row of `at` (E × p). Networks that can be stacked take all rows
    /// at once.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn held_out_gradients(&self, at: &Tensor) -> Result<Tensor, LabError> {
        let rows = at.size().first().copied().unwrap_or(0);
        let rows = (0..rows).map(|row| self.held_out_gradient(&at.f_get(row)?));
        Ok(Tensor::f_stack(&rows.collect::<Result<Vec<_>, LabError>>()?, 0)?)
    }

    /// As [`Problem::columns`], of the held-out loss.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn held_out_columns(&self, _at: &Tensor, _basis: &Tensor) -> Result<Option<Tensor>, LabError> {
        Ok(None)
    }

    /// An item's own loss at each row of `at` (E × p).
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn own(&self, item: usize, at: &Tensor) -> Result<Vec<f64>, LabError>;
}
