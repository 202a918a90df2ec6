//! Hessians of a batch's loss times many columns.

use tch::{TchError, Tensor};

use super::layers::{self, Trail};
use super::tangents::{Moves, Point};
use super::{Examples, cast, fits, gradients, groups, join, none, part, split};
use lab::LabError;
use lab::network::{Body, Network};

/// Columns whose two gradients are held at once.
const COLUMNS: i64 = 64;

/// Steps of [`secants`] along singular vectors of snapshots: each singular value over the root of
/// the number of snapshots, which is how far the snapshots lie apart along that vector, and at
/// least a twentieth of the largest of these.
#[must_use]
pub fn secant_steps(singular: &[f64], snapshots: usize) -> Vec<f64> {
    let root = (snapshots.max(1) as f64).sqrt();
    let largest = singular.iter().copied().fold(0.0, f64::max) / root;
    singular.iter().map(|value| (value / root).max(0.05 * largest)).collect()
}

/// H Q by central differences, p × k: column j is (∇L(c + hⱼqⱼ) − ∇L(c − hⱼqⱼ)) / 2hⱼ at the
/// centre c (shape p) for the basis Q (p × k) and steps h (k, above 0). `examples` are of one
/// batch, 1 × B × …. Two gradients per column, all stacked.
///
/// # Errors
/// When shapes do not fit, or a step is not a number above 0.
pub fn secants(
    network: &Network,
    examples: Examples<'_>,
    centre: &Tensor,
    basis: &Tensor,
    steps: &[f64],
) -> Result<Option<Tensor>, LabError> {
    let columns = check(centre, basis, examples)?;
    if steps.len() as i64 != columns {
        let message = format!("{} steps for {columns} columns", steps.len());
        return Err(LabError::Network(message));
    }
    if let Some((index, step)) =
        steps.iter().enumerate().find(|(_, step)| !(step.is_finite() && **step > 0.0))
    {
        let message = format!("step {step} of column {index} is not a number above 0");
        return Err(LabError::Network(message));
    }
    if !fits(network) {
        return Ok(None);
    }
    let steps = Tensor::f_from_slice(steps)?
        .f_to_device(basis.device())?
        .f_to_kind(basis.kind())?
        .f_unsqueeze(1)?;
    let mut parts = Vec::new();
    for start in (0..columns).step_by(COLUMNS as usize) {
        let length = COLUMNS.min(columns - start);
        let steps = steps.f_narrow(0, start, length)?;
        let moves = basis.detach().f_narrow(1, start, length)?.f_tr()?.f_mul(&steps)?;
        let centre = centre.detach().f_unsqueeze(0)?;
        let rows = Tensor::f_cat(&[centre.f_add(&moves)?, centre.f_sub(&moves)?], 0)?;
        let Some(gradients) = gradients(network, &rows, examples)? else { return Ok(None) };
        let change =
            gradients.f_narrow(0, 0, length)?.f_sub(&gradients.f_narrow(0, length, length)?)?;
        parts.push(change.f_div(&steps.f_mul_scalar(2.0)?)?);
    }
    if parts.is_empty() {
        return Ok(basis.f_zeros_like().map(Some)?);
    }
    Ok(Tensor::f_cat(&parts, 0)?.f_tr().map(Some)?)
}

/// H Q exactly, p × k, with the arguments of [`secants`] but for the steps. `None` where the
/// derivatives are not written out: for transformers and networks with convolutions.
///
/// # Errors
/// When shapes do not fit, or a token or class is out of range.
pub fn curvatures(
    network: &Network,
    examples: Examples<'_>,
    centre: &Tensor,
    basis: &Tensor,
) -> Result<Option<Tensor>, LabError> {
    let columns = check(centre, basis, examples)?;
    let list = match &network.body {
        Body::Layers(list) if layers::all(list, &layers::explicit) => list,
        _ => return Ok(None),
    };
    if columns == 0 {
        return Ok(basis.f_zeros_like().map(Some)?);
    }
    tch::no_grad(|| {
        let row = centre.detach().f_unsqueeze(0)?;
        let (_, group) = part(&row, &examples, 0, 1)?;
        let weights = split(network, &row)?;
        let mut trail = Some(Trail::default());
        let outputs =
            layers::forward(list, &weights, &cast(group.inputs(), &weights)?, &mut trail)?;
        let trail = trail.unwrap_or_default();
        let grade = super::Grade::new(&group, &outputs)?;
        let slope = grade.slope()?;
        let rows = basis.detach().f_tr()?.f_contiguous()?;
        let mut parts = Vec::new();
        for (start, length) in groups(network, &rows, examples)? {
            let directions = split(network, &rows.f_narrow(0, start, length)?)?;
            let point = Point { weights: &weights, directions: &directions };
            let mut moves = Moves::default();
            let mut changes = none(&directions);
            if let Some(moved) = point.forward(list, &trail, None, &mut moves)? {
                let slopes = (slope.shallow_clone(), grade.bend(&moved)?);
                point.reverse(list, (&trail, &moves), slopes, &mut changes, false)?;
            }
            parts.push(join(&directions, changes)?);
        }
        Ok(Some(Tensor::f_cat(&parts, 0)?.f_tr()?))
    })
}

/// Number of columns, when centre, basis and batch fit each other.
fn check(centre: &Tensor, basis: &Tensor, examples: Examples<'_>) -> Result<i64, TchError> {
    let (length, columns) = basis.size2()?;
    let first = |tensor: &Tensor| tensor.size().first().copied();
    if centre.size() != [length] || centre.kind() != basis.kind() {
        let (size, kinds) = (centre.size(), (centre.kind(), basis.kind()));
        let message = format!("a centre {size:?} for a basis {length} × {columns}, {kinds:?}");
        return Err(TchError::Shape(message));
    }
    if first(examples.inputs) != Some(1) || first(examples.labels) != Some(1) {
        let sizes = (examples.inputs.size(), examples.labels.size());
        return Err(TchError::Shape(format!("columns share one batch, 1 × B × …, not {sizes:?}")));
    }
    Ok(columns)
}
