//! Losses of stacked outputs, and their first and second derivatives.

use tch::{Kind, TchError, Tensor};

use super::Group;
use lab::objectives::{DefaultLoss, IGNORED};

/// Outputs compared with labels. Classes come before positions here, E × C × N: the kernels sum
/// over a middle dimension twenty times faster than over a short last one.
pub(super) struct Grade {
    size: Vec<i64>,
    copies: i64,
    form: Form,
}

enum Form {
    /// Log-probabilities E × C × N, labels and whether they are asked for, both E × 1 × N.
    Classes { logs: Tensor, labels: Tensor, asked: Tensor },
    /// f − y, E × N.
    Squares { rest: Tensor },
}

impl Grade {
    pub(super) fn new(examples: &Group, outputs: &Tensor) -> Result<Self, TchError> {
        let size = outputs.size();
        let copies = size.first().copied().unwrap_or(0);
        let labels = examples.labels.f_flatten(1, -1)?;
        let width = match examples.default_loss {
            DefaultLoss::Squares => 1,
            DefaultLoss::Classes | DefaultLoss::Tokens => size.last().copied().unwrap_or(1),
        };
        let positions = size.iter().skip(1).product::<i64>() / width.max(1);
        if labels.size()[1] != positions {
            let labels = examples.labels.size();
            return Err(TchError::Shape(format!("labels {labels:?} for outputs {size:?}")));
        }
        let labels = labels.f_expand([copies, positions], false)?;
        let form = match examples.default_loss {
            DefaultLoss::Squares => {
                let labels = labels.f_to_kind(outputs.kind())?;
                Form::Squares { rest: outputs.f_reshape([copies, positions])?.f_sub(&labels)? }
            }
            DefaultLoss::Classes | DefaultLoss::Tokens => {
                let labels = labels.f_unsqueeze(1)?;
                let logits = outputs.f_reshape([copies, positions, width])?;
                let logits = logits.f_transpose(1, 2)?.f_contiguous()?;
                let asked = labels.f_ne(IGNORED)?;
                // Other labels outside of the classes are left for `gather` to refuse.
                let labels = labels.f_masked_fill(&asked.f_logical_not()?, 0)?;
                let asked = asked.f_to_kind(logits.kind())?;
                Form::Classes { logs: logits.f_log_softmax(1, logits.kind())?, labels, asked }
            }
        };
        Ok(Self { size, copies, form })
    }

    /// Sums of losses and what they are divided by, both of shape E.
    pub(super) fn sums(&self) -> Result<(Tensor, Tensor), TchError> {
        match &self.form {
            Form::Classes { logs, labels, asked } => {
                let chosen = logs.f_gather(1, labels, false)?.f_mul(asked)?;
                let kind = chosen.kind();
                let sum =
                    |tensor: &Tensor| tensor.f_sum_dim_intlist([1, 2].as_slice(), false, kind);
                Ok((sum(&chosen)?.f_neg()?, sum(asked)?))
            }
            Form::Squares { rest } => {
                let sums = rest.f_square()?.f_sum_dim_intlist(1, false, rest.kind())?;
                Ok((sums.f_mul_scalar(0.5)?, sums.f_full_like(rest.size()[1] as f64)?))
            }
        }
    }

    /// Mean losses, E.
    pub(super) fn losses(&self) -> Result<Tensor, TchError> {
        let (sums, counts) = self.sums()?;
        sums.f_div(&counts)
    }

    /// Derivative of the mean losses by the outputs, of their shape.
    pub(super) fn slope(&self) -> Result<Tensor, TchError> {
        match &self.form {
            Form::Classes { logs, labels, asked } => {
                // Refuses a label outside of the classes; below nothing does.
                let _ = logs.f_gather(1, labels, false)?;
                let slope = logs.f_exp()?.f_scatter_value_reduce(1, labels, -1.0, "add")?;
                self.back(&slope.f_mul(&share(asked)?)?)
            }
            Form::Squares { rest } => {
                rest.f_div_scalar(rest.size()[1] as f64)?.f_reshape(&self.size)
            }
        }
    }

    /// Derivative of [`Self::slope`] along each of k changes of the outputs, k × …; needs one copy.
    pub(super) fn bend(&self, changes: &Tensor) -> Result<Tensor, TchError> {
        match &self.form {
            Form::Classes { logs, asked, .. } => {
                let (columns, size) = (changes.size()[0], logs.size());
                let changes_by_class =
                    changes.f_reshape([columns, size[2], size[1]])?.f_transpose(1, 2)?;
                let chances = logs.f_exp()?;
                let pulled = chances.f_mul(&changes_by_class)?;
                let mean = pulled.f_sum_dim_intlist(1, true, pulled.kind())?;
                let bend = pulled.f_sub(&chances.f_mul(&mean)?)?.f_mul(&share(asked)?)?;
                bend.f_transpose(1, 2)?.f_reshape(changes.size())
            }
            Form::Squares { rest } => changes.f_div_scalar(rest.size()[1] as f64),
        }
    }

    /// E × C × N in the shape of the outputs.
    fn back(&self, tensor: &Tensor) -> Result<Tensor, TchError> {
        debug_assert_eq!(tensor.size()[0], self.copies);
        tensor.f_transpose(1, 2)?.f_reshape(&self.size)
    }
}

/// 1 / (number of positions asked for) where one is, else 0: E × 1 × N.
fn share(asked: &Tensor) -> Result<Tensor, TchError> {
    asked.f_div(&asked.f_sum_dim_intlist(2, true, None::<Kind>)?)
}
