//! Peers of what estimates say of items left out: what gradients at the end of a run say that leaving an item out
//! does, without following the run.
//!
//! - *EK-FAC* (George et al., arXiv:1806.03884; influence functions by it: Grosse et al.,
//!   arXiv:2308.03296): gᵀ(F + δ)⁻¹gᵢ with the Fisher matrix F of each product of the network taken as
//!   a Kronecker product A ⊗ G of its inputs' and its outputs' gradients' second moments, and its
//!   eigenvalues measured anew in that basis; δ is a tenth of their mean. The expectation over labels
//!   is taken exactly, class by class. Parameters that are no product's (norms) are left out.
//! - *Kernel*, as TRAK (Park et al., arXiv:2303.14186) has it for one model: gᵀ(ΦᵀΦ + δ)⁻¹gᵢ with the
//!   items' own gradients Φ in place of a Hessian. Networks are small here, so that nothing is projected;
//!   TRAK's weights 1 − p and its mean over several models are left out.
//!
//! Numbers rank items; their unit is of no use. Positive: the loss would be higher without the item.

use std::sync::{Arc, Mutex, PoisonError};

use tch::{Kind, TchError, Tensor};

use super::{Problem, TrainedProblem};
use lab::LabError;
use lab::network::{Body, Layer, Network, Tap};
use lab::objectives::DefaultLoss;

/// Damping, as a share of the mean eigenvalue.
const DAMPING: f64 = 0.1;

/// gᵀ(ΦᵀΦ + δ)⁻¹gᵢ of every item at `at` (p).
///
/// # Errors
/// When libtorch refuses an operation.
pub fn kernel<P: Problem + ?Sized>(problem: &P, at: &Tensor) -> Result<Vec<f64>, LabError> {
    let items: Vec<usize> = (0..problem.items()).collect();
    let rows = at.f_unsqueeze(0)?.f_expand([items.len() as i64, -1], false)?;
    let all = problem.gradients(&items, &rows)?.f_to_kind(Kind::Double)?;
    let towards = problem.held_out_gradient(at)?.f_to_kind(Kind::Double)?;
    let gram = all.f_matmul(&all.f_tr()?)?;
    let damping = gram.f_diagonal(0, 0, 1)?.f_mean(None)?.f_mul_scalar(DAMPING)?;
    let eye = Tensor::f_eye(items.len() as i64, (Kind::Double, gram.device()))?;
    let damped = gram.f_add(&eye.f_mul(&damping)?)?;
    let right = all.f_matmul(&towards)?.f_unsqueeze(1)?;
    let scores = Tensor::f_linalg_solve(&damped, &right, true)?;
    Ok(Vec::try_from(&scores.f_reshape([-1])?)?)
}

/// The Fisher matrix of a product in the eigenbasis of its Kronecker factors.
#[derive(Debug)]
pub struct Factor {
    weight: usize,
    bias: Option<usize>,
    /// Eigenvectors of the inputs' second moment, columns.
    inputs: Tensor,
    /// The same of the outputs' gradients.
    outputs: Tensor,
    /// Eigenvalues, out × in.
    pub values: Tensor,
}

/// What entered and what left each product of one forward pass.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<(usize, Tensor, Tensor)>>);

impl Tap for Recorder {
    fn input(&self, weight: usize, input: &Tensor) -> Result<Tensor, TchError> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push((weight, input.detach(), Tensor::f_zeros([0], (Kind::Float, input.device()))?));
        Ok(input.shallow_clone())
    }

    fn output(&self, _: usize, output: Tensor) -> Result<Tensor, TchError> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A copy goes on: an activation in place must not change what gradients are asked of.
        let on = output.f_mul_scalar(1.0)?;
        if let Some(last) = seen.last_mut() {
            last.2 = output;
        }
        Ok(on)
    }
}

/// Inputs (N × L × in) and outputs' gradients (N × L × out, one a class) of a product over some examples:
/// a gradient of one example is the sum over its L places.
struct Seen {
    weight: usize,
    inputs: Tensor,
    gradients: Vec<Tensor>,
}

