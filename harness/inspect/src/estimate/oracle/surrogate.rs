//! One quadratic per item around one centre, its curvature known along a basis:
//! ĝ_i(θ) = g_i(c) + (H_i(c)Q) Qᵀ(θ − c).

use tch::Tensor;

use super::{Oracle, mean_over_items};
use lab::LabError;

/// What a surrogate is made of.
#[derive(Debug)]
pub struct Quadratics {
    /// c, shape p.
    pub centre: Tensor,
    /// Q, shape p × k; columns orthonormal.
    pub basis: Tensor,
    /// g_i(c), items × p.
    pub gradients: Tensor,
    /// (H_i(c)Q)ᵀ, items × k × p.
    pub curvature: Tensor,
}

impl Quadratics {
    /// Room for the gradients and curvature of `items` items in one piece, items·(1 + k) × p, and the
    /// views of it that quadratics have: what [`Quadratics::parts`] gives back without a copy.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn room(items: i64, basis: &Tensor) -> Result<[Tensor; 2], LabError> {
        let (p, k) = basis.size2()?;
        let all = Tensor::f_empty([items * (1 + k), p], (basis.kind(), basis.device()))?;
        Ok([all.f_narrow(0, 0, items)?, all.f_narrow(0, items, items * k)?.f_view([items, k, p])?])
    }

    /// All g_i, then all rows of (H_iQ)ᵀ: items·(1 + k) × p. Where they lie in one piece it is that
    /// piece.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn parts(&self) -> Result<Tensor, LabError> {
        let (items, p) = self.gradients.size2()?;
        let rows = items + items * self.basis.size2()?.1;
        let bytes = (items * p) as usize * self.gradients.kind().elt_size_in_bytes();
        let [first, second] = [&self.gradients, &self.curvature].map(|t| t.data_ptr().addr());
        let follow = self.gradients.is_contiguous()
            && self.curvature.is_contiguous()
            && self.gradients.kind() == self.curvature.kind()
            && first + bytes == second;
        // Neighbours by chance are two storages, which libtorch refuses to see as one.
        if follow && let Ok(all) = self.gradients.f_as_strided([rows, p], [p, 1], None::<i64>) {
            return Ok(all);
        }
        Ok(Tensor::f_cat(&[&self.gradients, &self.curvature.f_reshape([-1, p])?], 0)?)
    }
}

/// The estimator. One-sided: its gradients leave the span of the basis.
#[derive(Debug)]
pub struct Surrogate<'a>(pub &'a Quadratics);

impl Oracle for Surrogate<'_> {
    fn gradients(
        &mut self,
        _: usize,
        items: &[&[u32]],
        theta: &Tensor,
    ) -> Result<Tensor, LabError> {
        let Quadratics { centre, basis, gradients, curvature } = self.0;
        let along = theta.f_sub(centre)?.f_matmul(basis)?;
        mean_over_items(items, |chosen| {
            by_item(chosen, &along, |item, along| {
                Ok(gradients.f_get(item)?.f_addmm(along, &curvature.f_get(item)?)?)
            })
        })
    }
}

/// Row m: what `each` gives of item `chosen[m]` and row m of `along`; it is asked once for all rows of an item.
///
/// # Errors
/// When `each` fails.
pub(super) fn by_item(
    chosen: &[usize],
    along: &Tensor,
    mut each: impl FnMut(i64, &Tensor) -> Result<Tensor, LabError>,
) -> Result<Tensor, LabError> {
    let mut rows: Vec<usize> = (0..chosen.len()).collect();
    rows.sort_by_key(|row| chosen[*row]);
    let sorted: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
    let sorted = Tensor::f_from_slice(&sorted)?.f_to_device(along.device())?;
    let along = along.f_index_select(0, &sorted)?;
    let mut parts = Vec::new();
    let mut start = 0;
    for group in rows.chunk_by(|a, b| chosen[*a] == chosen[*b]) {
        let length = group.len() as i64;
        parts.push(each(chosen[group[0]] as i64, &along.f_narrow(0, start, length)?)?);
        start += length;
    }
    let joined = Tensor::f_cat(&parts, 0)?;
    let mut out = joined.f_empty_like()?;
    let _ = out.f_index_copy_(0, &sorted, &joined)?;
    Ok(out)
}
