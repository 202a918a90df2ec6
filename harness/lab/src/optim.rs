//! Update rules that more than one method builds on.

pub mod adamw;
pub mod base;
pub mod lm;
pub mod muon;
pub mod radam;
pub mod sgd;

use tch::{TchError, Tensor};

/// Copies saved values into the tensors they were taken from.
fn put_back<'a>(
    tensors: impl Iterator<Item = &'a mut Tensor>,
    saved: &[Tensor],
) -> Result<(), TchError> {
    let tensors: Vec<_> = tensors.collect();
    if tensors.len() != saved.len() {
        let (wanted, found) = (tensors.len(), saved.len());
        return Err(TchError::Shape(format!("state of {found} tensors in place of {wanted}")));
    }
    tch::no_grad(|| {
        tensors.into_iter().zip(saved).try_for_each(|(tensor, saved)| tensor.f_copy_(saved))
    })
}
