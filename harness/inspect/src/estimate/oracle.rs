//! The seat of an estimator: what the gradients would have been.

pub mod bracket;
pub mod brought;
pub mod diagonal;
pub mod frozen;
pub mod grid0;
pub mod linear;
pub mod null;
pub mod projection;
pub mod replay;
pub mod score;
pub mod surrogate;
pub mod taylor;

use tch::Tensor;

use super::Problem;
use lab::LabError;

/// An estimator.
pub trait Oracle {
    /// M × p: row m is the gradient that the update rule is handed at `step` of the window, where
    /// the parameters are row m of `theta` (M × p) and the step consumes `items[m]`; the mean over
    /// the items where there are several.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn gradients(
        &mut self,
        step: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError>;
}

/// The true gradients: training itself, which all estimators are compared with.
#[derive(Debug)]
pub struct Exact<'a, P: Problem + ?Sized>(pub &'a P);

impl<P: Problem + ?Sized> Oracle for Exact<'_, P> {
    fn gradients(
        &mut self,
        _: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        mean_over_items(items, |chosen| self.0.gradients(chosen, theta))
    }
}

/// Row m: the mean over `items[m]` of what `each` gives; it is asked with one item per row at a
/// time.
///
/// # Errors
/// When rows have different numbers of items, or `each` fails.
pub fn mean_over_items(
    items: &[&[u32]],
    mut each: impl FnMut(&[usize]) -> Result<Tensor, LabError>,
) -> Result<Tensor, LabError> {
    let slots = items.first().map_or(0, |first| first.len());
    if slots == 0 || items.iter().any(|row| row.len() != slots) {
        return Err(LabError::Order("orders take steps of different sizes at once".to_owned()));
    }
    let mut sum: Option<Tensor> = None;
    for slot in 0..slots {
        let chosen: Vec<usize> = items.iter().map(|row| row[slot] as usize).collect();
        let gradient = each(&chosen)?;
        sum = Some(match sum {
            Some(sum) => sum.f_add(&gradient)?,
            None => gradient,
        });
    }
    let sum = sum.ok_or_else(|| LabError::Order("a step without items".to_owned()))?;
    #[expect(clippy::cast_precision_loss, reason = "steps have far fewer than 2^52 items")]
    Ok(if slots == 1 { sum } else { sum.f_div_scalar(slots as f64)? })
}
