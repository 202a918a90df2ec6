//! A GPT over stacked weights; what a single one computes is in [`Gpt`].

use tch::{Kind, TchError, Tensor};

use super::layers::{gather, linear};
use lab::models::gpt::{Block, EPSILON, Gpt};

/// Logits E × B × T × V of tokens E × B × T or 1 × B × T. Rows longer than the context are read in
/// stretches of it, each from position 0.
pub(super) fn forward(gpt: &Gpt, weights: &[Tensor], tokens: &Tensor) -> Result<Tensor, TchError> {
    let (copies, _, width) = weights[Gpt::TOKENS].size3()?;
    let (_, batch, whole) = tokens.size3()?;
    let context = i64::try_from(gpt.shape.context).unwrap_or(i64::MAX);
    let length = whole.min(context);
    if length == 0 || whole % length != 0 {
        let message = format!("rows of {whole} tokens are no stretches of the context {context}");
        return Err(TchError::Shape(message));
    }
    let rows = batch * whole / length;
    let positions = weights[Gpt::POSITIONS].f_narrow(1, 0, length)?.f_unsqueeze(1)?;
    let x = gather(&weights[Gpt::TOKENS], tokens)?.f_reshape([copies, rows, length, width])?;
    let mut x = x.f_add(&positions)?.f_reshape([copies, rows * length, width])?;
    let stack = Stack { gpt, weights, rows, length };
    for index in 0..gpt.shape.depth {
        x = stack.block(gpt.block(index), &x)?;
    }
    stack
        .linear(gpt.head(), &stack.normalise(gpt.norm(), &x)?)?
        .f_reshape([copies, batch, whole, -1])
}

struct Stack<'a> {
    gpt: &'a Gpt,
    weights: &'a [Tensor],
    /// Rows of a copy, and their length.
    rows: i64,
    length: i64,
}

impl Stack<'_> {
    fn linear(&self, [weight, bias]: [usize; 2], x: &Tensor) -> Result<Tensor, TchError> {
        linear(x, &self.weights[weight], Some(&self.weights[bias]))
    }

    fn normalise(&self, [scale, shift]: [usize; 2], x: &Tensor) -> Result<Tensor, TchError> {
        let [scale, shift] = [scale, shift].map(|index| self.weights[index].f_unsqueeze(1));
        let none = None::<&Tensor>;
        let x = x.f_layer_norm([x.size()[2]], none, none, EPSILON, false)?;
        shift?.f_addcmul(&x, &scale?)
    }

    /// x + attention(norm(x)), then the same with the MLP; E × N × d.
    fn block(&self, block: Block, x: &Tensor) -> Result<Tensor, TchError> {
        let qkv = self.linear(block.qkv, &self.normalise(block.attention_norm, x)?)?;
        let x = x.f_add(&self.linear(block.out, &self.attend(&qkv)?)?)?;
        let up = self.linear(block.up, &self.normalise(block.mlp_norm, &x)?)?;
        x.f_add(&self.linear(block.down, &up.f_gelu("tanh")?)?)
    }

    /// E × N × 3d → E × N × d. Products of whole matrices: at a few positions these take less time
    /// than the attention that libtorch fuses for long rows.
    fn attend(&self, qkv: &Tensor) -> Result<Tensor, TchError> {
        let (copies, positions, wide) = qkv.size3()?;
        let heads = i64::try_from(self.gpt.shape.heads).unwrap_or(1);
        let width = wide / 3 / heads;
        let all = copies * self.rows;
        let parts = qkv
            .f_reshape([all, self.length, 3, heads, width])?
            .f_permute([2, 0, 3, 1, 4])?
            .f_reshape([3, all * heads, self.length, width])?;
        let [q, k, v] = [0, 1, 2].map(|part| parts.f_select(0, part));
        let scores = q?.f_mul_scalar(1.0 / (width as f64).sqrt())?.f_bmm(&k?.f_transpose(1, 2)?)?;
        let scores = if self.gpt.causal {
            let ones = (Kind::Bool, scores.device());
            let later = Tensor::f_ones([self.length, self.length], ones)?.f_triu(1)?;
            let mask =
                Tensor::f_zeros([self.length, self.length], (scores.kind(), scores.device()))?;
            scores.f_add(&mask.f_masked_fill(&later, f64::NEG_INFINITY)?)?
        } else {
            scores
        };
        let mixed = scores.f_softmax(-1, scores.kind())?.f_bmm(&v?)?;
        mixed.f_reshape([all, heads, self.length, width])?.f_transpose(1, 2)?.f_reshape([
            copies,
            positions,
            heads * width,
        ])
    }
}
