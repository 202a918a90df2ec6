//! The null: every order ends where the reference ended.

use tch::Tensor;

use super::Oracle;
use crate::estimate::reference::Reference;
use lab::LabError;

/// Hands out the reference's own gradients by step, whatever the step consumes: through the update
/// rule every order then follows the reference bit for bit.
#[derive(Debug)]
pub struct Null<'a>(pub &'a Reference);

impl Oracle for Null<'_> {
    fn gradients(&mut self, step: usize, items: &[&[u32]], _: &Tensor) -> Result<Tensor, LabError> {
        Ok(self.0.handed(step)?.f_repeat([items.len() as i64, 1])?)
    }
}
