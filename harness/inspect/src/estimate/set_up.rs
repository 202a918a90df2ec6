//! What a surrogate needs before it can answer: pilot runs, a centre, a basis, and every item's
//! gradient and curvature there.
//!
//! The centre is the mean of all parameters that the pilots passed through; the basis holds the
//! directions in which they differed most. Both from true runs in orders that are never among those
//! that an estimate is judged by.

use std::ops::Range;

use stats::estimates::ItemOrder;
use tch::{Kind, Tensor};

use super::oracle::surrogate::Quadratics;
use super::{Course, Exact, Oracle, Problem};
use lab::LabError;

/// Rows of perturbed parameters whose gradients are taken at once.
const ROWS: usize = 256;
/// Smallest secant step, as a share of the largest.
const SMALLEST_STEP: f64 = 0.05;
/// Share of a column's spread that a one-sided secant goes: its error grows with the step, that of
/// rounding against it.
const ONE_SIDED: f64 = 0.5;

/// What runs passed through: a row per order and point of time.
#[derive(Debug)]
pub struct Snapshots {
    /// Parameters at the start and after every step of every run, N × p.
    pub rows: Tensor,
    /// After how many steps each row was passed, N numbers.
    pub steps: Vec<usize>,
    /// Parameters at the end of every run, runs × p.
    pub ends: Tensor,
}

/// Directions in which snapshots differ.
#[derive(Debug)]
pub struct Basis {
    /// c, shape p: the mean of the snapshots.
    pub centre: Tensor,
    /// Q, shape p × k.
    pub columns: Tensor,
    /// Root mean square of the snapshots along each column.
    pub spread: Vec<f64>,
}

impl Snapshots {
    /// Follows `orders` from `start` with the gradients of `oracle`.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn take(
        course: &mut Course,
        oracle: &mut dyn Oracle,
        orders: &[ItemOrder],
        start: &Tensor,
    ) -> Result<Self, LabError> {
        let (mut rows, mut steps) = (Vec::new(), Vec::new());
        let ends = course.drive(oracle, orders, start, &mut |numbers, step, theta| {
            rows.push(theta.copy());
            steps.extend(numbers.iter().map(|_| step));
            Ok(())
        })?;
        Ok(Self { rows: Tensor::f_cat(&rows, 0)?, steps, ends })
    }

    /// True runs in `orders`.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn pilots<P: Problem + ?Sized>(
        course: &mut Course,
        problem: &P,
        orders: &[ItemOrder],
        start: &Tensor,
    ) -> Result<Self, LabError> {
        Self::take(course, &mut Exact(problem), orders, start)
    }

    /// These and others; the ends stay these.
    ///
    /// # Errors
    /// When they are of another network.
    pub fn with(&self, others: &Self) -> Result<Self, LabError> {
        let rows = Tensor::f_cat(&[&self.rows, &others.rows], 0)?;
        let steps = self.steps.iter().chain(&others.steps).copied().collect();
        Ok(Self { rows, steps, ends: self.ends.shallow_clone() })
    }

    /// The rows of a stretch of steps, its end included: all that runs passed through there.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn within(&self, stretch: &Range<usize>) -> Result<Tensor, LabError> {
        let there = |step: &usize| (stretch.start..=stretch.end).contains(step);
        let rows = (0_i64..).zip(&self.steps).filter(|(_, step)| there(step));
        let rows: Vec<i64> = rows.map(|(row, _)| row).collect();
        if rows.len() == self.steps.len() {
            return Ok(self.rows.shallow_clone());
        }
        let rows = Tensor::f_from_slice(&rows)?.f_to_device(self.rows.device())?;
        Ok(self.rows.f_index_select(0, &rows)?)
    }
}

