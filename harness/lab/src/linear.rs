//! Small dense linear algebra in double precision; matrices are d × d, row by row.

/// Sum of products.
#[must_use]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Lower factor L of a symmetric positive definite matrix LLᵀ.
#[must_use]
pub fn cholesky(matrix: &[f64], dimensions: usize) -> Vec<f64> {
    let mut factor = vec![0.0; matrix.len()];
    for i in 0..dimensions {
        for j in 0..=i {
            let known = dot(&factor[i * dimensions..][..j], &factor[j * dimensions..][..j]);
            let rest = matrix[i * dimensions + j] - known;
            factor[i * dimensions + j] = if i == j {
                // Regularised variances are at least 1e-6; rounding takes far less.
                rest.max(f64::MIN_POSITIVE).sqrt()
            } else {
                rest / factor[j * dimensions + j]
            };
        }
    }
    factor
}

/// L⁻¹b of a lower factor L.
#[must_use]
pub fn forward(factor: &[f64], b: &[f64]) -> Vec<f64> {
    let dimensions = b.len();
    let mut solved = vec![0.0; dimensions];
    for (i, row) in factor.chunks_exact(dimensions).enumerate() {
        solved[i] = (b[i] - dot(&row[..i], &solved[..i])) / row[i];
    }
    solved
}

/// L⁻ᵀb of a lower factor L.
#[must_use]
pub fn backward(factor: &[f64], b: &[f64]) -> Vec<f64> {
    let dimensions = b.len();
    let mut solved = b.to_vec();
    for (i, row) in factor.chunks_exact(dimensions).enumerate().rev() {
        solved[i] /= row[i];
        let value = solved[i];
        for (earlier, factor) in solved[..i].iter_mut().zip(row) {
            *earlier -= factor * value;
        }
    }
    solved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_gives_its_matrix_and_both_solutions_undo_it() {
        let matrix = [4.0, 2.0, -1.0, 2.0, 5.0, 0.5, -1.0, 0.5, 3.0];
        let factor = cholesky(&matrix, 3);
        let product = |i: usize, j: usize| dot(&factor[3 * i..][..3], &factor[3 * j..][..3]);
        for (at, value) in matrix.into_iter().enumerate() {
            assert!((product(at / 3, at % 3) - value).abs() < 1e-12);
        }
        let solved = backward(&factor, &forward(&factor, &[1.0, -2.0, 0.5]));
        for (row, b) in matrix.chunks(3).zip([1.0, -2.0, 0.5]) {
            assert!((dot(row, &solved) - b).abs() < 1e-12);
        }
    }
}
