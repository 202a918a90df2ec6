//! Many copies of one network at once, each with parameters of its own.
//!
//! A small network is bound by the overhead of its operations: a gradient of 1,608 parameters
//! costs ten times its arithmetic. Stacked, one operation serves all copies. Parameters are rows:
//! `rows` is E × p, row e all parameters of copy e, flattened in the order of
//! [`Network::parameters`]; [`flat`] makes one. Copies run in groups whose activations fit the
//! cache. Networks of plain layers go backwards by written-out derivatives, others by libtorch's
//! graph; both agree with a single network up to rounding.
//!
//! Without a stacked form (and then `None`, before any work): batch normalisation, whose running
//! statistics belong to one network, recurrent units, denoisers and tables.

mod gpt;
mod grade;
mod layers;
mod secants;
mod tangents;
#[cfg(test)]
mod tests;

use tch::{Kind, TchError, Tensor};

use grade::Grade;
use lab::LabError;
use lab::models::gpt::Gpt;
use lab::network::{Body, Network, Role};
use lab::objectives::DefaultLoss;
use layers::Trail;
pub use secants::{curvatures, secant_steps, secants};

/// Bytes of activations and weights that a group of copies may touch: about the second level of
/// cache, so that a layer finds what the one before it left.
const GROUP: i64 = 4 << 20;
/// Bytes of activations that examples of a whole split may take at once.
const STRETCH: i64 = 1 << 20;

/// What each copy is asked.
#[derive(Debug, Clone, Copy)]
pub struct Examples<'a> {
    /// The loss; a copy's loss is the mean over its examples (for tokens, over all positions
    /// whose label is not [`IGNORED`](lab::objectives::IGNORED)), as `DefaultLoss::loss` has it.
    pub default_loss: DefaultLoss,
    /// Inputs E × B × …, or 1 × B × … when all copies share a batch.
    pub inputs: &'a Tensor,
    /// Labels E × B (× T for tokens), or 1 × B ….
    pub labels: &'a Tensor,
}

/// Whether there is a stacked form of this network.
#[must_use]
pub fn fits(network: &Network) -> bool {
    match &network.body {
        Body::Layers(list) => layers::all(list, &|layer| !layers::single(layer)),
        Body::Own(_) => Gpt::of(network).is_ok(),
        Body::Denoiser(_) | Body::Table => false,
    }
}

/// All parameters of a network as one row, p, detached.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn flat(network: &Network) -> Result<Tensor, LabError> {
    let parts: Result<Vec<_>, _> =
        network.parameters.iter().map(|p| p.tensor.detach().f_reshape([-1])).collect();
    Ok(Tensor::f_cat(&parts?, 0)?)
}

/// Outputs E × B × … of copies with parameters `rows` (E × p) on `inputs` (E × B × … or 1 × B × …),
/// all in one group; gradients flow to `rows` when they are asked for. A GPT reads rows of tokens
/// longer than its context in stretches of it, each from position 0.
///
/// # Errors
/// When shapes do not fit, or a token is not in the vocabulary.
pub fn forward(
    network: &Network,
    rows: &Tensor,
    inputs: &Tensor,
) -> Result<Option<Tensor>, LabError> {
    if !fits(network) {
        return Ok(None);
    }
    check_copies("inputs", rows.size2()?.0, inputs)?;
    outputs(network, &split(network, rows)?, inputs).map(Some)
}

/// Mean loss of each copy, shape E, without gradients.
///
/// # Errors
/// When shapes do not fit, or a token or class is out of range.
pub fn losses(
    network: &Network,
    rows: &Tensor,
    examples: Examples<'_>,
) -> Result<Option<Tensor>, LabError> {
    if !fits(network) {
        return Ok(None);
    }
    let groups = groups(network, rows, examples)?;
    let each: Result<Vec<_>, LabError> = tch::no_grad(|| {
        let one = |(start, length)| {
            let (rows, examples) = part(rows, &examples, start, length)?;
            let weights = split(network, &rows)?;
            let outputs = outputs(network, &weights, examples.inputs())?;
            Ok(Grade::new(&examples, &outputs)?.losses()?)
        };
        groups.into_iter().map(one).collect()
    });
    Ok(Tensor::f_cat(&each?, 0).map(Some)?)
}

/// Gradients of each copy's mean loss by its own parameters, E × p, detached.
///
/// # Errors
/// When shapes do not fit, or a token or class is out of range.
pub fn gradients(
    network: &Network,
    rows: &Tensor,
    examples: Examples<'_>,
) -> Result<Option<Tensor>, LabError> {
    if !fits(network) {
        return Ok(None);
    }
    let rows = rows.detach();
    let each: Result<Vec<_>, LabError> = groups(network, &rows, examples)?
        .into_iter()
        .map(|(start, length)| {
            let (rows, examples) = part(&rows, &examples, start, length)?;
            group_gradients(network, &split(network, &rows)?, &examples)
        })
        .collect();
    Ok(Tensor::f_cat(&each?, 0).map(Some)?)
}