/// Factors of every product, over all items at `at` (p), and the network's bias of each weight; `None`
/// for networks that are no list of layers, weights that are made of parts, and losses other than
/// cross-entropy.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn factors(problem: &TrainedProblem<'_>, at: &Tensor) -> Result<Option<Vec<Factor>>, LabError> {
    let Body::Layers(layers) = &problem.network().body else { return Ok(None) };
    if problem.is_parametrised() || matches!(problem.default_loss(), DefaultLoss::Squares) {
        return Ok(None);
    }
    let mut products = Vec::new();
    listed(layers, &mut products);
    let mut network = problem.network().duplicate();
    put(&network, at)?;
    let mut all = Vec::new();
    let mut examples = 0;
    for item in 0..problem.items() {
        let (seen, count) = followed(&mut network, &problem.batch(item).inputs, &products)?;
        all.push(seen);
        examples += count;
    }
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 examples")]
    let examples = examples as f64;
    let mut found = Vec::new();
    for (place, (weight, bias, _)) in products.iter().enumerate() {
        let of = all.iter().filter_map(|seen| seen.get(place));
        let (mut first, mut second): (Option<Tensor>, Option<Tensor>) = (None, None);
        for seen in of.clone() {
            add(&mut first, moment(&seen.inputs)?)?;
            for gradient in &seen.gradients {
                add(&mut second, moment(gradient)?)?;
            }
        }
        let (Some(first), Some(second)) = (first, second) else { return Ok(None) };
        let ((_, inputs), (_, outputs)) = (first.f_linalg_eigh("L")?, second.f_linalg_eigh("L")?);
        let mut values: Option<Tensor> = None;
        for seen in of {
            let right = seen.inputs.f_matmul(&inputs)?;
            for gradient in &seen.gradients {
                let left = gradient.f_matmul(&outputs)?.f_transpose(1, 2)?;
                let squares = left.f_matmul(&right)?.f_square()?;
                add(&mut values, squares.f_sum_dim_intlist(0, false, Kind::Double)?)?;
            }
        }
        let Some(values) = values else { return Ok(None) };
        let values = values.f_div_scalar(examples)?;
        found.push(Factor { weight: *weight, bias: *bias, inputs, outputs, values });
    }
    Ok(Some(found))
}

/// gᵀ(F + δ)⁻¹gᵢ of every item by EK-FAC at `at` (p); `None` as of [`factors`].
///
/// # Errors
/// When libtorch refuses an operation.
pub fn ekfac(problem: &TrainedProblem<'_>, at: &Tensor) -> Result<Option<Vec<f64>>, LabError> {
    let Some(factors) = factors(problem, at)? else { return Ok(None) };
    let towards = problem.held_out_gradient(at)?.f_to_kind(Kind::Double)?;
    let mut scores = Vec::with_capacity(problem.items());
    let solved = factors.iter().map(|factor| {
        let damping = factor.values.f_mean(None)?.f_mul_scalar(DAMPING)?;
        rotated(factor, problem.network(), &towards)?.f_div(&factor.values.f_add(&damping)?)
    });
    let solved = solved.collect::<Result<Vec<_>, TchError>>()?;
    for item in 0..problem.items() {
        let gradient = problem.gradient(item, at)?.f_to_kind(Kind::Double)?;
        let mut score = 0.0;
        for (factor, solved) in factors.iter().zip(&solved) {
            let own = rotated(factor, problem.network(), &gradient)?;
            score += own.f_mul(solved)?.f_sum(Kind::Double)?.f_double_value(&[])?;
        }
        scores.push(score);
    }
    Ok(Some(scores))
}

/// The gradient of a product, out × in with its bias as a last column, in the eigenbasis.
fn rotated(factor: &Factor, network: &Network, flat: &Tensor) -> Result<Tensor, TchError> {
    let part = |index: usize| -> Result<Tensor, TchError> {
        let before = network.parameters.iter().take(index);
        let start: usize = before.map(|parameter| parameter.tensor.numel()).sum();
        let tensor = network.at(index);
        let out = tensor.size().first().copied().unwrap_or(1);
        flat.f_narrow(0, start as i64, tensor.numel() as i64)?.f_reshape([out, -1])
    };
    let mut own = part(factor.weight)?;
    if let Some(bias) = factor.bias {
        own = Tensor::f_cat(&[own, part(bias)?], 1)?;
    }
    factor.outputs.f_tr()?.f_matmul(&own)?.f_matmul(&factor.inputs)
}

/// A weight, its bias, and the stride of a convolution.
type Product = (usize, Option<usize>, Option<i64>);

