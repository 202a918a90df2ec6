//! Layer densities and weight masks: the mathematics that the sparse methods share.
//!
//! Only parameters with [`Role::Weight`] are ever masked; "the weights" below are those, from the
//! input on. Shapes are out × in (× k × k).

use ledger::digest::Digest;
use ledger::streams::unit_f64;
use rand_pcg::Pcg64;
use sha2::{Digest as _, Sha256};
use tch::{Kind, TchError, Tensor};

use crate::LabError;
use crate::network::{Parameter, Role, channels_last, values};
use crate::seat::Optimizer;

/// Density of the last layer under [`uniform_plus`], when the overall density is below it.
const HEAD_DENSITY: f64 = 0.2;

/// Why layers cannot get densities.
#[derive(Debug, thiserror::Error)]
pub enum SparsityError {
    /// Layers whose density is fixed leave too little, or too much, for the others.
    #[error(
        "density {density} keeps {kept:.1} weights, but layers of fixed density hold {fixed:.1} \
         and the others have room for 0 to {room}; change the density or take \"erk\""
    )]
    Unreachable {
        /// The overall density asked for.
        density: f64,
        /// Weights it keeps.
        kept: f64,
        /// Weights in layers of fixed density.
        fixed: f64,
        /// Weights in the other layers.
        room: f64,
    },
    /// Scores that cannot be ranked.
    #[error("scores at initialisation are not finite; take \"erk\", or scale the inputs down")]
    Scores,
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

impl SparsityError {
    /// The error of `method` on `workload`.
    #[must_use]
    pub fn of(self, method: &str, workload: &str) -> LabError {
        match self {
            Self::Torch(error) => LabError::Torch(error),
            other => LabError::Unfit {
                method: method.to_owned(),
                workload: workload.to_owned(),
                reason: other.to_string(),
            },
        }
    }
}

/// Shapes of the weights.
#[must_use]
pub fn shapes(parameters: &[Parameter]) -> Vec<Vec<i64>> {
    weights(parameters).map(|(_, parameter)| parameter.tensor.size()).collect()
}

/// The weights with their indices among all parameters.
pub fn weights(parameters: &[Parameter]) -> impl Iterator<Item = (usize, &Parameter)> {
    parameters.iter().enumerate().filter(|(_, parameter)| parameter.role == Role::Weight)
}

/// Every layer at `density`.
#[must_use]
pub fn uniform(shapes: &[Vec<i64>], density: f64) -> Vec<f64> {
    vec![density; shapes.len()]
}

/// A first convolution dense, the last layer at 0.2 when `density` is below that, the others alike
/// such that the overall density is `density`.
///
/// # Errors
/// When those two layers alone keep more than `density` allows.
pub fn uniform_plus(shapes: &[Vec<i64>], density: f64) -> Result<Vec<f64>, SparsityError> {
    let last = shapes.len().saturating_sub(1);
    let fixed = |index: usize, shape: &[i64]| match index {
        0 if shape.len() == 4 => Some(1.0),
        _ if index == last && density < HEAD_DENSITY => Some(HEAD_DENSITY),
        _ => None,
    };
    around_fixed(shapes, density, fixed, uniform)
}

/// Erdős–Rényi: densities proportional to (out + in)/(out·in), clipped at 1.
#[must_use]
pub fn erdos_renyi(shapes: &[Vec<i64>], density: f64) -> Vec<f64> {
    proportional(shapes, density, |shape| &shape[..shape.len().min(2)])
}

/// Erdős–Rényi with kernel: densities proportional to (sum of all sides)/(product of all sides),
/// clipped at 1.
#[must_use]
pub fn erdos_renyi_kernel(shapes: &[Vec<i64>], density: f64) -> Vec<f64> {
    proportional(shapes, density, |shape| shape)
}

/// A last linear layer at `head`, [`erdos_renyi_kernel`] for the others such that the overall
/// density is `density`.
///
/// # Errors
/// When the last layer alone keeps more than `density` allows, or too little.
pub fn erdos_renyi_kernel_plus(
    shapes: &[Vec<i64>],
    density: f64,
    head: f64,
) -> Result<Vec<f64>, SparsityError> {
    let last = shapes.len().saturating_sub(1);
    let fixed = |index: usize, shape: &[i64]| (index == last && shape.len() == 2).then_some(head);
    around_fixed(shapes, density, fixed, erdos_renyi_kernel)
}

/// Share of each tensor among the int(`density`·N) largest `scores` of all; ties at the threshold
/// are kept.
///
/// # Errors
/// When a score is not finite or libtorch refuses an operation.
pub fn shares_of_top(scores: &[Tensor], density: f64) -> Result<Vec<f64>, SparsityError> {
    let flat = scores.iter().map(|score| score.f_reshape([-1])).collect::<Result<Vec<_>, _>>()?;
    let all = Tensor::f_cat(&flat, 0)?;
    if count(&all.f_isfinite()?)? != all.numel() as u64 {
        return Err(SparsityError::Scores);
    }
    let threshold = threshold(&all, density)?;
    let share = |scores: &Tensor| {
        let kept = count(&scores.f_ge_tensor(&threshold)?)?;
        Ok(kept as f64 / scores.numel().max(1) as f64)
    };
    flat.iter().map(share).collect()
}

