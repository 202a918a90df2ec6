//! Losses of text that somebody has scored, token by token (Korbak et al., arXiv:2302.08582, section 2.2), and
//! the value head that goes with one of them.
//!
//! A reward is R = −c, with c the score of the sentence that the token to be predicted belongs to; 0 is good.

pub mod marked;

use tch::{Device, Kind, TchError, Tensor};

use self::marked::is_before;
use crate::LabError;
use crate::models::gpt::Gpt;
use crate::network::{Body, Network, Parameter, Role};
use crate::objectives::{DefaultLoss, IGNORED, token_losses};
use crate::optim::adamw::{Adamw, AdamwSettings};
use crate::seat::{Batch, Gradients, Objective, Optimizer as _, StepInfo, TaskInfo};
use crate::side_info::Sentences;
use crate::state::State;

/// Least value of 1 − p before its logarithm is taken.
const LEAST: f64 = 1e-20;
/// Largest weight of a token.
const HEAVIEST: f64 = 1000.0;

/// −a·log p − α·(1 − a)·log(1 − p) of each token: likelihood where it is aligned (a = 1), unlikelihood where it is
/// not (a = 0), in the shape of `likelihoods`, which holds log p.
///
/// # Errors
/// When the shapes do not fit.
pub fn unlikelihood(
    likelihoods: &Tensor,
    aligned: &Tensor,
    alpha: f64,
) -> Result<Tensor, TchError> {
    let rest = likelihoods.f_exp()?.f_neg()?.f_add_scalar(1.0)?.f_clamp_min(LEAST)?.f_log()?;
    let misaligned = aligned.f_neg()?.f_add_scalar(1.0)?;
    let unlike = misaligned.f_mul(&rest)?.f_mul_scalar(alpha)?;
    aligned.f_mul(likelihoods)?.f_add(&unlike)?.f_neg()
}

/// min(exp(A/β), 1000) of each advantage.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn weights(advantages: &Tensor, beta: f64) -> Result<Tensor, TchError> {
    advantages.f_div_scalar(beta)?.f_exp()?.f_clamp(0.0, HEAVIEST)
}

/// The score of the token that each position predicts, B × T, of sequences without tokens added: those of
/// examples `ids` among `scores`, N × sentences.
///
/// # Errors
/// When an id is outside.
pub fn spread(
    scores: &Tensor,
    ids: &Tensor,
    sentences: &Sentences,
    positions: i64,
) -> Result<Tensor, TchError> {
    let own = scores.f_index_select(0, ids)?;
    let each = own.f_repeat_interleave_self_int(sentences.length as i64, 1, None::<i64>)?;
    // Position t predicts token t + 1; those before the first sentence have no score.
    let before = sentences.before.saturating_sub(1) as i64;
    let each = if before > 0 { each.f_constant_pad_nd([before, 0])? } else { each };
    each.f_narrow(1, 0, positions)
}

/// V = −σ(h·w) of hidden states h, with w = 0 at first: what reward is to be expected. It learns by an update
/// rule of its own, from a loss that the network learns from, too.
#[derive(Debug)]
pub struct ValueHead {
    head: Network,
    rule: Adamw,
    gradient: Option<Tensor>,
}

