//! The Normal-Inverse-Wishart posterior over where and how wide the weights of tasks lie, with a diagonal
//! scale, and the normal posterior of one task that it implies in closed form.

pub mod network;

use tch::{Kind, TchError, Tensor};

/// q(μ, Σ) = N(μ; m₀, Σ/l₀)·IW(Σ; V₀, n₀) over d weights; l₀ has no part in what is computed here.
#[derive(Debug)]
pub struct Niw {
    /// m₀, shape d.
    pub mean: Tensor,
    /// ln of V₀'s diagonal, shape d.
    pub log_scale: Tensor,
    /// ln(n₀ − d − 1), one number: above, Σ has a mean.
    pub log_surplus: Tensor,
}

/// What the loss of a task looks like around where descent went: ½(θ − m̄)ᵀĀ(θ − m̄), Ā diagonal.
#[derive(Debug)]
pub struct Fit {
    /// m̄, shape d.
    pub mean: Tensor,
    /// Diagonal of Ā, shape d.
    pub curvature: Tensor,
}

/// N(m*, V*) over the weights of one task, V* diagonal.
#[derive(Debug)]
pub struct Local {
    /// m*.
    pub mean: Tensor,
    /// Diagonal of V*.
    pub variance: Tensor,
}

impl Niw {
    /// n₀.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn freedom(&self) -> Result<Tensor, TchError> {
        self.log_surplus.f_exp()?.f_add_scalar(self.mean.numel() as f64 + 1.0)
    }

    /// Λ₀ = E[Σ⁻¹] = n₀V₀⁻¹, shape d.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn precision(&self) -> Result<Tensor, TchError> {
        self.log_scale.f_neg()?.f_exp()?.f_mul(&self.freedom()?)
    }

    /// E ln|Σ| = ln|V₀| − d ln 2 − ψ_d(n₀/2), where ψ_d(x) = Σ ψ(x − k/2) over k = 0, …, d − 1.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn log_determinant(&self) -> Result<Tensor, TchError> {
        let d = self.mean.numel() as i64;
        let halves = Tensor::f_arange(d, (Kind::Double, self.mean.device()))?.f_mul_scalar(0.5)?;
        let half = self.freedom()?.f_to_kind(Kind::Double)?.f_mul_scalar(0.5)?;
        let digammas = half.f_sub(&halves)?.f_digamma()?.f_sum(Kind::Double)?;
        let scale = self.log_scale.f_sum(Kind::Double)?;
        scale.f_sub(&digammas)?.f_sub_scalar(d as f64 * std::f64::consts::LN_2)
    }

    /// The posterior of a task: m* = (Ā + Λ₀)⁻¹(Ā m̄ + Λ₀ m₀), V* = (Ā + Λ₀)⁻¹.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn local(&self, fit: &Fit) -> Result<Local, TchError> {
        let precision = self.precision()?;
        let variance = precision.f_add(&fit.curvature)?.f_reciprocal()?;
        let sum = fit.curvature.f_mul(&fit.mean)?.f_add(&precision.f_mul(&self.mean)?)?;
        Ok(Local { mean: sum.f_mul(&variance)?, variance })
    }

    /// ½(E ln|Σ| − ln|V*| − d + Tr(Λ₀V*) + (m* − m₀)ᵀΛ₀(m* − m₀)): how far a task's posterior is from what is
    /// expected of tasks, but for d/2l₀, a constant.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn divergence(&self, local: &Local) -> Result<Tensor, TchError> {
        let precision = self.precision()?;
        let away = local.mean.f_sub(&self.mean)?.f_square()?.f_add(&local.variance)?;
        let rest = precision.f_mul(&away)?.f_sub(&local.variance.f_log()?)?.f_sum(Kind::Double)?;
        let d = self.mean.numel() as f64;
        self.log_determinant()?.f_add(&rest)?.f_sub_scalar(d)?.f_mul_scalar(0.5)
    }
}

impl Local {
    /// Weights drawn from it: m* + V*^½·ε for standard normal `noise`.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn draw(&self, noise: &Tensor) -> Result<Tensor, TchError> {
        self.mean.f_add(&self.variance.f_sqrt()?.f_mul(noise)?)
    }
}

/// Mean and variance of what is seen, one after another; nothing of it is kept.
#[derive(Debug, Default)]
pub struct Spread {
    count: u32,
    /// Mean, and sum of squares around it.
    seen: Option<(Tensor, Tensor)>,
}

impl Spread {
    /// Takes note of a vector.
    ///
    /// # Errors
    /// When it is of another length than those before.
    pub fn see(&mut self, values: &Tensor) -> Result<(), TchError> {
        self.count += 1;
        match &mut self.seen {
            None => self.seen = Some((values.f_detach_copy()?, values.f_detach()?.f_zeros_like()?)),
            Some((mean, squares)) => {
                let away = values.f_detach()?.f_sub(mean)?;
                let _ = mean.f_add_(&away.f_div_scalar(f64::from(self.count))?)?;
                let _ = squares.f_add_(&values.f_detach()?.f_sub(mean)?.f_mul(&away)?)?;
            }
        }
        Ok(())
    }

    /// m̄, and as Ā one over the variance, at most `cap`; nothing where nothing was seen.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn fit(self, cap: f64) -> Result<Option<Fit>, TchError> {
        let Some((mean, squares)) = self.seen else { return Ok(None) };
        let variance = squares.f_div_scalar(f64::from(self.count))?;
        let curvature = variance.f_clamp_min(1.0 / cap)?.f_reciprocal()?;
        Ok(Some(Fit { mean, curvature }))
    }
}

#[cfg(test)]
#[path = "niw/tests.rs"]
mod tests;
