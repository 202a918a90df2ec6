//! Newton–Schulz orthogonalisation and the Muon step (Keller Jordan's Muon, `muon.py`).

use tch::{TchError, Tensor};

/// Coefficients of the quintic iteration.
pub const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// Approximates U Vᵀ of `matrix` = U Σ Vᵀ by `steps` quintic Newton–Schulz iterations in f32:
/// X ← aX + (bA + cA²)X with A = XXᵀ, from X = G/(‖G‖_F + 1e−7), on the wide orientation.
///
/// # Errors
/// When `matrix` is not 2-D.
pub fn orthogonalise(matrix: &Tensor, steps: u32) -> Result<Tensor, TchError> {
    let [a, b, c] = COEFFICIENTS;
    let (rows, columns) = matrix.size2()?;
    let tall = rows > columns;
    let scaled = matrix.f_div(&matrix.f_norm()?.f_add_scalar(1e-7)?)?;
    let mut x = if tall { scaled.f_transpose(0, 1)? } else { scaled };
    for _ in 0..steps {
        let gram = x.f_matmul(&x.f_transpose(0, 1)?)?;
        let polynomial = gram.f_mul_scalar(b)?.f_add(&gram.f_matmul(&gram)?.f_mul_scalar(c)?)?;
        x = x.f_mul_scalar(a)?.f_add(&polynomial.f_matmul(&x)?)?;
    }
    if tall { x.f_transpose(0, 1) } else { Ok(x) }
}

/// The direction Muon moves a weight in: Newton–Schulz of the weight seen as out × rest, times
/// max(1, rows/columns)^½, in the weight's shape.
///
/// # Errors
/// When `update` has fewer than two dimensions.
pub fn direction(update: &Tensor, steps: u32) -> Result<Tensor, TchError> {
    let shape = update.size();
    let matrix = update.f_reshape([shape[0], -1])?;
    let (rows, columns) = matrix.size2()?;
    #[expect(clippy::cast_precision_loss, reason = "matrix sides are far below 2^52")]
    let scale = (rows as f64 / columns as f64).max(1.0).sqrt();
    orthogonalise(&matrix, steps)?.f_mul_scalar(scale)?.f_reshape(&shape)
}
