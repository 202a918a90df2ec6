//! Curvature as the published framework takes it: finite differences along the reference run,
//! value by value (Yang et al., arXiv:2505.22042, appendix B.1 as its reviews quote it; that the
//! quotient of two vectors is meant element-wise is this project's reading). A baseline.
//!
//! h_i(t) = (g_i(θ_t) − g_i(θ_{t−1})) / (θ_t − θ_{t−1}), and the third order by the same quotient of
//! h. The first step, which has none before it, uses the one after it.

use tch::Tensor;

use super::grid0::Grid;
use super::projection::{Projection, displacement, term};
use super::{Oracle, mean_over_items};
use crate::estimate::Problem;
use crate::estimate::reference::Reference;
use lab::LabError;

/// `taylor-diagonal`: ĝ_i(θ) = g_i(θ_t) + h_i(t)δ [+ ½ h′_i(t)δ²]; moments and momenta are recomputed.
#[derive(Debug)]
pub struct Diagonal<'a, P: Problem + ?Sized> {
    grid: Grid<'a, P>,
    second: bool,
    projection: Option<Projection>,
}

impl<'a, P: Problem + ?Sized> Diagonal<'a, P> {
    /// Along `reference`; to second order where `second` says so.
    #[must_use]
    pub fn new(
        problem: &'a P,
        reference: &'a Reference,
        second: bool,
        projection: Option<Projection>,
    ) -> Self {
        Self { grid: Grid::new(problem, reference), second, projection }
    }
}

impl<P: Problem + ?Sized> Oracle for Diagonal<'_, P> {
    fn gradients(
        &mut self,
        step: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        let Self { grid, second, projection } = self;
        let projection = projection.as_ref();
        let away = displacement(projection, theta.f_sub(&grid.reference().at(step)?)?)?;
        mean_over_items(items, |chosen| {
            let mut change = secant(grid, step, chosen)?.f_mul(&away)?;
            if *second {
                let bend = secant_of_secants(grid, step, chosen)?;
                change = change.f_add(&bend.f_mul(&away.f_square()?)?.f_mul_scalar(0.5)?)?;
            }
            Ok(grid.at(step, chosen)?.f_add(&term(projection, change)?)?)
        })
    }
}

/// h_i(t) of each of `items`, E × p.
///
/// # Errors
/// When the run has no such step.
pub fn secant<P: Problem + ?Sized>(
    grid: &mut Grid<'_, P>,
    step: usize,
    items: &[usize],
) -> Result<Tensor, LabError> {
    let later = step.max(1);
    let rise = grid.at(later, items)?.f_sub(&grid.at(later - 1, items)?)?;
    quotient(&rise, &run(grid, later)?)
}

/// h′_i(t) of each of `items`, E × p; 0 in a run of a single step.
fn secant_of_secants<P: Problem + ?Sized>(
    grid: &mut Grid<'_, P>,
    step: usize,
    items: &[usize],
) -> Result<Tensor, LabError> {
    if grid.reference().steps() < 2 {
        return Ok(grid.at(step, items)?.f_zeros_like()?);
    }
    let later = step.max(2);
    let rise = secant(grid, later, items)?.f_sub(&secant(grid, later - 1, items)?)?;
    quotient(&rise, &run(grid, later)?)
}

/// θ_t − θ_{t−1}, shape p.
fn run<P: Problem + ?Sized>(grid: &Grid<'_, P>, later: usize) -> Result<Tensor, LabError> {
    Ok(grid.reference().at(later)?.f_sub(&grid.reference().at(later - 1)?)?)
}

/// Value by value; 0 where the run stood still, where nothing is known of the slope.
fn quotient(rise: &Tensor, run: &Tensor) -> Result<Tensor, LabError> {
    let still = run.f_eq(0.0)?;
    let quotient = rise.f_div(&run.f_masked_fill(&still, 1.0)?)?;
    Ok(quotient.f_masked_fill(&still, 0.0)?)
}
