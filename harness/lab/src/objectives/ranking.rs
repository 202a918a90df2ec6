//! Losses of scores that rank: of pairs of a document that answers and one that does not, or of these documents one by one
//! (Georgetown-IR-Lab/OpenNIR@8cfcb7bc `onir/trainers/pairwise_cl.py`, `pointwise_cl.py`).

use ledger::choice;
use tch::{Kind, TchError, Tensor};

use super::DefaultLoss;

choice! {
    /// What is lost by scores `s`.
    pub enum RankingLoss {
        /// `1 − softmax(s)₁` of a pair: the probability of the wrong one.
        Softmax = "softmax",
        /// Cross-entropy of a pair: the workload's own loss.
        CrossEntropy = "cross-entropy",
        /// `(s − 1)²` of a document that answers, `s²` of one that does not.
        Squares = "squares",
        /// Cross-entropy of single documents.
        Logistic = "logistic",
    }
}

impl RankingLoss {
    /// Whether the documents of a pair are looked at one by one.
    #[must_use]
    pub fn is_pointwise(self) -> bool {
        matches!(self, Self::Squares | Self::Logistic)
    }

    /// Losses of scores B × 2, the document that answers first, and of labels 0 (B): B × 1, or B × 2 where documents are
    /// looked at one by one.
    ///
    /// # Errors
    /// When the scores are not of pairs.
    pub fn of_scores(self, scores: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
        let (relevant, other) = (scores.f_narrow(1, 0, 1)?, scores.f_narrow(1, 1, 1)?);
        match self {
            Self::CrossEntropy => DefaultLoss::Classes.of_outputs(scores, labels)?.f_unsqueeze(1),
            Self::Softmax => scores.f_softmax(1, Kind::Float)?.f_narrow(1, 1, 1),
            Self::Squares => Tensor::f_cat(&[relevant.f_sub_scalar(1.0)?, other], 1)?.f_square(),
            Self::Logistic => Tensor::f_cat(&[relevant.f_neg()?, other], 1)?.f_softplus(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use tch::Device;

    #[test]
    fn losses_are_those_of_the_code() {
        let scores = Tensor::from_slice(&[2.0_f32, 0.5, -1.0, 0.0]).view([2, 2]);
        let labels = Tensor::zeros([2], (Kind::Int64, Device::Cpu));
        let found = |loss: RankingLoss| values(&loss.of_scores(&scores, &labels).unwrap()).unwrap();
        // The probability of the wrong one, by hand: 1/(1 + e^1.5) and 1/(1 + e^-1).
        let wrong = [0.182_426, 0.731_059_f32];
        let close = |found: Vec<f32>, expected: &[f32]| {
            let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(near && found.len() == expected.len(), "{found:?}, expected {expected:?}");
        };
        close(found(RankingLoss::Softmax), &wrong);
        close(found(RankingLoss::CrossEntropy), &wrong.map(|p| -(1.0 - p).ln()));
        close(found(RankingLoss::Squares), &[1.0, 0.25, 4.0, 0.0]);
        let soft = |x: f32| x.exp().ln_1p();
        close(found(RankingLoss::Logistic), &[soft(-2.0), soft(0.5), soft(1.0), soft(0.0)]);
    }
}