/// The int(`density`·N)-th largest of `scores` (at least the largest), shape 1.
///
/// # Errors
/// When `scores` is not a vector with elements.
pub fn threshold(scores: &Tensor, density: f64) -> Result<Tensor, TchError> {
    let keep = ((scores.numel() as f64 * density) as i64).max(1);
    let (top, _) = scores.f_topk(keep, 0, true, true)?;
    top.f_narrow(0, keep - 1, 1)
}

/// Number of elements that are not zero.
///
/// # Errors
/// When it cannot be copied to the host.
pub fn count(mask: &Tensor) -> Result<u64, TchError> {
    let count = i64::try_from(&mask.f_count_nonzero(None)?)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn size(shape: &[i64]) -> f64 {
    shape.iter().product::<i64>() as f64
}

/// Densities of the layers that `fixed` leaves open, by `others` at the density that is left.
fn around_fixed(
    shapes: &[Vec<i64>],
    density: f64,
    fixed: impl Fn(usize, &[i64]) -> Option<f64>,
    others: impl Fn(&[Vec<i64>], f64) -> Vec<f64>,
) -> Result<Vec<f64>, SparsityError> {
    let (mut total, mut held, mut open) = (0.0, 0.0, Vec::new());
    for (index, shape) in shapes.iter().enumerate() {
        total += size(shape);
        match fixed(index, shape) {
            Some(density) => held += density * size(shape),
            None => open.push(shape.clone()),
        }
    }
    let (kept, room) = (density * total, open.iter().map(|shape| size(shape)).sum::<f64>());
    let left = (kept - held) / room;
    if !(0.0..=1.0).contains(&left) {
        return Err(SparsityError::Unreachable { density, kept, fixed: held, room });
    }
    let mut open = others(&open, left).into_iter();
    let densities = shapes.iter().enumerate();
    Ok(densities.filter_map(|(index, shape)| fixed(index, shape).or_else(|| open.next())).collect())
}

/// Densities ε·raw with raw = Σ sides/Π sides; layers that would exceed 1 become dense, largest
/// first, and ε is solved again: ε = (Σ_open d·n − Σ_dense (1−d)·n)/Σ_open raw·n.
fn proportional(shapes: &[Vec<i64>], density: f64, sides: impl Fn(&[i64]) -> &[i64]) -> Vec<f64> {
    // Rounding in ε must not make a dense network almost dense.
    if density >= 1.0 {
        return uniform(shapes, 1.0);
    }
    let layers: Vec<(f64, f64)> = shapes
        .iter()
        .map(|shape| (size(shape), sides(shape).iter().sum::<i64>() as f64 / size(sides(shape))))
        .collect();
    let mut dense = vec![false; layers.len()];
    loop {
        let (mut budget, mut divisor, mut top) = (0.0, 0.0, 0.0_f64);
        for (&(n, raw), &dense) in layers.iter().zip(&dense) {
            if dense {
                budget -= (1.0 - density) * n;
            } else {
                budget += density * n;
                divisor += raw * n;
                top = top.max(raw);
            }
        }
        let epsilon = budget / divisor;
        let open = dense.contains(&false);
        if open && epsilon * top > 1.0 {
            for (&(_, raw), dense) in layers.iter().zip(&mut dense) {
                *dense |= raw == top;
            }
            continue;
        }
        let density = |(&(_, raw), &dense): (&(f64, f64), &bool)| {
            if dense { 1.0 } else { epsilon * raw }
        };
        return layers.iter().zip(&dense).map(density).collect();
    }
}

/// One mask of zeros and ones per weight; other parameters have none.
#[derive(Debug, Default)]
pub struct Masks(Vec<Option<Tensor>>);

impl Masks {
    /// Keeps each weight on its own with its layer's density: u < density, u from `stream`, one
    /// draw per weight in logical order. So under one seed a sparser mask lies within a denser one.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn bernoulli(
        parameters: &[Parameter],
        densities: &[f64],
        stream: &mut Pcg64,
    ) -> Result<Self, TchError> {
        let mut densities = densities.iter();
        let mut draw = |parameter: &Parameter| {
            if parameter.role != Role::Weight {
                return Ok(None);
            }
            let Some(&density) = densities.next() else { return Ok(None) };
            let kept = |_| f32::from(u8::from(unit_f64(stream) < density));
            let mask: Vec<f32> = (0..parameter.tensor.numel()).map(kept).collect();
            like(&Tensor::f_from_slice(&mask)?, &parameter.tensor).map(Some)
        };
        parameters.iter().map(&mut draw).collect::<Result<_, _>>().map(Self)
    }

    /// The mask of a parameter, in its shape.
    #[must_use]
    pub fn get(&self, parameter: usize) -> Option<&Tensor> {
        self.0.get(parameter)?.as_ref()
    }

    /// Replaces the mask of `parameter`, which has one; `mask` is flat, in logical order.
    ///
    /// # Errors
    /// When `mask` has another length.
    pub fn replace(&mut self, parameter: usize, mask: &Tensor) -> Result<(), TchError> {
        if let Some(Some(old)) = self.0.get_mut(parameter) {
            *old = like(mask, old)?;
        }
        Ok(())
    }

    /// w ← w ⊙ m. Gradient recording must be off.
    ///
    /// # Errors
    /// When the masks are of another network.
    pub fn apply(&self, parameters: &mut [Parameter]) -> Result<(), TchError> {
        for (parameter, mask) in parameters.iter_mut().zip(&self.0) {
            if let Some(mask) = mask {
                let _ = parameter.tensor.f_mul_(mask)?;
            }
        }
        Ok(())
    }

    /// The same for the momentum buffers, where the rule keeps some.
    ///
    /// # Errors
    /// When the masks are of another network.
    pub fn apply_to_momentum(&self, optimizer: &mut dyn Optimizer) -> Result<(), TchError> {
        for (index, mask) in self.0.iter().enumerate() {
            if let (Some(mask), Some(momentum)) = (mask, optimizer.momentum(index)) {
                let _ = momentum.f_mul_(mask)?;
            }
        }
        Ok(())
    }

    /// Weights kept and weights in all, per masked layer.
    ///
    /// # Errors
    /// When masks cannot be copied to the host.
    pub fn counts(&self) -> Result<Vec<(u64, u64)>, TchError> {
        self.0.iter().flatten().map(|mask| Ok((count(mask)?, mask.numel() as u64))).collect()
    }

    /// SHA-256 over the masks as one byte, 0 or 1, per weight, in logical order.
    ///
    /// # Errors
    /// When masks cannot be copied to the host.
    pub fn digest(&self) -> Result<Digest, TchError> {
        let mut hasher = Sha256::new();
        for mask in self.0.iter().flatten() {
            let bytes: Vec<u8> = values(mask)?.iter().map(|&one| u8::from(one > 0.5)).collect();
            hasher.update(bytes);
        }
        Ok(Digest(hasher.finalize().into()))
    }
}