/// Mean loss of each copy over a whole split, shared by all (1 × N × …), in groups of copies and
/// stretches of examples whose activations stay small; sums over stretches are in f64.
///
/// # Errors
/// When shapes do not fit, or a token or class is out of range.
pub fn held_out(
    network: &Network,
    rows: &Tensor,
    split_examples: Examples<'_>,
) -> Result<Option<Vec<f64>>, LabError> {
    if !fits(network) {
        return Ok(None);
    }
    let (inputs, labels) = (split_examples.inputs, split_examples.labels);
    let count = inputs.size().get(1).copied().unwrap_or(0);
    if inputs.size().first() != Some(&1) || labels.size().get(..2) != Some(&[1, count]) {
        let (inputs, labels) = (inputs.size(), labels.size());
        let message = format!("a shared split is 1 × N × …, not {inputs:?} with labels {labels:?}");
        return Err(LabError::Network(message));
    }
    let per_example = activations(network, rows, inputs) / count.max(1);
    let stretch = (STRETCH / per_example.max(1)).clamp(1, count.max(1));
    let copies = rows.size2()?.0;
    let mut sums = vec![0.0; usize::try_from(copies).unwrap_or(0)];
    let mut counts = sums.clone();
    let mut start = 0;
    tch::no_grad(|| {
        while start < count {
            let length = stretch.min(count - start);
            let (inputs, labels) =
                (inputs.f_narrow(1, start, length)?, labels.f_narrow(1, start, length)?);
            let examples = Examples { inputs: &inputs, labels: &labels, ..split_examples };
            for (first, length) in groups(network, rows, examples)? {
                let (rows, examples) = part(rows, &examples, first, length)?;
                let weights = split(network, &rows)?;
                let outputs = outputs(network, &weights, examples.inputs())?;
                let (sum, asked) = Grade::new(&examples, &outputs)?.sums()?;
                let first = usize::try_from(first).unwrap_or(0);
                for (index, (sum, asked)) in
                    doubles(&sum)?.into_iter().zip(doubles(&asked)?).enumerate()
                {
                    sums[first + index] += sum;
                    counts[first + index] += asked;
                }
            }
            start += length;
        }
        Ok::<_, LabError>(())
    })?;
    Ok(Some(sums.iter().zip(&counts).map(|(sum, count)| sum / count).collect()))
}

fn doubles(tensor: &Tensor) -> Result<Vec<f64>, TchError> {
    Vec::<f64>::try_from(
        &tensor.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Double)?.f_contiguous()?,
    )
}

/// [`Examples`] of a group, with tensors of its own.
struct Group {
    default_loss: DefaultLoss,
    inputs: Tensor,
    labels: Tensor,
}

impl Group {
    fn inputs(&self) -> &Tensor {
        &self.inputs
    }
}

/// Copies `start..start + length` and what they are asked.
fn part(
    rows: &Tensor,
    examples: &Examples<'_>,
    start: i64,
    length: i64,
) -> Result<(Tensor, Group), TchError> {
    let own = |tensor: &Tensor| match tensor.size().first() {
        Some(1) => Ok(tensor.shallow_clone()),
        _ => tensor.f_narrow(0, start, length),
    };
    let (inputs, labels) = (own(examples.inputs)?, own(examples.labels)?);
    let group = Group { default_loss: examples.default_loss, inputs, labels };
    Ok((rows.f_narrow(0, start, length)?, group))
}

/// Starts and lengths of the groups that copies run in.
fn groups(
    network: &Network,
    rows: &Tensor,
    examples: Examples<'_>,
) -> Result<Vec<(i64, i64)>, TchError> {
    let (copies, columns) = rows.size2()?;
    check_copies("inputs", copies, examples.inputs)?;
    check_copies("labels", copies, examples.labels)?;
    let bytes = rows.kind().elt_size_in_bytes() as i64;
    let each = 2 * bytes * columns + activations(network, rows, examples.inputs);
    let length = (GROUP / each.max(1)).clamp(1, copies.max(1));
    Ok((0..copies)
        .step_by(usize::try_from(length).unwrap_or(1))
        .map(|start| (start, length.min(copies - start)))
        .collect())
}

