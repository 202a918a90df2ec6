//! The held-out loss as a quadratic around where the pilots ended: what ranks thousands of orders
//! without a forward pass.

use tch::{Kind, Tensor};

use super::Problem;
use super::set_up::Basis;
use lab::LabError;

/// L(θ) ≈ L(θ_e) + b·(θ − θ_e) + ½ zᵀBz with z = Qᵀ(θ − θ_e) and B = QᵀH(θ_e)Q.
#[derive(Debug)]
pub struct ReadOut {
    /// θ_e, shape p.
    pub at: Tensor,
    /// L(θ_e).
    pub loss: f64,
    /// b, shape p.
    pub slope: Tensor,
    /// B, k × k, symmetric.
    pub curvature: Tensor,
}

impl ReadOut {
    /// Around the mean of `ends` (runs × p), curved along `basis`: exactly where the problem
    /// can, else by central secants.
    ///
    /// # Errors
    /// When the loss or its gradient is not finite there.
    pub fn of<P: Problem + ?Sized>(
        problem: &P,
        basis: &Basis,
        ends: &Tensor,
    ) -> Result<Self, LabError> {
        let at = ends.f_mean_dim(0, false, ends.kind())?;
        let loss = problem.held_out(&at.f_unsqueeze(0)?)?.first().copied().unwrap_or(f64::NAN);
        let slope = problem.held_out_gradient(&at)?;
        let columns = match problem.held_out_columns(&at, &basis.columns)? {
            Some(exact) => exact,
            None => {
                let steps = Tensor::f_from_slice(&basis.steps())?.f_to_kind(at.kind())?;
                let steps = steps.f_unsqueeze(1)?.f_to_device(at.device())?;
                let away = basis.columns.f_tr()?.f_mul(&steps)?;
                let above = problem.held_out_gradients(&at.f_add(&away)?)?;
                let below = problem.held_out_gradients(&at.f_sub(&away)?)?;
                above.f_sub(&below)?.f_div(&steps.f_mul_scalar(2.0)?)?
            }
        };
        let along = columns.f_matmul(&basis.columns)?;
        let curvature = along.f_add(&along.f_tr()?)?.f_mul_scalar(0.5)?;
        let finite = loss.is_finite()
            && slope.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0
            && curvature.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0;
        if !finite {
            return Err(LabError::Order(
                "the held-out loss is not finite where the pilots end; a smaller learning rate \
                 would keep it finite"
                    .to_owned(),
            ));
        }
        Ok(Self { at, loss, slope, curvature })
    }

    /// The loss at each row of `theta` (M × p).
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn losses(&self, basis: &Basis, theta: &Tensor) -> Result<Vec<f64>, LabError> {
        let away = theta.f_sub(&self.at)?;
        let linear = away.f_matmul(&self.slope)?;
        let along = away.f_matmul(&basis.columns)?;
        let bent = along.f_matmul(&self.curvature)?.f_mul(&along)?;
        let bent = bent.f_sum_dim_intlist(1, false, along.kind())?.f_mul_scalar(0.5)?;
        let losses = linear.f_add(&bent)?.f_to_kind(Kind::Double)?.f_add_scalar(self.loss)?;
        Ok(Vec::try_from(&losses)?)
    }
}
