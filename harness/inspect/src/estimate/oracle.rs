//! The seat of an estimator: what the gradients would have been.

pub mod bracket;
pub mod brought;
pub mod diagonal;
pub mod frozen;
pub mod grid0;
pub mod linear;
pub mod low_rank;
pub mod null;
pub mod projection;
pub mod replay;
pub mod score;
pub mod surrogate;
pub mod taylor;
pub mod weighted;

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

/// The true gradients: training itself, which all estimators are compared with. Orders that move
/// together are one stacked network, so that this is the peer that a speed-up has to be counted
/// against.
#[derive(Debug)]
pub struct Exact<'a, P: Problem + ?Sized>(pub &'a P);

impl<P: Problem + ?Sized> Oracle for Exact<'_, P> {
    fn gradients(
        &mut self,
        _: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        if items.iter().any(|row| row.len() > 1)
            && let Some(all) = self.0.steps(items, theta)?
        {
            return Ok(all);
        }
        mean_over_items(items, |chosen| self.0.gradients(chosen, theta))
    }
}

/// Row m: the mean over `items[m]` of what `each` gives; it is asked with one item per row at a
/// time. Rows may have different numbers of items: one that has no more is asked for its first again,
/// which then does not count.
///
/// # Errors
/// When a row has no item, or `each` fails.
pub fn mean_over_items(
    items: &[&[u32]],
    mut each: impl FnMut(&[usize]) -> Result<Tensor, LabError>,
) -> Result<Tensor, LabError> {
    let slots = items.iter().map(|row| row.len()).max().unwrap_or(0);
    if slots == 0 || items.iter().any(|row| row.is_empty()) {
        return Err(LabError::Order("a step without items".to_owned()));
    }
    let ragged = items.iter().any(|row| row.len() != slots);
    let mut sum: Option<Tensor> = None;
    for slot in 0..slots {
        let chosen: Vec<usize> =
            items.iter().map(|row| row.get(slot).map_or(row[0], |item| *item) as usize).collect();
        let mut gradient = each(&chosen)?;
        if ragged {
            let counts: Vec<f64> =
                items.iter().map(|row| f64::from(u8::from(slot < row.len()))).collect();
            gradient = gradient.f_mul(&by_row(&counts, &gradient)?)?;
        }
        sum = Some(match sum {
            Some(sum) => sum.f_add(&gradient)?,
            None => gradient,
        });
    }
    let sum = sum.ok_or_else(|| LabError::Order("a step without items".to_owned()))?;
    #[expect(clippy::cast_precision_loss, reason = "steps have far fewer than 2^52 items")]
    Ok(match (slots, ragged) {
        (_, true) => {
            let counts: Vec<f64> = items.iter().map(|row| row.len() as f64).collect();
            sum.f_div(&by_row(&counts, &sum)?)?
        }
        (1, false) => sum,
        (_, false) => sum.f_div_scalar(slots as f64)?,
    })
}

/// A factor for each row of `like` (M × p), M × 1.
fn by_row(factors: &[f64], like: &Tensor) -> Result<Tensor, LabError> {
    let factors = Tensor::f_from_slice(factors)?.f_to_kind(like.kind())?;
    Ok(factors.f_unsqueeze(1)?.f_to_device(like.device())?)
}