/// A flat mask in the shape, device and memory layout of `tensor`.
fn like(mask: &Tensor, tensor: &Tensor) -> Result<Tensor, TchError> {
    let shaped = mask.f_to_device(tensor.device())?.f_to_kind(Kind::Float)?;
    channels_last(&shaped.f_reshape(tensor.size())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overall(shapes: &[Vec<i64>], densities: &[f64]) -> f64 {
        let kept = shapes.iter().zip(densities).map(|(shape, density)| density * size(shape));
        kept.sum::<f64>() / shapes.iter().map(|shape| size(shape)).sum::<f64>()
    }

    #[test]
    fn every_distribution_meets_the_overall_density_exactly() {
        let shapes = [vec![16, 3, 3, 3], vec![32, 16, 3, 3], vec![64, 32, 3, 3], vec![10, 64]];
        for density in [0.05, 0.1, 0.2, 0.5, 0.9, 1.0] {
            let all = [
                uniform(&shapes, density),
                erdos_renyi(&shapes, density),
                erdos_renyi_kernel(&shapes, density),
                uniform_plus(&shapes, density).unwrap(),
                erdos_renyi_kernel_plus(&shapes, density, density.max(0.5)).unwrap(),
            ];
            for densities in all {
                assert_eq!(densities.len(), 4);
                assert!(densities.iter().all(|density| (0.0..=1.0).contains(density)));
                assert!((overall(&shapes, &densities) - density).abs() < 1e-9, "{densities:?}");
            }
        }
    }

    #[test]
    fn fixed_layers_that_hold_more_than_the_budget_are_refused_with_numbers() {
        let shapes = [vec![8, 1, 3, 3], vec![16, 8, 3, 3], vec![32, 16, 3, 3], vec![10, 512]];
        let message = uniform_plus(&shapes, 0.05).unwrap_err().of("m", "w").to_string();
        assert!(message.starts_with("m on w: density 0.05 keeps 547.6 weights"), "{message}");
        assert!(message.contains("fixed density hold 1096.0"), "{message}");
    }

    #[test]
    fn scores_set_shares_and_a_score_that_is_not_a_number_is_refused() {
        let (first, second) = ([4.0_f32, 3.0, 2.0, 1.0], [8.0_f32, 0.5]);
        let scores = [Tensor::from_slice(&first), Tensor::from_slice(&second)];
        assert_eq!(shares_of_top(&scores, 0.5).unwrap(), [0.5, 0.5]);
        assert_eq!(shares_of_top(&scores, 1.0).unwrap(), [1.0, 1.0]);
        let error = shares_of_top(&[Tensor::from_slice(&[1.0, f32::NAN])], 0.5).unwrap_err();
        assert!(matches!(error, SparsityError::Scores));
    }
}
