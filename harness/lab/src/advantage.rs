//! From rewards to advantages, and from per-token losses to one number: every choice by name.
//!
//! Implementations that are called the same differ in these choices, so none has a silent default:
//!
//! | | trl `grpo` | trl `dapo` | trl `dr_grpo` | verl `grpo` |
//! | --- | --- | --- | --- | --- |
//! | deviation of a group | n − 1, + 1e-4 | n − 1, + 1e-4 | n − 1, + 1e-4 | n − 1, + 1e-6 |
//! | tokens to a number | mean per response | mean over the batch | sum / longest response | mean over the batch |
//! | coefficient of the divergence | 0 | 0 | 0 | 0.001 (k3) |
//! | clip | 0.2 | 0.2 | 0.2 | 0.2 |
//!
//! In trl `loss_type` only chooses how tokens become a number: the deviation goes by `scale_rewards`,
//! "group" by default whatever the loss, and Dr. GRPO's advantage without one takes "none".
//!
//! Sources: huggingface/trl@f2cd57710 `grpo_trainer.py`; verl as shipped in
//! ZhentingWang/DUMP@235e85d `core_algos.py`; Shao et al., arXiv:2402.03300 (GRPO); Liu et al.,
//! arXiv:2503.20783 (Dr. GRPO); Schulman et al., arXiv:1506.02438 (GAE), arXiv:1707.06347 (PPO).
//! k1, k2 and k3 estimate KL(π_θ || π_ref) from samples of π_θ: Schulman, "Approximating KL divergence".
//! As losses they are something else, since nothing is differentiated through the sampling: on samples of
//! π_θ the gradient of k3 is on average that of KL(π_ref || π_θ), that of k2 the one of KL(π_θ || π_ref),
//! and that of k1 zero (huggingface/trl#2914, #4638; NVIDIA-NeMo/RL#2506).

use ledger::settings::Range;
use ledger::{choice, settings};
use tch::{Kind, TchError, Tensor};

choice! {
    /// How rewards of a group become advantages.
    pub enum NormName {
        /// (r − mean) / (deviation + ε).
        MeanStd = "mean-std",
        /// r − mean.
        MeanOnly = "mean",
        /// r − mean of the others.
        Rloo = "rloo",
        /// r.
        None = "none",
    }
}

choice! {
    /// How losses of tokens become one number.
    pub enum Aggregate {
        /// Mean over the tokens of a response, then over responses.
        SequenceMean = "sequence-mean",
        /// Mean over all tokens of the batch.
        TokenMean = "token-mean",
        /// Sum over tokens, divided by the longest response that is allowed, then the mean over
        /// responses: a token weighs the same in short and long responses and batches.
        Constant = "constant",
    }
}

choice! {
    /// What stands for the divergence from a reference in the loss.
    pub enum Divergence {
        /// u²/2 with u = log π_ref − log π_θ: descends KL(π_θ || π_ref).
        K2 = "k2",
        /// e^u − u − 1: descends KL(π_ref || π_θ).
        K3 = "k3",
    }
}

impl Divergence {
    /// Of every token.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn of(self, own: &Tensor, reference: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::K2 => k2(own, reference),
            Self::K3 => k3(own, reference),
        }
    }
}

settings! {
    /// Settings of the advantage.
    pub struct AdvantageSettings {
        /// How rewards of a group become advantages.
        norm: NormName = NormName::MeanStd, from "arXiv:2402.03300, eq. 4";
        /// Whether the deviation divides by n − 1.
        unbiased: bool = true, from "torch.std, in trl and verl";
        /// Added to the deviation.
        std_eps: f64 = 1e-6, range Range::of(0.0..), from "verl core_algos.py; trl: 1e-4";
        /// How losses of tokens become one number.
        aggregate: Aggregate = Aggregate::TokenMean, from "verl core_algos.py; trl's default dapo";
    }
}

