//! Losses of pairs of which one side is preferred, from log-likelihoods of whole responses.

use tch::{TchError, Tensor};

use super::{IGNORED, token_losses};
use crate::LabError;
use crate::network::Network;
use crate::rendering::{Row, placed};

/// −log σ(β·margin): Bradley and Terry's likelihood of a preference. Margins are differences of scores, or of
/// log π − log π_ref (Rafailov et al., arXiv:2305.18290, eq. 7).
///
/// # Errors
/// When libtorch refuses an operation.
pub fn preferred(margins: &Tensor, beta: f64) -> Result<Tensor, TchError> {
    margins.f_mul_scalar(beta)?.f_log_sigmoid()?.f_neg()
}

/// −log σ(log odds(y_w) − log odds(y_l)), odds(y) = p/(1 − p), from mean log-probabilities of a token, below 0 (Hong et
/// al., arXiv:2403.07691, eq. 6).
///
/// # Errors
/// When libtorch refuses an operation.
pub fn odds_ratio(chosen: &Tensor, rejected: &Tensor) -> Result<Tensor, TchError> {
    // log(1 − p) from log p; a certain token would have infinite odds.
    let odds = |log: &Tensor| -> Result<Tensor, TchError> {
        let log = log.f_clamp_max(-1e-6)?;
        log.f_sub(&log.f_expm1()?.f_neg()?.f_log()?)
    };
    preferred(&odds(chosen)?.f_sub(&odds(rejected)?)?, 1.0)
}

/// Log-likelihoods of the tokens that are asked for, summed over each row, and their numbers; N each.
///
/// # Errors
/// When the network is no model of tokens.
pub fn log_likelihoods<'a>(
    network: &Network,
    rows: impl IntoIterator<Item = &'a Row, IntoIter: Clone>,
) -> Result<[Tensor; 2], LabError> {
    let (inputs, labels) = placed(rows, 0, network.device())?;
    let each = token_losses(&network.forward(&inputs, true)?, &labels)?;
    let kind = each.kind();
    let counts = labels.f_ne(IGNORED)?.f_sum_dim_intlist(1, false, kind)?;
    Ok([each.f_sum_dim_intlist(1, false, kind)?.f_neg()?, counts.f_clamp_min(1.0)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gpt::{Shape, gpt};
    use crate::network::values;
    use crate::trial::streams;
    use tch::{Device, Kind};

    fn one(tensor: &Tensor) -> f64 {
        tensor.double_value(&[0])
    }

    #[test]
    fn a_preference_costs_what_the_formula_says_and_nothing_tells_scores_from_shifted_ones() {
        let loss =
            |margin: f64, beta| one(&preferred(&Tensor::from_slice(&[margin]), beta).unwrap());
        assert!((loss(0.0, 0.1) - std::f64::consts::LN_2).abs() < 1e-9);
        // Scores 1.2 and 0.2, and the same shifted.
        assert!((loss(1.2 - 0.2, 1.0) - 0.313_262).abs() < 1e-6);
        assert!((loss((1.2 + 5.0) - (0.2 + 5.0), 1.0) - 0.313_262).abs() < 1e-6);
        let margin = Tensor::from_slice(&[1.0_f64]).set_requires_grad(true);
        let loss = preferred(&margin, 1.0).unwrap();
        let slope = Tensor::run_backward(&[loss], &[&margin], false, false);
        assert!((one(&slope[0]) + 0.268_941).abs() < 1e-6);
    }

    #[test]
    fn odds_are_compared_on_their_logarithms() {
        let of = |p: f64| Tensor::from_slice(&[p.ln()]);
        // log odds of 0.8 and 0.5: ln 4 and 0.
        let found = one(&odds_ratio(&of(0.8), &of(0.5)).unwrap());
        assert!((found - (1.0 + 0.25_f64).ln()).abs() < 1e-6, "{found}");
        assert!(one(&odds_ratio(&of(1.0), &of(0.5)).unwrap()).is_finite());
    }

    #[test]
    fn likelihoods_are_of_what_is_asked_and_do_not_hang_on_the_other_rows() {
        let shape = Shape { vocabulary: 7, context: 8, width: 16, depth: 1, heads: 2, hidden: 32 };
        let network = gpt(shape, &streams(), Device::Cpu).unwrap();
        let rows = [Row::of(&[1, 2], &[3, 4, 5]), Row::of(&[6], &[2])];
        let [sums, counts] = log_likelihoods(&network, &rows).unwrap();
        assert_eq!(values(&counts).unwrap(), [3.0, 1.0]);
        let tokens = Tensor::from_slice(&[1_i64, 2, 3, 4, 5]).unsqueeze(0);
        let logits = network.forward(&tokens, false).unwrap().log_softmax(-1, Kind::Double);
        let expected: f64 =
            [(1, 3), (2, 4), (3, 5)].map(|(at, of)| logits.double_value(&[0, at, of])).iter().sum();
        assert!((one(&sums) - expected).abs() < 1e-5);
        let [alone, _] = log_likelihoods(&network, &rows[1..]).unwrap();
        assert!((one(&alone) - sums.double_value(&[1])).abs() < 1e-6);
    }
}
