//! Shares of SNIP's scores (Lee et al., arXiv:1810.02340), as Random Pruning takes them.

use rand_pcg::Pcg64;
use tch::{Reduction, Tensor};

use super::{SparsityError, count, threshold, weights};
use crate::LabError;
use crate::init;
use crate::network::Network;
use crate::seat::Batch;

/// Share of each weight tensor among the int(`density`·N) largest |w·∂L/∂w| on `probe`, with all
/// weights re-drawn from Xavier's normal. The network is left as it was, bit for bit.
///
/// # Errors
/// When a score is not finite or libtorch refuses an operation.
pub fn shares(
    network: &mut Network,
    density: f64,
    probe: &Batch,
    stream: &mut Pcg64,
) -> Result<Vec<f64>, SparsityError> {
    let before = network.snapshot();
    let scores = scores(network, stream, probe);
    network.restore(&before)?;
    shares_of_top(&scores?, density)
}

/// |w·∂L/∂w| per weight, after re-drawing all weights.
fn scores(network: &Network, stream: &mut Pcg64, probe: &Batch) -> Result<Vec<Tensor>, LabError> {
    let mut weights: Vec<Tensor> = weights(&network.parameters)
        .map(|(_, parameter)| parameter.tensor.shallow_clone())
        .collect();
    for weight in &mut weights {
        let drawn = init::xavier_normal(stream, &weight.size(), weight.device())?;
        tch::no_grad(|| weight.f_copy_(&drawn))?;
    }
    let loss = network.forward(&probe.inputs, true)?.f_cross_entropy_loss::<Tensor>(
        &probe.labels,
        None,
        Reduction::Mean,
        -100,
        0.0,
    )?;
    let gradients = Tensor::f_run_backward(&[&loss], &weights, false, false)?;
    let pairs = weights.iter().zip(&gradients);
    pairs.map(|(weight, gradient)| Ok(weight.detach().f_mul(gradient)?.f_abs()?)).collect()
}

/// Share of each tensor among the int(`density`·N) largest `scores` of all; ties at the threshold
/// are kept.
///
/// # Errors
/// When a score is not finite or libtorch refuses an operation.
fn shares_of_top(scores: &[Tensor], density: f64) -> Result<Vec<f64>, SparsityError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::cnn::{Shape, cnn};
    use crate::trial;

    #[test]
    fn scores_set_shares_and_a_score_that_is_not_a_number_is_refused() {
        let (first, second) = ([4.0_f32, 3.0, 2.0, 1.0], [8.0_f32, 0.5]);
        let scores = [Tensor::from_slice(&first), Tensor::from_slice(&second)];
        assert_eq!(shares_of_top(&scores, 0.5).unwrap(), [0.5, 0.5]);
        assert_eq!(shares_of_top(&scores, 1.0).unwrap(), [1.0, 1.0]);
        let error = shares_of_top(&[Tensor::from_slice(&[1.0, f32::NAN])], 0.5).unwrap_err();
        assert!(matches!(error, SparsityError::Scores));
    }

    #[test]
    fn a_score_is_the_weight_times_its_gradient_after_the_weights_are_drawn_anew() {
        let shape = Shape { channels: 1, side: 8, widths: [2, 4, 4], classes: 4, norm: true };
        let network = cnn(shape, &trial::streams(), tch::Device::Cpu).unwrap();
        let probe = trial::batch(&[8, 8, 1]).unwrap();
        let before: Vec<Tensor> =
            weights(&network.parameters).map(|(_, one)| one.tensor.copy()).collect();
        let mut stream = trial::streams().generator("method");
        let scores = scores(&network, &mut stream, &probe).unwrap();
        let now: Vec<Tensor> =
            weights(&network.parameters).map(|(_, one)| one.tensor.shallow_clone()).collect();
        assert!(
            now.iter().zip(&before).all(|(now, before)| now
                .ne_tensor(before)
                .any()
                .double_value(&[])
                == 1.0)
        );
        let logits = network.forward(&probe.inputs, true).unwrap();
        let loss = logits.cross_entropy_for_logits(&probe.labels);
        let gradients = Tensor::run_backward(&[&loss], &now, false, false);
        for ((score, weight), gradient) in scores.iter().zip(&now).zip(&gradients) {
            let by_hand = (weight.detach() * gradient).abs();
            assert!((score - by_hand).abs().max().double_value(&[]) < 1e-7);
            assert!((score - gradient.abs()).abs().max().double_value(&[]) > 1e-4);
        }
    }

    #[test]
    fn scoring_leaves_weights_and_running_statistics_bit_for_bit() {
        let shape = Shape { channels: 1, side: 8, widths: [2, 4, 4], classes: 4, norm: true };
        let mut network = cnn(shape, &trial::streams(), tch::Device::Cpu).unwrap();
        let probe = trial::batch(&[8, 8, 1]).unwrap();
        let before = network.digest().unwrap();
        let mut stream = trial::streams().generator("method");
        let shares = shares(&mut network, 0.5, &probe, &mut stream).unwrap();
        assert_eq!(network.digest().unwrap(), before);
        // 18 + 72 + 144 + 64 weights, of which int(0.5 * 298) are kept.
        let kept: f64 = shares.iter().zip([18.0, 72.0, 144.0, 64.0]).map(|(s, n)| s * n).sum();
        assert!((kept - 149.0).abs() < 1e-9, "{shares:?}");
    }
}