impl Basis {
    /// The `k` leading left singular vectors of `rows` (N × p) less their mean, or as many as there
    /// are above rounding.
    ///
    /// # Errors
    /// When the rows are all the same, or not finite.
    pub fn of(rows: &Tensor, k: i64) -> Result<Self, LabError> {
        let kind = rows.kind();
        let rows = rows.f_to_kind(Kind::Double)?;
        let centre = rows.f_mean_dim(0, false, Kind::Double)?;
        let away = rows.f_sub(&centre)?;
        let gram = away.f_matmul(&away.f_tr()?)?;
        if gram.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
            return Err(LabError::Order(
                "the pilots diverged; a smaller learning rate would keep them finite".to_owned(),
            ));
        }
        let (values, vectors) = gram.f_linalg_eigh("L")?;
        let values: Vec<f64> = Vec::try_from(&values)?;
        let largest = values.last().copied().unwrap_or(0.0);
        let above = values.iter().filter(|value| **value > largest * 1e-12).count() as i64;
        if largest <= 0.0 || above == 0 {
            return Err(LabError::Order(
                "every pilot went the same way; nothing varies".to_owned(),
            ));
        }
        let (n, k) = (values.len() as i64, k.min(above).max(1));
        let leading = vectors.f_narrow(1, n - k, k)?.f_flip([1])?;
        let columns = away.f_tr()?.f_matmul(&leading)?;
        let norms = columns.f_norm_scalaropt_dim(2.0, [0], true)?;
        let columns = columns.f_div(&norms)?;
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 snapshots")]
        let count = n as f64;
        let spread = values.iter().rev().take(k as usize).map(|value| (value / count).sqrt());
        Ok(Self {
            centre: centre.f_to_kind(kind)?,
            columns: columns.f_to_kind(kind)?.f_contiguous()?,
            spread: spread.collect(),
        })
    }

    /// Number of columns, k.
    #[must_use]
    pub fn k(&self) -> i64 {
        self.spread.len() as i64
    }

    /// Step of the secant along each column: as far as the snapshots spread there, and not below a
    /// twentieth of the largest, where rounding would show.
    #[must_use]
    pub fn steps(&self) -> Vec<f64> {
        let largest = self.spread.iter().copied().fold(0.0, f64::max);
        self.spread.iter().map(|spread| spread.max(SMALLEST_STEP * largest)).collect()
    }
}

/// Every item's gradient at the centre, items × p.
///
/// # Errors
/// When a gradient is not finite.
pub fn gradients_at_centre<P: Problem + ?Sized>(
    problem: &P,
    centre: &Tensor,
) -> Result<Tensor, LabError> {
    let items: Vec<usize> = (0..problem.items()).collect();
    gradients_of(problem, &items, centre)
}

/// The gradients of some items at the centre, a row each.
///
/// # Errors
/// When a gradient is not finite.
pub fn gradients_of<P: Problem + ?Sized>(
    problem: &P,
    items: &[usize],
    centre: &Tensor,
) -> Result<Tensor, LabError> {
    let parts = items.chunks(ROWS).map(|items| {
        let rows = centre.f_unsqueeze(0)?.f_expand([items.len() as i64, -1], false)?;
        problem.gradients(items, &rows)
    });
    let all = Tensor::f_cat(&parts.collect::<Result<Vec<_>, _>>()?, 0)?;
    finite(&all)?;
    Ok(all)
}

/// (H_iQ)ᵀ of `item`, k × p: exact where the problem can, else by secants from the centre, where
/// `gradient` (p) is the item's.
///
/// # Errors
/// When a gradient is not finite.
pub fn curvature<P: Problem + ?Sized>(
    problem: &P,
    basis: &Basis,
    gradient: &Tensor,
    item: usize,
) -> Result<Tensor, LabError> {
    let columns = match problem.columns(item, &basis.centre, &basis.columns)? {
        Some(exact) => exact,
        None => {
            let steps = Tensor::f_from_slice(&basis.steps())?.f_to_kind(basis.centre.kind())?;
            let steps = steps.f_unsqueeze(1)?.f_to_device(basis.centre.device())?;
            let steps = steps.f_mul_scalar(ONE_SIDED)?;
            let rows = basis.columns.f_tr()?.f_mul(&steps)?.f_add(&basis.centre)?;
            let k = basis.k();
            let parts = (0..k).step_by(ROWS).map(|start| {
                let rows = rows.f_narrow(0, start, (k - start).min(ROWS as i64))?;
                problem.gradients(&vec![item; rows.size()[0] as usize], &rows)
            });
            let there = Tensor::f_cat(&parts.collect::<Result<Vec<_>, LabError>>()?, 0)?;
            there.f_sub(gradient)?.f_div(&steps)?
        }
    };
    finite(&columns)?;
    Ok(columns)
}

/// The surrogate of every item around a basis' centre.
///
/// # Errors
/// When a gradient is not finite.
pub fn quadratics<P: Problem + ?Sized>(problem: &P, basis: &Basis) -> Result<Quadratics, LabError> {
    let gradients = gradients_at_centre(problem, &basis.centre)?;
    let columns = (0..problem.items())
        .map(|item| curvature(problem, basis, &gradients.f_get(item as i64)?, item));
    let columns = columns.collect::<Result<Vec<_>, LabError>>()?;
    Ok(Quadratics {
        centre: basis.centre.shallow_clone(),
        basis: basis.columns.shallow_clone(),
        curvature: Tensor::f_stack(&columns, 0)?,
        gradients,
    })
}

fn finite(tensor: &Tensor) -> Result<(), LabError> {
    if tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        return Err(LabError::Order(
            "a gradient at the centre of the pilots is not finite; a smaller learning rate would \
             keep them where gradients are"
                .to_owned(),
        ));
    }
    Ok(())
}