impl ValueHead {
    /// A head for hidden states of `width`.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn new(width: i64, settings: AdamwSettings, device: Device) -> Result<Self, TchError> {
        let tensor = Tensor::f_zeros([1, width], (Kind::Float, device))?.set_requires_grad(true);
        let weight =
            Parameter { name: "value.weight".to_owned(), layer: 0, role: Role::Weight, tensor };
        let head = Network::new(vec![weight], Vec::new(), Body::Table);
        let rule = Adamw::new(settings, &head, |_, _| true)?;
        Ok(Self { head, rule, gradient: None })
    }

    /// V of hidden states B × T × d, B × T.
    ///
    /// # Errors
    /// When the states are of another width.
    pub fn values(&self, hidden: &Tensor) -> Result<Tensor, TchError> {
        let weight = &self.head.parameters[0].tensor;
        hidden.f_linear::<Tensor>(weight, None)?.f_squeeze_dim(-1)?.f_sigmoid()?.f_neg()
    }

    /// Keeps the gradient of a loss by the head; the loss can still be differentiated by what else it hangs on.
    ///
    /// # Errors
    /// When the loss does not hang on the head.
    pub fn note(&mut self, loss: &Tensor) -> Result<(), TchError> {
        let weight = &self.head.parameters[0].tensor;
        self.gradient = Tensor::f_run_backward(&[loss], &[weight], true, false)?.pop();
        Ok(())
    }

    /// An update by the gradient that was kept, if any.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn learn(&mut self, now: &StepInfo) -> Result<(), LabError> {
        let Some(gradient) = self.gradient.take() else { return Ok(()) };
        let gradients = Gradients { active: vec![0], tensors: vec![gradient] };
        tch::no_grad(|| self.rule.update(&self.head.parameters, &gradients, now))
    }

    /// Its weight and the state of its rule.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.weights("value head", &self.head)?;
        self.rule.state(state)
    }
}

/// What a score does to the loss of a token.
#[derive(Debug)]
pub enum Rule {
    /// Unlikelihood in the place of likelihood.
    Unlikelihood {
        /// Weight of unlikelihood.
        alpha: f64,
        /// Score up to which a token is aligned; without it, it is aligned by 1 − c.
        threshold: Option<f64>,
    },
    /// Likelihood weighted by min(exp((R − V)/β), 1000), with V a constant.
    Reward {
        /// β.
        beta: f64,
        /// V.
        value: f64,
    },
    /// The same with the V of a head, `weight` times; for the rest (R − V)².
    Advantage {
        /// β.
        beta: f64,
        /// Weight of the policy's part.
        weight: f64,
        /// The head.
        head: ValueHead,
    },
}

/// Losses of tokens by the scores of their sentences, and plain ones before a share of the run.
#[derive(Debug)]
pub struct Scored {
    rule: Rule,
    start_at: f64,
    sentences: Sentences,
    /// N × sentences.
    scores: Tensor,
}

impl Scored {
    /// By this rule from the share `start_at` of the steps on.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn new(
        rule: Rule,
        start_at: f64,
        sentences: Sentences,
        task: &TaskInfo<'_>,
    ) -> Result<Self, TchError> {
        let scores = Tensor::f_from_slice(&sentences.scores)?
            .f_view([-1, sentences.count as i64])?
            .f_to_device(task.device())?;
        Ok(Self { rule, start_at, sentences, scores })
    }

    /// The loss of each token, and what a value head adds to it, if any, B × T.
    fn each(&self, network: &Network, batch: &Batch) -> Result<(Tensor, Option<Tensor>), LabError> {
        let (_, positions) = batch.labels.size2()?;
        let scores = spread(&self.scores, &batch.sample_ids, &self.sentences, positions)?;
        let plain = || -> Result<Tensor, LabError> {
            Ok(token_losses(&network.forward(&batch.inputs, true)?, &batch.labels)?)
        };
        let losses = match &self.rule {
            Rule::Unlikelihood { alpha, threshold } => {
                let aligned = match threshold {
                    Some(threshold) => scores.f_le(*threshold)?.f_to_kind(Kind::Float)?,
                    None => scores.f_neg()?.f_add_scalar(1.0)?,
                };
                unlikelihood(&plain()?.f_neg()?, &aligned, *alpha)?
            }
            Rule::Reward { beta, value } => {
                plain()?.f_mul(&weights(&scores.f_neg()?.f_sub_scalar(*value)?, *beta)?)?
            }
            Rule::Advantage { beta, weight, head } => {
                let gpt = Gpt::of(network)?;
                let hidden = gpt.hidden(network, &batch.inputs)?;
                let losses = token_losses(&gpt.logits(network, &hidden)?, &batch.labels)?;
                let (said, rewards) = (head.values(&hidden)?, scores.f_neg()?);
                // The policy's part does not teach the head.
                let weights = weights(&rewards.f_sub(&said.f_detach()?)?, *beta)?;
                let value = rewards.f_sub(&said)?.f_square()?.f_mul_scalar(1.0 - weight)?;
                return Ok((losses.f_mul(&weights)?.f_mul_scalar(*weight)?, Some(value)));
            }
        };
        Ok((losses, None))
    }
}

