//! Gradients and curvature that were measured elsewhere:
//! ĝ_i(θ) = g_i(c) + (H_i(c)Q) Qᵀ(θ − c), or only g_i(c).

use tch::Tensor;

use super::{Oracle, mean_over_items};
use lab::LabError;

/// H_i(c)Q of an item, p × k: from memory or, where that is too small, read again each time.
pub type Curvature<'a> = dyn FnMut(usize) -> Result<Tensor, LabError> + 'a;

/// The estimator. Without a curvature it is the replay of constant gradients; with the identity as
/// basis (k = p) the exact one of a quadratic.
pub struct Brought<'a> {
    /// c, shape p.
    pub centre: &'a Tensor,
    /// Q, shape p × k, columns orthonormal; `None` is the identity.
    pub basis: Option<&'a Tensor>,
    /// g_i(c), items × p.
    pub gradients: &'a Tensor,
    /// H_i(c)Q.
    pub curvature: Option<Box<Curvature<'a>>>,
}

impl std::fmt::Debug for Brought<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Brought").field("basis", &self.basis).finish_non_exhaustive()
    }
}

impl Oracle for Brought<'_> {
    fn gradients(
        &mut self,
        _: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        let Self { centre, basis, gradients, curvature } = self;
        let away = theta.f_sub(centre)?;
        let along = match basis {
            Some(basis) => away.f_matmul(basis)?,
            None => away,
        };
        mean_over_items(items, |chosen| {
            let numbers: Vec<i64> = chosen.iter().map(|item| *item as i64).collect();
            let mut out = gradients.f_index_select(0, &Tensor::from_slice(&numbers))?;
            let Some(curvature) = curvature else { return Ok(out) };
            // Each item's curvature serves all rows that consume it.
            let mut rows: Vec<usize> = (0..chosen.len()).collect();
            rows.sort_by_key(|row| chosen[*row]);
            for group in rows.chunk_by(|a, b| chosen[*a] == chosen[*b]) {
                let index: Vec<i64> = group.iter().map(|row| *row as i64).collect();
                let index = Tensor::from_slice(&index);
                let product = curvature(chosen[group[0]])?.f_transpose(0, 1)?;
                let added = along.f_index_select(0, &index)?.f_matmul(&product)?;
                let _ = out.f_index_add_(0, &index, &added)?;
            }
            Ok(out)
        })
    }
}