impl AdvantageSettings {
    /// The normalisation that these settings name.
    #[must_use]
    pub fn norm(&self) -> Norm {
        match self.norm {
            NormName::MeanStd => Norm::MeanStd { unbiased: self.unbiased, eps: self.std_eps },
            NormName::MeanOnly => Norm::MeanOnly,
            NormName::Rloo => Norm::Rloo,
            NormName::None => Norm::None,
        }
    }
}

/// How rewards of a group become advantages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Norm {
    /// (r − mean) / (deviation + ε).
    MeanStd {
        /// Whether the deviation divides by n − 1 instead of n.
        unbiased: bool,
        /// ε.
        eps: f64,
    },
    /// r − mean.
    MeanOnly,
    /// r − mean of the others (Ahmadian et al., arXiv:2402.14740): n/(n − 1) times r − mean.
    Rloo,
    /// r.
    None,
}

impl Norm {
    /// Advantages of the responses to one prompt. Equal rewards have an advantage of exactly 0,
    /// unless nothing is taken off.
    #[must_use]
    pub fn advantages(self, rewards: &[f64]) -> Vec<f64> {
        let equal = rewards.windows(2).all(|pair| pair[0] == pair[1]);
        if equal && self != Self::None {
            return vec![0.0; rewards.len()];
        }
        let n = rewards.len() as f64;
        let mean = rewards.iter().sum::<f64>() / n;
        let centred = rewards.iter().map(|reward| reward - mean);
        match self {
            Self::None => rewards.to_vec(),
            Self::MeanOnly => centred.collect(),
            Self::Rloo => centred.map(|value| value * n / (n - 1.0)).collect(),
            Self::MeanStd { unbiased, eps } => {
                let squares: f64 = centred.clone().map(|value| value * value).sum();
                let deviation = (squares / (n - f64::from(u8::from(unbiased)))).sqrt();
                centred.map(|value| value / (deviation + eps)).collect()
            }
        }
    }
}

impl Aggregate {
    /// Weights N × R of token losses, such that the mean over the N responses of the weighted sum
    /// over tokens is the aggregate. `mask` is 1 at tokens of a response, else 0; `longest` is the
    /// longest response that is allowed.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn weights(self, mask: &Tensor, longest: usize) -> Result<Tensor, TchError> {
        match self {
            Self::SequenceMean => {
                let lengths = mask.f_sum_dim_intlist(1, true, Kind::Float)?;
                mask.f_div(&lengths.f_clamp_min(1.0)?)
            }
            Self::TokenMean => {
                let (responses, _) = mask.size2()?;
                let tokens = mask.f_sum(Kind::Float)?.f_clamp_min(1.0)?;
                mask.f_mul_scalar(responses as f64)?.f_div(&tokens)
            }
            Self::Constant => mask.f_mul_scalar(1.0 / longest.max(1) as f64),
        }
    }
}

/// Generalised advantage estimates of one response: `δ_t = r_t + γ V_{t+1} − V_t`,
/// `A_t = δ_t + γλ A_{t+1}`; nothing follows the last token.
#[must_use]
pub fn gae(rewards: &[f64], values: &[f64], gamma: f64, lambda: f64) -> Vec<f64> {
    let mut advantages = vec![0.0; rewards.len()];
    let (mut following, mut next) = (0.0, 0.0);
    for (place, (reward, value)) in rewards.iter().zip(values).enumerate().rev() {
        following = reward + gamma * next - value + gamma * lambda * following;
        next = *value;
        advantages[place] = following;
    }
    advantages
}

/// Shifts and scales to mean 0 and (unbiased) variance 1, with 1e-8 inside the root, as verl and
/// trl do for PPO; fewer than two values are left as they are.
pub fn whiten(values: &mut [f64]) {
    let n = values.len() as f64;
    if values.len() < 2 {
        return;
    }
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    let scale = (squares / (n - 1.0) + 1e-8).sqrt();
    for value in values {
        *value = (*value - mean) / scale;
    }
}