/// The mean of each row of B × T over what is asked, B.
fn by_row(each: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
    let asked = labels.f_ne(IGNORED)?.f_to_kind(each.kind())?;
    let counts = asked.f_sum_dim_intlist(1, false, each.kind())?.f_clamp_min(1.0)?;
    each.f_mul(&asked)?.f_sum_dim_intlist(1, false, each.kind())?.f_div(&counts)
}

impl Objective for Scored {
    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        if is_before(self.start_at, now) {
            return DefaultLoss::Tokens.losses(network, batch, now);
        }
        let (policy, value) = self.each(network, batch)?;
        let losses = by_row(&policy, &batch.labels)?;
        let (Rule::Advantage { head, .. }, Some(value)) = (&mut self.rule, value) else {
            return Ok(losses);
        };
        let value = by_row(&value, &batch.labels)?;
        head.note(&value.f_mean(None)?)?;
        Ok(losses.f_add(&value)?)
    }

    fn loss(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        if is_before(self.start_at, now) {
            return DefaultLoss::Tokens.loss(network, batch, now);
        }
        Ok(self.losses(network, batch, now)?.f_mean(None)?)
    }

    fn after_step(&mut self, _: &Network, _: &Batch, now: &StepInfo) -> Result<(), LabError> {
        match &mut self.rule {
            Rule::Advantage { head, .. } => head.learn(now),
            Rule::Unlikelihood { .. } | Rule::Reward { .. } => Ok(()),
        }
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        match &mut self.rule {
            Rule::Advantage { head, .. } => head.state(state),
            Rule::Unlikelihood { .. } | Rule::Reward { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial;

    /// log p of each class under logits (2, 1, 0).
    fn likelihoods() -> Tensor {
        Tensor::from_slice(&[2.0_f64, 1.0, 0.0]).log_softmax(-1, Kind::Double)
    }

    fn close(found: &Tensor, expected: &[f64]) {
        let found = Vec::<f64>::try_from(found.to_kind(Kind::Double)).unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
    }

    #[test]
    fn likelihood_and_unlikelihood_of_three_classes_are_those_of_the_card() {
        close(&likelihoods().exp(), &[0.665_241, 0.244_728, 0.090_031]);
        let all = |aligned: f64| Tensor::from_slice(&[aligned; 3]);
        let plain = unlikelihood(&likelihoods(), &all(1.0), 1.0).unwrap();
        close(&plain, &[0.407_606, 1.407_606, 2.407_606]);
        let unlike = unlikelihood(&likelihoods(), &all(0.0), 1.0).unwrap();
        close(&unlike, &[1.094_344, 0.280_678, 0.094_344]);
        // A token that is certain has an unlikelihood that is large and finite.
        let certain = Tensor::from_slice(&[0.0_f64]);
        close(&unlikelihood(&certain, &certain, 1.0).unwrap(), &[-LEAST.ln()]);
    }

    #[test]
    fn a_score_without_a_threshold_mixes_what_a_threshold_of_0_tells_apart() {
        let first = likelihoods().narrow(0, 0, 1);
        // A score of 0.3: 0.7 of likelihood and 0.3 of unlikelihood, or unlikelihood alone.
        for (aligned, expected) in [(0.7, 0.613_627), (0.0, 1.094_344)] {
            let aligned = Tensor::from_slice(&[aligned]);
            close(&unlikelihood(&first, &aligned, 1.0).unwrap(), &[expected]);
        }
    }

    #[test]
    fn a_good_and_a_bad_token_come_to_the_totals_of_the_card() {
        let two = likelihoods().narrow(0, 0, 2);
        let aligned = Tensor::from_slice(&[1.0_f64, 0.0]);
        for (alpha, total) in [(1.0, 0.344_142), (0.01, 0.205_206)] {
            close(&unlikelihood(&two, &aligned, alpha).unwrap().mean(None).view([1]), &[total]);
        }
        let rewards = Tensor::from_slice(&[0.0_f64, -0.9]);
        let said = Tensor::from_slice(&[-0.1_f64, -0.2]);
        let advantages = &rewards - &said;
        let weighted = |beta| {
            let weights = weights(&advantages, beta).unwrap();
            let mean = (&weights * -&two).mean(None);
            (weights, mean)
        };
        let (w, policy) = weighted(0.1);
        close(&w, &[std::f64::consts::E, 0.000_912]);
        let value = (&rewards - &said).square().mean(None);
        close(&(policy * 0.5 + value * 0.5).view([1]), &[0.402_318]);
        let (w, policy) = weighted(10.0);
        close(&w, &[1.010_050, 0.932_394]);
        close(&policy.view([1]), &[0.862_073]);
    }

    #[test]
    fn an_untrained_head_says_a_half_so_that_weights_are_almost_one() {
        let head = ValueHead::new(4, AdamwSettings::default(), Device::Cpu).unwrap();
        let hidden = Tensor::ones([1, 4, 4], (Kind::Float, Device::Cpu));
        let said = head.values(&hidden).unwrap();
        assert_eq!(values(&said).unwrap(), [-0.5; 4]);
        let rewards = Tensor::from_slice(&[0.0_f64, -0.1, -0.5, -1.0]);
        close(
            &weights(&(rewards - said.get(0)), 10.0).unwrap(),
            &[1.051_271, 1.040_811, 1.0, 0.951_229],
        );
        close(&weights(&Tensor::from_slice(&[1e3_f64]), 1.0).unwrap(), &[1000.0]);
    }

    #[test]
    fn the_head_learns_the_reward_that_hidden_states_tell() {
        let settings = AdamwSettings { lr: 0.1, weight_decay: 0.0, ..AdamwSettings::default() };
        let mut head = ValueHead::new(2, settings, Device::Cpu).unwrap();
        let hidden = Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 1.0]).view([1, 2, 2]);
        let hidden = hidden.set_requires_grad(true);
        let rewards = Tensor::from_slice(&[-0.05_f32, -0.9]).view([1, 2]);
        for step in 0..200 {
            let loss = (head.values(&hidden).unwrap() - &rewards).square().mean(None);
            head.note(&loss).unwrap();
            // What is kept does not use the graph up.
            assert!(Tensor::run_backward(&[&loss], &[&hidden], false, false)[0].defined());
            head.learn(&StepInfo { lr_factor: 1.0, ..trial::step_info(step, 200) }).unwrap();
        }
        let error = (head.values(&hidden).unwrap() - rewards).abs().max().double_value(&[]);
        assert!(error < 0.02, "{error}");
    }

    #[test]
    fn a_position_has_the_score_of_the_sentence_that_it_predicts_a_token_of() {
        let scores = Tensor::from_slice(&[0.0_f32, 0.5, 0.25, 0.0]).view([2, 2]);
        let sentences = |before| Sentences {
            before,
            length: 3,
            count: 2,
            scores: vec![0.0, 0.5, 0.25, 0.0],
            control: [1, 2],
        };
        let ids = Tensor::from_slice(&[1_i64, 0]);
        let of = |before, positions| {
            let spread = spread(&scores, &ids, &sentences(before), positions).unwrap();
            Vec::<f32>::try_from(spread.get(0)).unwrap()
        };
        assert_eq!(of(1, 6), [0.25, 0.25, 0.25, 0.0, 0.0, 0.0]);
        assert_eq!(of(3, 7), [0.0, 0.0, 0.25, 0.25, 0.25, 0.0, 0.0]);
    }
}