/// Products in the order of the forward pass.
fn listed(layers: &[Layer], products: &mut Vec<Product>) {
    for layer in layers {
        match layer {
            Layer::Linear { weight, bias } => products.push((*weight, Some(*bias), None)),
            Layer::Product { weight } => products.push((*weight, None, None)),
            Layer::Conv { weight, bias } => products.push((*weight, *bias, Some(1))),
            Layer::HalvingConv { weight } => products.push((*weight, None, Some(2))),
            Layer::Residual(inner) | Layer::HalvedResidual { inner, .. } => listed(inner, products),
            _ => {}
        }
    }
}

/// One forward pass, and for every class a backward pass weighted by the root of its probability.
fn followed(
    network: &mut Network,
    inputs: &Tensor,
    products: &[Product],
) -> Result<(Vec<Seen>, i64), LabError> {
    let recorder = Arc::new(Recorder::default());
    network.tap = Some(Arc::clone(&recorder) as Arc<dyn Tap>);
    let logits = network.forward(inputs, true)?;
    let classes = logits.size().last().copied().unwrap_or(1);
    let logs = logits.f_reshape([-1, classes])?.f_log_softmax(1, Kind::Float)?;
    let roots = logs.detach().f_div_scalar(2.0)?.f_exp()?;
    let weighted = logs.f_mul(&roots)?.f_neg()?;
    let recorded = std::mem::take(&mut *recorder.0.lock().unwrap_or_else(PoisonError::into_inner));
    let outputs: Vec<&Tensor> = recorded.iter().map(|(_, _, output)| output).collect();
    let mut all = Vec::new();
    for ((weight, input, _), (listed, bias, stride)) in recorded.iter().zip(products) {
        if weight != listed {
            return Err(LabError::Order("products come in another order than layers".to_owned()));
        }
        let inputs = places(network.at(*weight), input, *stride)?;
        let inputs = match bias {
            Some(_) => {
                let [n, l, _] = <[i64; 3]>::try_from(inputs.size()).unwrap_or_default();
                let ones = Tensor::f_ones([n, l, 1], (Kind::Double, inputs.device()))?;
                Tensor::f_cat(&[inputs, ones], 2)?
            }
            None => inputs,
        };
        all.push(Seen { weight: *weight, inputs, gradients: Vec::new() });
    }
    for class in 0..classes {
        let loss = weighted.f_select(1, class)?.f_sum(Kind::Float)?;
        let gradients = Tensor::f_run_backward(&[&loss], &outputs, class + 1 < classes, false)?;
        for (seen, gradient) in all.iter_mut().zip(gradients) {
            let gradient = gradient.f_to_kind(Kind::Double)?;
            let out = network.at(seen.weight).size()[0];
            seen.gradients.push(match gradient.dim() {
                4 => gradient.f_flatten(2, -1)?.f_transpose(1, 2)?,
                _ => gradient.f_reshape([-1, 1, out])?,
            });
        }
    }
    let examples = all.first().map_or(0, |seen| seen.inputs.size()[0]);
    Ok((all, examples))
}

/// What a product multiplies, N × L × in: rows, or the patches of a convolution.
fn places(weight: &Tensor, input: &Tensor, stride: Option<i64>) -> Result<Tensor, TchError> {
    let input = input.f_to_kind(Kind::Double)?;
    match stride {
        None => input.f_reshape([-1, 1, weight.size()[1]]),
        Some(stride) => {
            let width = weight.size().last().copied().unwrap_or(1);
            let pad = width / 2;
            let patches = input.f_im2col([width, width], [1, 1], [pad, pad], [stride, stride])?;
            patches.f_transpose(1, 2)
        }
    }
}

/// Σ over all places, in × in.
fn moment(rows: &Tensor) -> Result<Tensor, TchError> {
    let flat = rows.f_flatten(0, 1)?;
    flat.f_tr()?.f_matmul(&flat)
}

fn add(sum: &mut Option<Tensor>, more: Tensor) -> Result<(), TchError> {
    *sum = Some(match sum.take() {
        Some(sum) => sum.f_add(&more)?,
        None => more,
    });
    Ok(())
}

