//! Quantisers whose steps are learned beside the weights.

use tch::{TchError, Tensor};

use super::tap::straight_through;

/// `factor` times the gradient of `values`, at their value.
fn with_gradient_times(values: &Tensor, factor: f64) -> Result<Tensor, TchError> {
    let constant = values.f_detach()?;
    constant.f_add(&values.f_sub(&constant)?.f_mul_scalar(factor)?)
}

/// The largest whole number of `bits` with sign: Q_P.
fn most(bits: u32) -> f64 {
    2f64.powi(bits as i32 - 1) - 1.0
}

/// Step of a learned step size at the start, 2·mean|w|/√Q_P, shape 1 (Esser et al., arXiv:1902.08153, section 2.1).
///
/// # Errors
/// When libtorch refuses an operation.
pub fn first_step(weights: &Tensor, bits: u32) -> Result<Tensor, TchError> {
    let mean = weights.f_detach()?.f_abs()?.f_mean(None)?;
    mean.f_mul_scalar(2.0 / most(bits).sqrt())?.f_clamp_min(1e-8)?.f_view([1])
}

/// Weights rounded by a learned step (LSQ): ŵ = round(clip(w/s, −Q_N, Q_P))·s with ∂ŵ/∂w = 1 within the clip and
/// ∂ŵ/∂s = round(w/s) − w/s there, −Q_N or Q_P beyond, times 1/√(N·Q_P) for N weights.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn lsq(weights: &Tensor, step: &Tensor, bits: u32) -> Result<Tensor, TchError> {
    let most = most(bits);
    let step = with_gradient_times(step, (weights.numel() as f64 * most).sqrt().recip())?;
    let held = weights.f_div(&step)?.f_clamp(-most - 1.0, most)?;
    straight_through(&held, &held.f_round()?)?.f_mul(&step)
}

/// Activations clipped at a learned height (PACT): y = clip(x, 0, α), rounded to one of 2^bits values from 0 to α;
/// ∂y/∂x = 1 between 0 and α, ∂y/∂α = 1 from α on (Choi et al., arXiv:1805.06085, section 3).
///
/// # Errors
/// When libtorch refuses an operation.
pub fn pact(values: &Tensor, height: &Tensor, bits: u32) -> Result<Tensor, TchError> {
    let clipped = values.f_relu()?.f_sub(&values.f_sub(height)?.f_relu()?)?;
    let levels = 2f64.powi(bits as i32) - 1.0;
    let rounded = tch::no_grad(|| {
        let step = height.f_div_scalar(levels)?;
        clipped.f_div(&step)?.f_round()?.f_clamp(0.0, levels)?.f_mul(&step)
    })?;
    straight_through(&clipped, &rounded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;

    fn leaf(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).set_requires_grad(true)
    }

    fn gradients(output: &Tensor, by: [&Tensor; 2]) -> [Vec<f32>; 2] {
        let found = Tensor::run_backward(&[output.sum(None)], &by, false, false);
        [0, 1].map(|i| values(&found[i]).unwrap())
    }

    #[test]
    fn lsq_has_the_values_and_gradients_of_its_formulas() {
        // Three bits: −4 to 3 steps of a half.
        let (weights, step) = (leaf(&[0.6, -0.2, 5.0, -9.0, 0.74]), leaf(&[0.5]));
        let rounded = lsq(&weights, &step, 3).unwrap();
        assert_eq!(values(&rounded).unwrap(), [0.5, -0.0, 1.5, -2.0, 0.5]);
        let [by_weight, by_step] = gradients(&rounded, [&weights, &step]);
        assert_eq!(by_weight, [1.0, 1.0, 0.0, 0.0, 1.0]);
        let inside = (1.0 - 1.2) + (0.0 + 0.4) + (1.0 - 1.48);
        let expected = (inside + 3.0 - 4.0) / 15f32.sqrt();
        assert!((by_step[0] - expected).abs() < 1e-6, "{by_step:?} {expected}");
    }

    #[test]
    fn the_first_step_of_lsq_is_that_of_the_paper() {
        let step = first_step(&leaf(&[1.0, -3.0]), 4).unwrap().double_value(&[0]);
        assert!((step - 4.0 / 7f64.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn pact_clips_at_its_height_which_learns_from_what_is_above() {
        // Two bits up to 3: 0, 1, 2, 3.
        let (x, height) = (leaf(&[-1.0, 0.4, 1.6, 2.9, 4.0, 7.0]), leaf(&[3.0]));
        let rounded = pact(&x, &height, 2).unwrap();
        assert_eq!(values(&rounded).unwrap(), [0.0, 0.0, 2.0, 3.0, 3.0, 3.0]);
        let [by_value, by_height] = gradients(&rounded, [&x, &height]);
        assert_eq!(by_value, [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(by_height, [2.0]);
    }
}