/// Bytes of the activations of one copy, roughly: what its matrices put out.
fn activations(network: &Network, rows: &Tensor, inputs: &Tensor) -> i64 {
    let size = inputs.size();
    let positions: i64 = match (inputs.kind(), size.as_slice()) {
        (Kind::Int64, [_, rest @ ..]) => rest.iter().product(),
        (_, [_, batch, _, height, width]) => batch * height * width,
        (_, [_, batch, ..]) => *batch,
        _ => 1,
    };
    let matrices = network.parameters.iter().filter(|p| p.role == Role::Weight);
    let widths: i64 = matrices.filter_map(|p| p.tensor.size().first().copied()).sum();
    positions * widths * rows.kind().elt_size_in_bytes() as i64
}

fn check_copies(what: &str, copies: i64, tensor: &Tensor) -> Result<(), TchError> {
    match tensor.size().as_slice() {
        [first, _, ..] if *first == 1 || *first == copies => Ok(()),
        size => Err(TchError::Shape(format!(
            "{what} of {copies} copies are {copies} × B × … or 1 × B × …, not {size:?}"
        ))),
    }
}

/// The parameters of all copies, each E × its shape.
fn split(network: &Network, rows: &Tensor) -> Result<Vec<Tensor>, LabError> {
    let (copies, columns) = rows.size2()?;
    let count = |tensor: &Tensor| i64::try_from(tensor.numel()).unwrap_or(i64::MAX);
    let total: i64 = network.parameters.iter().map(|p| count(&p.tensor)).sum();
    if total != columns {
        let message = format!("rows of {columns} values for a network of {total} parameters");
        return Err(LabError::Network(message));
    }
    let mut start = 0;
    let parts = network.parameters.iter().map(|parameter| {
        let length = count(&parameter.tensor);
        let part = rows.f_narrow(1, start, length)?;
        start += length;
        Ok(part.f_reshape([vec![copies], parameter.tensor.size()].concat())?)
    });
    parts.collect()
}

fn outputs(network: &Network, weights: &[Tensor], inputs: &Tensor) -> Result<Tensor, LabError> {
    match &network.body {
        Body::Layers(list) => {
            let mut trail = None;
            Ok(layers::forward(list, weights, &cast(inputs, weights)?, &mut trail)?)
        }
        Body::Own(_) => Ok(gpt::forward(Gpt::of(network)?, weights, inputs)?),
        Body::Denoiser(_) | Body::Table => {
            Err(LabError::Network("the network has no stacked form".to_owned()))
        }
    }
}

/// Inputs in the kind of the weights; tokens stay as they are.
fn cast(inputs: &Tensor, weights: &[Tensor]) -> Result<Tensor, TchError> {
    match weights.first() {
        Some(weight) if inputs.kind() != Kind::Int64 => inputs.f_to_kind(weight.kind()),
        _ => Ok(inputs.shallow_clone()),
    }
}

fn group_gradients(
    network: &Network,
    weights: &[Tensor],
    examples: &Group,
) -> Result<Tensor, LabError> {
    let gradients = match &network.body {
        Body::Layers(list) if layers::all(list, &layers::explicit) => tch::no_grad(|| {
            let mut trail = Some(Trail::default());
            let inputs = cast(&examples.inputs, weights)?;
            let outputs = layers::forward(list, weights, &inputs, &mut trail)?;
            let slope = Grade::new(examples, &outputs)?.slope()?;
            let mut gradients = none(weights);
            let trail = trail.unwrap_or_default();
            layers::reverse(list, weights, &trail, slope, &mut gradients, false)?;
            Ok::<_, LabError>(gradients)
        })?,
        _ => {
            // Leaves of their own: the graph would otherwise fill E × p with zeros for each part.
            let leaves: Vec<_> =
                weights.iter().map(|weight| weight.detach().set_requires_grad(true)).collect();
            let outputs = tch::with_grad(|| outputs(network, &leaves, &examples.inputs))?;
            let slope = tch::no_grad(|| Grade::new(examples, &outputs.detach())?.slope())?;
            let dot = tch::with_grad(|| outputs.f_mul(&slope)?.f_sum(None::<Kind>))?;
            Tensor::f_run_backward(&[dot], &leaves, false, false)?.into_iter().map(Some).collect()
        }
    };
    Ok(join(weights, gradients)?)
}

/// No gradient yet for any parameter.
fn none(weights: &[Tensor]) -> Vec<Option<Tensor>> {
    weights.iter().map(|_| None).collect()
}

/// Gradients side by side, E × p; 0 where a parameter has no part in the outputs.
fn join(weights: &[Tensor], gradients: Vec<Option<Tensor>>) -> Result<Tensor, TchError> {
    let parts: Result<Vec<_>, TchError> = weights
        .iter()
        .zip(gradients)
        .map(|(weight, gradient)| match gradient {
            Some(gradient) if gradient.defined() => gradient.f_flatten(1, -1),
            _ => weight.f_zeros_like()?.f_flatten(1, -1),
        })
        .collect();
    Tensor::f_cat(&parts?, 1)
}
