//! What is done to gradients before an update rule takes them.

use tch::{TchError, Tensor};

/// Scales gradients down to a joint norm of at most `longest`, as
/// `torch.nn.utils.clip_grad_norm_` does: by `longest / (norm + 1e-6)`, at most 1.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn clip(gradients: &mut [Tensor], longest: f64) -> Result<(), TchError> {
    let norms =
        gradients.iter().map(|gradient| gradient.f_norm()).collect::<Result<Vec<_>, _>>()?;
    let norm = Tensor::f_stack(&norms, 0)?.f_norm()?;
    let factor =
        norm.f_add_scalar(1e-6)?.f_reciprocal()?.f_mul_scalar(longest)?.f_clamp_max(1.0)?;
    for gradient in gradients {
        let _ = gradient.f_mul_(&factor)?;
    }
    Ok(())
}
