//! Random projection (Johnson and Lindenstrauss 1984), as an option of the published estimators.
//!
//! It keeps inner products, not vectors: R Rᵀδ is off by about √(p/k) of δ. That is why a basis
//! from pilots is used elsewhere.

use rand_pcg::Pcg64;
use tch::Tensor;

use lab::LabError;

/// Which terms pass through the projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projected {
    /// The displacement δ alone: only H R has to be stored.
    Displacement,
    /// The displacement and the derivative terms: everything stored is k-dimensional.
    Both,
}

/// R, p × k, entries N(0, 1/k).
#[derive(Debug)]
pub struct Projection {
    columns: Tensor,
    what: Projected,
}

impl Projection {
    /// Draws R by `rng`, row by row, in the kind and on the device of `like`, whose length is p.
    ///
    /// # Errors
    /// When `k` is 0.
    pub fn draw(
        k: usize,
        what: Projected,
        like: &Tensor,
        rng: &mut Pcg64,
    ) -> Result<Self, LabError> {
        if k == 0 {
            return Err(LabError::Order("a projection to 0 dimensions; give 1 or more".into()));
        }
        let p = like.numel();
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 dimensions")]
        let scale = (k as f64).sqrt().recip();
        let entries: Vec<f64> =
            (0..p * k).map(|_| scale * ledger::streams::normal_f64(rng)).collect();
        let columns = Tensor::f_from_slice(&entries)?.f_view([p as i64, k as i64])?;
        Ok(Self { columns: columns.f_to_kind(like.kind())?.f_to_device(like.device())?, what })
    }

    /// Rows (M × p) through R Rᵀ.
    fn through(&self, rows: &Tensor) -> Result<Tensor, LabError> {
        Ok(rows.f_matmul(&self.columns)?.f_matmul(&self.columns.f_tr()?)?)
    }
}

/// δ as a derivative gets to see it.
///
/// # Errors
/// When the shapes do not fit.
pub fn displacement(projection: Option<&Projection>, away: Tensor) -> Result<Tensor, LabError> {
    match projection {
        Some(projection) => projection.through(&away),
        None => Ok(away),
    }
}

/// A derivative term as it is stored.
///
/// # Errors
/// When the shapes do not fit.
pub fn term(projection: Option<&Projection>, term: Tensor) -> Result<Tensor, LabError> {
    match projection {
        Some(projection) if projection.what == Projected::Both => projection.through(&term),
        _ => Ok(term),
    }
}