/// k1 = −u with u = log π_ref − log π_θ: unbiased, of either sign.
///
/// # Errors
/// When the shapes differ.
pub fn k1(own: &Tensor, reference: &Tensor) -> Result<Tensor, TchError> {
    own.f_sub(reference)
}

/// k2 = u²/2 with u = log π_ref − log π_θ: biased and never negative; on samples of π_θ its gradient is
/// on average that of KL(π_θ || π_ref).
///
/// # Errors
/// When the shapes differ.
pub fn k2(own: &Tensor, reference: &Tensor) -> Result<Tensor, TchError> {
    reference.f_sub(own)?.f_square()?.f_mul_scalar(0.5)
}

/// k3 = e^u − u − 1 with u = log π_ref − log π_θ: unbiased and never negative; at most 10, as in
/// verl. On samples of π_θ its gradient is on average that of KL(π_ref || π_θ).
///
/// # Errors
/// When the shapes differ.
pub fn k3(own: &Tensor, reference: &Tensor) -> Result<Tensor, TchError> {
    let u = reference.f_sub(own)?;
    u.f_exp()?.f_sub(&u)?.f_sub_scalar(1.0)?.f_clamp_max(10.0)
}

/// The surrogate loss of each token: −ρA, with `clip` its worse bound −min(ρA, clip(ρ)A), where
/// ρ = exp(log π_θ − log π_old) is clipped to [1 − low, 1 + high].
///
/// # Errors
/// When the shapes do not fit.
pub fn surrogate(
    own: &Tensor,
    old: &Tensor,
    advantages: &Tensor,
    clip: Option<(f64, f64)>,
) -> Result<Tensor, TchError> {
    let ratio = own.f_sub(old)?.f_exp()?;
    let gained = ratio.f_mul(advantages)?;
    match clip {
        None => gained.f_neg(),
        Some((low, high)) => {
            let clipped = ratio.f_clamp(1.0 - low, 1.0 + high)?.f_mul(advantages)?;
            gained.f_minimum(&clipped)?.f_neg()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::values;

    const VERL: Norm = Norm::MeanStd { unbiased: true, eps: 1e-6 };
    const POPULATION: Norm = Norm::MeanStd { unbiased: false, eps: 1e-6 };

    /// `solved` of `n` rewards are 1.
    fn solved(solved: usize, n: usize) -> Vec<f64> {
        (0..n).map(|place| f64::from(u8::from(place < solved))).collect()
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
    }

    #[test]
    fn advantages_of_a_group_of_eight_are_those_of_torch_std() {
        for (k, up, down) in [
            (1, 2.474_867, -0.353_552),
            (2, 1.620_182, -0.540_061),
            (3, 1.207_612, -0.724_567),
            (4, 0.935_413, -0.935_413),
        ] {
            let advantages = VERL.advantages(&solved(k, 8));
            // The published figures carry no more than their last digit, at several ε.
            assert!((advantages[0] - up).abs() < 2e-6, "{}", advantages[0]);
            assert!((advantages[7] - down).abs() < 2e-6, "{}", advantages[7]);
        }
        close(POPULATION.advantages(&solved(4, 8))[0], 0.999_998);
        for k in [0, 8] {
            assert_eq!(VERL.advantages(&solved(k, 8)), [0.0; 8]);
        }
    }

    #[test]
    fn rewards_of_a_format_and_an_answer_are_normalised_as_published() {
        let rewards = [3.0, 3.0, -0.5, -0.5, -3.0, -3.0, -1.0, 3.0];
        let advantages = VERL.advantages(&rewards);
        for (place, expected) in [(0, 1.116_978), (2, -0.242_821), (4, -1.214_107), (6, -0.437_078)]
        {
            close(advantages[place], expected);
        }
        close(Norm::MeanOnly.advantages(&rewards)[0], 2.875);
    }

    #[test]
    fn without_a_deviation_three_of_eight_solved_give_five_and_three_eighths() {
        let advantages = Norm::MeanOnly.advantages(&solved(3, 8));
        assert_eq!((advantages[0], advantages[7]), (0.625, -0.375));
        let others = Norm::Rloo.advantages(&solved(3, 8));
        close(others[0], 1.0 - 2.0 / 7.0);
        close(others[7], -3.0 / 7.0);
        assert_eq!(Norm::None.advantages(&solved(3, 8)), solved(3, 8));
    }

    #[test]
    fn the_mean_size_of_an_advantage_is_two_deviations_of_a_coin() {
        let mean = |norm: Norm, k, n| {
            norm.advantages(&solved(k, n)).iter().map(|a| a.abs()).sum::<f64>() / n as f64
        };
        let exact = Norm::MeanStd { unbiased: false, eps: 0.0 };
        for k in 1..16 {
            let p = k as f64 / 16.0;
            close(mean(exact, k, 16), 2.0 * (p * (1.0 - p)).sqrt());
            close(mean(Norm::MeanOnly, k, 16), 2.0 * p * (1.0 - p));
        }
        for (k, expected) in [(1, 0.468_748), (4, 0.838_524), (8, 0.968_244)] {
            assert!((mean(VERL, k, 16) - expected).abs() < 2e-6, "{}", mean(VERL, k, 16));
        }
    }

    #[test]
    fn estimates_of_three_tokens_are_those_of_the_recursion() {
        let advantages = gae(&[0.0, 0.0, 1.0], &[0.5, 0.6, 0.7], 0.99, 0.95);
        for (found, expected) in advantages.iter().zip([0.446_829, 0.375_150, 0.3]) {
            close(*found, expected);
        }
    }

    #[test]
    fn k3_has_its_published_values_and_k1_their_sign() {
        for (u, expected) in [(0.1, 0.005_171), (-0.1, 0.004_837), (0.5, 0.148_721)] {
            let (own, reference) = (Tensor::from_slice(&[-1.0]), Tensor::from_slice(&[-1.0 + u]));
            close(k3(&own, &reference).unwrap().double_value(&[0]), expected);
            close(k1(&own, &reference).unwrap().double_value(&[0]), -u);
        }
    }

    #[test]
    fn as_losses_k2_descends_the_divergence_from_the_reference_and_k3_the_one_to_it() {
        let reference = Tensor::from_slice(&[0.7_f64, 0.2, 0.1]).log();
        let gradient = |loss: &dyn Fn(&Tensor) -> Tensor| {
            let logits = Tensor::from_slice(&[0.3_f64, -0.4, 0.9]).set_requires_grad(true);
            let loss = loss(&logits.log_softmax(-1, Kind::Double)).sum(Kind::Double);
            let found = Tensor::run_backward(&[loss], &[&logits], false, false);
            Vec::<f64>::try_from(&found[0]).unwrap()
        };
        // The mean over samples of π_θ, whose probabilities are not differentiated.
        let sampled = |how: Divergence| {
            gradient(&|own| own.detach().exp() * how.of(own, &reference).unwrap())
        };
        let to = gradient(&|own| reference.exp() * (&reference - own));
        let from = gradient(&|own| own.exp() * (own - &reference));
        for (found, expected) in [(sampled(Divergence::K2), &from), (sampled(Divergence::K3), &to)]
        {
            found.iter().zip(expected).for_each(|(found, expected)| close(*found, *expected));
        }
        assert!((from[0] - to[0]).abs() > 0.01, "{from:?} {to:?}");
        assert!(
            gradient(&|own| own.detach().exp() * k1(own, &reference).unwrap())[0].abs() < 1e-12
        );
    }

    #[test]
    fn at_a_ratio_of_one_clipping_leaves_loss_and_gradient_bit_for_bit() {
        let old = Tensor::from_slice(&[-0.5_f32, -1.5, -3.0]);
        let advantages = Tensor::from_slice(&[1.2_f32, -0.7, 0.0]);
        let taken = |clip| {
            let own = old.copy().set_requires_grad(true);
            let loss = surrogate(&own, &old, &advantages, clip).unwrap();
            let gradient = Tensor::run_backward(&[loss.sum(Kind::Float)], &[&own], false, false);
            (values(&loss).unwrap(), values(&gradient[0]).unwrap())
        };
        assert_eq!(taken(None), taken(Some((0.2, 0.2))));
        assert_eq!(taken(None).1, [-1.2, 0.7, 0.0]);
    }

    #[test]
    fn a_ratio_that_has_gone_too_far_the_right_way_has_no_gradient() {
        let old = Tensor::from_slice(&[-1.0_f32; 4]);
        let own = Tensor::from_slice(&[-0.7_f32, -1.3, -0.7, -1.3]).set_requires_grad(true);
        let advantages = Tensor::from_slice(&[1.0_f32, -1.0, -1.0, 1.0]);
        let loss = surrogate(&own, &old, &advantages, Some((0.2, 0.28))).unwrap();
        let found = values(&loss).unwrap();
        // e^0.3 = 1.35 is above 1.28, e^−0.3 = 0.74 below 0.8.
        for (found, expected) in found.iter().zip([-1.28, 0.8, 1.349_859, -0.740_818]) {
            assert!((found - expected).abs() < 1e-5, "{found}");
        }
        let gradient = Tensor::run_backward(&[loss.sum(Kind::Float)], &[&own], false, false);
        let gradient = values(&gradient[0]).unwrap();
        assert_eq!(gradient[..2], [0.0, 0.0]);
        assert!(gradient[2] > 1.0 && gradient[3] < -0.7);
    }

    #[test]
    fn aggregates_weigh_long_responses_as_their_names_say() {
        let mask = Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]).view([2, 4]);
        let losses = Tensor::from_slice(&[1.0_f32, 9.0, 9.0, 9.0, 2.0, 2.0, 2.0, 9.0]).view([2, 4]);
        let value = |how: Aggregate| {
            let weighted = &losses * how.weights(&mask, 5).unwrap();
            weighted.sum_dim_intlist(1, false, Kind::Float).mean(None).double_value(&[])
        };
        close(value(Aggregate::SequenceMean), 1.5);
        close(value(Aggregate::TokenMean), 7.0 / 4.0);
        close(value(Aggregate::Constant), (1.0 + 6.0) / 5.0 / 2.0);
    }

    #[test]
    fn whitened_values_have_mean_zero_and_variance_one() {
        let mut found = [1.0, 2.0, 4.0];
        whiten(&mut found);
        // Variance 7/3.
        close(found[2], (4.0 - 7.0 / 3.0) / (7.0_f64 / 3.0).sqrt());
        close(found.iter().sum(), 0.0);
        let mut single = [3.0];
        whiten(&mut single);
        assert_eq!(single, [3.0]);
    }

    proptest! {
        #[test]
        fn advantages_sum_to_zero_and_do_not_see_a_shift_of_all_rewards(
            rewards in prop::collection::vec(-3.0..3.0_f64, 2..12),
            shift in -5.0..5.0_f64,
        ) {
            let shifted: Vec<_> = rewards.iter().map(|reward| reward + shift).collect();
            for norm in [VERL, POPULATION, Norm::MeanOnly, Norm::Rloo] {
                let advantages = norm.advantages(&rewards);
                prop_assert!(advantages.iter().sum::<f64>().abs() < 1e-6);
                for (one, other) in advantages.iter().zip(norm.advantages(&shifted)) {
                    prop_assert!((one - other).abs() < 1e-4);
                }
            }
        }

        #[test]
        fn with_gamma_and_lambda_of_one_an_estimate_is_what_is_still_to_come_less_the_value(
            rows in prop::collection::vec((-2.0..2.0_f64, -2.0..2.0_f64), 1..10),
        ) {
            let (rewards, values): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
            let advantages = gae(&rewards, &values, 1.0, 1.0);
            for place in 0..rewards.len() {
                let still: f64 = rewards[place..].iter().sum();
                prop_assert!((advantages[place] - (still - values[place])).abs() < 1e-9);
            }
        }
    }
}
