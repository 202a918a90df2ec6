//! Expansion around the reference run with exact derivatives, taken on the fly:
//! ĝ_i(θ) = g_i(θ_t) + H_i(θ_t)δ [+ ½ D³L_i(θ_t)[δ, δ]], δ = θ − θ_t; moments and momenta are
//! recomputed. An oracle of accuracy, dearer than training again: never timed as a method.

use tch::{Kind, Tensor};

use super::grid0::Grid;
use super::projection::{Projection, displacement, term};
use super::{Oracle, mean_over_items};
use crate::estimate::Problem;
use crate::estimate::reference::Reference;
use lab::LabError;

/// Largest length of the second-order term, as a share of the first-order term's, at which it is
/// still used.
pub const TRUST: f64 = 1.0;

/// How far the expansion goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Terms {
    /// `taylor1`.
    First,
    /// `taylor2`: the second-order term is left out where it is not finite or longer than `trust`
    /// times the first-order term, where the series no longer gets smaller.
    Second {
        /// See [`TRUST`].
        trust: f64,
    },
}

/// How often a second-order term was left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fallbacks {
    /// Gradients that were expanded.
    pub expanded: u64,
    /// Of these, to first order only because the second was not finite.
    pub not_finite: u64,
    /// Of these, to first order only because the second was too long.
    pub too_long: u64,
}

impl std::fmt::Display for Fallbacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { expanded, not_finite, too_long } = self;
        let fell = not_finite + too_long;
        write!(
            f,
            "first order in {fell} of {expanded} gradients ({not_finite} not finite, {too_long} \
             beyond the trust radius)"
        )
    }
}

/// The estimator.
#[derive(Debug)]
pub struct Taylor<'a, P: Problem + ?Sized> {
    grid: Grid<'a, P>,
    terms: Terms,
    projection: Option<Projection>,
    fallbacks: Fallbacks,
}

impl<'a, P: Problem + ?Sized> Taylor<'a, P> {
    /// Along `reference`.
    #[must_use]
    pub fn new(
        problem: &'a P,
        reference: &'a Reference,
        terms: Terms,
        projection: Option<Projection>,
    ) -> Self {
        let grid = Grid::new(problem, reference);
        Self { grid, terms, projection, fallbacks: Fallbacks::default() }
    }

    /// How often the second order was left out so far.
    #[must_use]
    pub fn fallbacks(&self) -> Fallbacks {
        self.fallbacks
    }

    fn expanded(
        &mut self,
        step: usize,
        chosen: &[usize],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        let centre = self.grid.reference().at(step)?;
        let away = displacement(self.projection.as_ref(), theta.f_sub(&centre)?)?;
        let first = curvatures(self.grid.problem(), chosen, &centre, &away)?;
        let change = first.copy();
        if let Terms::Second { trust } = self.terms {
            for (row, item) in (0_i64..).zip(chosen) {
                let away = away.f_get(row)?;
                let second = self.grid.problem().third(*item, &centre, &away)?.f_mul_scalar(0.5)?;
                let length =
                    |of: &Tensor| of.f_norm()?.f_to_kind(Kind::Double)?.f_double_value(&[]);
                let (one, two) = (length(&first.f_get(row)?)?, length(&second)?);
                self.fallbacks.expanded += 1;
                if !two.is_finite() {
                    self.fallbacks.not_finite += 1;
                } else if two > trust * one {
                    self.fallbacks.too_long += 1;
                } else {
                    let _ = change.f_get(row)?.f_add_(&second)?;
                }
            }
        }
        let change = term(self.projection.as_ref(), change)?;
        Ok(self.grid.at(step, chosen)?.f_add(&change)?)
    }
}

impl<P: Problem + ?Sized> Oracle for Taylor<'_, P> {
    fn gradients(
        &mut self,
        step: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        mean_over_items(items, |chosen| self.expanded(step, chosen, theta))
    }
}

/// Row e: H of item `items[e]` at `centre` (p) times row e of `along` (E × p), exact.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn curvatures<P: Problem + ?Sized>(
    problem: &P,
    items: &[usize],
    centre: &Tensor,
    along: &Tensor,
) -> Result<Tensor, LabError> {
    let rows = (0_i64..)
        .zip(items)
        .map(|(row, item)| problem.curvature(*item, centre, &along.f_get(row)?));
    Ok(Tensor::f_stack(&rows.collect::<Result<Vec<_>, LabError>>()?, 0)?)
}
