//! Changing masks while training: global pruning by magnitude, renewal by gradient, and how much of both.

use tch::{TchError, Tensor};

use super::masks::Masks;
use super::{count, threshold, weights};
use crate::network::Parameter;
use crate::seat::Gradients;

/// Density that event `event` of `events` prunes to, from `first` down to `last`:
/// last + (first − last)(1 − event/events)³ (Zhu and Gupta, arXiv:1710.01878); none once pruning is over.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "event counts stay far below 2^52")]
pub fn cubic_density(event: u64, events: u64, first: f64, last: f64) -> Option<f64> {
    let left = 1.0 - event as f64 / events as f64;
    (event < events).then(|| last + (first - last) * left.powi(3))
}

/// Share of weights that is renewed at `share` of the run: from `first` to `last` by half a cosine.
#[must_use]
pub fn cosine_rate(first: f64, last: f64, share: f64) -> f64 {
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
    last + (first - last) * cosine
}

/// Keeps the weights with |w| above (not at) the int(`density`·N)-th largest of all N. Weights that
/// are already masked must be 0, so that none comes back.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn prune_globally(
    masks: &mut Masks,
    parameters: &[Parameter],
    density: f64,
) -> Result<(), TchError> {
    let flat = weights(parameters).map(|(_, weight)| weight.tensor.f_abs()?.f_reshape([-1]));
    let flat = flat.collect::<Result<Vec<_>, _>>()?;
    let threshold = threshold(&Tensor::f_cat(&flat, 0)?, density)?;
    for ((index, _), magnitudes) in weights(parameters).zip(&flat) {
        masks.replace(index, &magnitudes.f_gt_tensor(&threshold)?)?;
    }
    Ok(())
}

/// In every layer that took a gradient, drops the ⌈`rate`·z⌉ smallest of its z weights and grows as
/// many where the gradient is largest. Returns the number of weights that come alive: they were masked before and are not any more.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn renew(
    masks: &mut Masks,
    parameters: &[Parameter],
    gradients: &Gradients,
    rate: f64,
) -> Result<u64, TchError> {
    let mut alive = 0;
    for (&index, gradient) in gradients.active.iter().zip(&gradients.tensors) {
        let Some(mask) = masks.get(index) else { continue };
        let number = (rate * count(mask)? as f64).ceil() as i64;
        let after = renewed(mask, &parameters[index].tensor, gradient, number)?;
        alive += count(&after.f_gt_tensor(mask)?)?;
        masks.replace(index, &after)?;
    }
    Ok(alive)
}

/// `mask` less the `number` kept weights of smallest magnitude, plus as many of the largest
/// gradients among all that are then masked; ties go by index. All of one shape.
///
/// # Errors
/// When `number` is more than `mask` keeps.
fn renewed(
    mask: &Tensor,
    weight: &Tensor,
    gradient: &Tensor,
    number: i64,
) -> Result<Tensor, TchError> {
    let shape = mask.size();
    let [mask, weight, gradient] = [mask, weight, gradient].map(|tensor| tensor.f_reshape([-1]));
    let mask = mask?;
    let masked =
        i64::try_from(mask.numel()).unwrap_or(0) - i64::try_from(count(&mask)?).unwrap_or(0);
    let magnitudes = weight?.f_abs()?.f_masked_fill(&mask.f_eq(0.0)?, -1.0)?;
    let (_, ascending) = magnitudes.f_sort_stable(true, 0, false)?;
    let left = mask.f_index_fill(0, &ascending.f_narrow(0, masked, number)?, 0.0)?;
    let pulls = gradient?.f_abs()?.f_masked_fill(&left.f_ne(0.0)?, -1.0)?;
    let (_, descending) = pulls.f_sort_stable(true, 0, true)?;
    left.f_index_fill(0, &descending.f_narrow(0, 0, number)?, 1.0)?.f_reshape(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial;

    /// The same by plain sorting on the host.
    fn renewed_by_hand(mask: &[f32], weight: &[f32], gradient: &[f32], number: usize) -> Vec<f32> {
        let mut after = mask.to_vec();
        let mut kept: Vec<usize> = (0..mask.len()).filter(|&i| mask[i] == 1.0).collect();
        kept.sort_by(|&a, &b| weight[a].abs().total_cmp(&weight[b].abs()));
        kept.iter().take(number).for_each(|&i| after[i] = 0.0);
        let mut open: Vec<usize> = (0..mask.len()).filter(|&i| after[i] == 0.0).collect();
        open.sort_by(|&a, &b| gradient[b].abs().total_cmp(&gradient[a].abs()));
        open.iter().take(number).for_each(|&i| after[i] = 1.0);
        after
    }

    #[test]
    fn density_falls_as_a_cube_stopping_one_event_early_and_the_rate_by_half_a_cosine() {
        let close = |value: f64, expected: f64| assert!((value - expected).abs() < 5e-6, "{value}");
        for (c, expected) in [(1, 0.871_637), (10, 0.2125), (19, 0.100_112_5)] {
            close(cubic_density(c, 20, 1.0, 0.1).unwrap(), expected);
        }
        for (c, expected) in [(1, 0.462_526), (16, 0.145_316), (30, 0.100_013_4)] {
            close(cubic_density(c, 31, 0.5, 0.1).unwrap(), expected);
        }
        assert_eq!(cubic_density(31, 31, 0.5, 0.1), None);
        let rates = [(0.0, 0.5), (0.25, 0.427_51), (0.5, 0.2525), (0.75, 0.077_49), (1.0, 0.005)];
        for (share, expected) in rates {
            close(cosine_rate(0.5, 0.005, share), expected);
        }
    }

    #[test]
    fn the_grown_set_is_the_top_of_the_complement() {
        let mut noise = trial::streams().generator("noise");
        for (round, number) in [(0, 0), (1, 1), (2, 17), (3, 60)] {
            let mut draw = |scale: f32| {
                let normal = ledger::streams::normal(&mut noise, 300);
                // Rounding makes ties.
                normal.iter().map(|x| (x * scale).round()).collect::<Vec<_>>()
            };
            let mask: Vec<f32> = draw(9.0).iter().map(|&x| f32::from(u8::from(x > 5.0))).collect();
            assert!(mask.iter().filter(|one| **one == 1.0).count() >= 60);
            let weight: Vec<f32> = draw(4.0).iter().zip(&mask).map(|(w, m)| w * m).collect();
            let gradient = draw(4.0);
            let [m, w, g] =
                [&mask, &weight, &gradient].map(|x| Tensor::from_slice(x).view([15, 20]));
            let after = values(&renewed(&m, &w, &g, number).unwrap()).unwrap();
            let expected = renewed_by_hand(&mask, &weight, &gradient, number as usize);
            assert_eq!(after, expected, "round {round}");
            assert_eq!(after.iter().sum::<f32>(), mask.iter().sum::<f32>());
        }
    }

    #[test]
    fn dropping_and_growing_in_a_dense_layer_changes_nothing() {
        let dense = Tensor::from_slice(&[1.0_f32; 8]);
        let weight = Tensor::from_slice(&[3.0_f32, -1.0, 2.0, 0.5, -4.0, 0.0, 1.5, 2.5]);
        let after = renewed(&dense, &weight, &weight.sin(), 4).unwrap();
        assert_eq!(values(&after).unwrap(), [1.0; 8]);
    }
}
