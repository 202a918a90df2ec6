//! Derivatives of a gradient along many directions at once, around one point (Pearlmutter 1994,
//! forward over reverse): activations and slopes are computed once, so that half of all products
//! share a factor and the nonlinear functions are never evaluated again.

use tch::{TchError, Tensor};

use super::layers::{Trail, add, context, context_gradient, fold, has_weights, spread, unfold};
use lab::network::Layer;

/// Changes of all activations along k directions, laid out as a [`Trail`]; none where none of the
/// parameters changed has a part yet.
#[derive(Debug, Default)]
pub(super) struct Moves {
    values: Vec<Option<Tensor>>,
    inner: Vec<Moves>,
}

/// The point: weights, and where its forward pass came by, all of one copy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point<'a> {
    pub(super) weights: &'a [Tensor],
    /// Directions, k × shape of each weight.
    pub(super) directions: &'a [Tensor],
}

impl Point<'_> {
    /// Changes of the outputs, k × B × …, given those of the inputs.
    pub(super) fn forward(
        self,
        layers: &[Layer],
        trail: &Trail,
        inputs: Option<&Tensor>,
        moves: &mut Moves,
    ) -> Result<Option<Tensor>, TchError> {
        let mut x = inputs.map(Tensor::shallow_clone);
        let mut inner = trail.inner.iter();
        for (index, layer) in layers.iter().enumerate() {
            let (input, output) = (&trail.values[index], &trail.values[index + 1]);
            let next = match (layer, &x) {
                (Layer::Linear { weight, .. } | Layer::Product { weight }, _) => {
                    let bias = match layer {
                        Layer::Linear { bias, .. } => Some(&self.directions[*bias]),
                        _ => None,
                    };
                    let own = super::layers::linear(input, &self.directions[*weight], bias)?;
                    Some(match &x {
                        Some(x) => x
                            .f_linear(&self.weights[*weight].f_select(0, 0)?, None::<&Tensor>)?
                            .f_add(&own)?,
                        None => own,
                    })
                }
                (Layer::Context { table, length }, _) => {
                    Some(context(&self.directions[*table], *length, input)?)
                }
                (Layer::Residual(list), _) => {
                    let Some(trail) = inner.next() else { return Err(lost()) };
                    let mut within = Moves::default();
                    let change = self.forward(list, trail, x.as_ref(), &mut within)?;
                    moves.inner.push(within);
                    match (&x, change) {
                        (Some(x), Some(change)) => Some(x.f_add(&change)?),
                        (x, change) => change.or_else(|| x.as_ref().map(Tensor::shallow_clone)),
                    }
                }
                (_, None) => None,
                (Layer::Flatten, Some(x)) => Some(x.f_flatten(2, -1)?),
                (Layer::Relu, Some(x)) => Some(x.f_mul(&positive(output)?)?),
                (Layer::Tanh, Some(x)) => Some(Tensor::f_tanh_backward(x, output)?),
                (Layer::Scale(factor), Some(x)) => Some(x.f_mul_scalar(*factor)?),
                _ => return Err(unwritten(layer)),
            };
            moves.values.push(std::mem::replace(&mut x, next));
        }
        moves.values.push(x.as_ref().map(Tensor::shallow_clone));
        Ok(x)
    }

    /// Adds to `changes` those of the gradients; `slope` (1 × …) and `bend` (k × …) are the
    /// derivative of the loss by the outputs and its changes. Gives both by the inputs.
    pub(super) fn reverse(
        self,
        layers: &[Layer],
        (trail, moves): (&Trail, &Moves),
        (slope, bend): (Tensor, Tensor),
        changes: &mut [Option<Tensor>],
        wanted: bool,
    ) -> Result<Option<(Tensor, Tensor)>, TchError> {
        let (mut slope, mut bend) = (slope, bend);
        let mut inner = trail.inner.iter().zip(&moves.inner).rev();
        let columns = bend.size()[0];
        for (index, layer) in layers.iter().enumerate().rev() {
            let (x, y) = (&trail.values[index], &trail.values[index + 1]);
            let (moved, moved_output) = (&moves.values[index], &moves.values[index + 1]);
            let wanted = wanted || layers[..index].iter().any(has_weights);
            (slope, bend) = match layer {
                Layer::Flatten => {
                    let inputs =
                        |t: &Tensor| t.f_reshape([&t.size()[..1], &x.size()[1..]].concat());
                    (inputs(&slope)?, inputs(&bend)?)
                }
                Layer::Linear { weight, .. } | Layer::Product { weight } => {
                    let (flat, bent) = (fold(&slope)?, fold(&bend)?);
                    let inputs = spread(&fold(x)?, columns)?;
                    let mut change = bent.f_transpose(1, 2)?.f_bmm(&inputs)?;
                    let many = spread(&flat, columns)?;
                    if let Some(moved) = moved {
                        change =
                            change.f_baddbmm(&many.f_transpose(1, 2)?, &fold(moved)?, 1.0, 1.0)?;
                    }
                    add(&mut changes[*weight], change)?;
                    if let Layer::Linear { bias, .. } = layer {
                        add(&mut changes[*bias], bent.f_sum_dim_intlist(1, false, bent.kind())?)?;
                    }
                    if !wanted {
                        return Ok(None);
                    }
                    let matrix = self.weights[*weight].f_select(0, 0)?;
                    let through = bent.f_matmul(&matrix)?;
                    let through = through.f_baddbmm(&many, &self.directions[*weight], 1.0, 1.0)?;
                    (unfold(&flat.f_matmul(&matrix)?, &slope)?, unfold(&through, &bend)?)
                }
                Layer::Relu => {
                    let open = positive(y)?;
                    (slope.f_mul(&open)?, bend.f_mul(&open)?)
                }
                Layer::Tanh => {
                    let mut bent = Tensor::f_tanh_backward(&bend, y)?;
                    if let Some(moved) = moved_output {
                        bent = bent.f_sub(&moved.f_mul(&y.f_mul(&slope)?.f_mul_scalar(2.0)?)?)?;
                    }
                    (Tensor::f_tanh_backward(&slope, y)?, bent)
                }
                Layer::Residual(list) => {
                    let Some(within) = inner.next() else { return Err(lost()) };
                    let given = (slope.shallow_clone(), bend.shallow_clone());
                    match self.reverse(list, within, given, changes, true)? {
                        Some((own, bent)) => (slope.f_add(&own)?, bend.f_add(&bent)?),
                        None => (slope, bend),
                    }
                }
                Layer::Scale(factor) => (slope.f_mul_scalar(*factor)?, bend.f_mul_scalar(*factor)?),
                Layer::Context { table, length } => {
                    let change = context_gradient(&self.weights[*table], *length, x, &bend)?;
                    add(&mut changes[*table], change)?;
                    return Ok(None);
                }
                _ => return Err(unwritten(layer)),
            };
            if !wanted {
                return Ok(None);
            }
        }
        Ok(Some((slope, bend)))
    }
}

/// 1 where an activation is above 0, else 0.
fn positive(y: &Tensor) -> Result<Tensor, TchError> {
    y.f_gt(0.0)?.f_to_kind(y.kind())
}

fn lost() -> TchError {
    TchError::Kind("no trail of a residual layer".to_owned())
}

fn unwritten(layer: &Layer) -> TchError {
    TchError::Kind(format!("{layer:?} has no written-out derivative"))
}
