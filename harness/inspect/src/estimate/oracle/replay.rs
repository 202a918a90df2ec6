//! Replay: an item's gradient is what it was in the reference run, ĝ_i(θ) = g_i(θ_s) with s the step
//! at which the reference consumed it.
//!
//! Under SGD at a constant rate the sum of the same updates is the same in every order: it predicts
//! exactly nothing, up to rounding ([`predicts_nothing`]).

use tch::{Kind, Tensor};

use super::{Oracle, mean_over_items};
use crate::estimate::reference::Reference;
use lab::LabError;

/// Share of the way gone below which a difference between orders is rounding.
pub const ROUNDING: f64 = 1e-4;

/// The estimator.
#[derive(Debug)]
pub struct Replay<'a>(pub &'a Reference);

impl Oracle for Replay<'_> {
    fn gradients(&mut self, _: usize, items: &[&[u32]], _: &Tensor) -> Result<Tensor, LabError> {
        mean_over_items(items, |chosen| {
            let rows = chosen.iter().map(|item| self.0.gradient(*item));
            Ok(Tensor::f_stack(&rows.collect::<Result<Vec<_>, _>>()?, 0)?)
        })
    }
}

/// Whether estimated ends (M × p) differ from the reference's end by no more than rounding, so that
/// a rank correlation of them would be one of noise: the largest distance is below
/// [`ROUNDING`] of the distance that the reference itself went.
///
/// # Errors
/// When the shapes do not fit.
pub fn predicts_nothing(ends: &Tensor, reference: &Reference) -> Result<bool, LabError> {
    let (start, end) = (reference.at(0)?, reference.end()?);
    let way = end.f_sub(&start)?.f_norm()?.f_double_value(&[])?;
    let away = ends.f_sub(&end)?.f_norm_scalaropt_dim(2.0, [1], false)?;
    let furthest = away.f_to_kind(Kind::Double)?.f_max()?.f_double_value(&[])?;
    // Not `furthest > …`: ends that are not finite are no rounding.
    Ok(furthest <= ROUNDING * way)
}
