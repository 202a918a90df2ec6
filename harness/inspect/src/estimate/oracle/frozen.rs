//! The published framework's literal form: the *update* is expanded, not the gradient, in the state
//! that the update rule had in the reference run (Yang et al., arXiv:2505.22042, eqs. 1 and 3):
//! γ_{t+1} = γ_t − [Γ_t(θ_t, B) + dΓ_t(θ_t, B)δ], Γ_t with the reference's moments before step t.
//!
//! What it hands out is the whole update, rate included, so that it is driven through SGD at rate 1
//! ([`Course::plain`]) and not through the run's own rule. A baseline: once momentum is warm, a moved
//! batch enters with weight 1 − β only, and the reference supplies the rest.

use tch::Tensor;

use super::diagonal::secant;
use super::grid0::Grid;
use super::projection::{Projection, displacement, term};
use super::taylor::curvatures;
use super::{Oracle, mean_over_items};
use crate::estimate::course::RulesAlong;
use crate::estimate::reference::Reference;
use crate::estimate::rule::Expansion;
use crate::estimate::{Course, Problem};
use lab::LabError;

/// Where the change of a gradient comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slope {
    /// No change: the update at θ_t.
    None,
    /// Exact Hessian-vector products, on the fly.
    Exact,
    /// Diagonal secants along the reference ([`super::diagonal`]).
    Secant,
}

/// `taylor-frozen`.
#[derive(Debug)]
pub struct Frozen<'a, P: Problem + ?Sized> {
    grid: Grid<'a, P>,
    rules: RulesAlong,
    slope: Slope,
    projection: Option<Projection>,
}

impl<'a, P: Problem + ?Sized> Frozen<'a, P> {
    /// Along `reference`, which `course` made.
    ///
    /// # Errors
    /// When the update rule cannot be expanded: SGD, Adam and AdamW can.
    pub fn new(
        problem: &'a P,
        reference: &'a Reference,
        course: &Course,
        slope: Slope,
        projection: Option<Projection>,
    ) -> Result<Self, LabError> {
        let rules = course.rules_along(reference)?;
        Ok(Self { grid: Grid::new(problem, reference), rules, slope, projection })
    }
}

impl<P: Problem + ?Sized> Oracle for Frozen<'_, P> {
    fn gradients(
        &mut self,
        step: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        let Self { grid, rules, slope, projection } = self;
        let projection = projection.as_ref();
        let centre = grid.reference().at(step)?;
        let away = displacement(projection, theta.f_sub(&centre)?)?;
        let mut gradient = mean_over_items(items, |chosen| grid.at(step, chosen))?;
        let mut change = match slope {
            Slope::None => gradient.f_zeros_like()?,
            Slope::Exact => {
                mean_over_items(items, |chosen| curvatures(grid.problem(), chosen, &centre, &away))?
            }
            Slope::Secant => {
                mean_over_items(items, |chosen| Ok(secant(grid, step, chosen)?.f_mul(&away)?))?
            }
        };
        if let Some(longest) = rules.clip_norm {
            (gradient, change) = clipped(&gradient, &change, longest)?;
        }
        let away = if *slope == Slope::None { away.f_zeros_like()? } else { away };
        let expansion =
            Expansion { theta: &centre, gradient: &gradient, away: &away, change: &change };
        let [update, change] = rules.expanded(step, &expansion)?;
        Ok(update.f_add(&term(projection, change)?)?)
    }
}

/// Rows clipped as the driver clips them, and the first-order change of that: with n = ‖g‖,
/// ε = 1e-6 and c = longest/(n + ε) < 1, d(cg) = c·(dg − g·(g·dg)/(n(n + ε))).
fn clipped(
    gradient: &Tensor,
    change: &Tensor,
    longest: f64,
) -> Result<(Tensor, Tensor), tch::TchError> {
    let norm = gradient.f_norm_scalaropt_dim(2.0, [1], true)?;
    let padded = norm.f_add_scalar(1e-6)?;
    let factor = padded.f_reciprocal()?.f_mul_scalar(longest)?;
    let long = factor.f_lt(1.0)?;
    let dot = gradient.f_mul(change)?.f_sum_dim_intlist([1].as_slice(), true, gradient.kind())?;
    let along = gradient.f_mul(&dot.f_div(&norm.f_mul(&padded)?)?)?;
    let bent = change.f_sub(&along)?.f_mul(&factor)?;
    let change = bent.f_where_self(&long, change)?;
    Ok((gradient.f_mul(&factor.f_clamp_max(1.0)?)?, change))
}
