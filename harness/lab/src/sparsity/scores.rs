//! Masks by trained scores, as winning sub-networks have them (Kang et al., ICML 2022): a weight is in where its score
//! is among the largest of its layer.

use tch::{Kind, TchError, Tensor};

/// Rank of the smallest score that stays, of `count`, from 1 at the smallest on: `1 + round(s(n − 1))`, halves to the
/// even number as in Python.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "a share of the count")]
pub fn rank(sparsity: f64, count: usize) -> i64 {
    1 + (sparsity * count.saturating_sub(1) as f64).round_ties_even() as i64
}

/// 1 where a score is at least that of [`rank`], else 0; scores that are equal stay or go together.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn mask(scores: &Tensor, sparsity: f64) -> Result<Tensor, TchError> {
    let flat = scores.detach().f_reshape([-1])?;
    let (least, _) = flat.f_kthvalue(rank(sparsity, scores.numel()), 0, false)?;
    scores.detach().f_ge_tensor(&least)?.f_to_kind(Kind::Float)
}

/// The mask's values with the gradient of `scores`: straight through.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn through(scores: &Tensor, sparsity: f64) -> Result<Tensor, TchError> {
    // What is added is 0 exactly, so that training sees the very mask that is kept.
    mask(scores, sparsity)?.f_add(&scores.f_sub(&scores.detach())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial;
    use ledger::streams;

    fn scores(count: usize) -> Tensor {
        Tensor::from_slice(&streams::uniform(
            &mut trial::streams().generator("scores"),
            count,
            -1.0,
            1.0,
        ))
    }

    #[test]
    fn as_many_weights_stay_as_the_code_keeps() {
        for (count, kept) in
            [(1000, [900, 700, 500, 301, 101]), (2304, [2074, 1613, 1152, 692, 231])]
        {
            let scores = scores(count);
            let found = [0.1, 0.3, 0.5, 0.7, 0.9].map(|sparsity| {
                mask(&scores.abs(), sparsity).unwrap().sum(Kind::Int64).int64_value(&[])
            });
            assert_eq!(found, kept, "{count}");
        }
        // Halves go to the even rank: that of 2, not of 3.
        assert_eq!([rank(0.5, 4), rank(0.5, 6), rank(0.5, 2)], [3, 3, 1]);
    }

    #[test]
    fn the_largest_stay_and_scores_have_the_gradient_of_the_mask() {
        let scores = scores(50).set_requires_grad(true);
        let slope = Tensor::arange(50, (Kind::Float, tch::Device::Cpu));
        for (score, signed) in [(scores.abs(), true), (scores.shallow_clone(), false)] {
            let mask = mask(&score, 0.7).unwrap();
            let seen = through(&score, 0.7).unwrap();
            assert_eq!(values(&seen).unwrap(), values(&mask).unwrap());
            let gone = score.masked_select(&mask.eq(0.0)).max().double_value(&[]);
            assert!(score.masked_select(&mask.eq(1.0)).min().double_value(&[]) > gone);
            let found =
                Tensor::run_backward(&[(seen * &slope).sum(None)], &[&scores], false, false);
            let expected = if signed { &slope * scores.sign() } else { slope.copy() };
            assert_eq!(values(&found[0]).unwrap(), values(&expected).unwrap());
        }
    }
}
