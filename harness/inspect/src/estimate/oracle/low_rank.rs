//! The surrogate with less curvature: of each item only its leading directions, or one for all items.
//!
//! Both were tried because an update rule that visits every parameter is bound by the product of curvature and
//! displacement, 2pk flop a step. What they cost in accuracy is in docs/estimates_measured.md.

use tch::{Kind, Tensor};

use super::surrogate::{Quadratics, by_item};
use super::{Oracle, mean_over_items};
use lab::LabError;

/// Share of the basis that an item keeps, as a divisor.
const KEPT: i64 = 4;

/// (H_iQ)ᵀ ≈ V_iV_iᵀ(H_iQ)ᵀ with its leading left singular vectors V_i, r a quarter of k:
/// 2pr flop a step in place of 2pk, behind the 2pk of Qᵀ(θ − c).
#[derive(Debug)]
pub struct LowRank<'a> {
    quadratics: &'a Quadratics,
    /// V_i, items × k × r.
    inner: Tensor,
    /// V_iᵀ(H_iQ)ᵀ, items × r × p.
    outer: Tensor,
}

impl<'a> LowRank<'a> {
    /// Of quadratics.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn new(quadratics: &'a Quadratics) -> Result<Self, LabError> {
        let curvature = &quadratics.curvature;
        let (_, k, _) = curvature.size3()?;
        let rank = (k / KEPT).max(1);
        let gram = curvature.f_bmm(&curvature.f_transpose(1, 2)?)?.f_to_kind(Kind::Double)?;
        let (_, vectors) = gram.f_linalg_eigh("L")?;
        let inner = vectors.f_narrow(2, k - rank, rank)?.f_to_kind(curvature.kind())?;
        let outer = inner.f_transpose(1, 2)?.f_bmm(curvature)?;
        Ok(Self { quadratics, inner, outer })
    }
}

impl Oracle for LowRank<'_> {
    fn gradients(
        &mut self,
        _: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        let Quadratics { centre, basis, gradients, .. } = self.quadratics;
        let along = theta.f_sub(centre)?.f_matmul(basis)?;
        mean_over_items(items, |chosen| {
            by_item(chosen, &along, |item, along| {
                let inside = along.f_matmul(&self.inner.f_get(item)?)?;
                Ok(gradients.f_get(item)?.f_addmm(&inside, &self.outer.f_get(item)?)?)
            })
        })
    }
}

/// H_iQ ≈ the mean over items: one product for all orders of a step, and p·k numbers in place of T·p·k.
#[derive(Debug)]
pub struct Shared<'a> {
    quadratics: &'a Quadratics,
    /// k × p.
    mean: Tensor,
}

impl<'a> Shared<'a> {
    /// Of quadratics.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn new(quadratics: &'a Quadratics) -> Result<Self, LabError> {
        let mean = quadratics.curvature.f_mean_dim(0, false, quadratics.curvature.kind())?;
        Ok(Self { quadratics, mean })
    }
}

impl Oracle for Shared<'_> {
    fn gradients(
        &mut self,
        _: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        let Quadratics { centre, basis, gradients, .. } = self.quadratics;
        let bent = theta.f_sub(centre)?.f_matmul(basis)?.f_matmul(&self.mean)?;
        let own = mean_over_items(items, |chosen| {
            let chosen: Vec<i64> = chosen.iter().map(|item| *item as i64).collect();
            let chosen = Tensor::f_from_slice(&chosen)?.f_to_device(theta.device())?;
            Ok(gradients.f_index_select(0, &chosen)?)
        })?;
        Ok(own.f_add(&bent)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::oracle::surrogate::Surrogate;
    use tch::Device;

    const P: i64 = 20;
    const K: i64 = 8;

    fn noise(size: &[i64], seed: f64) -> Tensor {
        let places = Tensor::arange(size.iter().product::<i64>(), (Kind::Double, Device::Cpu));
        (((places + seed) * 12.9898).sin() * 43_758.545_3).frac().view(size)
    }

    fn quadratics(curvature: Tensor) -> Quadratics {
        let (basis, _) = Tensor::linalg_qr(&noise(&[P, K], 1.0), "reduced");
        Quadratics { centre: noise(&[P], 2.0), basis, gradients: noise(&[3, P], 3.0), curvature }
    }

    fn of(oracle: &mut dyn Oracle) -> Tensor {
        let items: [&[u32]; 3] = [&[2, 0], &[1], &[0, 1]];
        oracle.gradients(0, &items, &noise(&[3, P], 5.0)).unwrap()
    }

    fn far(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn curvature_of_a_quarter_of_the_rank_is_kept_whole_and_more_is_cut() {
        // Two of eight directions for each item.
        let thin = noise(&[3, K, 2], 7.0).bmm(&noise(&[3, 2, P], 8.0));
        let thin = quadratics(thin);
        let whole = of(&mut Surrogate(&thin));
        assert!(far(&of(&mut LowRank::new(&thin).unwrap()), &whole) < 1e-10);
        let full = quadratics(noise(&[3, K, P], 9.0));
        let cut = of(&mut LowRank::new(&full).unwrap());
        assert!(far(&cut, &of(&mut Surrogate(&full))) > 1e-2);
    }

    #[test]
    fn a_curvature_that_all_items_share_is_shared_without_error_and_others_are_averaged() {
        let one = noise(&[1, K, P], 7.0).repeat([3, 1, 1]);
        let alike = quadratics(one);
        assert!(far(&of(&mut Shared::new(&alike).unwrap()), &of(&mut Surrogate(&alike))) < 1e-10);
        let apart = quadratics(noise(&[3, K, P], 9.0));
        assert!(far(&of(&mut Shared::new(&apart).unwrap()), &of(&mut Surrogate(&apart))) > 1e-2);
    }
}