/// Puts `at` (p) into a network.
fn put(network: &Network, at: &Tensor) -> Result<(), TchError> {
    let mut offset = 0;
    tch::no_grad(|| {
        for parameter in &network.parameters {
            let length = parameter.tensor.numel() as i64;
            let values = at.f_narrow(0, offset, length)?.f_reshape(parameter.tensor.size())?;
            parameter.tensor.shallow_clone().f_copy_(&values)?;
            offset += length;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use lab::models::Builder;
    use lab::models::mlp::mlp;
    use lab::split::Split;
    use lab::trial;
    use tch::Device;

    use super::*;

    /// Mean over the examples of Σ_c p_c‖∇(−log p_c)‖²: the trace of the Fisher matrix.
    fn trace(network: &Network, split: &Split, items: &[Vec<u32>]) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        for id in items.concat() {
            let logits = network.forward(&split.batch(&[id]).unwrap().inputs, true).unwrap();
            let logs = logits.log_softmax(1, Kind::Float);
            for class in 0..logs.size()[1] {
                let loss = logs.select(1, class).sum(Kind::Float).neg();
                let share = loss.neg().exp().double_value(&[]);
                let gradients = Tensor::run_backward(&[&loss], &leaves, true, false);
                let square: f64 =
                    gradients.iter().map(|g| g.square().sum(Kind::Double).double_value(&[])).sum();
                sum += share * square;
            }
            count += 1.0;
        }
        sum / count
    }

    fn cnn() -> Network {
        let mut builder = Builder::new(&trial::streams(), Device::Cpu);
        let layers = vec![
            builder.conv("conv1", 1, 3, 3).unwrap(),
            Layer::Relu,
            Layer::MaxPool,
            Layer::Flatten,
            builder.linear("fc", 12, 4).unwrap(),
        ];
        builder.finish(layers)
    }

    #[test]
    fn eigenvalues_sum_to_the_trace_of_the_fisher_matrix() {
        let items: Vec<Vec<u32>> = (0..3).map(|item| (item * 4..item * 4 + 4).collect()).collect();
        let flat = trial::split(&[4]).unwrap();
        let images = trial::split(&[4, 4, 1]).unwrap();
        let cases =
            [(mlp(&[4, 5, 4], &trial::streams(), Device::Cpu).unwrap(), flat), (cnn(), images)];
        for (network, split) in cases {
            let loss = DefaultLoss::Classes;
            let problem = TrainedProblem::new(&network, loss, &split, &items, &split).unwrap();
            let at = TrainedProblem::flat(&network).unwrap();
            let factors = factors(&problem, &at).unwrap().unwrap();
            assert_eq!(factors.len(), 2);
            let sum: f64 =
                factors.iter().map(|one| one.values.sum(Kind::Double).double_value(&[])).sum();
            let expected = trace(&network, &split, &items);
            assert!((sum - expected).abs() < 1e-4 * expected, "{sum} {expected}");
            let scores = ekfac(&problem, &at).unwrap().unwrap();
            assert!(scores.len() == 3 && scores.iter().all(|score| score.is_finite()));
        }
    }

    #[test]
    fn the_kernel_is_that_of_the_damped_normal_equations() {
        let network = mlp(&[4, 5, 4], &trial::streams(), Device::Cpu).unwrap();
        let split = trial::split(&[4]).unwrap();
        let items: Vec<Vec<u32>> = (0..3).map(|item| vec![item, item + 3]).collect();
        let problem =
            TrainedProblem::new(&network, DefaultLoss::Classes, &split, &items, &split).unwrap();
        let at = TrainedProblem::flat(&network).unwrap();
        let found = kernel(&problem, &at).unwrap();
        // The same in p dimensions.
        let rows: Vec<Tensor> = (0..3).map(|item| problem.gradient(item, &at).unwrap()).collect();
        let all = Tensor::stack(&rows, 0).to_kind(Kind::Double);
        let damping = all.square().sum(Kind::Double).double_value(&[]) / 3.0 * DAMPING;
        let p = all.size()[1];
        let normal = all.tr().matmul(&all) + Tensor::eye(p, (Kind::Double, Device::Cpu)) * damping;
        let towards = problem.held_out_gradient(&at).unwrap().to_kind(Kind::Double);
        let solved = Tensor::linalg_solve(&normal, &towards.unsqueeze(1), true).squeeze();
        let expected = Vec::<f64>::try_from(all.mv(&solved)).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-4 * expected.abs().max(1e-3),
                "{found} {expected}"
            );
        }
    }
}
